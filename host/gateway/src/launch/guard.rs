//! Whether an image may be run: asked once before every start, before anything is pulled.

use std::future::Future;
use std::pin::Pin;

/// What a guard eventually says.
pub type Admission<'a> = Pin<Box<dyn Future<Output = Result<Admitted, String>> + Send + 'a>>;

/// How an image may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// As the entry names it.
    AsNamed,
    /// Under this reference, which names its content: that content was looked at, and no other is run.
    Pinned(String),
}

/// Decides which images may be run. Refusals are sentences for people.
pub trait ImageGuard: Send + Sync {
    /// Asked with the image as its entry names it.
    fn admit<'a>(&'a self, image: &'a str) -> Admission<'a>;
}

/// Lets every image in.
pub struct AnyImage;

impl ImageGuard for AnyImage {
    fn admit<'a>(&'a self, _: &'a str) -> Admission<'a> {
        Box::pin(std::future::ready(Ok(Admitted::AsNamed)))
    }
}
