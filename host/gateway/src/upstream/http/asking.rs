//! A session of one client's own, in which a legacy server may ask that client.
//!
//! Each call in it is looked after by a task of its own, which goes on reading while the client is asked. A question on a
//! call's stream belongs to that call. Many servers send theirs on the stream of the session instead: such a question goes
//! to the latest call in flight, all of them being one client's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::Request;
use http_body_util::Full;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::Id;
use wasmgate_core::name::ServerName;

use super::Http;
use super::answer::Exchange;
use super::flowing::{Beside, Come};
use crate::upstream::declared::Declared;
use crate::upstream::era::Era;
use crate::upstream::outlet::Outlet;
use crate::upstream::questions::{self, METHOD_NOT_FOUND, Outcome, Resumption, Talk};
use crate::upstream::waiter::Keeper;
use crate::upstream::{Answer, Fault};

/// What sets a session of a client's own apart from the base session.
pub(super) struct Asking {
    pub(super) server: ServerName,
    pub(super) declared: Declared,
    /// The calls in flight, by id.
    calls: Mutex<BTreeMap<u64, mpsc::Sender<Overheard>>>,
    /// The stream of the session is open, or will not be.
    pub(super) listens: CancellationToken,
}

/// What a server says on the stream of the session.
pub(super) enum Overheard {
    /// It asks.
    Question(Id, Box<str>, Option<Json>),
    /// It does not want to know any more.
    Withdrawn(Id),
}

impl Asking {
    pub(super) fn new(server: ServerName, declared: Declared) -> Self {
        Self { server, declared, calls: Mutex::default(), listens: CancellationToken::new() }
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<u64, mpsc::Sender<Overheard>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins, which a task looks after: what its caller keeps, and where its outcome comes.
    pub(super) fn converse(
        &self,
        exchange: &mut Exchange,
        stop: &CancellationToken,
    ) -> (InTask, oneshot::Receiver<Outcome>) {
        let (talk, outcome) = Talk::new();
        let (orders, resumed) = mpsc::unbounded_channel();
        let (tell, overheard) = mpsc::channel(QUEUE);
        self.calls().insert(exchange.id, tell);
        let (posts, stop) = (FuturesUnordered::new(), stop.clone());
        exchange.conversation = Some(Conversation { talk, resumed, overheard, posts, stop });
        (InTask { server: self.server.clone(), orders }, outcome)
    }

    /// A call is over.
    fn leave(&self, id: u64) {
        self.calls().remove(&id);
    }

    /// A question on the stream of the session: what to answer when it is nobody's.
    pub(super) fn question(&self, id: Id, asked: Box<str>, params: Option<Json>) -> Option<Vec<u8>> {
        if let Err(code) = self.declared.allows(&asked, params.as_ref()) {
            return Some(questions::answer(&id, &asked, code));
        }
        let refusal = questions::answer(&id, &asked, METHOD_NOT_FOUND);
        let calls = self.calls();
        let Some((_, latest)) = calls.last_key_value() else { return Some(refusal) };
        // What waits to be heard keeps nothing of the message it came in.
        let params = params.map(|params| params.detached());
        latest.try_send(Overheard::Question(id.detached(), asked, params)).err().map(|_| refusal)
    }

    /// A question is withdrawn, whosesoever it was.
    pub(super) fn withdrawn(&self, id: &Id) {
        for call in self.calls().values() {
            let _ = call.try_send(Overheard::Withdrawn(id.clone()));
        }
    }
}

/// What a call in such a session hears besides its own stream.
pub(super) struct Conversation {
    pub(super) talk: Talk,
    pub(super) resumed: mpsc::UnboundedReceiver<Resumption>,
    pub(super) overheard: mpsc::Receiver<Overheard>,
    /// Replies on their way to the server.
    pub(super) posts: FuturesUnordered<BoxFuture<'static, Result<(), Fault>>>,
    /// The connection is being closed.
    pub(super) stop: CancellationToken,
}

/// What happens to a call besides what comes on its own stream.
pub(super) enum Aside {
    /// Its client has replied; None when its caller has gone.
    Resumed(Option<Resumption>),
    Overheard(Overheard),
    /// A reply has arrived, or cannot.
    Posted(Result<(), Fault>),
    Stopped,
}

impl Conversation {
    /// The next of these. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Aside {
        let Self { resumed, overheard, posts, stop, .. } = self;
        tokio::select! {
            resumption = resumed.recv() => Aside::Resumed(resumption),
            Some(overheard) = overheard.recv() => Aside::Overheard(overheard),
            Some(posted) = posts.next(), if !posts.is_empty() => Aside::Posted(posted),
            () = stop.cancelled() => Aside::Stopped,
        }
    }

