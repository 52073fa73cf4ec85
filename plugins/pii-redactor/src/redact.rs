//! Puts labels where personal data was.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::config::Style;
use crate::scan::Found;

/// The labels of one message.
pub(crate) struct Labels {
    style: Style,
    /// The number of a value, by kind and by what makes two spellings one value.
    numbers: BTreeMap<(String, String), usize>,
    /// The last number given to a kind.
    last: BTreeMap<String, usize>,
    placed: u64,
}

impl Labels {
    /// None placed yet.
    pub(crate) fn new(style: Style) -> Self {
        Self { style, numbers: BTreeMap::new(), last: BTreeMap::new(), placed: 0 }
    }

    /// `text` with a label in place of each thing found.
    pub(crate) fn put(&mut self, text: &str, found: &[Found<'_>]) -> String {
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for found in found {
            out.push_str(text.get(done..found.range.start).unwrap_or_default());
            let value = text.get(found.range.clone()).unwrap_or_default();
            let _ = match self.style {
                Style::Label => write!(out, "[{}]", found.name),
                Style::Pseudonym => write!(out, "[{}-{}]", found.name, self.number(found.name, value)),
            };
            self.placed += 1;
            done = found.range.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// How many labels were placed.
    pub(crate) fn placed(&self) -> u64 {
        self.placed
    }

    fn number(&mut self, name: &str, value: &str) -> usize {
        let key = (name.to_owned(), same(name, value));
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let last = self.last.entry(name.to_owned()).or_default();
        *last += 1;
        self.numbers.insert(key, *last);
        *last
    }
}

/// What two spellings of one value have in common: capitals and separators do not count.
fn same(name: &str, value: &str) -> String {
    let kept = |c: &char| name == "email" || name == "ip" || c.is_alphanumeric() || *c == '+';
    value.chars().filter(kept).map(|c| c.to_ascii_lowercase()).collect()
}
