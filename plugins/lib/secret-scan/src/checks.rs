//! What a literal and a length cannot say: the second look of a rule at what it found, and how far it reaches.

use std::ops::Range;

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

impl Hit<'_> {
    fn rest(&self) -> &[u8] {
        self.text.get(self.after..).unwrap_or_default()
    }
}

/// From the literal to the end of the body.
pub(crate) fn whole(hit: &Hit<'_>) -> Range<usize> {
    hit.start..hit.after + hit.body.len()
}

/// The body alone: of a name and its value the value.
pub(crate) fn value(hit: &Hit<'_>) -> Range<usize> {
    hit.after..hit.after + hit.body.len()
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
    let rest = hit.rest();
    let label = rest.get(..64).unwrap_or(rest);
    let Some(end) = label.windows(5).position(|window| window == b"-----") else { return false };
    let is_private = label.get(..end).is_some_and(|label| label.windows(11).any(|w| w == b"PRIVATE KEY"));
    let body = rest.get(end + 5..).unwrap_or_default();
    let body = body.get(..1024).unwrap_or(body);
    is_private && longest_run(body, Class::Base64) >= 32
}

/// The block to the end of its last line, or of the text where that is cut off.
pub(crate) fn pem_block(hit: &Hit<'_>) -> Range<usize> {
    const END: &[u8] = b"-----END ";
    let rest = hit.rest();
    let find = |from: usize, what: &[u8]| {
        let text = rest.get(from..).unwrap_or_default();
        text.windows(what.len()).position(|window| window == what).map(|at| from + at + what.len())
    };
    let end = find(0, END).map(|label| match find(label, b"-----") {
        Some(end) if end - label < 64 => end,
        _ => label,
    });
    hit.start..hit.after + end.unwrap_or(rest.len())
}

/// `SG.` and two parts of fixed length.
pub(crate) fn sendgrid(hit: &Hit<'_>) -> bool {
    let dots = hit.body.iter().filter(|byte| **byte == b'.').count();
    dots == 1 && hit.body.get(22) == Some(&b'.')
}

/// The number of a bot before the mark: 8 to 10 digits that begin a word.
pub(crate) fn bot_number(hit: &Hit<'_>) -> bool {
    let before = hit.text.get(..hit.start).unwrap_or_default();
    let digits = digits_before(hit);
    let begins = before.iter().rev().nth(digits).is_none_or(|byte| !Class::Word.has(*byte));
    (8..=10).contains(&digits) && begins
}

/// The number, the mark and what follows.
pub(crate) fn with_bot_number(hit: &Hit<'_>) -> Range<usize> {
    hit.start - digits_before(hit)..whole(hit).end
}

/// Digits right before the mark, counted to 11.
fn digits_before(hit: &Hit<'_>) -> usize {
    let before = hit.text.get(..hit.start).unwrap_or_default();
    before.iter().rev().take(11).take_while(|byte| byte.is_ascii_digit()).count()
}

/// An Atlassian API token: long, base64url, with a checksum after `=`.
pub(crate) fn atlassian(hit: &Hit<'_>) -> bool {
    (150..LONGEST_ATLASSIAN).contains(&atlassian_length(hit))
}

/// The token to its end.
pub(crate) fn atlassian_token(hit: &Hit<'_>) -> Range<usize> {
    hit.start..hit.after + atlassian_length(hit)
}

fn atlassian_length(hit: &Hit<'_>) -> usize {
    let rest = hit.rest().iter().take(LONGEST_ATLASSIAN);
    rest.take_while(|byte| Class::Dash.has(**byte) || **byte == b'=').count()
}

const LONGEST_ATLASSIAN: usize = 400;

/// `scheme://user:password@host` (RFC 3986 section 3.2.1), the password not a placeholder.
pub(crate) fn password_in_url(hit: &Hit<'_>) -> bool {
    let password = password(hit);
    let behind = hit.text.get(password.end + 1);
    let has_scheme =
        hit.start.checked_sub(1).and_then(|at| hit.text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    let has_host = behind.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'[');
    let password = hit.text.get(password).unwrap_or_default();
    has_scheme && has_host && password.len() >= 3 && !is_placeholder(password)
}

/// Where the password is; empty when there is none.
pub(crate) fn password(hit: &Hit<'_>) -> Range<usize> {
    let rest = hit.rest();
    let window = rest.get(..MAX_USER_INFO).unwrap_or(rest);
    let ends =
        |byte: &u8| matches!(byte, b'@' | b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'`') || *byte <= b' ';
    let end = window.iter().position(ends).filter(|end| window.get(*end) == Some(&b'@'));
    let user_info = end.and_then(|end| window.get(..end)).unwrap_or_default();
    match user_info.iter().position(|byte| *byte == b':') {
        Some(colon) => hit.after + colon + 1..hit.after + user_info.len(),
        None => hit.after..hit.after,
    }
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

/// Decodes as much of `text` as is base64.
fn base64url(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.iter().map_while(|byte| crate::layers::digit(*byte)) {
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
        }
    }
    bytes
}
