//! `egress.allow` of wasmgate.yaml: destinations that catalogs, plugins and other strangers may name although they are not
//! public. Cloud metadata services stay out of reach whatever stands here.

use std::net::{IpAddr, SocketAddr};

/// Destinations that count as if the operator had named them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions {
    nets: Vec<Net>,
    hosts: Vec<(String, Option<u16>)>,
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    bits: u32,
    port: Option<u16>,
}

impl Exceptions {
    /// Reads `10.0.0.0/8`, `10.1.2.3`, `10.1.2.3:5000`, `fd00::/8`, `[fd00::1]:5000`, `registry.internal`,
    /// `registry.internal:5000`.
    ///
    /// # Errors
    /// The place of the first that is none of these.
    pub fn read<'a>(rules: impl IntoIterator<Item = &'a str>) -> Result<Self, usize> {
        let mut read = Self::default();
        for (at, rule) in rules.into_iter().enumerate() {
            read.add(rule.trim()).ok_or(at)?;
        }
        Ok(read)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty() && self.hosts.is_empty()
    }

    /// Whether this address of a host is one. `host` has no brackets.
    pub(super) fn name(&self, host: &str, address: SocketAddr) -> bool {
        let fits = |port: &Option<u16>| port.is_none_or(|port| port == address.port());
        let host = host.trim_end_matches('.');
        self.nets.iter().any(|net| fits(&net.port) && net.holds(address.ip()))
            || self.hosts.iter().any(|(name, port)| fits(port) && name.eq_ignore_ascii_case(host))
    }

    fn add(&mut self, rule: &str) -> Option<()> {
        if let Some((address, bits)) = rule.split_once('/') {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            self.nets.push(Net { address, bits: Some(bits).filter(|bits| *bits <= most)?, port: None });
            return Some(());
        }
        let one =
            |address: IpAddr, port| Net { address, bits: if address.is_ipv4() { 32 } else { 128 }, port };
        if let Ok(address) = rule.trim_start_matches('[').trim_end_matches(']').parse() {
            self.nets.push(one(address, None));
        } else if let Ok(address) = rule.parse::<SocketAddr>() {
            self.nets.push(one(address.ip(), Some(address.port())));
        } else {
            let (name, port) = rule.split_once(':').map_or((rule, None), |(name, port)| (name, Some(port)));
            let port = port.map(str::parse).transpose().ok()?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            let like_an_address = name.rsplit('.').next()?.starts_with(|c: char| c.is_ascii_digit());
            let name = Some(name).filter(|name| !name.is_empty() && name.bytes().all(plain))?;
            self.hosts.push((Some(name.to_owned()).filter(|_| !like_an_address)?, port));
        }
        Some(())
    }
}

impl Net {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(v4)) => {
                let differs = u32::from(net) ^ u32::from(v4);
                differs.leading_zeros() >= self.bits
            }
            (IpAddr::V6(net), IpAddr::V6(v6)) => {
                let differs = u128::from(net) ^ u128::from(v6);
                differs.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, host: &str, address: &str, expected: bool) {
        let read = Exceptions::read([rule]).unwrap();
        assert_eq!(read.name(host, address.parse().unwrap()), expected, "{rule} {host} {address}");
    }

    #[test]
    fn an_exception_is_a_net_an_address_or_a_name() {
        check("10.0.0.0/8", "x", "10.255.0.1:443", true);
        check("10.0.0.0/8", "x", "11.0.0.1:443", false);
        check("0.0.0.0/0", "x", "127.0.0.1:1", true);
        check("0.0.0.0/0", "x", "[::1]:1", false);
        check("10.1.2.3", "x", "10.1.2.3:99", true);
        check("10.1.2.3:99", "x", "10.1.2.3:99", true);
        check("10.1.2.3:99", "x", "10.1.2.3:98", false);
        check("fd00::/8", "x", "[fd12::1]:443", true);
        check("[fd00::1]:5000", "x", "[fd00::1]:5000", true);
        check("fd00::1", "x", "[fd00::1]:5000", true);
        check("registry.internal", "Registry.Internal.", "10.0.0.1:1", true);
        check("registry.internal:5000", "registry.internal", "10.0.0.1:5000", true);
        check("registry.internal:5000", "registry.internal", "10.0.0.1:443", false);
        check("internal", "registry.internal", "10.0.0.1:443", false);
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in
            ["", "10.0.0.0/33", "::/129", "a b", "10.0.0.0/", "127.1", "x:port", "http://x", "*.internal"]
        {
            assert_eq!(Exceptions::read(["10.0.0.1", bad]), Err(1), "{bad}");
        }
    }
}
