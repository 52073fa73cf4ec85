//! One call: its notifications as they come, then its reply. Every transport takes these and frames them its own way.

use std::fmt::Write as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use futures_util::Stream;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{Id, write_error, write_notification, write_result};
use wasmgate_core::mcp::{log_level_passes, method};

use super::asking::{Asking, asks};
use super::batch::Batch;
use super::flowing::{Flowing, To};
use super::listen::Listen;
use super::render::{self, Refusal, Wire, Worded};
use super::session::{Caller, InFlight, Session};
use super::{legacy, modern, offer};
use crate::gateway::{Appetite, CallError, ClientFacts, Event, Gateway, Given, Offering, Request, View};
use crate::mailbox;
use crate::shutdown::Tasks;

/// What a message comes to.
pub(super) enum Step {
    /// Nobody waits for an answer.
    Nothing,
    /// Answered on the spot.
    Reply(Reply),
    /// The gateway is asked.
    Call(Calling),
    /// The gateway is asked several things at once.
    Batch(Batch),
    /// The client is told of what changes from now on.
    Listen(Listen),
}

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Reply {
    /// The HTTP status, where there is HTTP and nothing was sent yet.
    pub(super) status: u16,
    /// The whole message; None when the client cancelled and must not be answered.
    pub(super) message: Option<Vec<u8>>,
}

/// One part of a call.
pub(super) enum Part {
    /// A notification, as a whole message.
    Event(Vec<u8>),
    /// The end.
    Reply(Reply),
    /// The end, as it comes. Only for a client that can take it so.
    Flow(Box<Flowing>),
}

/// What a call comes to.
enum Come {
    Reply(Reply),
    Flow(Box<Flowing>),
}

/// A request and all that is needed to word its answer.
pub(super) struct Question {
    pub(super) wire: Wire,
    pub(super) id: Id,
    pub(super) method: Arc<str>,
    pub(super) params: Option<Json>,
    pub(super) version: &'static str,
    pub(super) client: Arc<ClientFacts>,
}

/// Which notifications of a call its client gets.
#[derive(Debug, Clone)]
pub(super) enum Wants {
    /// The client cannot be sent any.
    Nothing,
    /// Progress alone.
    Progress,
    /// Progress, and log messages; of one level and worse when one is named.
    Logs(Option<Box<str>>),
}

/// One call on its way. Dropping it cancels it, unless it was told to outlive its client.
pub(super) struct Calling {
    future: Pin<Box<dyn Future<Output = Come> + Send>>,
    /// Whether the answer may come piece by piece.
    appetite: Appetite,
    events: Option<mailbox::Receiver<Event>>,
    /// What is said to the client besides, in whole messages: questions.
    said: Option<mailbox::Receiver<Vec<u8>>>,
    wants: Wants,
    state: State,
    outlives: Option<Tasks>,
}

enum State {
    Running,
    /// Answered; what came before the answer goes out first.
    Answered(Come),
    Over,
}

impl Calling {
    /// Puts a question to the gateway. Nothing happens before the first poll.
    pub(super) fn new(
        gateway: Arc<Gateway>,
        caller: &Caller,
        (question, appetite): (Question, Appetite),
        wants: Wants,
        in_flight: Option<(Option<Arc<str>>, InFlight)>,
    ) -> Self {
        let (events, receiver) = channel(&wants);
        let (session, in_flight) = in_flight.unzip();
        let (request, answer) = question.split(caller, session.flatten(), events);
        let beside = Beside { in_flight, asking: None, appetite: appetite.clone() };
        let future = Box::pin(run(gateway, request, answer, beside));
        Self { future, appetite, events: receiver, said: None, wants, state: State::Running, outlives: None }
    }

    /// The same for a legacy client that can be asked what the server wants to know meanwhile.
    pub(super) fn asking(
        gateway: Arc<Gateway>,
        session: &Arc<Session>,
        (question, appetite): (Question, Appetite),
        wants: Wants,
        in_flight: InFlight,
    ) -> Self {
        let (events, receiver) = channel(&wants);
        let (request, answer) = question.split(&session.caller, session.known_as(), events);
        let (asking, said) = Asking::new(Arc::clone(session));
        let beside = Beside { in_flight: Some(in_flight), asking: Some(asking), appetite: appetite.clone() };
        let future = Box::pin(run(gateway, request, answer, beside));
        let (said, state) = (Some(said), State::Running);
        Self { future, appetite, events: receiver, said, wants, state, outlives: None }
    }

    /// A call that `future` answers, without notifications.
    pub(super) fn of(future: Pin<Box<dyn Future<Output = Reply> + Send>>) -> Self {
        let future = Box::pin(async move { Come::Reply(future.await) });
        let (appetite, state) = (Appetite::default(), State::Running);
        Self { future, appetite, events: None, said: None, wants: Wants::Nothing, state, outlives: None }
    }

    /// See [`Step::outliving`].
    #[must_use]
    pub(super) fn outliving(mut self, tasks: &Tasks) -> Self {
        self.outlives = Some(tasks.clone());
        self
    }

