//! Which log messages clients want of servers that are told once for all: the most verbose level that anybody wants now.
//!
//! A session wants its level until it ends, a request of 2026-07-28 until it is answered. Every client still gets only
//! what it wants itself; fronts see to that.

use std::sync::{Arc, Mutex, PoisonError};

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::{LOG_LEVELS, MODERN, method};
use wasmgate_core::policy::Permit;

use super::{Gateway, Request};
use crate::upstream::{Appetite, Ask, Offer, Pool};

/// The levels that are wanted.
#[derive(Default)]
pub(super) struct Levels(Mutex<Wanted>);

#[derive(Default)]
struct Wanted {
    /// How many want each level, in the order of [`LOG_LEVELS`].
    by: [usize; LOG_LEVELS.len()],
    /// What servers were told last. It stays when nobody wants anything: no word takes it back.
    told: Option<usize>,
}

/// A level that is wanted until this is dropped.
pub struct LogWish {
    levels: Arc<Levels>,
    pool: Arc<Pool>,
    level: usize,
}

impl Gateway {
    /// A client wants log messages of this level and worse, as long as it keeps what this returns. None for a word that
    /// is no level.
    pub fn want_log_level(&self, level: &str) -> Option<LogWish> {
        let level = LOG_LEVELS.iter().position(|known| *known == level)?;
        let wish = LogWish { levels: Arc::clone(&self.levels), pool: Arc::clone(&self.pool), level };
        wish.count(|by| *by += 1);
        Some(wish)
    }

    /// A request that brings its own level, to a server that has one for all: what it says first must count for this
    /// request, so it is told and has answered before.
    pub(super) async fn heed_level(
        &self,
        request: &Request,
        permit: &Permit,
        offer: Option<&Offer>,
    ) -> Option<LogWish> {
        let level = request.client.log_level.as_deref().filter(|_| MODERN.contains(&request.version))?;
        let offer = offer.filter(|offer| !MODERN.contains(&&*offer.version))?;
        offer.capabilities.member("logging")?;
        let before = self.levels.told();
        let wish = self.want_log_level(level)?;
        if self.levels.told() != before {
            let ask = Ask {
                method: method::SET_LEVEL.into(),
                params: Some(ObjectWriter::new().member("level", &Json::of(level)).finish()),
                principal: Arc::clone(&request.principal),
                session: request.session.clone(),
                client: Arc::clone(&request.client),
                events: request.events.clone(),
                appetite: Appetite::default(),
            };
            // A server that does not take it says what it likes; the call is asked all the same. In a box of its own: this is
            // rare, and every call would keep room for it.
            let _ = Box::pin(self.pool.call(permit, ask)).await;
        }
        Some(wish)
    }
}

impl Levels {
    fn told(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).told
    }
}

impl Wanted {
    /// The level to tell servers, when it is not what they were told.
    fn news(&mut self) -> Option<usize> {
        let most = self.by.iter().position(|count| *count > 0)?;
        (self.told.replace(most) != Some(most)).then_some(most)
    }
}

impl LogWish {
    fn count(&self, change: impl FnOnce(&mut usize)) {
        let mut wanted = self.levels.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(by) = wanted.by.get_mut(self.level) {
            change(by);
        }
        // Told under the lock: the last word must be the right one.
        if let Some(level) = wanted.news().and_then(|news| LOG_LEVELS.get(news)) {
            self.pool.want_log_level(level);
        }
    }
}

impl Drop for LogWish {
    fn drop(&mut self) {
        self.count(|by| *by = by.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_verbose_level_is_told_when_it_changes() {
        let mut wanted = Wanted::default();
        let rank = |level: &str| LOG_LEVELS.iter().position(|known| *known == level).unwrap();
        let mut change = |level: &str, by: isize| {
            let count = &mut wanted.by[rank(level)];
            *count = count.checked_add_signed(by).unwrap();
            wanted.news().map(|news| LOG_LEVELS[news])
        };
        assert_eq!(change("warning", 1), Some("warning"));
        assert_eq!(change("error", 1), None);
        assert_eq!(change("debug", 1), Some("debug"));
        assert_eq!(change("debug", 1), None);
        assert_eq!(change("debug", -1), None);
        assert_eq!(change("debug", -1), Some("warning"));
        assert_eq!(change("warning", -1), Some("error"));
        assert_eq!(change("error", -1), None, "no word takes it back");
        assert_eq!(change("error", 1), None);
        assert_eq!(change("info", 1), Some("info"));
    }
}
