//! Decides what happens to a message between the client and the server.
//!
//! A [`Pipeline`] is an ordered set of [`Stage`]s: validators, which may refuse, and mutators, which may rewrite or
//! answer. It sees a call on the way in (mutators by priority, then validators) and the outcome on the way out
//! (validators, then mutators), failures included. Nothing here runs wasm, opens a socket or knows what a container is.
//!
//! Read [`Pipeline::request`] first. The semantics are those of SEP-2624 (interceptors).

mod exchange;
mod run;
mod stage;

pub use exchange::{Exchange, Operation};
pub use run::{Blocked, Pipeline, Remark, Verdict};
pub use stage::{
    Finding, Hook, Kind, Mode, Pattern, Phase, Severity, Stage, StageAnswer, StageError, StageFuture,
    StageInfo,
};
