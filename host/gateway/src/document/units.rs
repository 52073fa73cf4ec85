//! Quantities as people write them: `30s`, `1m30s`, `64MiB`, `2Gb`.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Text;

/// The longest length of time that may be written: what is longer is a slip, and would overflow the clock somewhere.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A length of time, written with its unit: `500ms`, `30s`, `2m`, `1h30m`; a day at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// An amount of memory in bytes, written `512m`, `2Gb`, `64MiB` or as a plain number of bytes. Units are powers of 1024,
/// as Docker reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(pub u64);

/// How many of something at once: 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce(pub NonZeroUsize);

/// A share of all, in percent, written `20%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u8);

/// A quantity that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuantity {
    /// Not a length of time.
    #[error("`{0}` is not a length of time: write a number and a unit, such as `500ms`, `30s` or `2m`")]
    Time(String),
    /// A length of time beyond a day.
    #[error("`{0}` is too long: a day (`24h`) is the most")]
    TooLong(String),
    /// Not an amount of memory.
    #[error("`{0}` is not an amount of memory: write a number and a unit, such as `512MiB` or `2GiB`")]
    Memory(String),
    /// Not how many at once.
    #[error("`{0}` is not how many at once: write a whole number, 1 or more")]
    AtOnce(String),
    /// Not a share.
    #[error("`{0}` is not a share: write whole percent, such as `20%`")]
    Percent(String),
}

impl std::str::FromStr for Span {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || BadQuantity::Time(text.to_owned());
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, after) = tail.split_at(letters);
            // Digits alone fail only by being too many.
            let number = if number.is_empty() { Err(bad()) } else { Ok(number.parse().unwrap_or(u64::MAX)) }?;
            let seconds = |each: u64| Duration::from_secs(number.saturating_mul(each));
            let part = match unit {
                "ms" => Duration::from_millis(number),
                "s" => seconds(1),
                "m" => seconds(60),
                "h" => seconds(3600),
                _ => return Err(bad()),
            };
            total = total.saturating_add(part);
            rest = after;
        }
        if total > LONGEST { Err(BadQuantity::TooLong(text.to_owned())) } else { Ok(Self(total)) }
    }
}

impl std::str::FromStr for Memory {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || BadQuantity::Memory(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
        let (number, unit) = lower.split_at(end);
        let shift = match unit.trim() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(bad)
    }
}

impl std::str::FromStr for AtOnce {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        text.trim().parse().map(Self).map_err(|_| BadQuantity::AtOnce(text.to_owned()))
    }
}

impl std::str::FromStr for Percent {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let number = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
        number.map(Self).ok_or_else(|| BadQuantity::Percent(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for AtOnce {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Text::deserialize(from)?.0.parse().map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Text::deserialize(from)?.0.parse().map_err(Error::custom)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Text::deserialize(from)?.0.parse().map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit() {
        for (text, millis) in [("30s", 30_000), ("500ms", 500), ("1m30s", 90_000), ("2h", 7_200_000)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for bad in ["", "30", "s", "1d", "-1s", "1.5s"] {
            assert_eq!(bad.parse::<Span>(), Err(BadQuantity::Time(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn shares_are_whole_percent() {
        for (text, share) in [("20%", 20), ("0%", 0), (" 100 %", 100)] {
            assert_eq!(text.parse(), Ok(Percent(share)), "{text}");
        }
        for bad in ["", "20", "0.2", "-1%", "1.5%", "256%", "%"] {
            assert_eq!(bad.parse::<Percent>(), Err(BadQuantity::Percent(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_day_is_the_longest_time() {
        assert_eq!("24h".parse(), Ok(Span(Duration::from_secs(86_400))));
        for long in ["24h1ms", "86401s", "99999999999999999999s", "18446744073709551615h", "23h61m"] {
            assert_eq!(long.parse::<Span>(), Err(BadQuantity::TooLong(long.to_owned())), "{long}");
        }
    }

    #[test]
    fn nothing_at_once_is_too_little() {
        assert_eq!("3".parse().map(|AtOnce(most)| most.get()), Ok(3));
        for bad in ["0", "", "-1", "1.5", "many"] {
            assert_eq!(bad.parse::<AtOnce>(), Err(BadQuantity::AtOnce(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn memory_is_counted_in_powers_of_1024() {
        for (text, bytes) in
            [("1", 1), ("2Gb", 2 << 30), ("512m", 512 << 20), ("64MiB", 64 << 20), ("1 k", 1024)]
        {
            assert_eq!(text.parse(), Ok(Memory(bytes)), "{text}");
        }
        for bad in ["", "g", "1t", "-1m", "1.5g", "99999999999g"] {
            assert!(bad.parse::<Memory>().is_err(), "{bad}");
        }
    }
}
