//! What went through the proxy of one container, counted; said once, when the container is gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wasmgate_core::name::ServerName;

use super::answer::Refusal;

/// The sums of one container.
pub(super) struct Ledger {
    server: ServerName,
    bytes: Arc<Bytes>,
    asked: AtomicU64,
    refused: AtomicU64,
}

/// Bytes of all connections, or of one.
#[derive(Debug, Default)]
struct Bytes {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Ledger {
    pub(super) fn new(server: ServerName) -> Self {
        Self { server, bytes: Arc::default(), asked: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }

    /// One more request.
    pub(super) fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was not passed on. The first few are said aloud: they are what an operator has to know to write a rule.
    pub(super) fn refused(&self, refusal: &Refusal) {
        let server = &self.server;
        if !refusal.is_forbidden() {
            tracing::debug!(%server, %refusal, "a connection was not made");
        } else if self.refused.fetch_add(1, Ordering::Relaxed) < ALOUD {
            tracing::warn!(%server, %refusal, "a connection was refused");
        } else {
            tracing::debug!(%server, %refusal, "a connection was refused");
        }
    }

    /// Counts what goes through a connection.
    pub(super) fn count(&self, stream: TcpStream) -> Counted {
        Counted { stream, all: Arc::clone(&self.bytes), moved: Arc::default() }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        if value(&self.asked) == 0 {
            return;
        }
        tracing::info!(
            server = %self.server,
            requests = value(&self.asked),
            refused = value(&self.refused),
            sent = value(&self.bytes.sent),
            received = value(&self.bytes.received),
            "what the server sent and received through its proxy"
        );
    }
}

/// A connection to the outside whose bytes are counted.
pub(super) struct Counted {
    stream: TcpStream,
    all: Arc<Bytes>,
    moved: Arc<AtomicU64>,
}

impl Counted {
    /// Resolves when nothing has gone through it for [`IDLE`].
    pub(super) fn idle(&self) -> impl Future<Output = ()> + Send + use<> {
        let moved = Arc::clone(&self.moved);
        async move {
            let mut seen = u64::MAX;
            loop {
                let now = moved.load(Ordering::Relaxed);
                if now == seen {
                    return;
                }
                seen = now;
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let read = into.filled().len().saturating_sub(before) as u64;
        self.all.received.fetch_add(read, Ordering::Relaxed);
        self.moved.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.all.sent.fetch_add(written as u64, Ordering::Relaxed);
        self.moved.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How long a connection may be silent: longer than the pings of streams and sockets that are meant to last.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How many refusals of one container are said aloud.
const ALOUD: u64 = 10;
