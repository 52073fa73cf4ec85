//! A response that is too long to be held: its envelope is checked and taken off, the members of its result come out. No
//! socket, no clock.
//!
//! Bytes go in as they come. Members that eras or the log own ([`HELD`]) come out whole; of every other one the name comes
//! first and then its text, each byte as the server wrote it, white space included. Nothing is known to be a response
//! before [`Sieve::finish`]: whoever passes the members on must not end the message before that.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use wasmgate_core::json::{Checker, Json, Mark};
use wasmgate_core::jsonrpc::Id;

use super::Fault;

/// A part of a result, between its opening and its closing brace. Commas between members are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A member of which the value must be known: all of it.
    Held {
        /// The text up to the value: white space, name, colon.
        head: Bytes,
        /// The value.
        value: Json,
        /// The text behind the value: white space.
        tail: Bytes,
        /// Which one.
        name: &'static str,
    },
    /// Another member begins.
    Begins {
        /// Its name.
        name: Box<str>,
        /// The text up to the value: white space, name, colon.
        head: Bytes,
        /// The first byte of the value: it says what kind of value it is.
        first: u8,
    },
    /// More of the text of the member that has begun: its value, white space behind it.
    More(Bytes),
    /// The result has no (further) members; white space before its closing brace.
    Space(Bytes),
}

/// Members of a result that come out whole.
pub const HELD: [&str; 5] = ["resultType", "ttlMs", "cacheScope", "_meta", "isError"];

/// What is known of a response so far.
pub(super) struct Sieve {
    checker: Checker,
    envelope: Envelope,
    /// How much has come, in bytes.
    came: u64,
    /// The most that may come.
    most: u64,
}

struct Envelope {
    /// The request's id.
    id: u64,
    /// The most that is held of one member, in bytes.
    limit: usize,
    /// What is before this place has been dealt with.
    done: u64,
    place: Place,
    /// What has come since the last separator, where that is kept.
    kept: BytesMut,
    seen: Seen,
    out: VecDeque<Piece>,
    fault: Option<Fault>,
}

/// What the bytes that come belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The envelope, or a member of it that says nothing to us.
    Envelope,
    /// The value of `id` or `jsonrpc`.
    Value(Own),
    /// The result, before the value of its next member.
    Head,
    /// A member of the result that passes.
    Member,
    /// A member of the result that is held: where its value starts in what is kept, and ends once it has.
    Held { name: &'static str, starts: usize, ends: Option<usize> },
}

/// A member of the envelope that is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Id,
    Version,
}

/// Members of the envelope that have come.
#[derive(Default)]
struct Seen {
    id: bool,
    version: bool,
    result: bool,
}

impl Sieve {
    /// Takes the start of a response to the request `id`. None when it is not certain that it can be passed on: it is
    /// another message, or its result has not begun, or is no object, or is one that asks for more than to be passed on.
    pub(super) fn begin(start: &Bytes, id: u64, (limit, most): (usize, usize)) -> Option<Self> {
        let envelope = Envelope {
            id,
            limit,
            done: 0,
            place: Place::Envelope,
            kept: BytesMut::new(),
            seen: Seen::default(),
            out: VecDeque::new(),
            fault: None,
        };
        let mut sieve = Self { checker: Checker::new(), envelope, came: 0, most: most as u64 };
        let start = match start.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => start.slice_ref(rest),
            None => start.clone(),
        };
        sieve.push(&start).ok()?;
        let is_inside = matches!(sieve.envelope.place, Place::Head | Place::Member | Place::Held { .. });
        let is_complete = |piece: &Piece| match piece {
            Piece::Held { name: "resultType", value, .. } => value.string().as_deref() == Some("complete"),
            _ => true,
        };
        (is_inside && sieve.envelope.out.iter().all(is_complete)).then_some(sieve)
    }

    /// Takes what has come next.
    ///
    /// # Errors
    /// [`Fault::Misbehaved`] when it can be no response to the request, [`Fault::TooLarge`].
    pub(super) fn push(&mut self, piece: &Bytes) -> Result<(), Fault> {
        let start = self.came;
        self.came += piece.len() as u64;
        if self.came > self.most {
            return Err(Fault::TooLarge(usize::try_from(self.most).unwrap_or(usize::MAX)));
        }
        let Self { checker, envelope, .. } = self;
        let checked = checker.push(piece, &mut |mark| envelope.mark(&mark, (start, piece)));
        checked.map_err(|error| Fault::Misbehaved(error.to_string()))?;
        envelope.go((start, piece), start + piece.len() as u64);
        envelope.fault.take().map_or(Ok(()), Err)
    }

    /// The next part of the result, when it has come.
    pub(super) fn next(&mut self) -> Option<Piece> {
        self.envelope.out.pop_front()
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// [`Fault::Misbehaved`] when what came was not a response to the request.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        self.checker.finish().map_err(|error| Fault::Misbehaved(error.to_string()))?;
        let Seen { id, version, result } = self.envelope.seen;
        match (id, version, result) {
            (true, true, true) => Ok(()),
            (false, ..) => Err(misbehaved("a result needs the `id` of its request")),
            _ => Err(misbehaved(VERSION)),
        }
    }
}

