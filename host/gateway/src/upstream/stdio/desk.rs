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
use wasmgate_core::jsonrpc::{self, Id};
use wasmgate_core::mcp::method;
use wasmgate_core::name::ServerName;

use super::abandoned::Abandoned;
use super::garbage::Garbage;
use super::pulse::{Beat, Pulse};
use super::writer::Writer;
use super::{Order, Ticket};
use crate::upstream::correlator::{Correlator, absent};
use crate::upstream::declared::Declared;
use crate::upstream::era::Era;
use crate::upstream::framer::Frame;
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
    pulse: Pulse,
    /// In which era clients' calls go out.
    era: Option<Era>,
    /// The longest message taken.
    limit: usize,
    /// The request that the line still coming in answers has been failed.
    has_overflowed: bool,
    /// A question has come that has not been handed out.
    has_asked: bool,
    garbage: Garbage,
    /// Messages nobody waited for.
    dropped: u64,
}

impl Desk {
    pub(super) fn new(
        server: ServerName,
        signals: Arc<Signals>,
        declared: Declared,
        limit: usize,
        garbage: Garbage,
    ) -> Self {
        Self {
            server,
            signals,
            declared,
            waiting: Correlator::new(),
            listens: HashMap::new(),
            abandoned: Abandoned::default(),
            pulse: Pulse::new(Instant::now().into_std()),
            era: None,
            limit,
            has_overflowed: false,
            has_asked: false,
            garbage,
            dropped: 0,
        }
    }

