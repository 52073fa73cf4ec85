//! Write a wasmgate plugin in Rust.
//!
//! A plugin is a type that implements [`Validator`] (looks, may refuse) or [`Mutator`] (rewrites, may answer) and is
//! exported with [`export_validator!`] or [`export_mutator!`]. Build it with
//! `cargo build --release --target wasm32-wasip2` from a crate of type `["cdylib", "rlib"]`; test its logic natively
//! with [`harness`].
//!
//! ```
//! use wasmgate_plugin::{Call, Descriptor, Finding, Hook, Problem, Validator};
//!
//! struct NoShouting;
//!
//! impl Validator for NoShouting {
//!     fn describe() -> Descriptor {
//!         Descriptor::new("no-shouting", "1.0.0", "Refuses arguments in capitals.").hook(Hook::on(&["tools/call"]).request())
//!     }
//!
//!     fn configure(_config: &str) -> Result<Self, Vec<Problem>> {
//!         Ok(Self)
//!     }
//!
//!     fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
//!         let loud = |text: &str| text.len() > 3 && text.chars().all(|c| c.is_uppercase());
//!         let leaves = call.strings("/arguments", 4).into_iter().filter(|leaf| loud(&leaf.text));
//!         Ok(leaves.map(|leaf| Finding::error("is shouted").at(leaf.pointer)).collect())
//!     }
//! }
//!
//! wasmgate_plugin::export_validator!(NoShouting);
//!
//! use wasmgate_plugin::{Phase, harness};
//! let found = harness::validate(&NoShouting, "tools/call", Phase::Request, r#"{"arguments":{"q":"HELLO"}}"#);
//! assert_eq!(found.unwrap()[0].path.as_deref(), Some("/arguments/q"));
//! ```

mod call;
pub mod clock;
mod descriptor;
mod export;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
pub mod log;

pub use call::{Call, Draft, Edit, Edits, Leaf, Operation, Payload, Phase};
pub use descriptor::{Descriptor, Hook, Isolation, Problem};
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use export::guest;

/// Looks at messages and never changes them.
pub trait Validator: Sized + 'static {
    /// What this plugin is and wants to see. Must not depend on anything.
    fn describe() -> Descriptor;

    /// Takes the configuration, JSON text, `{}` when there is none.
    ///
    /// # Errors
    /// Everything that is wrong with it: the plugin is not loaded.
    fn configure(config: &str) -> Result<Self, Vec<Problem>>;

    /// What it found in one message; nothing means valid.
    ///
    /// # Errors
    /// The plugin itself failed, which is not a finding: unless the operator says otherwise the message is blocked.
    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String>;
}

/// Rewrites messages, or answers them.
pub trait Mutator: Sized + 'static {
    /// What this plugin is and wants to see. Must not depend on anything.
    fn describe() -> Descriptor;

    /// Takes the configuration, JSON text, `{}` when there is none.
    ///
    /// # Errors
    /// Everything that is wrong with it: the plugin is not loaded.
    fn configure(config: &str) -> Result<Self, Vec<Problem>>;

    /// What it made of one message. The same message must give the same answer: clients retry.
    ///
    /// # Errors
    /// The plugin itself failed: unless the operator says otherwise the message is blocked.
    fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String>;
}

/// One observation of a validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// RFC 6901 pointer into the payload.
    pub path: Option<String>,
    /// What was found. It reaches the client: never put a value from the payload in it.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl Finding {
    /// A finding that refuses the message.
    pub fn error(message: impl Into<String>) -> Self {
        Self { path: None, message: message.into(), severity: Severity::Error }
    }

    /// A finding worth looking at.
    pub fn warn(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warn, ..Self::error(message) }
    }

    /// A finding worth knowing.
    pub fn info(message: impl Into<String>) -> Self {
        Self { severity: Severity::Info, ..Self::error(message) }
    }

    /// Says where in the payload, as an RFC 6901 pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.path = Some(pointer.into());
        self
    }
}

/// How bad a finding is. Only `Error` refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warn,
    /// Refuses the message.
    Error,
}

/// What a mutator made of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Left alone; edits are discarded.
    Unchanged,
    /// The draft as it now stands goes on.
    Changed,
    /// This result, JSON text, goes to the client and the server is not asked. Request phase only.
    Answer(String),
}
