//! Whom this machine is logged in as, from what `docker login` left: `config.json`, credential helpers and stores.
//!
//! Read anew whenever a registry asks for a login, so that a login of a moment ago counts. A helper is a program of the
//! operator's choice that may open a window or hang: it runs on a thread of its own, which nothing waits for at the end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::reference::HUB;

/// Where logins are looked up.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Docker's `config.json`, if there is a place for one.
    config: Option<PathBuf>,
}

/// A login.
#[derive(Debug)]
pub enum Login {
    /// There is none; why, when that is not the plain reason.
    Missing(Option<String>),
    /// A name and a password or access token.
    Password(String, SecretString),
    /// An identity token: a refresh token of the token service (OAuth 2).
    Identity(SecretString),
}

impl Credentials {
    /// Looked up in this file, Docker's `config.json`, if there is a place for one.
    pub fn new(config: Option<PathBuf>) -> Self {
        Self { config }
    }

    /// The login for a registry as references name it.
    pub async fn of(&self, registry: &str) -> Login {
        let Some(config) = self.config.clone() else { return Login::Missing(None) };
        let (said, hear) = oneshot::channel();
        let names = names(registry);
        let look = move || {
            let _ = said.send(look_up(&config, &names));
        };
        let asked = std::thread::Builder::new().name("docker-login".to_owned()).spawn(look);
        if let Err(error) = asked {
            return Login::Missing(Some(error.to_string()));
        }
        match tokio::time::timeout(PATIENCE, hear).await {
            Ok(Ok(login)) => login,
            Ok(Err(_)) => Login::Missing(Some("docker's config.json could not be read".to_owned())),
            Err(_) => Login::Missing(Some(format!(
                "the credential helper said nothing for {} s",
                PATIENCE.as_secs()
            ))),
        }
    }
}

/// The names a registry goes by in `config.json`. Docker Hub has had several; the first is what `docker login` writes.
fn names(registry: &str) -> Vec<String> {
    if registry == HUB {
        ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"]
            .map(str::to_owned)
            .into()
    } else {
        vec![registry.to_owned(), format!("https://{registry}")]
    }
}

fn look_up(config: &Path, names: &[String]) -> Login {
    let text = match read(config) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Login::Missing(None),
        Err(error) => return Login::Missing(Some(format!("`{}` cannot be read: {error}", config.display()))),
    };
    let mut why = None;
    for name in names {
        match docker_credential::get_credential_from_reader(text.as_slice(), name) {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                return Login::Password(user, SecretString::from(password));
            }
            Ok(DockerCredential::IdentityToken(token)) => return Login::Identity(SecretString::from(token)),
            Err(error) => why = why.or(reason(&error, config)),
        }
    }
    Login::Missing(why)
}

fn read(config: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(config)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if read as u64 > LARGEST {
        return Err(io::Error::other("too large"));
    }
    Ok(text)
}

/// Nothing when there simply is no login. What a helper printed is never repeated: it may hold what is to be secret.
fn reason(error: &CredentialRetrievalError, config: &Path) -> Option<String> {
    use CredentialRetrievalError as E;
    let config = config.display();
    Some(match error {
        E::NoCredentialConfigured | E::ConfigNotFound => return None,
        E::HelperFailure { stdout, stderr, .. }
            if [stdout, stderr].iter().any(|said| said.contains(HELPER_HAS_NONE)) =>
        {
            return None;
        }
        E::HelperFailure { helper, .. } => format!("`{helper}` failed"),
        E::HelperCommunicationError => format!("a credential helper that `{config}` names cannot be run"),
        E::MalformedHelperResponse => {
            format!("a credential helper that `{config}` names did not answer as one")
        }
        E::CredentialDecodingError | E::CredentialMismatchError => {
            format!("the login in `{config}` cannot be decoded")
        }
        E::ConfigReadError => format!("`{config}` is not Docker's config.json"),
    })
}

/// What every helper says (docker-credential-helpers).
const HELPER_HAS_NONE: &str = "credentials not found";
/// For a helper: people may have to unlock something.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests;
