//! `wasmgate plugin`: for those who write plugins, and those who decide whether to run one. No gateway is involved.

mod inspect;
mod new;
mod template;

use super::Failed;

/// Write, look at and try out plugins.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Plugin {
    /// Begin a plugin: a project that builds with its language's own tools.
    New(new::New),
    /// Say what a component is, sees and wants, before it is trusted with anything.
    Inspect(inspect::Inspect),
}

impl Plugin {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self {
            Self::New(new) => new.run(),
            Self::Inspect(inspect) => inspect.run(),
        }
    }
}
