//! The tools: what they are called, what they take, and what they do, except for those of the tasks extension.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult};
use serde_json::{Value, json};

use crate::offers::{PNG, WAV};
use crate::questions::{Gathered, Questions, elicitation, form, roots, sampling, typed};
use crate::server::Telling;

/// Between two events of a call, so that they arrive one by one.
const PAUSE: Duration = Duration::from_millis(50);

/// Tools without arguments: name and description. The first one is what the suite calls when any tool will do.
const PLAIN: &[(&str, &str)] = &[
    ("test_simple_text", "Answers with a text"),
    ("test_image_content", "Answers with an image"),
    ("test_audio_content", "Answers with a sound"),
    ("test_embedded_resource", "Answers with a resource"),
    ("test_multiple_content_types", "Answers with a text, an image and a resource"),
    ("test_tool_with_logging", "Logs three times"),
    ("test_tool_with_progress", "Reports progress three times"),
    ("test_error_handling", "Fails"),
    ("test_reconnection", "Answers on another stream than it was called on"),
    ("test_elicitation_sep1034_defaults", "Asks with default values"),
    ("test_elicitation_sep1330_enums", "Asks with choices"),
    ("test_missing_capability", "Needs a client that can sample"),
    ("test_streaming_elicitation", "Asks after it has reported progress"),
    ("test_logging_tool", "Logs once"),
    ("test_trigger_tool_change", "Changes the list of tools"),
    ("test_trigger_prompt_change", "Changes the list of prompts"),
    ("test_input_required_result_elicitation", "Asks for a name"),
    ("test_input_required_result_sampling", "Asks the client's model"),
    ("test_input_required_result_list_roots", "Asks for the client's roots"),
    ("test_input_required_result_request_state", "Asks and wants its state back"),
    ("test_input_required_result_multiple_inputs", "Asks three things at once"),
    ("test_input_required_result_multi_round", "Asks twice"),
    ("test_input_required_result_tampered_state", "Asks and looks closely at its state"),
    ("test_input_required_result_capabilities", "Asks what the client can answer"),
    ("failing_job", "A task that fails"),
    ("protocol_error_job", "A task that breaks"),
    ("multi_input", "A task that asks two things at once"),
    ("test_tool_with_task", "Asks for a name and becomes a task"),
];

/// The tools; with a last one that comes and goes.
pub(crate) fn list(changed: bool) -> Vec<Value> {
    let tool = |name: &str, description: &str, schema: Value| json!({"name": name, "description": description, "inputSchema": schema});
    let takes = |name: &str, description: &str, arguments: Value, required: Value| {
        tool(name, description, json!({"type": "object", "properties": arguments, "required": required}))
    };
    let text = json!({"type": "string"});
    let mut tools: Vec<Value> =
        PLAIN.iter().map(|(name, about)| tool(name, about, json!({"type": "object"}))).collect();
    tools.extend([
        takes("test_sampling", "Asks the client's model", json!({"prompt": text}), json!(["prompt"])),
        takes("test_elicitation", "Asks the user", json!({"message": text}), json!(["message"])),
        takes(
            "test_update_resource",
            "Says that a resource has changed",
            json!({"uri": text}),
            json!(["uri"]),
        ),
        takes(
            "test_custom_header",
            "Takes an argument that is a header as well",
            region(),
            json!(["region"]),
        ),
        tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", wide_schema()),
        takes("greet", "Greets", json!({"name": text}), json!(["name"])),
        takes(
            "slow_compute",
            "A task that takes its time",
            json!({"seconds": {"type": "number"}, "label": text}),
            json!(["seconds"]),
        ),
        takes("confirm_delete", "A task that asks", json!({"filename": text}), json!(["filename"])),
    ]);
    if changed {
        tools.push(tool("test_changing_tool", "A tool that comes and goes", json!({"type": "object"})));
    }
    tools
}

fn region() -> Value {
    json!({"region": {"type": "string", "x-mcp-header": "Region"}})
}

/// Keywords that a gateway which rebuilds schemas would lose.
fn wide_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

