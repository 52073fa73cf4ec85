//! Bytes of HTTP messages: bodies that are read within limits, and bodies that are written whole or as they come.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::settings::Limits;

/// What a response carries.
pub(super) enum Body {
    /// All of it; empty when it was written.
    Whole(Bytes),
    /// As it comes.
    Stream(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
    /// As it comes, and it may break off: the connection ends with it then.
    Flow(Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>),
}

/// A response that cannot be brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response broke off")]
pub(super) struct Broken;

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
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(bytes))
            }
            Self::Stream(stream) => stream.as_mut().poll_next(cx),
            Self::Flow(stream) => {
                return stream.as_mut().poll_next(cx).map(|next| next.map(|bytes| bytes.map(Frame::data)));
            }
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) | Self::Flow(_) => SizeHint::default(),
        }
    }
}

/// Reads a request's body, at most `limits.body` bytes of it in at most `limits.body_time`, and not slower than
/// `limits.body_rate`.
pub(super) async fn read(mut body: hyper::body::Incoming, limits: &Limits) -> Result<Bytes, BodyError> {
    let most = limits.body;
    if body.size_hint().lower() > most as u64 {
        return Err(BodyError::TooLarge(most));
    }
    let first = match at_once(&mut body).await {
        None => Bytes::new(),
        Some(None) => return Ok(Bytes::new()),
        Some(Some(frame)) => frame.map_err(|_| BodyError::Broken)?.into_data().unwrap_or_default(),
    };
    if first.len() > most {
        return Err(BodyError::TooLarge(most));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let body = Paced { body, rate: limits.body_rate, since: None, got: 0 };
    timeout(limits.body_time, collect(first, body, most)).await.unwrap_or(Err(BodyError::TooSlow))
}

/// What is there at the second look, which follows the first one. What came with its head always is, and nearly all bodies
/// did: for them no timer is set and given up.
async fn at_once<B>(body: &mut B) -> Option<Option<Result<Frame<Bytes>, B::Error>>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut is_second = false;
    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending if is_second => Poll::Ready(None),
        Poll::Pending => {
            is_second = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// A body that must come at a rate, on the average of some seconds: of any so many as have passed since the last look.
struct Paced<B> {
    body: B,
    /// Bytes a second.
    rate: usize,
    /// Since when `got` is counted; None until it was waited for.
    since: Option<Instant>,
    got: usize,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> Paced<B> {
    /// The next piece; None at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let since = *self.since.get_or_insert_with(Instant::now);
            let Ok(frame) = timeout_at(since + PACE, self.body.frame()).await else {
                let wanted = self.rate.saturating_mul(usize::try_from(PACE.as_secs()).unwrap_or(usize::MAX));
                if self.got < wanted {
                    return Err(BodyError::TooSlow);
                }
                (self.since, self.got) = (None, 0);
                continue;
            };
            let Some(frame) = frame else { return Ok(None) };
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            self.got = self.got.saturating_add(data.len());
            return Ok(Some(data));
        }
    }
}

/// The rest of a body after its first piece. One that comes in one piece is taken as it is.
async fn collect<B>(mut first: Bytes, mut body: Paced<B>, most: usize) -> Result<Bytes, BodyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut all = BytesMut::new();
    while let Some(data) = body.piece().await? {
        if first.len() + all.len() + data.len() > most {
            return Err(BodyError::TooLarge(most));
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                let expected = usize::try_from(body.body.size_hint().lower()).unwrap_or(most).min(most);
                all.reserve(first.len() + data.len() + expected);
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
        if body.body.is_end_stream() {
            break;
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Over so long a body's rate is taken: one that stops for a moment is not slow.
const PACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};
    use http_body_util::StreamBody;

    use super::*;

    fn paced<B>(body: B, rate: usize) -> Paced<B> {
        Paced { body, rate, since: None, got: 0 }
    }

    async fn check(pieces: &[&'static str], most: usize, expected: Result<&'static str, BodyError>) {
        let frames: Vec<Result<Frame<Bytes>, Infallible>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        let read = collect(Bytes::new(), paced(StreamBody::new(stream::iter(frames)), 1000), most).await;
        assert_eq!(read, expected.map(Bytes::from), "{pieces:?}");
    }

    #[tokio::test]
    async fn pieces_are_put_together_up_to_the_limit() {
        check(&[], 4, Ok("")).await;
        check(&["abcd"], 4, Ok("abcd")).await;
        check(&["ab", "", "c", "d"], 4, Ok("abcd")).await;
        check(&["abcde"], 4, Err(BodyError::TooLarge(4))).await;
        check(&["ab", "cd", "e"], 4, Err(BodyError::TooLarge(4))).await;
    }

    #[tokio::test]
    async fn what_comes_with_the_second_look_is_taken_and_no_third_one_waited_for() {
        for (looks, expected) in [(0, Some("ab")), (1, Some("ab")), (2, None)] {
            let body = stream::once(async move {
                for _ in 0..looks {
                    tokio::task::yield_now().await;
                }
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"ab")))
            });
            let come = at_once(&mut StreamBody::new(Box::pin(body))).await;
            let come = come.map(|frame| frame.unwrap().unwrap().into_data().unwrap());
            assert_eq!(come.as_deref(), expected.map(str::as_bytes), "{looks}");
        }
    }

    /// A byte every `pause`, so many times.
    async fn drip(count: usize, pause: Duration, rate: usize) -> Result<usize, BodyError> {
        let bytes = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
        });
        collect(Bytes::new(), paced(StreamBody::new(Box::pin(bytes)), rate), 1 << 20)
            .await
            .map(|body| body.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_cut_off_and_a_slow_one_is_not() {
        let tenth = Duration::from_millis(100);
        assert_eq!(drip(200, tenth, 9).await, Ok(200));
        assert_eq!(drip(200, tenth, 11).await, Err(BodyError::TooSlow));
        assert_eq!(drip(2, PACE * 2, 1).await, Err(BodyError::TooSlow));
        // What is over before anybody takes a look was not slow.
        assert_eq!(drip(3, tenth, 1000).await, Ok(3));
    }
}
