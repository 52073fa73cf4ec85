//! Says what a message from a server is, whatever transport it came over. No socket, no clock.

use bytes::Bytes;
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{self, Id, Message};
use wasmgate_core::mcp::method;

use super::Answer;
use super::modern_listen::{subscription_id, unstamped};

/// One message from a server.
#[derive(Debug)]
pub(super) enum Incoming {
    /// It answers a request; which one, unless the server could not read it.
    Answer(Option<Id>, Answer),
    /// It reports progress on a request of this token.
    Progress(Option<u64>, Json),
    /// It says something else in the course of a request: a log message, or that a URL was visited. The method and its
    /// params.
    Aside(&'static str, Json),
    /// One of its lists has changed.
    Changed(Kinds),
    /// A resource or task somebody waits for has changed: the method and its params.
    Updated(&'static str, Json),
    /// It has begun to tell what a listen of ours asked for: which, when it says so, and the params.
    Acknowledged(Option<u64>, Json),
    /// It asks something itself.
    Question(Id, Box<str>, Option<Json>),
    /// It takes this question of its own back, or gives up this listen of ours.
    Withdrawn(Id),
    /// A notification nobody here waits for.
    Other,
    /// It ought to be an answer to this request but is not a valid message.
    Broken(Id, String),
    /// Not a message.
    Garbage,
}

/// A set of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kinds(u8);

impl Kinds {
    /// `tools/list`.
    pub(super) const TOOLS: Self = Self(1);
    /// `prompts/list`.
    pub(super) const PROMPTS: Self = Self(2);
    /// `resources/list` and `resources/templates/list`.
    pub(super) const RESOURCES: Self = Self(4);
    /// All lists.
    pub(super) const ALL: Self = Self(7);

    /// The set as bits, and back.
    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// A set from its bits.
    pub(super) const fn of(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether all of `other` are in it.
    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Reads one message, or a batch as servers of protocol version 2025-03-26 may send it.
pub(super) fn read(bytes: &Bytes, each: &mut dyn FnMut(Incoming)) {
    let text =
        bytes.strip_prefix(b"\xef\xbb\xbf").map_or_else(|| bytes.clone(), |rest| bytes.slice_ref(rest));
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => each(one(jsonrpc::read(text.clone()), &text)),
        Some(b'[') => match jsonrpc::read_batch(text.clone()) {
            Ok(messages) => messages.into_iter().for_each(|message| each(one(message, &[]))),
            Err(_) => each(Incoming::Garbage),
        },
        Some(_) => each(Incoming::Garbage),
        None => {}
    }
}

fn one(message: Result<Message, jsonrpc::ReadError>, text: &[u8]) -> Incoming {
    match message {
        Ok(Message::Response { id, outcome: Ok(result) }) => Incoming::Answer(id, Answer::Result(result)),
        Ok(Message::Response { id, outcome: Err(error) }) => Incoming::Answer(id, Answer::Error(error)),
        Ok(Message::Request { id, method, params }) => Incoming::Question(id, method, params),
        Ok(Message::Notification { method, params }) => {
            notification(&method, params.unwrap_or_else(Json::empty_object))
        }
        Err(error) => match error.id.or_else(|| jsonrpc::peek_id(text)) {
            Some(id) => Incoming::Broken(id, error.detail),
            None => Incoming::Garbage,
        },
    }
}

fn notification(named: &str, params: Json) -> Incoming {
    match named {
        "notifications/progress" => {
            let token = params.member("progressToken").and_then(|token| token.as_str().parse().ok());
            Incoming::Progress(token, params)
        }
        method::MESSAGE => Incoming::Aside(method::MESSAGE, params),
        method::ELICITED => Incoming::Aside(method::ELICITED, params),
        "notifications/tools/list_changed" => Incoming::Changed(Kinds::TOOLS),
        "notifications/prompts/list_changed" => Incoming::Changed(Kinds::PROMPTS),
        "notifications/resources/list_changed" => Incoming::Changed(Kinds::RESOURCES),
        method::RESOURCE_UPDATED => Incoming::Updated(method::RESOURCE_UPDATED, unstamped(params)),
        method::TASK_CHANGED => Incoming::Updated(method::TASK_CHANGED, unstamped(params)),
        method::ACKNOWLEDGED => Incoming::Acknowledged(subscription_id(&params), params),
        method::CANCELLED => {
            let id = params.member("requestId").and_then(|id| Id::of(&id));
            id.map_or(Incoming::Other, Incoming::Withdrawn)
        }
        _ => Incoming::Other,
    }
}

/// Whom an over-long message concerned, as far as what is left of it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concern {
    /// It answered this request.
    Request(u64),
    /// No request: it was a notification, or no message at all.
    Nobody,
    /// It may have answered any.
    Unknown,
}

/// Says whom an over-long message concerned. An answer's id stands near its start, or among the last members of the whole.
pub(super) fn concern(head: &[u8], tail: &[u8]) -> Concern {
    if !head.trim_ascii_start().starts_with(b"{") || is_notification(head) {
        return Concern::Nobody;
    }
    let id = jsonrpc::peek_id(head).and_then(|id| id.as_u64()).or_else(|| id_at_end(tail));
    id.map_or(Concern::Unknown, Concern::Request)
}

/// Whether a message begins with its method, an id not having come before.
fn is_notification(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let after = |text: &str, token: &str| text.trim_start().strip_prefix(token).map(str::to_owned);
    let Some(members) = after(&text, "{") else { return false };
    let version = ["\"jsonrpc\"", ":", "\"2.0\"", ","];
    let rest = version.iter().try_fold(members.clone(), |text, token| after(&text, token)).unwrap_or(members);
    after(&rest, "\"method\"").is_some()
}

/// The id of a message that ends `..."id":7}`, with `"jsonrpc":"2.0"` perhaps behind it. Because only the closing brace of
/// the message itself can follow, this is the envelope's id and no other.
fn id_at_end(tail: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(tail);
    let mut body = text.trim_end().strip_suffix('}')?.trim_end();
    if let Some(rest) = body.strip_suffix("\"2.0\"") {
        let rest = rest.trim_end().strip_suffix(':')?.trim_end().strip_suffix("\"jsonrpc\"")?;
        body = rest.trim_end().strip_suffix(',')?.trim_end();
    }
    let digits = body.len() - body.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (before, number) = body.split_at_checked(digits)?;
    let before = before.trim_end().strip_suffix(':')?.trim_end().strip_suffix("\"id\"")?;
    let separator = before.trim_end().chars().next_back()?;
    matches!(separator, ',' | '{').then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(line: &'static str, expected: Expect) {
        let mut out = String::new();
        read(&Bytes::from_static(line.as_bytes()), &mut |incoming| out.push_str(&format!("{incoming:?}\n")));
        expected.assert_eq(&out);
    }

    #[test]
    fn messages_are_told_apart() {
        check(
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            expect![[r#"
                Answer(Some(Id(b"1")), Result({}))
            "#]],
        );
        check(
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"\"}}\r",
            expect![[r#"
                Answer(None, Error({"code":1,"message":""}))
            "#]],
        );
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":5,"progress":1}}"#,
            expect![[r#"
                Progress(Some(5), {"progressToken":5,"progress":1})
            "#]],
        );
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
            expect![[r#"
                Changed(Kinds(1))
            "#]],
        );
        check(
            r#"{"jsonrpc":"2.0","id":"q","method":"roots/list","params":{"a":1}}"#,
            expect![[r#"
                Question(Id(b"\"q\""), "roots/list", Some({"a":1}))
            "#]],
        );
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}"#,
            expect![[r#"
                Withdrawn(Id(b"\"q\""))
            "#]],
        );
    }

    #[test]
    fn garbage_is_no_message_and_a_broken_answer_names_its_request() {
        for garbage in [
            "Listening on 3000",
            "\u{1b}[31mred",
            "\0\0",
            "{",
            "[INFO] up",
            "[]",
            "{\"a\":1}",
            "\"text\"",
            "7",
        ] {
            check(
                garbage,
                expect![[r#"
                    Garbage
                "#]],
            );
        }
        check("", expect![""]);
        check(" \r", expect![""]);
        check(
            r#"{"jsonrpc":"2.0","id":9,"result":{"a":}}"#,
            expect![[r#"
                Broken(Id(b"9"), "expected a value at byte 38")
            "#]],
        );
    }

    #[test]
    fn a_batch_is_its_messages() {
        check(
            r#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":[]}]"#,
            expect![[r#"
                Answer(Some(Id(b"1")), Result({}))
                Answer(Some(Id(b"2")), Result([]))
            "#]],
        );
    }

    #[test]
    fn what_is_left_of_a_long_answer_names_its_request() {
        let remains = |head: &str, tail: &str| concern(head.as_bytes(), tail.as_bytes());
        assert_eq!(remains(r#"{"jsonrpc":"2.0","id":12,"result":{"#, "xxx"), Concern::Request(12));
        assert_eq!(remains(r#"{"jsonrpc":"2.0","result":{"#, r#"x"}]},"id":34}"#), Concern::Request(34));
        let tail = "x\"},\"id\": 5 , \"jsonrpc\" : \"2.0\" }\r";
        assert_eq!(remains(r#"{"result":{"#, tail), Concern::Request(5));
        assert_eq!(remains(r#"{"result":{"#, r#"x","id":34}}"#), Concern::Unknown, "an id inside the result");
        assert_eq!(remains(r#"{"result":{"#, r#"\"id\":34"}"#), Concern::Unknown, "an id inside a string");
        assert_eq!(remains("xxxx", "xxxx"), Concern::Nobody);
        assert_eq!(remains(r#" { "jsonrpc" : "2.0" , "method": "notifications/x""#, ""), Concern::Nobody);
        assert_eq!(remains(r#"{"method":"notifications/x""#, ""), Concern::Nobody);
    }
}
