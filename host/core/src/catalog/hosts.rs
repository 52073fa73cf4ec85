//! Which destinations a container may reach through the gateway: the words of `allowHosts`, read and compared.
//!
//! A rule is `host[:port][/protocol]`, as Docker's catalogs write it: `api.example.com`, `api.example.com:443`,
//! `*.example.com:8443/https`, `db.example.com:5432/tcp`, `[2001:db8::1]:443`. Nothing is resolved here.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// The destinations of one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedHosts {
    /// Whatever none of these names is refused.
    pub rules: Vec<HostRule>,
    /// Whose rules they are.
    pub author: Author,
}

/// Who wrote the rules of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Author {
    /// The operator, in the gateway's configuration.
    Operator,
    /// A catalog, wherever it lies.
    #[default]
    Catalog,
}

/// What a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    /// What may be said.
    pub carries: Carries,
    /// Whether it may be said to a loopback or private address: only where the operator wrote an address or `localhost`. What
    /// any other name leads to is up to whoever has the name.
    pub private: bool,
}

/// One destination, or all names below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    host: Host,
    /// Its TCP port.
    port: u16,
    carries: Carries,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// In lower case.
    Name(String),
    /// Names that end in this, which begins with a dot.
    Below(String),
    Address(IpAddr),
}

/// What may be said on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// TLS to the host that was named, and plain HTTP unless the port is 443.
    Either,
    /// Plain HTTP only.
    Http,
    /// TLS only.
    Tls,
    /// Any bytes: whom they are for is not looked at.
    Anything,
}

impl Carries {
    /// Whether plain HTTP requests may be sent.
    pub fn http(self) -> bool {
        matches!(self, Self::Either | Self::Http | Self::Anything)
    }

    /// Whether a tunnel may be opened.
    pub fn tunnel(self) -> bool {
        self != Self::Http
    }
}

impl AllowedHosts {
    /// What may be said to `host` at `port`; `None` when no rule names it. `host` is a name or an address as in the authority
    /// of a URL, brackets and all.
    pub fn permits(&self, host: &str, port: u16) -> Option<Permit> {
        let host = host.to_ascii_lowercase();
        let fits = |rule: &&HostRule| rule.port == port && rule.host.is(&host);
        let rule = self.rules.iter().find(fits)?;
        let private = self.author == Author::Operator && rule.host.says_where();
        Some(Permit { carries: rule.carries, private })
    }
}

impl HostRule {
    /// Reads a rule.
    ///
    /// # Errors
    /// What is wrong with it, after "`rule`".
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let (place, protocol) = text.split_once('/').map_or((text, ""), |(place, rest)| (place, rest));
        let (host, port) = split(place)?;
        let standard = if protocol == "http" { 80 } else { 443 };
        let port = match port {
            None if protocol == "tcp" => return Err("needs a port"),
            None => standard,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("has no port from 1 to 65535")?,
        };
        let carries = match protocol {
            "" if port == 443 => Carries::Tls,
            "" => Carries::Either,
            "http" => Carries::Http,
            "https" => Carries::Tls,
            "tcp" => Carries::Anything,
            _ => return Err("ends in something other than `/http`, `/https` or `/tcp`"),
        };
        Ok(Self { host: Host::read(host)?, port, carries })
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn split(place: &str) -> Result<(&str, Option<&str>), &'static str> {
    let Some(bracketed) = place.strip_prefix('[') else {
        return Ok(place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))));
    };
    let end = bracketed.find(']').ok_or("has a `[` without `]`")?;
    let host = place.get(..end + 2).unwrap_or_default();
    match place.get(end + 2..).unwrap_or_default() {
        "" => Ok((host, None)),
        rest => Ok((host, Some(rest.strip_prefix(':').ok_or("has something after its `]`")?))),
    }
}

impl Host {
    fn read(text: &str) -> Result<Self, &'static str> {
        if let Some(address) = address(text) {
            return Ok(Self::Address(address));
        }
        let text = text.to_ascii_lowercase();
        let (below, name) = text.strip_prefix("*.").map_or((false, text.as_str()), |name| (true, name));
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err("is not a host name: write `example.com`, `*.example.com` or an address");
        }
        // What resolvers read as an address (`127.1`, `0x7f000001`) is none here and must not pass for a name.
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("ends like an address and is none: write all four parts in decimal");
        }
        if below && !name.contains('.') {
            return Err("would allow a whole top-level domain");
        }
        Ok(if below { Self::Below(format!(".{name}")) } else { Self::Name(name.to_owned()) })
    }

    /// Whether it leads to a place that nobody else can move.
    fn says_where(&self) -> bool {
        match self {
            Self::Address(_) => true,
            Self::Name(name) => name == "localhost",
            Self::Below(_) => false,
        }
    }

    /// `host` is in lower case.
    fn is(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name == host,
            Self::Below(end) => {
                let label = host.strip_suffix(end.as_str()).unwrap_or_default();
                !label.is_empty() && !label.starts_with('.')
            }
            Self::Address(own) => address(host) == Some(*own),
        }
    }
}

