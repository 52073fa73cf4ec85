//! JSON as it was spelt: members in their order, numbers and strings in their own letters. For comparing what two peers
//! wrote, apart from white space between tokens.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON text in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelt {
    Object(Vec<(String, Spelt)>),
    Array(Vec<Spelt>),
    /// A string, number, boolean or null, as written.
    Leaf(String),
}

impl Spelt {
    /// Takes a text to pieces, or fails the test.
    #[track_caller]
    pub fn of(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A member of an object, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => {
                members.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The items of an array.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// Replaces a member, or adds it at the end.
    pub fn set(&mut self, name: &str, value: Self) {
        let Self::Object(members) = self else { panic!("not an object: {self}") };
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => members.push((name.to_owned(), value)),
        }
    }

    /// Takes out what a path leads to; an object that this leaves empty goes too.
    pub fn remove(&mut self, path: &[&str]) {
        let (Self::Object(members), [name, rest @ ..]) = (self, path) else { return };
        members.retain_mut(|(known, value)| {
            if known != name || rest.is_empty() {
                return known != name;
            }
            let was_empty = *value == Self::Object(Vec::new());
            value.remove(rest);
            was_empty || *value != Self::Object(Vec::new())
        });
    }
}

impl fmt::Display for Spelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(text) => f.write_str(text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (at, (name, value)) in members.iter().enumerate() {
                    let name = serde_json::Value::from(name.as_str());
                    write!(f, "{}{name}:{value}", if at == 0 { "" } else { "," })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Spelt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let pieces = match raw.as_bytes().first() {
            Some(b'{') => serde_json::from_str::<Members>(raw).map(|members| Self::Object(members.0)),
            Some(b'[') => serde_json::from_str::<Items>(raw).map(|items| Self::Array(items.0)),
            _ => Ok(Self::Leaf(raw.to_owned())),
        };
        pieces.map_err(D::Error::custom)
    }
}

struct Members(Vec<(String, Spelt)>);
struct Items(Vec<Spelt>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members_;
        impl<'de> Visitor<'de> for Members_ {
            type Value = Vec<(String, Spelt)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members_).map(Self)
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items_;
        impl<'de> Visitor<'de> for Items_ {
            type Value = Vec<Spelt>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(Items_).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spelt_stays_spelt() {
        for (text, expected) in [
            (r#"{"z":1.50e+01, "a" : [ -0 , "\u00e9" ]}"#, r#"{"z":1.50e+01,"a":[-0,"\u00e9"]}"#),
            ("12345678901234567890123", "12345678901234567890123"),
            (r#"{"a":{},"b":[[]]}"#, r#"{"a":{},"b":[[]]}"#),
        ] {
            assert_eq!(Spelt::of(text).to_string(), expected);
        }
    }

    #[test]
    fn a_member_goes_with_what_it_leaves_empty() {
        for (path, left) in [
            (&["a", "b"][..], r#"{"c":1,"d":{}}"#),
            (&["c"], r#"{"a":{"b":2},"d":{}}"#),
            (&["d", "x"], r#"{"a":{"b":2},"c":1,"d":{}}"#),
            (&["c", "x"], r#"{"a":{"b":2},"c":1,"d":{}}"#),
        ] {
            let mut spelt = Spelt::of(r#"{"a":{"b":2},"c":1,"d":{}}"#);
            spelt.remove(path);
            assert_eq!(spelt.to_string(), left, "{path:?}");
        }
    }
}
