//! What a legacy server is told when a call is over before its answer has come.

use std::sync::Arc;

use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc;

use super::Http;
use crate::upstream::era::Era;
use crate::upstream::link::cancelled;
use crate::upstream::{Answer, Fault};

/// Tells a legacy server when a caller goes away or has waited long enough. A modern one sees the stream close.
pub(super) struct CancelOnDrop {
    pub(super) http: Arc<Http>,
    pub(super) era: Era,
    pub(super) id: u64,
    pub(super) is_armed: bool,
}

impl CancelOnDrop {
    pub(super) fn settle(mut self, answer: &Result<Answer, Fault>) {
        self.is_armed &= matches!(answer, Err(Fault::Timeout(_) | Fault::TooLarge(_)));
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if self.is_armed {
            let params: Json = cancelled(self.id, "nobody waits for the answer any more");
            let message = jsonrpc::write_notification("notifications/cancelled", Some(&params));
            self.http.tell_aside(&self.era, message);
        }
    }
}
