//! What a plugin may use, from the file: origins read, secrets looked up. Whether it is enough for the plugin is seen when it
//! is loaded.

use secrecy::{ExposeSecret as _, SecretString};
use wasmgate_wasm::{HttpGrant, KvGrant, Origin};

use super::raw_plugins::{RawGrants, RawHttp, RawKv};
use crate::document::{Diagnostic, Source, Spanned};
use crate::secrets::{Secrets, Wanted};

/// The smallest quota: less would hold nothing.
const LEAST_QUOTA: u64 = 1 << 10;
/// The largest quota: it is memory of the gateway.
const MOST_QUOTA: u64 = 1 << 30;

/// What a plugin may use.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginGrants {
    /// Write lines and counters.
    pub log: bool,
    /// See the time.
    pub clock: bool,
    /// Get unpredictable bytes.
    pub random: bool,
    /// Read and put marks on sessions.
    pub labels: bool,
    /// Keep values between calls.
    pub kv: Option<KvGrant>,
    /// Origins it may call.
    pub http: Vec<HttpGrant>,
    /// Secrets that the gateway puts into its requests.
    pub secrets: Vec<PluginSecret>,
    /// Learn where known secrets stand in messages.
    pub find_secrets: bool,
}

/// A secret a plugin may send.
#[derive(Debug, Clone)]
pub struct PluginSecret {
    /// The name the plugin knows it by.
    pub name: String,
    /// Its value.
    pub value: SecretString,
    /// Where it may be sent.
    pub origins: Vec<Origin>,
}

/// Values count: a plugin is loaded anew when its secret has changed.
impl PartialEq for PluginSecret {
    fn eq(&self, other: &Self) -> bool {
        let value = |secret: &Self| secret.value.expose_secret().to_owned();
        self.name == other.name && self.origins == other.origins && value(self) == value(other)
    }
}

/// Reads `grants:` of the plugin `name` and gathers what is wrong with it.
pub(super) fn grants(
    name: &str,
    raw: RawGrants,
    secrets: &Secrets,
    source: &Source<'_>,
    problems: &mut Vec<Diagnostic>,
) -> PluginGrants {
    let mut reader = Reader { plugin: name, secrets, source, problems };
    let http: Vec<HttpGrant> = raw.http.into_iter().filter_map(|http| reader.http(http)).collect();
    let kv = reader.kv(raw.kv);
    let mut granted = Vec::new();
    for (handle, origins) in raw.secrets {
        granted.extend(reader.secret(handle, origins, &http));
    }
    PluginGrants {
        log: raw.log,
        clock: raw.clock,
        random: raw.random,
        labels: raw.labels,
        kv,
        http,
        secrets: granted,
        find_secrets: raw.find_secrets,
    }
}

struct Reader<'a> {
    plugin: &'a str,
    secrets: &'a Secrets,
    source: &'a Source<'a>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn wrong<T>(&mut self, spot: &Spanned<T>, word: &str, (message, cure): (String, String)) {
        let message = format!("plugin `{}`: {message}", self.plugin);
        self.problems.push(self.source.at(&spot.referenced, word, message, cure));
    }

    fn origin<T>(&mut self, spot: &Spanned<T>, text: &str) -> Option<Origin> {
        let read = Origin::parse(text);
        read.map_err(|error| self.wrong(spot, text, (format!("`{text}` {error}"), String::new()))).ok()
    }

    fn http(&mut self, http: Spanned<RawHttp>) -> Option<HttpGrant> {
        let RawHttp { origin: text, private } = &http.value;
        let origin = self.origin(&http, text)?;
        if !private && !origin.is_literal() && text.starts_with("http:") {
            let message = format!("plain http to `{text}` is not possible");
            let cure = format!(
                "use https or, if it is on your own network, `{{origin: \"{text}\", private: true}}`"
            );
            self.wrong(&http, text, (message, cure));
        }
        Some(HttpGrant { origin, private: *private })
    }

    fn kv(&mut self, kv: RawKv) -> Option<KvGrant> {
        if !kv.granted {
            return None;
        }
        let Some(quota) = kv.quota else { return Some(KvGrant::default()) };
        let bytes = quota.value.0;
        if !(LEAST_QUOTA..=MOST_QUOTA).contains(&bytes) {
            let message = format!("a quota of {bytes} bytes is not possible");
            self.wrong(&quota, "", (message, "use 1KiB to 1GiB".to_owned()));
        }
        usize::try_from(bytes).ok().map(|quota| KvGrant { quota })
    }

    /// A secret, looked up, and the origins it may be sent to, all of which must be granted themselves.
    fn secret(
        &mut self,
        name: String,
        origins: Spanned<Vec<Spanned<String>>>,
        granted: &[HttpGrant],
    ) -> Option<PluginSecret> {
        let mut read = Vec::new();
        for text in &origins.value {
            let origin = self.origin(text, &text.value)?;
            if !granted.iter().any(|http| http.origin == origin) {
                let message = format!("the secret `{name}` may go to {origin}, where the plugin may not");
                self.wrong(text, &text.value, (message, format!("add \"{origin}\" to `grants.http`")));
            }
            read.push(origin);
        }
        if read.is_empty() {
            let message = format!("the secret `{name}` may go nowhere");
            let cure = format!("name the origins: `{name}: [\"https://api.example.com\"]`");
            self.wrong(&origins, "", (message, cure));
        }
        let Some(value) = self.secrets.find(wanted(&name)) else {
            let cure = format!("looked for: {}", self.secrets.places(wanted(&name)));
            self.wrong(&origins, "", (format!("there is no secret `{name}`"), cure));
            return None;
        };
        Some(PluginSecret { name, value, origins: read })
    }
}

/// The operator's own file names it.
fn wanted(name: &str) -> Wanted<'_> {
    Wanted { name, env: "", trusted: true }
}
