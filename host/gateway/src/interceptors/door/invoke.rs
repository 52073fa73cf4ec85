//! One run of one stage (SEP-2624, `interceptor/invoke`), from params to a result object.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc::error_object;
use wasmgate_core::mcp::{code, method};
use wasmgate_core::pipeline::{
    Exchange, Finding, Kind, Operation, Party, Phase, Pipeline, Severity, Stage, StageAnswer, StageError,
};

use super::describe::{Offered, kind, offered};
use super::payload::Payload;
use super::{TIMEOUT, Visit, invalid};
use crate::interceptors::path::path;

/// Runs the stage that is named and gives its result object.
pub(super) async fn invoke(pipeline: &Pipeline, visit: Visit) -> Result<Json, Json> {
    let asked = Asked::read(visit.params.as_ref()).map_err(|words| invalid(&words))?;
    let (stage, offered) = named(pipeline, &asked.name)?;
    if !offered.covers(&asked.event, asked.phase) {
        let (name, event, phase) = (&asked.name, &asked.event, phase(asked.phase));
        return Err(invalid(&format!("`{name}` does not hook `{event}` in the {phase} phase")));
    }
    let payload =
        Payload::read(asked.payload.clone(), &asked.event, asked.phase).map_err(|words| invalid(&words))?;
    let exchange = exchange(&visit, &asked, &payload);
    let started = Instant::now();
    let answer = in_time(&asked, run(stage, &exchange, &asked, &payload)).await??;
    let common = ObjectWriter::new()
        .string("interceptor", &asked.name)
        .string("type", kind(stage.info().kind))
        .string("phase", phase(asked.phase))
        .member("durationMs", &Json::of(&u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)));
    result(common, answer, &payload).map_err(|error| failed(&asked.name, &error, None))
}

/// The params of `interceptor/invoke`.
struct Asked {
    name: String,
    event: String,
    phase: Phase,
    payload: Json,
    config: Option<Json>,
    timeout: Option<u64>,
    context: Option<Json>,
}

impl Asked {
    fn read(params: Option<&Json>) -> Result<Self, String> {
        let params = params.ok_or("name, event, phase and payload are required")?;
        let text = |name: &str| {
            let value = params.member(name);
            let text = value.as_ref().and_then(Json::string).map(Cow::into_owned);
            text.ok_or_else(|| format!("{name}: a text is required"))
        };
        let object = |name: &str| match params.member(name) {
            Some(value) if !value.is_object() => Err(format!("{name}: must be an object")),
            value => Ok(value),
        };
        let phase = match text("phase")?.as_str() {
            "request" => Phase::Request,
            "response" => Phase::Response,
            _ => return Err("phase: must be `request` or `response`".to_owned()),
        };
        let timeout = params.member("timeoutMs").map(|value| value.deserialize::<u64>());
        let timeout = timeout.transpose().map_err(|_| "timeoutMs: must be a number of milliseconds")?;
        Ok(Self {
            name: text("name")?,
            event: text("event")?,
            phase,
            payload: params.member("payload").ok_or("payload: is required")?,
            config: object("config")?,
            timeout,
            context: object("context")?,
        })
    }
}

/// The stage of that name, and what the door offers of it.
fn named<'a>(pipeline: &'a Pipeline, name: &str) -> Result<(&'a Arc<dyn Stage>, Offered), Json> {
    let stage = pipeline.stages().iter().find(|stage| *stage.info().name == *name);
    let stage = stage.ok_or_else(|| invalid(&format!("no interceptor is called `{name}`")))?;
    let why = match stage.info().kind {
        Kind::Filter => "filters lists",
        Kind::Validator | Kind::Mutator => "looks only at messages of certain servers or subjects",
    };
    let offered = offered(stage.info());
    let offered = offered.ok_or_else(|| invalid(&format!("`{name}` {why} and cannot be invoked")))?;
    Ok((stage, offered))
}

