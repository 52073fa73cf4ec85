//! A connection over a pair of pipes: one task owns them, everyone else holds a [`Pipe`].
//!
//! The owner reads, writes, keeps deadlines and watches the program behind the pipes, all in one loop, so that no one of
//! them waits for another: a server that does not read still has its answers read, a caller that does not fetch its
//! events delays nobody. Ids and progress tokens on the wire are ours.

mod abandoned; // calls nobody waits for any more
mod desk; // the requests in flight
mod garbage; // output that is no message
mod owner; // the task
mod pulse; // whether the server is still there
mod writer; // what goes to the server

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{self, Id};
use wasmgate_core::mcp::method;
use wasmgate_core::name::ServerName;

use self::desk::Desk;
use self::garbage::Garbage;
use self::owner::Owner;
use super::correlator::Patience;
use super::declared::Declared;
use super::era::Era;
use super::link::{Ending, Question, Signals};
use super::outlet::Outlet;
use super::questions::{Resumption, Talk};
use super::waiter::{Keeper, Waiter};
use super::{Answer, Fault, Limits};
use crate::launch::{Input, Instance, Output};
use crate::shutdown::Tasks;

/// The handle to a connection over pipes.
pub(super) struct Pipe {
    server: ServerName,
    declared: Declared,
    orders: mpsc::Sender<Order>,
    controls: mpsc::UnboundedSender<Control>,
    next: AtomicU64,
    signals: Arc<Signals>,
    ended: watch::Receiver<Option<Ending>>,
}

/// What is behind a pair of pipes.
pub(super) enum Behind {
    /// A program or container of ours.
    Instance(Instance),
    /// Something that says itself when and how it ended.
    Other(oneshot::Receiver<Ending>),
}

/// The two pipes and what is behind them.
pub(super) struct Ends {
    /// To the server.
    pub(super) input: Input,
    /// From the server.
    pub(super) output: Output,
    /// The server.
    pub(super) behind: Behind,
}

/// A request on its way to the owner.
struct Order {
    id: u64,
    line: Vec<u8>,
    token: Option<Json>,
    patience: Patience,
    ticket: Ticket,
    /// Whether it is a `subscriptions/listen`, which is answered when it ends.
    is_listen: bool,
}

/// Where the answer and the events of a request go.
struct Ticket {
    talk: Talk,
    outlet: Option<Outlet>,
    /// Whose it is, when it can be answered with questions.
    principal: Option<Arc<str>>,
    /// A client's: in which era the server is spoken to.
    era: Option<Era>,
}

/// What overtakes requests on their way to the owner.
pub(super) enum Control {
    /// The caller of this request has gone.
    Cancel(u64),
    /// The client of this request has replied.
    Resume(u64, Resumption),
    /// This request cannot be delivered.
    Fail(u64, Fault),
    /// A message beyond the limit came for one of the requests: its first bytes.
    TooLong(Bytes),
    /// A message that expects no answer.
    Tell(Vec<u8>),
    /// Finish what is in flight within so long, then end.
    Close(Duration),
}

impl Pipe {
    /// Starts the owner of these pipes. The server will be told that it may ask what is `declared`.
    pub(super) fn open(
        server: ServerName,
        ends: Ends,
        declared: Declared,
        tasks: &Tasks,
        limits: &Limits,
    ) -> Self {
        let (orders, queue) = mpsc::channel(QUEUE);
        let (controls, controls_in) = mpsc::unbounded_channel();
        let (ending, ended) = watch::channel(None);
        let signals = Arc::new(Signals::new(limits));
        let garbage = Garbage::new(ends.behind.censor());
        let desk = Desk::new(server.clone(), Arc::clone(&signals), declared, limits.message, garbage);
        let owner = Owner::new(ends, queue, controls_in, desk);
        tasks.spawn("upstream-pipe", owner.run(ending));
        Self { server, declared, orders, controls, next: AtomicU64::new(1), signals, ended }
    }

    /// A handle for whoever must speak to the owner from elsewhere.
    pub(super) fn controls(&self) -> mpsc::UnboundedSender<Control> {
        self.controls.clone()
    }

    /// What the server is told it may ask.
    pub(super) const fn declared(&self) -> Declared {
        self.declared
    }

    /// See [`super::link::Link::ask`].
    pub(super) async fn ask(self: &Arc<Self>, era: &Era, question: Question<'_>) -> Result<Answer, Fault> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let facts = question.client.map(|client| client.facts);
        let dressed = era.dress(question.params, id, facts);
        let line = jsonrpc::write_request(&Id::number(id), question.method, dressed.params.as_ref());
        let (talk, outcome) = Talk::new();
        let principal = question.principal_asked(era).filter(|_| !self.declared.is_nothing()).cloned();
        let outlet = question.events.map(Outlet::new);
        let ticket = Ticket { talk, outlet, principal, era: question.client.map(|_| era.clone()) };
        let (patience, is_listen) = (question.patience, question.method == method::LISTEN);
        let order = Order { id, line, token: dressed.token, patience, ticket, is_listen };
        match tokio::time::timeout_at(Instant::from_std(patience.ends()), self.orders.send(order)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(self.over().unavailable()),
            Err(_) => return Err(Fault::Unavailable("it does not read its input".into())),
        }
        // `initialize` must not be cancelled (2025-11-25, basic/utilities/cancellation).
        let may_cancel = question.method != "initialize";
        Waiter::new(OnPipe { pipe: Arc::clone(self), id, may_cancel }, outcome).wait().await
    }

    /// Sends a message that expects no answer.
    ///
    /// # Errors
    /// When the connection is over.
    pub(super) fn tell(&self, message: Vec<u8>) -> Result<(), Fault> {
        self.controls.send(Control::Tell(message)).map_err(|_| self.over().unavailable())
    }

    /// See [`super::link::Link::signals`].
    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// See [`super::link::Link::ended`].
    pub(super) async fn ended(&self) -> Ending {
        let mut ended = self.ended.clone();
        let ending = ended.wait_for(Option::is_some).await.ok().and_then(|ending| ending.clone());
        ending.unwrap_or_else(Ending::closed)
    }

    /// See [`super::link::Link::how_it_ended`].
    pub(super) fn how_it_ended(&self) -> Option<Ending> {
        self.ended.borrow().clone()
    }

    /// See [`super::link::Link::close`].
    pub(super) async fn close(&self, grace: Duration) {
        let _ = self.controls.send(Control::Close(grace));
        // The owner keeps its end until the server has been stopped.
        self.controls.closed().await;
    }

    /// How it ended, for a request that came too late.
    fn over(&self) -> Ending {
        self.how_it_ended().unwrap_or_else(Ending::closed)
    }
}

/// A request that the owner of the pipes looks after.
struct OnPipe {
    pipe: Arc<Pipe>,
    id: u64,
    may_cancel: bool,
}

impl Keeper for OnPipe {
    fn server(&self) -> &ServerName {
        &self.pipe.server
    }

    fn resume(&self, resumption: Resumption) {
        let _ = self.pipe.controls.send(Control::Resume(self.id, resumption));
    }

    fn cancel(&self) {
        if self.may_cancel {
            let _ = self.pipe.controls.send(Control::Cancel(self.id));
        }
    }

    fn lost(&self) -> Fault {
        self.pipe.over().crashed()
    }
}

/// So many requests may wait for the owner.
const QUEUE: usize = 128;

#[cfg(test)]
mod tests;
