//! Tasks (extension `io.modelcontextprotocol/tasks`): a tool answers that its work goes on, and under which id.
//!
//! The id a client gets is sealed: it says which server has the task, by which id, and which tool runs it, to any gateway
//! with the same key, and is nothing in the hands of another principal. Nothing is kept here. What a task comes to later
//! passes the interceptors as the tool's result would have, so that a tool gets round none of them by taking its time.

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;
use wasmgate_core::index::{Subject, Target};
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{MODERN, method};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, Operation, Party};
use wasmgate_core::seal::{Purpose, Scope};

use super::asked::{Asked, tool_said};
use super::extensions::{self, TASKS};
use super::lists::{nonce, seconds_now};
use super::rounds::Rounds;
use super::snapshot::Snapshot;
use super::{CallError, Fault, Gateway, Request, UpstreamError, View};

/// A task, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) server: ServerName,
    /// The server's own name for the tool that runs it.
    pub(super) tool: Arc<str>,
    /// The server's own id.
    pub(super) id: Arc<str>,
}

/// Whether a method belongs to tasks: the prefix is reserved for them.
pub(super) fn is_reserved(method: &str) -> bool {
    method.starts_with("tasks/")
}

impl Gateway {
    /// The task a client means by an id that it got from us; None when it got it from nobody, for someone else, or too
    /// long ago.
    pub(super) fn task(
        &self,
        now: &Snapshot,
        request: &Request,
        id: &str,
    ) -> Result<Option<Task>, CallError> {
        let task = self.open_task(&request.principal, id);
        // Who may no longer call the tool may not look after it either.
        let is_allowed =
            |task: &Task| now.shows(&request.view, &task.server) && now.policy.permit(task.tool()).is_ok();
        let task = task.filter(is_allowed);
        if task.is_none() && !now.offers(&request.view, TASKS) {
            return Err(CallError::UnknownMethod(Arc::clone(&request.method)));
        }
        if !extensions::declares(&request.client, TASKS) {
            return Err(extensions::missing(TASKS));
        }
        Ok(task)
    }

    /// A result that says the work goes on, under an id that leads back here. Every other result as it is.
    pub(super) fn task_begun(
        &self,
        request: &Request,
        asked: &Asked,
        result: Json,
    ) -> Result<Json, CallError> {
        // Nearly no result has the word: this is all they cost.
        if TASK.find(result.bytes()).is_none() {
            return Ok(result);
        }
        let [kind, id, ttl] = result.pick(["resultType", "taskId", "ttlMs"]);
        if kind.as_ref().and_then(Json::string).as_deref() != Some("task") {
            return Ok(result);
        }
        let server = &asked.target.server;
        let misbehaved = |what: &str| {
            let fault = Fault::Misbehaved(what.into());
            CallError::Upstream(UpstreamError { server: server.clone(), fault })
        };
        let Subject::Tool(tool) = &asked.target.subject else {
            return Err(misbehaved("a task in answer to what is not a tool"));
        };
        if !(MODERN.contains(&request.version) && extensions::declares(&request.client, TASKS)) {
            return Err(extensions::missing(TASKS));
        }
        let id = id.as_ref().and_then(Json::string).filter(|id| id.len() + tool.len() <= LONGEST);
        let id = id.ok_or_else(|| misbehaved("a task without a usable id"))?;
        let task = Task { server: server.clone(), tool: Arc::clone(tool), id: id.as_ref().into() };
        let public = self.seal_task(&request.principal, &task, ttl.as_ref())?;
        Ok(result.with_member("taskId", &Json::of(&public)))
    }

