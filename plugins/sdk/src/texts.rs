//! Which strings of a message are said, and which only address something: where interceptors that read or rewrite text
//! look. And which way a message goes.
//!
//! The shapes are those of MCP 2024-11-05 to 2026-07-28.

use crate::{Call, Draft, Leaf, Operation, Payload, Phase};

/// What clients ask of servers that carries text of people and models.
pub const CALLS: [&str; 4] = ["tools/call", "prompts/get", "resources/read", "completion/complete"];
/// What servers ask of clients that does.
pub const QUESTIONS: [&str; 2] = ["sampling/createMessage", "elicitation/create"];
/// What servers tell clients that does.
pub const NEWS: [&str; 2] = ["notifications/message", "notifications/progress"];
/// What servers offer.
pub const LISTS: [&str; 4] = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
/// What servers say of themselves.
pub const GREETINGS: [&str; 2] = ["initialize", "server/discover"];

/// Who gets to read a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A server: requests of clients, and their answers to what servers ask.
    Server,
    /// A client: results and errors, and what servers ask and tell.
    Client,
}

impl Operation {
    /// Who gets to read this message.
    pub fn reader(&self) -> Reader {
        let is = |events: &[&str]| events.contains(&self.event.as_str());
        let from_server = is(&QUESTIONS) || is(&NEWS) || self.event == "roots/list";
        match (self.phase, from_server) {
            (Phase::Request, false) | (Phase::Response, true) => Reader::Server,
            (Phase::Request, true) | (Phase::Response, false) => Reader::Client,
        }
    }
}

impl Call<'_> {
    /// Every string that is said: arguments, texts of content, structured results, messages of errors, instructions,
    /// descriptions. Without what only addresses something (the name or URI that a call goes to, the URIs of contents,
    /// cursors) and without base64 data, where a change or a chance hit would do harm.
    pub fn texts(&self) -> Vec<Leaf> {
        texts(self.operation(), &**self)
    }
}

impl Draft<'_> {
    /// Every string that is said. See [`Call::texts`].
    pub fn texts(&self) -> Vec<Leaf> {
        texts(self.operation(), &**self)
    }
}

fn texts<P: Payload + ?Sized>(operation: &Operation, payload: &P) -> Vec<Leaf> {
    let roots: &[&str] = match (operation.phase, operation.event.as_str()) {
        (Phase::Request, "tools/call" | "prompts/get") => &["/arguments"],
        (Phase::Request, "completion/complete") => &["/argument/value", "/context/arguments"],
        (Phase::Request, _) if operation.reader() == Reader::Server => &[],
        (Phase::Response, "elicitation/create") => &["/content", "/message", "/data"],
        _ => &[""],
    };
    let mut leaves: Vec<_> = roots.iter().flat_map(|root| payload.strings(root, 1)).collect();
    if roots == [""] {
        leaves.retain(|leaf| is_said(&leaf.pointer));
    }
    leaves
}

/// Whether a string outside arguments is said.
fn is_said(pointer: &str) -> bool {
    let root = pointer.split('/').nth(1).unwrap_or_default();
    let last = pointer.rsplit('/').next().unwrap_or_default();
    let depth = pointer.matches('/').count();
    match root {
        "nextCursor" | "requestState" | "taskId" | "progressToken" | "_meta" => false,
        "tools" | "prompts" | "resources" | "resourceTemplates" => {
            depth != 3 || !matches!(last, "name" | "uri" | "uriTemplate")
        }
        "content" | "contents" | "messages" => !matches!(last, "uri" | "data" | "blob" | "mimeType" | "type"),
        _ => true,
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::harness::Exchange;

    #[test]
    fn texts_are_what_is_said() {
        use Phase::{Request, Response};
        for (event, phase, payload, expected) in [
            (
                "tools/call",
                Request,
                r#"{"name":"a","arguments":{"uri":"said"},"_meta":{"a":"b"}}"#,
                "/arguments/uri",
            ),
            ("resources/read", Request, r#"{"uri":"a"}"#, ""),
            (
                "completion/complete",
                Request,
                r#"{"ref":{"name":"a"},"argument":{"name":"a","value":"b"},"context":{"arguments":{"c":"d"}}}"#,
                "/argument/value /context/arguments/c",
            ),
            (
                "tools/call",
                Response,
                r#"{"content":[{"type":"text","text":"a"},{"type":"image","data":"b","mimeType":"c"}],
                    "structuredContent":{"uri":"d"},"_meta":{"e":"f"}}"#,
                "/content/0/text /structuredContent/uri",
            ),
            (
                "resources/read",
                Response,
                r#"{"contents":[{"uri":"a","text":"b","blob":"c"}]}"#,
                "/contents/0/text",
            ),
            ("tools/call", Response, r#"{"code":1,"message":"a","data":{"uri":"b"}}"#, "/message /data/uri"),
            (
                "tools/list",
                Response,
                r#"{"tools":[{"name":"a","description":"b","inputSchema":{"title":"c"}}],"nextCursor":"d"}"#,
                "/tools/0/description /tools/0/inputSchema/title",
            ),
            (
                "sampling/createMessage",
                Request,
                r#"{"messages":[{"content":{"type":"text","text":"a"}}],"systemPrompt":"b"}"#,
                "/messages/0/content/text /systemPrompt",
            ),
            (
                "elicitation/create",
                Response,
                r#"{"action":"accept","content":{"data":"a"}}"#,
                "/content/data",
            ),
        ] {
            let found = Exchange::new(event).texts(phase, payload).unwrap();
            let pointers: Vec<_> = found.iter().map(|leaf| leaf.pointer.as_str()).collect();
            assert_eq!(pointers.join(" "), expected, "{event} {payload}");
        }
    }

    #[test]
    fn a_message_is_read_at_the_other_end() {
        for (event, phase, expected) in [
            ("tools/call", Phase::Request, Reader::Server),
            ("tools/call", Phase::Response, Reader::Client),
            ("sampling/createMessage", Phase::Request, Reader::Client),
            ("sampling/createMessage", Phase::Response, Reader::Server),
            ("notifications/message", Phase::Request, Reader::Client),
        ] {
            let mut operation = Exchange::new(event).operation;
            operation.phase = phase;
            assert_eq!(operation.reader(), expected, "{event} {phase:?}");
        }
    }
}
