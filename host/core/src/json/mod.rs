//! JSON as bytes: checked once, cut and spliced, never turned into a tree.
//!
//! A [`Json`] is one checked value and a slice of the message it came in. [`Json::parse`] is the only way in for bytes
//! of others; everything after it walks those bytes shallowly and copies only where something is written. So a number
//! keeps its digits, a string its escapes, an object its order and its unknown members.
//!
//! This is stricter than RFC 8259 in what a gateway must not pass on: a member name twice in one object, a lone
//! surrogate, nesting deeper than [`MAX_DEPTH`]. Two parsers that read such a text differently are a way round a policy.
//!
//! Not here: meaning. Which members a message has is `jsonrpc`'s and `mcp`'s business.

mod checker; // the strict pass over pieces
mod edit; // Edit, Json::apply
mod error; // JsonError
mod merge; // merge patches
mod names; // members that appear twice
mod places; // many pointers at once
mod pointer; // RFC 6901, string leaves
mod rare; // members that few objects have
mod scan; // the strict pass
mod splice; // with_members, ObjectWriter
mod text; // string contents, escaped and not
mod value; // serde, in and out
mod walk; // shallow steps over checked bytes
mod words; // eight bytes at a time

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

pub use checker::{Checker, MAX_NAME, MAX_NAMES, Mark};
pub use edit::{Edit, EditError};
pub use error::{JsonError, JsonErrorKind};
pub use rare::Rare;
pub use scan::MAX_DEPTH;
pub use splice::ObjectWriter;

pub(crate) use scan::scan;
pub(crate) use splice::push_string;
pub(crate) use text::{Quoted, unescape};
pub(crate) use walk::{Elements, Members};

/// One complete, checked JSON value; cheap to clone, a slice of the message it came in.
///
/// Two values are equal when their texts are: `1.0` is not `1`, and member order counts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Bytes);

impl Json {
    /// Checks and takes a value; white space around it is cut off.
    ///
    /// # Errors
    /// [`JsonError`] says where and what: not JSON (RFC 8259), or one of the stricter rules in the head of this module.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, JsonError> {
        let bytes = bytes.into();
        let value = scan(&bytes, |_, _| ())?;
        Ok(Self(bytes.slice(value)))
    }

    /// `null`.
    pub const fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// `{}`.
    pub const fn empty_object() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// The text, as it was written.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text, as it was written. Costs a pass over it: prefer [`Json::bytes`] for long values.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same value in memory of its own, for keeping longer than the message it came in.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The same values in one piece of memory of their own, for keeping many of one message longer than it.
    pub fn gathered<'a>(values: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for value in values {
            text.extend_from_slice(&value.0);
            ends.push(text.len());
        }
        text.shrink_to_fit();
        let (text, mut start) = (Bytes::from(text), 0);
        ends.into_iter().map(|end| Self(text.slice(std::mem::replace(&mut start, end)..end))).collect()
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// Whether this is an array.
    pub fn is_array(&self) -> bool {
        self.0.first() == Some(&b'[')
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.0.as_ref() == b"null"
    }

    /// `true` or `false`; None when it is neither.
    pub fn boolean(&self) -> Option<bool> {
        match self.0.as_ref() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// This value as a string, unescaped; borrowed when nothing was escaped. None when it is not a string.
    pub fn string(&self) -> Option<Cow<'_, str>> {
        Some(unescape(self.0.strip_prefix(b"\"")?.strip_suffix(b"\"")?))
    }

    /// Whether this is a string that means `text`.
    pub fn means(&self, text: &str) -> bool {
        let raw = self.0.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        // What is escaped is longer than what it means; a backslash is always escaped.
        let escaped = |raw: &[u8]| raw.len() > text.len() || text.contains('\\');
        raw.is_some_and(|raw| Quoted { raw, escaped: escaped(raw) }.is(text))
    }

    /// Whether there is a member of this name. Shallow.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// A member of an object, by unescaped name (None also when not an object). Shallow.
    pub fn member(&self, name: &str) -> Option<Self> {
        let [found] = self.pick([name]);
        found
    }

    /// Several members in one shallow pass, in the order of `names`. All None when this is not an object.
    pub fn pick<const N: usize>(&self, names: [&str; N]) -> [Option<Self>; N] {
        let mut picked = [const { None }; N];
        let mut missing = N;
        for member in Members::of(&self.0).into_iter().flatten() {
            if missing == 0 {
                break;
            }
            let which = member.name.which(names.into_iter());
            if let Some(place @ None) = which.and_then(|index| picked.get_mut(index)) {
                *place = Some(self.cut(member.value));
                missing -= 1;
            }
        }
        picked
    }

    /// [`Json::pick`], and whether there are members of other names. False when this is not an object. Shallow.
    pub fn sort<const N: usize>(&self, names: [&str; N]) -> ([Option<Self>; N], bool) {
        let mut picked = [const { None }; N];
        let mut others = false;
        for member in Members::of(&self.0).into_iter().flatten() {
            match member.name.which(names.into_iter()).and_then(|index| picked.get_mut(index)) {
                Some(place) => *place = Some(self.cut(member.value)),
                None => others = true,
            }
        }
        (picked, others)
    }

    /// Where in the text the value of a member stands. Shallow.
    pub(crate) fn place(&self, name: &str) -> Option<Range<usize>> {
        Members::of(&self.0)?.find(|member| member.name.is(name)).map(|member| member.value)
    }

    /// Object members in order, names unescaped (None when not an object).
    pub fn members(&self) -> Option<Vec<(String, Self)>> {
        let members = Members::of(&self.0)?;
        Some(members.map(|m| (m.name.meant().into_owned(), self.cut(m.value))).collect())
    }

    /// Array elements (None when not an array).
    pub fn elements(&self) -> Option<Vec<Self>> {
        Some(self.iter_elements()?.collect())
    }

    /// Array elements one at a time, for arrays that may be long (None when not an array).
    pub fn iter_elements(&self) -> Option<impl Iterator<Item = Self> + '_> {
        Some(Elements::of(&self.0)?.map(|element| self.cut(element)))
    }

    /// A part of this text that is a complete value itself.
    pub(crate) fn cut(&self, value: Range<usize>) -> Self {
        Self(self.0.slice(value))
    }

    fn raw(&self, range: Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    /// Takes bytes that are known to be one value because they are a checked value or were made from checked values.
    pub(crate) fn checked(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }
}

/// The text; of a long one its start and its length.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(start) = self.0.get(..DEBUG_BYTES) else { return f.write_str(self.as_str()) };
        f.write_str(start.utf8_chunks().next().map_or("", |chunk| chunk.valid()))?;
        write!(f, "... ({} bytes)", self.0.len())
    }
}

/// How much of a value its `Debug` form shows.
const DEBUG_BYTES: usize = 256;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
