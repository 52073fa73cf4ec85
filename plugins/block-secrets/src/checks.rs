//! What a literal and a length cannot say: the second look of a rule at what it found.

use crate::rules::Class;

/// A place where a rule's literal and body fit.
pub(crate) struct Hit<'a> {
    /// The whole text.
    pub(crate) text: &'a [u8],
    /// Where the literal begins.
    pub(crate) start: usize,
    /// The body. Empty for rules of class `Any`.
    pub(crate) body: &'a [u8],
    /// Where the literal ends.
    pub(crate) after: usize,
}

/// Longest user information of a URL.
const MAX_USER_INFO: usize = 256;

pub(crate) fn always(_hit: &Hit<'_>) -> bool {
    true
}

pub(crate) fn has_digit(hit: &Hit<'_>) -> bool {
    hit.body.iter().any(u8::is_ascii_digit)
}

/// Upper case, lower case and digits: what a random string has and a word has not.
pub(crate) fn mixed(hit: &Hit<'_>) -> bool {
    let any = |test: fn(&u8) -> bool| hit.body.iter().any(test);
    any(u8::is_ascii_digit) && any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase)
}

/// Not a placeholder such as `xxxx...` or `0000...`: at least a quarter of its characters are different ones, or ten.
pub(crate) fn varied(hit: &Hit<'_>) -> bool {
    let mut seen = [false; 256];
    for byte in hit.body {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    different >= (hit.body.len() / 4).min(10)
}

/// RFC 7519 in compact form, signed: `header.claims.signature`, all base64url, the header a JSON object with `alg`.
pub(crate) fn jwt(hit: &Hit<'_>) -> bool {
    let token = hit.text.get(hit.start..hit.after + hit.body.len()).unwrap_or_default();
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let header = base64url(header);
    claims.starts_with(b"eyJ")
        && signature.len() >= 20
        && header.first() == Some(&b'{')
        && header.windows(5).any(|window| window == b"\"alg\"")
}

/// A PEM block (RFC 7468) of a private key with at least one line of its body; the header alone is only talk about keys.
pub(crate) fn private_key(hit: &Hit<'_>) -> bool {
    let rest = hit.text.get(hit.after..).unwrap_or_default();
    let label = rest.get(..64).unwrap_or(rest);
    let Some(end) = label.windows(5).position(|window| window == b"-----") else { return false };
    let is_private = label.get(..end).is_some_and(|label| label.windows(11).any(|w| w == b"PRIVATE KEY"));
    let body = rest.get(end + 5..).unwrap_or_default();
    let body = body.get(..1024).unwrap_or(body);
    is_private && longest_run(body, Class::Base64) >= 32
}

/// `SG.` and two parts of fixed length.
pub(crate) fn sendgrid(hit: &Hit<'_>) -> bool {
    let dots = hit.body.iter().filter(|byte| **byte == b'.').count();
    dots == 1 && hit.body.get(22) == Some(&b'.')
}

/// The number of a bot before the mark: 8 to 10 digits that begin a word.
pub(crate) fn bot_number(hit: &Hit<'_>) -> bool {
    let before = hit.text.get(..hit.start).unwrap_or_default();
    let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let begins = before.iter().rev().nth(digits).is_none_or(|byte| !Class::Word.has(*byte));
    (8..=10).contains(&digits) && begins
}

/// An Atlassian API token: long, base64url, with a checksum after `=`.
pub(crate) fn atlassian(hit: &Hit<'_>) -> bool {
    let rest = hit.text.get(hit.after..).unwrap_or_default();
    let body = rest
        .iter()
        .take(LONGEST_ATLASSIAN)
        .take_while(|byte| Class::Dash.has(**byte) || **byte == b'=')
        .count();
    (150..LONGEST_ATLASSIAN).contains(&body)
}

const LONGEST_ATLASSIAN: usize = 400;

/// `scheme://user:password@host` (RFC 3986 section 3.2.1), the password not a placeholder.
pub(crate) fn password_in_url(hit: &Hit<'_>) -> bool {
    let rest = hit.text.get(hit.after..).unwrap_or_default();
    let window = rest.get(..MAX_USER_INFO).unwrap_or(rest);
    let ends =
        |byte: &u8| matches!(byte, b'@' | b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'`') || *byte <= b' ';
    let Some(end) = window.iter().position(ends).filter(|end| window.get(*end) == Some(&b'@')) else {
        return false;
    };
    let has_scheme =
        hit.start.checked_sub(1).and_then(|at| hit.text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    let has_host = rest.get(end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'[');
    let user_info = window.get(..end).unwrap_or_default();
    let Some(colon) = user_info.iter().position(|byte| *byte == b':') else { return false };
    let password = user_info.get(colon + 1..).unwrap_or_default();
    has_scheme && has_host && password.len() >= 3 && !is_placeholder(password)
}

/// What documentation writes where a password goes.
fn is_placeholder(password: &[u8]) -> bool {
    let words: [&[u8]; 8] =
        [b"password", b"pass", b"passwd", b"pwd", b"secret", b"token", b"redacted", b"example"];
    let templated =
        matches!(password.first(), Some(b'$' | b'{' | b'[' | b'*' | b'%')) && !is_percent_encoded(password);
    let one_letter = password.iter().all(|byte| Some(byte) == password.first());
    templated || one_letter || words.iter().any(|word| password.eq_ignore_ascii_case(word))
}

fn is_percent_encoded(text: &[u8]) -> bool {
    matches!(text, [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

fn longest_run(text: &[u8], class: Class) -> usize {
    text.split(|byte| !class.has(*byte)).map(<[u8]>::len).max().unwrap_or_default()
}

/// Decodes as much of `text` as is base64url (RFC 4648 section 5).
fn base64url(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().map_while(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    });
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in digits {
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
        }
    }
    bytes
}
