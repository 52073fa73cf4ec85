//! The requests in flight on a pair of pipes, and what becomes of what comes in.
//!
//! Nothing on the wire says which call a question of the server belongs to. It goes to the latest call of one principal
//! when every call that could have asked it is that principal's, those given up among them, and to nobody otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::Id;
use wasmgate_core::name::ServerName;

use super::abandoned::Abandoned;
use super::garbage::Garbage;
use super::writer::Writer;
use super::{Order, Ticket};
use crate::upstream::correlator::Correlator;
use crate::upstream::declared::Declared;
use crate::upstream::framer::{Frame, MAX_MESSAGE};
use crate::upstream::incoming::{self, Concern, Incoming};
use crate::upstream::link::Signals;
use crate::upstream::outlet::Outlet;
use crate::upstream::questions::{self, METHOD_NOT_FOUND, Resumption};
use crate::upstream::{Answer, Fault};

/// Requests in flight, and what to do with what comes in.
pub(super) struct Desk {
    server: ServerName,
    signals: Arc<Signals>,
    /// What the server has been told it may ask.
    declared: Declared,
    waiting: Correlator<Ticket>,
    /// Listens are no calls: they end with the connection, and say nothing of which call a message belongs to.
    listens: HashMap<u64, Ticket>,
    abandoned: Abandoned,
    /// A question has come that has not been handed out.
    has_asked: bool,
    garbage: Garbage,
    /// Messages nobody waited for.
    dropped: u64,
}

impl Desk {
    pub(super) fn new(server: ServerName, signals: Arc<Signals>, declared: Declared) -> Self {
        Self {
            server,
            signals,
            declared,
            waiting: Correlator::new(),
            listens: HashMap::new(),
            abandoned: Abandoned::default(),
            has_asked: false,
            garbage: Garbage::default(),
            dropped: 0,
        }
    }

