//! The server whose faults a test writes itself, beside a good one: `faulty().deadlines("1s", "3s").start().await`.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, fixture};
use crate::{Gateway, Legacy, Running, gateway, soon};

/// The gateway to start.
#[must_use]
pub struct Faulty {
    gateway: Gateway,
    entry: Value,
}

/// A gateway with the server `bad`, which does as it is told, and the server `fx`, which behaves.
pub fn faulty() -> Faulty {
    instead(fixture(&["faulty", "--stdio"]))
}

/// The same with another server in the place of `bad`.
pub fn instead(bad: Value) -> Faulty {
    Faulty { gateway: gateway(), entry: bad }.deadlines("20s", "60s")
}

/// It runs, and `client` asks it.
pub struct Beside {
    pub gw: Running,
    pub client: Legacy,
    notes: PathBuf,
}

impl Faulty {
    /// How long calls of `bad` may be silent, and how long they may take. A start may take 2 s.
    pub fn deadlines(mut self, idle: &str, total: &str) -> Self {
        self.entry["deadlines"] = json!({"initialize": "2s", "idle": idle, "total": total});
        self
    }

    /// The gateway says everything, or does something else.
    pub fn with(mut self, change: impl FnOnce(Gateway) -> Gateway) -> Self {
        self.gateway = change(self.gateway);
        self
    }

    /// Starts it; the good one is ready then.
    pub async fn begin(self) -> Beside {
        let Self { gateway, mut entry } = self;
        let notes = gateway.home().join("notes");
        if entry["type"] == "process" {
            entry["env"] = json!([{"name": "FIXTURE_NOTES", "value": notes}]);
        }
        let catalog = Catalog::new().entry("bad", entry).fixture("fx", &["server", "--stdio"]);
        let gw = gateway.catalog(catalog).servers(["bad", "fx"]).start().await;
        gw.ready(["fx"]).await;
        let client = gw.legacy().await;
        Beside { gw, client, notes }
    }

    /// Starts it; both are ready then.
    pub async fn start(self) -> Beside {
        let beside = self.begin().await;
        beside.gw.ready(["bad"]).await;
        beside
    }
}

impl Beside {
    /// How often the tool has been called, as the server counts.
    pub fn calls_of(&self, tool: &str) -> usize {
        let notes = std::fs::read_to_string(&self.notes).unwrap_or_default();
        notes.lines().filter(|line| *line == tool).count()
    }

    /// Waits until the server has got so many calls of the tool.
    pub async fn got(&self, tool: &str, count: usize) {
        soon(&format!("{count} calls of {tool}"), async {
            while self.calls_of(tool) < count {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// The result of a call.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.client.call(&format!("bad__{tool}"), arguments).await
    }

    /// The error of a call.
    pub async fn fails(&self, tool: &str, arguments: Value) -> Value {
        self.client.call_fails(&format!("bad__{tool}"), arguments).await
    }

    /// A call that goes on meanwhile and will fail.
    pub fn failing(&self, tool: &str) -> JoinHandle<Value> {
        let (client, tool) = (self.client.clone(), format!("bad__{tool}"));
        tokio::spawn(async move { client.call_fails(&tool, json!({})).await })
    }

    /// What comes when the server says these lines: the whole response.
    pub async fn says(&self, lines: &[&str]) -> Value {
        self.client.request("tools/call", json!({"name": "bad__say", "arguments": {"lines": lines}})).await
    }

    /// The good server serves.
    pub async fn the_good_one_is_fine(&self) {
        let answer = self.client.call("fx__text", json!({"text": "fine"})).await;
        assert_eq!(answer["content"][0]["text"], "fine");
    }

    /// So does the bad one, in the same process as before.
    pub async fn both_are_fine(&self) {
        let answer = self.says(&[FINE]).await;
        assert_eq!(answer["result"]["ok"], true, "{answer}");
        self.the_good_one_is_fine().await;
    }

    /// The process of the bad one.
    pub async fn pid(&self) -> u32 {
        self.call("pid", json!({})).await["content"][0]["text"]
            .as_str()
            .and_then(|pid| pid.parse().ok())
            .expect("a pid")
    }

    /// Waits until it answers again; its new process.
    pub async fn back(&self) -> u32 {
        soon("the server's return", async {
            loop {
                let answer =
                    self.client.request("tools/call", json!({"name": "bad__pid", "arguments": {}})).await;
                if let Some(pid) = answer["result"]["content"][0]["text"].as_str() {
                    return pid.parse().expect("a pid");
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await
    }

    /// The events of the gateway's log with this message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        logged(&self.gw.stderr.text(), message)
    }
}

/// The events of a log with this message.
pub fn logged(log: &str, message: &str) -> Vec<Value> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["message"] == message).collect()
}

/// A line that answers the call.
pub const FINE: &str = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"ok":true}}"#;

/// Asserts the stable code of an error that the gateway made.
#[track_caller]
pub fn is(error: &Value, code: &str) {
    assert_eq!(error["data"]["code"], code, "{error}");
}
