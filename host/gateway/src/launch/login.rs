//! Logins for the registries that images are pulled from. The engine has none of its own: whoever asks for a pull sends one
//! along. Where they come from is not this module's business.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use secrecy::SecretString;

/// The login that is eventually found.
pub type Finding<'a> = Pin<Box<dyn Future<Output = ImageLogin> + Send + 'a>>;

/// Whom this machine is logged in as where an image is.
#[derive(Debug)]
pub struct ImageLogin {
    /// The registry, as `docker login` is told it.
    pub registry: String,
    /// Whom.
    pub account: Account,
}

/// Somebody at a registry.
#[derive(Debug)]
pub enum Account {
    /// Nobody; why, when that is not the plain reason.
    Nobody(Option<String>),
    /// A name and a password or access token.
    Password(String, SecretString),
    /// An identity token of the registry's token service.
    Identity(SecretString),
}

/// Knows the logins of this machine.
pub trait ImageLogins: fmt::Debug + Send + Sync {
    /// The login for the registry of an image. Asked before every pull, so that a new login counts at once.
    fn of<'a>(&'a self, image: &'a str) -> Finding<'a>;
}
