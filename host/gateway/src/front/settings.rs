//! What the composition root decides about the fronts.

use std::time::Duration;

use secrecy::SecretString;

use super::door::Door;
use crate::shutdown::Tasks;

/// Who may talk to the HTTP front, and its limits.
#[derive(Clone, Default)]
pub struct Settings {
    /// The bearer token every request must carry; `None` lets everyone in (`--allow-unauthenticated`).
    pub token: Option<SecretString>,
    /// Origins of web pages that may call besides our own, as browsers write them (`https://app.example.com`).
    pub allowed_origins: Vec<String>,
    /// Names under which we may be addressed besides loopback ones: `host` for any port, or `host:port`.
    pub allowed_hosts: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// Who answers at `/interceptors`; nobody, and then the path is nowhere.
    pub door: Option<Door>,
    /// What runs behind the front, for `/ready` to count.
    pub behind: Option<Tasks>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("allowed_origins", &self.allowed_origins)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("limits", &self.limits)
            .field("door", &self.door.is_some())
            .finish_non_exhaustive()
    }
}

/// What one client, and all of them together, may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest head of an HTTP request, in bytes.
    pub headers: usize,
    /// Time for a request's head. An idle connection ends after it, too.
    pub header_time: Duration,
    /// Largest HTTP request body, in bytes.
    pub body: usize,
    /// Time for a request's body.
    pub body_time: Duration,
    /// Slowest body, in bytes a second.
    pub body_rate: usize,
    /// Time a peer may take to read what was written to it.
    pub stall: Duration,
    /// Longest line on stdio, in bytes.
    pub line: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections from one address.
    pub connections_per_address: usize,
    /// Legacy sessions in memory.
    pub sessions: usize,
    /// Legacy sessions of one principal in memory. With one shared token that is all clients together.
    pub sessions_per_principal: usize,
    /// Calls in flight in one session.
    pub in_flight: usize,
    /// Streams that one session may hold open for notifications.
    pub streams: usize,
    /// How long a session may exist before its client says `notifications/initialized` or asks something.
    pub unconfirmed: Duration,
    /// How long an idle session is kept in memory; what was agreed with its client stands in its id.
    pub idle: Duration,
    /// How long a request waits for the configuration to be loaded.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: 32 << 10,
            header_time: Duration::from_secs(10),
            body: 4 << 20,
            body_time: Duration::from_secs(30),
            body_rate: 1 << 10,
            stall: Duration::from_secs(30),
            line: 16 << 20,
            connections: 4096,
            connections_per_address: 3072,
            sessions: 10_000,
            sessions_per_principal: 10_000,
            in_flight: 64,
            streams: 8,
            unconfirmed: Duration::from_secs(60),
            idle: Duration::from_secs(30 * 60),
            patience: Duration::from_secs(60),
        }
    }
}
