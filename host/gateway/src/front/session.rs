//! One legacy client: what was agreed in `initialize`, its calls in flight, its streams. No socket, no clock: instants
//! come in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::Id;

use super::calling::{Step, next_id};
use super::render::Refusal;
use super::replay::{Budget, Replay};
use super::token::Token;
use crate::audit::Entry;
use crate::gateway::{ClientFacts, Gateway, LogWish, Revisions, Subscription, Told, Update, View};

/// Who asks, and what it may see.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) principal: Arc<str>,
    pub(super) view: View,
}

/// What `initialize` settled.
#[derive(Debug, Clone)]
pub(super) struct Agreed {
    pub(super) version: &'static str,
    pub(super) client: Arc<ClientFacts>,
}

/// One legacy client, from its `initialize` (or the opening of its pipe) to its end.
pub(super) struct Session {
    /// Its name, for logs and interceptors.
    pub(super) id: Arc<str>,
    pub(super) caller: Caller,
    /// What its client knows it by, on streamable HTTP.
    pub(super) token: OnceLock<Token>,
    /// Cancelled when the session ends, in whatever way.
    pub(super) ended: CancellationToken,
    /// Where answers go when they do not go back with the request (HTTP+SSE).
    answers: OnceLock<mpsc::Sender<Step>>,
    /// Whether it is there for one request only.
    passing: bool,
    /// What its streams carried, on HTTP.
    pub(super) replay: Replay,
    /// `initialize` was answered.
    opened: Notify,
    state: Mutex<State>,
}

struct State {
    agreed: Option<Agreed>,
    /// Whether the client came back after `initialize`.
    confirmed: bool,
    used: Instant,
    in_flight: HashMap<Id, Option<oneshot::Sender<()>>>,
    /// Questions the client has not answered, by the ids they went out with.
    asked: HashMap<Id, oneshot::Sender<Result<Json, Json>>>,
    /// No answers will come.
    is_deaf: bool,
    /// Requests wait for the answer to `initialize`: see [`Session::opened`].
    is_opening: bool,
    streams: usize,
    told: Revisions,
    /// The log level it wants of servers.
    wish: Option<LogWish>,
    /// Resources it waits for changes of, by the URI it knows.
    subscriptions: HashMap<Arc<str>, Subscription>,
}

/// A call in flight. Its id is free again when this is dropped.
pub(super) struct InFlight {
    session: Arc<Session>,
    id: Id,
    cancelled: oneshot::Receiver<()>,
}

/// A question put to the client. When this is dropped nobody waits for the answer any more.
pub(super) struct OpenQuestion {
    session: Arc<Session>,
    id: Id,
    answer: oneshot::Receiver<Result<Json, Json>>,
}

/// An `initialize` that is being answered.
pub(super) struct Opening(Arc<Session>);

/// A stream that a client holds open for notifications.
pub(super) struct Listening {
    session: Arc<Session>,
}

impl Session {
    pub(super) fn new(id: Arc<str>, caller: Caller, now: Instant, ended: CancellationToken) -> Self {
        let state = State {
            agreed: None,
            confirmed: false,
            used: now,
            in_flight: HashMap::new(),
            asked: HashMap::new(),
            is_deaf: false,
            is_opening: false,
            streams: 0,
            told: Revisions::default(),
            wish: None,
            subscriptions: HashMap::new(),
        };
        let replay = Replay::new(Arc::default());
        let (token, answers) = (OnceLock::new(), OnceLock::new());
        let (opened, state) = (Notify::new(), Mutex::new(state));
        Self { id, caller, token, ended, answers, passing: false, replay, opened, state }
    }

    /// With the streams of all sessions, what is kept of its own counts.
    pub(super) fn sharing(mut self, budget: &Arc<Budget>) -> Self {
        self.replay = Replay::new(Arc::clone(budget));
        self
    }

    /// A session of one request: it is no session to anybody else.
    pub(super) fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// What interceptors know it as; None for a [passing](Self::passing) one, so that whatever they remember of sessions
    /// is remembered of the principal, and a client cannot shed it by opening none.
    pub(super) fn known_as(&self) -> Option<Arc<str>> {
        (!self.passing).then(|| Arc::clone(&self.id))
    }