    /// Whether something has been said that has not gone out.
    fn is_told(&self) -> bool {
        self.events.as_ref().is_some_and(mailbox::Receiver::has_any)
            || self.said.as_ref().is_some_and(mailbox::Receiver::has_any)
    }

    /// Takes what has been said; when that is nothing, the task is woken by what will be.
    fn next_told(&mut self, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        self.next_event(cx).or_else(|| self.next_said(cx))
    }

    /// Until the next look nothing that is said wakes the task.
    fn rest(&self) {
        self.events.iter().for_each(mailbox::Receiver::rest);
        self.said.iter().for_each(mailbox::Receiver::rest);
    }

    fn next_event(&mut self, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        let events = self.events.as_mut()?;
        loop {
            let event = match self.state {
                State::Running => match events.poll_recv(cx) {
                    Poll::Ready(event) => event?,
                    Poll::Pending => return None,
                },
                // Without a look at the task's budget: no event may come after the answer.
                _ => events.try_recv()?,
            };
            // Since 2026-07-28 nobody is told that a URL was visited; before, those are who can be asked to.
            let is_known = &*event.method != method::ELICITED || self.said.is_some();
            if is_known && self.wants.takes(&event) {
                return Some(write_notification(&event.method, Some(&event.params)));
            }
        }
    }

    fn next_said(&mut self, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        let said = self.said.as_mut()?;
        match self.state {
            State::Running => match said.poll_recv(cx) {
                Poll::Ready(said) => said,
                Poll::Pending => None,
            },
            _ => said.try_recv(),
        }
    }
}

impl Question {
    fn split(
        self,
        caller: &Caller,
        session: Option<Arc<str>>,
        events: mailbox::Sender<Event>,
    ) -> (Request, Answer) {
        let request = Request {
            view: caller.view.clone(),
            id: next_id(),
            principal: Arc::clone(&caller.principal),
            session,
            method: Arc::clone(&self.method),
            params: self.params,
            client: self.client,
            version: self.version,
            events,
        };
        let to = To { wire: self.wire, id: self.id, method: self.method, request: Arc::clone(&request.id) };
        (request, Answer { to, view: caller.view.clone() })
    }
}

impl Stream for Calling {
    type Item = Part;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Part>> {
        let this = &mut *self;
        loop {
            if this.is_told()
                && let Some(event) = this.next_told(cx)
            {
                return Poll::Ready(Some(Part::Event(event)));
            }
            match std::mem::replace(&mut this.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Answered(Come::Reply(reply)) => return Poll::Ready(Some(Part::Reply(reply))),
                State::Answered(Come::Flow(flowing)) => return Poll::Ready(Some(Part::Flow(flowing))),
                State::Running => {
                    // What the work says, and that it says no more, is seen right after it. Were the task woken for
                    // that, each call would be looked at once more after its end.
                    this.rest();
                    let Poll::Ready(come) = this.future.as_mut().poll(cx) else {
                        this.state = State::Running;
                        let event = this.next_told(cx).map(Part::Event);
                        return event.map_or(Poll::Pending, |event| Poll::Ready(Some(event)));
                    };
                    this.state = match come {
                        Come::Flow(flowing) if !this.appetite.is_for_flows() => {
                            this.future = Box::pin(async move { Come::Reply(flowing.whole().await) });
                            State::Running
                        }
                        come => State::Answered(come),
                    };
                }
            }
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let (State::Running, Some(tasks)) = (&self.state, self.outlives.take()) {
            let nothing: Pin<Box<dyn Future<Output = Come> + Send>> =
                Box::pin(std::future::pending::<Come>());
            let future = std::mem::replace(&mut self.future, nothing);
            tasks.spawn("unheard-call", async move { drop(future.await) });
        }
    }
}

impl Step {
    /// Lets calls go on when their client is gone: for legacy HTTP, "disconnection SHOULD NOT be interpreted as the
    /// client cancelling its request" (2025-11-25 basic/transports). They run to their end, unheard.
    #[must_use]
    pub(super) fn outliving(self, tasks: &Tasks) -> Self {
        match self {
            Self::Call(calling) => Self::Call(calling.outliving(tasks)),
            Self::Batch(batch) => Self::Batch(batch.outliving(tasks)),
            answered => answered,
        }
    }
}

impl Reply {
    /// No answer at all.
    pub(super) const fn silence() -> Self {
        Self { status: 200, message: None }
    }

    /// A whole message.
    pub(super) const fn message(message: Vec<u8>) -> Self {
        Self { status: 200, message: Some(message) }
    }

    /// A failure in words.
    pub(super) fn error(id: Option<&Id>, worded: &Worded) -> Self {
        Self { status: worded.status, message: Some(write_error(id, &worded.error)) }
    }

