//! The integration suite: one program, every test against the real binary and real peers.
//!
//! The modules follow the promises of the product, not its code; `layering` alone looks at the sources.

#![expect(clippy::disallowed_methods, reason = "tests read their own environment and spawn their own tasks")]

mod asked;
mod audit;
mod bad_input;
mod bridging;
mod bundled;
mod bundled_more;
mod canaries;
mod catalogs;
mod cli;
mod clients;
mod collections;
mod conformance;
mod conformance_client;
mod containers;
mod demo;
mod distribution;
mod eras;
mod faults;
mod fidelity;
mod foreign;
mod import;
mod instances;
mod isolation;
mod languages;
mod layering;
mod limits;
mod logins;
mod operations;
mod plugins;
mod processes;
mod protocol_legacy;
mod protocol_modern;
mod reference;
mod reload;
mod remotes;
mod resumption;
mod scale;
mod sessions;
mod signatures;
mod soak;
mod starts;
mod stdio;
mod streaming;
mod tasks;
mod uris;
