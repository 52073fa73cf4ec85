//! What goes to the server of a pair of pipes. It never waits: bytes gather until the server reads them.

use std::io;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWriteExt as _;
use wasmgate_core::jsonrpc;

use crate::launch::Input;
use crate::upstream::link::cancelled;

/// What goes to the server.
pub(super) struct Writer {
    input: Option<Input>,
    out: BytesMut,
    is_unflushed: bool,
}

impl Writer {
    pub(super) fn new(input: Input) -> Self {
        Self { input: Some(input), out: BytesMut::new(), is_unflushed: false }
    }

    /// Whether more requests may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < MAX_UNWRITTEN
    }

    pub(super) fn is_writing(&self) -> bool {
        self.input.is_some() && (!self.out.is_empty() || self.is_unflushed)
    }

    /// The server sees the end of its input.
    pub(super) fn close(&mut self) {
        self.input = None;
    }

    /// Writes or flushes once; may be dropped and called again.
    pub(super) async fn pump(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Ok(()) };
        if self.out.is_empty() {
            input.flush().await?;
            self.is_unflushed = false;
            return Ok(());
        }
        let written = input.write(&self.out).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.out.advance(written);
        self.is_unflushed = true;
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, id: u64, reason: &str) {
        let params = cancelled(id, reason);
        self.line(&jsonrpc::write_notification("notifications/cancelled", Some(&params)));
    }

    /// Something a server could have as much of as it likes. One that asks and does not read its answers gets no more.
    pub(super) fn answer(&mut self, message: &[u8]) {
        if self.has_room() {
            self.line(message);
        }
    }

    pub(super) fn line(&mut self, message: &[u8]) {
        self.out.extend_from_slice(message);
        self.out.extend_from_slice(b"\n");
    }
}

/// No more requests are taken while so much waits for the server to read it.
const MAX_UNWRITTEN: usize = 4 * 1024 * 1024;
