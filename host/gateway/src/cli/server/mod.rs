//! `wasmgate server`: servers and their states; of a running gateway or of catalogs.

mod import;

use super::args::Reached;
use super::{Failed, output};

/// Look at servers, and bring them here.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Server {
    /// List servers with their states.
    Ls {
        #[command(flatten)]
        reached: Box<Reached>,
        /// Print the servers as JSON.
        #[arg(long)]
        json: bool,
    },
    Import(import::Import),
}

impl Server {
    pub(super) fn run(self) -> Result<(), Failed> {
        let (reached, json) = match self {
            Self::Ls { reached, json } => (reached, json),
            Self::Import(import) => return import.run(),
        };
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