fn exchange(visit: &Visit, asked: &Asked, payload: &Payload) -> Exchange {
    let context =
        |names: &[&str]| names.iter().try_fold(asked.context.clone()?, |value, name| value.member(name));
    let text =
        |value: Option<Json>| value.as_ref().and_then(Json::string).map(|text| Arc::<str>::from(&*text));
    let subject = match asked.event.as_str() {
        method::TOOLS_CALL | method::PROMPTS_GET => payload.seen.member("name"),
        method::RESOURCES_READ | method::RESOURCES_SUBSCRIBE => payload.seen.member("uri"),
        _ => None,
    };
    let from_server =
        matches!(asked.event.as_str(), "sampling/createMessage" | "elicitation/create" | "roots/list");
    let mut exchange = Exchange::new(Operation {
        id: Arc::clone(&visit.id),
        event: asked.event.as_str().into(),
        server: None,
        subject: text(subject).filter(|_| asked.phase == Phase::Request),
        principal: text(context(&["principal", "id"])).unwrap_or_else(|| Arc::clone(&visit.principal)),
        session: text(context(&["sessionId"])),
        version: visit.version,
        initiator: if from_server { Party::Server } else { Party::Client },
    });
    exchange.failed = payload.failed();
    let carried: [(&'static str, &[&str]); 3] = [
        ("principal.claims", &["principal", "claims"]),
        ("trace.id", &["traceId"]),
        ("trace.span", &["spanId"]),
    ];
    exchange.attributes =
        carried.into_iter().filter_map(|(name, place)| Some((name, context(place)?))).collect();
    exchange
}

/// The work, unless it takes longer than was asked for.
async fn in_time<T>(asked: &Asked, work: impl Future<Output = T>) -> Result<T, Json> {
    let Some(limit) = asked.timeout else { return Ok(work.await) };
    tokio::time::timeout(Duration::from_millis(limit), work).await.map_err(|_| {
        let data = json!({ "interceptor": asked.name, "timeoutMs": limit, "phase": phase(asked.phase) });
        error_object(TIMEOUT, "Interceptor execution timeout", Some(&Json::of(&data)))
    })
}

async fn run(
    stage: &Arc<dyn Stage>,
    exchange: &Exchange,
    asked: &Asked,
    payload: &Payload,
) -> Result<StageAnswer, Json> {
    let info = stage.info();
    // Offered, because another of its hooks is, but of no interest to it.
    if !info.hooks.iter().any(|hook| hook.wants(&exchange.operation, asked.phase)) {
        return Ok(match info.kind {
            Kind::Validator => StageAnswer::Findings(Vec::new()),
            Kind::Mutator | Kind::Filter => StageAnswer::Unchanged,
        });
    }
    let version = exchange.operation.version;
    if !info.compat.covers(version) {
        let error = StageError::Failed(format!("is not made for protocol version {version}"));
        return Err(failed(&asked.name, &error, None));
    }
    let stage = match &asked.config {
        None => Arc::clone(stage),
        Some(config) => stage.reconfigured(config.clone()).await.map_err(|words| {
            failed(&asked.name, &StageError::Failed(format!("Configuration invalid: {words}")), None)
        })?,
    };
    match stage.run(exchange, asked.phase, &payload.seen).await {
        Ok(StageAnswer::Answer(result)) if asked.phase == Phase::Request => {
            let error = StageError::Failed("answered in the server's place".to_owned());
            Err(failed(&asked.name, &error, Some(&result)))
        }
        Ok(answer) => Ok(answer),
        Err(error) => Err(failed(&asked.name, &error, None)),
    }
}

/// The result object (SEP-2624, `ValidationResult` and `MutationResult`).
fn result(common: ObjectWriter, answer: StageAnswer, payload: &Payload) -> Result<Json, StageError> {
    let mutation = |modified: bool, whole: &Json| (Json::of(&modified), whole.clone());
    let (modified, whole) = match answer {
        StageAnswer::Findings(findings) => return Ok(validation(common, &findings, payload.under)),
        StageAnswer::Unchanged => mutation(false, &payload.whole),
        StageAnswer::Changed(seen) => mutation(true, &payload.with(&seen)),
        StageAnswer::Answer(_) => {
            return Err(StageError::Failed("answered where there is nothing to answer".to_owned()));
        }
    };
    Ok(common.member("modified", &modified).member("payload", &whole).finish())
}

fn validation(common: ObjectWriter, findings: &[Finding], under: &str) -> Json {
    let worst = findings.iter().map(|finding| finding.severity).max();
    let mut out = common.member("valid", &Json::of(&(worst != Some(Severity::Error))));
    let Some(worst) = worst else { return out.finish() };
    let place = |finding: &Finding| finding.path.as_ref().map(|pointer| path(pointer, under));
    let message = |finding: &Finding| {
        let out = match place(finding) {
            Some(path) => ObjectWriter::new().string("path", &path),
            None => ObjectWriter::new(),
        };
        out.string("message", &finding.message).string("severity", severity(finding.severity)).finish()
    };
    let suggestion = |finding: &Finding| {
        let out = ObjectWriter::new().string("path", &place(finding)?);
        Some(out.member("value", finding.suggestion.as_ref()?).finish())
    };
    let messages: Vec<Json> = findings.iter().map(message).collect();
    let suggestions: Vec<Json> = findings.iter().filter_map(suggestion).collect();
    out = out.string("severity", severity(worst)).member("messages", &Json::array(&messages));
    if !suggestions.is_empty() {
        out = out.member("suggestions", &Json::array(&suggestions));
    }
    out.finish()
}

fn failed(name: &str, error: &StageError, answer: Option<&Json>) -> Json {
    let reason = match error {
        StageError::Failed(words) => words.clone(),
        exceeded @ StageError::Exceeded(_) => exceeded.to_string(),
    };
    let data = ObjectWriter::new().string("interceptor", name).string("reason", &reason);
    let data = match answer {
        Some(answer) => data.member("answer", answer).finish(),
        None => data.finish(),
    };
    error_object(code::INTERNAL, "Interceptor execution failed", Some(&data))
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Request => "request",
        Phase::Response => "response",
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warn => "warn",
        Severity::Error => "error",
    }
}
