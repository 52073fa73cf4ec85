//! Runs wasmgate plugins: WebAssembly components that implement a world of `wit/`.
//!
//! The ownership ladder: one [`Engine`] a process (settings, the pool of memories, the clock of CPU budgets, compiled
//! code by digest); one [`Loaded`] a configured plugin (linked once), with one [`Interceptor`] for each of its roles; one
//! store an instance. It is dropped when its call ends, so that nothing a guest did outlives it; where the plugin allows
//! it, `keep.rs` keeps it for another call. An `Interceptor` is a [`Stage`](wasmgate_core::pipeline::Stage) of the
//! pipeline; nothing else of this crate is seen by a call.
//!
//! Not here: where a plugin's bytes come from, configuration files, transports, containers.
//!
//! Read [`Plugin::load`], then `body.rs`. To give plugins a new capability: `wit/`, one file in `imports/`, one line in
//! `link.rs`.

mod bindings;
mod body;
mod builtin;
mod cache;
mod call;
mod compile;
mod engine;
mod entries;
mod error;
mod fetch;
mod grants;
mod guest;
mod hooks;
mod imports;
mod inspect;
mod interceptor;
mod keep;
mod known;
mod later;
mod limits;
mod link;
mod load;
mod marks;
mod outbound;
mod owner;
mod page;
mod preset;
mod schema;
mod source;
mod text;
mod ticker;

pub use builtin::{BUILT_IN, BuiltIn, builtin};
pub use engine::{Engine, EngineError, EngineSettings};
pub use error::{LoadError, Problem};
pub use grants::{Grants, HttpGrant, KvGrant, Origin, OriginError, SecretGrant, Want};
pub use inspect::{Claims, Inspection, inspect};
pub use interceptor::Interceptor;
pub use known::{KnownSecrets, TooManySecrets};
pub use later::{Later, LaterFuture};
pub use limits::{
    Limits, MAX_COMPONENT_BYTES, MAX_HTTP_RESPONSE_BYTES, MAX_IN_FLIGHT, MAX_MEMORY_BYTES, MAX_OUTPUT_BYTES,
    MAX_PAGE_BYTES,
};
pub use load::{Descriptor, HookLine, Isolation, Loaded, Plugin, Settings, When};
pub use outbound::{Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse};
pub use page::{MAX_PAGE_SERVERS, SourceFailure, SourcePage, SourceRefused, SourceRequest, SourceServer};
pub use source::CatalogSource;
