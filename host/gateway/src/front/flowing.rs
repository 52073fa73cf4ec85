//! A result that is passed on as it comes, worded for its client: the envelope, and the members that eras own.
//!
//! What follows from the whole of a result elsewhere (see [`super::modern`], [`super::legacy`]) is decided here member by
//! member. What we add stands at the end. The last brace is written once the server's response is known to be one: a
//! result that breaks off never looks like a whole one, and nothing can be said of it but by ending the connection.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use memchr::memchr2;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{Id, write_result};
use wasmgate_core::mcp::meta;

use super::body::Broken;
use super::calling::{Reply, reply};
use super::modern::CACHEABLE;
use super::render::Wire;
use super::session::InFlight;
use crate::gateway::{CallError, Flow, Piece, SERVER_INFO};

/// One answer on its way.
pub(super) struct Flowing {
    pub(super) flow: Box<Flow>,
    pub(super) to: To,
    /// Its place among the calls in flight.
    pub(super) in_flight: Option<InFlight>,
}

/// Whom it is for.
pub(super) struct To {
    pub(super) wire: Wire,
    pub(super) id: Id,
    pub(super) method: Arc<str>,
    /// The request's id in the log.
    pub(super) request: Arc<str>,
}

impl Flowing {
    /// The response, piece by piece.
    pub(super) fn pieces(self) -> impl Stream<Item = Result<Bytes, Broken>> + Send + 'static {
        let Self { flow, to, in_flight } = self;
        let opening = envelope(&to.id);
        let wording = Wording::new(to.wire, Arc::clone(&to.method), flow.is_known_complete());
        let written = Written { flow, to, in_flight, wording, ready: VecDeque::from([opening]) };
        stream::unfold(Some(written), async |written| {
            let mut written = written?;
            match written.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(written))),
                Ok(None) => None,
                Err(broken) => Some((Err(broken), None)),
            }
        })
        .filter(|bytes| std::future::ready(!bytes.as_ref().is_ok_and(Bytes::is_empty)))
        .map(|bytes| bytes.map(on_one_line))
    }

    /// The response as one event of a stream.
    pub(super) fn event(self) -> impl Stream<Item = Result<Bytes, Broken>> + Send + 'static {
        let around = |text: &'static [u8]| stream::once(std::future::ready(Ok(Bytes::from_static(text))));
        // What follows an error is never asked for: the connection has ended then.
        around(b"event: message\ndata: ").chain(self.pieces()).chain(around(b"\n\n"))
    }

    /// All of it, for a client that cannot take it as it comes.
    pub(super) async fn whole(self) -> Reply {
        let Self { flow, to, in_flight } = self;
        let whole = match in_flight {
            None => flow.whole().await,
            Some(mut in_flight) => tokio::select! {
                biased;
                () = in_flight.cancelled() => return Reply::silence(),
                whole = flow.whole() => whole,
            },
        };
        reply(&to, whole)
    }
}

/// A message is one line: between the tokens of a value line breaks mean nothing, and within them there are none.
fn on_one_line(text: Bytes) -> Bytes {
    if memchr2(b'\n', b'\r', &text).is_none() {
        return text;
    }
    text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

/// What comes before the members of a result.
fn envelope(id: &Id) -> Bytes {
    let mut empty = write_result(id, &Json::empty_object());
    // Without the braces of the result and of the message.
    empty.truncate(empty.len().saturating_sub(2));
    empty.into()
}

struct Written {
    flow: Box<Flow>,
    to: To,
    in_flight: Option<InFlight>,
    wording: Wording,
    ready: VecDeque<Bytes>,
}

impl Written {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            if self.wording.is_over {
                return Ok(None);
            }
            let piece = match &mut self.in_flight {
                None => self.flow.next().await,
                Some(in_flight) => tokio::select! {
                    biased;
                    () = in_flight.cancelled() => {
                        tracing::debug!(request = %self.to.request, method = %self.to.method, "cancelled by the client");
                        return Err(Broken);
                    }
                    piece = self.flow.next() => piece,
                },
            };
            let worded = match piece {
                Some(Ok(piece)) => self.wording.word(piece, &mut self.ready),
                Some(Err(error)) => Err(error),
                None => {
                    self.wording.end(&mut self.ready);
                    Ok(())
                }
            };
            if let Err(error) = worded {
                let To { request, method, .. } = &self.to;
                tracing::info!(%request, %method, %error, "the result broke off");
                self.flow.fail(&error);
                return Err(Broken);
            }
        }
    }
}

/// What of a result its client gets.
struct Wording {
    wire: Wire,
    method: Arc<str>,
    /// Whether the result says, or its server always means, that it is complete.
    is_complete: Option<bool>,
    has_members: bool,
    /// The member that is coming is not for this client.
    is_dropping: bool,
    seen: Seen,
    /// Members of which it is not known yet whether they are for this client.
    undecided: Vec<Piece>,
    is_over: bool,
}

