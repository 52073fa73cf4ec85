//! Edits by pointer: what an interceptor may ask for instead of sending a whole new value.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::places::{Path, find_all};
use super::pointer::{child, index, tokens};
use super::walk::{Elements, Members, depth};
use super::{Json, MAX_DEPTH, push_string};

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
    /// Too many additions and removals for a value of this length: a whole new value would be cheaper.
    #[error("too many edits that add or remove something")]
    TooMany,
}

impl Edit {
    fn pointer(&self) -> &str {
        let (Self::Set(pointer, _) | Self::SetString(pointer, _) | Self::Remove(pointer)) = self;
        pointer
    }
}

impl Json {
    /// Makes edits in order, all or nothing; every byte that no edit touches stays.
    ///
    /// Replacing any number of values costs a few passes. Each edit that adds or removes something, or changes what an
    /// earlier one put there, costs a copy of the value; [`EditError::TooMany`] keeps the sum small.
    ///
    /// # Errors
    /// [`EditError`] names the first edit that cannot be made; malformed pointers are found before all else.
    pub fn apply(&self, edits: &[Edit]) -> Result<Self, EditError> {
        self.apply_within(MAX_COPIED, edits)
    }

    /// Like [`Json::apply`], copying at most about `budget` bytes.
    pub(super) fn apply_within(&self, budget: usize, edits: &[Edit]) -> Result<Self, EditError> {
        let paths = edits.iter().map(|edit| path(edit.pointer())).collect::<Result<Vec<_>, _>>()?;
        let mut draft = Draft::new(self.clone());
        for (number, edit) in edits.iter().enumerate() {
            draft.edit(edit, paths.get(number..).unwrap_or_default())?;
            if draft.copied > budget {
                return Err(EditError::TooMany);
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
    /// Where in `base` the next edits are meant, found in one walk.
    ahead: VecDeque<Option<Range<usize>>>,
    /// How many edits to look ahead next time: four times as many each time it went well.
    look_ahead: usize,
    /// Bytes copied so far.
    copied: usize,
}

impl Draft {
    fn new(base: Json) -> Self {
        Self { base, replaced: BTreeMap::new(), ahead: VecDeque::new(), look_ahead: 1, copied: 0 }
    }

    /// Makes one edit; `paths` is its own and those of the edits after it.
    fn edit(&mut self, edit: &Edit, paths: &[Path]) -> Result<(), EditError> {
        let Some(path) = paths.first() else { return Ok(()) };
        if self.ahead.is_empty() {
            let next = paths.get(..self.look_ahead).unwrap_or(paths);
            self.ahead = find_all(&self.base.0, next).into();
            self.look_ahead = self.look_ahead.saturating_mul(4);
        }
        let place = self.ahead.pop_front().flatten();
        let made = match edit {
            Edit::Set(_, value) => self.set(path, place, value.0.clone()),
            Edit::SetString(_, text) => {
                let mut value = Vec::with_capacity(text.len() + 2);
                push_string(&mut value, text);
                self.set(path, place, value.into())
            }
            Edit::Remove(_) => self.remove(path),
        };
        match made {
            Ok(()) => Ok(()),
            Err(Impossible::Missing) => Err(EditError::Missing(edit.pointer().to_owned())),
            Err(Impossible::TooDeep) => Err(EditError::TooDeep(edit.pointer().to_owned())),
            Err(Impossible::RemovesAll) => Err(EditError::RemovesAll),
        }
    }

    fn set(&mut self, path: &Path, place: Option<Range<usize>>, value: Bytes) -> Result<(), Impossible> {
        if path.len() + depth(&value) > MAX_DEPTH {
            return Err(Impossible::TooDeep);
        }
        if let Some(place) = place.filter(|place| self.is_untouched(place)) {
            self.replaced.insert(place.start, (place.end, value));
            return Ok(());
        }
        self.settle();
        let (place, value) = match find(&self.base.0, path) {
            Some(place) => (place, value),
            None => addition(&self.base.0, path, &value).ok_or(Impossible::Missing)?,
        };
        self.replaced.insert(place.start, (place.end, value));
        self.settle();
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), Impossible> {
        let (last, parents) = path.split_last().ok_or(Impossible::RemovesAll)?;
        self.settle();
        let bytes = &self.base.0;
        let place = find(bytes, parents).and_then(|parent| removal(bytes, &parent, last));
        let place = place.ok_or(Impossible::Missing)?;
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
        self.copied = self.copied.saturating_add(out.len());
        self.base = Json::checked(out);
        self.ahead.clear();
        self.look_ahead = 1;
    }
}

/// Why one edit cannot be made.
enum Impossible {
    Missing,
    RemovesAll,
    TooDeep,
}

fn path(pointer: &str) -> Result<Path, EditError> {
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
        with_comma(members.map(|member| (member.start..member.value.end, member.name.is(token))))
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

/// How many bytes the edits of one [`Json::apply`] may copy: 256 MiB.
const MAX_COPIED: usize = 256 << 20;
