//! The end of a gateway's service: what was begun is finished, and nothing else is begun.

use std::sync::atomic::Ordering;

use super::rounds::Rounds;
use super::{CallError, Gateway, Request};

impl Gateway {
    /// From now on requests are refused, except those that go on with what was begun before.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`Gateway::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`CallError::NotServing`] when it is too late for this request.
    pub(super) fn takes(&self, request: &Request) -> Result<(), CallError> {
        // Nothing is refused to the answers of a client that was asked before.
        if self.is_draining() && !Rounds::carries_answers(request, request.params.as_ref()) {
            return Err(CallError::NotServing("stopping"));
        }
        Ok(())
    }
}