/// A piece and where it starts in the text.
type At<'p> = (u64, &'p Bytes);

impl Envelope {
    /// The checker tells of a member. Nothing counts after the first fault.
    fn mark(&mut self, mark: &Mark<'_>, piece: At<'_>) {
        if self.fault.is_some() {
            return;
        }
        match mark {
            Mark::Begins { level: 0, name, at, first } => {
                self.go(piece, *at);
                self.envelope_member(name, *first);
            }
            Mark::Ends { level: 0, at } => self.envelope_member_over(piece, *at),
            Mark::Begins { name, at, first, .. } if self.place == Place::Head => {
                self.go(piece, *at);
                self.member(name, *first);
            }
            Mark::Ends { at, .. } => {
                self.go(piece, *at);
                if let Place::Held { ends, .. } = &mut self.place {
                    *ends = Some(self.kept.len());
                }
            }
            Mark::Comma { level: 1, at } if self.in_result() => {
                self.go(piece, *at);
                self.member_over();
                self.done = at + 1;
            }
            Mark::Begins { .. } | Mark::Comma { .. } => {}
        }
    }

    /// The value of a member of the envelope begins.
    fn envelope_member(&mut self, name: &str, first: u8) {
        self.place = match (name, first) {
            ("id", _) => Place::Value(Own::Id),
            ("jsonrpc", _) => Place::Value(Own::Version),
            ("result", b'{') => {
                self.seen.result = true;
                self.done += 1;
                Place::Head
            }
            ("result", _) => return self.fail("a result that is no object"),
            ("method" | "error", _) => {
                return self.fail("more than one of `method`, `result` and `error`");
            }
            _ => Place::Envelope,
        };
    }

    fn envelope_member_over(&mut self, piece: At<'_>, at: u64) {
        if self.in_result() {
            self.go(piece, at.saturating_sub(1));
            self.member_over();
            self.done = at;
        } else {
            self.go(piece, at);
        }
        let value = self.kept.split().freeze();
        match self.place {
            Place::Value(Own::Id) => {
                let id = Json::parse(value).ok().and_then(|id| Id::of(&id)?.as_u64());
                self.seen.id = id == Some(self.id);
                if !self.seen.id {
                    self.fail("a result with the `id` of another request");
                }
            }
            Place::Value(Own::Version) => {
                let version = Json::parse(value).ok();
                self.seen.version = version.is_some_and(|version| version.string().as_deref() == Some("2.0"));
                if !self.seen.version {
                    self.fail(VERSION);
                }
            }
            _ => {}
        }
        self.place = Place::Envelope;
    }

    /// The value of a member of the result begins.
    fn member(&mut self, name: &str, first: u8) {
        if let Some(name) = HELD.into_iter().find(|held| *held == name) {
            self.place = Place::Held { name, starts: self.kept.len(), ends: None };
            return;
        }
        let head = self.kept.split().freeze();
        self.out.push_back(Piece::Begins { name: name.into(), head, first });
        self.place = Place::Member;
    }

    /// A member of the result is over, or there was none.
    fn member_over(&mut self) {
        let mut text = self.kept.split().freeze();
        match self.place {
            Place::Held { name, starts, ends } => {
                let tail = text.split_off(ends.unwrap_or(text.len()));
                let value = text.split_off(starts);
                match Json::parse(value) {
                    Ok(value) => self.out.push_back(Piece::Held { head: text, value, tail, name }),
                    Err(error) => self.fail(&error.to_string()),
                }
            }
            Place::Head if !text.is_empty() => self.out.push_back(Piece::Space(text)),
            _ => {}
        }
        self.place = Place::Head;
    }

    /// Deals with what comes before `to`.
    fn go(&mut self, (start, piece): At<'_>, to: u64) {
        let inside =
            |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(piece.len());
        let range = inside(self.done)..inside(to).max(inside(self.done));
        self.done = self.done.max(to);
        if range.is_empty() {
            return;
        }
        match self.place {
            Place::Envelope => {}
            Place::Member => self.out.push_back(Piece::More(piece.slice(range))),
            Place::Value(_) | Place::Head | Place::Held { .. } => {
                let limit = if matches!(self.place, Place::Held { .. }) { self.limit } else { SHORT };
                if self.kept.len() + range.len() > limit {
                    self.fault = self.fault.take().or(Some(Fault::TooLarge(limit)));
                    return;
                }
                self.kept.extend_from_slice(piece.get(range).unwrap_or_default());
            }
        }
    }

    const fn in_result(&self) -> bool {
        matches!(self.place, Place::Head | Place::Member | Place::Held { .. })
    }

    fn fail(&mut self, what: &str) {
        self.fault = self.fault.take().or_else(|| Some(misbehaved(what)));
    }
}

fn misbehaved(what: &str) -> Fault {
    Fault::Misbehaved(what.to_owned())
}

const VERSION: &str = "`jsonrpc` must be \"2.0\"";
/// How long an id, or a name with the white space around it, may be in a response that is not held.
const SHORT: usize = 128 << 10;

#[cfg(test)]
mod tests;
