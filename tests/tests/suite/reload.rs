//! Changes of the configuration while the gateway runs: they take effect, lose no call, and when they are wrong nothing
//! changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wasmgate_tests::{Gateway, Running, build, gateway, process, soon};

/// Looks like a GitHub token, and is none.
const SECRET: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// A configuration with these servers (each the fixture) and these plugins.
pub(crate) fn yaml(servers: &[&str], plugins: &str) -> String {
    let fixture = build::fixture();
    let servers: String = servers
        .iter()
        .map(|name| format!("  {name}: {{process: [{}, server, --stdio]}}\n", fixture.display()))
        .collect();
    format!("servers:\n{servers}plugins:\n  block-secrets: {{mode: off}}\n{plugins}")
}

/// Exchanges a file as editors do: the new one is renamed over the old one.
pub(crate) fn exchange(path: &Path, bytes: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).expect("a new file");
    fs::rename(&new, path).expect("a rename");
}

/// Changes the gateway's configuration.
pub(crate) fn change(gw: &Running, text: &str) {
    exchange(&gw.home().join("wasmgate.yaml"), text);
}

/// Waits until what `/ready` says of the configuration is as wanted.
async fn config(gw: &Running, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    soon(what, async {
        loop {
            let config = gw.states().await["config"].take();
            if wanted(&config) {
                return config;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    })
    .await
}

/// Makes a change and waits until it is in force.
pub(crate) async fn in_force(gw: &Running, what: &str, change: impl FnOnce()) {
    let before = gw.states().await["config"]["since"].take();
    change();
    let after = config(gw, what, |config| config["since"] != before).await;
    assert_eq!(after["state"], "current", "{what}: {after}");
}

/// Makes a change and waits until it is rejected; gives the reason.
pub(crate) async fn rejected(gw: &Running, what: &str, change: impl FnOnce()) -> String {
    let before = gw.states().await["config"]["since"].take();
    change();
    let after = config(gw, what, |config| config["since"] != before).await;
    assert_eq!(after["state"], "rejected", "{what}: {after}");
    assert_eq!(gw.states().await["ready"], true);
    after["error"].as_str().expect("a reason").to_owned()
}

/// Whether a secret in the arguments stops a call.
async fn blocks(gw: &Running, server: &str) -> bool {
    let call = json!({"name": "text", "arguments": {"text": SECRET}});
    let answer = gw.alone(server).await.request("tools/call", call).await;
    match answer.get("error") {
        Some(error) => error["data"]["code"] == "refused",
        None => {
            assert_eq!(answer["result"]["content"][0]["text"], SECRET, "{answer}");
            false
        }
    }
}

/// Clients that call one server's tool all the time. Every call must get its own answer.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
}

impl Load {
    pub(crate) async fn on(gw: &Running, server: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for number in 0..4 {
            let (client, stop) = (gw.alone(server).await, Arc::clone(&stop));
            clients.push(tokio::spawn(async move {
                let mut calls = 0;
                while !stop.load(Ordering::Relaxed) {
                    let text = format!("{number}-{calls}");
                    let answer = client.call("text", json!({"text": text})).await;
                    assert_eq!(answer["content"][0]["text"], text, "{answer}");
                    calls += 1;
                }
                calls
            }));
        }
        Self { stop, clients }
    }

    /// Ends it; a call that was lost or failed fails the test here.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            assert!(soon("the end of a client", client).await.expect("no call is lost") > 0);
        }
    }
}

/// A gateway with a configuration file, ready.
pub(crate) async fn started(servers: &[&str], plugins: &str) -> Running {
    // Building them takes a while, in which clients under way would be cut off.
    build::plugin("block-secrets");
    running(gateway(), servers, plugins).await
}

async fn running(gateway: Gateway, servers: &[&str], plugins: &str) -> Running {
    let gw = gateway.config(&yaml(servers, plugins)).start().await;
    for server in servers {
        gw.ready([*server]).await;
    }
    gw
}

/// A copy of a bundled plugin in a file of the gateway's.
fn component(gw: &Running, name: &str) -> PathBuf {
    let path = gw.home().join("mine.wasm");
    exchange(&path, fs::read(build::plugin(name)).expect("a component"));
    path
}

/// It is granted what the other component that stands in for it asks for.
const MINE: &str = "  mine: {use: ./mine.wasm, grants: {clock: true}}\n";

