//! Matches what comes from a server to the requests it belongs to, on a connection that many requests share.
//!
//! No socket, no clock: ids, tokens and instants come in, tickets come out. A ticket is whatever the connection wants
//! back when a request ends. Ids are ours; a request's progress token is its id.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wasmgate_core::catalog::Deadlines;
use wasmgate_core::json::Json;

/// How long a request may still take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    idle: Duration,
    total: Duration,
    silent_until: Instant,
    until: Instant,
}

impl Patience {
    /// For a request that begins `now`.
    pub(super) fn new(deadlines: Deadlines, now: Instant) -> Self {
        let Deadlines { idle, total, .. } = deadlines;
        Self { idle, total, silent_until: now + idle, until: now + total }
    }

    /// For a request that may take `limit`, whatever it says meanwhile.
    pub(super) fn of(limit: Duration, now: Instant) -> Self {
        Self { idle: limit, total: limit, silent_until: now + limit, until: now + limit }
    }

    /// When it ends, unless the server says something before.
    pub(super) fn ends(&self) -> Instant {
        self.silent_until.min(self.until)
    }

    /// The server said something that belongs to this request.
    pub(super) fn renew(&mut self, now: Instant) {
        self.silent_until = now + self.idle;
    }

    /// The limit that was reached, in whole seconds, at least 1.
    pub(super) fn seconds(&self) -> u64 {
        let limit = if self.until <= self.silent_until { self.total } else { self.idle };
        limit.as_secs().max(1)
    }
}

/// The requests in flight on one connection.
#[derive(Debug)]
pub(super) struct Correlator<T> {
    waiting: HashMap<u64, Waiting<T>>,
    /// No deadline is earlier than this.
    check_at: Option<Instant>,
}

#[derive(Debug)]
struct Waiting<T> {
    ticket: T,
    token: Option<Json>,
    patience: Patience,
}

impl<T> Correlator<T> {
    /// Nothing in flight.
    pub(super) fn new() -> Self {
        Self { waiting: HashMap::new(), check_at: None }
    }

    /// How many requests are in flight.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A request goes out. `token` is the progress token its client knows.
    pub(super) fn ask(&mut self, id: u64, ticket: T, token: Option<Json>, patience: Patience) {
        let ends = patience.ends();
        self.check_at = Some(self.check_at.map_or(ends, |at| at.min(ends)));
        self.waiting.insert(id, Waiting { ticket, token, patience });
    }

    /// A request has ended. None when there is none of that id: late, invented, or answered twice.
    pub(super) fn end(&mut self, id: u64) -> Option<T> {
        self.waiting.remove(&id).map(|waiting| waiting.ticket)
    }

    /// Progress on `token`: whose it is and the client's own token. None when nobody wants it.
    pub(super) fn progress(&mut self, token: u64, now: Instant) -> Option<(&mut T, &Json)> {
        let waiting = self.waiting.get_mut(&token)?;
        let known = waiting.token.as_ref()?;
        waiting.patience.renew(now);
        Some((&mut waiting.ticket, known))
    }

    /// The one request in flight, when there is exactly one.
    pub(super) fn only(&mut self, now: Instant) -> Option<(u64, &mut T)> {
        if self.waiting.len() != 1 {
            return None;
        }
        let (id, waiting) = self.waiting.iter_mut().next()?;
        waiting.patience.renew(now);
        Some((*id, &mut waiting.ticket))
    }

    /// When to call [`Correlator::expire`] at the latest.
    pub(super) fn check_at(&self) -> Option<Instant> {
        self.check_at
    }

    /// Takes out what has waited too long: id, ticket and the limit in seconds.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(u64, T, u64)> {
        let late = |waiting: &Waiting<T>| waiting.patience.ends() <= now;
        let ids: Vec<u64> = self.waiting.iter().filter(|(_, w)| late(w)).map(|(id, _)| *id).collect();
        let expired = ids.into_iter().filter_map(|id| {
            self.waiting.remove(&id).map(|waiting| (id, waiting.ticket, waiting.patience.seconds()))
        });
        let expired = expired.collect();
        self.check_at = self.waiting.values().map(|waiting| waiting.patience.ends()).min();
        expired
    }

    /// Takes out everything.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.check_at = None;
        std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience(now: Instant) -> Patience {
        Patience::new(Deadlines { initialize: SECOND, idle: SECOND * 10, total: SECOND * 25 }, now)
    }

    #[test]
    fn an_answer_ends_its_own_request_once() {
        let now = Instant::now();
        let mut correlator = Correlator::new();
        correlator.ask(1, "a", None, patience(now));
        correlator.ask(2, "b", None, patience(now));
        assert_eq!(correlator.end(2), Some("b"));
        assert_eq!(correlator.end(2), None, "answered twice");
        assert_eq!(correlator.end(9), None, "never asked");
        assert_eq!(correlator.drain().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn progress_reaches_its_owner_under_the_clients_token() {
        let now = Instant::now();
        let mut correlator = Correlator::new();
        correlator.ask(1, "a", Some(Json::of("mine")), patience(now));
        correlator.ask(2, "b", None, patience(now));
        let (owner, token) = correlator.progress(1, now).unwrap();
        assert_eq!((*owner, token.as_str()), ("a", "\"mine\""));
        assert!(correlator.progress(2, now).is_none(), "asked for no progress");
        assert!(correlator.progress(3, now).is_none(), "nobody's");
    }

    #[test]
    fn a_log_message_belongs_to_the_only_request_or_to_none() {
        let now = Instant::now();
        let mut correlator = Correlator::new();
        assert!(correlator.only(now).is_none());
        correlator.ask(1, "a", None, patience(now));
        assert_eq!(correlator.only(now).map(|(id, owner)| (id, *owner)), Some((1, "a")));
        correlator.ask(2, "b", None, patience(now));
        assert!(correlator.only(now).is_none());
    }

    #[test]
    fn silence_ends_a_request_and_progress_only_puts_it_off() {
        let start = Instant::now();
        let mut correlator = Correlator::new();
        correlator.ask(1, "silent", None, patience(start));
        correlator.ask(2, "busy", Some(Json::of(&7)), patience(start));
        assert_eq!(correlator.check_at(), Some(start + SECOND * 10));
        for second in [9, 18, 24] {
            correlator.progress(2, start + SECOND * second);
        }
        assert_eq!(correlator.expire(start + SECOND * 10), [(1, "silent", 10)]);
        assert_eq!(correlator.check_at(), Some(start + SECOND * 25));
        assert_eq!(correlator.expire(start + SECOND * 24), []);
        assert_eq!(correlator.expire(start + SECOND * 25), [(2, "busy", 25)]);
        assert_eq!(correlator.check_at(), None);
    }
}