/// Runs one of them.
pub(crate) async fn call(
    name: &str,
    arguments: &Value,
    questions: Questions<'_>,
    telling: &Telling<'_>,
) -> Result<CallToolResponse, ErrorData> {
    let done: CallToolResult = match name {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => content(json!([image()])),
        "test_audio_content" => content(json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}])),
        "test_embedded_resource" => content(json!([{"type": "resource", "resource": {
            "uri": "test://embedded-resource", "mimeType": "text/plain", "text": "This is an embedded resource content."}}])),
        "test_multiple_content_types" => content(json!([
            {"type": "text", "text": "Multiple content types test:"},
            image(),
            {"type": "resource", "resource": {
                "uri": "test://mixed-content-resource", "mimeType": "application/json", "text": r#"{"test":"data","value":123}"#}},
        ])),
        "test_error_handling" => failure("This tool intentionally returns an error for testing"),
        "json_schema_2020_12_tool" | "test_custom_header" => text(&arguments.to_string()),
        "test_changing_tool" => text("Still here."),
        "test_tool_with_logging" => {
            for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                telling.log(line).await?;
                tokio::time::sleep(PAUSE).await;
            }
            text("Logged three times.")
        }
        "test_logging_tool" => {
            telling.log("This is only for those who asked for it").await?;
            text("Logged once.")
        }
        "test_tool_with_progress" => {
            for progress in [0, 50, 100] {
                telling.progress(progress).await?;
                tokio::time::sleep(PAUSE).await;
            }
            text("Reported three times.")
        }
        "test_reconnection" => telling.waited().await,
        "test_missing_capability" => {
            let asked = vec![sampling("answer", "Are you there?", 10)];
            // Many a server of old asks without having looked whether the client can be asked.
            if !questions.modern() {
                text(&json!(questions.ask_now(asked).await?).to_string())
            } else {
                match questions.ask(asked, None).await? {
                    Gathered::Asks(round) => return Ok(CallToolResponse::InputRequired(round)),
                    Gathered::Done(answers) => text(&json!(answers).to_string()),
                }
            }
        }
        "test_trigger_tool_change" => telling.tools_changed(),
        "test_trigger_prompt_change" => telling.prompts_changed(),
        "test_update_resource" => telling.updated(arguments["uri"].as_str().unwrap_or_default()),
        _ => return asking(name, arguments, questions, telling).await,
    };
    Ok(done.into())
}

/// The tools that ask the client something.
async fn asking(
    name: &str,
    arguments: &Value,
    questions: Questions<'_>,
    telling: &Telling<'_>,
) -> Result<CallToolResponse, ErrorData> {
    let given = |name: &str| arguments[name].as_str().unwrap_or("nothing").to_owned();
    let name_of_user = || elicitation("user_name", "What is your name?", &[("name", "string")]);
    let confirmation = || elicitation("confirm", "Please confirm", &[("ok", "boolean")]);
    let (asked, state) = match name {
        "test_sampling" => (vec![sampling("answer", &given("prompt"), 100)], None),
        "test_elicitation" => {
            let fields = [("username", "string"), ("email", "string")];
            (vec![elicitation("answer", &given("message"), &fields)], None)
        }
        "test_elicitation_sep1034_defaults" => {
            (vec![form("answer", "Please review these values", defaults())], None)
        }
        "test_elicitation_sep1330_enums" => (vec![form("answer", "Please choose", choices())], None),
        "test_streaming_elicitation" => {
            telling.progress(50).await?;
            (vec![name_of_user()], None)
        }
        "test_input_required_result_elicitation" => (vec![name_of_user()], None),
        "test_input_required_result_sampling" => {
            (vec![sampling("capital_question", "What is the capital of France?", 100)], None)
        }
        "test_input_required_result_list_roots" => (vec![roots("client_roots")], None),
        "test_input_required_result_request_state" => (vec![confirmation()], Some("state-ok")),
        "test_input_required_result_tampered_state" => (vec![confirmation()], Some("untouched")),
        "test_input_required_result_multiple_inputs" => {
            let all =
                vec![name_of_user(), sampling("greeting", "Generate a greeting", 50), roots("client_roots")];
            (all, Some("all three"))
        }
        "test_input_required_result_capabilities" => {
            let mut all =
                vec![name_of_user(), sampling("greeting", "Generate a greeting", 50), roots("client_roots")];
            all.retain(|question| questions.declared(question.method()));
            (all, None)
        }
        "test_input_required_result_multi_round" => return two_rounds(questions).await,
        other => return Err(ErrorData::invalid_params(format!("no such tool: {other}"), None)),
    };
    let brought = questions.brought()?;
    match questions.ask(asked, state).await? {
        Gathered::Asks(round) => Ok(CallToolResponse::InputRequired(round)),
        Gathered::Done(_) if questions.modern() && brought.as_deref() != state => {
            Err(ErrorData::invalid_params("requestState is missing or belongs to another call", None))
        }
        Gathered::Done(answers) => Ok(answered(name, state, &json!(answers)).into()),
    }
}

