//! The strings of a JSON text, values and member names, in one pass and without a tree.
//!
//! The text has been checked by the gateway; one that is no JSON is walked as far as it makes sense and harms nobody.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

/// One string of a JSON text.
pub struct Text<'a> {
    /// What it says, without quotes and escapes.
    pub text: Cow<'a, str>,
    /// Where it stands in the JSON text, quotes included.
    pub raw: Range<usize>,
    /// Whether it is a member's name.
    pub is_name: bool,
    walk: &'a Walk<'a>,
}

impl Text<'_> {
    /// RFC 6901 pointer to it; for a member's name, to the object that has it.
    pub fn pointer(&self) -> String {
        let steps =
            self.walk.steps.get(..self.walk.steps.len() - usize::from(self.is_name)).unwrap_or_default();
        let mut pointer = String::new();
        for step in steps {
            pointer.push('/');
            match step {
                Step::Member(raw) => {
                    pointer.push_str(&self.walk.unescaped(raw).replace('~', "~0").replace('/', "~1"));
                }
                Step::Item(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }

    /// The name of the member that this value is.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        match self.walk.steps.last() {
            Some(Step::Member(raw)) if !self.is_name => Some(self.walk.unescaped(raw)),
            _ => None,
        }
    }
}

/// One step down.
enum Step {
    /// Into the member with the name that stands here, quotes included. Empty before the first.
    Member(Range<usize>),
    /// Into an array.
    Item(usize),
}

struct Walk<'a> {
    json: &'a str,
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn unescaped(&self, raw: &Range<usize>) -> Cow<'_, str> {
        let inside = raw.start.saturating_add(1)..raw.end.saturating_sub(1);
        unescape(self.json.get(inside).unwrap_or_default())
    }
}

/// Shows every string of at least `min_bytes` bytes (as it is written) to `visit`, in order, until that has seen enough.
/// Names are always shown.
pub fn strings(json: &str, min_bytes: usize, visit: &mut dyn FnMut(&Text<'_>) -> ControlFlow<()>) {
    let bytes = json.as_bytes();
    let mut walk = Walk { json, steps: Vec::new() };
    let mut at = 0;
    // In an object, whether the next string is a name.
    let mut name_next = false;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let end = end_of_string(bytes, at);
                let raw = at - 1..end;
                at = end;
                let is_name = name_next;
                if is_name && let Some(Step::Member(name)) = walk.steps.last_mut() {
                    *name = raw.clone();
                }
                if is_name || raw.len() >= min_bytes.saturating_add(2) {
                    let text = walk.unescaped(&raw);
                    if visit(&Text { text, raw, is_name, walk: &walk }).is_break() {
                        return;
                    }
                }
            }
            b'{' => {
                walk.steps.push(Step::Member(0..0));
                name_next = true;
            }
            b'[' => {
                walk.steps.push(Step::Item(0));
                name_next = false;
            }
            b'}' | b']' => {
                walk.steps.pop();
                name_next = false;
            }
            b':' => name_next = false,
            b',' => match walk.steps.last_mut() {
                Some(Step::Item(index)) => *index += 1,
                Some(Step::Member(_)) => name_next = true,
                None => {}
            },
            _ => {}
        }
    }
}

/// The byte behind the quote that ends the string whose content begins at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += next;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// A string's content without its escapes. What is no escape stays as it is; half of a surrogate pair becomes U+FFFD.
fn unescape(inside: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inside.as_bytes()) else { return Cow::Borrowed(inside) };
    let mut text = String::with_capacity(inside.len());
    text.push_str(inside.get(..first).unwrap_or_default());
    let mut rest = inside.get(first..).unwrap_or_default();
    while let Some(escape) = rest.strip_prefix('\\') {
        let (char, used) = one_escape(escape);
        text.push(char);
        rest = escape.get(used..).unwrap_or_default();
        let plain = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        text.push_str(rest.get(..plain).unwrap_or_default());
        rest = rest.get(plain..).unwrap_or_default();
    }
    Cow::Owned(text)
}

/// The character that an escape stands for, and how many bytes behind the backslash it takes.
fn one_escape(escape: &str) -> (char, usize) {
    match escape.as_bytes().first() {
        Some(b'n') => ('\n', 1),
        Some(b't') => ('\t', 1),
        Some(b'r') => ('\r', 1),
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'u') => {
            let unit = |at: usize| escape.get(at..at + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
            let first = unit(1).unwrap_or(0xfffd);
            let second = escape.get(5..7).filter(|next| *next == "\\u").and_then(|_| unit(7));
            match (first, second) {
                (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                    let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
                    (char::from_u32(code).unwrap_or('\u{fffd}'), 11)
                }
                _ => (char::from_u32(first).unwrap_or('\u{fffd}'), 5),
            }
        }
        _ => match escape.chars().next() {
            Some(char) => (char, char.len_utf8()),
            None => ('\\', 0),
        },
    }
}

/// `text` as a JSON string, quotes included.
pub fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for char in text.chars() {
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                json.push_str("\\u00");
                let digit = |value: u32| char::from_digit(value, 16).unwrap_or('0');
                json.push(digit(u32::from(control) >> 4));
                json.push(digit(u32::from(control) & 0xf));
            }
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(json: &str) -> Vec<String> {
        let mut seen = Vec::new();
        strings(json, 0, &mut |text| {
            let mark = if text.is_name { "name" } else { "is" };
            assert_eq!(json.get(text.raw.clone()).unwrap().as_bytes()[0], b'"');
            seen.push(format!("{} {mark} {}", text.pointer(), text.text));
            ControlFlow::Continue(())
        });
        seen
    }

    #[test]
    fn every_string_has_its_place() {
        for (json, expected) in [
            (r#""x""#, &[" is x"] as &[&str]),
            ("[1,true,null]", &[]),
            (r#"["a",["b"],{},"c"]"#, &["/0 is a", "/1/0 is b", "/3 is c"]),
            (
                r#"{"a" : {"b/~c":["d", {"e":"f"}]}, "g":1, "h":"i:,{"}"#,
                &[
                    " name a",
                    "/a name b/~c",
                    "/a/b~1~0c/0 is d",
                    "/a/b~1~0c/1 name e",
                    "/a/b~1~0c/1/e is f",
                    " name g",
                    " name h",
                    "/h is i:,{",
                ],
            ),
            (r#"{"\u0061":"\"\\\n\/\u00e4\ud83e\udd80"}"#, &[" name a", "/a is \"\\\n/ä🦀"]),
        ] {
            assert_eq!(seen(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_survived() {
        for json in [
            "",
            "\"",
            "\"\\",
            "\"\\u",
            "\"\\ud83e\"",
            "\"\\ud83e\\u0041\"",
            "}}]]",
            "{{{\"",
            "[\"a\"}\"b\"",
            ",:,\"é\\é\"",
            "{\"a\":\"b\\",
        ] {
            seen(json);
        }
    }

    #[test]
    fn short_strings_are_left_out_when_asked_to() {
        let mut seen = Vec::new();
        strings(r#"{"a":"12","b":"123"}"#, 3, &mut |text| {
            seen.push(text.text.to_string());
            ControlFlow::Continue(())
        });
        assert_eq!(seen, ["a", "b", "123"]);
    }

    #[test]
    fn quoting_is_undone_by_reading() {
        let text = "a \"b\" \\ \n\r\t \u{1f} ä 🦀 \u{7f}";
        assert_eq!(seen(&quoted(text)), [format!(" is {text}")]);
    }
}
