//! `wasmgate server`: servers and their states; of a running gateway or of catalogs.

use super::args::Reached;
use super::{Failed, output};

/// Look at servers.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Server {
    /// List servers with their states.
    Ls {
        #[command(flatten)]
        reached: Reached,
        /// Print the servers as JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Server {
    pub(super) fn run(self) -> Result<(), Failed> {
        let Self::Ls { reached, json } = self;
        reached.states(|states| {
            if json {
                return output::print_json(&states);
            }
            let row = |state: &crate::app::ServerState| {
                let reason = state.reason.clone().unwrap_or_default();
                vec![state.name.clone(), state.state.to_string(), state.tools.to_string(), reason]
            };
            let rows: Vec<_> = states.iter().map(row).collect();
            output::print(&output::table(&["SERVER", "STATE", "TOOLS", "REASON"], &rows));
        })
    }
}
