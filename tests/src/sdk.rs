//! The official Rust SDK's client, driven by the same steps as the other third-party clients; see `tests/peers/client.py`
//! for both arguments.

#![expect(deprecated, reason = "the legacy eras still ask for sampling and roots, and subscribe")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
    ElicitRequestParams, ElicitResult, ErrorData, ListRootsResult, ProgressNotificationParam,
    ResourceUpdatedNotificationParam, ServerNotification, SubscriptionFilter,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt as _, NotificationContext, RequestContext, RunningService,
    ServiceError,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::soon;

/// Runs steps in the Rust SDK's client. One outcome a step.
pub async fn rust_client(target: Value, steps: Value) -> Vec<Value> {
    let (user, heard) = User::new(&target);
    let lifecycle = match target["mode"].as_str() {
        Some("legacy") => ClientLifecycleMode::Initialize,
        Some("auto") | None => ClientLifecycleMode::Auto {
            preferred_versions: vec![typed("2026-07-28".into())],
            legacy_version: None,
        },
        Some(version) => ClientLifecycleMode::Discover { preferred_versions: vec![typed(version.into())] },
    };
    let client = if target["kind"] == "stdio" {
        let words: Vec<String> = typed(target["command"].clone());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .envs(typed::<std::collections::BTreeMap<String, String>>(target["env"].clone()));
        let transport = TokioChildProcess::new(command).expect("the gateway starts");
        user.serve_with_lifecycle(transport, lifecycle).await
    } else {
        let config = StreamableHttpClientTransportConfig::with_uri(target["url"].as_str().expect("a URL"));
        let config = config.auth_header(target["token"].as_str().expect("a token"));
        user.serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), lifecycle).await
    };
    let mut visit = Visit { client: client.expect("a server"), heard };
    let mut outcomes = Vec::new();
    for step in steps.as_array().expect("steps") {
        let what = format!("the Rust client's step {step}");
        outcomes.push(match soon(&what, visit.step(step)).await {
            Ok(value) => json!({"ok": value}),
            Err(ServiceError::McpError(error)) => {
                json!({"error": {"code": error.code, "message": error.message}})
            }
            Err(error) => json!({"error": {"code": null, "message": error.to_string()}}),
        });
    }
    visit.client.cancel().await.expect("a polite end");
    outcomes
}

struct Visit {
    client: RunningService<RoleClient, User>,
    heard: mpsc::UnboundedReceiver<Heard>,
}

enum Heard {
    Progress(ProgressNotificationParam),
    Updated(String),
}

impl Visit {
    async fn step(&mut self, step: &Value) -> Result<Value, ServiceError> {
        let client = &self.client;
        Ok(match step["do"].as_str().expect("what to do") {
            "server" => {
                let server = client.peer_info().expect("a server");
                json!({"version": server.protocol_version, "capabilities": server.capabilities,
                    "instructions": server.instructions})
            }
            "tools" => self.tools(step).await?,
            "prompts" => json!({"prompts": client.list_all_prompts().await?}),
            "resources" => json!({"resources": client.list_all_resources().await?}),
            "templates" => json!({"resourceTemplates": client.list_all_resource_templates().await?}),
            "prompt" => plain(client.get_prompt(only(step, &["name", "arguments"])).await?),
            "read" => plain(client.read_resource(only(step, &["uri"])).await?),
            "call" => plain(self.call(step).await?),
            "complete" => self.complete(step).await?,
            "progress" => self.progress(step).await?,
            "cancel" => self.cancel(step).await?,
            "ask" => self.ask(step).await?,
            "subscribe" => self.subscribe(step).await?,
            other => panic!("the Rust client cannot {other}"),
        })
    }

