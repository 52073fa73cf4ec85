//! Standard output and error of guests: kept up to a bound, the rest swallowed, shown in the log when the call ends.
//! Writing never blocks and never fails, because many runtimes end the program when it does.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::text::printable;

/// Bytes of both streams together that are kept from one call.
const MAX_BYTES: usize = 4 << 10;

/// Bytes a guest may hand over at once.
const PERMIT: usize = 64 << 10;

/// Both output streams of one store.
#[derive(Clone, Default)]
pub(crate) struct Stdio(Arc<Mutex<Vec<u8>>>);

impl Stdio {
    /// Writes what was captured to the log.
    pub(crate) fn log(&self, plugin: &str, request: &str) {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !kept.is_empty() {
            let output = printable(&String::from_utf8_lossy(&kept), MAX_BYTES);
            tracing::debug!(target: "wasmgate::plugin", plugin, request, "output: {output}");
        }
    }
}

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {}
}
