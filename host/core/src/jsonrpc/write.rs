//! Writes messages: one line each, without the newline, in one allocation.
//!
//! Transports frame messages by line (stdio, SSE). Raw line breaks between the tokens of a forwarded value would let its
//! author end our message and begin another, so they become spaces; nothing else of a forwarded value changes.

use memchr::memchr2;

use super::Id;
use crate::json::{Json, ObjectWriter, push_string};

/// One complete request.
pub fn write_request(id: &Id, method: &str, params: Option<&Json>) -> Vec<u8> {
    let mut out = start(id.raw().len() + method.len() + size(params));
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.raw());
    push_method(&mut out, method, params);
    out
}

/// One complete notification.
pub fn write_notification(method: &str, params: Option<&Json>) -> Vec<u8> {
    let mut out = start(method.len() + size(params));
    push_method(&mut out, method, params);
    out
}

/// One complete response that says what came of a request.
pub fn write_result(id: &Id, result: &Json) -> Vec<u8> {
    let mut out = start(id.raw().len() + result.bytes().len());
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.raw());
    push_last(&mut out, b",\"result\":", Some(result));
    out
}

/// The same, with members of our own before those of the result, which must not have them yet. A result that is not an
/// object stays as it is.
pub fn write_result_with<'a>(
    id: &Id,
    own: impl Iterator<Item = (&'a str, &'a Json)> + Clone,
    result: &Json,
) -> Vec<u8> {
    let Some((b'{', theirs)) = result.bytes().split_first() else { return write_result(id, result) };
    let added: usize = own.clone().map(|(name, value)| name.len() + value.bytes().len() + 4).sum();
    let mut out = start(id.raw().len() + result.bytes().len() + added);
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.raw());
    out.extend_from_slice(b",\"result\":{");
    let mut is_first = true;
    for (name, value) in own {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        push_string(&mut out, name);
        out.push(b':');
        push_on_line(&mut out, value.bytes());
    }
    if !is_first && theirs.trim_ascii_start() != b"}" {
        out.push(b',');
    }
    push_on_line(&mut out, theirs);
    out.push(b'}');
    out
}

/// One complete response that says what went wrong. Without an id it carries null: the request's could not be read.
pub fn write_error(id: Option<&Id>, error: &Json) -> Vec<u8> {
    let id = id.map_or(b"null".as_slice(), Id::raw);
    let mut out = start(id.len() + error.bytes().len());
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id);
    push_last(&mut out, b",\"error\":", Some(error));
    out
}

/// An error object (JSON-RPC 2.0 section 5.1).
pub fn error_object(code: i64, message: &str, data: Option<&Json>) -> Json {
    let error = ObjectWriter::new().member("code", &Json::of(&code)).string("message", message);
    match data {
        Some(data) => error.member("data", data).finish(),
        None => error.finish(),
    }
}

/// A message with its first member; `payload` bytes will follow, and the names of its other members.
fn start(payload: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload + NAMES);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    out
}

fn push_method(out: &mut Vec<u8>, method: &str, params: Option<&Json>) {
    out.extend_from_slice(b",\"method\":");
    push_string(out, method);
    push_last(out, b",\"params\":", params);
}

fn push_last(out: &mut Vec<u8>, name: &[u8], value: Option<&Json>) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        push_on_line(out, value.bytes());
    }
    out.push(b'}');
}

/// Writes a part of a value without its line breaks.
fn push_on_line(out: &mut Vec<u8>, value: &[u8]) {
    let mut at = out.len();
    out.extend_from_slice(value);
    // Inside strings line breaks are escaped, so what is found here is white space.
    while let Some(rest) = out.get_mut(at..)
        && let Some(found) = memchr2(b'\n', b'\r', rest)
    {
        if let Some(line_break) = rest.get_mut(found) {
            *line_break = b' ';
        }
        at += found + 1;
    }
}

fn size(value: Option<&Json>) -> usize {
    value.map_or(0, |value| value.bytes().len())
}

/// At least what the longest envelope needs besides id, method and params.
const NAMES: usize = 64;
