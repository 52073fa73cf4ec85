//! What people write for servers of a registry: names, and every form of URL that a registry had.

use wasmgate_plugin::source::Failure;

/// Where a registry's API is: `https://host[/prefix]` and the version of its API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registry {
    base: String,
    api: String,
}

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// Every server of a registry, or those that a search finds.
    All { registry: Registry, search: Option<String>, version: String },
    /// One version of one server.
    One { registry: Registry, name: String, version: String },
    /// A document that is already there.
    Document(Vec<u8>),
}

impl Registry {
    /// The registry of a configuration.
    pub(crate) fn configured(base: &str) -> Option<Self> {
        let base = upgraded(base.trim_end_matches('/'))?;
        match api_of(&base) {
            Some((registry, "")) => Some(registry),
            Some(_) => None,
            None => Some(Self { base, api: STABLE.to_owned() }),
        }
    }

    /// Where its servers are listed.
    pub(crate) fn list(&self) -> String {
        format!("{}/{}/servers", self.base, self.api)
    }

    /// Where one version of a server is.
    pub(crate) fn server(&self, name: &str, version: &str) -> String {
        format!("{}/{}/servers/{}/versions/{}", self.base, self.api, encoded(name), encoded(version))
    }

    /// Its address without the API.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }
}

impl Reference {
    /// Reads what an operator wrote. `home` is what `registry://` means.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] says what to write instead.
    pub(crate) fn read(written: &str, home: &Registry) -> Result<Self, Failure> {
        if let Some(rest) = written.strip_prefix("registry://") {
            return named(rest, home);
        }
        if let Some(rest) = written.strip_prefix("data:") {
            return document(rest);
        }
        let unsupported =
            || Failure::Unsupported(format!("`{written}` is no address of servers in a registry: {FORMS}"));
        let url = upgraded(written.trim()).ok_or_else(unsupported)?;
        let url = url.split('#').next().unwrap_or_default();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let bare = path.trim_end_matches('/');
        if bare == home.base || bare == home.list() || bare == crate::config::OFFICIAL {
            let registry =
                if bare == crate::config::OFFICIAL && home.base != bare { official() } else { home.clone() };
            return Ok(all(registry, query));
        }
        let (registry, rest) = api_of(path).ok_or_else(unsupported)?;
        match rest.trim_matches('/') {
            "" => Ok(all(registry, query)),
            rest => one(registry, rest),
        }
    }
}

fn official() -> Registry {
    Registry { base: crate::config::OFFICIAL.to_owned(), api: STABLE.to_owned() }
}

/// `name`, `name@version`, `?search=...`, or nothing, behind `registry://`.
fn named(rest: &str, home: &Registry) -> Result<Reference, Failure> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let name = name.trim_end_matches('/');
    if name.is_empty() {
        return Ok(all(home.clone(), query));
    }
    let (name, version) = name.rsplit_once('@').unwrap_or((name, LATEST));
    checked(home.clone(), &decoded(name), &decoded(version))
}

/// What stands behind `/servers/`: a name, encoded or not, and maybe `/versions` and a version.
fn one(registry: Registry, rest: &str) -> Result<Reference, Failure> {
    let (name, version) = match rest.split_once("/versions") {
        Some((name, "")) => (name, LATEST),
        Some((name, version)) => (name, version.trim_start_matches('/')),
        None => (rest, LATEST),
    };
    checked(registry, &decoded(name), &decoded(version))
}

fn checked(registry: Registry, name: &str, version: &str) -> Result<Reference, Failure> {
    if is_uuid(name) {
        return Err(Failure::Unsupported(format!(
            "`{name}` is an identifier that registries no longer have: use the server's name, as in registry://io.github.acme/weather, \
             or look for it with registry://?search=weather"
        )));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if name.is_empty() || !name.chars().all(plain) || name.split('/').count() > 2 {
        return Err(Failure::Unsupported(format!(
            "`{name}` is no name of a server, which is like io.github.acme/weather"
        )));
    }
    if version.is_empty() || version.contains(char::is_control) || version.contains('/') {
        return Err(Failure::Unsupported(format!(
            "`{version}` is no version of a server, which is like 1.0.2, or `latest`"
        )));
    }
    Ok(Reference::One { registry, name: name.to_owned(), version: version.to_owned() })
}

fn all(registry: Registry, query: &str) -> Reference {
    let given = |key: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| decoded(&value.replace('+', " ")))
    };
    let version = given("version").filter(|version| !version.is_empty()).unwrap_or_else(|| LATEST.to_owned());
    Reference::All { registry, search: given("search").filter(|search| !search.is_empty()), version }
}

