//! What the server lists besides tools: prompts, resources and one template, with what they contain.

use rmcp::ErrorData;
use serde_json::{Value, json};

use crate::questions::{Gathered, Questions, elicitation};

/// A red PNG of one pixel.
pub(crate) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==";
/// A WAV file without any sound in it.
pub(crate) const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

/// The prompts; with a last one that comes and goes.
pub(crate) fn prompts(changed: bool) -> Vec<Value> {
    let mut prompts = vec![
        json!({"name": "test_simple_prompt", "description": "A prompt without arguments"}),
        json!({"name": "test_prompt_with_arguments", "description": "A prompt with two arguments", "arguments": [
            {"name": "arg1", "description": "The first", "required": true},
            {"name": "arg2", "description": "The second", "required": true},
        ]}),
        json!({"name": "test_prompt_with_embedded_resource", "description": "A prompt that contains a resource", "arguments": [
            {"name": "resourceUri", "description": "Which one", "required": true},
        ]}),
        json!({"name": "test_prompt_with_image", "description": "A prompt that contains an image"}),
        json!({"name": "test_input_required_result_prompt", "description": "A prompt that asks for its context"}),
    ];
    if changed {
        prompts.push(json!({"name": "test_changing_prompt", "description": "A prompt that comes and goes"}));
    }
    prompts
}

/// The messages of one of them.
pub(crate) async fn prompt(
    name: &str,
    arguments: &Value,
    questions: Questions<'_>,
) -> Result<Gathered<Value>, ErrorData> {
    let messages = match name {
        "test_simple_prompt" => json!([says("This is a simple prompt for testing.")]),
        "test_prompt_with_arguments" => {
            let argument = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
            let text =
                format!("Prompt with arguments: arg1='{}', arg2='{}'", argument("arg1"), argument("arg2"));
            json!([says(&text)])
        }
        "test_prompt_with_embedded_resource" => {
            let resource = json!({"uri": arguments["resourceUri"], "mimeType": "text/plain", "text": "Embedded resource content for testing."});
            json!([
                {"role": "user", "content": {"type": "resource", "resource": resource}},
                says("Please process the embedded resource above."),
            ])
        }
        "test_prompt_with_image" => json!([
            {"role": "user", "content": {"type": "image", "data": PNG, "mimeType": "image/png"}},
            says("Please analyze the image above."),
        ]),
        "test_changing_prompt" => json!([says("Still here.")]),
        "test_input_required_result_prompt" => {
            let asked =
                elicitation("user_context", "What context should the prompt use?", &[("context", "string")]);
            match questions.ask(vec![asked], None).await? {
                Gathered::Asks(round) => return Ok(Gathered::Asks(round)),
                Gathered::Done(answers) => {
                    let context = answers["user_context"]["content"]["context"].as_str().unwrap_or("none");
                    json!([says(&format!("Work in this context: {context}"))])
                }
            }
        }
        other => return Err(ErrorData::invalid_params(format!("no such prompt: {other}"), None)),
    };
    Ok(Gathered::Done(json!({"messages": messages})))
}

/// The resources.
pub(crate) fn resources() -> Vec<Value> {
    let resource = |name: &str, description: &str, kind: &str| json!({"uri": format!("test://{name}"), "name": name, "description": description, "mimeType": kind});
    vec![
        resource("static-text", "A text that never changes", "text/plain"),
        resource("static-binary", "An image that never changes", "image/png"),
        resource("watched-resource", "A text to be subscribed to", "text/plain"),
    ]
}

/// The template.
pub(crate) fn templates() -> Vec<Value> {
    vec![
        json!({"uriTemplate": "test://template/{id}/data", "name": "template", "description": "Data by number", "mimeType": "application/json"}),
    ]
}

/// The contents of a resource, or of what the template makes of one.
pub(crate) fn contents(uri: &str) -> Option<Value> {
    let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    Some(match (uri, id) {
        ("test://static-text", _) => {
            json!({"uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource."})
        }
        ("test://static-binary", _) => json!({"uri": uri, "mimeType": "image/png", "blob": PNG}),
        ("test://watched-resource", _) => {
            json!({"uri": uri, "mimeType": "text/plain", "text": "Watched resource content."})
        }
        (_, Some(id)) => {
            let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            json!({"uri": uri, "mimeType": "application/json", "text": data.to_string()})
        }
        _ => return None,
    })
}

fn says(text: &str) -> Value {
    json!({"role": "user", "content": {"type": "text", "text": text}})
}
