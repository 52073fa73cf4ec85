//! JSON as registries write it: members in camelCase or, in old documents, snake_case; texts that are numbers; nulls.
//!
//! Nothing here fails: what is not of the expected kind is absent. What that means is for the reader to say.

use serde_json::{Map, Value as Json};

/// One JSON value, read leniently.
#[derive(Debug, Clone, Copy)]
pub struct Node<'j>(Option<&'j Json>);

impl<'j> Node<'j> {
    /// The root of a document.
    pub fn root(json: &'j Json) -> Self {
        Self(Some(json))
    }

    /// A member by its name in camelCase, or else in snake_case.
    pub fn member(self, name: &str) -> Self {
        let Some(members) = self.0.and_then(Json::as_object) else { return Self(None) };
        let found = members.get(name).or_else(|| members.get(&snake(name)));
        Self(found.filter(|value| !value.is_null()))
    }

    /// The first of several members that is there.
    pub fn any(self, names: &[&str]) -> Self {
        names.iter().map(|name| self.member(name)).find(|node| node.0.is_some()).unwrap_or(Self(None))
    }

    /// A text, number or boolean as text, without blanks around it; none when that is empty.
    pub fn text(self) -> Option<String> {
        let text = match self.0? {
            Json::String(text) => text.trim().to_owned(),
            Json::Number(number) => number.to_string(),
            Json::Bool(value) => value.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The value as it is.
    pub fn json(self) -> Option<&'j Json> {
        self.0
    }

    /// Whether it is `true`.
    pub fn is_true(self) -> bool {
        self.text().is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The elements of a list; none where it is something else.
    pub fn list(self) -> impl Iterator<Item = Self> {
        self.0.and_then(Json::as_array).into_iter().flatten().map(Self::root)
    }

    /// The members of an object, sorted by name.
    pub fn members(self) -> Vec<(&'j str, Self)> {
        let members = self.0.and_then(Json::as_object).into_iter().flat_map(Map::iter);
        let mut members: Vec<_> = members.map(|(name, value)| (name.as_str(), Self::root(value))).collect();
        members.sort_by_key(|(name, _)| *name);
        members
    }

    /// Names of members that are none of these, in camelCase; nulls do not count.
    pub fn others(self, known: &[&str]) -> Vec<&'j str> {
        let unknown = |name: &str| !known.iter().any(|known| name == *known || name == snake(known));
        let members = self.members().into_iter().filter(|(_, node)| !matches!(node.0, Some(Json::Null)));
        members.map(|(name, _)| name).filter(|name| unknown(name)).collect()
    }

    /// Whether there is anything.
    pub fn is_there(self) -> bool {
        self.0.is_some()
    }
}

/// `registryType` as `registry_type`.
fn snake(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_and_camel_first() {
        let json = json!({"registry_type": "a", "isSecret": "True", "is_secret": false, "n": 5, "e": " ", "z": null});
        let node = Node::root(&json);
        assert_eq!(node.member("registryType").text().as_deref(), Some("a"));
        assert!(node.member("isSecret").is_true());
        assert_eq!(node.member("n").text().as_deref(), Some("5"));
        assert_eq!((node.member("e").text(), node.member("z").is_there()), (None, false));
        assert_eq!(node.others(&["registryType", "isSecret"]), ["e", "n"]);
        assert_eq!(node.member("n").member("x").list().count(), 0);
    }
}
