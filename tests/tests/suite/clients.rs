//! Third-party clients at the gateway's door, third-party servers behind it: every client does the same steps, in every
//! era and over every transport it speaks. What a server of the third party lacks (a call that waits, so that progress and
//! cancellation are proved by order and not by time), the fixture has.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::gateway::TOKEN;
use wasmgate_tests::mcp::{LEGACY, MODERN};
use wasmgate_tests::peers::{self, inspector, ok, python_client, text, typescript_client};
use wasmgate_tests::sdk::rust_client;
use wasmgate_tests::{Gateway, Running, gateway, process, require, soon};

/// A client, as its makers publish it.
#[derive(Clone, Copy, Debug)]
enum Sdk {
    Python,
    TypeScript1,
    TypeScript2,
    Rust,
}

impl Sdk {
    async fn visit(self, mut target: Value, steps: Value) -> Vec<Value> {
        match self {
            Self::Python => python_client(target, steps).await,
            Self::TypeScript1 => {
                target["sdk"] = "v1".into();
                typescript_client(target, steps).await
            }
            Self::TypeScript2 => {
                target["sdk"] = "v2".into();
                typescript_client(target, steps).await
            }
            Self::Rust => rust_client(target, steps).await,
        }
    }
}

/// A way in, and what the client insists on.
type Way = (&'static str, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_works_with_third_party_servers() {
    works(
        Sdk::Python,
        &[("streaming", "legacy"), ("streaming", MODERN), ("sse", "legacy"), ("stdio", "auto")],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_typescript_sdk_works_with_third_party_servers() {
    works(Sdk::TypeScript1, &[("streaming", "legacy"), ("sse", "legacy"), ("stdio", "legacy")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_typescript_sdk_works_with_third_party_servers() {
    works(Sdk::TypeScript2, &[("streaming", "legacy"), ("streaming", MODERN), ("stdio", "auto")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_works_with_third_party_servers() {
    works(Sdk::Rust, &[("streaming", "legacy"), ("streaming", "auto"), ("stdio", MODERN)]).await;
}

async fn works(sdk: Sdk, ways: &[Way]) {
    require!(peers::python().await);
    require!(peers::node().await);
    for (transport, mode) in ways {
        eprintln!("{sdk:?}, {mode}, over {transport}");
        let everything = peers::everything().await;
        let time = peers::python().await.expect("checked").join("mcp-server-time");
        let catalog = Catalog::new()
            .process("everything", &["node", &everything])
            .process("time", &[time.to_str().expect("UTF-8")])
            .fixture("fx", &["server", "--stdio"]);
        let path = if *transport == "sse" { "/sse" } else { "/mcp" };
        let entry = Entry::open(gateway().catalog(catalog).transport(transport), path).await;
        let (names, steps): (Vec<_>, Vec<_>) = errands().into_iter().unzip();
        let outcomes = sdk.visit(entry.target(mode), json!(steps)).await;
        let outcomes: BTreeMap<&str, Value> = names.into_iter().zip(outcomes).collect();
        check(&outcomes, transport, mode);
        let steps: Vec<&Value> = ok(&outcomes["progress"])["events"]
            .as_array()
            .expect("events")
            .iter()
            .map(|event| &event[2])
            .collect();
        // Both TypeScript SDKs put a notification off until they have read what came with it, and forget who wants to hear
        // of progress with the result: the last step is not told when it came together with that.
        let certain = if matches!(sdk, Sdk::TypeScript1 | Sdk::TypeScript2) { 2 } else { 3 };
        assert!(
            steps.len() >= certain
                && steps.iter().zip(["step 1", "step 2", "step 3"]).all(|(step, said)| *step == said),
            "{steps:?}"
        );
        entry.close().await;
    }
}

/// What every client does, each under a name.
fn errands() -> Vec<(&'static str, Value)> {
    let call = peers::call;
    vec![
        // Over stdio the client is there before the servers are: a call waits for its server, a list does not.
        ("echo", call("everything__echo", json!({"message": "hello"}))),
        ("time", call("time__get_current_time", json!({"timezone": "Asia/Tokyo"}))),
        ("failing", call("fx__fail", json!({}))),
        ("unknown", call("fx__no-such-tool", json!({}))),
        ("server", json!({"do": "server"})),
        ("tools", json!({"do": "tools"})),
        ("prompts", json!({"do": "prompts"})),
        ("resources", json!({"do": "resources"})),
        ("templates", json!({"do": "templates"})),
        (
            "prompt",
            json!({"do": "prompt", "name": "everything__args-prompt", "arguments": {"city": "Paris"}}),
        ),
        ("document", json!({"do": "read", "uri": "demo://resource/static/document/architecture.md"})),
        ("template", json!({"do": "read", "uri": "demo://resource/dynamic/text/7"})),
        (
            "completion",
            json!({"do": "complete", "ref": {"name": "everything__completable-prompt"}, "argument": {"name": "department", "value": "S"}}),
        ),
        (
            "progress",
            json!({"do": "progress", "name": "fx__progress", "release": "fx__release", "arguments": {"steps": 3}}),
        ),
        (
            "cancel",
            json!({"do": "cancel", "name": "fx__slow", "started": "fx__wait_started", "cancelled": "fx__wait_cancelled"}),
        ),
        (
            "news",
            json!({"do": "subscribe", "uri": "demo://resource/dynamic/text/7", "trigger": {"name": "everything__toggle-subscriber-updates"}}),
        ),
    ]
}

fn check(outcomes: &BTreeMap<&str, Value>, transport: &str, mode: &str) {
    let of = |name: &str| ok(&outcomes[name]);
    let version = of("server")["version"].as_str();
    if mode == "legacy" {
        assert!(version.is_none_or(|version| version <= LEGACY), "{version:?}");
    } else {
        assert_eq!(version, Some(MODERN));
    }
    assert_eq!(text(of("echo")), "Echo: hello");
    assert!(text(of("time")).contains("+09:00"), "{}", of("time"));
    assert_eq!((text(of("failing")), &of("failing")["isError"]), ("it did not work", &json!(true)));
    assert_eq!(outcomes["unknown"]["error"]["code"], -32602, "{}", outcomes["unknown"]);
    let names = |list: &Value| list.to_string().chars().take(2000).collect::<String>();
    // This server has more for clients that it can ask, and a gateway of one client alone may offer to be asked.
    let everything = if transport == "stdio" { 12 + 4 } else { 12 };
    let count = |list: &str, key: &str| of(list)[key].as_array().map(Vec::len);
    assert_eq!(count("tools", "tools"), Some(everything + 2 + 17), "{}", names(of("tools")));
    assert_eq!(count("prompts", "prompts"), Some(4 + 5), "{}", names(of("prompts")));
    assert_eq!(count("resources", "resources"), Some(7 + 5), "{}", of("resources"));
    assert_eq!(count("templates", "resourceTemplates"), Some(2 + 1), "{}", of("templates"));
    assert_eq!(of("prompt")["messages"][0]["content"]["text"], "What's weather in Paris?");
    assert!(of("document")["contents"][0]["text"].as_str().is_some_and(|text| text.contains("# ")));
    assert_eq!(of("template")["contents"][0]["uri"], "demo://resource/dynamic/text/7");
    assert_eq!(of("completion")["completion"]["values"], json!(["Sales", "Support"]));
    assert_eq!(text(of("cancel")), "1", "the server heard the cancellation");
    assert_eq!(of("news"), "demo://resource/dynamic/text/7");
}

/// What a client answers, where it can be asked.
fn answers(target: &mut Value) {
    target["elicitation"] = json!({"action": "accept", "content": {"name": "Ada", "check": true}});
    target["sampling"] = json!({"role": "assistant", "model": "made-up", "content": {"type": "text", "text": "a good answer"}});
    target["roots"] = json!({"roots": [{"uri": "file:///home/ada", "name": "home"}]});
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_answers_what_a_third_party_server_asks() {
    require!(peers::python().await);
    require!(peers::node().await);
    let (url, _server) = peers::everything_over_http().await;
    let everything = peers::everything().await;
    let catalog = Catalog::new()
        .remote("far", &url, "streamable-http")
        .process("near", &["node", &everything])
        .process("shared", &["node", &everything]);
    let config = "servers: {near: {maxInFlight: 1}}\n";
    let gw = gateway().catalog(catalog).config(config).start().await;
    gw.ready(["far", "near", "shared"]).await;
    for sdk in [Sdk::Python, Sdk::TypeScript1, Sdk::TypeScript2, Sdk::Rust] {
        for mode in ["legacy", MODERN] {
            if matches!(sdk, Sdk::TypeScript1) && mode == MODERN {
                continue;
            }
            for server in ["far", "near"] {
                eprintln!("{sdk:?}, {mode}, {server}");
                let mut target = at(&gw, &format!("/servers/{server}/mcp"), mode);
                answers(&mut target);
                answers_all(&sdk.visit(target, json!(questions(""))).await);
            }
        }
    }
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_answers_over_a_pipe_of_its_own() {
    require!(peers::python().await);
    require!(peers::node().await);
    for (sdk, mode) in [
        (Sdk::Python, "auto"),
        (Sdk::TypeScript1, "legacy"),
        (Sdk::TypeScript2, "auto"),
        (Sdk::Rust, "legacy"),
    ] {
        eprintln!("{sdk:?}, {mode}");
        let everything = peers::everything().await;
        let catalog = Catalog::new()
            .process("everything", &["node", &everything])
            .fixture("fx", &["server", "--stdio"]);
        let entry = Entry::open(gateway().catalog(catalog).transport("stdio"), "").await;
        let mut target = entry.target(mode);
        answers(&mut target);
        // The client is there before the servers are: this call waits, and then the server's tools are known.
        // It adds those that ask once it has heard what the client can be asked.
        let mut steps = vec![
            peers::call("everything__echo", json!({"message": "hello"})),
            json!({"do": "tools", "has": "everything__trigger-elicitation-request"}),
            json!({"do": "tools", "has": "everything__trigger-sampling-request"}),
            json!({"do": "tools", "has": "everything__get-roots-list"}),
        ];
        let before = steps.len();
        steps.extend(questions("everything__"));
        answers_all(&sdk.visit(target, json!(steps)).await[before..]);
        entry.close().await;
    }
}

fn questions(prefix: &str) -> Vec<Value> {
    let ask = |tool: &str, arguments: Value| json!({"do": "ask", "name": format!("{prefix}{tool}"), "arguments": arguments});
    vec![
        ask("trigger-elicitation-request", json!({})),
        ask("trigger-sampling-request", json!({"prompt": "why", "maxTokens": 10})),
        ask("get-roots-list", json!({})),
        ask("trigger-elicitation-request", json!({})),
    ]
}

/// Each question was asked once, as the server put it, and each answer came to the server.
#[track_caller]
fn answers_all(outcomes: &[Value]) {
    // This server asks for roots whenever it likes, shortly after the handshake.
    let asked = |outcome: &Value, method: &str| -> Vec<Value> {
        let all = ok(outcome)["questions"].as_array().expect("questions").iter();
        assert!(
            all.clone().all(|asked| [method, "roots/list"].iter().any(|known| asked["method"] == *known)),
            "{outcome}"
        );
        all.filter(|asked| asked["method"] == method).map(|asked| asked["params"].clone()).collect()
    };
    for outcome in [&outcomes[0], &outcomes[3]] {
        let [asked] = &asked(outcome, "elicitation/create")[..] else { panic!("not asked once: {outcome}") };
        assert_eq!(asked["message"], "Please provide inputs for the following fields:");
        assert_eq!(asked["requestedSchema"]["required"], json!(["name"]));
        let said = ok(outcome)["result"].to_string();
        assert!(said.contains("- Name: Ada") && said.contains("- Agreed to terms: true"), "{outcome}");
    }
    let [asked] = &asked(&outcomes[1], "sampling/createMessage")[..] else {
        panic!("not asked once: {}", outcomes[1])
    };
    assert_eq!(asked["maxTokens"], 10, "{}", outcomes[1]);
    let said = text(&ok(&outcomes[1])["result"]);
    assert!(said.contains("a good answer") && said.contains("made-up"), "{said}");
    let roots = text(&ok(&outcomes[2])["result"]);
    assert!(roots.contains("file:///home/ada"), "{roots}");
}

/// Not over stdio: each run lists first, and would start a gateway whose servers are still starting.
#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_works_in_both_eras() {
    require!(peers::node().await);
    let everything = peers::everything().await;
    let catalog = || Catalog::new().process("everything", &["node", &everything]);
    let gw = gateway().catalog(catalog()).start().await;
    gw.ready(["everything"]).await;
    let (url, token) = (gw.url("/mcp"), format!("Authorization: Bearer {TOKEN}"));
    for era in ["legacy", "modern"] {
        let at = [url.as_str(), "--transport", "http", "--header", &token, "--protocol-era", era];
        inspect(&at).await;
    }
    gw.stop().await;
    let old = gateway().catalog(catalog()).transport("sse").start().await;
    old.ready(["everything"]).await;
    inspect(&[&old.url("/sse"), "--transport", "sse", "--header", &token]).await;
    old.stop().await;
}

/// Lists, calls, reads and gets; every run is a program of its own.
async fn inspect(at: &[&str]) {
    let run = async |arguments: &[&str]| -> Value {
        let (code, out, err) = inspector(&[at, arguments, &["--format", "json"]].concat()).await;
        assert_eq!(code, Some(0), "{at:?} {arguments:?}: {out}{err}");
        serde_json::from_str(&out)
            .unwrap_or_else(|error| panic!("{arguments:?} is not JSON ({error}): {out}"))
    };
    let echo = ["--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hello"];
    let called = run(&echo).await;
    assert_eq!(text(&called["result"]), "Echo: hello", "{called}");
    let tools = run(&["--method", "tools/list"]).await;
    assert_eq!(tools["result"]["tools"].as_array().map(Vec::len), Some(12), "{tools}");
    let prompt =
        run(&["--method", "prompts/get", "--prompt-name", "args-prompt", "--prompt-args", "city=Paris"])
            .await;
    assert_eq!(prompt["result"]["messages"][0]["content"]["text"], "What's weather in Paris?", "{prompt}");
    let read = run(&["--method", "resources/read", "--uri", "demo://resource/dynamic/text/7"]).await;
    assert_eq!(read["result"]["contents"][0]["uri"], "demo://resource/dynamic/text/7", "{read}");
}

/// A door of a gateway for one client: a URL, or the command to start it.
enum Entry {
    Url(Box<Running>, String),
    Command(Box<Gateway>),
}

impl Entry {
    async fn open(builder: Gateway, path: &str) -> Self {
        if builder.command().0.iter().any(|word| word == "stdio") {
            return Self::Command(Box::new(builder));
        }
        let gw = builder.start().await;
        gw.ready(["everything", "time", "fx"]).await;
        Self::Url(Box::new(gw), path.to_owned())
    }

    fn target(&self, mode: &str) -> Value {
        match self {
            Self::Url(gw, path) => at(gw, path, mode),
            Self::Command(builder) => {
                let (command, env) = builder.command();
                let env: BTreeMap<String, String> = env.into_iter().collect();
                json!({"kind": "stdio", "mode": mode, "command": command, "env": env})
            }
        }
    }

    async fn close(self) {
        match self {
            Self::Url(gw, _) => drop(gw.stop().await),
            Self::Command(builder) => gone(&builder).await,
        }
    }
}

fn at(gw: &Running, path: &str, mode: &str) -> Value {
    let kind = if path == "/sse" { "sse" } else { "streamable" };
    json!({"kind": kind, "mode": mode, "url": gw.url(path), "token": TOKEN})
}

/// Waits for the end of a gateway that its client has left, and of all it has started.
async fn gone(builder: &Gateway) {
    soon("the gateway's end", async {
        while !process::of_home(builder.home(), 0).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let _ = std::fs::remove_dir_all(builder.home());
}
