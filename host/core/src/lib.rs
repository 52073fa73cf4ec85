//! The pure part of wasmgate: what travels, who is meant, who may, and in which order interceptors see it.
//!
//! Nothing here opens a socket, reads a clock, a file or the environment, or knows a runtime: bytes and values come
//! in, bytes and values go out. That keeps its tests instant and its parsers fuzzable.
//!
//! Start with [`jsonrpc`] (the envelope), then [`index`] and [`policy`] (which server a name means and who may use
//! it), then [`pipeline`] (interceptors). [`catalog`] is what every source of servers ends as.

pub mod catalog;
pub mod index;
pub mod json;
pub mod jsonrpc;
pub mod mcp;
pub mod name;
pub mod pipeline;
pub mod policy;
pub mod seal;
