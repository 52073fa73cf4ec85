//! A connection whose peer must read what is written to it: one that takes nothing, or next to nothing, for too long is cut
//! off, so that it cannot hold calls and buffers for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream with a deadline on writes that make no progress to speak of.
pub(super) struct Unstalled<T> {
    inner: T,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// What has been taken since then, in bytes, of writes that could not be made whole.
    taken: usize,
}

impl<T> Unstalled<T> {
    pub(super) const fn new(inner: T, patience: Duration) -> Self {
        Self { inner, patience, stalled: None, taken: 0 }
    }

    /// Passes progress on and watches its absence; `offered` bytes were to be written.
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = &result {
            // A peer that reads a byte now and then leaves the rest waiting each time.
            self.taken += *written.as_ref().unwrap_or(&offered);
            let is_whole = written.as_ref().map_or(true, |written| *written == offered);
            if is_whole || self.taken >= PACE {
                (self.stalled, self.taken) = (None, 0);
            }
            return result;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Unstalled<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Unstalled<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, bufs.iter().map(|buf| buf.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// So much has to be taken within the patience, in bytes, while more is waiting.
const PACE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_off() {
        let (mut far, near) = tokio::io::duplex(4);
        let mut near = Unstalled::new(near, Duration::from_secs(30));
        near.write_all(b"1234").await.unwrap();
        let stuck = near.write_all(b"5").await.unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
        // Progress starts the clock anew.
        far.read_exact(&mut [0; 4]).await.unwrap();
        near.write_all(b"5678").await.unwrap();
        assert_eq!(near.write_all(b"9").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// Takes so many bytes every second, up to a minute.
    async fn drip(bytes: usize) -> io::Result<()> {
        let (mut far, near) = tokio::io::duplex(PACE);
        let mut near = Unstalled::new(near, Duration::from_secs(30));
        let reading = async move {
            let mut taken = vec![0; bytes];
            for _ in 0..60 {
                sleep(Duration::from_secs(1)).await;
                let _whole = far.read_exact(&mut taken).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = reading => Ok(()),
            written = async { near.write_all(&vec![0; PACE + bytes * 60]).await } => written,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_next_to_nothing_is_cut_off_too() {
        assert_eq!(drip(1).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(drip(2000).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drip(4000).await.unwrap();
    }
}
