//! Marks on sessions, seen by every plugin that may: how one tells the next what it learnt. Marks are only ever added, and
//! go when their session was not looked at for the longest time and there is no room for another.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::owner::Owner;

/// Bytes of one mark.
const MAX_BYTES: usize = 128;

/// Marks of one session.
const MAX_MARKS: usize = 64;

/// Sessions that have marks.
const MAX_OWNERS: usize = 10_000;

/// Why a mark was not put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmarked {
    #[error("a mark is `[a-z0-9._:/-]`, 1 to {MAX_BYTES} bytes")]
    Spelling,
    #[error("{MAX_MARKS} marks on a session")]
    TooMany,
}

/// The marks of all sessions.
#[derive(Default)]
pub(crate) struct Marks(Mutex<Sessions>);

#[derive(Default)]
struct Sessions {
    marked: HashMap<Owner, Marked>,
    /// Which session was looked at when, the longest ago first.
    used: BTreeMap<u64, Owner>,
    clock: u64,
}

struct Marked {
    marks: Vec<Box<str>>,
    used: u64,
}

impl Marks {
    /// All marks of a session, in the order they were put.
    pub(crate) fn all(&self, owner: &Owner) -> Vec<String> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.touch(owner);
        let marked = sessions.marked.get(owner);
        marked.map(|marked| marked.marks.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    /// Puts a mark on a session; again does nothing.
    ///
    /// # Errors
    /// [`Unmarked`]
    pub(crate) fn add(&self, owner: &Owner, mark: &str) -> Result<(), Unmarked> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._:/-".contains(&b);
        if mark.is_empty() || mark.len() > MAX_BYTES || !mark.bytes().all(fits) {
            return Err(Unmarked::Spelling);
        }
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.touch(owner);
        let marks = sessions.of(owner);
        if marks.iter().any(|known| **known == *mark) {
            return Ok(());
        }
        if marks.len() >= MAX_MARKS {
            return Err(Unmarked::TooMany);
        }
        marks.push(mark.into());
        Ok(())
    }
}

impl Sessions {
    /// The session's marks; where they are its first, another's may go.
    fn of(&mut self, owner: &Owner) -> &mut Vec<Box<str>> {
        if !self.marked.contains_key(owner) {
            if self.marked.len() >= MAX_OWNERS
                && let Some((_, oldest)) = self.used.pop_first()
            {
                self.marked.remove(&oldest);
            }
            self.clock += 1;
            self.used.insert(self.clock, owner.clone());
        }
        let used = self.clock;
        &mut self.marked.entry(owner.clone()).or_insert_with(|| Marked { marks: Vec::new(), used }).marks
    }

    fn touch(&mut self, owner: &Owner) {
        if let Some(marked) = self.marked.get_mut(owner) {
            self.used.remove(&marked.used);
            self.clock += 1;
            marked.used = self.clock;
            self.used.insert(self.clock, owner.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: usize) -> Owner {
        Owner::Session(number.to_string().into())
    }

    #[test]
    fn marks_are_put_once_and_in_order() {
        let marks = Marks::default();
        for mark in ["read:secret", "a/b.c-1", "read:secret"] {
            marks.add(&session(1), mark).unwrap();
        }
        assert_eq!(marks.all(&session(1)), ["read:secret", "a/b.c-1"]);
        assert!(marks.all(&session(2)).is_empty());
    }

    #[test]
    fn marks_are_plain_and_bounded() {
        let marks = Marks::default();
        for wrong in ["", "Upper", "two words", "é", "new\nline", &"x".repeat(129)] {
            assert_eq!(marks.add(&session(1), wrong), Err(Unmarked::Spelling), "{wrong}");
        }
        for number in 0..MAX_MARKS {
            marks.add(&session(1), &number.to_string()).unwrap();
        }
        assert_eq!(marks.add(&session(1), "one-more"), Err(Unmarked::TooMany));
        assert_eq!(marks.add(&session(1), "0"), Ok(()));
    }

    #[test]
    fn the_session_that_was_looked_at_longest_ago_makes_room() {
        let marks = Marks::default();
        for number in 0..MAX_OWNERS {
            marks.add(&session(number), "m").unwrap();
        }
        assert_eq!(marks.all(&session(0)).len(), 1);
        marks.add(&session(MAX_OWNERS), "m").unwrap();
        assert_eq!(marks.all(&session(0)).len(), 1);
        assert!(marks.all(&session(1)).is_empty());
        let sessions = marks.0.lock().unwrap();
        assert_eq!((sessions.marked.len(), sessions.used.len()), (MAX_OWNERS, MAX_OWNERS));
    }
}
