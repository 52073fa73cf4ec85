//! A server's stdin that two may close: the user, by dropping or shutting down the writer, and the task that owns the
//! server, when it is to stop while the user still holds the writer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::Input;
use crate::shutdown::Tasks;

/// The user's end.
pub(super) struct Writer(Arc<Shared>);

/// The owning task's end.
pub(super) struct Closer(Arc<Shared>);

struct Shared {
    pipe: Mutex<Pipe>,
    close: CancellationToken,
}

struct Pipe {
    inner: Option<Input>,
    blocked: Option<Waker>,
}

/// Wraps a pipe. The task spawned here lives until either end closes.
pub(super) fn closable(inner: Input, tasks: &Tasks) -> (Writer, Closer) {
    let pipe = Mutex::new(Pipe { inner: Some(inner), blocked: None });
    let shared = Arc::new(Shared { pipe, close: CancellationToken::new() });
    let waiting = Arc::clone(&shared);
    tasks.spawn("server stdin", async move {
        waiting.close.cancelled().await;
        if let Some(mut pipe) = waiting.take() {
            // A shutdown that fails or hangs finds the pipe dropped, which closes it as well.
            let _ = tokio::time::timeout(SHUTDOWN, pipe.shutdown()).await;
        }
    });
    (Writer(Arc::clone(&shared)), Closer(shared))
}

impl Closer {
    /// Closes the pipe; a write that waits fails.
    pub(super) fn close(&self) {
        self.0.close.cancel();
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.close.cancel();
    }
}

impl Shared {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Input> {
        let mut pipe = self.pipe();
        if let Some(waker) = pipe.blocked.take() {
            waker.wake();
        }
        pipe.inner.take()
    }

    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut Input>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut pipe = self.pipe();
        let Some(inner) = pipe.inner.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let polled = act(Pin::new(inner), cx);
        pipe.blocked = polled.is_pending().then(|| cx.waker().clone());
        polled
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll(cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll(cx, |inner, cx| inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.pipe().inner.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The pipe of a child closes only when it is dropped, so both ways of ending take the same road.
        self.0.close.cancel();
        Poll::Ready(Ok(()))
    }
}

/// How long closing may take before the pipe is dropped.
const SHUTDOWN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn either_end_closes_and_a_blocked_write_fails() {
        let tasks = Tasks::new();
        let (ours, mut theirs) = tokio::io::duplex(4);
        let (mut writer, closer) = closable(Box::new(ours), &tasks);
        writer.write_all(b"1234").await.unwrap();
        let blocked = async { writer.write_all(b"5678").await.unwrap_err().kind() };
        let (kind, ()) = tokio::join!(blocked, async { closer.close() });
        assert_eq!(kind, io::ErrorKind::BrokenPipe);
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "1234");

        let (ours, mut theirs) = tokio::io::duplex(4);
        let (writer, _closer) = closable(Box::new(ours), &tasks);
        drop(writer);
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        assert!(tasks.finish(Duration::from_secs(5)).await.is_empty());
    }
}
