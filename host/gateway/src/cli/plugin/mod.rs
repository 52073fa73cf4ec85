//! `wasmgate plugin`: for those who write plugins, and those who decide whether to run one. No gateway is involved.

mod component;
mod inspect;
mod ls;
mod new;
mod pull;
mod push;
mod replay;
mod source_test;
mod template;
mod test;

use super::Failed;

/// Write, look at and try out plugins.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Plugin {
    /// Begin a plugin: a project that builds with its language's own tools.
    New(new::New),
    /// Say what a component is, sees and wants, before it is trusted with anything.
    Inspect(inspect::Inspect),
    /// Run a component on recorded messages.
    Test(test::Test),
    /// Push a component to a registry.
    Push(push::Push),
    /// Pull a component from a registry.
    Pull(pull::Pull),
    /// List the plugins of this machine.
    Ls(ls::Ls),
}

impl Plugin {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self {
            Self::New(new) => new.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Test(test) => test.run(),
            Self::Push(push) => push.run(),
            Self::Pull(pull) => pull.run(),
            Self::Ls(ls) => ls.run(),
        }
    }
}
