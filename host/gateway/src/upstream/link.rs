//! One connection to a server, whatever its transport.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::Instant;
use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::jsonrpc;
use wasmgate_core::mcp::MAY_ASK;

use super::budget::Budget;
use super::correlator::Patience;
use super::declared::Declared;
use super::era::Era;
use super::http::Http;
use super::incoming::Kinds;
use super::noise::Noise;
use super::stdio::Pipe;
use super::{Answer, Appetite, ClientFacts, Event, Fault, Limits};
use crate::launch::Exit;
use crate::mailbox;

/// A connection. Cheap to clone.
#[derive(Clone)]
pub(super) enum Link {
    /// Over a pair of pipes.
    Pipe(Arc<Pipe>),
    /// Over streamable HTTP.
    Http(Arc<Http>),
}

/// One request, as a link needs it.
#[derive(Clone)]
pub(super) struct Question<'a> {
    /// The method.
    pub(super) method: &'a str,
    /// Its params, in the client's words.
    pub(super) params: Option<&'a Json>,
    /// Whose it is; None when it is the gateway's own.
    pub(super) client: Option<Client<'a>>,
    /// Where its notifications go.
    pub(super) events: Option<mailbox::Sender<Event>>,
    /// How long it may take.
    pub(super) patience: Patience,
}

/// Whose a request is.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    /// What it said of itself.
    pub(super) facts: &'a ClientFacts,
    /// Who is behind it; None when nobody is.
    pub(super) principal: Option<&'a Arc<str>>,
    /// Whether it can take a result as it comes; None when it cannot.
    pub(super) appetite: Option<&'a Appetite>,
}

impl Question<'_> {
    /// Who may be asked something before a server of this era answers; None when that is nobody.
    pub(super) fn principal_asked(&self, era: &Era) -> Option<&Arc<str>> {
        let may_ask = matches!(era, Era::Legacy(_)) && MAY_ASK.contains(&self.method);
        self.client.filter(|_| may_ask).and_then(|client| client.principal)
    }
}

impl Link {
    /// What the server is told it may ask.
    pub(super) fn declared(&self) -> Declared {
        match self {
            Self::Pipe(pipe) => pipe.declared(),
            Self::Http(http) => http.declared(),
        }
    }