    /// Notes in the audit log that a message of this session was refused.
    pub(super) fn note(&self, gateway: &Gateway, method: Option<&str>, refusal: &Refusal) {
        let entry = Entry {
            principal: Some(Arc::clone(&self.caller.principal)),
            session: self.known_as(),
            method: method.map(Arc::from),
            ..Entry::default()
        };
        gateway.note_refused(entry, refusal.word());
    }

    /// Settles what `initialize` said; once.
    pub(super) fn agree(&self, agreed: Agreed, lists: Revisions) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.agreed.is_some() {
            return Err(Refusal::Initialized);
        }
        state.agreed = Some(agreed);
        state.told = lists;
        Ok(())
    }

    pub(super) fn agreed(&self) -> Option<Agreed> {
        self.state().agreed.clone()
    }

    /// The client was heard of.
    pub(super) fn touch(&self, now: Instant) {
        let mut state = self.state();
        state.used = now;
        state.confirmed = true;
    }

    /// Since when nothing happened, and whether the client ever came back; None while something is going on.
    pub(super) fn idle_since(&self) -> Option<(Instant, bool)> {
        let state = self.state();
        let is_idle = state.in_flight.is_empty() && state.streams == 0 && self.replay.is_empty();
        is_idle.then_some((state.used, state.confirmed))
    }

    /// Whether it would not be the same if it came back: its id does not say what it waits for, and how loud it is.
    pub(super) fn has_memory(&self) -> bool {
        let state = self.state();
        let is_loud = state.agreed.as_ref().is_some_and(|agreed| agreed.client.log_level.is_some());
        is_loud || !state.subscriptions.is_empty()
    }

    /// Begins a call: what was agreed, and its place among the calls in flight, at most `most` of them.
    pub(super) fn begin(self: &Arc<Self>, id: &Id, most: usize) -> Result<(Agreed, InFlight), Refusal> {
        let mut state = self.state();
        let agreed = state.agreed.clone().ok_or(Refusal::Uninitialized)?;
        let in_flight = self.enter(&mut state, id, most)?;
        Ok((agreed, in_flight))
    }

    /// Whether a request may have this id: one that is answered on the spot, and so takes no place.
    pub(super) fn admit(&self, id: &Id) -> Result<(), Refusal> {
        if self.state().in_flight.contains_key(id) { Err(Refusal::IdInUse) } else { Ok(()) }
    }

    /// A place among the calls in flight for a request that needs no session.
    pub(super) fn begin_alone(self: &Arc<Self>, id: &Id, most: usize) -> Result<InFlight, Refusal> {
        self.enter(&mut self.state(), id, most)
    }

    fn enter(self: &Arc<Self>, state: &mut State, id: &Id, most: usize) -> Result<InFlight, Refusal> {
        // What begins now nobody would cancel.
        if self.ended.is_cancelled() {
            return Err(Refusal::UnknownSession);
        }
        if state.in_flight.contains_key(id) {
            return Err(Refusal::IdInUse);
        }
        if state.in_flight.len() >= most {
            return Err(Refusal::Limit("requests in flight"));
        }
        let (sender, cancelled) = oneshot::channel();
        state.in_flight.insert(id.clone(), Some(sender));
        Ok(InFlight { session: Arc::clone(self), id: id.clone(), cancelled })
    }

    /// The client no longer wants the answer to this request.
    pub(super) fn cancel(&self, id: &Id) {
        // The entry stays until the call is gone, so that its id is not taken meanwhile.
        if let Some(entry) = self.state().in_flight.get_mut(id) {
            entry.take();
        }
    }

    /// Ends the session: its calls are cancelled, its streams close.
    pub(super) fn end(&self) {
        self.ended.cancel();
        let mut state = self.state();
        for entry in state.in_flight.values_mut() {
            entry.take();
        }
        let over =
            (std::mem::take(&mut state.subscriptions), std::mem::take(&mut state.asked), state.wish.take());
        drop(state);
        drop(over);
    }

    /// An id for a question to the client, and the place its answer comes to.
    pub(super) fn ask(self: &Arc<Self>) -> Result<OpenQuestion, Refusal> {
        let mut state = self.state();
        if self.ended.is_cancelled() || state.is_deaf || state.asked.len() >= MAX_ASKED {
            return Err(Refusal::Limit("questions at once"));
        }
        // Unique beyond this run: a session may outlive it, and no id may come twice in one.
        let id = Id::of(&Json::of(&format!("wg-{}", next_id()))).ok_or(Refusal::IdInUse)?;
        let (sender, answer) = oneshot::channel();
        state.asked.insert(id.clone(), sender);
        Ok(OpenQuestion { session: Arc::clone(self), id, answer })
    }

    /// The client will answer nothing any more, although it may still read.
    pub(super) fn hear_no_more(&self) {
        let mut state = self.state();
        state.is_deaf = true;
        let unanswered = std::mem::take(&mut state.asked);
        drop(state);
        drop(unanswered);
    }

    /// The client answers a question. What was not asked, or not by this session, is dropped.
    pub(super) fn answered(&self, id: &Id, outcome: Result<Json, Json>) {
        let Some(waiting) = self.state().asked.remove(id) else {
            return tracing::debug!(session = %self.id, "an answer that nobody waits for");
        };
        // Whoever asked may have gone in this moment.
        let _ = waiting.send(outcome);
    }

    /// Marks `initialize` as being answered, until what this returns is dropped.
    pub(super) fn opening(self: &Arc<Self>) -> Opening {
        self.state().is_opening = true;
        Opening(Arc::clone(self))
    }

    /// Whether `initialize` is being answered.
    pub(super) fn is_opening(&self) -> bool {
        self.state().is_opening
    }

    /// Resolves when no `initialize` is being answered.
    pub(super) async fn opened(&self) {
        loop {
            let mut opened = std::pin::pin!(self.opened.notified());
            opened.as_mut().enable();
            if !self.is_opening() {
                return;
            }
            opened.await;
        }
    }

    /// Whether the session may wait for one more resource.
    pub(super) fn may_subscribe(&self, uri: &str) -> bool {
        let state = self.state();
        state.subscriptions.len() < MAX_SUBSCRIPTIONS || state.subscriptions.contains_key(uri)
    }

    /// Waits for changes of a resource from now on, unless the session has ended meanwhile.
    pub(super) fn subscribe(&self, uri: Arc<str>, subscription: Subscription) {
        let mut state = self.state();
        let over = match self.ended.is_cancelled() {
            true => Some(subscription),
            false => state.subscriptions.insert(uri, subscription),
        };
        drop(state);
        drop(over);
    }

    /// Takes out a subscription.
    pub(super) fn take_subscription(&self, uri: &str) -> Option<Subscription> {
        self.state().subscriptions.remove(uri)
    }

    /// What of its subscriptions a change is of.
    pub(super) fn told_by(&self, update: &Update) -> Vec<Told> {
        self.state().subscriptions.values().filter_map(|one| one.told_by(update)).collect()
    }

    /// The client wants log messages of this level and worse; servers are told so as long as the session lasts.
    pub(super) fn set_level(&self, level: &str, wish: Option<LogWish>) {
        let mut state = self.state();
        if let Some(agreed) = &mut state.agreed {
            let client = ClientFacts { log_level: Some(level.into()), ..(*agreed.client).clone() };
            agreed.client = Arc::new(client);
        }
        let over = match self.ended.is_cancelled() {
            true => wish,
            false => std::mem::replace(&mut state.wish, wish),
        };
        drop(state);
        drop(over);
    }

    /// Opens a stream for notifications, one of at most `most`.
    pub(super) fn listen(self: &Arc<Self>, most: usize) -> Result<Listening, Refusal> {
        let mut state = self.state();
        if state.streams >= most {
            return Err(Refusal::Limit("open streams"));
        }
        state.streams += 1;
        Ok(Listening { session: Arc::clone(self) })
    }

    /// From now on answers go there. Only the first word counts.
    pub(super) fn answer_on(&self, answers: mpsc::Sender<Step>) {
        // The stream that opened the session is the only one that says so.
        let _ = self.answers.set(answers);
    }

    /// Where answers go, when they do not go back with the request.
    pub(super) fn answers(&self) -> Option<mpsc::Sender<Step>> {
        self.answers.get().cloned()
    }

    /// What the client was last told of the lists; from now on it counts as told of `now`.
    pub(super) fn tell(&self, now: Revisions) -> Revisions {
        std::mem::replace(&mut self.state().told, now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    /// Resolves when the client cancels the call or its session ends.
    pub(super) async fn cancelled(&mut self) {
        // Sent or dropped, both mean the same.
        let _ = (&mut self.cancelled).await;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // So that what goes with the entry does not wake us.
        self.cancelled.close();
        self.session.state().in_flight.remove(&self.id);
    }
}

impl OpenQuestion {
    /// The id it goes out with.
    pub(super) const fn id(&self) -> &Id {
        &self.id
    }

    /// Whether the client has not answered yet.
    pub(super) fn is_open(&self) -> bool {
        self.session.state().asked.contains_key(&self.id)
    }

    /// The client's result, or its error; None when the session ended.
    pub(super) async fn answer(&mut self) -> Option<Result<Json, Json>> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        self.session.state().asked.remove(&self.id);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.state().is_opening = false;
        self.0.opened.notify_waiters();
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.session.state().streams -= 1;
    }
}

