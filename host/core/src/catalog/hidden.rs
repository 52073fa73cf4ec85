//! Texts that may hold a secret and then do not print it: words of a command line, addresses of remotes.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// A word of a command line. One with a secret in it prints as `[secret]`.
#[derive(Clone)]
pub enum Argument {
    /// Anybody may read it.
    Plain(String),
    /// A secret is in it.
    Secret(SecretString),
}

impl Argument {
    /// The word itself, for whoever starts the program: never for people.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(text) => text.expose_secret(),
        }
    }

    /// The word when a secret is in it.
    pub fn secret(&self) -> Option<&SecretString> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(text) => Some(text),
        }
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Secret(_) => f.write_str("[secret]"),
        }
    }
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => write!(f, "{text:?}"),
            Self::Secret(_) => f.write_str("[secret]"),
        }
    }
}

/// An address of a remote. One with a secret in it prints as scheme, host and port only.
#[derive(Clone)]
pub struct RemoteUrl {
    url: Url,
    secret: bool,
}

impl RemoteUrl {
    /// An address with a secret in its path or query.
    pub fn secret(url: Url) -> Self {
        Self { url, secret: true }
    }

    /// The whole address, for whoever connects: never for people.
    pub fn expose(&self) -> &Url {
        &self.url
    }

    /// Whether a secret is in it.
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}

impl From<Url> for RemoteUrl {
    fn from(url: Url) -> Self {
        Self { url, secret: false }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.secret {
            return fmt::Display::fmt(&self.url, f);
        }
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str("/[secret]")
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nowhere() {
        let url = |text: &str| Url::parse(text).unwrap();
        let hidden = RemoteUrl::secret(url("https://a.example:8443/mcp/t0ken?key=t0ken#t0ken"));
        assert_eq!(
            format!("{hidden} {hidden:?}"),
            r#"https://a.example:8443/[secret] "https://a.example:8443/[secret]""#
        );
        assert_eq!(hidden.expose().path(), "/mcp/t0ken");
        assert_eq!(RemoteUrl::from(url("https://a.example/x?y=1")).to_string(), "https://a.example/x?y=1");

        let words = [Argument::from("--key"), Argument::Secret("t0ken".into())];
        assert_eq!(format!("{words:?} {}", words[1]), r#"["--key", [secret]] [secret]"#);
        assert_eq!(words[1].expose(), "t0ken");
    }
}