    /// Sends replies of the client to the server.
    pub(super) fn post(&mut self, http: &Arc<Http>, era: &Era, messages: Vec<Vec<u8>>) {
        for message in messages {
            let (http, era) = (Arc::clone(http), era.clone());
            self.posts.push(Box::pin(async move { http.reply(&era, message).await }));
        }
    }
}

impl Exchange {
    /// Looks after a call to its end, or until its result flows, however often its client is asked.
    pub(super) async fn converse(mut self, request: Request<Full<Bytes>>, beside: Beside) {
        let come = self.run(request).await;
        self.http.asking.iter().for_each(|asking| asking.leave(self.id));
        let Some(Conversation { mut talk, mut posts, .. }) = self.conversation.take() else { return };
        let answer = match come {
            Ok(Come::Flows(begun)) => {
                talk.finish(Ok(Answer::Flow(begun.flow(self, beside))));
                while posts.next().await.is_some() {}
                return;
            }
            Ok(Come::Answer(answer)) => Ok(answer),
            Err(fault) => Err(fault),
        };
        let Beside { in_flight: _in_flight, cancel, doubt } = beside;
        doubt.into_iter().for_each(|doubt| doubt.settle(&answer));
        if answer.is_err() {
            talk.give_up().into_iter().for_each(|message| self.http.tell_aside(&self.era, message));
        }
        match talk.is_abandoned() && answer.is_err() {
            true => drop(cancel),
            false => cancel.settle(&answer),
        }
        talk.finish(answer);
        // The server has had the replies; it may be slower to say so than to answer.
        while posts.next().await.is_some() {}
    }
}

/// A call that a task looks after. Dropping this tells the task that nobody waits.
pub(super) struct InTask {
    pub(super) server: ServerName,
    pub(super) orders: mpsc::UnboundedSender<Resumption>,
}

impl Keeper for InTask {
    fn server(&self) -> &ServerName {
        &self.server
    }

    fn resume(&self, resumption: Resumption) {
        let _ = self.orders.send(resumption);
    }

    fn cancel(&self) {}

    fn lost(&self) -> Fault {
        Fault::Crashed(": it was stopped".into())
    }
}

impl Exchange {
    /// What happens besides the stream of this call.
    pub(super) fn aside(&mut self, aside: Aside) -> Result<(), Fault> {
        match aside {
            Aside::Resumed(Some(resumption)) => self.resumed(resumption),
            Aside::Resumed(None) => return Err(Fault::Unavailable("nobody waits for it any more".into())),
            Aside::Overheard(Overheard::Question(id, asked, params)) => self.question(id, asked, params),
            Aside::Overheard(Overheard::Withdrawn(id)) => self.withdrawn(&id),
            Aside::Posted(posted) => posted?,
            Aside::Stopped => return Err(Fault::Crashed(": it was stopped".into())),
        }
        self.hand_out();
        Ok(())
    }

    /// The client has replied: the call goes on.
    fn resumed(&mut self, resumption: Resumption) {
        let Some(conversation) = &mut self.conversation else { return };
        let replies = conversation.talk.resume(resumption.replies);
        conversation.post(&self.http, &self.era, replies);
        self.patience.resume(Instant::now().into_std());
        self.hearer.resume(resumption.events);
    }

    /// Hands questions that have come to the caller.
    pub(super) fn hand_out(&mut self) {
        let Some(conversation) = &mut self.conversation else { return };
        if conversation.talk.hand_out() {
            self.patience.suspend(Instant::now().into_std());
            self.hearer.tell(Outlet::park);
        }
    }

    pub(super) fn question(&mut self, id: Id, asked: Box<str>, params: Option<Json>) {
        let declared = self.http.declared();
        let refused = match (declared.allows(&asked, params.as_ref()), &mut self.conversation) {
            (Ok(()), Some(conversation)) => conversation.talk.ask(id, asked, params).err(),
            (Ok(()), None) => Some(questions::answer(&id, &asked, METHOD_NOT_FOUND)),
            (Err(code), _) => Some(questions::answer(&id, &asked, code)),
        };
        if let Some(message) = refused {
            self.http.tell_aside(&self.era, message);
        }
    }

    pub(super) fn withdrawn(&mut self, id: &Id) {
        if let Some(conversation) = &mut self.conversation {
            conversation.talk.withdraw(id);
        }
    }
}

/// So much of what a server says on the stream of the session waits for a call.
const QUEUE: usize = 64;