    /// Asks and waits for the answer. Dropping the future cancels the request at the server.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer of the server's own.
    pub(super) async fn ask(&self, era: &Era, question: Question<'_>) -> Result<Answer, Fault> {
        match self {
            Self::Pipe(pipe) => pipe.ask(era, question).await,
            Self::Http(http) => http.ask_in_its_headers(era, question).await,
        }
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// [`Fault`] when it cannot be sent.
    pub(super) async fn tell(&self, era: &Era, method: &str, params: Option<&Json>) -> Result<(), Fault> {
        let message = jsonrpc::write_notification(method, params);
        match self {
            Self::Pipe(pipe) => pipe.tell(message),
            Self::Http(http) => http.tell(era, message).await,
        }
    }

    /// What the server says outside calls.
    pub(super) fn signals(&self) -> &Signals {
        match self {
            Self::Pipe(pipe) => pipe.signals(),
            Self::Http(http) => http.signals(),
        }
    }

    /// Resolves when the connection is over.
    pub(super) async fn ended(&self) -> Ending {
        match self {
            Self::Pipe(pipe) => pipe.ended().await,
            Self::Http(http) => http.ended().await,
        }
    }

    /// How the connection ended, when it has.
    pub(super) fn how_it_ended(&self) -> Option<Ending> {
        match self {
            Self::Pipe(pipe) => pipe.how_it_ended(),
            Self::Http(http) => http.how_it_ended(),
        }
    }

    /// Lets calls in flight finish within `grace`, then ends the connection and stops the server.
    pub(super) async fn close(&self, grace: Duration) {
        match self {
            Self::Pipe(pipe) => pipe.close(grace).await,
            Self::Http(http) => http.close(grace).await,
        }
    }

    /// How many sessions the server has ended: a request that failed meanwhile was not looked at.
    pub(super) fn sessions_ended(&self) -> u64 {
        match self {
            Self::Pipe(_) => 0,
            Self::Http(http) => http.sessions_ended(),
        }
    }

    /// Whether what is behind it may not be listening yet.
    pub(super) fn may_be_starting(&self) -> bool {
        match self {
            Self::Pipe(_) => false,
            Self::Http(http) => http.may_be_starting(),
        }
    }

    /// Before another handshake on the same connection.
    pub(super) fn begin_again(&self) {
        match self {
            Self::Pipe(_) => {}
            Self::Http(http) => http.begin_again(),
        }
    }

    /// The tools of the server have been listed.
    pub(super) fn learn(&self, era: &Era, tools: &[Json]) {
        if let (Self::Http(http), Era::Modern(_)) = (self, era) {
            http.learn(tools);
        }
    }

    /// Listens to what the server says outside calls, where that takes a stream of its own. Never returns.
    pub(super) async fn listen(&self, era: &Era) {
        if let (Self::Http(http), Era::Legacy(_)) = (self, era) {
            http.listen(era).await;
        }
        std::future::pending().await
    }
}

/// What a server says outside calls, until somebody fetches it: lists that have changed, resources that have. And how much
/// it may say at all: beyond that only the latest of each kind is kept.
#[derive(Debug)]
pub(super) struct Signals {
    budget: ArcSwap<Mutex<Budget>>,
    noise: Mutex<Noise>,
    noisy: Notify,
    changed: AtomicU8,
    notify: Notify,
    updates: Mutex<Updates>,
    updated: Notify,
}

impl Signals {
    /// Nothing said yet.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            budget: ArcSwap::from_pointee(Mutex::new(Budget::new(limits))),
            noise: Mutex::default(),
            noisy: Notify::new(),
            changed: AtomicU8::default(),
            notify: Notify::new(),
            updates: Mutex::default(),
            updated: Notify::new(),
        }
    }

    /// Whether the server may say one more thing in the course of a call.
    pub(super) fn may_tell(&self) -> bool {
        self.with_budget(|budget| budget.spend(Instant::now().into_std()))
    }

    /// How much it said beyond what it may, on all connections that share its budget.
    pub(super) fn dropped(&self) -> u64 {
        self.with_budget(|budget| budget.dropped())
    }

    /// From now on what is said here counts together with what is said on the server's other connections.
    pub(super) fn share(&self, budget: &Arc<Mutex<Budget>>) {
        self.budget.store(Arc::clone(budget));
    }

    /// The server wrote a line that is no message.
    pub(super) fn garbled(&self, now: std::time::Instant) {
        if self.noise().add(now) {
            self.noisy.notify_one();
        }
    }

    /// Waits until it writes too many of them.
    pub(super) async fn grew_noisy(&self) {
        self.noisy.notified().await;
    }

    /// Until when it counts as noisy, if it does.
    pub(super) fn noisy_until(&self, now: Instant) -> Option<Instant> {
        self.noise().until(now.into_std()).map(Instant::from_std)
    }

    fn noise(&self) -> MutexGuard<'_, Noise> {
        self.noise.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_budget<T>(&self, with: impl FnOnce(&mut Budget) -> T) -> T {
        with(&mut self.budget.load().lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server says so.
    pub(super) fn raise(&self, kinds: Kinds) {
        self.changed.fetch_or(kinds.bits(), Ordering::AcqRel);
        self.notify.notify_one();
    }

    /// Waits until something has changed.
    pub(super) async fn raised(&self) {
        while self.changed.load(Ordering::Acquire) == 0 {
            self.notify.notified().await;
        }
    }

    /// The server says that a resource or task has changed. What it said of the same one before and nobody has fetched is
    /// forgotten, and of more than anybody fetches the oldest.
    pub(super) fn update(&self, method: &'static str, params: Json) {
        if params.bytes().len() > MAX_UPDATE {
            tracing::warn!(
                method,
                bytes = params.bytes().len(),
                "a change was told at such length that nobody is told"
            );
            return;
        }
        let mut updates = self.updates();
        updates.put(method, params.detached());
        drop(updates);
        self.updated.notify_one();
    }

    /// The next change of a resource or task, not sooner than the server may tell one: its method and params.
    pub(super) async fn next_update(&self) -> (&'static str, Json) {
        loop {
            while self.updates().order.is_empty() {
                self.updated.notified().await;
            }
            let wait = self.with_budget(|budget| budget.wait(Instant::now().into_std()));
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
                continue;
            }
            if let Some(update) = self.updates().take() {
                let _ = self.may_tell();
                return update;
            }
        }
    }

    fn updates(&self) -> MutexGuard<'_, Updates> {
        self.updates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has changed since the last time.
    pub(super) fn take(&self) -> Kinds {
        Kinds::of(self.changed.swap(0, Ordering::AcqRel))
    }
}

/// The latest change of each resource and task, in the order of their first ones.
#[derive(Debug, Default)]
struct Updates {
    order: VecDeque<Changed>,
    latest: HashMap<Changed, (&'static str, Json)>,
}

/// What has changed: `uri` or `taskId`.
type Changed = [Option<Json>; 2];

impl Updates {
    fn put(&mut self, method: &'static str, params: Json) {
        let changed = params.pick(["uri", "taskId"]);
        if self.latest.insert(changed.clone(), (method, params)).is_some() {
            return;
        }
        self.order.push_back(changed);
        if self.order.len() > MAX_UPDATES {
            self.take();
        }
    }

    fn take(&mut self) -> Option<(&'static str, Json)> {
        let first = self.order.pop_front()?;
        self.latest.remove(&first)
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    /// A stable code.
    pub(super) code: &'static str,
    /// What follows "ended", with its leading space or colon: ` with exit code 3`.
    pub(super) how: String,
    /// Last lines of the server's stderr, or of what it wrote to stdout that was no message.
    pub(super) stderr: Option<String>,
}

impl Ending {
    /// We ended it.
    pub(super) fn closed() -> Self {
        Self { code: "stopped", how: ": it was stopped".into(), stderr: None }
    }

    /// A server elsewhere has forgotten our session; a new handshake is all it takes.
    pub(super) fn session_over() -> Self {
        Self { code: SESSION_OVER, how: ": its session is over".into(), stderr: None }
    }