/// So many resources may one session wait for.
const MAX_SUBSCRIPTIONS: usize = 1000;
/// So many questions may wait for the client of one session.
const MAX_ASKED: usize = 256;

#[cfg(test)]
pub(super) mod tests {
    use futures_util::FutureExt as _;
    use wasmgate_core::json::Json;

    use super::*;

    pub(in crate::front) fn caller() -> Caller {
        Caller { principal: "alice".into(), view: View::All }
    }

    pub(in crate::front) fn agreed(version: &'static str) -> Agreed {
        let client = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
        Agreed { version, client: Arc::new(client) }
    }

    pub(in crate::front) fn session() -> Arc<Session> {
        Arc::new(Session::new("s".into(), caller(), Instant::now(), CancellationToken::new()))
    }

    fn opened() -> Arc<Session> {
        let session = session();
        session.agree(agreed("2025-11-25"), Revisions::default()).unwrap();
        session
    }

    #[test]
    fn nothing_is_asked_before_initialize_and_initialize_comes_once() {
        let session = session();
        assert!(matches!(session.begin(&Id::number(1), 9), Err(Refusal::Uninitialized)));
        session.agree(agreed("2025-11-25"), Revisions::default()).unwrap();
        assert!(session.begin(&Id::number(1), 9).is_ok());
        let again = session.agree(agreed("2025-11-25"), Revisions::default());
        assert!(matches!(again, Err(Refusal::Initialized)));
    }

