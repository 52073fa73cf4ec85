//! Places inside a value, named by RFC 6901 pointers: `/arguments/items/0`.

use std::borrow::Cow;
use std::ops::Range;

use super::walk::{Elements, Members, skip_space, string_end};
use super::{Json, unescape};

impl Json {
    /// The value a pointer names (RFC 6901); `""` is the whole. None when there is none, also for a malformed pointer.
    pub fn pointer(&self, pointer: &str) -> Option<Self> {
        let mut place = 0..self.0.len();
        for token in tokens(pointer)? {
            place = child(&self.0, &place, &token?)?;
        }
        Some(self.cut(place))
    }

    /// String leaves at and below `under` of at least `min_bytes` bytes: (pointer, unescaped text), in document order.
    /// Member names are not leaves. Empty when `under` names nothing.
    pub fn strings(&self, under: &str, min_bytes: usize) -> Vec<(String, String)> {
        self.strings_within(under, min_bytes, usize::MAX).unwrap_or_default()
    }

    /// The same, but none once pointers and texts together exceed `budget` bytes: every leaf repeats the names above it, so
    /// a small value can have pointers of any size.
    pub fn strings_within(
        &self,
        under: &str,
        min_bytes: usize,
        budget: usize,
    ) -> Option<Vec<(String, String)>> {
        let Some(root) = self.pointer(under) else { return Some(Vec::new()) };
        let mut leaves = Leaves { bytes: &root.0, at: 0, open: Vec::new() };
        let mut found = Vec::new();
        let mut left = budget;
        while let Some(raw) = leaves.next_string() {
            // What it means is never longer than how it is written.
            if raw.len() < min_bytes {
                continue;
            }
            let text = unescape(raw);
            if text.len() >= min_bytes {
                let pointer = leaves.pointer(under);
                left = left.checked_sub(pointer.len() + text.len() + PER_LEAF)?;
                found.push((pointer, text.into_owned()));
            }
        }
        Some(found)
    }
}

/// What a leaf costs besides its bytes, towards the budget of [`Json::strings_within`].
const PER_LEAF: usize = 32;

/// The unescaped reference tokens of a pointer; None for a token with a wrong `~`. None in all when the pointer neither
/// is empty nor starts with `/`.
pub(super) fn tokens(pointer: &str) -> Option<impl DoubleEndedIterator<Item = Option<Cow<'_, str>>>> {
    let rest = match pointer.strip_prefix('/') {
        Some(rest) => Some(rest),
        None if pointer.is_empty() => None,
        None => return None,
    };
    Some(rest.into_iter().flat_map(|rest| rest.split('/')).map(unescape_token))
}

fn unescape_token(token: &str) -> Option<Cow<'_, str>> {
    if !token.contains('~') {
        return Some(Cow::Borrowed(token));
    }
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (meant, rest) = match part.as_bytes().first()? {
            b'0' => ('~', part.get(1..)?),
            b'1' => ('/', part.get(1..)?),
            _ => return None,
        };
        text.push(meant);
        text.push_str(rest);
    }
    Some(Cow::Owned(text))
}

/// Where the member or element `token` of the container at `place` is.
pub(super) fn child(bytes: &[u8], place: &Range<usize>, token: &str) -> Option<Range<usize>> {
    let container = bytes.get(place.clone())?;
    let found = match Members::of(container) {
        Some(mut members) => members.find(|member| member.name.is(token))?.value,
        None => Elements::of(container)?.nth(index(token)?)?,
    };
    Some(place.start + found.start..place.start + found.end)
}

/// An array index as RFC 6901 section 4 writes it: no sign, no leading zero.
pub(super) fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if plain { token.parse().ok() } else { None }
}

/// Walks all string leaves of a checked value in one pass.
struct Leaves<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<Open<'a>>,
}

/// A container the walk is inside of, and where in it: an index, or a name as written.
enum Open<'a> {
    Array(usize),
    Object(&'a [u8]),
}

impl<'a> Leaves<'a> {
    /// The next string leaf, as written, without its quotes.
    fn next_string(&mut self) -> Option<&'a [u8]> {
        loop {
            self.at = skip_space(self.bytes, self.at);
            let byte = *self.bytes.get(self.at)?;
            if byte == b'"' {
                let start = self.at;
                self.at = string_end(self.bytes, start)?;
                let raw = self.bytes.get(start + 1..self.at - 1)?;
                let after = skip_space(self.bytes, self.at);
                if self.bytes.get(after) != Some(&b':') {
                    return Some(raw);
                }
                // A name: a colon follows only those.
                self.at = after + 1;
                if let Some(Open::Object(name)) = self.open.last_mut() {
                    *name = raw;
                }
                continue;
            }
            self.at += 1;
            match (byte, self.open.last_mut()) {
                (b'{', _) => self.open.push(Open::Object(b"")),
                (b'[', _) => self.open.push(Open::Array(0)),
                (b'}' | b']', _) => drop(self.open.pop()),
                (b',', Some(Open::Array(index))) => *index += 1,
                _ => {}
            }
        }
    }

    /// The pointer to the leaf found last, when the walk started at `root`.
    fn pointer(&self, root: &str) -> String {
        let mut pointer = root.to_owned();
        for open in &self.open {
            pointer.push('/');
            match open {
                Open::Array(index) => pointer.push_str(&index.to_string()),
                Open::Object(name) => {
                    for character in unescape(name).chars() {
                        match character {
                            '~' => pointer.push_str("~0"),
                            '/' => pointer.push_str("~1"),
                            _ => pointer.push(character),
                        }
                    }
                }
            }
        }
        pointer
    }
}