    /// Whether a new handshake on the same connection is all it takes.
    pub(super) fn is_session_over(&self) -> bool {
        self.code == SESSION_OVER
    }

    /// The server stopped talking to us; `why` is a fragment.
    pub(super) fn broken(why: &str) -> Self {
        Self { code: "disconnected", how: format!(": {why}"), stderr: None }
    }

    /// The server did not answer in time, nor a question whether it is still there.
    pub(super) fn unresponsive() -> Self {
        Self { code: UNRESPONSIVE, how: ": it gave no sign of life".into(), stderr: None }
    }

    /// Whether nothing more is to be expected of it.
    pub(super) fn is_unresponsive(&self) -> bool {
        self.code == UNRESPONSIVE
    }

    /// The program or container ended.
    pub(super) fn exited(exit: Exit) -> Self {
        let code = if exit.out_of_memory { OOM_KILLED } else { "exited" };
        let how = match (exit.out_of_memory, exit.code, exit.signal) {
            (true, ..) => " out of memory".to_owned(),
            (_, Some(code), _) => format!(" with exit code {code}"),
            (_, None, Some(signal)) => format!(" by signal {signal}"),
            (_, None, None) => String::new(),
        };
        // What it wrote last may hold anything: it is for the log and for `/ready`, not for clients.
        Self { code, how, stderr: (!exit.last_stderr.is_empty()).then_some(exit.last_stderr) }
    }

    /// For a request that was in flight.
    pub(super) fn crashed(&self) -> Fault {
        if self.code == OOM_KILLED { Fault::OutOfMemory } else { Fault::Crashed(self.how.clone()) }
    }

    /// For a request that was not sent any more.
    pub(super) fn unavailable(&self) -> Fault {
        Fault::Unavailable(format!("it ended{}", self.how))
    }
}

/// The params of `notifications/cancelled`.
pub(super) fn cancelled(id: u64, reason: &str) -> Json {
    ObjectWriter::new().member("requestId", &Json::of(&id)).member("reason", &Json::of(reason)).finish()
}

/// The largest of them, in bytes. What a task has come to stands in its change.
const MAX_UPDATE: usize = 256 << 10;
/// So many changes of resources wait to be fetched.
const MAX_UPDATES: usize = 1024;

const SESSION_OVER: &str = "session_over";
const OOM_KILLED: &str = "oom_killed";
const UNRESPONSIVE: &str = "unresponsive";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(exit: Exit, code: &str, how: &str) {
        let ending = Ending::exited(exit);
        assert_eq!((ending.code, ending.how.as_str()), (code, how));
    }

    #[test]
    fn endings_are_worded() {
        let exit =
            |code, signal, text: &str| Exit { code, signal, last_stderr: text.into(), ..Exit::default() };
        check(exit(Some(3), None, "first\nno disk \n\n"), "exited", " with exit code 3");
        check(exit(None, Some(9), ""), "exited", " by signal 9");
        check(exit(None, None, ""), "exited", "");
        let killed = Exit { out_of_memory: true, ..exit(Some(137), Some(9), "") };
        assert_eq!(Ending::exited(killed.clone()).crashed(), Fault::OutOfMemory);
        check(killed, "oom_killed", " out of memory");
    }

    #[tokio::test]
    async fn a_change_of_great_length_is_nobodys() {
        let signals = Signals::new(&Limits::default());
        let of = |uri: &str| ObjectWriter::new().string("uri", uri).finish();
        signals.update("m", of(&"x".repeat(MAX_UPDATE)));
        signals.update("m", of("a:b"));
        assert_eq!(signals.next_update().await.1.as_str(), r#"{"uri":"a:b"}"#);
    }

    #[tokio::test]
    async fn signals_gather_until_taken() {
        let signals = Signals::new(&Limits::default());
        signals.raise(Kinds::TOOLS);
        signals.raise(Kinds::PROMPTS);
        signals.raised().await;
        let kinds = signals.take();
        assert!(kinds.has(Kinds::TOOLS) && kinds.has(Kinds::PROMPTS) && !kinds.has(Kinds::RESOURCES));
        assert_eq!(signals.take(), Kinds::default());
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_told_within_the_budget_and_once_each() {
        let one = std::num::NonZeroUsize::MIN;
        let limits = Limits { notifications: one, notifications_at_once: one, ..Limits::default() };
        let signals = Signals::new(&limits);
        let of =
            |uri: &str, n: u64| ObjectWriter::new().string("uri", uri).member("n", &Json::of(&n)).finish();
        for n in 0..5000 {
            signals.update("m", of("a:a", n));
            signals.update("m", of("a:b", n));
        }
        let start = Instant::now();
        assert_eq!(signals.next_update().await.1.as_str(), r#"{"uri":"a:a","n":4999}"#);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(signals.next_update().await.1.as_str(), r#"{"uri":"a:b","n":4999}"#);
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert!(!signals.may_tell(), "calls and changes share one budget");
        assert!(signals.updates().order.is_empty() && signals.updates().latest.is_empty());
    }
}
