//! MCP over plain HTTP, one layer above [`crate::http`]: a legacy session and the stateless modern requests, with every
//! byte in reach. For what a well-behaved client does, tests use rmcp or the Python SDK instead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::http::{Answer, Ask, Head};

/// The newest version of the era with sessions.
pub const LEGACY: &str = "2025-11-25";
/// The version of the stateless era.
pub const MODERN: &str = "2026-07-28";

/// Where and as whom to ask.
#[derive(Clone)]
pub struct Door {
    pub address: SocketAddr,
    pub path: String,
    pub token: Option<String>,
}

impl Door {
    /// A POST with the headers that every client sends.
    pub fn post(&self, body: impl Into<bytes::Bytes>) -> Ask {
        self.ask("POST").header("content-type", "application/json").body(body)
    }

    /// Any method, with the token if there is one.
    pub fn ask(&self, method: &str) -> Ask {
        let ask = Ask::new(self.address, method, &self.path)
            .header("accept", "application/json, text/event-stream");
        match &self.token {
            Some(token) => ask.header("authorization", format!("Bearer {token}")),
            None => ask,
        }
    }
}

/// A session of a legacy client.
#[derive(Clone)]
pub struct Legacy {
    pub door: Door,
    pub version: String,
    pub session: Option<String>,
    pub initialized: Value,
    ids: Arc<AtomicU64>,
}

impl Legacy {
    /// Shakes hands in `version`.
    pub async fn connect(door: Door, version: &str) -> Self {
        Self::able(door, version, json!({})).await
    }

    /// Shakes hands as a client with these capabilities.
    pub async fn able(door: Door, version: &str, capabilities: Value) -> Self {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "suite", "version": "1"}}});
        let answer = door.post(hello.to_string()).send().await;
        assert_eq!(answer.status, 200, "initialize: {}", answer.text());
        let session = answer.header("mcp-session-id").map(ToOwned::to_owned);
        let initialized = only(&answer)["result"].clone();
        let version = initialized["protocolVersion"].as_str().expect("a version").to_owned();
        let client = Self { door, version, session, initialized, ids: Arc::new(AtomicU64::new(1)) };
        let noted = client.notify("notifications/initialized", json!({})).await;
        assert_eq!(noted.status, 202, "notifications/initialized: {}", noted.text());
        client
    }

    /// The same session, asked elsewhere.
    #[must_use]
    pub fn at(&self, door: Door) -> Self {
        Self { door, ..self.clone() }
    }

    /// A POST of this session, for any body.
    pub fn post(&self, body: impl Into<bytes::Bytes>) -> Ask {
        self.dress(self.door.post(body))
    }

    /// Adds what a session adds to every request.
    pub fn dress(&self, ask: Ask) -> Ask {
        let ask = ask.header("mcp-protocol-version", &self.version);
        match &self.session {
            Some(session) => ask.header("mcp-session-id", session),
            None => ask,
        }
    }

    /// The next unused request id.
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub async fn notify(&self, method: &str, params: Value) -> Answer {
        self.post(json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()).send().await
    }

    /// The whole JSON-RPC answer, notifications before it dropped.
    pub async fn request(&self, method: &str, params: Value) -> Value {
        self.messages(method, params).await.pop().unwrap_or_else(|| panic!("{method}: no answer"))
    }

    /// Every message of the answer, in order.
    pub async fn messages(&self, method: &str, params: Value) -> Vec<Value> {
        let answer = self.post(self.body(self.next_id(), method, &params)).send().await;
        answer.messages().iter().map(|text| parsed(text)).collect()
    }

    /// The answer while it comes, and the id it will have.
    pub async fn open(&self, method: &str, params: Value) -> (u64, Head) {
        let id = self.next_id();
        (id, self.post(self.body(id, method, &params)).open().await)
    }

    /// Asks, and gives `answer`'s answer to every question that comes before the response.
    pub async fn converse(&self, method: &str, params: Value, answer: impl Fn(&Value) -> Said) -> Talk {
        let (id, head) = self.open(method, params).await;
        let is_stream = head.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        if !is_stream {
            return Talk { asked: Vec::new(), response: only(&head.rest().await) };
        }
        let (mut head, mut asked) = (head, Vec::new());
        while let Some(event) = head.event().await {
            let message = parsed(&event);
            if message["id"] == id && message.get("method").is_none() {
                return Talk { asked, response: message };
            }
            if message.get("id").is_some() {
                self.answer(&message["id"], answer(&message)).await;
                asked.push(message);
            }
        }
        panic!("{method}: the stream ended without a response after {asked:?}")
    }

    /// Answers a question of the server.
    pub async fn answer(&self, id: &Value, said: Said) {
        let (kind, said) = match said {
            Ok(result) => ("result", result),
            Err(error) => ("error", error),
        };
        let taken = self.post(json!({"jsonrpc": "2.0", "id": id, kind: said}).to_string()).send().await;
        assert_eq!(taken.status, 202, "an answer of the client: {}", taken.text());
    }

    fn body(&self, id: u64, method: &str, params: &Value) -> String {
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
    }

    /// The result of a tool call, or a failed test.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        result(self.request("tools/call", json!({"name": tool, "arguments": arguments})).await)
    }

    /// The error of a tool call, or a failed test.
    pub async fn call_fails(&self, tool: &str, arguments: Value) -> Value {
        error(self.request("tools/call", json!({"name": tool, "arguments": arguments})).await)
    }

    /// Sends params as they are spelt, and gives the answer as it was spelt.
    pub async fn raw_call(&self, params: &str) -> String {
        let id = self.next_id();
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#);
        self.post(body).send().await.messages().pop().expect("an answer")
    }

    /// All pages of a list: its items, and the number of pages.
    pub async fn list(&self, method: &str, key: &str) -> (Vec<Value>, usize) {
        let (mut items, mut pages, mut params) = (Vec::new(), 0, json!({}));
        loop {
            let page = result(self.request(method, params).await);
            items.extend(
                page[key].as_array().unwrap_or_else(|| panic!("{method}: no {key} in {page}")).clone(),
            );
            pages += 1;
            match page.get("nextCursor") {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return (items, pages),
            }
        }
    }

    /// The names of all tools, in order.
    pub async fn tool_names(&self) -> Vec<String> {
        names(&self.list("tools/list", "tools").await.0)
    }
}