#[tokio::test]
async fn plugins_come_change_and_go_and_no_call_is_lost() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    assert!(!blocks(&gw, "fx").await);

    component(&gw, "block-secrets");
    in_force(&gw, "a plugin comes", || change(&gw, &yaml(&["fx"], MINE))).await;
    assert!(blocks(&gw, "fx").await);

    let audit = "  mine: {use: ./mine.wasm, mode: audit}\n";
    in_force(&gw, "its mode changes", || change(&gw, &yaml(&["fx"], audit))).await;
    assert!(!blocks(&gw, "fx").await);

    let other = "  mine: {use: ./mine.wasm, config: {allow: [github-token]}}\n";
    in_force(&gw, "its configuration changes", || change(&gw, &yaml(&["fx"], other))).await;
    assert!(!blocks(&gw, "fx").await);
    in_force(&gw, "and changes back", || change(&gw, &yaml(&["fx"], MINE))).await;
    assert!(blocks(&gw, "fx").await);

    in_force(&gw, "its component is exchanged", || drop(component(&gw, "log-calls"))).await;
    assert!(!blocks(&gw, "fx").await);

    in_force(&gw, "a plugin goes", || change(&gw, &yaml(&["fx"], ""))).await;
    load.end().await;
    let ended = gw.stop().await;
    let loaded = |names: &str| ended.stderr.matches(&format!(r#""plugins_loaded":"{names}""#)).count();
    assert_eq!(loaded("mine"), 5, "what has not changed is not loaded again:\n{}", ended.stderr);
}

#[tokio::test]
async fn servers_come_and_go_and_the_others_keep_their_processes() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    let before = gw.processes();
    assert_eq!(before.len(), 1, "{before:?}");

    in_force(&gw, "a server comes", || change(&gw, &yaml(&["fx", "more"], ""))).await;
    gw.ready(["more"]).await;
    let answer = gw.alone("more").await.call("text", json!({"text": "hello"})).await;
    assert_eq!(answer["content"][0]["text"], "hello");
    let both = gw.processes();
    assert!(both.len() == 2 && both.contains(&before[0]), "{before:?} {both:?}");

    in_force(&gw, "a server goes", || change(&gw, &yaml(&["fx"], ""))).await;
    soon("the end of its process", async {
        while gw.processes() != before {
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    })
    .await;
    let states = gw.states().await;
    assert_eq!(states["servers"].as_array().map(Vec::len), Some(1), "{states}");
    load.end().await;
    gw.stop().await;
}

#[tokio::test]
async fn a_plugin_that_does_not_load_keeps_the_old_generation() {
    let gw = started(&["fx"], "").await;
    let file = component(&gw, "block-secrets");
    in_force(&gw, "a plugin comes", || change(&gw, &yaml(&["fx"], MINE))).await;
    let load = Load::on(&gw, "fx").await;

    let whole = fs::read(&file).expect("the component");
    let half = rejected(&gw, "half a component", || exchange(&file, &whole[..whole.len() / 2])).await;
    assert!(half.contains("`mine`"), "{half}");
    assert!(blocks(&gw, "fx").await, "the old one is in force");
    let garbage = rejected(&gw, "garbage", || exchange(&file, "garbage")).await;
    assert!(garbage.contains("not a WebAssembly component"), "{garbage}");
    assert!(blocks(&gw, "fx").await, "the old one is in force");
    let gone = rejected(&gw, "no file", || fs::remove_file(&file).expect("it was there")).await;
    assert!(gone.contains("mine.wasm"), "{gone}");
    assert!(blocks(&gw, "fx").await, "the old one is in force");

    in_force(&gw, "the whole component again", || exchange(&file, &whole)).await;
    assert!(blocks(&gw, "fx").await);
    load.end().await;
    let ended = gw.stop().await;
    assert_eq!(ended.stderr.matches("the one before stays in force").count(), 3, "{}", ended.stderr);
}

#[tokio::test]
async fn a_plugin_that_asks_for_more_is_held_until_it_is_granted() {
    let gw = started(&["fx"], "").await;
    component(&gw, "log-calls");
    let held = rejected(&gw, "a plugin that wants to see the time", || {
        change(&gw, &yaml(&["fx"], "  mine:\n    use: ./mine.wasm\n"));
    })
    .await;
    assert!(held.contains("plugin `mine` is held: it asks for more than it is granted"), "{held}");
    assert!(held.contains("add to `plugins.mine`:\n    grants:\n      clock: true"), "{held}");
    let validated = wasmgate_tests::gateway::wasmgate(
        &["validate", "--config", gw.home().join("wasmgate.yaml").to_str().expect("UTF-8")],
        &[],
    )
    .await;
    assert_eq!(validated.status.code(), Some(2), "{}", validated.stderr);
    assert!(validated.stderr.contains("    grants:\n      clock: true"), "{}", validated.stderr);
    in_force(&gw, "it is granted", || change(&gw, &yaml(&["fx"], MINE))).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_mistake_in_the_file_is_shown_and_changes_nothing() {
    let gw = started(&["fx"], "").await;
    let broken = yaml(&["other"], "").replace("plugins:", "plugns:");
    let reason = rejected(&gw, "a misspelt key", || change(&gw, &broken)).await;
    assert!(reason.contains("wasmgate.yaml:3:1: unknown key `plugns` (did you mean `plugins`?)"), "{reason}");
    let reason = rejected(&gw, "an empty file", || change(&gw, "")).await;
    assert!(reason.contains("is empty or gone, and was not before"), "{reason}");
    assert_eq!(gw.state("fx").await["state"], "ready");
    in_force(&gw, "the file put right", || change(&gw, &yaml(&["fx", "other"], ""))).await;
    gw.ready(["fx", "other"]).await;
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("^^^^^^"), "no caret in {}", ended.stderr);
}

#[tokio::test]
async fn a_server_that_changes_is_started_anew_and_no_call_is_lost() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    let before = gw.processes();
    for number in 0..3 {
        let env = format!("{{env: {{NUMBER: \"{number}\"}}, command: [");
        let changed = yaml(&["fx"], "").replace('[', &env).replace("--stdio]}", "--stdio]}}");
        in_force(&gw, "another variable", || change(&gw, &changed)).await;
        gw.ready(["fx"]).await;
        let tools = gw.alone("fx").await.tool_names().await;
        assert!(tools.iter().any(|tool| tool == "text"), "{tools:?}");
    }
    load.end().await;
    // A server has a moment to end by itself.
    wasmgate_tests::soon("those from before gone", async {
        while gw.processes().iter().any(|process| before.contains(process)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    gw.stop().await;
}

#[tokio::test]
async fn a_swapped_link_is_a_change() {
    let gateway = gateway();
    let home = gateway.home().to_owned();
    for (version, servers) in [("v1", &["fx"][..]), ("v2", &["fx", "more"])] {
        fs::create_dir(home.join(version)).expect("a directory");
        fs::write(home.join(version).join("wasmgate.yaml"), yaml(servers, "")).expect("a file");
    }
    symlink("v1", home.join("..data")).expect("a link");
    symlink("..data/wasmgate.yaml", home.join("linked.yaml")).expect("a link");
    let path = home.join("linked.yaml");
    let gw = gateway.arg("--config").arg(path.to_str().expect("UTF-8")).start().await;
    gw.ready(["fx"]).await;
    in_force(&gw, "a swapped link", || {
        symlink("v2", home.join("..new")).expect("a link");
        fs::rename(home.join("..new"), home.join("..data")).expect("a rename");
    })
    .await;
    gw.ready(["fx", "more"]).await;
    gw.stop().await;
}

#[tokio::test]
async fn catalogs_and_files_of_secrets_are_part_of_the_configuration() {
    let gateway = gateway();
    let entry = json!({"secrets": [{"name": "fx.key", "env": "KEY"}]});
    let mut catalog = wasmgate_tests::catalog::fixture(&["server", "--stdio"]);
    catalog["secrets"] = entry["secrets"].clone();
    let catalog = |name: &str| wasmgate_tests::catalog::Catalog::new().entry(name, catalog.clone()).text();
    let (file, secrets) = (gateway.file("c.yaml", &catalog("one")), gateway.file("s.env", "# none\n"));
    let gw = gateway.config("catalogs: [c.yaml]\nenable: all\nsecrets: [\"file:s.env\"]\n").start().await;
    gw.reaches("one", &["needs-secret"]).await;
    in_force(&gw, "a secret", || exchange(Path::new(&secrets), "fx.key=value\n")).await;
    gw.ready(["one"]).await;
    in_force(&gw, "a catalog", || exchange(Path::new(&file), catalog("two"))).await;
    gw.ready(["two"]).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_hangup_reloads_even_when_nothing_is_watched() {
    let gw = running(gateway().arg("--watch=false"), &["fx"], "").await;
    in_force(&gw, "a hangup", || {
        change(&gw, &yaml(&["fx", "more"], ""));
        process::signal(gw.pid, Signal::HUP);
    })
    .await;
    gw.ready(["fx", "more"]).await;
    gw.stop().await;
}

#[tokio::test]
async fn what_cannot_change_is_said_to_wait_for_the_next_start() {
    let gw = started(&["fx"], "").await;
    let moved = format!("listen: {{allowedHosts: [gateway.example]}}\n{}", yaml(&["fx"], ""));
    in_force(&gw, "another address", || change(&gw, &moved)).await;
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("takes effect at the next start"), "{}", ended.stderr);
}

#[tokio::test]
async fn over_stdio_too() {
    let mut gw = gateway().config(&yaml(&["fx"], "")).transport("stdio").start().await;
    gw.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#).await;
    gw.stdout.line("the greeting", |line| line.contains(r#""id":0"#)).await;
    gw.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    gw.say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"text","arguments":{"text":"one"}}}"#)
        .await;
    gw.stdout.line("the first answer", |line| line.contains(r#""id":1"#) && line.contains("one")).await;
    change(&gw, &yaml(&["fx", "more"], ""));
    gw.stderr.line("the reload", |line| line.contains("the new configuration is in force")).await;
    gw.say(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"more__text","arguments":{"text":"two"}}}"#)
        .await;
    gw.stdout.line("the second answer", |line| line.contains(r#""id":2"#) && line.contains("two")).await;
    gw.hang_up();
    gw.ended().await;
}
