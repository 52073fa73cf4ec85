//! Reads servers from the official MCP registry, and from registries that speak like it.

mod map;
mod model;
mod node;

pub use map::{Imported, Refused, Settings, import};
