//! Private addresses that nobody uses. Drawn by chance, so that two gateways seldom want the same; the engine refuses what
//! one of its own networks has.

use std::fmt;
use std::net::Ipv4Addr;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet {
    net: u32,
    bits: u32,
}

impl Subnet {
    /// Networks of `bits` bits that overlap with none of `taken`, without end unless there is none.
    pub(super) fn free(bits: u32, taken: &[(Ipv4Addr, u32)]) -> impl Iterator<Item = Self> {
        let drawn = (0..DRAWS).zip(PRIVATE.into_iter().cycle()).map(move |(_, (range, range_bits))| {
            let mut random = [0; 4];
            // Without randomness the same one is drawn again and the engine refuses it.
            let _ = getrandom::fill(&mut random);
            let own = u32::MAX.checked_shr(range_bits).unwrap_or(0) & mask(bits);
            Self { net: u32::from(range) | u32::from_be_bytes(random) & own, bits }
        });
        drawn.filter(|subnet| !taken.iter().any(|taken| subnet.overlaps(*taken)))
    }

    #[cfg(test)]
    pub(super) fn of(net: Ipv4Addr, bits: u32) -> Self {
        Self { net: u32::from(net), bits }
    }

    /// The host's address in it.
    pub(super) fn host(self) -> Ipv4Addr {
        Ipv4Addr::from(self.net + 1)
    }

    /// The last address, which nobody is given.
    pub(super) fn nobody(self) -> Ipv4Addr {
        Ipv4Addr::from((self.net | !mask(self.bits)) - 1)
    }

    fn overlaps(self, (net, bits): (Ipv4Addr, u32)) -> bool {
        let common = mask(self.bits.min(bits));
        self.net & common == u32::from(net) & common
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.net), self.bits)
    }
}

/// A mask of so many bits.
fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)
}

/// RFC 1918.
const PRIVATE: [(Ipv4Addr, u32); 3] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// How many are drawn before the machine's addresses count as used up.
const DRAWS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_left_alone() {
        let taken = [
            (Ipv4Addr::new(10, 0, 0, 0), 8),
            (Ipv4Addr::new(172, 17, 0, 0), 16),
            (Ipv4Addr::new(192, 168, 1, 0), 24),
            (Ipv4Addr::new(172, 30, 1, 7), 32),
        ];
        let found: Vec<Subnet> = Subnet::free(29, &taken).collect();
        assert!(found.len() > 100);
        for subnet in found {
            let host = subnet.host().octets();
            assert!(host[0] != 10 && host[..2] != [172, 17] && host[..3] != [192, 168, 1], "{subnet}");
            assert!(subnet.host().is_private() && subnet.nobody().is_private(), "{subnet}");
            assert_eq!(u32::from(subnet.nobody()) - u32::from(subnet.host()), 5, "{subnet}");
        }
        assert_eq!(Subnet::free(29, &[(Ipv4Addr::new(0, 0, 0, 0), 0)]).count(), 0);
    }

    #[test]
    fn its_places_are_told_apart() {
        let subnet = Subnet { net: u32::from(Ipv4Addr::new(10, 1, 2, 8)), bits: 29 };
        assert_eq!(subnet.to_string(), "10.1.2.8/29");
        assert_eq!(subnet.host(), Ipv4Addr::new(10, 1, 2, 9));
        assert_eq!(subnet.nobody(), Ipv4Addr::new(10, 1, 2, 14));
    }
}
