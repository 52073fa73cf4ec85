//! What servers may take from the gateway, and how many calls they are given at once.

use std::num::NonZeroUsize;

/// Limits towards servers, one for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls of clients that are with servers at once, all servers together; more wait their turn.
    pub in_flight: NonZeroUsize,
    /// Calls of clients that one server is given at once, where its entry does not say otherwise (`maxInFlight`).
    pub in_flight_per_server: NonZeroUsize,
    /// Largest message of a server, in bytes: a line of stdio, an event, a body.
    pub message: usize,
    /// Longest response that is passed on as it comes, in bytes.
    pub streamed_result: usize,
    /// Notifications that one server may send in a second, those that belong to calls among them.
    pub notifications: NonZeroUsize,
    /// So many of them may come at once.
    pub notifications_at_once: NonZeroUsize,
    /// How many requests to one remote may be repeated, in percent of all of them.
    pub retries: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: at_least_one(1024),
            in_flight_per_server: at_least_one(128),
            message: 16 << 20,
            streamed_result: 1 << 30,
            notifications: at_least_one(100),
            notifications_at_once: at_least_one(1000),
            retries: 20,
        }
    }
}

const fn at_least_one(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}
