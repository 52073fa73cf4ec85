//! What is written with letters: e-mail addresses, IBANs, IP addresses.

use std::net::Ipv6Addr;
use std::ops::Range;

use crate::text::{before, begins_number, is_escape, is_word};

/// The longest local part of an e-mail address (RFC 5321, 4.5.3.1.1), and the longest domain that is looked at.
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 253;

/// An e-mail address around the `@` at `at`, of which nothing before `from` is taken. A subset of RFC 5321: no quotes, a
/// domain with a dot, letters beyond ASCII only as they occur in Europe.
pub(crate) fn email(text: &str, at: usize, from: usize) -> Option<Range<usize>> {
    let local = text.get(from..at)?;
    let length: usize =
        local.chars().rev().take(LONGEST_LOCAL).take_while(|c| is_local(*c)).map(char::len_utf8).sum();
    let mut start = at - length;
    // The rest of an escape sequence is no part of the address.
    if start > from && before(text.as_bytes(), start) == Some(&b'\\') {
        start += if text.get(start..).is_some_and(|rest| rest.starts_with('u')) { 5 } else { 1 };
    }
    let local = text.get(start..at)?.trim_start_matches(['.', '-', '+']);
    let domain = domain(text.get(at + 1..)?)?;
    let end = at + 1 + domain;
    // `git@host:path` is where a repository is, `icon@2x.png` a file.
    let is_path =
        matches!(text.as_bytes().get(end..), Some([b':', next, ..]) if is_word(Some(next)) || *next == b'/');
    let is_scale = matches!(text.as_bytes().get(at + 1..), Some([b'1'..=b'9', b'x', b'.', ..]));
    (!local.is_empty() && !local.ends_with('.') && !is_path && !is_scale).then(|| at - local.len()..end)
}

fn is_local(c: char) -> bool {
    c.is_ascii_alphanumeric() || ".!#$%&'*+-_{|}~".contains(c) || ('\u{c0}'..='\u{24f}').contains(&c)
}

/// The bytes of the domain name that `text` begins with: two labels or more, the last of letters.
fn domain(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let count = bytes
        .iter()
        .take(LONGEST_DOMAIN)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let name = text.get(..count.count())?.trim_end_matches(['.', '-']);
    let is_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    let (_, last) = name.rsplit_once('.')?;
    let top = (2..=24).contains(&last.len()) && last.bytes().all(|byte| byte.is_ascii_alphabetic());
    (top && name.split('.').all(is_label)).then_some(name.len())
}

/// An IBAN (ISO 13616) that begins at `at`, in one piece or in groups of four; says where it ends.
pub(crate) fn iban(text: &[u8], at: usize) -> Option<usize> {
    let [a, b, c, d] = text.get(at..at + 4)? else { return None };
    let country = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
    let fits =
        c.is_ascii_digit() && d.is_ascii_digit() && (!is_word(before(text, at)) || is_escape(text, at));
    let (_, length) = LENGTHS.iter().find(|(code, _)| fits && code.as_bytes() == country)?;
    let (mut at, mut characters) = (at, Vec::with_capacity(*length));
    while characters.len() < *length {
        match text.get(at)? {
            b' ' if !characters.is_empty() && characters.len().is_multiple_of(4) => {}
            byte if byte.is_ascii_alphanumeric() => characters.push(byte.to_ascii_uppercase()),
            _ => return None,
        }
        at += 1;
    }
    (!is_word(text.get(at)) && remainder(&characters) == 1).then_some(at)
}

/// The remainder of ISO 7064 MOD 97-10, the first four characters moved to the end.
fn remainder(characters: &[u8]) -> u32 {
    let (head, tail) = characters.split_at(characters.len().min(4));
    tail.iter().chain(head).fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

/// How long the IBANs of a country are (SWIFT's registry, release 99).
#[rustfmt::skip]
const LENGTHS: [(&str, usize); 88] = [
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22), ("BH", 22), ("BI", 27),
    ("BR", 29), ("BY", 28), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24), ("DE", 22), ("DJ", 27), ("DK", 18), ("DO", 28),
    ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18), ("FK", 18), ("FO", 18), ("FR", 27), ("GB", 22), ("GE", 22), ("GI", 23),
    ("GL", 18), ("GR", 27), ("GT", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IL", 23), ("IQ", 23), ("IS", 26), ("IT", 27),
    ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28), ("LC", 32), ("LI", 21), ("LT", 20), ("LU", 20), ("LV", 21), ("LY", 25),
    ("MC", 27), ("MD", 24), ("ME", 22), ("MK", 19), ("MN", 20), ("MR", 27), ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18),
    ("NO", 15), ("OM", 23), ("PK", 24), ("PL", 28), ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33),
    ("SA", 24), ("SC", 31), ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("SO", 23), ("ST", 25), ("SV", 28),
    ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20), ("YE", 30),
];

