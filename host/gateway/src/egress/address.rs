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

    /// Passes for anybody; passes when the operator named it; never passes.
    const ADDRESSES: [(&str, &[&str]); 3] = [
        (
            "public",
            &[
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "223.255.255.255",
                "2606:4700:4700::1111",
                "2001:4860:4860::8888",
                "2001:200::",
                "2003::1",
                "2400::1",
                "3ffe::1",
            ],
        ),
        (
            "named",
            &[
                "10.0.0.0",
                "10.255.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "169.254.0.1",
                "169.254.169.253",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.0.1",
                "192.168.255.255",
                "::1",
                "fc00::1",
                "fd12:3456::1",
                "fdff:ffff::1",
                "fe80::1",
                "febf::1",
            ],
        ),
        (
            "never",
            &[
                "0.0.0.0",
                "0.1.2.3",
                "169.254.169.254",
                "169.254.170.2",
                "168.63.129.16",
                "100.100.100.200",
                "192.0.0.1",
                "192.0.0.192",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.255",
                "198.51.100.7",
                "203.0.113.255",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::2",
                "::ffff:127.0.0.1",
                "::ffff:8.8.8.8",
                "::ffff:169.254.169.254",
                "::127.0.0.1",
                "::ffff:0:127.0.0.1",
                "64:ff9b::7f00:1",
                "64:ff9b::808:808",
                "64:ff9b:1::1",
                "100::1",
                "2001::1",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "2001:10::1",
                "2001:20::1",
                "2001:db8::1",
                "2002:7f00:1::",
                "2002:808:808::1",
                "3fff::1",
                "4000::1",
                "5f00::1",
                "fec0::1",
                "feff::1",
                "fd00:ec2::254",
                "fd20:ce::254",
                "ff02::1",
                "ff0e::1",
            ],
        ),
    ];

    #[test]
    fn addresses_pass_or_not() {
        let mut rows = 0;
        for (class, addresses) in ADDRESSES {
            for text in addresses {
                let address: IpAddr = text.parse().unwrap();
                let passes = (check(address, Reach::Public).is_ok(), check(address, Reach::Named).is_ok());
                assert_eq!(passes, (class == "public", class != "never"), "{text}: {:?}", Kind::of(address));
                rows += 1;
            }
        }
        assert!(rows >= 80);
    }

    #[test]
    fn kinds_are_named() {
        let why = |text: &str| check(text.parse().unwrap(), Reach::Public).unwrap_err();
        assert_eq!(why("169.254.169.254"), "a cloud metadata address");
        assert_eq!(why("127.0.0.1"), "a loopback address");
        assert_eq!(why("::ffff:1.2.3.4"), "an IPv6 address that embeds an IPv4 one");
    }
}