/// `[media type][;base64],text`.
fn document(rest: &str) -> Result<Reference, Failure> {
    use base64::Engine as _;
    let bad = || Failure::Unsupported("the data: address holds no document".to_owned());
    let (kind, text) = rest.split_once(',').ok_or_else(bad)?;
    if !kind.ends_with(";base64") {
        return Ok(Reference::Document(decoded_bytes(text)));
    }
    let alphabet = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    alphabet.decode(text.trim()).map(Reference::Document).map_err(|_| bad())
}

/// Splits `https://host/prefix/v0.1/servers/rest` into the registry and the rest.
fn api_of(path: &str) -> Option<(Registry, &str)> {
    let mut from = 0;
    while let Some(at) = path.get(from..)?.find("/v").map(|found| from + found) {
        let (base, rest) = path.split_at(at);
        let (api, rest) = rest.get(1..)?.split_once('/')?;
        let number = api.strip_prefix('v').is_some_and(|digits| {
            digits.starts_with(|c: char| c.is_ascii_digit())
                && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        });
        let rest = rest.strip_prefix("servers").filter(|rest| rest.is_empty() || rest.starts_with('/'));
        if let Some(rest) = rest.filter(|_| number && base.len() > "https://".len()) {
            return Some((Registry { base: base.to_owned(), api: api.to_owned() }, rest));
        }
        from = at + 2;
    }
    None
}

/// The address over https, and over http only to this machine.
fn upgraded(url: &str) -> Option<String> {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let (secure, rest) = match (lower.starts_with("https://"), lower.starts_with("http://")) {
        (true, _) => (true, url.get(8..)?),
        (_, true) => (false, url.get(7..)?),
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain =
        rest.chars().all(|c| c.is_ascii_graphic()) && !authority.is_empty() && !authority.contains('@');
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let here = host.eq_ignore_ascii_case("localhost") || host.starts_with("127.") || host == "[::1]";
    let scheme = if secure || !here { "https" } else { "http" };
    let path = rest.get(authority.len()..).unwrap_or_default();
    plain.then(|| format!("{scheme}://{}{path}", authority.to_ascii_lowercase()))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|b| b.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hex)
}

/// A text as one segment of a path or value of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&decoded_bytes(text)).into_owned()
}

