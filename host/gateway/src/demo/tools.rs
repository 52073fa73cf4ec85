//! `demo`: one tool for each kind of answer, a prompt with completion, and log messages.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use base64::Engine as _;
use rmcp::handler::server::router::prompt::PromptRouter;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResult, CompleteRequestParams, CompleteResult, CompletionInfo, ContentBlock,
    ProgressNotificationParam, PromptMessage, Reference, RequestMetaObject, Role, ServerCapabilities,
    ServerConfig,
};
#[expect(deprecated, reason = "clients of every released version still ask for log messages")]
use rmcp::model::{LoggingLevel, LoggingMessageNotificationParam, SetLevelRequestParams};
use rmcp::service::RequestContext;
use rmcp::{
    ErrorData, Json, Peer, RoleServer, ServerHandler, prompt, prompt_handler, prompt_router, schemars, tool,
    tool_handler, tool_router,
};
use serde::{Deserialize, Serialize};

/// A small picture of a gate.
const GATE: &[u8] = include_bytes!("gate.png");
/// The most steps a countdown takes.
const STEPS: u32 = 100;
/// Tones the greeting can have.
const TONES: &[&str] = &["cheerful", "formal", "friendly", "terse"];

/// The server.
pub(super) struct Demo {
    tool_router: ToolRouter<Self>,
    prompt_router: PromptRouter<Self>,
    /// The least severe level the client wants, as a number.
    level: AtomicU8,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct EchoArguments {
    /// What to say back.
    text: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct AddArguments {
    /// One number.
    a: f64,
    /// Another.
    b: f64,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Sum {
    /// The sum.
    sum: f64,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Weather {
    /// Where.
    city: String,
    /// In degrees Celsius.
    celsius: f64,
    /// In words.
    sky: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct WeatherArguments {
    /// A city; the weather there is made up, and always the same.
    city: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct CountdownArguments {
    /// How many steps, 1 to 100.
    #[serde(default = "five")]
    steps: u32,
    /// Milliseconds between steps, at most 5000.
    #[serde(default = "quarter")]
    pause_ms: u64,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct LogArguments {
    /// What to log.
    message: String,
    /// `debug`, `info`, `warning` or `error`.
    #[serde(default)]
    level: Severity,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Debug,
    #[default]
    Info,
    Warning,
    Error,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct GreetArguments {
    /// Whom to greet.
    name: String,
    /// How: `cheerful`, `formal`, `friendly` or `terse`.
    #[serde(default)]
    tone: Option<String>,
}

fn five() -> u32 {
    5
}

fn quarter() -> u64 {
    250
}

#[tool_router]
impl Demo {
    pub(super) fn new() -> Self {
        Self {
            tool_router: Self::tool_router(),
            prompt_router: Self::prompt_router(),
            level: AtomicU8::new(1),
        }
    }

    /// Text, unchanged.
    #[tool(description = "Says back the text it is given.", annotations(read_only_hint = true))]
    async fn echo(&self, Parameters(EchoArguments { text }): Parameters<EchoArguments>) -> String {
        text
    }

    /// Structured output with a schema.
    #[tool(description = "Adds two numbers.", annotations(read_only_hint = true, idempotent_hint = true))]
    async fn add(&self, Parameters(AddArguments { a, b }): Parameters<AddArguments>) -> Json<Sum> {
        Json(Sum { sum: a + b })
    }

    /// Structured output of several members.
    #[tool(
        description = "The made-up weather in a city, as structured output.",
        annotations(read_only_hint = true)
    )]
    async fn weather(
        &self,
        Parameters(WeatherArguments { city }): Parameters<WeatherArguments>,
    ) -> Json<Weather> {
        let seed: u32 = city.bytes().map(u32::from).sum();
        let sky =
            ["clear", "cloudy", "rain", "snow"].into_iter().cycle().nth(seed as usize % 4).unwrap_or("clear");
        Json(Weather { celsius: f64::from(seed % 350) / 10.0, sky: sky.to_owned(), city })
    }

    /// An image.
    #[tool(description = "A small picture of a gate (PNG).", annotations(read_only_hint = true))]
    async fn picture(&self) -> CallToolResult {
        let data = base64::engine::general_purpose::STANDARD.encode(GATE);
        CallToolResult::success(vec![
            ContentBlock::text("A gate, 24 by 24 pixels:"),
            ContentBlock::image(data, "image/png"),
        ])
    }

    /// Progress, when the client asked for it.
    #[tool(description = "Counts down, reporting progress at every step.")]
    async fn countdown(
        &self,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
        Parameters(CountdownArguments { steps, pause_ms }): Parameters<CountdownArguments>,
    ) -> Result<String, ErrorData> {
        if !(1..=STEPS).contains(&steps) || pause_ms > 5_000 {
            return Err(ErrorData::invalid_params("steps must be 1 to 100 and pause_ms at most 5000", None));
        }
        let token = meta.get_progress_token();
        for step in 1..=steps {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            if let Some(token) = &token {
                let progress = ProgressNotificationParam::new(token.clone(), f64::from(step))
                    .with_total(f64::from(steps))
                    .with_message(format!("{} to go", steps - step));
                // A client that is gone ends the call by itself.
                let _gone = client.notify_progress(progress).await;
            }
        }
        Ok(format!("counted {steps} steps"))
    }

    /// A result that is an error, which a model can read.
    #[tool(description = "Always fails, as a tool that says why.")]
    async fn fail(&self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text("this tool always fails: there is nothing to mend")])
    }

    /// A log message, when the client wants that level.
    #[tool(description = "Sends a log message to the client.")]
    #[expect(deprecated, reason = "clients of every released version still ask for log messages")]
    async fn log(
        &self,
        client: Peer<RoleServer>,
        Parameters(LogArguments { message, level }): Parameters<LogArguments>,
    ) -> String {
        let level = match level {
            Severity::Debug => LoggingLevel::Debug,
            Severity::Info => LoggingLevel::Info,
            Severity::Warning => LoggingLevel::Warning,
            Severity::Error => LoggingLevel::Error,
        };
        if rank(level) < self.level.load(Ordering::Relaxed) {
            return "not sent: the client asked for more severe messages only".to_owned();
        }
        let message = LoggingMessageNotificationParam::new(level, message.into()).with_logger("demo");
        match client.notify_logging_message(message).await {
            Ok(()) => "sent".to_owned(),
            Err(error) => format!("not sent: {error}"),
        }
    }
}

#[prompt_router]
impl Demo {
    /// A prompt with arguments.
    #[prompt(name = "greet", description = "Asks for a greeting.")]
    async fn greet(
        &self,
        Parameters(GreetArguments { name, tone }): Parameters<GreetArguments>,
    ) -> Vec<PromptMessage> {
        let tone = tone.unwrap_or_else(|| "friendly".to_owned());
        vec![PromptMessage::new_text(
            Role::User,
            format!("Write a {tone} greeting of one sentence for {name}."),
        )]
    }
}

#[tool_handler(router = self.tool_router)]
#[prompt_handler(router = self.prompt_router)]
impl ServerHandler for Demo {
    #[expect(deprecated, reason = "clients of every released version still ask for log messages")]
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_completions()
            .enable_logging()
            .build();
        super::about(
            "demo",
            capabilities,
            "Each tool shows one kind of answer: text, image, structured, progress, error.",
        )
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let known = matches!(&request.r#ref, Reference::Prompt(prompt) if prompt.name == "greet");
        if !known || request.argument.name != "tone" {
            return Err(ErrorData::invalid_params(
                "only the tone of the prompt `greet` can be completed",
                None,
            ));
        }
        let begun = request.argument.value.to_lowercase();
        let fitting =
            TONES.iter().filter(|tone| tone.starts_with(&begun)).map(|tone| (*tone).to_owned()).collect();
        completion(fitting)
    }

    #[expect(deprecated, reason = "clients of every released version still ask for log messages")]
    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.level.store(rank(request.level), Ordering::Relaxed);
        Ok(())
    }
}

/// All values there are.
pub(super) fn completion(values: Vec<String>) -> Result<CompleteResult, ErrorData> {
    let info =
        CompletionInfo::with_all_values(values).map_err(|error| ErrorData::internal_error(error, None))?;
    Ok(CompleteResult::new(info))
}

#[expect(deprecated, reason = "clients of every released version still ask for log messages")]
fn rank(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}
