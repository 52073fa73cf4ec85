//! One driver for every server: the same requests in either era, over streamable HTTP or over a pipe, and every message of
//! the answer as it was spelt.

use std::collections::VecDeque;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use crate::gateway::Captured;
use crate::http::{Ask, Head};
use crate::mcp::{Door, LEGACY, MODERN, parsed};
use crate::soon;
use crate::spelt::Spelt;

/// How requests look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// With a handshake.
    Legacy,
    /// Each request for itself.
    Modern,
}

/// A connection to a server, after the handshake if its era has one.
pub struct Wire {
    pub era: Era,
    way: Way,
    ids: u64,
}

enum Way {
    Http { door: Door, session: Option<String>, news: Option<Head> },
    Pipe { _child: Child, stdin: ChildStdin, stdout: Captured, taken: usize, inbox: VecDeque<String> },
}

/// A request whose answer is still coming.
pub struct Call {
    id: u64,
    token: Option<Value>,
    head: Option<Head>,
}

/// A request that has been sent, and nothing more is known of it.
pub struct Sent {
    call: Call,
    answer: Option<JoinHandle<Head>>,
}

impl Wire {
    /// Over streamable HTTP.
    pub async fn http(door: Door, era: Era) -> Self {
        Self::begin(era, Way::Http { door, session: None, news: None }).await
    }

    /// Over the pipes of a program.
    pub async fn pipe(command: &[&str], era: Era) -> Self {
        let mut program = Command::new(command[0]);
        program.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.kill_on_drop(true).spawn().expect("the server starts");
        let stdin = child.stdin.take().expect("piped");
        let stdout = Captured::of(child.stdout.take().expect("piped"));
        Self::begin(era, Way::Pipe { _child: child, stdin, stdout, taken: 0, inbox: VecDeque::new() }).await
    }