/// An address as URLs write it: four decimal parts, or IPv6 in brackets.
fn address(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok().filter(IpAddr::is_ipv4),
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port)?,
            Host::Below(end) => write!(f, "*{end}:{}", self.port)?,
            Host::Address(IpAddr::V4(v4)) => write!(f, "{v4}:{}", self.port)?,
            Host::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]:{}", self.port)?,
        }
        match self.carries {
            Carries::Either => Ok(()),
            Carries::Tls if self.port == 443 => Ok(()),
            Carries::Http => f.write_str("/http"),
            Carries::Tls => f.write_str("/https"),
            Carries::Anything => f.write_str("/tcp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        let shown = HostRule::read(text).map_or_else(str::to_owned, |rule| rule.to_string());
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn rules_are_a_host_a_port_and_a_protocol() {
        reads("api.example.com", "api.example.com:443");
        reads("API.Example.com:443", "api.example.com:443");
        reads("api.example.com:8443", "api.example.com:8443");
        reads("api.example.com:8443/https", "api.example.com:8443/https");
        reads("example.com/http", "example.com:80/http");
        reads("db.example.com:5432/tcp", "db.example.com:5432/tcp");
        reads("*.example.com", "*.example.com:443");
        reads("10.0.0.7:9000", "10.0.0.7:9000");
        reads("[2001:db8::1]", "[2001:db8::1]:443");
        reads("[2001:db8::1]:80/http", "[2001:db8::1]:80/http");
        reads("localhost:3000", "localhost:3000");
    }

    #[test]
    fn what_is_no_rule_says_why() {
        let name = "is not a host name: write `example.com`, `*.example.com` or an address";
        for bad in
            ["", "*", "a..b", ".example.com", "example.com.", "ex ample.com", "exämple.com", "*.", "u@h"]
        {
            reads(bad, name);
        }
        for bad in ["127.1", "0x7f.0.0.1", "2130706433", "1.2.3.4.5", "0177.0.0.1"] {
            reads(bad, "ends like an address and is none: write all four parts in decimal");
        }
        reads("*.com", "would allow a whole top-level domain");
        reads("a.b:0", "has no port from 1 to 65535");
        reads("a.b:http", "has no port from 1 to 65535");
        reads("https://a.b", "has no port from 1 to 65535");
        reads("2001:db8::1", "has no port from 1 to 65535");
        reads("a.b:1/udp", "ends in something other than `/http`, `/https` or `/tcp`");
        reads("a.b/tcp", "needs a port");
        reads("[::1", "has a `[` without `]`");
        reads("[::1]443", "has something after its `]`");
    }

    #[track_caller]
    fn check(rules: &[&str], host: &str, port: u16, expected: Option<Carries>) {
        let rules = rules.iter().map(|text| HostRule::read(text).unwrap()).collect();
        let allowed = AllowedHosts { rules, author: Author::Catalog };
        let carries = allowed.permits(host, port).map(|permit| permit.carries);
        assert_eq!(carries, expected, "{host}:{port}");
    }

    #[test]
    fn only_an_operators_address_or_localhost_may_be_private() {
        let texts =
            ["localhost", "127.0.0.1", "[::1]", "10.0.0.7", "db.example", "*.a.localhost", "*.a.example"];
        let rules: Vec<HostRule> = texts.iter().map(|text| HostRule::read(text).unwrap()).collect();
        for (host, private) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("10.0.0.7", true),
            ("db.example", false),
            ("b.a.localhost", false),
            ("b.a.example", false),
        ] {
            for (author, private) in [(Author::Operator, private), (Author::Catalog, false)] {
                let permit = AllowedHosts { rules: rules.clone(), author }.permits(host, 443);
                assert_eq!(permit.map(|permit| permit.private), Some(private), "{host} {author:?}");
            }
        }
    }

    #[test]
    fn only_what_is_named_is_permitted() {
        let rules =
            ["api.example.com", "*.cdn.example", "db.example:5432/tcp", "web.example:8080", "192.0.2.1"];
        check(&rules, "api.example.com", 443, Some(Carries::Tls));
        check(&rules, "API.EXAMPLE.COM", 443, Some(Carries::Tls));
        check(&rules, "api.example.com", 80, None);
        check(&rules, "api.example.com.", 443, None);
        check(&rules, "evil.api.example.com", 443, None);
        check(&rules, "api.example.com.evil.example", 443, None);
        check(&rules, "a.cdn.example", 443, Some(Carries::Tls));
        check(&rules, "a.b.cdn.example", 443, Some(Carries::Tls));
        check(&rules, "cdn.example", 443, None);
        check(&rules, ".cdn.example", 443, None);
        check(&rules, "evilcdn.example", 443, None);
        check(&rules, "db.example", 5432, Some(Carries::Anything));
        check(&rules, "web.example", 8080, Some(Carries::Either));
        check(&rules, "192.0.2.1", 443, Some(Carries::Tls));
        check(&rules, "192.0.2.01", 443, None);
        check(&rules, "[::ffff:192.0.2.1]", 443, None);
        check(&[], "api.example.com", 443, None);
        check(&["[2001:db8::1]:443"], "[2001:DB8:0::1]", 443, Some(Carries::Tls));
    }
}
