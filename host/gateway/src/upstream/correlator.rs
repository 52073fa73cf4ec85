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
    /// What was left of the whole when the wait was suspended.
    left: Option<Duration>,
}

impl Patience {
    /// For a request that begins `now`.
    pub(super) fn new(deadlines: Deadlines, now: Instant) -> Self {
        let Deadlines { idle, total, .. } = deadlines;
        Self { idle, total, silent_until: now + idle, until: now + total, left: None }
    }

    /// For a request that may take `limit`, whatever it says meanwhile.
    pub(super) fn of(limit: Duration, now: Instant) -> Self {
        Self { idle: limit, total: limit, silent_until: now + limit, until: now + limit, left: None }
    }

    /// When it ends, unless the server says something before.
    pub(super) fn ends(&self) -> Instant {
        self.silent_until.min(self.until)
    }

    /// The server said something that belongs to this request.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.left.is_none() {
            self.silent_until = now + self.idle;
        }
    }

    /// The server waits for us: nothing counts until [`Patience::resume`].
    pub(super) fn suspend(&mut self, now: Instant) {
        if self.left.is_none() {
            self.left = Some(self.until.saturating_duration_since(now));
            (self.silent_until, self.until) = (now + AGES, now + AGES);
        }
    }

    /// We wait for the server again.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(left) = self.left.take() {
            (self.silent_until, self.until) = (now + self.idle, now + left);
        }
    }

    /// What could not be heard for so long does not count.
    pub(super) fn excuse(&mut self, length: Duration) {
        (self.silent_until, self.until) = (self.silent_until + length, self.until + length);
    }

    /// How long it may take while the server says nothing.
    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    /// The longest it may take.
    pub(super) const fn total(&self) -> Duration {
        self.total
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

    /// The one request in flight that this is said of, when there is exactly one.
    pub(super) fn only_one(&mut self, now: Instant, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        let mut found = self.waiting.values_mut().filter(|waiting| is(&waiting.ticket));
        let one = found.next()?;
        if found.next().is_some() {
            return None;
        }
        one.patience.renew(now);
        Some(&mut one.ticket)
    }

    /// A request in flight.
    pub(super) fn ticket(&mut self, id: u64) -> Option<&mut T> {
        self.waiting.get_mut(&id).map(|waiting| &mut waiting.ticket)
    }

    /// All requests in flight, in no order.
    pub(super) fn tickets(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.waiting.iter_mut().map(|(id, waiting)| (*id, &mut waiting.ticket))
    }

    /// The server waits for us before it goes on with this request.
    pub(super) fn suspend(&mut self, id: u64, now: Instant) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.patience.suspend(now);
        }
    }

    /// The server goes on with this request.
    pub(super) fn resume(&mut self, id: u64, now: Instant) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.patience.resume(now);
            let ends = waiting.patience.ends();
            self.check_at = Some(self.check_at.map_or(ends, |at| at.min(ends)));
        }
    }

    /// How long this request may take.
    pub(super) fn patience(&self, id: u64) -> Option<Patience> {
        self.waiting.get(&id).map(|waiting| waiting.patience)
    }

    /// When to call [`Correlator::expire`] at the latest.
    pub(super) fn check_at(&self) -> Option<Instant> {
        self.check_at
    }

    /// Nothing could be heard for so long: every request has that much longer.
    pub(super) fn excuse(&mut self, length: Duration) {
        self.waiting.values_mut().for_each(|waiting| waiting.patience.excuse(length));
        self.check_at = self.waiting.values().map(|waiting| waiting.patience.ends()).min();
    }

    /// Takes out what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(u64, T, Patience)> {
        let late = |waiting: &Waiting<T>| waiting.patience.ends() <= now;
        let ids: Vec<u64> = self.waiting.iter().filter(|(_, w)| late(w)).map(|(id, _)| *id).collect();
        let expired = ids.into_iter().filter_map(|id| {
            let Waiting { ticket, patience, .. } = self.waiting.remove(&id)?;
            Some((id, ticket, patience))
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

/// What does not count of the time, when what was due then is looked at only now: this process did not run meanwhile. A
/// little more than that, because what came meanwhile is still to be read. None when it is merely a little late.
pub(super) fn absent(due: Instant, now: Instant) -> Option<Duration> {
    let late = now.saturating_duration_since(due);
    (late >= ABSENCE).then(|| late + CATCHING_UP)
}

/// No timer of a process that runs is so late.
const ABSENCE: Duration = Duration::from_secs(1);
/// What a process that runs again may take to read what came meanwhile.
const CATCHING_UP: Duration = Duration::from_secs(2);
/// Longer than anything waits, and not too long for a clock.
const AGES: Duration = Duration::from_secs(300 * 86400);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Ids and tickets with the longest they might have taken, and the limit that was reached in seconds.
    fn expire<T>(correlator: &mut Correlator<T>, now: Instant) -> Vec<(u64, T, (Duration, u64))> {
        let expired = correlator.expire(now).into_iter();
        expired.map(|(id, ticket, patience)| (id, ticket, (patience.total(), patience.seconds()))).collect()
    }

    fn patience(now: Instant) -> Patience {
        Patience::new(Deadlines { initialize: SECOND, idle: SECOND * 10, total: SECOND * 25 }, now)
    }

    #[test]
    fn time_in_which_nothing_could_be_heard_does_not_count() {
        let start = Instant::now();
        let mut correlator = Correlator::new();
        correlator.ask(1, "a", None, patience(start));
        let due = correlator.check_at().unwrap();
        assert_eq!(absent(due, due + ABSENCE / 2), None, "a little late is no absence");
        let excuse = absent(due, due + SECOND * 100).unwrap();
        correlator.excuse(excuse);
        assert!(expire(&mut correlator, due + SECOND * 100).is_empty());
        assert_eq!(correlator.check_at(), Some(due + SECOND * 100 + CATCHING_UP));
        assert_eq!(expire(&mut correlator, due + SECOND * 100 + CATCHING_UP).len(), 1, "and then it is over");
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
        let heard = |correlator: &mut Correlator<&'static str>, wanted: &'static str| {
            correlator.only_one(now, |owner| wanted.contains(*owner)).copied()
        };
        assert_eq!(heard(&mut correlator, "b"), Some("b"));
        assert_eq!(heard(&mut correlator, "ab"), None);
        assert_eq!(heard(&mut correlator, "c"), None);
    }

    #[test]
    fn nothing_counts_while_the_server_waits_for_us() {
        let start = Instant::now();
        let mut correlator = Correlator::new();
        correlator.ask(1, "asks", Some(Json::of("t")), patience(start));
        correlator.suspend(1, start + SECOND * 5);
        correlator.suspend(1, start + SECOND * 6);
        correlator.progress(1, start + SECOND * 7);
        assert_eq!(expire(&mut correlator, start + SECOND * 5000), []);
        correlator.resume(1, start + SECOND * 5000);
        assert_eq!(correlator.check_at(), Some(start + SECOND * 5010));
        correlator.progress(1, start + SECOND * 5009);
        correlator.progress(1, start + SECOND * 5018);
        assert_eq!(expire(&mut correlator, start + SECOND * 5019), []);
        assert_eq!(
            expire(&mut correlator, start + SECOND * 5020),
            [(1, "asks", (SECOND * 25, 25))],
            "five seconds had passed"
        );
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
        assert_eq!(expire(&mut correlator, start + SECOND * 10), [(1, "silent", (SECOND * 25, 10))]);
        assert_eq!(correlator.check_at(), Some(start + SECOND * 25));
        assert_eq!(expire(&mut correlator, start + SECOND * 24), []);
        assert_eq!(expire(&mut correlator, start + SECOND * 25), [(2, "busy", (SECOND * 25, 25))]);
        assert_eq!(correlator.check_at(), None);
    }
}
