//! Finds member names that appear twice in one object, in linear time whatever the object looks like.
//!
//! The names of all open objects lie on one stack. A small object compares a new name with its siblings; from
//! [`FEW`] on it also keeps keyed hashes, which nobody outside can make collide.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use super::text::unescape;

/// The names of the objects that are open.
pub(super) struct Names<'a> {
    bytes: &'a [u8],
    stack: Vec<Name>,
}

/// A member name: where it is, without its quotes. Offsets are 32 bits because a large object has many of these.
#[derive(Clone, Copy)]
pub(super) struct Name {
    start: u32,
    end: u32,
    escaped: bool,
}

/// One open object: where its names start on the stack, and their hashes once there are many.
pub(super) struct Siblings {
    first: usize,
    hashes: Option<(RandomState, HashSet<u64>)>,
}

impl Name {
    /// The text is shorter than 4 GiB: the scanner refuses others at the door.
    pub(super) fn new(place: Range<usize>, escaped: bool) -> Self {
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: narrow(place.start), end: narrow(place.end), escaped }
    }
}

impl<'a> Names<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, stack: Vec::with_capacity(FEW) }
    }

    pub(super) fn open(&self) -> Siblings {
        Siblings { first: self.stack.len(), hashes: None }
    }

    pub(super) fn close(&mut self, siblings: &Siblings) {
        self.stack.truncate(siblings.first);
    }

    /// Adds a name to the innermost open object. False when it is there already.
    pub(super) fn add(&mut self, siblings: &mut Siblings, name: Name) -> bool {
        let known = self.stack.get(siblings.first..).unwrap_or_default();
        let suspected = known.len() < FEW || {
            let (keys, hashes) = siblings.hashes.get_or_insert_with(|| {
                let keys = RandomState::new();
                let hashes = known.iter().map(|name| self.hash(&keys, *name)).collect();
                (keys, hashes)
            });
            !hashes.insert(self.hash(keys, name))
        };
        if suspected && known.iter().any(|other| self.same(*other, name)) {
            return false;
        }
        self.stack.push(name);
        true
    }

    fn same(&self, a: Name, b: Name) -> bool {
        if a.escaped || b.escaped { self.text(a) == self.text(b) } else { self.raw(a) == self.raw(b) }
    }

    fn hash(&self, keys: &RandomState, name: Name) -> u64 {
        if name.escaped { keys.hash_one(self.text(name).as_bytes()) } else { keys.hash_one(self.raw(name)) }
    }

    fn text(&self, name: Name) -> Cow<'a, str> {
        unescape(self.raw(name))
    }

    fn raw(&self, name: Name) -> &'a [u8] {
        self.bytes.get(name.start as usize..name.end as usize).unwrap_or_default()
    }
}

/// Up to how many members an object compares names one by one.
const FEW: usize = 16;
