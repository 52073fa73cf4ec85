//! Finds member names that appear twice in one object of a text that is not kept: what is remembered of a name is a hash.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

/// The names of the objects that are open, as keyed hashes of 64 bits: nobody outside can make two of them meet, and by
/// chance they do so once in a hundred billion texts.
#[derive(Default)]
pub(super) struct Names {
    keys: RandomState,
    pub(super) stack: Vec<u64>,
    /// Where the names of each open object start on the stack, and a number that is the object's own.
    objects: Vec<(usize, u64)>,
    opened: u64,
    /// All names of open objects that have many.
    pub(super) many: HashSet<u64>,
}

/// What became of a name.
pub(super) enum Added {
    New,
    Twice,
    /// It is not remembered.
    Full,
}

impl Names {
    /// An object begins.
    pub(super) fn open(&mut self) {
        self.opened += 1;
        self.objects.push((self.stack.len(), self.opened));
    }

    /// The innermost open object has ended.
    pub(super) fn close(&mut self) {
        let Some((first, _)) = self.objects.pop() else { return };
        let names = self.stack.get(first..).unwrap_or_default();
        if names.len() > FEW {
            names.iter().for_each(|name| {
                self.many.remove(name);
            });
        }
        self.stack.truncate(first);
    }

    /// A name in the innermost open object.
    pub(super) fn add(&mut self, name: &str) -> Added {
        let Some((first, object)) = self.objects.last() else { return Added::Full };
        let name = self.keys.hash_one((object, name));
        let siblings = self.stack.get(*first..).unwrap_or_default();
        let is_known = match siblings.len() {
            ..=FEW => siblings.contains(&name),
            _ => self.many.contains(&name),
        };
        if is_known {
            return Added::Twice;
        }
        if self.stack.len() >= MAX_NAMES {
            return Added::Full;
        }
        match siblings.len() {
            ..FEW => {}
            FEW => self.many.extend(siblings.iter().copied().chain([name])),
            _ => {
                self.many.insert(name);
            }
        }
        self.stack.push(name);
        Added::New
    }
}

/// How many names of open objects are remembered, all together.
pub const MAX_NAMES: usize = 16 << 10;
/// Up to how many members an object compares names one by one.
const FEW: usize = 16;
