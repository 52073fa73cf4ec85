//! Bytes of HTTP messages: bodies that are read within limits, and bodies that are written whole or as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::settings::Limits;

/// What a response carries.
pub(super) enum Body {
    /// All of it; empty when it was written.
    Whole(Bytes),
    /// As it comes.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
}

/// Why a request's body cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
}

impl Body {
    pub(super) const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(bytes))
            }
            Self::Stream(stream) => stream.as_mut().poll_next(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Reads a request's body, at most `limits.body` bytes of it in at most `limits.body_time`.
pub(super) async fn read(body: hyper::body::Incoming, limits: &Limits) -> Result<Bytes, BodyError> {
    let most = limits.body;
    if body.size_hint().lower() > most as u64 {
        return Err(BodyError::TooLarge(most));
    }
    tokio::time::timeout(limits.body_time, collect(body, most)).await.unwrap_or(Err(BodyError::TooSlow))
}

/// The usual body comes in one piece and is taken as it is.
async fn collect<B>(mut body: B, most: usize) -> Result<Bytes, BodyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > most {
            return Err(BodyError::TooLarge(most));
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                let expected = usize::try_from(body.size_hint().lower()).unwrap_or(most).min(most);
                all.reserve(first.len() + data.len() + expected);
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;

    fn check(pieces: &[&'static str], most: usize, expected: Result<&'static str, BodyError>) {
        let frames: Vec<Result<Frame<Bytes>, Infallible>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        let read = collect(StreamBody::new(stream::iter(frames)), most).now_or_never().unwrap();
        assert_eq!(read, expected.map(Bytes::from), "{pieces:?}");
    }

    #[test]
    fn pieces_are_put_together_up_to_the_limit() {
        check(&[], 4, Ok(""));
        check(&["abcd"], 4, Ok("abcd"));
        check(&["ab", "", "c", "d"], 4, Ok("abcd"));
        check(&["abcde"], 4, Err(BodyError::TooLarge(4)));
        check(&["ab", "cd", "e"], 4, Err(BodyError::TooLarge(4)));
    }
}