    /// A message the front refuses.
    pub(super) fn refusal(wire: Wire, id: Option<&Id>, refusal: &Refusal) -> Self {
        Self::error(id, &render::refusal(wire, refusal))
    }
}

impl Wants {
    fn takes(&self, event: &Event) -> bool {
        match self {
            Self::Nothing => false,
            Self::Progress => &*event.method != method::MESSAGE,
            Self::Logs(None) => true,
            Self::Logs(Some(wanted)) => {
                let level = event.params.member("level");
                let level = level.as_ref().and_then(Json::string);
                &*event.method != method::MESSAGE
                    || level.is_none_or(|level| log_level_passes(&level, wanted))
            }
        }
    }
}

/// What is left of a question while the gateway works on it.
struct Answer {
    to: To,
    view: View,
}

/// What goes with a call on the way.
struct Beside {
    /// Its place among the calls in flight.
    in_flight: Option<InFlight>,
    /// How its client is asked.
    asking: Option<Asking>,
    /// Whether it can take the answer as it comes.
    appetite: Appetite,
}

async fn run(gateway: Arc<Gateway>, request: Request, answer: Answer, beside: Beside) -> Come {
    let Beside { mut in_flight, asking, appetite } = beside;
    let Answer { to, view } = answer;
    let outcome = {
        // In one place: each move of it would copy kilobytes, and double what a call takes.
        let mut asked = pin!(async {
            match &*to.method {
                method::DISCOVER => {
                    let word = |_: &Json, offering: &Offering| Ok(offer::discovered(offering));
                    gateway.greet(request, word).await.map(|greeting| Given::Result(greeting.result))
                }
                _ => match &asking {
                    Some(asking) => asking.request(&gateway, request, &appetite).await,
                    None => gateway.give(request, &appetite).await,
                },
            }
        });
        match &mut in_flight {
            None => asked.as_mut().await,
            Some(in_flight) => tokio::select! {
                biased;
                () = in_flight.cancelled() => {
                    tracing::debug!(request = %to.request, method = %to.method, "cancelled by the client");
                    return Come::Reply(Reply::silence());
                }
                outcome = asked.as_mut() => outcome,
            },
        }
    };
    let outcome = match outcome {
        Ok(Given::Flow(flow)) => return Come::Flow(Box::new(Flowing { flow, to, in_flight })),
        Ok(Given::Result(result)) => Ok(result),
        Err(error) => Err(error),
    };
    if matches!(outcome, Err(CallError::NotServing(_))) && gateway.offering(&view).is_none() {
        return Come::Reply(Reply::refusal(to.wire, Some(&to.id), &Refusal::UnknownServer));
    }
    Come::Reply(reply(&to, outcome))
}

/// What the gateway said, in words for whoever asked.
pub(super) fn reply(to: &To, outcome: Result<Json, CallError>) -> Reply {
    let To { wire, id, method, request } = to;
    let result = match outcome.map_err(|error| render::known_to(*wire, method, error)) {
        Ok(result) => result,
        Err(error) => {
            // The client's error carries the same id; what a server itself answered is the client's business.
            match &error {
                CallError::Answered(_) => tracing::debug!(%request, %method, %error, "no result"),
                _ => tracing::info!(%request, %method, %error, "no result"),
            }
            return Reply::error(Some(id), &render::failure(*wire, &error, request));
        }
    };
    match wire {
        Wire::Modern => Reply::message(modern::write_result(id, method, &result)),
        Wire::Legacy if asks(&result) => {
            let error = CallError::NotAsked("it cannot be asked in this request");
            Reply::error(Some(id), &render::failure(*wire, &error, request))
        }
        Wire::Legacy => Reply::message(write_result(id, &legacy::result(method, &result))),
    }
}

/// The end of a channel that nobody reads.
pub(super) fn nobody() -> mailbox::Sender<Event> {
    NOBODY.clone()
}

/// A channel for a call's notifications, or the end of one that nobody reads.
fn channel(wants: &Wants) -> (mailbox::Sender<Event>, Option<mailbox::Receiver<Event>>) {
    if matches!(wants, Wants::Nothing) {
        return (nobody(), None);
    }
    let (sender, receiver) = mailbox::channel(EVENTS);
    (sender, Some(receiver))
}

/// An id that no other request of any run of the gateway has, for logs and errors.
pub(super) fn next_id() -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = String::with_capacity(BOOT.len() + 12);
    id.push_str(&BOOT);
    // Writing to a `String` cannot fail.
    let _ = write!(id, "{:x}", NEXT.fetch_add(1, Ordering::Relaxed));
    id.into()
}

static NOBODY: LazyLock<mailbox::Sender<Event>> = LazyLock::new(|| mailbox::channel(1).0);

static BOOT: LazyLock<String> = LazyLock::new(|| {
    let mut bytes = [0; 4];
    // Without random numbers ids repeat over restarts, and nothing worse.
    let _ = getrandom::fill(&mut bytes);
    format!("{:08x}-", u32::from_ne_bytes(bytes))
});

/// How many notifications of a call wait for a client that reads slowly; more are dropped.
const EVENTS: usize = 64;

#[cfg(test)]
mod tests;