    #[test]
    fn an_id_is_taken_until_its_call_is_gone() {
        let session = opened();
        let (_, first) = session.begin(&Id::number(1), 9).unwrap();
        assert!(matches!(session.begin(&Id::number(1), 9), Err(Refusal::IdInUse)));
        assert!(matches!(session.admit(&Id::number(1)), Err(Refusal::IdInUse)));
        assert!(session.admit(&Id::number(2)).is_ok());
        session.cancel(&Id::number(1));
        assert!(matches!(session.begin(&Id::number(1), 9), Err(Refusal::IdInUse)));
        drop(first);
        assert!(session.begin(&Id::number(1), 9).is_ok());
    }

    #[test]
    fn an_answer_reaches_the_question_of_its_id_in_its_session() {
        let (here, there) = (opened(), opened());
        let mut first = here.ask().unwrap();
        let second = here.ask().unwrap();
        assert_ne!(first.id(), second.id());
        let answer = || Ok(Json::empty_object());
        there.answered(first.id(), answer());
        here.answered(&Id::of(&Json::of("wg-99")).unwrap(), answer());
        assert!(first.answer().now_or_never().is_none());
        here.answered(first.id(), answer());
        here.answered(first.id(), Err(Json::null()));
        assert!(!first.is_open() && second.is_open());
        assert_eq!(first.answer().now_or_never(), Some(Some(answer())));
        let id = second.id().clone();
        drop(second);
        here.answered(&id, answer());
    }

