//! What people write for servers of a ToolHive registry.

use base64::Engine as _;
use wasmgate_plugin::source::Failure;

/// A registry, and the one server that is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) place: Place,
    pub(crate) name: Option<String>,
}

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Url(String),
    /// Already here.
    Document(Vec<u8>),
}

impl Reference {
    /// Reads what an operator wrote. `home` is what `toolhive://` means.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] says what to write instead.
    pub(crate) fn read(written: &str, home: &str) -> Result<Self, Failure> {
        let named = |name: &str| Some(name.trim_matches('/').to_owned()).filter(|name| !name.is_empty());
        if let Some(name) = written.strip_prefix("toolhive://") {
            return Ok(Self { place: Place::Url(home.to_owned()), name: named(name) });
        }
        if let Some(rest) = written.strip_prefix("data:") {
            return Ok(Self { place: Place::Document(document(rest)?), name: None });
        }
        let (url, name) = written.split_once('#').unwrap_or((written, ""));
        let url = address(url).ok_or_else(|| {
            Failure::Unsupported(format!(
                "`{written}` is no address of a registry: write toolhive://, toolhive://NAME, or https://HOST/registry.json#NAME"
            ))
        })?;
        Ok(Self { place: Place::Url(url), name: named(name) })
    }
}

/// An address over https, and over http only to this machine.
pub(crate) fn address(url: &str) -> Option<String> {
    let url = url.trim();
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain =
        rest.chars().all(|c| c.is_ascii_graphic()) && !authority.is_empty() && !authority.contains('@');
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    let scheme = if secure || !here { "https" } else { "http" };
    plain.then(|| format!("{scheme}://{rest}"))
}

/// `[media type];base64,text`.
fn document(rest: &str) -> Result<Vec<u8>, Failure> {
    let bad = || Failure::Unsupported("the data: address holds no document in base64".to_owned());
    let (kind, text) = rest.split_once(',').ok_or_else(bad)?;
    if !kind.ends_with(";base64") {
        return Err(bad());
    }
    base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(|_| bad())
}