fn answered(name: &str, state: Option<&str>, answers: &Value) -> CallToolResult {
    let answer = &answers["answer"];
    match name {
        "test_sampling" => text(&format!("LLM response: {}", said(answer))),
        "test_elicitation" => text(&format!(
            "User response: action={}, content={}",
            plain(&answer["action"]),
            answer["content"]
        )),
        "test_elicitation_sep1034_defaults" | "test_elicitation_sep1330_enums" => text(&format!(
            "Elicitation completed: action={}, content={}",
            plain(&answer["action"]),
            answer["content"]
        )),
        "test_input_required_result_elicitation" | "test_streaming_elicitation" => {
            text(&format!("Hello, {}!", plain(&answers["user_name"]["content"]["name"])))
        }
        "test_input_required_result_sampling" => text(&said(&answers["capital_question"])),
        _ => text(&format!("{}: {answers}", state.unwrap_or("answered"))),
    }
}

/// Two questions, one after the other; the state of the second round carries the answer of the first.
async fn two_rounds(questions: Questions<'_>) -> Result<CallToolResponse, ErrorData> {
    let first = elicitation("step1", "Step 1: What is your name?", &[("name", "string")]);
    let second = elicitation("step2", "Step 2: What is your favorite color?", &[("color", "string")]);
    let brought = questions.brought()?;
    let name = match brought.as_deref().and_then(|state| state.strip_prefix("2:")) {
        Some(name) => name.to_owned(),
        None => match questions.ask(vec![first], Some("1")).await? {
            Gathered::Asks(round) => return Ok(CallToolResponse::InputRequired(round)),
            Gathered::Done(_) if questions.modern() && brought.as_deref() != Some("1") => {
                return Err(ErrorData::invalid_params("requestState is missing", None));
            }
            Gathered::Done(answers) => plain(&answers["step1"]["content"]["name"]),
        },
    };
    match questions.ask(vec![second], Some(&format!("2:{name}"))).await? {
        Gathered::Asks(round) => Ok(CallToolResponse::InputRequired(round)),
        Gathered::Done(answers) => {
            Ok(text(&format!("{name} likes {}", plain(&answers["step2"]["content"]["color"]))).into())
        }
    }
}

fn defaults() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": true},
    }})
}

fn choices() -> Value {
    let titled = |what: &str| json!([{"const": "value1", "title": format!("First {what}")}, {"const": "value2", "title": format!("Second {what}")}]);
    json!({"type": "object", "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": titled("Option")},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
    }})
}

fn image() -> Value {
    json!({"type": "image", "data": PNG, "mimeType": "image/png"})
}

/// The words of a model's answer, whose content is one block or several.
fn said(answer: &Value) -> String {
    let content = &answer["content"];
    plain(if content.is_array() { &content[0]["text"] } else { &content["text"] })
}

fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A result of one text.
pub(crate) fn text(text: &str) -> CallToolResult {
    content(json!([{"type": "text", "text": text}]))
}

/// A failed one.
pub(crate) fn failure(text: &str) -> CallToolResult {
    typed(json!({"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": true}))
}

fn content(content: Value) -> CallToolResult {
    typed(json!({"resultType": "complete", "content": content}))
}
