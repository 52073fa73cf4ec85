//! A member that few objects have: a look through the text tells that sooner than a walk from member to member.

use memchr::memchr;
use memchr::memmem::Finder;

use super::Json;

/// A name, prepared to be looked for.
#[derive(Debug)]
pub struct Rare {
    name: &'static str,
    quoted: Finder<'static>,
}

impl Rare {
    /// Prepares a name without characters that JSON escapes. That takes longer than looking through a short text.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, quoted: Finder::new(format!("\"{name}\"").as_bytes()).into_owned() }
    }

    /// The member of this name, as [`Json::member`] has it.
    pub fn of(&self, object: &Json) -> Option<Json> {
        let text = object.bytes();
        // A name can be spelt in other ways, all with a backslash.
        let may_have = self.quoted.find(text).is_some() || memchr(b'\\', text).is_some();
        may_have.then(|| object.member(self.name)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_walk_finds() {
        let rare = Rare::new("_meta");
        for text in [
            r#"{"_meta":1}"#,
            r#"{"a":"_meta","_meta" : 2}"#,
            r#"{"\u005fmeta":3}"#,
            r#"{"a":{"_meta":4}}"#,
            r#"{"a":"\"_meta\":5"}"#,
            r#"{"_metas":6,"meta":7}"#,
            r#"["_meta"]"#,
            r#""_meta""#,
            "{}",
        ] {
            let json = Json::parse(text.to_owned()).unwrap();
            assert_eq!(rare.of(&json), json.member("_meta"), "{text}");
        }
    }
}
