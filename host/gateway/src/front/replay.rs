//! What the streams of one legacy session carried, kept for a while: a client whose connection broke goes on where it
//! was (2025-11-25 basic/transports, "Resumability and Redelivery").
//!
//! A stream is the answer to one POST or what one GET tells. Whoever makes its messages puts them into a [`Recording`],
//! at its own pace and whether or not anybody reads; a [`Reader`] is one connection that reads them, and the newest one
//! wins. Nothing here is a socket or knows a message's meaning. No clock: instants come in.
//!
//! What is kept is bounded for each stream, for each session and for all of them together; the oldest goes first. What
//! waits for a connection that is there is never dropped: the maker waits instead.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::Notify;

use super::sse::Event;

/// The streams of one session.
pub(super) struct Replay(Arc<Shared>);

/// What all sessions keep together, in bytes.
#[derive(Default)]
pub(super) struct Budget(AtomicUsize);

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer to one POST, and what comes before it.
    Answer,
    /// What belongs to no request (GET).
    News,
}

/// The name of one event: nothing else in any session has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventId {
    session: u32,
    pub(super) kind: Kind,
    stream: u64,
    event: u64,
}

/// Where the maker of a stream puts its messages.
#[derive(Clone)]
pub(super) struct Recording {
    shared: Arc<Shared>,
    stream: u64,
    changed: Arc<Notify>,
}

/// One connection that reads a stream.
pub(super) struct Reader {
    recording: Recording,
    turn: u64,
    is_new: bool,
}

/// How a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A connection reads it.
    Read,
    /// None does.
    Unread,
    /// Nobody can read it any more.
    Gone,
}

struct Shared {
    /// Tells this session's events from those of a session that was here under the same id before.
    session: u32,
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    opened: u64,
    tapes: BTreeMap<u64, Tape>,
    /// Of all tapes.
    bytes: usize,
    /// News that are being read, the one opened last at the end.
    news: Vec<u64>,
    /// News that were read last.
    left: Option<u64>,
}

struct Tape {
    kind: Kind,
    /// The number of the oldest event that is kept.
    first: u64,
    events: VecDeque<Bytes>,
    bytes: usize,
    reading: Option<Reading>,
    turns: u64,
    ended: Option<Instant>,
    changed: Arc<Notify>,
}

#[derive(Clone, Copy)]
struct Reading {
    turn: u64,
    /// The event it gets next.
    next: u64,
}

/// What a reader finds.
enum Found {
    Event(u64, Bytes),
    Nothing,
    Over,
}

impl Replay {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let mut session = [0; 4];
        // Without random numbers an event of a session before may be taken for one of ours, and nothing worse.
        let _ = getrandom::fill(&mut session);
        let session = u32::from_ne_bytes(session);
        Self(Arc::new(Shared { session, budget, state: Mutex::default() }))
    }

    /// Opens the answer to a POST. A client that knows primed streams gets an empty event at once, so that it can come
    /// back even when the connection breaks before anything was said.
    pub(super) fn answer(&self, is_primed: bool) -> (Recording, Reader) {
        let mut state = self.0.state();
        self.0.open(&mut state, Kind::Answer, is_primed)
    }

    /// Opens a stream of news, one of at most `most` that are read at once; None when there are so many.
    pub(super) fn news(&self, most: usize, is_primed: bool) -> Option<(Recording, Reader)> {
        let mut state = self.0.state();
        if state.news.len() >= most {
            return None;
        }
        let all = |state: &State| state.tapes.values().filter(|tape| tape.kind == Kind::News).count();
        // Those that nobody came back for make room.
        while all(&state) >= most {
            let idle = |(_, tape): &(&u64, &Tape)| tape.kind == Kind::News && tape.reading.is_none();
            let Some(oldest) = state.tapes.iter().find(idle).map(|(stream, _)| *stream) else { break };
            self.0.forget(&mut state, oldest);
        }
        Some(self.0.open(&mut state, Kind::News, is_primed))
    }

    /// Goes on behind an event; None when it is not one of this session's, or what came after it is not kept.
    pub(super) fn resume(&self, after: EventId) -> Option<Reader> {
        if after.session != self.0.session {
            return None;
        }
        let mut state = self.0.state();
        let tape = state.tapes.get(&after.stream)?;
        let (next, changed) = (after.event.checked_add(1)?, Arc::clone(&tape.changed));
        let is_kept = tape.kind == after.kind && tape.first <= next && next <= tape.end();
        is_kept.then(|| {
            let recording = Recording { shared: Arc::clone(&self.0), stream: after.stream, changed };
            recording.read(&mut state, next)
        })
    }

    /// Forgets what ended long ago.
    pub(super) fn sweep(&self, now: Instant) {
        let mut state = self.0.state();
        let is_old = |tape: &Tape| tape.ended.is_some_and(|at| now.saturating_duration_since(at) > KEPT);
        let old: Vec<u64> =
            state.tapes.iter().filter(|(_, tape)| is_old(tape)).map(|(stream, _)| *stream).collect();
        for stream in old {
            self.0.forget(&mut state, stream);
        }
    }

    /// Whether nothing is kept and nothing is going on.
    pub(super) fn is_empty(&self) -> bool {
        self.0.state().tapes.is_empty()
    }
}

