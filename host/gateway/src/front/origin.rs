//! Which sites may talk to us: `Host`, `Origin` and `Sec-Fetch-Site` of every request, against DNS rebinding and pages
//! that call from the user's browser (streamable HTTP, "Security Warning": servers MUST validate `Origin`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{HOST, HeaderName, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

/// Where we are, and under which names and from which origins we may be called.
#[derive(Debug)]
pub(super) struct Site {
    port: u16,
    loopback: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
    /// Nothing but the address protects us: no token is asked for.
    open: bool,
}

/// Why a request is not let in. The texts go to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    #[error("exactly one valid `Host` header is required")]
    Host,
    #[error("this gateway is not served under that `Host`; allow it in the configuration if it should be")]
    HostName,
    #[error("the request line and the `Host` header name different places")]
    Target,
    #[error("requests from that `Origin` are refused; allow it in the configuration if it should be let in")]
    Origin,
    #[error("requests from other sites are refused")]
    CrossSite,
}

impl Site {
    /// A site at `port` of `address`, served under the names of `hosts` and callable from `origins` besides its own.
    pub(super) fn new(address: IpAddr, port: u16, hosts: &[String], origins: &[String]) -> Self {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_ascii_lowercase()).collect();
        Self {
            port,
            loopback: address.is_loopback(),
            hosts: lower(hosts),
            origins: lower(origins),
            open: false,
        }
    }

    /// A site that asks for no token. Then names that are not configured are nobody's: rebinding needs a name.
    pub(super) fn open(self) -> Self {
        Self { open: true, ..self }
    }

    /// Lets a request in or says why not.
    pub(super) fn admits(&self, target: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        let host = single(headers, &HOST).map_err(|_| Foreign::Host)?.ok_or(Foreign::Host)?;
        let host: Authority = host.parse().map_err(|_| Foreign::Host)?;
        if host.as_str().contains('@') {
            return Err(Foreign::Host);
        }
        if target.authority().is_some_and(|named| named != &host) {
            return Err(Foreign::Target);
        }
        if !self.is_ours(&host) {
            return Err(Foreign::HostName);
        }
        let trusted = match single(headers, &ORIGIN).map_err(|_| Foreign::Origin)? {
            None => false,
            Some(origin) if self.is_configured(origin) => true,
            Some(origin) if self.is_same(origin, &host) => false,
            Some(_) => return Err(Foreign::Origin),
        };
        match single(headers, &SEC_FETCH_SITE).map_err(|_| Foreign::CrossSite)? {
            Some("cross-site") if !trusted => Err(Foreign::CrossSite),
            _ => Ok(()),
        }
    }

    /// The configured origin this request comes from, for CORS.
    pub(super) fn configured_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.is_configured(origin.to_str().ok()?).then_some(origin)
    }

    fn is_configured(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }

    /// On loopback only our own names at our own port. Elsewhere we cannot know our names: without a configured list
    /// every name is ours, and the token decides; where none is asked for, every address.
    fn is_ours(&self, host: &Authority) -> bool {
        let name = host.host();
        let port = host.port_u16().unwrap_or(80);
        let listed = self
            .hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(host.as_str()));
        let own = is_loopback(name) && port == self.port;
        let anywhere = !self.loopback && self.hosts.is_empty();
        listed || own || (anywhere && (!self.open || is_address(name)))
    }

    /// A page of our own: same place as `Host`, or any loopback spelling of it when we are on loopback.
    fn is_same(&self, origin: &str, host: &Authority) -> bool {
        let Some((scheme, place)) = origin.split_once("://") else { return false };
        let Ok(place) = place.parse::<Authority>() else { return false };
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        if place.as_str().contains('@') {
            return false;
        }
        let port = place.port_u16().unwrap_or(default);
        let at_host =
            place.host().eq_ignore_ascii_case(host.host()) && port == host.port_u16().unwrap_or(default);
        let at_loopback = is_loopback(place.host()) && port == self.port;
        if self.loopback { scheme == "http" && at_loopback } else { at_host }
    }
}

/// Whether a host is an address and not a name.
fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// The one value of a header, or none. Err when there are several or it is not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

fn is_loopback(name: &str) -> bool {
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match v6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests;