    /// The tools, once the one named is among them: servers may add some after their start.
    async fn tools(&self, step: &Value) -> Result<Value, ServiceError> {
        loop {
            let tools = self.client.list_all_tools().await?;
            let has = step["has"].as_str().is_none_or(|name| tools.iter().any(|tool| tool.name == name));
            if has {
                return Ok(json!({"tools": tools}));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn call(&self, step: &Value) -> Result<CallToolResult, ServiceError> {
        self.client.call_tool(only(step, &["name", "arguments"])).await
    }

    async fn complete(&self, step: &Value) -> Result<Value, ServiceError> {
        let mut reference = step["ref"].clone();
        reference["type"] = if reference["name"].is_string() { "ref/prompt" } else { "ref/resource" }.into();
        let params = typed(json!({"ref": reference, "argument": step["argument"]}));
        Ok(plain(self.client.peer().complete(params).await?))
    }

    /// Calls a tool that after each event waits for `release`, which is called only once that event has come.
    async fn progress(&mut self, step: &Value) -> Result<Value, ServiceError> {
        let (mut events, mut ended, mut last) = (Vec::new(), false, false);
        let peer = self.client.peer().clone();
        let call = peer.call_tool_once(only(step, &["name", "arguments"]));
        tokio::pin!(call);
        // This SDK tells of events beside the calls, so the last one may be told after the result.
        while !(ended && last) {
            tokio::select! {
                heard = self.heard.recv() => {
                    let Some(Heard::Progress(event)) = heard else { continue };
                    events.push(json!([event.progress, event.total, event.message]));
                    last = event.total.is_none_or(|total| event.progress >= total);
                    if !last {
                        let release = step["release"].as_str().expect("a tool").to_owned();
                        self.client.call_tool(CallToolRequestParams::new(release)).await?;
                    }
                }
                result = &mut call, if !ended => {
                    result?;
                    ended = true;
                }
            }
        }
        Ok(json!({"events": events}))
    }

    /// Gives up on a call that has certainly reached the server, and asks the server whether it heard.
    async fn cancel(&self, step: &Value) -> Result<Value, ServiceError> {
        let counted = |tool: &Value| typed(json!({"name": tool, "arguments": {"count": 1}}));
        {
            let given_up = self.client.peer().call_tool_once(only(step, &["name"]));
            tokio::select! {
                ended = given_up => panic!("the call ended by itself: {ended:?}"),
                started = self.client.call_tool(counted(&step["started"])) => { started?; }
            }
        }
        Ok(plain(self.client.call_tool(counted(&step["cancelled"])).await?))
    }

    /// Calls a tool that has questions, and says what was asked beside what it came to.
    async fn ask(&self, step: &Value) -> Result<Value, ServiceError> {
        self.client.service().questions.lock().expect("a lock").clear();
        let result = plain(self.call(step).await?);
        let questions = self.client.service().questions.lock().expect("a lock").clone();
        Ok(json!({"questions": questions, "result": result}))
    }

    /// Waits for news of a resource that a tool makes, and says of which.
    async fn subscribe(&mut self, step: &Value) -> Result<Value, ServiceError> {
        let uri = step["uri"].as_str().expect("a URI").to_owned();
        let legacy = self.client.peer_info().is_some_and(|server| server.protocol_version.has_initialize());
        if !legacy {
            let filter: SubscriptionFilter = typed(json!({"resourceSubscriptions": [uri]}));
            let mut news = self.client.peer().listen(filter).await?;
            self.call(&step["trigger"]).await?;
            let Some(ServerNotification::ResourceUpdatedNotification(updated)) = news.next().await? else {
                panic!("other news than that of the resource")
            };
            news.cancel().await?;
            return Ok(updated.params.uri.into());
        }
        self.client.peer().subscribe(typed(json!({"uri": uri}))).await?;
        self.call(&step["trigger"]).await?;
        let updated = loop {
            if let Some(Heard::Updated(updated)) = self.heard.recv().await {
                break updated;
            }
        };
        self.client.peer().unsubscribe(typed(json!({"uri": uri}))).await?;
        Ok(updated.into())
    }
}

/// Who sits before the client: answers what the target has an answer for, and remembers what was asked.
struct User {
    answers: Value,
    questions: Arc<Mutex<Vec<Value>>>,
    tell: mpsc::UnboundedSender<Heard>,
}

impl User {
    fn new(target: &Value) -> (Self, mpsc::UnboundedReceiver<Heard>) {
        let (tell, heard) = mpsc::unbounded_channel();
        (Self { answers: target.clone(), questions: Arc::default(), tell }, heard)
    }

    fn answer<T: DeserializeOwned>(&self, kind: &str, method: &str, params: Value) -> Result<T, ErrorData> {
        self.questions.lock().expect("a lock").push(json!({"method": method, "params": params}));
        Ok(typed(self.answers[kind].clone()))
    }
}

impl ClientHandler for User {
    fn get_info(&self) -> ClientConfig {
        let able = ["elicitation", "sampling", "roots"].iter().filter(|kind| !self.answers[**kind].is_null());
        let able: serde_json::Map<String, Value> = able.map(|kind| ((*kind).to_owned(), json!({}))).collect();
        typed(json!({"protocolVersion": "2025-11-25", "capabilities": able,
            "clientInfo": {"name": "suite", "version": "1"}}))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.answer("elicitation", "elicitation/create", plain(request))
    }

    async fn create_message(
        &self,
        request: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        self.answer("sampling", "sampling/createMessage", plain(request))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        self.answer("roots", "roots/list", Value::Null)
    }

    async fn on_progress(&self, event: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let _ = self.tell.send(Heard::Progress(event));
    }

    async fn on_resource_updated(
        &self,
        event: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.tell.send(Heard::Updated(event.uri));
    }
}

/// These members of a step, as the SDK's type for params.
fn only<T: DeserializeOwned>(step: &Value, members: &[&str]) -> T {
    let members = members.iter().filter_map(|name| Some(((*name).to_owned(), step.get(*name)?.clone())));
    typed(Value::Object(members.collect()))
}

fn plain(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("JSON")
}

/// The SDK's type for what is simplest written as JSON.
pub fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("the suite's own JSON is wrong: {error}"))
}
