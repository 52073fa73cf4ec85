//! What a stage is told about the message under inspection, and what it may leave for its own response phase.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::stage::Party;
use crate::json::Json;
use crate::name::ServerName;

/// What is being done, by value: nothing here needs parsing.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Unique in this process; the request id that logs and errors carry.
    pub id: Arc<str>,
    /// The MCP method, for example `tools/call`.
    pub event: Arc<str>,
    /// The server meant, when the message goes to one.
    pub server: Option<ServerName>,
    /// The tool, prompt or URI meant, by the server's own name.
    pub subject: Option<Arc<str>>,
    /// Who asks.
    pub principal: Arc<str>,
    /// The session it belongs to, where there is one.
    pub session: Option<Arc<str>>,
    /// The client's protocol version.
    pub version: &'static str,
    /// Who began it.
    pub initiator: Party,
}

/// One request and its outcome, as the stages see it.
#[derive(Debug)]
pub struct Exchange {
    /// What is being done.
    pub operation: Operation,
    /// What the client says of itself; `client.name` is read there when somebody asks for it.
    pub client: Option<Json>,
    /// The tool that is called, as its server lists it; `tool.input-schema`, `tool.output-schema` and `tool.annotations` are
    /// read there when somebody asks for them.
    pub tool: Option<Json>,
    /// Open-ended context by name, set before the request phase. Goes before what is read elsewhere.
    pub attributes: Vec<(&'static str, Json)>,
    /// The request as it left the last mutator; set between the phases. `request.params` for the response phase.
    pub sent: Option<Json>,
    /// In the response phase: whether the payload is a JSON-RPC error object and not a result.
    pub failed: bool,
    notes: Mutex<HashMap<Arc<str>, Json>>,
}

impl Exchange {
    /// A new exchange; the notes are empty.
    pub fn new(operation: Operation) -> Self {
        let (client, tool, attributes) = (None, None, Vec::new());
        Self { operation, client, tool, attributes, sent: None, failed: false, notes: Mutex::default() }
    }

    /// What `stage` noted earlier in this exchange.
    pub fn note(&self, stage: &str) -> Option<Json> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).get(stage).cloned()
    }

    /// Keeps a note for `stage`, private to it and to this exchange.
    pub fn put_note(&self, stage: &Arc<str>, value: Json) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(stage), value);
    }

    /// A named piece of context, if there is one of that name.
    pub fn attribute(&self, name: &str) -> Option<Json> {
        if let Some((_, value)) = self.attributes.iter().find(|(known, _)| *known == name) {
            return Some(value.clone());
        }
        if let Some((_, member)) = OF_TOOLS.into_iter().find(|(known, _)| *known == name) {
            return self.tool.as_ref()?.member(member);
        }
        match name {
            CLIENT_NAME => self.client.as_ref()?.member("name"),
            "request.params" => self.sent.clone(),
            "request.arguments" => self.sent.as_ref()?.member("arguments"),
            "response.failed" => Some(Json::of(&self.failed)),
            "protocol.version" => Some(Json::of(self.operation.version)),
            _ => None,
        }
    }

    /// The context that was set before the request phase, all of it.
    pub fn context(&self) -> Vec<(&'static str, Json)> {
        let known = OF_TOOLS.into_iter().map(|(name, _)| name).chain([CLIENT_NAME]);
        let read = known.filter(|name| !self.attributes.iter().any(|(set, _)| set == name));
        let read = read.filter_map(|name| Some((name, self.attribute(name)?)));
        self.attributes.iter().cloned().chain(read).collect()
    }
}

/// What can be known of a tool, and where its server says so.
const OF_TOOLS: [(&str, &str); 3] = [
    ("tool.input-schema", "inputSchema"),
    ("tool.output-schema", "outputSchema"),
    ("tool.annotations", "annotations"),
];
const CLIENT_NAME: &str = "client.name";
