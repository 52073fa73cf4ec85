//! `wasmgate __warden`: not for people. The second process of a gateway that runs processes.

use super::Failed;
use crate::app;

/// Ends the processes of a gateway that is killed.
#[derive(Debug, clap::Args)]
pub(super) struct Warden {
    /// The run of the gateway.
    boot: String,
}

impl Warden {
    #[expect(clippy::unnecessary_wraps, reason = "like every subcommand")]
    pub(super) fn run(self) -> Result<(), Failed> {
        app::keep_watch(&self.boot, std::io::stdin().lock());
        Ok(())
    }
}