    /// The longest message taken, in bytes.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.len() == 0
    }

    /// When to call [`Desk::expire`] at the latest.
    pub(super) fn check_at(&self) -> Option<Instant> {
        let (calls, life) = (self.waiting.check_at(), self.pulse.check_at());
        calls.into_iter().chain(life).min().map(Instant::from_std)
    }

    /// What the server said last on its stdout that was no message.
    pub(super) fn last_words(&self) -> Option<String> {
        self.garbage.last()
    }

    /// The connection is over.
    pub(super) fn report(&self) {
        let (garbage, dropped) = (self.garbage.lines(), self.dropped);
        let unasked = self.signals.dropped();
        tracing::debug!(server = %self.server, garbage, dropped, unasked, "connection over");
    }

    /// A request goes out, unless its caller has gone already.
    pub(super) fn order(&mut self, order: Order, writer: &mut Writer) {
        if order.ticket.talk.is_abandoned() {
            return;
        }
        writer.line(&order.line);
        if let Some(era) = &order.ticket.era {
            self.era.get_or_insert_with(|| era.clone());
        }
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
            Frame::Overflow(head) => self.overflow(&head),
            Frame::TooLong { head, tail } => self.too_long(&head, &tail),
        }
    }

    fn incoming(&mut self, incoming: Incoming, line: &Bytes, writer: &mut Writer) {
        let now = Instant::now().into_std();
        match incoming {
            Incoming::Answer(Some(id), answer) => match id.as_u64() {
                // It came, which is all that was asked.
                Some(SIGN_OF_LIFE) => {}
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
                None => self.garbled(line, now),
            },
            Incoming::Progress(token, params) => {
                match token.and_then(|token| self.waiting.progress(token, now)) {
                    Some((ticket, known)) if self.signals.may_tell() => ticket.progress(&params, known),
                    Some((ticket, known)) => ticket.hold_progress(&params, known),
                    None => self.dropped += 1,
                }
            }
            // Beside what the gateway asks on its own account it can be of a client's call only.
            Incoming::Aside(method, params) => match self.waiting.only_one(now, Ticket::is_heard) {
                Some(ticket) if self.signals.may_tell() => ticket.aside(method, params),
                Some(_) => {}
                None => self.dropped += 1,
            },
            Incoming::Changed(kinds) => self.signals.raise(kinds),
            Incoming::Updated(method, params) => self.signals.update(method, params),
            Incoming::Acknowledged(id, params) => self.acknowledged(id, params),
            Incoming::Question(id, asked, params) => self.question((id, asked, params), writer),
            Incoming::Withdrawn(id) => self.withdrawn(&id),
            Incoming::Other => self.dropped += 1,
            Incoming::Garbage => self.garbled(line, now),
        }
    }

    fn garbled(&mut self, line: &[u8], now: std::time::Instant) {
        self.garbage.add(&self.server, line, now);
        self.signals.garbled(now);
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
        let patience = self.waiting.patience(id);
        if let Some(ticket) = self.waiting.end(id).or_else(|| self.listens.remove(&id)) {
            if let Some(patience) = patience.filter(|_| ticket.era.is_some()) {
                self.pulse.given_up(patience.ends(), patience.idle());
            }
            self.give_up(id, ticket, patience.map_or(Duration::ZERO, |patience| patience.total()), writer);
            writer.cancel(id, "the client cancelled the request");
        }
    }

    /// Ends what has waited too long. It was `due` some time ago: where that is long ago, this process did not run
    /// meanwhile (a machine that slept, SIGSTOP), which is not the server's fault.
    pub(super) fn expire(&mut self, due: Instant, writer: &mut Writer) {
        let now = Instant::now().into_std();
        if let Some(excuse) = absent(due.into_std(), now) {
            self.waiting.excuse(excuse);
            self.pulse.excuse(excuse);
            return;
        }
        for (id, ticket, patience) in self.waiting.expire(now) {
            writer.cancel(id, "no answer in time");
            if ticket.era.is_some() {
                let beat = self.pulse.missed(now, patience.idle());
                self.feel(beat, writer);
            }
            let talk = self.give_up(id, ticket, patience.total(), writer);
            talk.finish(Err(Fault::Timeout(patience.seconds())));
        }
    }

    /// The server has said something.
    pub(super) fn heard(&mut self) {
        self.pulse.heard(Instant::now().into_std());
    }

    /// Whether the server has been asked for a sign of life and has not given one.
    pub(super) fn is_dead(&mut self, writer: &mut Writer) -> bool {
        let beat = self.pulse.check(Instant::now().into_std());
        self.feel(beat, writer);
        beat == Beat::Stopped
    }

    /// Asks for a sign of life, when that is what is to be done. Whatever is answered will do.
    fn feel(&self, beat: Beat, writer: &mut Writer) {
        let Some(era) = self.era.as_ref().filter(|_| beat == Beat::Ask) else { return };
        let asked = match era {
            Era::Legacy(_) => method::PING,
            Era::Modern(_) => method::DISCOVER,
        };
        let params = era.dress(None, SIGN_OF_LIFE, None).params;
        writer.line(&jsonrpc::write_request(&Id::number(SIGN_OF_LIFE), asked, params.as_ref()));
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

    /// A line has become too long, and may never end: fails the request it answers, when that can be told.
    fn overflow(&mut self, head: &[u8]) {
        let now = Instant::now().into_std();
        let only = self.waiting.only(now).map(|(id, _)| id);
        let concerned = match incoming::concern(head, &[]) {
            Concern::Request(id) => self.waiting.patience(id).map(|_| id),
            Concern::Nobody => None,
            Concern::Unknown => only,
        };
        self.has_overflowed = concerned.is_some();
        if let Some(id) = concerned {
            self.finish(id, Err(Fault::TooLarge(self.limit)));
        }
    }

    /// Fails the request an over-long line answered, or all when nothing says which.
    pub(super) fn too_long(&mut self, head: &[u8], tail: &[u8]) {
        let fault = Fault::TooLarge(self.limit);
        tracing::warn!(server = %self.server, limit = self.limit, "message longer than the limit: dropped");
        if std::mem::take(&mut self.has_overflowed) {
            return;
        }
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

    fn hold_progress(&mut self, params: &Json, known: &Json) {
        if let Some(outlet) = &mut self.outlet {
            outlet.hold_progress(params, known);
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

/// The id of the question whether the server is still there: no other request has it.
const SIGN_OF_LIFE: u64 = 0;
