//! Questions to the client in the middle of a request, in the way of the era it came in.
//!
//! A modern client gets them as an `input_required` result and asks again with the answers; a legacy client gets them as
//! JSON-RPC requests while its own request waits. The tools are written once, for both.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use rmcp::model::{ClientCapabilities, InputRequiredResult, InputResponses, ServerRequest};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::era::is_modern;

/// One question under its key.
pub(crate) struct Question {
    key: &'static str,
    method: &'static str,
    params: Value,
}

impl Question {
    /// The method of the client that answers it.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// Without its key.
    pub(crate) fn request(self) -> Value {
        json!({"method": self.method, "params": self.params})
    }
}

/// A result, or what must be answered first.
pub(crate) enum Gathered<T> {
    Done(T),
    Asks(InputRequiredResult),
}

/// The answers by key: `{action, content}`, a message, or roots.
pub(crate) type Answers = BTreeMap<String, Value>;

/// A request that may ask back, with what its client has answered already.
#[derive(Clone, Copy)]
pub(crate) struct Questions<'a> {
    pub(crate) context: &'a RequestContext<RoleServer>,
    pub(crate) answered: Option<&'a InputResponses>,
    pub(crate) state: Option<&'a str>,
    pub(crate) key: &'a hmac::Key,
}

impl Questions<'_> {
    /// Whether the request came without a handshake.
    pub(crate) fn modern(&self) -> bool {
        self.context.protocol_version().is_some_and(|version| is_modern(&version))
    }

    /// Whether the client said it can answer this method.
    pub(crate) fn declared(&self, method: &str) -> bool {
        let capabilities = self.context.client_capabilities().unwrap_or_default();
        json!(capabilities).get(capability(method)).is_some()
    }

    /// Asks all of these at once. `state` is what a modern client must bring back unchanged for the next round.
    pub(crate) async fn ask(
        &self,
        questions: Vec<Question>,
        state: Option<&str>,
    ) -> Result<Gathered<Answers>, ErrorData> {
        if let Some(missing) = questions.iter().find(|question| !self.declared(question.method)) {
            return Err(self.undeclared(missing.method));
        }
        if !self.modern() {
            return Ok(Gathered::Done(self.ask_now(questions).await?));
        }
        let given =
            |question: &Question| self.answered?.get(question.key).filter(|answer| answer.is_object());
        if questions.iter().all(|question| given(question).is_some()) {
            let answers = questions.iter().filter_map(|q| Some((q.key.to_owned(), given(q)?.clone())));
            return Ok(Gathered::Done(answers.collect()));
        }
        let requests: serde_json::Map<String, Value> =
            questions.into_iter().map(|question| (question.key.to_owned(), question.request())).collect();
        let mut round = json!({"resultType": "input_required", "inputRequests": requests});
        if let Some(state) = state {
            round["requestState"] = self.seal(state).into();
        }
        Ok(Gathered::Asks(typed(round)))
    }

    /// The state of the round before, if the client brought one.
    pub(crate) fn brought(&self) -> Result<Option<String>, ErrorData> {
        let Some(sealed) = self.state else { return Ok(None) };
        let opened = sealed.split_once('.').and_then(|(text, tag)| {
            let (text, tag) = (BASE64.decode(text).ok()?, BASE64.decode(tag).ok()?);
            hmac::verify(self.key, &text, &tag).ok()?;
            String::from_utf8(text).ok()
        });
        opened.map(Some).ok_or_else(|| ErrorData::invalid_params("requestState is not one of ours", None))
    }

    fn seal(&self, state: &str) -> String {
        let tag = hmac::sign(self.key, state.as_bytes());
        format!("{}.{}", BASE64.encode(state), BASE64.encode(tag))
    }

    /// How a server of the request's era turns down a client that cannot answer this method.
    fn undeclared(&self, method: &str) -> ErrorData {
        let capability = capability(method);
        if !self.modern() {
            return ErrorData::invalid_request(format!("Client does not support {capability}"), None);
        }
        let required: ClientCapabilities = typed(json!({capability: {}}));
        ErrorData::missing_required_client_capability(required)
    }

    /// Asks one after the other, as JSON-RPC requests; whether the client can answer is not looked at.
    pub(crate) async fn ask_now(&self, questions: Vec<Question>) -> Result<Answers, ErrorData> {
        let mut answers = Answers::new();
        for question in questions {
            let key = question.key.to_owned();
            let request: ServerRequest = typed(question.request());
            let answer = self.context.peer.send_request(request).await;
            let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
            answers.insert(key, json!(answer));
        }
        Ok(answers)
    }
}

/// A form with these required fields: name and JSON type.
pub(crate) fn elicitation(key: &'static str, message: &str, fields: &[(&str, &str)]) -> Question {
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|(name, kind)| ((*name).to_owned(), json!({"type": kind}))).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    form(key, message, json!({"type": "object", "properties": properties, "required": required}))
}

/// A form.
pub(crate) fn form(key: &'static str, message: &str, schema: Value) -> Question {
    let params = json!({"mode": "form", "message": message, "requestedSchema": schema});
    Question { key, method: "elicitation/create", params }
}

/// Something for the client's model.
pub(crate) fn sampling(key: &'static str, prompt: &str, most: u32) -> Question {
    let message = json!({"role": "user", "content": {"type": "text", "text": prompt}});
    Question {
        key,
        method: "sampling/createMessage",
        params: json!({"messages": [message], "maxTokens": most}),
    }
}

/// Where the client's files are.
pub(crate) fn roots(key: &'static str) -> Question {
    Question { key, method: "roots/list", params: json!({}) }
}

fn capability(method: &str) -> &str {
    match method {
        "elicitation/create" => "elicitation",
        "sampling/createMessage" => "sampling",
        _ => "roots",
    }
}

/// The SDK's type for what is simplest written as JSON.
pub(crate) fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("the fixture's own JSON is wrong: {error}"))
}
