//! A result that is passed on as it comes: too long to be held, and of interest to nobody on the way.
//!
//! Nothing of it is fetched before somebody asks for the next part, so a reader that stops stops the server. Whatever must
//! last as long as the call (its turns, its instance, its place among the calls in flight) goes with the flow; dropping it
//! cancels the call.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use wasmgate_core::json::Json;

use super::{Fault, Piece};

/// A result on its way.
pub struct Flow {
    pieces: BoxStream<'static, Result<Piece, Fault>>,
    /// The most that is held of a result, in bytes.
    limit: usize,
    /// Kept until the call is over.
    held: Vec<Box<dyn Any + Send>>,
}

/// Whether whoever asks can take a result as it comes: by default not. Clones share the answer, which may become no before
/// a result has begun to flow.
#[derive(Debug, Clone, Default)]
pub struct Appetite(Option<Arc<AtomicBool>>);

impl Appetite {
    /// Results may flow, until [`Appetite::spoil`].
    pub fn for_flows() -> Self {
        Self(Some(Arc::new(AtomicBool::new(true))))
    }

    /// From now on every result is wanted whole.
    pub fn spoil(&self) {
        self.0.iter().for_each(|may_flow| may_flow.store(false, Ordering::Release));
    }

    /// Whether a result may flow.
    pub fn is_for_flows(&self) -> bool {
        self.0.as_ref().is_some_and(|may_flow| may_flow.load(Ordering::Acquire))
    }
}

impl Flow {
    /// `pieces` up to the first error or to the end of a response that was found to be one; `limit` bytes of a result are
    /// held at most.
    pub(super) fn new(pieces: BoxStream<'static, Result<Piece, Fault>>, limit: usize) -> Self {
        Self { pieces, limit, held: Vec::new() }
    }

    /// The same, which keeps `held` as long as it flows.
    pub(super) fn holding(mut self, held: impl Send + 'static) -> Self {
        self.held.push(Box::new(held));
        self
    }

    /// The next part; None when the result is complete, which is not known before. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Result<Piece, Fault>> {
        let piece = self.pieces.next().await;
        if !matches!(piece, Some(Ok(_))) {
            self.held.clear();
        }
        piece
    }

    /// The most that is held of a result, in bytes.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// All of it, for somebody who wants it whole after all.
    ///
    /// # Errors
    /// [`Fault`], [`Fault::TooLarge`] when it is more than is held.
    pub async fn whole(mut self) -> Result<Json, Fault> {
        let limit = self.limit;
        let mut whole = Whole::default();
        while let Some(piece) = self.next().await {
            if !whole.push(piece?, limit) {
                return Err(Fault::TooLarge(limit));
            }
        }
        whole.finish().ok_or_else(|| Fault::Misbehaved("a result that is no object".into()))
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// A result put together again.
#[derive(Default)]
pub struct Whole {
    text: Vec<u8>,
    has_members: bool,
}

impl Whole {
    /// Adds a part; false when the result gets longer than `limit` bytes by it.
    pub fn push(&mut self, piece: Piece, limit: usize) -> bool {
        if matches!(piece, Piece::Held { .. } | Piece::Begins { .. })
            && std::mem::replace(&mut self.has_members, true)
        {
            self.text.push(b',');
        }
        match piece {
            Piece::Held { head, value, tail, .. } => {
                [&head, value.bytes(), &tail].into_iter().for_each(|part| self.text.extend_from_slice(part));
            }
            Piece::Begins { head: text, .. } | Piece::More(text) | Piece::Space(text) => {
                self.text.extend_from_slice(&text);
            }
        }
        self.text.len() <= limit
    }

    /// The result.
    pub fn finish(mut self) -> Option<Json> {
        self.text.insert(0, b'{');
        self.text.push(b'}');
        Json::parse(self.text).ok()
    }
}
