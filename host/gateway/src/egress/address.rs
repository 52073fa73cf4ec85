//! Which addresses may be dialled. Pure: an address comes in, a verdict goes out.
//!
//! For strangers' destinations only globally reachable unicast addresses pass. What embeds an IPv4 address in an IPv6
//! one (mapped, compatible, 6to4, NAT64, Teredo) never does: the embedded address could be any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reach;

/// Checks one address; the error says what kind of address it is.
pub(super) fn check(address: IpAddr, reach: Reach) -> Result<(), &'static str> {
    let kind = Kind::of(address);
    let passes = match reach {
        Reach::Public => kind == Kind::Public,
        Reach::Named => matches!(kind, Kind::Public | Kind::Loopback | Kind::Private | Kind::LinkLocal),
    };
    if passes { Ok(()) } else { Err(kind.name()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Loopback,
    /// RFC 1918, shared address space (RFC 6598), unique local (RFC 4193).
    Private,
    LinkLocal,
    /// Services that hand credentials of the machine to whoever asks from it.
    Metadata,
    Unspecified,
    Multicast,
    /// An IPv6 address that stands for an IPv4 address.
    Embedding,
    /// Documentation, benchmarks, protocol assignments, future use.
    Reserved,
}

impl Kind {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if METADATA_V4.contains(&address) {
            return Self::Metadata;
        }
        let bits = u32::from(address);
        let within = |net: &(Ipv4Addr, u32, Self)| bits >> (32 - net.1) == u32::from(net.0) >> (32 - net.1);
        SPECIAL_V4.iter().find(|net| within(net)).map_or(Self::Public, |net| net.2)
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if METADATA_V6.contains(&address) {
            return Self::Metadata;
        }
        let bits = u128::from(address);
        let within =
            |net: &(Ipv6Addr, u32, Self)| bits >> (128 - net.1) == u128::from(net.0) >> (128 - net.1);
        // Outside 2000::/3 nothing is global unicast.
        let rest = if bits >> 125 == 0b001 { Self::Public } else { Self::Reserved };
        SPECIAL_V6.iter().find(|net| within(net)).map_or(rest, |net| net.2)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata address",
            Self::Unspecified => "the unspecified address",
            Self::Multicast => "a multicast address",
            Self::Embedding => "an IPv6 address that embeds an IPv4 one",
            Self::Reserved => "a reserved address",
        }
    }
}

/// AWS, Google, Azure, DigitalOcean and others; ECS; EKS; Azure's wire server; Alibaba; Oracle.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS, EKS, Google.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// IANA IPv4 Special-Purpose Address Registry, what of it is not globally reachable unicast.
const SPECIAL_V4: [(Ipv4Addr, u32, Kind); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Kind::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Kind::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Kind::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Kind::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Kind::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Kind::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Kind::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Kind::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Kind::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Kind::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Kind::Reserved),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Kind::Reserved),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Kind::Reserved),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Kind::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Kind::Reserved),
    (Ipv4Addr::new(255, 255, 255, 255), 32, Kind::Reserved),
];

/// IANA IPv6 Special-Purpose Address Registry and the ways to write an IPv4 address in IPv6; narrower nets first.
const SPECIAL_V6: [(Ipv6Addr, u32, Kind); 15] = [
    (Ipv6Addr::UNSPECIFIED, 128, Kind::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Kind::Loopback),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, Kind::Embedding),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, Kind::Embedding),
    (Ipv6Addr::UNSPECIFIED, 96, Kind::Embedding),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, Kind::Embedding),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Kind::Embedding),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, Kind::Embedding),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Kind::Embedding),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Kind::Reserved),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Kind::Reserved),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Kind::Reserved),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Kind::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Kind::LinkLocal),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Kind::Multicast),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_judged_as_it_says() {
        let (mut rows, mut wrong) = (0, Vec::new());
        for line in include_str!("addresses.txt").lines().filter(|line| !line.starts_with('#')) {
            let [text, verdict, kind] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            // A host in a URL is what its parser makes of it; the rest is what resolvers answer.
            let address = match text.parse::<IpAddr>() {
                Ok(address) => Some(address),
                Err(_) => {
                    match url::Url::parse(&format!("https://{text}/")).ok().as_ref().and_then(url::Url::host)
                    {
                        Some(url::Host::Ipv4(v4)) => Some(v4.into()),
                        Some(url::Host::Ipv6(v6)) => Some(v6.into()),
                        Some(url::Host::Domain(_)) | None => None,
                    }
                }
            };
            let found =
                address.map(|address| match (check(address, Reach::Public), check(address, Reach::Named)) {
                    (Ok(()), Ok(())) => ("public", "-"),
                    (Err(kind), Ok(())) => ("named", kind),
                    (Err(kind), Err(_)) => ("never", kind),
                    (Ok(()), Err(_)) => ("upside down", ""),
                });
            if found.unwrap_or(("no-url", "-")) != (verdict, kind) {
                wrong.push(format!("{text}: {found:?}, not {verdict} ({kind})"));
            }
            rows += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(rows >= 200, "{rows}");
    }

    #[test]
    fn kinds_are_named() {
        let why = |text: &str| check(text.parse().unwrap(), Reach::Public).unwrap_err();
        assert_eq!(why("169.254.169.254"), "a cloud metadata address");
        assert_eq!(why("127.0.0.1"), "a loopback address");
        assert_eq!(why("::ffff:1.2.3.4"), "an IPv6 address that embeds an IPv4 one");
    }
}
