//! One merged list. Of every item there is the server's own text and nothing else: what clients see of it differs in the name
//! alone, and is written when a page is asked for.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::Kind;
use crate::json::{Json, push_string};
use crate::name::ServerName;

/// One line of a list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name or URI clients use.
    pub public: Arc<str>,
    /// The server it belongs to.
    pub server: ServerName,
    /// The server's own name or URI for it.
    pub own: Arc<str>,
    /// The item under the server's own name for it.
    said: Json,
    /// Where in that text the public name takes the place of the server's; None when they are the same.
    key: Option<Key>,
}

/// A range of a text that is shorter than 4 GiB.
#[derive(Debug, Clone, Copy)]
struct Key(u32, u32);

impl Key {
    fn of(range: &Range<usize>) -> Option<Self> {
        Some(Self(range.start.try_into().ok()?, range.end.try_into().ok()?))
    }
}

impl Entry {
    /// An item as clients see it.
    pub fn shown(public: Arc<str>, server: ServerName, own: Arc<str>, item: Json) -> Self {
        Self { public, server, own, said: item, key: None }
    }

    /// An item as its server says it, which calls it `own` at `key`. The other name is written in its place.
    pub(super) fn renamed(
        public: Arc<str>,
        server: ServerName,
        own: Arc<str>,
        said: (Json, Range<usize>),
    ) -> Self {
        let (said, key) = said;
        let key = if public == own { None } else { Key::of(&key) };
        Self { public, server, own, said, key }
    }

    /// The item as clients see it: the server's bytes, only the key member replaced.
    pub fn item(&self) -> Json {
        if self.key.is_none() {
            return self.said.clone();
        }
        let mut out = Vec::with_capacity(self.room());
        self.write(&mut out);
        Json::checked(out)
    }

    /// The item as its server says it: for everything but its name.
    pub fn said(&self) -> &Json {
        &self.said
    }

    fn write(&self, out: &mut Vec<u8>) {
        let text = self.said.bytes();
        let parts = self
            .key
            .and_then(|Key(start, end)| Some((text.get(..start as usize)?, text.get(end as usize..)?)));
        let Some((before, behind)) = parts else { return out.extend_from_slice(text) };
        out.extend_from_slice(before);
        push_string(out, &self.public);
        out.extend_from_slice(behind);
    }

    /// The most bytes it usually takes, with a comma.
    fn room(&self) -> usize {
        self.said.bytes().len() + self.public.len() + 3
    }
}

/// Equal to whoever lists them.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.said.bytes(), other.said.bytes());
        // Most entries are those of the list before, in the same memory.
        let same_text = (a.as_ptr() == b.as_ptr() && a.len() == b.len()) || a == b;
        same_text && self.public == other.public && self.server == other.server
    }
}

/// One merged list.
#[derive(Debug)]
pub struct List {
    kind: Kind,
    entries: Vec<Entry>,
    by_public: HashMap<Arc<str>, u32>,
    /// The most items of a page.
    page: usize,
    revision: OnceLock<u64>,
}

impl List {
    /// Nothing yet, `page` items a page.
    pub(super) fn empty(kind: Kind, page: usize) -> Self {
        let (entries, by_public) = (Vec::new(), HashMap::new());
        Self { kind, entries, by_public, page: page.max(1), revision: OnceLock::new() }
    }

    /// A list of these entries, `page` of them a page. Names are unique: an entry whose name is taken, or empty, is left out
    /// and comes back as the second value.
    pub fn of(kind: Kind, entries: Vec<Entry>, page: usize) -> (Self, Vec<Entry>) {
        let (mut list, mut left_out) = (Self::empty(kind, page), Vec::new());
        for entry in entries {
            if entry.public.is_empty() || list.has(&entry.public) {
                left_out.push(entry);
            } else {
                list.push(entry);
            }
        }
        list.trim();
        (list, left_out)
    }

    /// Adds an entry, whose name nobody has yet, and says at which place.
    pub(super) fn push(&mut self, entry: Entry) -> usize {
        let at = self.entries.len();
        self.by_public.insert(Arc::clone(&entry.public), u32::try_from(at).unwrap_or(u32::MAX));
        self.entries.push(entry);
        at
    }

    /// Nothing will be added any more.
    pub(super) fn trim(&mut self) {
        self.entries.shrink_to_fit();
        self.by_public.shrink_to_fit();
    }

    pub(super) fn has(&self, public: &str) -> bool {
        self.by_public.contains_key(public)
    }

    /// A number that changes with the list, and is the same for the same list.
    pub fn revision(&self) -> u64 {
        *self.revision.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            let each = |entry: &Entry| (&entry.server, &entry.public, &entry.said).hash(&mut hasher);
            self.entries.iter().for_each(each);
            hasher.finish()
        })
    }

    /// Every entry, in configuration order, then in the server's.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a public name.
    pub fn find(&self, public: &str) -> Option<&Entry> {
        self.entries.get(*self.by_public.get(public)? as usize)
    }

    /// How many pages there are: at least one.
    pub fn pages(&self) -> usize {
        self.entries.len().div_ceil(self.page).max(1)
    }

    /// Page number `page` as a list result, which has these members before its items.
    pub fn page(&self, page: usize, before: &[(&str, &Json)]) -> Option<Json> {
        let start = page.checked_mul(self.page).filter(|_| page < self.pages())?;
        let entries = || self.entries.iter().skip(start).take(self.page);
        let room = before.iter().map(|(name, value)| name.len() + value.bytes().len() + 4).sum::<usize>()
            + entries().map(Entry::room).sum::<usize>();
        let mut out = Vec::with_capacity(room + 32);
        out.push(b'{');
        for (name, value) in before {
            push_string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(value.bytes());
            out.push(b',');
        }
        push_string(&mut out, self.kind.member());
        out.extend_from_slice(b":[");
        for (index, entry) in entries().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            entry.write(&mut out);
        }
        out.extend_from_slice(b"]}");
        Some(Json::checked(out))
    }
}
