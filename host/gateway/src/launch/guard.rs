//! Whether an image may be run: asked once before every start, before anything is pulled.

use std::future::Future;
use std::pin::Pin;

use wasmgate_core::catalog::Pull;

/// What a guard eventually says.
pub type Admission<'a> = Pin<Box<dyn Future<Output = Result<Admitted, String>> + Send + 'a>>;

/// An image that is about to be run.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// As its entry names it.
    pub image: &'a str,
    /// What the engine has under that name, as `repository@sha256:...`. Empty for an image that did not come from a
    /// registry, and when it is pulled at every start anyway.
    pub here: &'a [String],
    /// When it is pulled.
    pub pull: Pull,
}

/// How an image may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// As the entry names it.
    AsNamed,
    /// Under this reference, which names its content: that content was looked at, and no other is run.
    Pinned(String),
}

/// Decides which images may be run. Refusals are said after the image's name.
pub trait ImageGuard: Send + Sync {
    /// Asked before an image is pulled or run.
    fn admit<'a>(&'a self, candidate: Candidate<'a>) -> Admission<'a>;
}

/// Lets every image in.
pub struct AnyImage;

impl ImageGuard for AnyImage {
    fn admit<'a>(&'a self, _: Candidate<'a>) -> Admission<'a> {
        Box::pin(std::future::ready(Ok(Admitted::AsNamed)))
    }
}
