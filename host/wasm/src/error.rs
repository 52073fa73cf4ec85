//! Why a plugin was not loaded. Every message reads after "plugin `x` ".

use wasmgate_core::pipeline::StageError;

use crate::grants::Want;
use crate::load::Isolation;

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Larger than is compiled.
    #[error("is too large: {bytes} bytes, at most {max} are loaded")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is accepted, [`crate::MAX_COMPONENT_BYTES`].
        max: usize,
    },
    /// Not a WebAssembly component at all.
    #[error("is not a WebAssembly component: {0}")]
    NotAComponent(&'static str),
    /// A component that does not compile.
    #[error("could not be compiled")]
    Compile(#[source] wasmtime::Error),
    /// A component, but not of a world the host runs.
    #[error("exports no world that wasmgate runs: {0}")]
    WrongWorld(String),
    /// It imports what no plugin gets.
    #[error("imports what plugins may not use: {}", .0.join(", "))]
    ForbiddenImport(Vec<String>),
    /// The names of its imports are right and their types are not.
    #[error("does not fit the interfaces of this version: {0}")]
    Link(String),
    /// `describe` trapped or exceeded a limit.
    #[error("could not describe itself")]
    Describe(#[source] StageError),
    /// `describe` answered something that cannot be right.
    #[error("describes itself wrongly: {0}")]
    Descriptor(String),
    /// It needs more than it is granted, and is held until the operator has decided.
    #[error("is held: it asks for more than it is granted; to let it, write under its `grants:`: {}", grants(.0))]
    Held(Vec<Want>),
    /// The operator allows memory to be shared more widely than the plugin does.
    #[error("cannot run {asked}: it says of itself that it must run {own}")]
    Isolation {
        /// What the operator asks for.
        asked: Isolation,
        /// What the plugin says.
        own: Isolation,
    },
    /// `configure` trapped or exceeded a limit.
    #[error("could not be configured")]
    Configure(#[source] StageError),
    /// A catalog source's `claims` trapped or exceeded a limit.
    #[error("could not say which references it answers")]
    Claims(#[source] StageError),
    /// `configure` refused the configuration.
    #[error("refuses its configuration: {}", list(.0))]
    Configuration(Vec<Problem>),
    /// The operator's limit is larger than the engine can give.
    #[error("has a limit that cannot be given: {what} is at most {max}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// The most it can be.
        max: usize,
    },
}

/// What is wrong with a plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// RFC 6901 pointer into the configuration.
    pub pointer: String,
    /// What is wrong there, as the plugin puts it.
    pub message: String,
}

fn list(problems: &[Problem]) -> String {
    let words = |problem: &Problem| match problem.pointer.as_str() {
        "" => problem.message.clone(),
        pointer => format!("`{pointer}` {}", problem.message),
    };
    problems.iter().map(words).collect::<Vec<_>>().join("; ")
}

fn grants(wants: &[Want]) -> String {
    wants.iter().map(Want::as_grant).collect::<Vec<_>>().join("; ")
}
