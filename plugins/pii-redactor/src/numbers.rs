//! Numbers of people: cards, telephones, US social security. Each function looks at a bounded stretch behind `at` and says
//! where the number ends.

use crate::text::{Gap, Grouped, begins_number, ends_number, grouped};

/// A payment card: a length that its issuer's prefix has (ISO/IEC 7812), and a check digit that is right (Luhn).
pub(crate) fn card(text: &[u8], at: usize) -> Option<usize> {
    if !begins_number(text, at) || !text.get(at).is_some_and(|first| (b'2'..=b'6').contains(first)) {
        return None;
    }
    let number = grouped(text, at);
    let gap = number.gaps.first().copied();
    let sizes = number.sizes();
    let fits = |(groups, (end, digits)): &(usize, (usize, usize))| {
        let even = number.gaps.iter().take(*groups).all(|g| Some(*g) == gap);
        let chunks = *groups == 0 || sizes.iter().take(groups + 1).all(|size| (3..=7).contains(size));
        let prefix = number.digits.get(..*digits).unwrap_or_default();
        even && chunks && ends_number(text, *end) && is_issued(prefix) && luhn(prefix)
    };
    if !matches!(gap, None | Some(Gap::Space | Gap::Dash)) {
        return None;
    }
    let mut ends = number.ends.iter().copied().enumerate();
    ends.rfind(fits).map(|(_, (end, _))| end)
}

