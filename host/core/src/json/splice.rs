//! New objects out of checked parts: members set and removed in one copy, every other byte left as it was.

use super::walk::Members;
use super::{Json, which};

impl Json {
    /// The same object with member `name` set: replaced in place, or appended when it is new. Every other byte stays.
    /// A value that is not an object is returned unchanged.
    #[must_use]
    pub fn with_member(&self, name: &str, value: &Self) -> Self {
        self.with_members(&[(name, Some(value))])
    }

    /// The same object with one more member at its end. `name` must not be there yet: nothing looks for it. A value that
    /// is not an object is returned unchanged.
    #[must_use]
    pub fn with_new_member(&self, name: &str, value: &Self) -> Self {
        let Some((b'}', members)) = self.0.split_last() else { return self.clone() };
        let mut out = Vec::with_capacity(self.0.len() + name.len() + value.0.len() + 4);
        out.extend_from_slice(members);
        push_member(&mut out, &mut (members.trim_ascii_end() == b"{"), name, &value.0);
        out.push(b'}');
        Self::checked(out)
    }

    /// The same object without member `name`; unchanged when there is none or this is not an object.
    #[must_use]
    pub fn without_member(&self, name: &str) -> Self {
        self.with_members(&[(name, None)])
    }

    /// Sets (`Some`) and removes (`None`) several members in one copy. New members are appended in the order given; of
    /// two changes to one name the last counts. A value that is not an object is returned unchanged.
    #[must_use]
    pub fn with_members(&self, changes: &[(&str, Option<&Self>)]) -> Self {
        let Some(members) = Members::of(&self.0) else { return self.clone() };
        let added: usize =
            changes.iter().map(|(name, value)| name.len() + value.map_or(0, |v| v.0.len()) + 4).sum();
        let mut out = Vec::with_capacity(self.0.len() + added);
        // Which changes have met a member, a bit for each; the rare ones beyond the last bit look again.
        let mut met = 0_u64;
        let (mut first_gap, mut empty, mut copied) = (None, true, 1);
        out.push(b'{');
        for member in members {
            // Between two members is the comma; it goes with the member behind it.
            let gap = copied..member.name.start - 1;
            let first_gap = first_gap.get_or_insert_with(|| gap.clone()).clone();
            copied = member.value.end;
            let names = changes.iter().map(|(name, _)| *name).enumerate().rev();
            let change = which(self.raw(member.name.clone()), names);
            let value = match change.and_then(|index| Some((index, changes.get(index)?))) {
                None => self.raw(member.value.clone()),
                Some((index, (_, value))) => {
                    met |= bit(index);
                    let Some(value) = value else { continue };
                    value.0.as_ref()
                }
            };
            out.extend_from_slice(self.raw(if empty { first_gap } else { gap }));
            out.extend_from_slice(self.raw(member.name.start - 1..member.value.start));
            out.extend_from_slice(value);
            empty = false;
        }
        for (index, (name, value)) in changes.iter().enumerate() {
            let repeated = changes.iter().skip(index + 1).any(|(later, _)| later == name);
            let is_met = met & bit(index) != 0 || (bit(index) == 0 && self.place(name).is_some());
            if let (Some(value), false, false) = (value, is_met, repeated) {
                push_member(&mut out, &mut empty, name, &value.0);
            }
        }
        out.extend_from_slice(self.raw(copied..self.0.len()));
        Self::checked(out)
    }

    /// An object of these members, whose names must differ.
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a Self)>) -> Self {
        let writer =
            members.into_iter().fold(ObjectWriter::new(), |writer, (name, value)| writer.member(name, value));
        writer.finish()
    }

    /// An array of these values.
    pub fn array<'a>(elements: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut out = vec![b'['];
        for element in elements {
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(&element.0);
        }
        out.push(b']');
        Self::checked(out)
    }
}

/// Writes one object, member by member. The names are the caller's own: nothing checks that they differ.
#[derive(Debug)]
pub struct ObjectWriter {
    out: Vec<u8>,
    empty: bool,
}

impl ObjectWriter {
    /// An object without members.
    pub fn new() -> Self {
        // Room for what most objects are, or they would be moved with nearly every member.
        let mut out = Vec::with_capacity(ROOM);
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Adds a member.
    #[must_use]
    pub fn member(mut self, name: &str, value: &Json) -> Self {
        push_member(&mut self.out, &mut self.empty, name, &value.0);
        self
    }

    /// Adds a member that is a string.
    #[must_use]
    pub fn string(mut self, name: &str, value: &str) -> Self {
        push_member(&mut self.out, &mut self.empty, name, b"");
        push_string(&mut self.out, value);
        self
    }

    /// The object.
    pub fn finish(mut self) -> Json {
        self.out.push(b'}');
        Json::checked(self.out)
    }
}

impl Default for ObjectWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes an object of our own takes, for most of them.
const ROOM: usize = 256;

/// None for those that have none.
const fn bit(index: usize) -> u64 {
    if index < 64 { 1 << index } else { 0 }
}

/// Writes a string with its quotes and the escapes it needs.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    // Nearly every name and most short texts. All of it is looked at, which takes many bytes at a time.
    if !text.bytes().fold(false, |found, byte| found | matches!(byte, 0..0x20 | b'"' | b'\\')) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // Writing to a `Vec` cannot fail, and neither can turning a `str` into JSON.
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "a string is always JSON");
}

fn push_member(out: &mut Vec<u8>, empty: &mut bool, name: &str, value: &[u8]) {
    if !*empty {
        out.push(b',');
    }
    *empty = false;
    push_string(out, name);
    out.push(b':');
    out.extend_from_slice(value);
}
