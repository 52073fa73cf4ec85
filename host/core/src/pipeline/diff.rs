//! What a mutation changed, as places: the diff that is recorded of a mutator in audit mode. Values are left out, because
//! what a mutator takes out of a message is often what must not stand in a log.

use std::collections::{HashMap, HashSet};

use crate::json::Json;

/// One place where two values differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only the new value has it.
    Added(String),
    /// Only the old value has it.
    Removed(String),
    /// Both have it, with different values.
    Replaced(String),
}

impl Difference {
    /// Where, as an RFC 6901 pointer.
    pub fn pointer(&self) -> &str {
        match self {
            Self::Added(place) | Self::Removed(place) | Self::Replaced(place) => place,
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, place) = match self {
            Self::Added(place) => ("add", place),
            Self::Removed(place) => ("remove", place),
            Self::Replaced(place) => ("replace", place),
        };
        write!(f, "{word} {}", if place.is_empty() { "(everything)" } else { place })
    }
}

/// Where `new` differs from `old`, as RFC 6901 pointers in document order; at most `most`.
pub fn differences(old: &Json, new: &Json, most: usize) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(old, new, &mut String::new(), most, &mut found);
    found
}

fn walk(old: &Json, new: &Json, at: &mut String, most: usize, found: &mut Vec<Difference>) {
    if found.len() >= most || old == new {
        return;
    }
    if let (Some(before), Some(after)) = (old.members(), new.members()) {
        let now: HashMap<&str, &Json> = after.iter().map(|(name, value)| (&**name, value)).collect();
        let was: HashSet<&str> = before.iter().map(|(name, _)| &**name).collect();
        for (name, value) in &before {
            match now.get(&**name) {
                Some(now) => below(at, name, |at| walk(value, now, at, most, found)),
                None => below(at, name, |at| found.push(Difference::Removed(at.clone()))),
            }
        }
        for (name, _) in after.iter().filter(|(name, _)| !was.contains(&**name)) {
            below(at, name, |at| found.push(Difference::Added(at.clone())));
        }
    } else if let (Some(before), Some(after)) = (old.elements(), new.elements()) {
        for (index, (value, now)) in before.iter().zip(&after).enumerate() {
            below(at, &index.to_string(), |at| walk(value, now, at, most, found));
        }
        for index in after.len()..before.len() {
            below(at, &index.to_string(), |at| found.push(Difference::Removed(at.clone())));
        }
        for index in before.len()..after.len() {
            below(at, &index.to_string(), |at| found.push(Difference::Added(at.clone())));
        }
    } else {
        found.push(Difference::Replaced(at.clone()));
    }
    found.truncate(most);
}

/// Runs `work` with the pointer one step further down.
fn below(at: &mut String, step: &str, work: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push('/');
    at.push_str(&step.replace('~', "~0").replace('/', "~1"));
    work(at);
    at.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &'static str, new: &'static str, expected: &[&str]) {
        let [old, new] = [old, new].map(|text| Json::parse(text).unwrap());
        let found: Vec<_> = differences(&old, &new, 4).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn differences_are_places_without_values() {
        check("1", "1", &[]);
        check("1", "2", &["replace (everything)"]);
        check(r#"{"a":1,"b":{"c":2}}"#, r#"{"b":{"c":3},"d":4}"#, &["remove /a", "replace /b/c", "add /d"]);
        check(r#"{"a":[1,2,3]}"#, r#"{"a":[1,5]}"#, &["replace /a/1", "remove /a/2"]);
        check(r#"{"a":[]}"#, r#"{"a":[1]}"#, &["add /a/0"]);
        check(r#"{"x/y":{"~":1}}"#, r#"{"x/y":{"~":2}}"#, &["replace /x~1y/~0"]);
        check(r#"{"a":{}}"#, r#"{"a":[]}"#, &["replace /a"]);
    }

    #[test]
    fn a_diff_has_a_most() {
        check("[1,2,3,4,5]", "[2,3,4,5,6]", &["replace /0", "replace /1", "replace /2", "replace /3"]);
    }
}
