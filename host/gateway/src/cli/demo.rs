//! `wasmgate demo-server`: the servers of the demo catalog, over stdio.

use super::Failed;

/// A small MCP server over stdio.
#[derive(Debug, clap::Args)]
pub(super) struct DemoServer {
    /// Which of them.
    name: String,
}

impl DemoServer {
    pub(super) fn run(self) -> Result<(), Failed> {
        let served = crate::app::block_on(crate::demo::serve(&self.name));
        let served = served.map_err(|error| Failed::Work(error.to_string()))?;
        served.map_err(|error| Failed::Work(error.to_string()))
    }
}