    /// Whether nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.len() == 0
    }

    /// When to call [`Desk::expire`] at the latest.
    pub(super) fn check_at(&self) -> Option<Instant> {
        self.waiting.check_at().map(Instant::from_std)
    }

    /// The connection is over.
    pub(super) fn report(&self) {
        let (garbage, dropped) = (self.garbage.lines(), self.dropped);
        tracing::debug!(server = %self.server, garbage, dropped, "connection over");
    }

    /// A request goes out, unless its caller has gone already.
    pub(super) fn order(&mut self, order: Order, writer: &mut Writer) {
        if order.ticket.talk.is_abandoned() {
            return;
        }
        writer.line(&order.line);
        if order.is_listen {
            self.listens.insert(order.id, order.ticket);
            return;
        }
        self.waiting.ask(order.id, order.ticket, order.token, order.patience);
    }

    pub(super) fn frame(&mut self, frame: Frame, writer: &mut Writer) {
        match frame {
            Frame::Line(line) => {
                incoming::read(&line, &mut |incoming| self.incoming(incoming, &line, writer));
            }
            Frame::TooLong { head, tail } => self.too_long(&head, &tail),
        }
    }

    fn incoming(&mut self, incoming: Incoming, line: &Bytes, writer: &mut Writer) {
        let now = Instant::now().into_std();
        match incoming {
            Incoming::Answer(Some(id), answer) => match id.as_u64() {
                Some(id) => self.finish(id, Ok(answer)),
                None => self.dropped += 1,
            },
            // It could not read a request: when there is only one, that one.
            Incoming::Answer(None, answer) => match self.waiting.only(now).map(|(id, _)| id) {
                Some(id) => self.finish(id, Ok(answer)),
                None => self.dropped += 1,
            },
            Incoming::Broken(id, detail) => match id.as_u64() {
                Some(id) => self.finish(id, Err(Fault::Misbehaved(detail))),
                None => self.garbage.add(&self.server, line, now),
            },
            Incoming::Progress(token, params) => {
                match token.and_then(|token| self.waiting.progress(token, now)) {
                    Some((ticket, known)) => ticket.progress(&params, known),
                    None => self.dropped += 1,
                }
            }
            // Beside what the gateway asks on its own account it can be of a client's call only.
            Incoming::Aside(method, params) => match self.waiting.only_one(now, Ticket::is_heard) {
                Some(ticket) => ticket.aside(method, params),
                None => self.dropped += 1,
            },
            Incoming::Changed(kinds) => self.signals.raise(kinds),
            Incoming::Updated(method, params) => self.signals.update(method, params),
            Incoming::Acknowledged(id, params) => self.acknowledged(id, params),
            Incoming::Question(id, asked, params) => self.question((id, asked, params), writer),
            Incoming::Withdrawn(id) => self.withdrawn(&id),
            Incoming::Other => self.dropped += 1,
            Incoming::Garbage => self.garbage.add(&self.server, line, now),
        }
    }

    /// A listen of ours that the server gives up, or else a question of its own.
    fn withdrawn(&mut self, id: &Id) {
        if let Some(ticket) = id.as_u64().and_then(|id| self.listens.remove(&id)) {
            return ticket.talk.finish(Err(Fault::Crashed(": it gave the request up".into())));
        }
        let is_known = self.waiting.tickets().any(|(_, ticket)| ticket.talk.withdraw(id));
        self.dropped += u64::from(!is_known);
    }

    fn question(&mut self, (id, asked, params): (Id, Box<str>, Option<Json>), writer: &mut Writer) {
        let refused = match (self.declared.allows(&asked, params.as_ref()), self.addressee()) {
            (Ok(()), Some(ticket)) => ticket.talk.ask(id, asked, params).err(),
            (Ok(()), None) => Some(questions::answer(&id, &asked, METHOD_NOT_FOUND)),
            (Err(code), _) => Some(questions::answer(&id, &asked, code)),
        };
        match refused {
            Some(message) => writer.answer(&message),
            None => self.has_asked = true,
        }
    }

    /// The call that a question belongs to; none when it may be another principal's.
    fn addressee(&mut self) -> Option<&mut Ticket> {
        let calls = self.waiting.tickets().filter_map(|(id, ticket)| Some((id, ticket.principal.clone()?)));
        let mut latest: Option<(u64, Arc<str>)> = None;
        for (id, principal) in calls {
            match &mut latest {
                Some((_, other)) if *other != principal => return None,
                Some((last, _)) => *last = id.max(*last),
                None => latest = Some((id, principal)),
            }
        }
        let (id, principal) = latest?;
        if self.abandoned.may_ask_another(&principal, Instant::now().into_std()) {
            tracing::debug!(server = %self.server, "a question that may be another's: refused");
            return None;
        }
        self.waiting.ticket(id)
    }

    /// Hands questions that have come to those who called.
    pub(super) fn hand_out(&mut self) {
        if !std::mem::take(&mut self.has_asked) {
            return;
        }
        let asked = self.waiting.tickets().filter_map(|(id, ticket)| ticket.hand_out().then_some(id));
        for id in asked.collect::<Vec<_>>() {
            self.waiting.suspend(id, Instant::now().into_std());
        }
    }

    /// A client has replied: its call goes on, or is asked what is still open.
    pub(super) fn resume(&mut self, id: u64, resumption: Resumption, writer: &mut Writer) {
        let Some(ticket) = self.waiting.ticket(id) else { return };
        for message in ticket.talk.resume(resumption.replies) {
            writer.line(&message);
        }
        ticket.outlet.get_or_insert_with(|| Outlet::new(resumption.events.clone())).resume(resumption.events);
        if !ticket.hand_out() {
            self.waiting.resume(id, Instant::now().into_std());
        }
    }

    /// The caller of this request has gone.
    pub(super) fn cancel(&mut self, id: u64, writer: &mut Writer) {
        let total = self.waiting.total(id).unwrap_or_default();
        if let Some(ticket) = self.waiting.end(id).or_else(|| self.listens.remove(&id)) {
            self.give_up(id, ticket, total, writer);
            writer.cancel(id, "the client cancelled the request");
        }
    }

    /// Ends what has waited too long.
    pub(super) fn expire(&mut self, writer: &mut Writer) {
        for (id, ticket, limit) in self.waiting.expire(Instant::now().into_std()) {
            writer.cancel(id, "no answer in time");
            let (total, seconds) = limit;
            let talk = self.give_up(id, ticket, total, writer);
            talk.finish(Err(Fault::Timeout(seconds)));
        }
    }

    fn give_up(&mut self, id: u64, ticket: Ticket, total: Duration, writer: &mut Writer) -> questions::Talk {
        let Ticket { mut talk, principal, .. } = ticket;
        for message in talk.give_up() {
            writer.line(&message);
        }
        if let Some(principal) = principal {
            self.abandoned.add(id, principal, Instant::now().into_std() + total);
        }
        talk
    }

    pub(super) fn finish(&mut self, id: u64, answer: Result<Answer, Fault>) {
        let Some(mut ticket) = self.waiting.end(id).or_else(|| self.listens.remove(&id)) else {
            self.dropped += 1;
            self.abandoned.answered(id);
            tracing::debug!(server = %self.server, id, "answer nobody waits for: dropped");
            return;
        };
        if let Some(outlet) = &mut ticket.outlet {
            outlet.flush();
        }
        ticket.talk.finish(answer);
    }

    /// Fails the request an over-long line answered, or all when nothing says which.
    pub(super) fn too_long(&mut self, head: &[u8], tail: &[u8]) {
        let fault = Fault::TooLarge(MAX_MESSAGE);
        tracing::warn!(server = %self.server, limit = MAX_MESSAGE, "message longer than the limit: dropped");
        match incoming::concern(head, tail) {
            Concern::Request(id) => self.finish(id, Err(fault)),
            Concern::Nobody => self.dropped += 1,
            Concern::Unknown => self.fail_all(&fault),
        }
    }

    /// A server that does not say which listen it means can only mean the one there is.
    fn acknowledged(&mut self, id: Option<u64>, params: Json) {
        let is_only = self.listens.len() == 1;
        let ticket = match id {
            Some(id) => self.listens.get_mut(&id),
            None => self.listens.values_mut().next().filter(|_| is_only),
        };
        match ticket.and_then(|ticket| ticket.outlet.as_mut()) {
            Some(outlet) => outlet.acknowledged(params),
            None => self.dropped += 1,
        }
    }

    pub(super) fn fail_all(&mut self, fault: &Fault) {
        for ticket in self.waiting.drain() {
            ticket.talk.finish(Err(fault.clone()));
        }
    }
}

impl Ticket {
    fn progress(&mut self, params: &Json, known: &Json) {
        if let Some(outlet) = &mut self.outlet {
            outlet.progress(params, known);
        }
    }

    /// Whether somebody hears what the server says meanwhile.
    const fn is_heard(&self) -> bool {
        self.outlet.is_some()
    }

    fn aside(&mut self, method: &str, params: Json) {
        if let Some(outlet) = &mut self.outlet {
            outlet.aside(method, params);
        }
    }

    fn hand_out(&mut self) -> bool {
        let is_parked = self.talk.hand_out();
        if let (true, Some(outlet)) = (is_parked, &mut self.outlet) {
            outlet.park();
        }
        is_parked
    }
}