/// What a client says to a question: a result or an error.
pub type Said = Result<Value, Value>;

/// A request with all that was asked before its response.
pub struct Talk {
    pub asked: Vec<Value>,
    pub response: Value,
}

/// A client of the stateless era.
#[derive(Clone)]
pub struct Modern {
    pub door: Door,
    /// What it declares on every request.
    pub capabilities: Value,
    ids: Arc<AtomicU64>,
}

impl Modern {
    pub fn new(door: Door) -> Self {
        Self { door, capabilities: json!({}), ids: Arc::new(AtomicU64::new(1)) }
    }

    /// The same client with these capabilities.
    #[must_use]
    pub fn declaring(self, capabilities: Value) -> Self {
        Self { capabilities, ..self }
    }

    /// The request as every modern client sends it; tests then break one thing.
    pub fn ask(&self, method: &str, params: Value) -> Ask {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut params = with_meta(params);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        let name =
            ["name", "uri", "taskId"].iter().find_map(|key| params[key].as_str().map(ToOwned::to_owned));
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let ask = self
            .door
            .post(body.to_string())
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method);
        match name {
            Some(name) if NAMED.contains(&method) => ask.header("mcp-name", name),
            _ => ask,
        }
    }

    /// The whole JSON-RPC answer.
    pub async fn request(&self, method: &str, params: Value) -> Value {
        only(&self.ask(method, params).send().await)
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        result(self.request("tools/call", json!({"name": tool, "arguments": arguments})).await)
    }

    /// Asks, and asks again with `answer`'s answers as long as the result asks for input.
    pub async fn converse(&self, method: &str, params: Value, answer: impl Fn(&Value) -> Said) -> Talk {
        let (mut params, mut asked) = (params, Vec::new());
        loop {
            let response = self.request(method, params.clone()).await;
            if response["result"]["resultType"] != "input_required" {
                return Talk { asked, response };
            }
            params = retry(params, &response["result"], &answer);
            asked.extend(questions(&response["result"]));
        }
    }
}

/// The questions of a result that asks for input.
pub fn questions(result: &Value) -> Vec<Value> {
    result["inputRequests"].as_object().map(|all| all.values().cloned().collect()).unwrap_or_default()
}

/// The request that answers a result that asks for input.
pub fn retry(mut params: Value, asks: &Value, answer: impl Fn(&Value) -> Said) -> Value {
    let answers = asks["inputRequests"].as_object().into_iter().flatten();
    params["inputResponses"] = answers
        .map(|(key, question)| (key.clone(), answer(question).expect("this era knows results alone")))
        .collect::<serde_json::Map<String, Value>>()
        .into();
    if let Some(state) = asks.get("requestState") {
        params["requestState"] = state.clone();
    }
    params
}

/// Methods that repeat a name, URI or id in a header.
const NAMED: [&str; 6] =
    ["tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel"];

/// Adds the modern per-request members to `_meta`, keeping what is there.
pub fn with_meta(mut params: Value) -> Value {
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "suite", "version": "1"});
    params
}

/// The last message of an answer: the response.
#[track_caller]
pub fn only(answer: &Answer) -> Value {
    let messages = answer.messages();
    let last =
        messages.last().unwrap_or_else(|| panic!("no message in an answer of status {}", answer.status));
    parsed(last)
}

#[track_caller]
pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}

/// The `result` of a response, or a failed test.
#[track_caller]
pub fn result(response: Value) -> Value {
    response.get("result").cloned().unwrap_or_else(|| panic!("no result: {response}"))
}

/// The `error` of a response, or a failed test.
#[track_caller]
pub fn error(response: Value) -> Value {
    response.get("error").cloned().unwrap_or_else(|| panic!("no error: {response}"))
}

/// The `name` of each item.
pub fn names(items: &[Value]) -> Vec<String> {
    items.iter().filter_map(|item| item["name"].as_str()).map(ToOwned::to_owned).collect()
}
