//! Write a wasmgate plugin in Rust.
//!
//! A plugin is a type that implements [`Interceptor`] and is exported with [`export!`]: it says what it wants to see
//! ([`Hook`]), and has a function for each thing it does: `validate` (looks, may refuse), `mutate` (rewrites, may answer),
//! `filter` (hides and rewrites items of lists). Build it with `cargo build --release --target wasm32-wasip2` from a crate
//! of type `["cdylib", "rlib"]`; test its logic natively with [`harness`].
//!
//! ```
//! use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Problem};
//!
//! struct NoShouting;
//!
//! impl Interceptor for NoShouting {
//!     fn describe() -> Descriptor {
//!         Descriptor::new("no-shouting", "1.0.0", "Refuses arguments in capitals.")
//!             .hook(Hook::validate(&["tools/call"]).request())
//!     }
//!
//!     fn configure(_config: Config<'_>) -> Result<Self, Vec<Problem>> {
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
//! wasmgate_plugin::export!(NoShouting);
//!
//! use wasmgate_plugin::{Phase, harness};
//! let found = harness::validate(&NoShouting, "tools/call", Phase::Request, r#"{"arguments":{"q":"HELLO"}}"#);
//! assert_eq!(found.unwrap()[0].path.as_deref(), Some("/arguments/q"));
//! ```
//!
//! A catalog source is a type that implements [`Source`] and is exported with [`export_source!`]: it turns what an operator
//! wrote into servers.
//!
//! [`Call::texts`] finds what a message says, whatever its shape; with the feature `serde`, `typed` has the payloads of
//! tool calls as types, and [`Config`] is read into one of yours.
//!
//! What else a plugin can do, as far as the operator grants it: [`kv`], [`labels`], [`http`], [`secrets`], [`random`],
//! [`clock`], [`log`]. In native tests each of them works on a stand-in that lives as long as the test's thread.

mod call;
pub mod clock;
mod config;
mod descriptor;
mod export;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
pub mod http;
pub mod kv;
pub mod labels;
pub mod log;
pub mod random;
pub mod secrets;
pub mod source;
pub mod texts;
#[cfg(feature = "serde")]
pub mod typed;

pub use call::{Call, Change, Draft, Edit, Edits, Item, Leaf, Operation, Payload, Phase};
pub use config::Config;
pub use descriptor::{Descriptor, Hook, Isolation, Problem, Role};
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use export::guest;

/// What a plugin is and does. Write the functions that your hooks name.
pub trait Interceptor: Sized + 'static {
    /// What this plugin is, and what it wants to see and to use. Must not depend on anything.
    fn describe() -> Descriptor;

    /// Takes the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it: the plugin is not loaded.
    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>>;

    /// What it wants to see under its configuration, where that is less than the descriptor says.
    fn hooks(&self) -> Option<Vec<Hook>> {
        None
    }

    /// What it found in one message; nothing means valid. For [`Hook::validate`].
    ///
    /// # Errors
    /// The plugin itself failed, which is not a finding: unless the operator says otherwise the message is blocked.
    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let _ = call;
        Ok(Vec::new())
    }

    /// What it made of one message. The same message must give the same answer: clients retry. For [`Hook::mutate`].
    ///
    /// # Errors
    /// The plugin itself failed: unless the operator says otherwise the message is blocked.
    fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String> {
        let _ = draft;
        Ok(Outcome::Unchanged)
    }

    /// What a client sees of a list: changes by position in `items`. The same items must give the same changes. For
    /// [`Hook::filter`].
    ///
    /// # Errors
    /// The plugin itself failed: unless the operator says otherwise the list is not shown at all.
    fn filter(&self, operation: &Operation, items: &[Item]) -> Result<Vec<(usize, Change)>, String> {
        let (_, _) = (operation, items);
        Ok(Vec::new())
    }
}

/// What a catalog source is and does. Each fetch finds fresh memory; what is to last goes into [`kv`], scope `Global`. Of
/// [`http`] it reaches what the operator grants, and the origin of the reference that it is asked for.
pub trait Source: Sized + 'static {
    /// What this plugin is, and what it wants to use; it has no hooks. Must not depend on anything.
    fn describe() -> Descriptor;

    /// Takes the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it: the plugin is not loaded.
    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>>;

    /// Which references it answers, `*` standing for any run of characters: `acme://*`.
    fn claims(&self) -> Vec<String>;

    /// One page.
    ///
    /// # Errors
    /// Why there is none.
    fn fetch(&self, request: &source::Request) -> Result<source::Page, source::Failure>;
}

/// Why a capability did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The operator's configuration does not grant it; says what is missing.
    Denied(String),
    /// It would exceed this bound.
    Exceeded(String),
    /// It was tried and failed.
    Failed(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(what) => write!(f, "denied: {what}"),
            Self::Exceeded(what) => write!(f, "more than allowed: {what}"),
            Self::Failed(what) => write!(f, "failed: {what}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
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
    /// What could stand there instead, JSON text.
    pub suggestion: Option<String>,
}

impl Finding {
    /// A finding that refuses the message.
    pub fn error(message: impl Into<String>) -> Self {
        Self { path: None, message: message.into(), severity: Severity::Error, suggestion: None }
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

    /// Says what could stand there instead, JSON text.
    #[must_use]
    pub fn suggest(mut self, json: impl Into<String>) -> Self {
        self.suggestion = Some(json.into());
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
