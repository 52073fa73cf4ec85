//! A known-good client for the client mode of the official conformance suite, on the official SDK.
//!
//! `conformance-client URL` does at the suite's own server what the scenario named by the environment wants of a client;
//! `conformance-client --through-gateway URL` does the same with a gateway in between, so that what the suite then judges
//! is the gateway's other side. Nothing is checked here: the suite's server does that.

#![expect(clippy::disallowed_methods, reason = "the suite says what to do in the environment")]

use std::future::Future;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientConfig, ClientRequest, CustomRequest, ElicitRequestParams,
    ElicitResult, ErrorData, JsonObject, ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RequestContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::sdk::typed;
use wasmgate_tests::{gateway, gateway::TOKEN};

type Client = RunningService<RoleClient, User>;

const USAGE: &str = "usage: conformance-client [--through-gateway] URL (with MCP_CONFORMANCE_SCENARIO set)";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--through-gateway", url] => {
            let remote = Catalog::new().remote("suite", url, "streamable-http");
            let gw = gateway().catalog(remote).start().await;
            gw.ready(["suite"]).await;
            play(&gw.url("/servers/suite/mcp"), Some(TOKEN)).await;
            gw.stop().await;
        }
        [url] => play(url, None).await,
        _ => panic!("{USAGE}"),
    }
}

/// Plays the scenario to its end.
async fn play(url: &str, token: Option<&str>) {
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").expect(USAGE);
    let client = connect(url, token).await;
    // Where a server says that it can do nothing, meeting it is all there is to do. Where it has tools they are listed
    // first: their schemas say which arguments become headers, and meanwhile the session's own stream opens.
    if client.peer_info().is_some_and(|server| server.capabilities.tools.is_some()) {
        tools(&client).await;
    }
    match scenario.as_str() {
        "initialize" | "json-schema-ref-no-deref" => {}
        "request-metadata" => anything(&client).await,
        "tools_call" => call(&client, "add_numbers", json!({"a": 5, "b": 3})).await,
        "elicitation-sep1034-client-defaults" => {
            call(&client, "test_client_elicitation_defaults", json!({})).await;
        }
        "sse-retry" => call(&client, "test_reconnection", json!({})).await,
        "http-standard-headers" => everything(&client).await,
        "http-custom-headers" => custom_headers(&client).await,
        "http-invalid-tool-headers" => every_tool(&client).await,
        "sep-2322-client-request-state" => request_state(&client).await,
        "json-schema-2020-12-preservation" => schema(&client).await,
        other => panic!("no scenario of this client: {other}"),
    }
    client.cancel().await.expect("a polite end");
}

/// Connects in the version that the suite asks for.
async fn connect(url: &str, token: Option<&str>) -> Client {
    let version = std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_else(|_| "2025-11-25".into());
    let version: ProtocolVersion = typed(version.into());
    let lifecycle = if version.has_initialize() {
        ClientLifecycleMode::Initialize
    } else {
        ClientLifecycleMode::Discover { preferred_versions: vec![version.clone()] }
    };
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let config = match token {
        Some(token) => config.auth_header(token),
        None => config,
    };
    let transport = StreamableHttpClientTransport::from_config(config);
    User(version).serve_with_lifecycle(transport, lifecycle).await.expect("a server")
}

async fn tools(client: &Client) -> Vec<rmcp::model::Tool> {
    client.list_all_tools().await.expect("the tools")
}

async fn call(client: &Client, tool: &str, arguments: Value) {
    client.call_tool(params(tool, arguments)).await.unwrap_or_else(|error| panic!("{tool}: {error}"));
}

fn params(tool: &str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool.to_owned()).with_arguments(typed(arguments))
}

/// Asks for what no server has, so that one request at least is the client's own, whatever the server offers.
async fn anything(client: &Client) {
    let request = ClientRequest::CustomRequest(CustomRequest::new("suite/anything", None));
    // Any answer will do.
    let _ = client.send_request(request).await;
}

/// Uses one of everything that is listed.
async fn everything(client: &Client) {
    every_tool(client).await;
    for resource in client.list_all_resources().await.expect("the resources") {
        let read = typed(json!({"uri": resource.uri}));
        client.read_resource(read).await.expect("a resource");
    }
    for prompt in client.list_all_prompts().await.expect("the prompts") {
        client.get_prompt(typed(json!({"name": prompt.name}))).await.expect("a prompt");
    }
}

async fn every_tool(client: &Client) {
    for tool in tools(client).await {
        call(client, &tool.name, json!({"region": "us-west1"})).await;
    }
}

/// Makes the calls that the suite hands over.
async fn custom_headers(client: &Client) {
    let given = std::env::var("MCP_CONFORMANCE_CONTEXT").expect("a context");
    let given: Value = serde_json::from_str(&given).expect("JSON");
    for one in given["toolCalls"].as_array().expect("calls") {
        call(client, one["name"].as_str().expect("a name"), one["arguments"].clone()).await;
    }
}

/// Answers questions, with another call between a question and its answer.
async fn request_state(client: &Client) {
    let mut asked = params("test_mrtr_echo_state", json!({}));
    let CallToolResponse::InputRequired(question) =
        client.peer().call_tool_once(asked.clone()).await.expect("a question")
    else {
        panic!("no question")
    };
    call(client, "test_mrtr_unrelated", json!({})).await;
    let questions = question.input_requests.unwrap_or_default();
    let yes = json!({"action": "accept", "content": {"confirmed": true}});
    asked.input_responses = Some(questions.into_keys().map(|key| (key, yes.clone())).collect());
    asked.request_state = question.request_state;
    let answer = client.peer().call_tool_once(asked).await.expect("an answer");
    assert!(matches!(answer, CallToolResponse::Complete(_)), "{answer:?}");
    call(client, "test_mrtr_no_state", json!({})).await;
    call(client, "test_mrtr_no_result_type", json!({})).await;
}

/// Gives a schema back as it came.
async fn schema(client: &Client) {
    let tools = tools(client).await;
    let tool = tools.iter().find(|tool| tool.name == "json_schema_2020_12_tool").expect("the tool");
    call(client, "json_schema_echo", json!({"schema": *tool.input_schema})).await;
}

/// Answers what it is asked with what the question suggests.
#[derive(Clone)]
struct User(ProtocolVersion);

impl ClientHandler for User {
    fn get_info(&self) -> ClientConfig {
        typed(json!({
            "protocolVersion": self.0,
            "capabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
            "clientInfo": {"name": "conformance-client", "version": "1.0.0"},
        }))
    }

    fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> impl Future<Output = Result<ElicitResult, ErrorData>> + Send + '_ {
        let schema =
            serde_json::to_value(request).unwrap_or_default()["requestedSchema"]["properties"].take();
        let content: JsonObject = typed::<JsonObject>(schema)
            .into_iter()
            .map(|(name, field)| {
                let value = field.get("default").cloned().unwrap_or(Value::Bool(true));
                (name, value)
            })
            .collect();
        std::future::ready(Ok(typed(json!({"action": "accept", "content": content}))))
    }
}
