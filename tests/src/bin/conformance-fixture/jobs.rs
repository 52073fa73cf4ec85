//! The tools of the tasks extension: what takes time, fails in the two possible ways, or asks while it runs.
//!
//! For a client that did not declare the extension a job runs within the call, unless it only makes sense as a task.

use std::pin::Pin;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ClientCapabilities, CreateTaskResult};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Value, json};

use crate::questions::{Gathered, Question, Questions, elicitation, typed};
use crate::tools::{failure, text};

/// How often a client should look.
const POLL_MS: u64 = 200;

type Job = Pin<Box<dyn Future<Output = Result<CallToolResult, TaskExit>> + Send>>;

/// Runs one of the tools, or says that it is none of them.
pub(crate) async fn call(
    name: &str,
    arguments: &Value,
    questions: Questions<'_>,
    tasks: &TaskManager,
) -> Result<Option<CallToolResponse>, ErrorData> {
    let given = arguments.clone();
    Ok(Some(match name {
        "greet" => text(&format!("Hello, {}!", arguments["name"].as_str().unwrap_or("world"))).into(),
        "slow_compute" if as_task(questions) => start(tasks, |task| Box::pin(slow(given, task))),
        "slow_compute" => {
            tokio::time::sleep(seconds(&given)).await;
            computed(&given).into()
        }
        "failing_job" => required(questions, tasks, |_| Box::pin(failing()))?,
        "protocol_error_job" => required(questions, tasks, |_| Box::pin(breaking()))?,
        "confirm_delete" if as_task(questions) => start(tasks, |task| Box::pin(confirm(given, task))),
        "confirm_delete" => match questions.ask(vec![confirmation(&given)], None).await? {
            Gathered::Asks(round) => CallToolResponse::InputRequired(round),
            Gathered::Done(answers) => deleted(&given, &answers["confirm"]).into(),
        },
        "multi_input" if as_task(questions) => start(tasks, |task| Box::pin(both(task))),
        "multi_input" => match questions.ask(two(), None).await? {
            Gathered::Asks(round) => CallToolResponse::InputRequired(round),
            Gathered::Done(answers) => text(&json!(answers).to_string()).into(),
        },
        "test_tool_with_task" => {
            let asked = elicitation("user_name", "What is your name?", &[("name", "string")]);
            match questions.ask(vec![asked], None).await? {
                Gathered::Asks(round) => CallToolResponse::InputRequired(round),
                Gathered::Done(answers) => {
                    let name =
                        answers["user_name"]["content"]["name"].as_str().unwrap_or("nobody").to_owned();
                    let greeting = text(&format!("Hello, {name}, from a task!"));
                    required(questions, tasks, |_| Box::pin(async move { Ok(greeting) }))?
                }
            }
        }
        _ => return Ok(None),
    }))
}

fn as_task(questions: Questions<'_>) -> bool {
    let declared = questions.context.client_capabilities().is_some_and(|client| client.supports_tasks());
    questions.modern() && declared
}

fn start(tasks: &TaskManager, job: impl FnOnce(TaskContext) -> Job) -> CallToolResponse {
    let options = TaskOptions::new().with_poll_interval_ms(POLL_MS);
    CallToolResponse::Task(CreateTaskResult::new(tasks.spawn(options, job)))
}

/// A job that is never run within the call.
fn required(
    questions: Questions<'_>,
    tasks: &TaskManager,
    job: impl FnOnce(TaskContext) -> Job,
) -> Result<CallToolResponse, ErrorData> {
    if as_task(questions) {
        return Ok(start(tasks, job));
    }
    if !questions.modern() {
        return Ok(failure("this tool needs the tasks extension").into());
    }
    let needed = ClientCapabilities::builder().enable_tasks().build();
    Err(ErrorData::missing_required_client_capability(needed))
}

async fn slow(given: Value, task: TaskContext) -> Result<CallToolResult, TaskExit> {
    tokio::select! {
        () = tokio::time::sleep(seconds(&given)) => Ok(computed(&given)),
        () = task.cancelled() => Err(TaskExit::Cancelled),
    }
}

fn seconds(given: &Value) -> Duration {
    Duration::from_secs_f64(given["seconds"].as_f64().unwrap_or(0.0).clamp(0.0, 3600.0))
}

fn computed(given: &Value) -> CallToolResult {
    text(&format!("computed {}", given["label"].as_str().unwrap_or("it")))
}

async fn failing() -> Result<CallToolResult, TaskExit> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(failure("this job always fails"))
}

async fn breaking() -> Result<CallToolResult, TaskExit> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    Err(TaskExit::Error(ErrorData::internal_error("this job always breaks", None)))
}

fn confirmation(given: &Value) -> Question {
    let file = given["filename"].as_str().unwrap_or("the file");
    elicitation("confirm", &format!("Really delete {file}?"), &[("confirm", "boolean")])
}

async fn confirm(given: Value, task: TaskContext) -> Result<CallToolResult, TaskExit> {
    let answer = task.request_input("confirm", typed(confirmation(&given).request())).await?;
    Ok(deleted(&given, &answer))
}

fn deleted(given: &Value, answer: &Value) -> CallToolResult {
    let done = answer["action"] == "accept" && answer["content"]["confirm"] != false;
    text(&format!("{} {}", if done { "deleted" } else { "kept" }, given["filename"].as_str().unwrap_or("it")))
}

fn two() -> Vec<Question> {
    vec![
        elicitation("first", "What is the first name?", &[("name", "string")]),
        elicitation("second", "What is the second name?", &[("name", "string")]),
    ]
}

async fn both(task: TaskContext) -> Result<CallToolResult, TaskExit> {
    let ask = |key: &'static str| {
        let question = elicitation(key, &format!("What is the {key} name?"), &[("name", "string")]);
        task.request_input(key, typed(question.request()))
    };
    let (first, second) = tokio::try_join!(ask("first"), ask("second"))?;
    Ok(text(&json!([first, second]).to_string()))
}