    #[test]
    fn questions_end_with_their_session_or_with_what_the_client_can_say() {
        let (over, deaf) = (opened(), opened());
        let (mut one, mut other) = (over.ask().unwrap(), deaf.ask().unwrap());
        over.end();
        deaf.hear_no_more();
        for (session, question) in [(&over, &mut one), (&deaf, &mut other)] {
            assert_eq!(question.answer().now_or_never(), Some(None));
            assert!(session.ask().is_err());
        }
        let many = opened();
        let held: Vec<OpenQuestion> = (0..MAX_ASKED).map(|_| many.ask().unwrap()).collect();
        assert!(many.ask().is_err());
        drop(held);
        assert!(many.ask().is_ok());
    }

    #[test]
    fn calls_in_flight_are_limited() {
        let session = opened();
        let held = session.begin(&Id::number(1), 1).unwrap();
        assert!(matches!(session.begin(&Id::number(2), 1), Err(Refusal::Limit(_))));
        drop(held);
        assert!(session.begin(&Id::number(2), 1).is_ok());
    }

    #[test]
    fn cancelling_reaches_the_one_call_and_ending_reaches_all() {
        let session = opened();
        let mut calls: Vec<InFlight> =
            (1..=3).map(|id| session.begin(&Id::number(id), 9).unwrap().1).collect();
        session.cancel(&Id::number(2));
        session.cancel(&Id::number(99));
        let cancelled = |calls: &mut Vec<InFlight>| -> Vec<bool> {
            calls.iter_mut().map(|call| call.cancelled().now_or_never().is_some()).collect()
        };
        assert_eq!(cancelled(&mut vec![calls.remove(1)]), [true]);
        assert_eq!(cancelled(&mut calls), [false, false]);
        session.end();
        assert_eq!(cancelled(&mut calls), [true, true]);
        assert!(session.ended.is_cancelled());
    }

    #[test]
    fn a_call_that_is_over_does_not_wake_the_task_that_was_at_it() {
        let session = opened();
        let mut call = session.begin(&Id::number(1), 9).unwrap().1;
        let wakes = Arc::new(crate::woken::Wakes::default());
        let waker = std::task::Waker::from(Arc::clone(&wakes));
        let mut context = std::task::Context::from_waker(&waker);
        assert!(std::pin::pin!(call.cancelled()).poll(&mut context).is_pending());
        drop(call);
        assert_eq!(wakes.count(), 0);
        let mut call = session.begin(&Id::number(2), 9).unwrap().1;
        assert!(std::pin::pin!(call.cancelled()).poll(&mut context).is_pending());
        session.end();
        assert_eq!(wakes.count(), 1);
    }

    #[test]
    fn nothing_begins_in_a_session_that_has_ended() {
        let session = opened();
        session.end();
        assert!(matches!(session.begin(&Id::number(1), 9), Err(Refusal::UnknownSession)));
        assert!(matches!(session.begin_alone(&Id::number(1), 9), Err(Refusal::UnknownSession)));
    }

    #[test]
    fn whoever_waits_for_initialize_waits_as_long_as_it_is_being_answered() {
        let session = session();
        assert!(session.opened().now_or_never().is_some());
        let opening = session.opening();
        let mut waiting = Box::pin(session.opened());
        assert!((&mut waiting).now_or_never().is_none());
        drop(opening);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn a_session_of_one_request_is_known_to_nobody() {
        let session = |id: &str| Session::new(id.into(), caller(), Instant::now(), CancellationToken::new());
        assert_eq!(session("s").known_as().as_deref(), Some("s"));
        assert_eq!(session("s").passing().known_as(), None);
    }

    #[test]
    fn streams_are_limited() {
        let session = opened();
        let first = session.listen(1).unwrap();
        assert!(session.listen(1).is_err());
        assert!(session.idle_since().is_none());
        drop(first);
        assert!(session.listen(1).is_ok());
    }
}
