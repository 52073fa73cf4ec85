//! Where URIs of resources stand in what servers say: links and embedded resources in results of tools and prompts, the
//! contents of resources, what a task has come to, and questions to the client's model.
//!
//! What a tool computes (`structuredContent`, texts) is never looked into: nobody knows what is a URI there.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::json::Json;
use crate::mcp::method;

/// One URI and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The place, an RFC 6901 pointer.
    pub place: String,
    /// As the server wrote it.
    pub uri: String,
}

/// The URIs in a result of `method`, or in the params of a notification, in document order as far as they are of one kind.
pub fn links(method: &str, said: &Json) -> Vec<Link> {
    let mut found = Vec::new();
    // Most results have none: this is all they cost.
    if URI.find(said.bytes()).is_none() {
        return found;
    }
    match method {
        method::TOOLS_CALL => blocks(&mut found, said.member("content"), "/content"),
        method::PROMPTS_GET => messages(&mut found, said, ""),
        method::RESOURCES_READ => each(said.member("contents"), "/contents", |item, at| {
            uri(&mut found, item.member("uri"), format!("{at}/uri"));
        }),
        method::TASKS_GET | method::TASK_CHANGED => {
            let content = said.member("result").and_then(|result| result.member("content"));
            blocks(&mut found, content, "/result/content");
        }
        method::RESOURCE_UPDATED => uri(&mut found, said.member("uri"), "/uri".to_owned()),
        _ => {}
    }
    for (key, question) in said.member("inputRequests").and_then(|all| all.members()).unwrap_or_default() {
        if let Some(params) = question.member("params") {
            let key = key.replace('~', "~0").replace('/', "~1");
            messages(&mut found, &params, &format!("/inputRequests/{key}/params"));
        }
    }
    found
}

/// The messages of a prompt or of a question to a model.
fn messages(found: &mut Vec<Link>, of: &Json, at: &str) {
    each(of.member("messages"), &format!("{at}/messages"), |message, at| {
        blocks(found, message.member("content"), &format!("{at}/content"));
    });
}

/// One content block or several.
fn blocks(found: &mut Vec<Link>, content: Option<Json>, at: &str) {
    match content {
        Some(block) if block.is_object() => self::block(found, &block, at),
        content => each(content, at, |block, at| self::block(found, block, at)),
    }
}

fn block(found: &mut Vec<Link>, block: &Json, at: &str) {
    let [kind, link, resource, content] = block.pick(["type", "uri", "resource", "content"]);
    match kind.as_ref().and_then(Json::string).as_deref() {
        Some("resource_link") => uri(found, link, format!("{at}/uri")),
        Some("resource") => {
            uri(found, resource.and_then(|resource| resource.member("uri")), format!("{at}/resource/uri"));
        }
        // What a model asked a tool, told to another one: as deep as values may be nested.
        Some("tool_result") => blocks(found, content, &format!("{at}/content")),
        _ => {}
    }
}

static URI: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"uri\""));

fn uri(found: &mut Vec<Link>, value: Option<Json>, place: String) {
    if let Some(uri) = value.as_ref().and_then(Json::string) {
        found.push(Link { place, uri: uri.into_owned() });
    }
}

fn each(array: Option<Json>, at: &str, mut look: impl FnMut(&Json, &str)) {
    let Some(array) = array else { return };
    for (number, item) in array.iter_elements().into_iter().flatten().enumerate() {
        look(&item, &format!("{at}/{number}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, said: &str, expected: &[&str]) {
        let said = Json::parse(said.to_owned()).unwrap();
        let found: Vec<String> =
            links(method, &said).into_iter().map(|link| format!("{} {}", link.place, link.uri)).collect();
        assert_eq!(found, expected, "{method}");
        // What is found can be changed in its place.
        for link in links(method, &said) {
            assert_eq!(said.pointer(&link.place), Some(Json::of(&link.uri)));
        }
    }

    #[test]
    fn every_place_of_a_uri_is_known() {
        check(
            "tools/call",
            r#"{"content":[{"type":"text","text":"\"uri\":1"},{"type":"resource_link","uri":"x:1"},
                {"type":"resource","resource":{"uri":"x:2","text":"t"}},{"type":"text","uri":"x:3"}],
                "structuredContent":{"uri":"x:4"}}"#,
            &["/content/1/uri x:1", "/content/2/resource/uri x:2"],
        );
        let prompt = r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"x:1"}}},
            {"role":"user","content":[{"type":"resource_link","uri":"x:2"}]}]}"#;
        check(
            "prompts/get",
            prompt,
            &["/messages/0/content/resource/uri x:1", "/messages/1/content/0/uri x:2"],
        );
        check(
            "resources/read",
            r#"{"contents":[{"uri":"x:1"},{"text":"t"},{"uri":7},{"uri":"x:2"}]}"#,
            &["/contents/0/uri x:1", "/contents/3/uri x:2"],
        );
        check(
            "tasks/get",
            r#"{"status":"completed","result":{"content":[{"type":"resource_link","uri":"x:1"}]}}"#,
            &["/result/content/0/uri x:1"],
        );
        check("notifications/resources/updated", r#"{"uri":"x:1"}"#, &["/uri x:1"]);
    }

    #[test]
    fn questions_to_a_model_are_looked_into() {
        let asks = r#"{"resultType":"input_required","inputRequests":{"a/b~":{"method":"sampling/createMessage","params":{"messages":
            [{"role":"user","content":[{"type":"tool_result","content":[{"type":"resource_link","uri":"x:1"}]}]}]}}}}"#;
        check("tools/call", asks, &["/inputRequests/a~1b~0/params/messages/0/content/0/content/0/uri x:1"]);
    }

    #[test]
    fn what_has_no_uri_has_no_links() {
        for said in [
            "{}",
            "[]",
            "7",
            r#"{"content":7,"x":"\"uri\""}"#,
            r#"{"content":[7,null,{"type":"resource","uri":"x:"}]}"#,
        ] {
            check("tools/call", said, &[]);
        }
    }
}
