//! New objects out of checked parts: members set and removed in one copy, every other byte left as it was.

use std::ops::Range;

use super::Json;
use super::walk::Members;

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

    /// [`Json::with_new_member`] where the value is an object of these members, whose names must differ.
    #[must_use]
    pub fn with_new_object<'a>(
        &self,
        name: &str,
        members: impl IntoIterator<Item = (&'a str, &'a Self)>,
    ) -> Self {
        let Some((b'}', before)) = self.0.split_last() else { return self.clone() };
        let mut out = Vec::with_capacity(self.0.len() + name.len() + ROOM);
        out.extend_from_slice(before);
        push_member(&mut out, &mut (before.trim_ascii_end() == b"{"), name, b"{");
        let mut empty = true;
        for (name, value) in members {
            push_member(&mut out, &mut empty, name, &value.0);
        }
        out.extend_from_slice(b"}}");
        Self::checked(out)
    }

    /// [`Json::with_member`] where the value that is there now was picked from this very object: where that stands, nothing
    /// needs to be looked for.
    #[must_use]
    pub fn with_picked(&self, name: &str, picked: &Self, value: &Self) -> Self {
        let Some((_, place)) = self.behind_name(name, picked) else { return self.with_member(name, value) };
        let mut out = Vec::with_capacity(self.0.len() - place.len() + value.0.len());
        out.extend_from_slice(self.raw(0..place.start));
        out.extend_from_slice(&value.0);
        out.extend_from_slice(self.raw(place.end..self.0.len()));
        Self::checked(out)
    }

    /// The same object without member `name`; unchanged when there is none or this is not an object.
    #[must_use]
    pub fn without_member(&self, name: &str) -> Self {
        self.with_members(&[(name, None)])
    }

    /// [`Json::without_member`] where the member's value was picked from this very object: where that stands, nothing
    /// needs to be looked for.
    #[must_use]
    pub fn without_picked(&self, name: &str, value: &Self) -> Self {
        let Some(cut) = self.with_comma(name, value) else { return self.without_member(name) };
        let mut out = Vec::with_capacity(self.0.len() - cut.len());
        out.extend_from_slice(self.raw(0..cut.start));
        out.extend_from_slice(self.raw(cut.end..self.0.len()));
        Self::checked(out)
    }

    /// Where a member is whose value is a part of this text, with the comma before it. None for one without a comma
    /// before it, for a name that is written in another way, and for a part of something else.
    fn with_comma(&self, name: &str, value: &Self) -> Option<Range<usize>> {
        let (before, place) = self.behind_name(name, value)?;
        Some(before.trim_ascii_end().strip_suffix(b",")?.len()..place.end)
    }

    /// What stands before a member whose value is a part of this text, and where the value is. None for a name that is
    /// written in another way, and for a part of something else.
    fn behind_name(&self, name: &str, value: &Self) -> Option<(&[u8], Range<usize>)> {
        let start = value.0.as_ptr().addr().checked_sub(self.0.as_ptr().addr())?;
        let end = start.checked_add(value.0.len()).filter(|end| *end <= self.0.len())?;
        let before = self.raw(0..start).trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
        let before = before.strip_suffix(b"\"")?.strip_suffix(name.as_bytes())?.strip_suffix(b"\"")?;
        Some((before, start..end))
    }

    /// Sets (`Some`) and removes (`None`) several members in one copy. New members are appended in the order given; of
    /// two changes to one name the last counts. A value that is not an object is returned unchanged.
    #[must_use]
    pub fn with_members(&self, changes: &[(&str, Option<&Self>)]) -> Self {
        let Some(members) = Members::of(&self.0) else { return self.clone() };
        let added: usize =
            changes.iter().map(|(name, value)| name.len() + value.map_or(0, |v| v.0.len()) + 4).sum();
        let mut out = Copy { from: &self.0, to: Vec::with_capacity(self.0.len() + added), stretch: 0..1 };
        // Which changes have met a member, a bit for each; the rare ones beyond the last bit look again.
        let mut met = 0_u64;
        let (mut first_gap, mut empty, mut seen) = (None, true, 1);
        for member in members {
            // Between two members is the comma; it goes with the member behind it.
            let gap = seen..member.start;
            let first_gap = first_gap.get_or_insert_with(|| gap.clone()).clone();
            seen = member.value.end;
            let later = member.name.which(changes.iter().rev().map(|(name, _)| *name));
            let change = later.map(|later| changes.len() - 1 - later);
            met |= change.map_or(0, bit);
            let change = change.and_then(|index| changes.get(index));
            if matches!(change, Some((_, None))) {
                continue;
            }
            out.keep(if empty { first_gap } else { gap });
            out.keep(member.start..member.value.start);
            match change {
                Some((_, Some(value))) => out.written().extend_from_slice(&value.0),
                _ => out.keep(member.value),
            }
            empty = false;
        }
        for (index, (name, value)) in changes.iter().enumerate() {
            let repeated = changes.iter().skip(index + 1).any(|(later, _)| later == name);
            let is_met = met & bit(index) != 0 || (bit(index) == 0 && self.place(name).is_some());
            if let (Some(value), false, false) = (value, is_met, repeated) {
                push_member(out.written(), &mut empty, name, &value.0);
            }
        }
        out.keep(seen..self.0.len());
        out.written();
        Self::checked(out.to)
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

/// A text that is mostly that of another one. What stays is copied in stretches as long as they are.
struct Copy<'a> {
    from: &'a [u8],
    to: Vec<u8>,
    /// Is to be copied next, and may become longer.
    stretch: Range<usize>,
}

impl Copy<'_> {
    /// Goes on with what is there in the other one.
    fn keep(&mut self, part: Range<usize>) {
        if part.start != self.stretch.end {
            self.written();
            self.stretch.start = part.start;
        }
        self.stretch.end = part.end;
    }

    /// The text so far, for what is not in the other one.
    fn written(&mut self) -> &mut Vec<u8> {
        self.to.extend_from_slice(self.from.get(self.stretch.clone()).unwrap_or_default());
        self.stretch.start = self.stretch.end;
        &mut self.to
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
