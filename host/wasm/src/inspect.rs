//! Looks at a component without using it: nothing runs but `describe`, and of a catalog source `configure` and `claims`; all
//! of it without a capability.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::compile::compile;
use crate::engine::Engine;
use crate::error::LoadError;
use crate::grants::Grants;
use crate::link::surface;
use crate::load::{Descriptor, Settings, described};
use crate::source;
use crate::text::printable;

/// Bytes of an import's or export's name that are shown.
const MAX_NAME: usize = 128;

/// What a component is, before it is trusted with anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// Bytes of the component.
    pub size: usize,
    /// Interfaces it exports.
    pub exports: Vec<String>,
    /// Interfaces of `wasmgate:plugin` it imports. Components made by JavaScript and Python tools import all of them;
    /// those made by Rust, what they use.
    pub capabilities: Vec<String>,
    /// Interfaces of WASI it imports.
    pub wasi: Vec<String>,
    /// What it says about itself.
    pub descriptor: Descriptor,
    /// Which references it answers, if it is a catalog source.
    pub claims: Option<Claims>,
    /// How long it took to compile, or to find in the cache.
    pub compile: Duration,
}

/// Which references a catalog source answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claims {
    /// These, when it is not configured.
    Always(Vec<String>),
    /// That is said by its configuration, which it cannot do without.
    Configured,
}

/// Compiles a component and asks it what it is.
///
/// # Errors
/// [`LoadError`]: it is no plugin, imports what plugins may not, or does not describe itself.
pub async fn inspect(engine: &Engine, bytes: impl Into<Bytes>) -> Result<Inspection, LoadError> {
    let (bytes, began) = (bytes.into(), Instant::now());
    let size = bytes.len();
    let compiled = compile(engine, bytes.clone()).await?;
    let compile = began.elapsed();
    let grants = Grants { log: false, ..Grants::default() };
    let (made, descriptor) = described(engine, "", bytes, Settings { grants, ..Settings::default() }).await?;
    let claims = source::claims(engine, made).await?;
    let surface = surface(engine, &compiled.component);
    let shown = |names: &[String]| names.iter().map(|name| printable(name, MAX_NAME)).collect::<Vec<_>>();
    let (wasi, capabilities) =
        surface.imports.into_iter().partition::<Vec<_>, _>(|name| name.starts_with("wasi:"));
    Ok(Inspection {
        digest: descriptor.digest.clone(),
        descriptor,
        claims,
        size,
        exports: shown(&surface.exports),
        capabilities: shown(&capabilities),
        wasi: shown(&wasi),
        compile,
    })
}
