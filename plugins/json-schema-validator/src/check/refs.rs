//! References: to places in the same document, by pointer, anchor or `$id`. Other documents are never fetched.

use serde_json::Value;

use super::Check;

impl<'s> Check<'s> {
    /// What a reference means; None, and a note that it was not checked, where that is not in this document.
    pub(super) fn target(&mut self, reference: &str) -> Result<Option<&'s Value>, String> {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let base = match document {
            "" => Some(self.root),
            id => self.find(|schema| text(schema, "$id").map(|own| own.trim_end_matches('#')) == Some(id))?,
        };
        let fragment = unescaped(fragment);
        let target = match base {
            Some(base) if fragment.is_empty() || fragment.starts_with('/') => base.pointer(&fragment),
            Some(_) => self.find(|schema| {
                let anchors = [text(schema, "$anchor"), text(schema, "$dynamicAnchor")];
                // Draft-07 spells an anchor as an `$id` that is only a fragment.
                let id = text(schema, "$id").and_then(|id| id.strip_prefix('#'));
                anchors.into_iter().chain([id]).flatten().any(|anchor| anchor == fragment)
            })?,
            None => None,
        };
        if target.is_none() {
            self.report.unchecked.insert(if document.is_empty() {
                "the tool's schema refers to a part of itself that is not there"
            } else {
                "the tool's schema refers to another document, which is never fetched"
            });
        }
        Ok(target)
    }

    /// The first part of the document that fits. A step for each part looked at.
    fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Result<Option<&'s Value>, String> {
        let mut parts = vec![self.root];
        while let Some(part) = parts.pop() {
            self.spend(1)?;
            match part {
                Value::Object(_) if fits(part) => return Ok(Some(part)),
                Value::Object(members) => parts.extend(members.values()),
                Value::Array(items) => parts.extend(items),
                _ => {}
            }
        }
        Ok(None)
    }
}

fn text<'a>(schema: &'a Value, keyword: &str) -> Option<&'a str> {
    schema.get(keyword)?.as_str()
}

/// Without percent-encoding (RFC 6901, section 6).
fn unescaped(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How large a value is, in steps: what one honest look at all of it takes.
pub(super) fn size(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(size).sum::<u64>() + 8,
        Value::Object(members) => members.values().map(size).sum::<u64>() + 16,
        Value::String(text) => text.len() as u64 + 8,
        _ => 8,
    }
}
