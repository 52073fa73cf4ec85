//! An interceptor of the command line as a stage: what it is shown of a tool call, and what becomes of what it says.
//!
//! Before the call it gets `{"method":"tools/call","params":{...}}`; what it says answers in the server's place. After the
//! call it gets the `CallToolResult`, or `null` when the call failed; what it says replaces the result. Nothing said
//! means that the message goes on as it is. It runs outside the WebAssembly sandbox, one call at a time of at most
//! [`AT_ONCE`]; how it is run is `program`'s and `post`'s.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::method;
use wasmgate_core::pipeline::{
    About, Compat, Exchange, Hook, Kind, Mode, Pattern, Phase, Stage, StageAnswer, StageError, StageFuture,
    StageInfo,
};

use super::post::Post;
use super::program::Program;
use super::spec::{Foreign, When};

/// One interceptor of the command line.
pub(super) struct Outside {
    info: StageInfo,
    when: When,
    way: Way,
    places: Semaphore,
}

/// How it is run.
pub(super) enum Way {
    /// A process or a container for each call.
    Program(Box<Program>),
    /// A request for each call.
    Post(Post),
}

impl Outside {
    /// The `number`th interceptor of the command line, counted from 1.
    pub(super) fn new(foreign: &Foreign, number: usize, way: Way) -> Self {
        let places = Semaphore::new(AT_ONCE);
        Self { info: info(foreign, number), when: foreign.when, way, places }
    }

    async fn inspect(&self, exchange: &Exchange, payload: &Json) -> Result<StageAnswer, StageError> {
        let place = tokio::time::timeout(DEADLINE, self.places.acquire()).await;
        let _place = place.ok().and_then(Result::ok).ok_or(StageError::Exceeded(TIME))?;
        let shown = shown(self.when, exchange, payload);
        let said = match &self.way {
            Way::Program(program) => program.run(&shown).await,
            Way::Post(post) => post.run(&shown).await,
        }?;
        let said = said.trim_ascii();
        if said.is_empty() {
            return Ok(StageAnswer::Unchanged);
        }
        if exchange.failed {
            let (interceptor, request) = (&*self.info.name, &*exchange.operation.id);
            tracing::warn!(
                interceptor,
                request,
                "a call that failed stays failed: the interceptor's words are dropped"
            );
            return Ok(StageAnswer::Unchanged);
        }
        let result = tool_result(said)?;
        Ok(match self.when {
            When::Before => StageAnswer::Answer(result),
            When::After => StageAnswer::Changed(result),
        })
    }
}

impl Stage for Outside {
    fn info(&self) -> &StageInfo {
        &self.info
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, _: Phase, payload: &'a Json) -> StageFuture<'a> {
        Box::pin(self.inspect(exchange, payload))
    }
}

/// Around everything else, as in Docker's gateway: those before the call come first and in their order, those after it
/// last and in the opposite order.
fn info(foreign: &Foreign, number: usize) -> StageInfo {
    let place = i32::try_from(number).unwrap_or(i32::MAX);
    let (request, response) = (foreign.when == When::Before, foreign.when == When::After);
    let description = format!(
        "Unsandboxed: the `{}` interceptor number {number} of the command line.",
        foreign.what.kind()
    );
    StageInfo {
        name: foreign.name(number).into(),
        kind: Kind::Mutator,
        about: About { description: Some(description.into()), ..About::default() },
        compat: Compat::default(),
        hooks: vec![Hook {
            events: vec![Pattern::new(method::TOOLS_CALL)],
            request,
            response,
            servers: Vec::new(),
            subjects: Vec::new(),
        }],
        priority_request: i32::MIN.saturating_add(place),
        priority_response: i32::MAX.saturating_sub(place),
        mode: Mode::Enforce,
        fail_open: false,
    }
}

fn shown(when: When, exchange: &Exchange, payload: &Json) -> Json {
    match when {
        When::Before => {
            ObjectWriter::new().string("method", &exchange.operation.event).member("params", payload).finish()
        }
        When::After if exchange.failed => Json::null(),
        When::After => payload.clone(),
    }
}

/// What was said, which must be a `CallToolResult` (2025-11-25 schema): clients would choke on anything else.
fn tool_result(said: &[u8]) -> Result<Json, StageError> {
    let failed = |words: &str| {
        StageError::Failed(format!("{words}: say nothing, or a CallToolResult such as {EXAMPLE}"))
    };
    let result = Json::parse(Bytes::copy_from_slice(said))
        .map_err(|error| failed(&format!("what it said is not JSON ({error})")))?;
    if !result.is_object() {
        return Err(failed("what it said is no object"));
    }
    let [content, structured, is_error] = result.pick(["content", "structuredContent", "isError"]);
    let has_type = |item: &Json| item.member("type").is_some_and(|kind| kind.string().is_some());
    if content.is_none() && structured.is_none() {
        return Err(failed("what it said has neither `content` nor `structuredContent`"));
    }
    if content.is_some_and(|content| !content.elements().is_some_and(|items| items.iter().all(has_type))) {
        return Err(failed("`content` of what it said is no list of objects with a `type`"));
    }
    if structured.is_some_and(|structured| !structured.is_object()) {
        return Err(failed("`structuredContent` of what it said is no object"));
    }
    if is_error.is_some_and(|is_error| is_error.boolean().is_none()) {
        return Err(failed("`isError` of what it said is neither true nor false"));
    }
    Ok(result)
}

const EXAMPLE: &str = r#"{"content":[{"type":"text","text":"..."}]}"#;

/// How long one run may take, and how long a call waits for its turn.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// The most that may be said, in bytes.
pub(super) const OUTPUT: usize = 4 << 20;
/// How a run that takes too long is called.
pub(super) const TIME: &str = "time limit";
/// How a run that says too much is called.
pub(super) const TOO_MUCH: &str = "output limit";
/// Runs of one interceptor at the same time.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interceptors::samples::exchange;
    use crate::interceptors::spec::parse;

