//! A stand-in for the official MCP registry: its endpoints, its paging and its error bodies, over entries that the test
//! brings or over a real dump.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::{build, remote};

/// What the registry answers from; a test may change it while the registry runs.
#[derive(Clone, Default)]
pub struct Entries(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: Vec<Value>,
    asked: Vec<String>,
    /// Answered to everything, when set.
    failure: Option<(u16, String)>,
}

/// A registry that lives as long as the test.
pub struct Official {
    pub address: SocketAddr,
    pub entries: Entries,
}

/// The namespace of what the registry itself says of an entry.
pub const META: &str = "io.modelcontextprotocol.registry/official";

/// The dump of real entries, where it is.
pub fn dump() -> Result<PathBuf, String> {
    let beside = build::root().join("../shared/data");
    let path = std::env::var_os("WASMGATE_DATA").map_or(beside, PathBuf::from).join("registry/servers.json");
    if path.exists() { Ok(path) } else { Err(format!("no {} (set WASMGATE_DATA)", path.display())) }
}

/// Every entry of the dump.
pub fn real_entries() -> Vec<Value> {
    let text = std::fs::read_to_string(dump().expect("the dump is there")).expect("readable");
    let dump: Value = serde_json::from_str(&text).expect("JSON");
    dump["servers"].as_array().expect("a list of servers").clone()
}

/// An entry as the registry wraps it: active, and the latest.
pub fn entry(server: Value) -> Value {
    json!({"server": server, "_meta": {META: {"status": "active", "isLatest": true,
        "publishedAt": "2026-01-02T03:04:05Z", "updatedAt": "2026-01-02T03:04:05Z"}}})
}

/// Starts a registry of these entries.
pub async fn registry(entries: Vec<Value>) -> Official {
    let entries = Entries(Arc::new(Mutex::new(State { entries, ..State::default() })));
    let serving = entries.clone();
    let address = remote::service(move |head, _| serving.answer(head)).await;
    Official { address, entries }
}

impl Official {
    /// A URL of it; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address of a server's latest version.
    pub fn latest(&self, name: &str) -> String {
        self.url(&format!("/v0.1/servers/{}/versions/latest", name.replace('/', "%2F")))
    }
}

impl Entries {
    /// Puts others in their place.
    pub fn set(&self, entries: Vec<Value>) {
        self.state(|state| state.entries = entries);
    }

    /// Answers this to everything, until told otherwise.
    pub fn fail(&self, failure: Option<(u16, &str)>) {
        self.state(|state| state.failure = failure.map(|(status, body)| (status, body.to_owned())));
    }

    /// The paths that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.state(|state| state.asked.clone())
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, head: &str) -> (u16, String) {
        let path = head.split(' ').nth(1).and_then(|rest| rest.lines().next()).unwrap_or("/").to_owned();
        self.state(|state| {
            state.asked.push(path.clone());
            if let Some(failure) = &state.failure {
                return failure.clone();
            }
            let (path, query) = path.split_once('?').unwrap_or((&path, ""));
            let query: Vec<(String, String)> = query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(key, value)| (key.to_owned(), decoded(value)))
                .collect();
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            match parts.as_slice() {
                ["v0" | "v0.1", "servers"] => list(&state.entries, &query),
                ["v0" | "v0.1", "servers", name, "versions"] => versions(&state.entries, &decoded(name)),
                ["v0" | "v0.1", "servers", name, "versions", version] => {
                    one(&state.entries, &decoded(name), &decoded(version))
                }
                _ => problem(404, "Not Found", "endpoint not found"),
            }
        })
    }
}

fn list(entries: &[Value], query: &[(String, String)]) -> (u16, String) {
    let given = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let limit: usize = given("limit").and_then(|limit| limit.parse().ok()).unwrap_or(30);
    if !(1..=100).contains(&limit) {
        return problem(422, "Unprocessable Entity", "expected number <= 100");
    }
    let wanted = |entry: &&Value| {
        let name = entry["server"]["name"].as_str().unwrap_or_default();
        let about = &entry["_meta"][META];
        given("search").is_none_or(|search| name.to_lowercase().contains(&search.to_lowercase()))
            && given("updated_since")
                .is_none_or(|since| about["updatedAt"].as_str().unwrap_or_default() >= since)
            && (given("updated_since").is_some()
                || given("include_deleted") == Some("true")
                || about["status"] != "deleted")
            && match given("version") {
                None => true,
                Some("latest") => about["isLatest"] == true,
                Some(version) => entry["server"]["version"] == version,
            }
    };
    let all: Vec<&Value> = entries.iter().filter(wanted).collect();
    let key = |entry: &Value| {
        format!(
            "{}:{}",
            entry["server"]["name"].as_str().unwrap_or_default(),
            entry["server"]["version"].as_str().unwrap_or_default()
        )
    };
    let start = match given("cursor").filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => match all.iter().position(|entry| key(entry) == cursor) {
            Some(position) => position + 1,
            None => return problem(400, "Bad Request", "Invalid cursor parameter"),
        },
    };
    let page: Vec<&Value> = all.iter().skip(start).take(limit).copied().collect();
    let mut metadata = json!({"count": page.len()});
    if start + page.len() < all.len() {
        metadata["nextCursor"] = json!(page.last().map(|entry| key(entry)));
    }
    (200, json!({"servers": page, "metadata": metadata}).to_string())
}

fn versions(entries: &[Value], name: &str) -> (u16, String) {
    let all: Vec<&Value> = entries.iter().filter(|entry| entry["server"]["name"] == name).collect();
    match all.is_empty() {
        true => (404, json!({"error": "Server not found"}).to_string()),
        false => (200, json!({"servers": all, "metadata": {"count": all.len()}}).to_string()),
    }
}

fn one(entries: &[Value], name: &str, version: &str) -> (u16, String) {
    let same = |entry: &&Value| {
        let latest = version == "latest" && entry["_meta"][META]["isLatest"] == true;
        entry["server"]["name"] == name && (latest || entry["server"]["version"] == version)
    };
    match entries.iter().find(same) {
        Some(entry) => (200, entry.to_string()),
        None => problem(404, "Not Found", "Server not found"),
    }
}

/// RFC 7807, as the registry's framework writes it.
fn problem(status: u16, title: &str, detail: &str) -> (u16, String) {
    (status, json!({"title": title, "status": status, "detail": detail}).to_string())
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%').then(|| tail.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