impl Recording {
    /// Adds a message. Waits while a connection has much to read yet.
    pub(super) async fn push(&self, message: Vec<u8>) {
        let message = Bytes::from(message);
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.shared.has_room(self.stream) {
                break;
            }
            changed.await;
        }
        self.shared.push(self.stream, message);
        self.changed.notify_waiters();
    }

    /// Nothing comes after this.
    pub(super) fn finish(&self, now: Instant) {
        self.shared.finish(self.stream, now);
        self.changed.notify_waiters();
    }

    pub(super) fn standing(&self) -> Standing {
        match self.shared.state().tapes.get(&self.stream) {
            None => Standing::Gone,
            Some(tape) if tape.reading.is_some() => Standing::Read,
            Some(_) => Standing::Unread,
        }
    }

    /// Resolves once the standing is another one.
    pub(super) async fn turned(&self, from: Standing) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.standing() != from {
                return;
            }
            changed.await;
        }
    }

    /// Whether news of a session go on this stream: a message goes on one only (2025-03-26 basic/transports, "Multiple
    /// Connections"), the one read last.
    pub(super) fn is_chosen(&self) -> bool {
        let state = self.shared.state();
        match state.news.last() {
            Some(last) => *last == self.stream,
            None => state.left == Some(self.stream),
        }
    }

    fn read(self, state: &mut State, next: u64) -> Reader {
        let mut turn = 0;
        if let Some(tape) = state.tapes.get_mut(&self.stream) {
            tape.turns += 1;
            turn = tape.turns;
            tape.reading = Some(Reading { turn, next });
            if tape.kind == Kind::News {
                state.news.retain(|stream| *stream != self.stream);
                state.news.push(self.stream);
            }
        }
        self.changed.notify_waiters();
        Reader { recording: self, turn, is_new: true }
    }
}

impl Reader {
    /// The next event, with its id; None once the stream is over, or another connection reads it.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let changed = self.recording.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            match self.recording.shared.next(self.recording.stream, self.turn) {
                Found::Over => return None,
                Found::Nothing => changed.await,
                Found::Event(id, data) => {
                    // Its maker may wait for room.
                    self.recording.changed.notify_waiters();
                    let retry = std::mem::take(&mut self.is_new).then_some(RETRY);
                    let id = self.recording.shared.name(self.recording.stream, id);
                    return Some(Event { id: Some(id.to_string()), retry, data });
                }
            }
        }
    }

    /// All that is left, as it comes.
    pub(super) fn events(self) -> BoxStream<'static, Event> {
        stream::unfold(self, |mut reader| async move { Some((reader.next().await?, reader)) }).boxed()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.recording.shared.leave(self.recording.stream, self.turn);
        self.recording.changed.notify_waiters();
    }
}

impl Shared {
    fn open(self: &Arc<Self>, state: &mut State, kind: Kind, is_primed: bool) -> (Recording, Reader) {
        state.opened += 1;
        let changed = Arc::new(Notify::new());
        let tape = Tape {
            kind,
            first: u64::from(!is_primed),
            events: is_primed.then(Bytes::new).into_iter().collect(),
            bytes: 0,
            reading: None,
            turns: 0,
            ended: None,
            changed: Arc::clone(&changed),
        };
        let first = tape.first;
        state.tapes.insert(state.opened, tape);
        let recording = Recording { shared: Arc::clone(self), stream: state.opened, changed };
        let reader = recording.clone().read(state, first);
        (recording, reader)
    }

    fn push(&self, stream: u64, message: Bytes) {
        let mut state = self.state();
        let Some(tape) = state.tapes.get_mut(&stream) else { return };
        let size = message.len();
        tape.bytes += size;
        tape.events.push_back(message);
        state.bytes += size;
        self.budget.0.fetch_add(size, Ordering::Relaxed);
        self.trim(&mut state, stream);
    }

    /// Back within the bounds: of this stream, of the session, of all of them.
    fn trim(&self, state: &mut State, stream: u64) {
        let is_long = |tape: &Tape| tape.bytes > STREAM_BYTES || tape.events.len() > STREAM_EVENTS;
        while state.tapes.get(&stream).is_some_and(is_long) && self.drop_oldest(state, stream) {}
        while self.is_full(state.bytes) {
            let over = |(_, tape): &(&u64, &Tape)| tape.ended.is_some() && tape.reading.is_none();
            if let Some(over) = state.tapes.iter().find(over).map(|(stream, _)| *stream) {
                self.forget(state, over);
                continue;
            }
            let streams: Vec<u64> = state.tapes.keys().copied().collect();
            if !streams.into_iter().any(|stream| self.drop_oldest(state, stream)) {
                return;
            }
        }
    }

    /// A little may be kept by every session, whatever the others keep.
    fn is_full(&self, bytes: usize) -> bool {
        bytes > SESSION_BYTES || (bytes > LITTLE && self.budget.0.load(Ordering::Relaxed) > ALL_BYTES)
    }