/// Whether an issuer gives out numbers of this length with this prefix.
fn is_issued(digits: &[u8]) -> bool {
    let prefix =
        |count: usize| digits.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    match digits.len() {
        14 => matches!(prefix(3), 300..=305 | 309 | 360..=369 | 380..=399),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            matches!(prefix(1), 4)
                || matches!(prefix(2), 51..=55 | 62 | 65)
                || matches!(prefix(3), 644..=649)
                || matches!(prefix(4), 2221..=2720 | 3528..=3589 | 6011 | 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763)
        }
        18 | 19 => matches!(prefix(2), 62 | 65) || matches!(prefix(4), 3528..=3589 | 6011 | 6304 | 6759),
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| u32::from(if place % 2 == 1 { doubled(*digit) } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}

/// A US social security number, `123-45-6789`, as far as such numbers are given out.
pub(crate) fn ssn(text: &[u8], at: usize) -> Option<usize> {
    let number = grouped(text, at).cut(3);
    let [a, b, c, d, e, f @ ..] = number.digits.as_slice() else { return None };
    let area = u32::from(*a) * 100 + u32::from(*b) * 10 + u32::from(*c);
    let is_given_out =
        !matches!(area, 0 | 666 | 900..) && (*d, *e) != (0, 0) && f.iter().any(|digit| *digit != 0);
    let end = number.end().filter(|end| ends_number(text, *end) && begins_number(text, at))?;
    (number.sizes() == [3, 2, 4] && number.gaps == [Gap::Dash; 2] && is_given_out).then_some(end)
}

/// A telephone number that begins at `at` with `+`, `(` or a digit: international (ITU-T E.164), North American, or
/// national with a leading zero; the last two only as people write them, in groups.
pub(crate) fn phone(text: &[u8], at: usize) -> Option<usize> {
    if !begins_number(text, at) {
        return None;
    }
    match text.get(at)? {
        b'+' => international(text, at + 1),
        b'(' => {
            let number = grouped(text, at + 1);
            let closed = number.gaps.first() == Some(&Gap::Parenthesis);
            closed.then(|| north_american(text, &number).or_else(|| national(text, number)))?
        }
        b'0' if text.get(at + 1) == Some(&b'0') => {
            let number = grouped(text, at);
            (!number.gaps.is_empty()).then(|| international(text, at + 2))?
        }
        b'0' => national(text, grouped(text, at)),
        b'1' => {
            let number = grouped(text, at);
            (number.sizes().first() == Some(&1)).then(|| {
                let (first, _) = number.ends.first().copied().unwrap_or_default();
                let rest = (first..first + 3).find(|at| text.get(*at).is_some_and(u8::is_ascii_digit))?;
                north_american(text, &grouped(text, rest))
            })?
        }
        _ => north_american(text, &grouped(text, at)),
    }
}

/// Behind `+` or `00`: a country code, and 8 to 15 digits in all.
fn international(text: &[u8], at: usize) -> Option<usize> {
    let number = grouped(text, at);
    let fits = |(end, digits): &&(usize, usize)| (8..=15).contains(digits) && ends_number(text, *end);
    let country = number.digits.first().is_some_and(|digit| *digit != 0);
    country.then(|| number.ends.iter().rev().find(fits).map(|(end, _)| *end))?
}

/// Three, three and four digits, neither of the first two groups beginning with 0 or 1 (NANP).
fn north_american(text: &[u8], number: &Grouped) -> Option<usize> {
    let sizes = number.sizes();
    let dialled = |place: usize| number.digits.get(place).is_some_and(|digit| *digit > 1);
    let written = match number.gaps.as_slice() {
        [Gap::Parenthesis, Gap::Dash | Gap::Dot | Gap::Space, ..] => true,
        [first, second, ..] => first == second && matches!(first, Gap::Dash | Gap::Dot),
        _ => false,
    };
    let (end, _) = number.ends.get(2)?;
    (sizes.starts_with(&[3, 3, 4]) && written && dialled(0) && dialled(3) && ends_number(text, *end))
        .then_some(*end)
}

/// A leading zero and 9 to 12 digits in two to five groups, which do not read as a date.
fn national(text: &[u8], number: Grouped) -> Option<usize> {
    let number = number.cut(5);
    let sizes = number.sizes();
    let trunk = matches!(number.digits.as_slice(), [0, second, ..] if *second != 0);
    let first = sizes.first().copied().unwrap_or_default();
    let written = match number.gaps.as_slice() {
        [] => false,
        [Gap::Dot, ..] => sizes == [2; 5] && number.gaps.iter().all(|gap| *gap == Gap::Dot),
        [Gap::Slash, rest @ ..] => first >= 3 && rest.iter().all(|gap| matches!(gap, Gap::Space | Gap::Dash)),
        [_, rest @ ..] => rest.iter().all(|gap| matches!(gap, Gap::Space | Gap::Dash)),
    };
    let grouped =
        (2..=5).contains(&first) && sizes.iter().all(|size| *size >= 2) && !sizes.starts_with(&[2, 2, 4]);
    let end = number.end().filter(|end| ends_number(text, *end))?;
    (trunk && written && grouped && (9..=12).contains(&number.digits.len())).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(detector: fn(&[u8], usize) -> Option<usize>, found: &[&str], left: &[&str]) {
        for text in found {
            assert_eq!(detector(text.as_bytes(), 0), Some(text.len()), "{text}");
            let within = format!("x {text}, y");
            assert_eq!(detector(within.as_bytes(), 2), Some(text.len() + 2), "{within}");
            let longer = format!("x{text}");
            assert_eq!(detector(longer.as_bytes(), 1).filter(|_| !text.starts_with('(')), None, "{longer}");
        }
        for text in left {
            assert_eq!(detector(text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn cards_have_a_prefix_a_length_and_a_check_digit() {
        check(
            card,
            &[
                "4111111111111111",
                "4111 1111 1111 1111",
                "4111-1111-1111-1111",
                "5500 0055 5555 5559",
                "2223003122003222",
                "378282246310005",
                "3782 822463 10005",
                "30569309025904",
                "6011111111111117",
                "3530111333300000",
            ],
            &[
                "4111111111111112",
                "1111111111111111",
                "411111111111111",
                "4111.1111.1111.1111",
                "4111-1111 1111-1111",
                "41 11 11 11 11 11 11 11",
                "4111-1111-1111-1111-1",
                "4111111111111111a",
                "2024010112000000",
            ],
        );
        assert_eq!(card(b"4111 1111 1111 1111 123 12/27", 0), Some(19));
    }

    #[test]
    fn social_security_numbers_are_those_given_out() {
        check(
            ssn,
            &["123-45-6789", "001-01-0001"],
            &[
                "000-12-3456",
                "666-12-3456",
                "900-12-3456",
                "123-00-4567",
                "123-45-0000",
                "123456789",
                "123-45-67890",
                "123-45-6789-1",
            ],
        );
    }

    #[test]
    fn telephones_are_written_as_people_write_them() {
        check(
            phone,
            &[
                "+14155550123",
                "+1 (415) 555-0123",
                "+49 30 1234567",
                "+49 (0) 30 1234567",
                "+44 20 7946 0958",
                "0049 30 1234567",
                "(415) 555-0123",
                "(415) 555 0123",
                "415-555-0123",
                "415.555.0123",
                "1-415-555-0123",
                "030/1234567",
                "030 1234567",
                "0171-1234567",
                "020 7946 0958",
                "01 23 45 67 89",
                "01.23.45.67.89",
                "03-1234-5678",
                "(030) 1234567",
            ],
            &[
                "4155550123",
                "123456789",
                "+0200",
                "+1234",
                "115-555-0123",
                "415-155-0123",
                "200 300 4000",
                "2024-01-31",
                "01.02.2023 12:30",
                "01-02-2023 12",
                "0.1234567890",
                "0171 1",
                "446655440000",
                "192.168.100.200",
                "00491701234567",
                "415-555-01234",
            ],
        );
    }
}
