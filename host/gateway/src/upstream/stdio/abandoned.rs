//! Calls that nobody waits for any more, and that their server may still be working on. No clock.
//!
//! Nothing on a pipe says which call a question belongs to. A server that has been told of a cancellation need not answer,
//! and many go on and ask: so whoever called before must not have their questions put to whoever calls next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The calls given up on one connection. Each is remembered until the server answers it after all, or until it has had all
/// the time a call may take.
#[derive(Debug, Default)]
pub(super) struct Abandoned {
    calls: VecDeque<Call>,
    /// There were too many to remember: until then nobody knows.
    unknown_until: Option<Instant>,
}

#[derive(Debug)]
struct Call {
    id: u64,
    principal: Arc<str>,
    until: Instant,
}

impl Abandoned {
    /// A call is given up.
    pub(super) fn add(&mut self, id: u64, principal: Arc<str>, until: Instant) {
        if self.calls.len() >= MAX
            && let Some(forgotten) = self.calls.pop_front()
        {
            self.unknown_until = self.unknown_until.max(Some(forgotten.until));
        }
        self.calls.push_back(Call { id, principal, until });
    }

    /// The server has answered this one after all.
    pub(super) fn answered(&mut self, id: u64) {
        self.calls.retain(|call| call.id != id);
    }

    /// Whether a question that comes now may belong to another principal.
    pub(super) fn may_ask_another(&mut self, principal: &str, now: Instant) -> bool {
        self.calls.retain(|call| call.until > now);
        self.unknown_until = self.unknown_until.filter(|until| *until > now);
        self.unknown_until.is_some() || self.calls.iter().any(|call| &*call.principal != principal)
    }
}

/// So many are remembered.
const MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_given_up_counts_until_it_is_answered_or_too_old() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut abandoned = Abandoned::default();
        assert!(!abandoned.may_ask_another("alice", now));
        abandoned.add(1, "alice".into(), later);
        assert!(!abandoned.may_ask_another("alice", now), "her own");
        assert!(abandoned.may_ask_another("bob", now));
        abandoned.answered(1);
        assert!(!abandoned.may_ask_another("bob", now));
        abandoned.add(2, "alice".into(), later);
        assert!(!abandoned.may_ask_another("bob", later));
    }

    #[test]
    fn too_many_are_not_forgotten_lightly() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut abandoned = Abandoned::default();
        abandoned.add(0, "alice".into(), later);
        for id in 1..=256 {
            abandoned.add(id, "bob".into(), later);
        }
        assert_eq!(abandoned.calls.len(), MAX);
        assert!(abandoned.may_ask_another("bob", now));
        assert!(!abandoned.may_ask_another("bob", later));
    }
}