    /// Forgets the oldest event of a stream, unless a connection is still to read it.
    fn drop_oldest(&self, state: &mut State, stream: u64) -> bool {
        let Some(tape) = state.tapes.get_mut(&stream) else { return false };
        if tape.reading.is_some_and(|reading| reading.next <= tape.first) {
            return false;
        }
        let Some(oldest) = tape.events.pop_front() else { return false };
        tape.first += 1;
        tape.bytes -= oldest.len();
        state.bytes -= oldest.len();
        self.budget.0.fetch_sub(oldest.len(), Ordering::Relaxed);
        true
    }

    fn forget(&self, state: &mut State, stream: u64) {
        let Some(tape) = state.tapes.remove(&stream) else { return };
        state.bytes -= tape.bytes;
        self.budget.0.fetch_sub(tape.bytes, Ordering::Relaxed);
        state.news.retain(|news| *news != stream);
        tape.changed.notify_waiters();
    }

    fn finish(&self, stream: u64, now: Instant) {
        let mut state = self.state();
        let Some(tape) = state.tapes.get_mut(&stream) else { return };
        tape.ended = Some(now);
        if tape.kind == Kind::News {
            return self.forget(&mut state, stream);
        }
        let over = |(_, tape): &(&u64, &Tape)| tape.ended.is_some() && tape.reading.is_none();
        while state.tapes.iter().filter(over).count() > ENDED {
            let Some(oldest) = state.tapes.iter().find(over).map(|(stream, _)| *stream) else { return };
            self.forget(&mut state, oldest);
        }
    }

    fn next(&self, stream: u64, turn: u64) -> Found {
        let mut state = self.state();
        let Some(tape) = state.tapes.get_mut(&stream) else { return Found::Over };
        let Some(reading) = tape.reading.as_mut().filter(|reading| reading.turn == turn) else {
            return Found::Over;
        };
        let place = reading.next.checked_sub(tape.first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| tape.events.get(place)) {
            Some(event) => {
                let id = reading.next;
                reading.next += 1;
                Found::Event(id, event.clone())
            }
            None if tape.ended.is_some() => Found::Over,
            None => Found::Nothing,
        }
    }

    fn leave(&self, stream: u64, turn: u64) {
        let mut state = self.state();
        let Some(tape) = state.tapes.get_mut(&stream) else { return };
        if tape.reading.is_none_or(|reading| reading.turn != turn) {
            return;
        }
        tape.reading = None;
        if tape.kind == Kind::News {
            state.news.retain(|news| *news != stream);
            state.left = Some(stream);
        }
        // What was held back for that connection alone may be more than is kept.
        self.trim(&mut state, stream);
    }

    fn has_room(&self, stream: u64) -> bool {
        let state = self.state();
        let Some(tape) = state.tapes.get(&stream) else { return true };
        let Some(reading) = tape.reading else { return true };
        let read = usize::try_from(reading.next.saturating_sub(tape.first)).unwrap_or(usize::MAX);
        let waiting: usize = tape.events.iter().skip(read).map(Bytes::len).sum();
        waiting < WAITING_BYTES && tape.events.len().saturating_sub(read) < WAITING_EVENTS
    }

    fn name(&self, stream: u64, event: u64) -> EventId {
        let kind = self.state().tapes.get(&stream).map_or(Kind::Answer, |tape| tape.kind);
        EventId { session: self.session, kind, stream, event }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).bytes;
        self.budget.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Tape {
    /// The number the next event will have.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.events.len() as u64)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Answer => 'a',
            Kind::News => 'n',
        };
        write!(f, "{:08x}-{kind}{:x}-{:x}", self.session, self.stream, self.event)
    }
}

impl EventId {
    /// As [`fmt::Display`] writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (session, stream, event) = (parts.next()?, parts.next()?, parts.next()?);
        let (kind, stream) = match stream.split_at_checked(1)? {
            ("a", stream) => (Kind::Answer, stream),
            ("n", stream) => (Kind::News, stream),
            _ => return None,
        };
        let number = |text| u64::from_str_radix(text, 16).ok();
        let session = u32::from_str_radix(session, 16).ok()?;
        let id = Self { session, kind, stream: number(stream)?, event: number(event)? };
        (id.to_string() == text).then_some(id)
    }
}

/// How long a client should wait before it comes back.
const RETRY: Duration = Duration::from_secs(1);
/// How long a stream is kept after its end.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// What is kept of one stream.
const STREAM_EVENTS: usize = 1024;
const STREAM_BYTES: usize = 8 << 20;
/// So many streams of a session that have ended are kept.
const ENDED: usize = 32;
/// What is kept of one session.
const SESSION_BYTES: usize = 16 << 20;
/// What a session may keep when all of them together keep too much.
const LITTLE: usize = 64 << 10;
/// What is kept of all sessions.
const ALL_BYTES: usize = 128 << 20;
/// What waits for a connection before the maker of its messages has to.
const WAITING_EVENTS: usize = 64;
const WAITING_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests;