/// Members of the result that we would add.
#[derive(Default)]
struct Seen {
    kind: bool,
    ttl: bool,
    scope: bool,
    meta: bool,
}

impl Wording {
    fn new(wire: Wire, method: Arc<str>, is_known_complete: bool) -> Self {
        Self {
            wire,
            method,
            is_complete: is_known_complete.then_some(true),
            has_members: false,
            is_dropping: false,
            seen: Seen::default(),
            undecided: Vec::new(),
            is_over: false,
        }
    }

    fn word(&mut self, piece: Piece, out: &mut VecDeque<Bytes>) -> Result<(), CallError> {
        match (self.wire, piece) {
            (_, Piece::More(_)) if self.is_dropping => {}
            (_, Piece::More(text) | Piece::Space(text)) => out.push_back(text),
            (Wire::Modern, Piece::Held { head, value, tail, name }) => {
                let value = self.modern(name, value);
                self.put(Piece::Held { head, value, tail, name }, out);
            }
            (Wire::Legacy, held @ Piece::Held { .. }) => self.legacy(held, out)?,
            (wire, begins @ Piece::Begins { .. }) => {
                // Since 2026-07-28 structured content may be anything; before, it is an object.
                let is_odd = matches!(&begins, Piece::Begins { name, first, .. } if &**name == "structuredContent" && *first != b'{');
                self.is_dropping = is_odd && wire == Wire::Legacy && self.is_complete == Some(true);
                if !self.is_dropping {
                    self.put(begins, out);
                }
            }
        }
        Ok(())
    }

    /// A member as a client of 2026-07-28 gets it.
    fn modern(&mut self, name: &str, value: Json) -> Json {
        match name {
            "resultType" => {
                self.seen.kind = true;
                self.is_complete = Some(value.string().as_deref() == Some("complete"));
            }
            "ttlMs" => self.seen.ttl = true,
            "cacheScope" => self.seen.scope = true,
            "_meta" => {
                self.seen.meta = true;
                if value.is_object() && value.member(meta::SERVER_INFO).is_none() {
                    return value.with_member(meta::SERVER_INFO, &SERVER_INFO);
                }
            }
            _ => {}
        }
        value
    }

    /// A member as older clients get it, or not.
    fn legacy(&mut self, held: Piece, out: &mut VecDeque<Bytes>) -> Result<(), CallError> {
        let Piece::Held { name, value, .. } = &held else { return Ok(()) };
        match (*name, self.is_complete) {
            ("resultType", _) => {
                let kind = value.string();
                if kind.as_deref() == Some("input_required") {
                    return Err(CallError::NotAsked("it cannot be asked in this request"));
                }
                let is_complete = kind.as_deref() == Some("complete");
                self.is_complete = Some(is_complete);
                if !is_complete {
                    self.put(held, out);
                }
            }
            ("ttlMs" | "cacheScope", None) => self.undecided.push(held),
            ("ttlMs" | "cacheScope", Some(true)) => {}
            _ => self.put(held, out),
        }
        Ok(())
    }

    fn put(&mut self, member: Piece, out: &mut VecDeque<Bytes>) {
        if std::mem::replace(&mut self.has_members, true) {
            out.push_back(Bytes::from_static(b","));
        }
        self.is_dropping = false;
        match member {
            Piece::Held { head, value, tail, .. } => out.extend([head, value.bytes().clone(), tail]),
            Piece::Begins { head: text, .. } | Piece::More(text) | Piece::Space(text) => out.push_back(text),
        }
    }

    /// The result is complete, and so is the message.
    fn end(&mut self, out: &mut VecDeque<Bytes>) {
        if self.is_complete != Some(true) {
            std::mem::take(&mut self.undecided).into_iter().for_each(|member| self.put(member, out));
        }
        if self.wire == Wire::Modern {
            self.own(out);
        }
        out.push_back(Bytes::from_static(b"}}"));
        self.is_over = true;
    }

    /// What the server left out.
    fn own(&mut self, out: &mut VecDeque<Bytes>) {
        let Seen { kind, ttl, scope, meta } = self.seen;
        let is_cacheable = (!kind || self.is_complete == Some(true)) && CACHEABLE.contains(&&*self.method);
        let info = Json::empty_object().with_member(meta::SERVER_INFO, &SERVER_INFO);
        for (name, value, is_wanted) in [
            ("resultType", Json::of("complete"), !kind),
            ("ttlMs", Json::of(&0), is_cacheable && !ttl),
            ("cacheScope", Json::of("private"), is_cacheable && !scope),
            ("_meta", info, !meta),
        ] {
            if is_wanted {
                let head = Bytes::from(format!("\"{name}\":"));
                self.put(Piece::Held { head, value, tail: Bytes::new(), name }, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