    #[test]
    fn the_payload_has_docker_s_documented_shape() {
        let mut exchange = exchange("tools/call");
        let params = Json::parse(r#"{"name":"t","arguments":{"a":1.0}}"#).unwrap();
        let before = shown(When::Before, &exchange, &params);
        assert_eq!(before.as_str(), r#"{"method":"tools/call","params":{"name":"t","arguments":{"a":1.0}}}"#);
        let result = Json::parse(r#"{"content":[]}"#).unwrap();
        assert_eq!(shown(When::After, &exchange, &result), result);
        exchange.failed = true;
        assert_eq!(shown(When::After, &exchange, &Json::parse(r#"{"code":1}"#).unwrap()), Json::null());
    }

    #[test]
    fn only_a_tool_result_is_taken_for_one() {
        #[track_caller]
        fn check(said: &str, wrong: Option<&str>) {
            match (tool_result(said.as_bytes()), wrong) {
                (Ok(result), None) => assert_eq!(result.as_str(), said),
                (Err(StageError::Failed(words)), Some(wrong)) => {
                    assert!(words.contains(wrong), "{said}: {words}")
                }
                (other, _) => panic!("{said}: {other:?}"),
            }
        }
        check(r#"{"content":[]}"#, None);
        check(r#"{"content":[{"type":"text","text":"x"}],"isError":true,"_meta":{}}"#, None);
        check(r#"{"structuredContent":{}}"#, None);
        check("{}", Some("neither `content` nor"));
        check(r#"{"method":"tools/call","params":{}}"#, Some("neither `content` nor"));
        check("ok", Some("not JSON"));
        check("null", Some("no object"));
        check("[]", Some("no object"));
        check(r#"{"content":"x"}"#, Some("`content`"));
        check(r#"{"content":[{}]}"#, Some("`content`"));
        check(r#"{"content":null}"#, Some("`content`"));
        check(r#"{"structuredContent":[]}"#, Some("`structuredContent`"));
        check(r#"{"content":[],"isError":"no"}"#, Some("`isError`"));
    }

    #[test]
    fn they_run_around_everything_in_docker_s_order() {
        let of = |text: &str, number| info(&parse(text).unwrap(), number);
        let (first, second) = (of("before:exec:a", 1), of("before:exec:b", 2));
        assert!(first.priority_request < second.priority_request);
        let (first, second) = (of("after:exec:a", 1), of("after:exec:b", 2));
        assert!(first.priority_response > second.priority_response);
        assert!(first.hooks.iter().all(|hook| hook.response && !hook.request));
    }
}
