//! The payloads of `tools/call` as types, for plugins that read or make whole ones. Members that are not named here are
//! kept. Reading a payload this way costs more than pointers do: `call.get_string("/arguments/q")` is one crossing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Call, Draft, Outcome};

/// The params of `tools/call`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// Its arguments; none where they were left out.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The result of `tools/call`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// What is said.
    #[serde(default)]
    pub content: Vec<Content>,
    /// The same for programs, where the tool has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_content: Option<Value>,
    /// The tool failed, and says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One block of content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A text.
    Text(Text),
    /// An image, a resource, ...
    Other(Value),
}

/// A text as content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    r#type: TextType,
    /// What is said.
    pub text: String,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TextType {
    Text,
}

impl Content {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Text { r#type: TextType::Text, text: text.into(), other: Map::new() })
    }
}

impl ToolResult {
    /// A result that says this.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::text(text)], ..Self::default() }
    }

    /// A failure that the model is told of.
    pub fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// A result for programs, and the same as text for models (2025-06-18, server/tools, "Structured Content").
    pub fn structured(value: Value) -> Self {
        Self {
            content: vec![Content::text(value.to_string())],
            structured_content: Some(value),
            ..Self::default()
        }
    }
}

impl Outcome {
    /// Answers in the server's place.
    ///
    /// # Errors
    /// The result cannot be written as JSON.
    pub fn answer(result: &impl Serialize) -> Result<Self, String> {
        serde_json::to_string(result).map(Self::Answer).map_err(|error| error.to_string())
    }
}

impl Call<'_> {
    /// The payload of a request of `tools/call`.
    ///
    /// # Errors
    /// It is something else.
    pub fn tool_call(&self) -> Result<ToolCall, String> {
        whole(self.read("")?)
    }

    /// The payload of a response of `tools/call` that did not fail.
    ///
    /// # Errors
    /// It is something else.
    pub fn tool_result(&self) -> Result<ToolResult, String> {
        whole(self.read("")?)
    }
}

impl Draft<'_> {
    /// The payload of a request of `tools/call`.
    ///
    /// # Errors
    /// It is something else.
    pub fn tool_call(&self) -> Result<ToolCall, String> {
        whole(self.read("")?)
    }

    /// The payload of a response of `tools/call` that did not fail; `draft.write("", &result)` puts it back.
    ///
    /// # Errors
    /// It is something else.
    pub fn tool_result(&self) -> Result<ToolResult, String> {
        whole(self.read("")?)
    }
}

fn whole<T>(payload: Option<T>) -> Result<T, String> {
    payload.ok_or_else(|| "there is no payload".to_owned())
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_kept() {
        for payload in [
            r#"{"content":[{"type":"text","text":"a","annotations":{"x":1}},{"type":"image","data":"b"}],"isError":true,"_meta":{"c":1}}"#,
            r#"{"content":[],"structuredContent":{"a":[1,null]}}"#,
        ] {
            let read: ToolResult = serde_json::from_str(payload).unwrap();
            let back: Value = serde_json::to_value(&read).unwrap();
            assert_eq!(back, serde_json::from_str::<Value>(payload).unwrap());
        }
        let call: ToolCall = serde_json::from_str(r#"{"name":"a","_meta":{"progressToken":1}}"#).unwrap();
        assert_eq!((call.name.as_str(), call.arguments.len(), call.other.len()), ("a", 0, 1));
    }

    #[test]
    fn a_plugin_answers_in_the_servers_place() {
        assert_eq!(
            Outcome::answer(&ToolResult::error("closed")).unwrap(),
            Outcome::Answer(r#"{"content":[{"type":"text","text":"closed"}],"isError":true}"#.into())
        );
        let structured = ToolResult::structured(serde_json::json!({"n": 1}));
        assert_eq!(structured.content, [Content::text(r#"{"n":1}"#)]);
    }
}