/// An IPv4 address in four decimal parts that begins at `at`; says where it ends.
pub(crate) fn ipv4(text: &[u8], at: usize) -> Option<usize> {
    let length = run(text, at, 16, |byte| byte.is_ascii_digit() || byte == b'.');
    let word = std::str::from_utf8(text.get(at..at + length)?).ok()?.trim_end_matches('.');
    let end = at + word.len();
    let parts = || word.split('.');
    let is_address =
        parts().count() == 4 && parts().all(|part| part.len() <= 3 && part.parse::<u8>().is_ok());
    (is_address && begins_number(text, at) && !is_word(text.get(end))).then_some(end)
}

/// An IPv6 address (RFC 4291) that begins at `at`; says where it ends.
pub(crate) fn ipv6(text: &[u8], at: usize) -> Option<usize> {
    let starts = !is_word(before(text, at)) && before(text, at) != Some(&b':');
    let length = if starts {
        run(text, at, 46, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
    } else {
        0
    };
    let word = std::str::from_utf8(text.get(at..at + length)?).ok()?;
    // A colon or a full stop behind it belongs to the sentence, unless the address ends with `::`.
    let word = if word.ends_with("::") { word } else { word.trim_end_matches(['.', ':']) };
    let is_address = word.len() > 2 && word.parse::<Ipv6Addr>().is_ok();
    (is_address && !is_word(text.get(at + word.len()))).then_some(at + word.len())
}

/// How many bytes from `at`, but not more than `most`, pass a test.
fn run(text: &[u8], at: usize, most: usize, test: fn(u8) -> bool) -> usize {
    text.get(at..).unwrap_or_default().iter().take(most).take_while(|byte| test(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(detector: fn(&[u8], usize) -> Option<usize>, found: &[&str], left: &[&str]) {
        for text in found {
            assert_eq!(detector(text.as_bytes(), 0), Some(text.len()), "{text}");
            let within = format!("is {text}. Next");
            assert_eq!(detector(within.as_bytes(), 3), Some(text.len() + 3), "{within}");
        }
        for text in left {
            assert_eq!(detector(text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn e_mail_addresses() {
        for (text, expected) in [
            ("jan@example.org", Some("jan@example.org")),
            ("mail <jan.doe+x@mail.example.co.uk>.", Some("jan.doe+x@mail.example.co.uk")),
            ("jürgen@example.de", Some("jürgen@example.de")),
            ("a:jan@example.org, b", Some("jan@example.org")),
            ("电话jan@example.org", Some("jan@example.org")),
            (r"a\njan@example.org\n", Some("jan@example.org")),
            (r"a\u003cjan@example.org", Some("jan@example.org")),
            ("@scope/package", None),
            ("react@18.2.0", None),
            ("icon@2x.png", None),
            ("git@github.com:a/b", None),
            ("user@localhost", None),
            ("a@-b.org", None),
        ] {
            let at = text.find('@').unwrap();
            assert_eq!(email(text, at, 0).and_then(|range| text.get(range)), expected, "{text}");
        }
    }

    #[test]
    fn ibans_have_the_length_of_their_country_and_a_check_number() {
        check(
            iban,
            &[
                "DE89370400440532013000",
                "DE89 3704 0044 0532 0130 00",
                "GB82 WEST 1234 5698 7654 32",
                "fr1420041010050500013m02606",
                "NO9386011117947",
            ],
            &[
                "DE89370400440532013001",
                "DE893704004405320130000",
                "XX89370400440532013000",
                "DE8937040044",
                "DE89-3704-0044-0532-0130-00",
            ],
        );
        assert_eq!(iban(b"XDE89370400440532013000", 1), None);
    }

    #[test]
    fn addresses_of_hosts() {
        check(
            ipv4,
            &["192.0.2.1", "255.255.255.255"],
            &["192.0.2", "192.0.2.256", "1.2.3.4.5", "192.0.2.1a", "1.2.3.0004"],
        );
        check(
            ipv6,
            &["2001:db8::1", "fe80::1:2", "::ffff:192.0.2.1", "2001:db8:0:0:0:0:0:1"],
            &["12:30:45", "aa:bb:cc:dd:ee:ff", "::", "a::b::c", "std"],
        );
        assert_eq!(ipv6(b"std::abc", 3), None);
    }
}