    async fn begin(era: Era, way: Way) -> Self {
        let mut wire = Self { era, way, ids: 0 };
        if era == Era::Legacy {
            let hello = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "suite", "version": "1"}});
            let mut call = wire.open("initialize", &hello.to_string()).await;
            if let (Way::Http { session, .. }, Some(head)) = (&mut wire.way, &call.head) {
                *session =
                    head.headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
            }
            wire.next(&mut call).await.expect("an answer to initialize");
            wire.notify("notifications/initialized", json!({})).await;
            if let Way::Http { door, session: Some(session), .. } = &wire.way {
                let head = dressed(door.ask("GET"), Some(session)).open().await;
                if let Way::Http { news, .. } = &mut wire.way {
                    *news = Some(head).filter(|head| head.status == 200);
                }
            }
        }
        wire
    }

    /// Takes the ids of requests from here on, so that two conversations that differ in length stay comparable.
    pub fn count_from(&mut self, id: u64) {
        self.ids = id;
    }

    /// Every message of the answer, the response last.
    pub async fn ask(&mut self, method: &str, params: &str) -> Vec<String> {
        let mut call = self.open(method, params).await;
        let mut messages = Vec::new();
        loop {
            let Some(message) = self.next(&mut call).await else { return messages };
            messages.push(message);
            if is_response(&messages[messages.len() - 1], call.id) {
                return messages;
            }
        }
    }

    /// Sends a request and waits until its answer begins.
    pub async fn open(&mut self, method: &str, params: &str) -> Call {
        let Sent { mut call, answer } = self.send(method, params).await;
        if let Some(answer) = answer {
            call.head = Some(answer.await.expect("an answer"));
        }
        call
    }

    /// Sends a request, with its params as they are spelt and what the era adds to them.
    pub async fn send(&mut self, method: &str, params: &str) -> Sent {
        self.ids += 1;
        let id = self.ids;
        let mut params = Spelt::of(params);
        if self.era == Era::Modern {
            let mut meta = params.get("_meta").cloned().unwrap_or(Spelt::Object(Vec::new()));
            for (name, value) in [
                ("protocolVersion", json!(MODERN)),
                ("clientCapabilities", json!({})),
                ("clientInfo", json!({"name": "suite", "version": "1"})),
            ] {
                meta.set(&format!("io.modelcontextprotocol/{name}"), Spelt::of(&value.to_string()));
            }
            params.set("_meta", meta);
        }
        let known = parsed(&params.to_string());
        let token = known["_meta"].get("progressToken").cloned();
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let answer = match &mut self.way {
            Way::Http { door, session, .. } => {
                let ask = door.post(text);
                let ask = match self.era {
                    Era::Legacy if method == "initialize" => ask,
                    Era::Legacy => dressed(ask, session.as_deref()),
                    Era::Modern => modern(ask, method, &known),
                };
                Some(tokio::spawn(ask.open()))
            }
            Way::Pipe { stdin, .. } => {
                say(stdin, &text).await;
                None
            }
        };
        Sent { call: Call { id, token, head: None }, answer }
    }

    /// The next message that belongs to a call; `None` when there will be none.
    pub async fn next(&mut self, call: &mut Call) -> Option<String> {
        if let Some(head) = &mut call.head {
            let stream = head
                .headers
                .get("content-type")
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
            if stream {
                return head.event().await;
            }
            return call.head.take()?.rest().await.messages().pop();
        }
        soon("a message on the pipe", self.take(|message| belongs(message, call))).await
    }

    /// The next notification of a method that belongs to no call.
    pub async fn news(&mut self, method: &str) -> String {
        soon(&format!("a {method}"), async {
            let wanted = |message: &str| parsed(message)["method"] == method;
            if let Way::Http { news, .. } = &mut self.way {
                let news = news.as_mut().expect("a stream of its own");
                loop {
                    let message = news.event().await.expect("the stream stays open");
                    if wanted(&message) {
                        return message;
                    }
                }
            }
            self.take(wanted).await.expect("the pipe stays open")
        })
        .await
    }

    /// Sends a notification.
    pub async fn notify(&mut self, method: &str, params: Value) {
        let text = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
        match &mut self.way {
            Way::Http { door, session, .. } => {
                let noted = dressed(door.post(text), session.as_deref()).send().await;
                assert_eq!(noted.status, 202, "{method}: {}", noted.text());
            }
            Way::Pipe { stdin, .. } => say(stdin, &text).await,
        }
    }

    /// Gives up on a request, as its era and transport have it.
    pub async fn give_up(&mut self, sent: Sent) {
        match sent.answer {
            Some(answer) if self.era == Era::Modern => answer.abort(),
            _ => self.notify("notifications/cancelled", json!({"requestId": sent.call.id})).await,
        }
    }

    async fn take(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let Way::Pipe { stdout, taken, inbox, .. } = &mut self.way else { return None };
        loop {
            if let Some(at) = inbox.iter().position(|message| wanted(message)) {
                return inbox.remove(at);
            }
            let line =
                stdout.find(|text| text[*taken..].split_once('\n').map(|(line, _)| line.to_owned())).await;
            *taken += line.len() + 1;
            inbox.push_back(line);
        }
    }
}

fn is_response(message: &str, id: u64) -> bool {
    let message = parsed(message);
    message["method"].is_null() && message["id"] == id
}

/// Whether a message on a pipe is part of the answer: the response, progress under its token, or what names no call.
fn belongs(message: &str, call: &Call) -> bool {
    let known = parsed(message);
    match known["method"].as_str() {
        None => known["id"] == call.id,
        Some("notifications/progress") => Some(&known["params"]["progressToken"]) == call.token.as_ref(),
        Some("notifications/subscriptions/acknowledged") => true,
        Some("notifications/resources/updated") => {
            known["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == call.id
        }
        Some("notifications/message") => true,
        Some(_) => false,
    }
}

fn dressed(ask: Ask, session: Option<&str>) -> Ask {
    let ask = ask.header("mcp-protocol-version", LEGACY);
    match session {
        Some(session) => ask.header("mcp-session-id", session),
        None => ask,
    }
}

fn modern(ask: Ask, method: &str, params: &Value) -> Ask {
    let ask = ask.header("mcp-protocol-version", MODERN).header("mcp-method", method);
    let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str);
    match name {
        Some(name) if matches!(method, "tools/call" | "prompts/get" | "resources/read") => {
            ask.header("mcp-name", encoded(name))
        }
        _ => ask,
    }
}

/// A header's value: what is not plain ASCII goes in disguise.
fn encoded(name: &str) -> String {
    if name.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return name.to_owned();
    }
    use base64::Engine as _;
    format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name))
}

async fn say(stdin: &mut ChildStdin, text: &str) {
    stdin.write_all(format!("{text}\n").as_bytes()).await.expect("the server reads");
    stdin.flush().await.expect("the server reads");
}
