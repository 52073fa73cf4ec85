//! Whether the newest configuration is the one in force: a line of `/ready`.

use std::sync::Arc;

use super::Gateway;
use crate::telemetry;

/// Whether the newest configuration is the one in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConfigState {
    /// `current`, or `rejected`: the files hold one that is wrong, and the one before stays in force.
    pub state: &'static str,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was taken or rejected: RFC 3339, UTC.
    pub since: String,
}

impl ConfigState {
    /// The newest configuration is in force since now.
    pub fn current() -> Self {
        Self { state: "current", error: None, since: telemetry::now() }
    }

    /// The newest configuration is not in force, because of this.
    pub fn rejected(error: String) -> Self {
        Self { state: "rejected", error: Some(error), since: telemetry::now() }
    }
}

impl Gateway {
    /// Notes what became of the newest configuration.
    pub fn note_config(&self, state: ConfigState) {
        self.config.store(Arc::new(state));
    }

    /// What became of the newest configuration.
    pub fn config(&self) -> Arc<ConfigState> {
        self.config.load_full()
    }
}
