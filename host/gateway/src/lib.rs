//! The gateway: everything of wasmgate that touches the world.
//!
//! `app` builds and runs it; `gateway` is the life of one call; `front` faces clients, `upstream` and `launch` face
//! servers, `config` and `catalog` say which servers there are. The layering test in `tests/` holds the map.

pub mod app;
pub mod audit;
pub mod cases;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod demo;
pub mod document;
pub mod egress;
pub mod front;
pub mod gateway;
pub mod interceptors;
pub mod joined;
pub mod launch;
pub mod mailbox;
pub mod oci;
mod reload;
pub mod secrets;
pub mod shutdown;
pub mod telemetry;
pub mod upstream;
pub mod woken;