fn decoded_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits =
            (first == b'%').then(|| tail.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        let value =
            digits.filter(|hex| !hex.starts_with('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    bytes
}

/// The version of the API that stays as it is.
const STABLE: &str = "v0.1";
/// The newest version of a server.
pub(crate) const LATEST: &str = "latest";
/// What can be written.
const FORMS: &str =
    "write registry://NAME, registry://NAME@VERSION, or https://HOST/v0.1/servers/NAME/versions/VERSION";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: &str) {
        let home = Registry::configured("https://registry.modelcontextprotocol.io").unwrap();
        let shown = match Reference::read(written, &home) {
            Ok(Reference::All { registry, search, version }) => {
                format!(
                    "all {version} of {}{}",
                    registry.list(),
                    search.map(|s| format!(" with {s}")).unwrap_or_default()
                )
            }
            Ok(Reference::One { registry, name, version }) => registry.server(&name, &version),
            Ok(Reference::Document(bytes)) => String::from_utf8(bytes).unwrap(),
            Err(failure) => failure.to_string(),
        };
        assert_eq!(shown, expected, "{written}");
    }

    #[test]
    fn names() {
        let at = |rest: &str| format!("https://registry.modelcontextprotocol.io/v0.1/servers/{rest}");
        check("registry://io.github.acme/x", &at("io.github.acme%2Fx/versions/latest"));
        check("registry://io.github.acme/x@1.0.0+b", &at("io.github.acme%2Fx/versions/1.0.0%2Bb"));
        check("registry://io.github.acme%2Fx@latest", &at("io.github.acme%2Fx/versions/latest"));
        check("registry://", "all latest of https://registry.modelcontextprotocol.io/v0.1/servers");
        check(
            "registry://?search=web%20search",
            "all latest of https://registry.modelcontextprotocol.io/v0.1/servers with web search",
        );
    }

    #[test]
    fn urls() {
        let latest = "https://registry.modelcontextprotocol.io/v0/servers/io.github.acme%2Fx/versions/latest";
        for rest in [
            "io.github.acme%2Fx",
            "io.github.acme%2fx/versions",
            "io.github.acme/x/versions/latest",
            "io.github.acme%2Fx/",
        ] {
            check(&format!("https://registry.modelcontextprotocol.io/v0/servers/{rest}"), latest);
            check(&format!("http://registry.modelcontextprotocol.io/v0/servers/{rest}"), latest);
        }
        check(
            "https://Acme.Example:8443/mcp/reg/v0.1/servers/a%2Fb/versions/1.0",
            "https://acme.example:8443/mcp/reg/v0.1/servers/a%2Fb/versions/1.0",
        );
        check(
            "http://127.0.0.1:8080/v0.1/servers/a%2Fb",
            "http://127.0.0.1:8080/v0.1/servers/a%2Fb/versions/latest",
        );
        check("http://acme.example/v0.1/servers", "all latest of https://acme.example/v0.1/servers");
        check(
            "https://acme.example/v0/servers?search=x&version=1.0&cursor=y",
            "all 1.0 of https://acme.example/v0/servers with x",
        );
        check(
            "https://registry.modelcontextprotocol.io/",
            "all latest of https://registry.modelcontextprotocol.io/v0.1/servers",
        );
        check(
            "https://vault.example/v1x/v0.1/servers/a%2Fb",
            "https://vault.example/v1x/v0.1/servers/a%2Fb/versions/latest",
        );
    }

    #[test]
    fn what_cannot_be_read_says_what_can() {
        let uuid = "312e45a4-2216-4b21-b9a8-0f1a51425073";
        let cure = "not a reference that this source understands: `312e45a4-2216-4b21-b9a8-0f1a51425073` is an identifier that registries no longer have: \
            use the server's name, as in registry://io.github.acme/weather, or look for it with registry://?search=weather";
        check(&format!("http://registry.modelcontextprotocol.io/v0/servers/{uuid}"), cure);
        check(&format!("registry://{uuid}"), cure);
        let forms = format!(
            "not a reference that this source understands: `https://acme.example/x` is no address of servers in a registry: {FORMS}"
        );
        check("https://acme.example/x", &forms);
        check(
            "registry://a b",
            "not a reference that this source understands: `a b` is no name of a server, which is like io.github.acme/weather",
        );
        check(
            "registry://a/b@",
            "not a reference that this source understands: `` is no version of a server, which is like 1.0.2, or `latest`",
        );
        check(
            "data:application/json",
            "not a reference that this source understands: the data: address holds no document",
        );
    }

    #[test]
    fn documents() {
        check("data:application/json;base64,eyJhIjoxfQ==", r#"{"a":1}"#);
        check("data:application/json,%7B%22a%22:1}", r#"{"a":1}"#);
    }

    #[test]
    fn bases() {
        for (written, list) in [
            ("https://r.example/", Some("https://r.example/v0.1/servers")),
            ("https://r.example/p/v0/servers", Some("https://r.example/p/v0/servers")),
            ("http://localhost:1", Some("http://localhost:1/v0.1/servers")),
            ("https://r.example/v0/servers/x", None),
            ("r.example", None),
            ("https://u@r.example", None),
        ] {
            assert_eq!(Registry::configured(written).map(|r| r.list()).as_deref(), list, "{written}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(registry://|https?://[a-z.]{0,5}/?|data:)?[\\PC/v01@?%=]{0,30}") {
            let home = Registry::configured("https://r.example").unwrap();
            let _ = Reference::read(&text, &home);
        }
    }
}