    /// What a server says of a task (the result of `tasks/get`, the params of `notifications/tasks`), as interceptors leave
    /// it: what it has come to passes as the tool's result, what it asks as a question of the server.
    ///
    /// # Errors
    /// [`CallError::Blocked`].
    pub(super) async fn task_state(&self, seen: &TaskSeen<'_>, state: Json) -> Result<Json, CallError> {
        let pipeline = &seen.now.generation.pipeline;
        if pipeline.stages().is_empty() {
            return Ok(state);
        }
        let [result, error, requests] = state.pick(["result", "error", "inputRequests"]);
        let mut state = state;
        let call = Operation {
            event: method::TOOLS_CALL.into(),
            subject: Some(Arc::clone(seen.tool)),
            initiator: Party::Client,
            ..seen.operation.clone()
        };
        for (name, outcome) in [("result", result), ("error", error)] {
            let Some(outcome) = outcome.filter(|_| pipeline.interested(&call)) else { continue };
            let mut exchange = Exchange::new(call.clone());
            exchange.failed = name == "error";
            exchange.client = seen.client.cloned();
            exchange.tool = seen.tool_said();
            let passed = pipeline.response(&exchange, outcome.clone()).await.map_err(CallError::Blocked)?;
            if passed != outcome {
                state = state.with_member(name, &passed);
            }
        }
        let rounds = Rounds {
            pipeline,
            operation: seen.operation,
            sealer: &self.sealer,
            parking: &self.parking,
            offer: None,
            said: None,
        };
        let Some(requests) = requests else { return Ok(state) };
        let passed = rounds.questions_of_task(requests.clone()).await?;
        Ok(if passed == requests { state } else { state.with_member("inputRequests", &passed) })
    }

    fn seal_task(&self, principal: &str, task: &Task, ttl: Option<&Json>) -> Result<String, CallError> {
        let payload = Json::of(&(task.server.as_str(), &*task.tool, &*task.id));
        let expires = seconds_now().saturating_add(life(ttl));
        let sealed = self.sealer.seal(scope(principal), expires, payload.bytes(), nonce()?);
        sealed.map_err(|_| CallError::NotServing("out of randomness"))
    }

    pub(super) fn open_task(&self, principal: &str, id: &str) -> Option<Task> {
        let opened = self.sealer.open(scope(principal), seconds_now(), id).ok()?;
        let (server, tool, id): (String, String, String) = Json::parse(opened).ok()?.deserialize().ok()?;
        Some(Task { server: ServerName::new(&server).ok()?, tool: tool.into(), id: id.into() })
    }
}

/// Who looks at a task, and how.
pub(super) struct TaskSeen<'a> {
    pub(super) now: &'a Snapshot,
    pub(super) view: &'a View,
    pub(super) operation: &'a Operation,
    pub(super) tool: &'a Arc<str>,
    /// What the client says of itself.
    pub(super) client: Option<&'a Json>,
}

impl TaskSeen<'_> {
    fn tool_said(&self) -> Option<Json> {
        let server = self.operation.server.as_ref()?;
        tool_said(self.now, self.view, (server, self.tool), self.tool)
    }
}

impl Task {
    /// The tool that runs it.
    fn tool(&self) -> Target {
        Target { server: self.server.clone(), subject: Subject::Tool(Arc::clone(&self.tool)) }
    }

    /// As what is asked for.
    pub(super) fn target(&self) -> Target {
        Target { server: self.server.clone(), subject: Subject::Task(Arc::clone(&self.id)) }
    }
}

/// How many seconds an id is good for. A server may keep a task longer than it first said (`ttlMs` "MAY change over the
/// lifetime of a task"), and an id that outlives its task does no harm: the server refuses it.
fn life(ttl: Option<&Json>) -> u64 {
    match ttl {
        Some(ttl) if ttl.is_null() => UNLIMITED,
        ttl => {
            let seconds = ttl.and_then(|ttl| ttl.as_str().parse::<u64>().ok()).unwrap_or(0) / 1000;
            seconds.saturating_mul(2).clamp(SHORTEST, UNLIMITED)
        }
    }
}

const fn scope(principal: &str) -> Scope<'_> {
    Scope { purpose: Purpose::Task, principal }
}

/// What a result that is a task says it is. Prepared once: that takes longer than looking through a short result.
static TASK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"task\""));
/// The longest id of a server's own that is carried, together with the tool's name, in bytes: sealed they must fit into a
/// header (`Mcp-Name`).
const LONGEST: usize = 2048;
/// Seven days.
const SHORTEST: u64 = 7 * 24 * 3600;
/// A year.
const UNLIMITED: u64 = 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_for_longer_than_its_task() {
        let life = |ttl: &str| life(Some(&Json::parse(ttl.to_owned()).unwrap()));
        assert_eq!(life("60000"), SHORTEST);
        assert_eq!(life("2592000000"), 60 * 24 * 3600);
        for unlimited in ["null", "18446744073709551615"] {
            assert_eq!(life(unlimited), UNLIMITED);
        }
        for bad in ["-1", "1.5", "\"x\"", "{}"] {
            assert_eq!(life(bad), SHORTEST);
        }
        assert_eq!(super::life(None), SHORTEST);
    }
}
