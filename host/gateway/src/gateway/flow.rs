//! Results that are passed on as they come: which may be, what is checked of them on the way, and their line in the audit
//! log, which is written when the last of them has gone.
//!
//! A result flows when nobody between server and client must see it: no interceptor wants it, no name or URI in it can need
//! another word. The rules for what a result says of itself are those of `call.rs`; what they can only answer with another
//! result than this one ends the flow.

use wasmgate_core::json::Json;
use wasmgate_core::mcp::{MAY_ASK, MODERN};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Operation, Phase, Pipeline};

use super::asked::Asked;
use super::audited::{Noted, Place};
use super::call::has_extension;
use super::snapshot::Snapshot;
use super::{CallError, Fault, Request, UpstreamError};
use crate::upstream::{self, Piece, Whole};

/// What a request comes to.
pub enum Given {
    /// A result.
    Result(Json),
    /// A long one, as it comes.
    Flow(Box<Flow>),
}

/// A result that is passed on as it comes. Dropping it cancels the request.
pub struct Flow {
    upstream: upstream::Flow,
    rules: Rules,
    /// The tool said that it failed.
    is_error: bool,
    /// Where the request is noted, and what is known of it.
    place: Option<(Place, Noted)>,
}

/// What a result may say of itself.
struct Rules {
    server: ServerName,
    /// The server is of a version in which `resultType` meant nothing.
    is_old: bool,
    /// The client is of one in which it means something.
    is_modern: bool,
    has_extension: bool,
}

impl Snapshot {
    /// Whether the result of a request may be passed on unseen, when its clients know everything by the server's own names.
    pub(super) fn may_flow(&self, request: &Request, asked: &Asked, operation: &Operation) -> bool {
        let pipeline: &Pipeline = &self.generation.pipeline;
        MAY_ASK.contains(&&*request.method)
            && asked.tool.is_none()
            && !pipeline.interested_in(operation, Phase::Response)
    }
}

impl Flow {
    /// A result of `server` in answer to `request`.
    pub(super) fn new(
        upstream: upstream::Flow,
        request: &Request,
        server: &ServerName,
        is_old: bool,
    ) -> Self {
        let rules = Rules {
            server: server.clone(),
            is_old,
            is_modern: MODERN.contains(&request.version),
            has_extension: has_extension(&request.client.capabilities),
        };
        Self { upstream, rules, is_error: false, place: None }
    }

    /// The same, with its line in the log when it is over.
    pub(super) fn noted(mut self, place: Place, noted: Noted) -> Self {
        self.place = Some((place, noted));
        self
    }

    /// The next part; None when the result is complete, which is not known before.
    ///
    /// # Errors
    /// [`CallError`]; nothing comes after it, and what came before was no result.
    pub async fn next(&mut self) -> Option<Result<Piece, CallError>> {
        let piece = match self.upstream.next().await {
            Some(Ok(piece)) => self.rules.checked(piece),
            Some(Err(fault)) => Err(self.rules.error(fault)),
            None => {
                let kind = if self.is_error { "tool_error" } else { "ok" };
                self.place.take().into_iter().for_each(|(place, noted)| place.end(noted, kind));
                return None;
            }
        };
        match &piece {
            Ok(Piece::Held { name: "isError", value, .. }) => self.is_error = value.boolean() == Some(true),
            Err(error) => self.fail(error),
            Ok(_) => {}
        }
        Some(piece)
    }

    /// It is of no use to whoever should get it.
    pub fn fail(&mut self, error: &CallError) {
        self.place.take().into_iter().for_each(|(place, noted)| place.take(noted, Err(error)));
    }

    /// Whether its server always says what its results are: one that flows is complete then.
    pub const fn is_known_complete(&self) -> bool {
        !self.rules.is_old
    }

    /// All of it, for somebody who wants it whole after all.
    ///
    /// # Errors
    /// [`CallError`], of the kind `limit_exceeded` when it is more than is held.
    pub async fn whole(mut self) -> Result<Json, CallError> {
        let limit = self.upstream.limit();
        let mut whole = Whole::default();
        let fault = loop {
            match self.next().await {
                Some(Ok(piece)) => {
                    if !whole.push(piece, limit) {
                        break Fault::TooLarge(limit);
                    }
                }
                Some(Err(error)) => return Err(error),
                None => match whole.finish() {
                    Some(result) => return Ok(result),
                    None => break Fault::Misbehaved("a result that is no object".into()),
                },
            }
        };
        let error = self.rules.error(fault);
        self.fail(&error);
        Err(error)
    }
}

impl Rules {
    /// A part of a result that its client may see.
    fn checked(&self, piece: Piece) -> Result<Piece, CallError> {
        let Piece::Held { name: "resultType", value, head, tail } = piece else { return Ok(piece) };
        let word = value.string().unwrap_or_default().into_owned();
        let complete = |value| Ok(Piece::Held { name: "resultType", value, head, tail });
        match &*word {
            "complete" => complete(value),
            _ if self.is_old && self.is_modern => complete(Json::of("complete")),
            // They could only be answered with something else than what has been sent already.
            "input_required" | "task" => {
                Err(self.error(Fault::Misbehaved("a result that says too late that it is none".into())))
            }
            _ if self.is_old || self.has_extension => complete(value),
            _ => Err(self.error(Fault::Misbehaved("a result of a type that nobody knows".into()))),
        }
    }

    fn error(&self, fault: Fault) -> CallError {
        UpstreamError { server: self.server.clone(), fault }.into()
    }
}

impl Given {
    /// The result whole.
    ///
    /// # Errors
    /// As [`Flow::whole`].
    pub async fn whole(self) -> Result<Json, CallError> {
        match self {
            Self::Result(result) => Ok(result),
            Self::Flow(flow) => flow.whole().await,
        }
    }
}
