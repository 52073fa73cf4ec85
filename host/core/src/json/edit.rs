//! Edits by pointer: what an interceptor may ask for instead of sending a whole new value.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::pointer::{child, index, tokens};
use super::walk::{Elements, Members, depth};
use super::{Json, MAX_DEPTH, is_name, push_string};

/// One change at one place, named by an RFC 6901 pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Puts a value there: replaces what is there, adds a member that is not, appends to an array at `-`.
    Set(String, Json),
    /// Like `Set`, with a string given as what it means.
    SetString(String, String),
    /// Takes a member or element out.
    Remove(String),
}

/// Why edits could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Not an RFC 6901 pointer.
    #[error("`{0}` is not a JSON pointer")]
    BadPointer(String),
    /// Nothing there to replace or remove, and nothing to add to.
    #[error("there is no `{0}`")]
    Missing(String),
    /// The whole value can be replaced but not removed.
    #[error("the whole value cannot be removed")]
    RemovesAll,
    /// The result would be nested deeper than [`MAX_DEPTH`].
    #[error("the value for `{0}` is nested too deeply")]
    TooDeep(String),
}

impl Json {
    /// Makes edits in order, all or nothing; every byte that no edit touches stays.
    ///
    /// # Errors
    /// [`EditError`] names the first edit that cannot be made.
    pub fn apply(&self, edits: &[Edit]) -> Result<Self, EditError> {
        let mut draft = Draft { base: self.clone(), replaced: BTreeMap::new() };
        for edit in edits {
            match edit {
                Edit::Set(pointer, value) => draft.set(pointer, value.0.clone())?,
                Edit::SetString(pointer, text) => {
                    let mut value = Vec::with_capacity(text.len() + 2);
                    push_string(&mut value, text);
                    draft.set(pointer, value.into())?;
                }
                Edit::Remove(pointer) => draft.remove(pointer)?,
            }
        }
        draft.settle();
        Ok(draft.base)
    }
}

/// A value being edited. Replacements of separate places are collected and made in one copy.
struct Draft {
    base: Json,
    /// Keyed by where in `base` the replaced value starts. No two overlap.
    replaced: BTreeMap<usize, (usize, Bytes)>,
}

impl Draft {
    fn set(&mut self, pointer: &str, value: Bytes) -> Result<(), EditError> {
        let path = path(pointer)?;
        if path.len() + depth(&value) > MAX_DEPTH {
            return Err(EditError::TooDeep(pointer.to_owned()));
        }
        if let Some(place) = find(&self.base.0, &path)
            && self.is_untouched(&place)
        {
            self.replaced.insert(place.start, (place.end, value));
            return Ok(());
        }
        self.settle();
        let missing = || EditError::Missing(pointer.to_owned());
        let (place, value) = match find(&self.base.0, &path) {
            Some(place) => (place, value),
            None => addition(&self.base.0, &path, &value).ok_or_else(missing)?,
        };
        self.replaced.insert(place.start, (place.end, value));
        if place.is_empty() {
            // What was added must be seen by the next edit.
            self.settle();
        }
        Ok(())
    }

    fn remove(&mut self, pointer: &str) -> Result<(), EditError> {
        let path = path(pointer)?;
        let Some((last, parents)) = path.split_last() else { return Err(EditError::RemovesAll) };
        self.settle();
        let bytes = &self.base.0;
        let place = find(bytes, parents).and_then(|parent| removal(bytes, &parent, last));
        let place = place.ok_or_else(|| EditError::Missing(pointer.to_owned()))?;
        self.replaced.insert(place.start, (place.end, Bytes::new()));
        self.settle();
        Ok(())
    }

    fn is_untouched(&self, place: &Range<usize>) -> bool {
        self.replaced.range(..place.end).next_back().is_none_or(|(_, (end, _))| *end <= place.start)
    }

    /// Makes the collected replacements in one copy.
    fn settle(&mut self) {
        if self.replaced.is_empty() {
            return;
        }
        let added: usize = self.replaced.values().map(|(_, value)| value.len()).sum();
        let mut out = Vec::with_capacity(self.base.0.len() + added);
        let mut copied = 0;
        for (start, (end, value)) in std::mem::take(&mut self.replaced) {
            out.extend_from_slice(self.base.raw(copied..start));
            out.extend_from_slice(&value);
            copied = end;
        }
        out.extend_from_slice(self.base.raw(copied..self.base.0.len()));
        self.base = Json::checked(out);
    }
}

fn path(pointer: &str) -> Result<Vec<String>, EditError> {
    let bad = || EditError::BadPointer(pointer.to_owned());
    let tokens = tokens(pointer).ok_or_else(bad)?;
    tokens.map(|token| Some(token?.into_owned())).collect::<Option<_>>().ok_or_else(bad)
}

fn find(bytes: &[u8], path: &[String]) -> Option<Range<usize>> {
    path.iter().try_fold(0..bytes.len(), |place, token| child(bytes, &place, token))
}

/// Where and what to insert so that the container above `path` gets a new member or last element.
fn addition(bytes: &[u8], path: &[String], value: &[u8]) -> Option<(Range<usize>, Bytes)> {
    let (last, parents) = path.split_last()?;
    let parent = find(bytes, parents)?;
    let container = bytes.get(parent.clone())?;
    let mut out = Vec::with_capacity(last.len() + value.len() + 4);
    let end = if let Some(members) = Members::of(container) {
        let end = members.last().map(|member| member.value.end);
        out.extend(end.map(|_| b','));
        push_string(&mut out, last);
        out.push(b':');
        end
    } else if last == "-" {
        let end = Elements::of(container)?.last().map(|element| element.end);
        out.extend(end.map(|_| b','));
        end
    } else {
        return None;
    };
    out.extend_from_slice(value);
    let at = parent.start + end.unwrap_or(1);
    Some((at..at, out.into()))
}

/// What to cut so that the container at `parent` loses an item.
fn removal(bytes: &[u8], parent: &Range<usize>, token: &str) -> Option<Range<usize>> {
    let container = bytes.get(parent.clone())?;
    let cut = if let Some(members) = Members::of(container) {
        let is_meant = |name| is_name(container.get(name).unwrap_or_default(), token);
        with_comma(members.map(|member| (member.name.start - 1..member.value.end, is_meant(member.name))))
    } else {
        let wanted = index(token)?;
        with_comma(Elements::of(container)?.enumerate().map(|(number, place)| (place, number == wanted)))
    }?;
    Some(parent.start + cut.start..parent.start + cut.end)
}

/// The place of the item that is meant, with the comma before it, or behind it when it is the first.
fn with_comma(mut items: impl Iterator<Item = (Range<usize>, bool)>) -> Option<Range<usize>> {
    let mut before = None;
    while let Some((place, meant)) = items.next() {
        if meant {
            return Some(match before {
                Some(end) => end..place.end,
                None => place.start..items.next().map_or(place.end, |(next, _)| next.start),
            });
        }
        before = Some(place.end);
    }
    None
}
