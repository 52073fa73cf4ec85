//! Decides what happens to a message between the client and the server.
//!
//! A [`Pipeline`] is an ordered set of [`Stage`]s: validators, which may refuse, mutators, which may rewrite or answer,
//! and list filters. It sees a call on the way in (mutators by priority, then validators) and the outcome on the way out
//! (validators, then mutators), failures included; for what a server asks of the client the other way round. Nothing
//! here runs wasm, opens a socket or knows what a container is.
//!
//! Read [`Pipeline::request`] first. The semantics are those of SEP-2624 (interceptors).

mod diff;
mod exchange;
mod run;
mod stage;

pub use diff::{Difference, differences};
pub use exchange::{Exchange, Operation};
pub use run::{Blocked, Kept, Pipeline, Remark, Verdict};
pub use stage::{
    About, Compat, FilterFuture, Finding, Hook, ItemChange, Kind, ListItem, Mode, Party, Pattern, Phase,
    ReconfigureFuture, Severity, Stage, StageAnswer, StageError, StageFuture, StageInfo,
};
