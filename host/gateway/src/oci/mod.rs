//! Artifacts in registries: what is shared by digest, and how it gets here and there.
//!
//! A [`Reference`] names something in a registry, a [`Digest`] names bytes. [`Registry`] moves artifacts between
//! registries and the [`Store`] on this machine, which several processes share. An [`Artifact`] is a manifest with all its
//! bytes, every one of them checked against its digest. What is in an artifact (catalogs, components) is its reader's
//! business; whether its signature is good, [`trust`] says.
//!
//! Rules: the OCI distribution spec 1.1, the OCI image spec 1.1, and Docker's habits where users rely on them (names,
//! `config.json`). Every transfer goes through [`crate::egress`].

pub mod artifact;
mod auth; // challenges, tokens and which credentials a request carries
mod credentials; // Docker's config.json
mod digest;
mod error;
mod manifest;
mod reference;
mod registry;
mod store;
mod transport; // one request: deadlines, redirects, retries
pub mod trust; // who signed an artifact

pub use self::artifact::Artifact;
pub use self::credentials::{Credentials, Login};
pub use self::digest::{Digest, NotADigest};
pub use self::error::OciError;
pub use self::manifest::{Descriptor, Manifest, ManifestError};
pub use self::reference::{LOCAL, NotAReference, Reference};
pub use self::registry::{Fetched, Freshness, Most, Progress, Pulled, Registry, Resolved, Settings, Step};
pub use self::store::{Entry, Store, StoreError};
pub use self::transport::Patience;
