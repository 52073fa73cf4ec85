//! What an operator lets a plugin use, and what a plugin says that it needs. A plugin that needs more than it is granted is
//! held: it is not loaded until the operator has decided. What a plugin was not granted answers `denied` when it is used,
//! because JavaScript and Python components import their whole world whatever they use of it.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use url::{Host, Url};

use crate::known::KnownSecrets;

/// What one plugin may use. The default grants the log and nothing else.
#[derive(Clone)]
pub struct Grants {
    /// Write lines and counters.
    pub log: bool,
    /// See the time; clocks stand still without it.
    pub clock: bool,
    /// Get unpredictable bytes.
    pub random: bool,
    /// Read and put marks on sessions.
    pub labels: bool,
    /// Keep values between calls.
    pub kv: Option<KvGrant>,
    /// Origins it may call over HTTP.
    pub http: Vec<HttpGrant>,
    /// Secrets that the gateway puts into its requests.
    pub secrets: Vec<SecretGrant>,
    /// Learn where values the gateway keeps secret stand in a message.
    pub find_secrets: Option<Arc<KnownSecrets>>,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            log: true,
            clock: false,
            random: false,
            labels: false,
            kv: None,
            http: Vec::new(),
            secrets: Vec::new(),
            find_secrets: None,
        }
    }
}

/// How much a plugin may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGrant {
    /// Bytes of all its entries together, keys and bookkeeping included.
    pub quota: usize,
}

impl Default for KvGrant {
    fn default() -> Self {
        Self { quota: 1 << 20 }
    }
}

/// An origin a plugin may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// The origin.
    pub origin: Origin,
    /// Whether its name may lead to a private address. An origin that is an address itself, or `localhost`, was named by
    /// the operator and may.
    pub private: bool,
}

/// A secret a plugin may send.
#[derive(Clone)]
pub struct SecretGrant {
    /// The name the plugin knows it by.
    pub name: String,
    /// Its value.
    pub value: SecretString,
    /// Where it may be sent.
    pub origins: Vec<Origin>,
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Box<str>,
    host: Host,
    port: u16,
}

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not an origin: {0} (write scheme, host and perhaps port, as in `https://dlp.example.com`)")]
pub struct OriginError(&'static str);

impl Origin {
    /// Reads `http(s)://host[:port]`.
    ///
    /// # Errors
    /// [`OriginError`] when it is something else, or more than that.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let url = Url::parse(text).map_err(|_| OriginError("it is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OriginError("it has a user name"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || text.ends_with('/') {
            return Err(OriginError("it has a path"));
        }
        Self::of(&url).ok_or(OriginError("its scheme is not http or https"))
    }

    /// The origin of a URL; None when it has none that could be granted.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = url.scheme();
        if scheme != "http" && scheme != "https" {
            return None;
        }
        Some(Self { scheme: scheme.into(), host: url.host()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Whether the operator wrote an address or `localhost`, and no name that leads who knows where.
    pub fn is_literal(&self) -> bool {
        match &self.host {
            Host::Ipv4(_) | Host::Ipv6(_) => true,
            Host::Domain(name) => name == "localhost",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (&*self.scheme, self.port) {
            ("http", 80) | ("https", 443) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// One thing a plugin says that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The time.
    Clock,
    /// Unpredictable bytes.
    Random,
    /// Values between calls.
    Kv,
    /// Marks on sessions.
    Labels,
    /// Where secrets stand in messages.
    FindSecrets,
    /// To call an origin.
    Http(Origin),
    /// To send a secret.
    Secret(String),
}

impl Want {
    /// Reads one of `descriptor.wants`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            None => match text {
                "clock" => Self::Clock,
                "random" => Self::Random,
                "kv" => Self::Kv,
                "labels" => Self::Labels,
                "find-secrets" => Self::FindSecrets,
                _ => return None,
            },
            Some(("http", origin)) => Self::Http(Origin::parse(origin).ok()?),
            Some(("secret", name)) if is_name(name) => Self::Secret(name.to_owned()),
            Some(_) => return None,
        })
    }

    /// As it is written under `grants:`.
    pub fn as_grant(&self) -> String {
        match self {
            Self::Clock => "clock: true".to_owned(),
            Self::Random => "random: true".to_owned(),
            Self::Kv => "kv: true".to_owned(),
            Self::Labels => "labels: true".to_owned(),
            Self::FindSecrets => "findSecrets: true".to_owned(),
            Self::Http(origin) => format!("http: [\"{origin}\"]"),
            Self::Secret(name) => format!("secrets: {{ {name}: [\"https://where.it.may.go\"] }}"),
        }
    }
}

impl Grants {
    /// Everything in `wants` that is missing here.
    pub(crate) fn missing(&self, wants: &[Want]) -> Vec<Want> {
        wants.iter().filter(|want| !self.has(want)).cloned().collect()
    }

    fn has(&self, want: &Want) -> bool {
        match want {
            Want::Clock => self.clock,
            Want::Random => self.random,
            Want::Kv => self.kv.is_some(),
            Want::Labels => self.labels,
            Want::FindSecrets => self.find_secrets.is_some(),
            Want::Http(origin) => self.http.iter().any(|grant| grant.origin == *origin),
            Want::Secret(name) => self.secrets.iter().any(|grant| grant.name == *name),
        }
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let shown = |text: &str| Origin::parse(text).map(|origin| origin.to_string());
        assert_eq!(shown("https://DLP.example.com").unwrap(), "https://dlp.example.com");
        assert_eq!(shown("https://dlp.example.com:443").unwrap(), "https://dlp.example.com");
        assert_eq!(shown("http://[::1]:8080").unwrap(), "http://[::1]:8080");
        for wrong in [
            "dlp.example.com",
            "ftp://a",
            "https://a/b",
            "https://a/",
            "https://u@a",
            "https://a?b",
            "https://",
        ] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
        assert!(Origin::parse("http://127.0.0.1").unwrap().is_literal());
        assert!(!Origin::parse("http://intranet").unwrap().is_literal());
    }

    #[test]
    fn what_is_wanted_and_not_granted_is_missing() {
        let wants: Vec<_> = ["clock", "kv", "http:https://a", "http:https://b", "secret:KEY"]
            .iter()
            .map(|want| Want::parse(want).unwrap())
            .collect();
        let origin = Origin::parse("https://a").unwrap();
        let grants =
            Grants { clock: true, http: vec![HttpGrant { origin, private: false }], ..Grants::default() };
        let missing: Vec<_> = grants.missing(&wants).iter().map(Want::as_grant).collect();
        assert_eq!(
            missing,
            ["kv: true", "http: [\"https://b\"]", "secrets: { KEY: [\"https://where.it.may.go\"] }"]
        );
        for unknown in ["files", "http:a", "secret:", "kv:1", ""] {
            assert_eq!(Want::parse(unknown), None, "{unknown}");
        }
    }
}
