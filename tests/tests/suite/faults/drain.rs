//! Faults of the gateway's own end (F42): told to stop with calls in flight, told twice, its client gone, killed.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::mcp::{parsed, with_meta};
use wasmgate_tests::{Legacy, Running, docker, gateway, process, require, soon};

const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
/// Reports progress, and waits to be released.
const HELD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"progress","arguments":{"steps":2},"_meta":{"progressToken":"p"}}}"#;

async fn until(what: &str, done: impl AsyncFn() -> bool) {
    soon(what, async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Two servers in front of which calls can be held: what releases them need not pass the gateway that stops.
async fn serving(remote: &str) -> Running {
    let gw = gateway().catalog(Catalog::new().remote("fx", remote, "streamable-http")).start().await;
    gw.ready(["fx"]).await;
    gw
}

/// A server outside of any gateway, and a way to let its held calls go on.
struct Outside {
    url: String,
    _child: tokio::process::Child,
}

impl Outside {
    async fn new(kind: &str) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
        let address = format!("127.0.0.1:{port}");
        let mut command = tokio::process::Command::new(wasmgate_tests::build::fixture());
        command.args([kind, "--http", &address]).kill_on_drop(true);
        let child = command.spawn().expect("the fixture starts");
        until("the server listening", async || TcpStream::connect(&address).await.is_ok()).await;
        Self { url: format!("http://{address}/mcp"), _child: child }
    }

    /// Asked past the gateway.
    async fn call(&self, tool: &str) {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/mcp").parse().expect("it");
        let door = wasmgate_tests::mcp::Door { address, path: "/mcp".into(), token: None };
        Legacy::connect(door, "2025-06-18").await.call(tool, json!({})).await;
    }
}

/// Tells it to stop, and waits until it has heard that.
async fn told_to_stop(gw: &Running) {
    process::signal(gw.pid, Signal::TERM);
    until("the drain", async || gw.states().await["reason"] == "draining").await;
}

#[tokio::test]
async fn f42_sigterm_with_calls_in_flight_over_http() {
    let outside = Outside::new("server").await;
    let gw = serving(&outside.url).await;
    let client = gw.alone("fx").await;
    let mut held = client.post(HELD).open().await;
    assert!(held.event().await.is_some_and(|event| event.contains("notifications/progress")));
    // A client of the modern era that listens, and one of the legacy era.
    let listening = json!({"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen",
        "params": with_meta(json!({"notifications": {"toolsListChanged": true}}))});
    let door = gw.door("/mcp");
    let mut modern = door
        .post(listening.to_string())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "subscriptions/listen")
        .open()
        .await;
    assert!(modern.event().await.is_some_and(|event| event.contains("acknowledged")));
    let news = client.dress(client.door.ask("GET")).open().await;

    told_to_stop(&gw).await;
    let ready = gw.door("/ready").ask("GET").send().await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(gw.get("/health").await.status, 200, "it lives");
    let refused = client.post(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"text"}}"#);
    let refused = refused.send().await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(parsed(&refused.text())["error"]["data"]["code"], "not_serving", "{}", refused.text());
    assert_eq!(parsed(&refused.text())["id"], 2);
    let last = modern.rest().await.text();
    assert!(last.contains(r#""id":7"#) && last.contains("result"), "a listener is answered: {last}");
    drop(news.rest().await);

    outside.call("release").await;
    let rest = held.rest().await.text();
    assert!(rest.contains(r#""id":1"#) && rest.contains("done"), "the call in flight is answered: {rest}");
    gw.ended().await;
}

#[tokio::test]
async fn f42_sigterm_with_calls_in_flight_over_stdio() {
    let outside = Outside::new("server").await;
    let catalog = Catalog::new().remote("fx", &outside.url, "streamable-http");
    let mut gw = gateway().catalog(catalog).transport("stdio").start().await;
    let said = |gw: &Running, what: &'static str, id: u64| {
        let stdout = gw.stdout.clone();
        async move {
            let is_it = |line: &str| parsed(line)["id"] == id && parsed(line).get("method").is_none();
            parsed(&stdout.line(what, is_it).await)
        }
    };
    gw.say(HELLO).await;
    said(&gw, "the greeting", 0).await;
    gw.say(HELD).await;
    gw.stdout.line("progress", |line| line.contains("notifications/progress")).await;
    let listening = json!({"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen",
        "params": with_meta(json!({"notifications": {"toolsListChanged": true}}))});
    gw.say(&listening.to_string()).await;
    gw.stdout.line("the acknowledgement", |line| line.contains("acknowledged")).await;
    process::signal(gw.pid, Signal::TERM);
    // The answer to what listened is the first that the drain says.
    let listened = said(&gw, "the end of listening", 7).await;
    assert!(listened.get("result").is_some(), "{listened}");
    gw.say(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"text"}}"#).await;
    assert_eq!(said(&gw, "a refusal", 2).await["error"]["data"]["code"], "not_serving");
    outside.call("release").await;
    let answer = said(&gw, "the answer", 1).await;
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    // Its stdin is still open: it ends because it has nothing left to answer.
    gw.ended().await;
}

#[tokio::test]
async fn f42_sigterm_with_calls_in_flight_over_http_and_sse() {
    let outside = Outside::new("server").await;
    let gw = serving(&outside.url).await;
    let mut stream = gw.door("/sse").ask("GET").open().await;
    let path = stream.event().await.expect("the endpoint");
    let post = |body: &'static str| gw.door(&path).post(body).send();
    assert_eq!(post(HELLO).await.status, 202);
    assert!(stream.event().await.is_some_and(|event| event.contains(r#""id":0"#)));
    post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!(post(HELD).await.status, 202);
    assert!(stream.event().await.is_some_and(|event| event.contains("notifications/progress")));
    told_to_stop(&gw).await;
    assert_eq!(post(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#).await.status, 202);
    assert!(stream.event().await.is_some_and(|event| event.contains("not_serving")));
    outside.call("release").await;
    let rest = stream.rest().await.text();
    assert!(rest.contains(r#""id":1"#) && rest.contains("done"), "{rest}");
    gw.ended().await;
}

#[tokio::test]
async fn f42_a_client_is_asked_and_answers_while_the_gateway_stops() {
    let outside = Outside::new("asker").await;
    let gw = serving(&outside.url).await;
    let able = json!({"elicitation": {"form": {}}});
    let client = Legacy::able(gw.door("/servers/fx/mcp"), "2025-11-25", able).await;
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let form = json!({"mode": "form", "message": "Who are you?", "requestedSchema": schema});
    let questions = json!([{"method": "elicitation/create", "params": form}]);
    let call = json!({"name": "ask", "arguments": {"questions": questions}});
    let (id, mut head) = client.open("tools/call", call).await;
    let question = parsed(&head.event().await.expect("a question"));
    assert!(question.get("method").is_some(), "{question}");
    told_to_stop(&gw).await;
    client.answer(&question["id"], Ok(json!({"action": "decline"}))).await;
    let rest = head.rest().await.messages();
    let answered = rest.iter().map(|text| parsed(text)).any(|m| m["id"] == id && m.get("method").is_none());
    assert!(answered, "{rest:?}");
    gw.ended().await;
}

#[tokio::test]
async fn f42_a_second_sigterm_means_now() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.request("tools/call", json!({"name": "slow", "arguments": {}})).await }
    });
    client.call("wait_started", json!({"count": 1})).await;
    told_to_stop(&gw).await;
    assert!(!waiting.is_finished());
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("told so twice"), "{}", ended.stderr);
    // The call that was cut off got its one outcome.
    let outcome = soon("its outcome", waiting).await.expect("no panic");
    assert!(
        outcome["error"]["data"]["code"].as_str().is_some_and(|code| code.starts_with("upstream_")),
        "{outcome}"
    );
}

#[tokio::test]
async fn f42_the_time_to_finish_is_over() {
    let fixture = wasmgate_tests::build::fixture();
    let text = format!(
        "limits: {{drain: 1s}}\nservers:\n  fx: {{process: [{}, server, --stdio]}}\n",
        fixture.display()
    );
    let gw = gateway().config(&text).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.request("tools/call", json!({"name": "slow", "arguments": {}})).await }
    });
    client.call("wait_started", json!({"count": 1})).await;
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("the time to finish is over"), "{}", ended.stderr);
    let outcome = soon("its outcome", waiting).await.expect("no panic");
    assert!(
        outcome["error"]["data"]["code"].as_str().is_some_and(|it| it.starts_with("upstream_")),
        "{outcome}"
    );
}

#[tokio::test]
async fn f42_the_client_closes_stdin_with_a_call_in_flight() {
    let mut gw = gateway().catalog(good("fx")).transport("stdio").start().await;
    gw.say(HELLO).await;
    gw.stdout.line("the greeting", |line| line.contains(r#""id":0"#)).await;
    gw.say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"text","arguments":{"text":"last words"}}}"#).await;
    gw.hang_up();
    let ended = gw.ended().await;
    assert!(ended.stdout.contains("last words"), "what was asked before is answered: {}", ended.stdout);
}

/// A gateway on pipes of its own, because the harness always reads.
fn piped(gateway: &wasmgate_tests::Gateway) -> tokio::process::Child {
    let (line, env) = gateway.command();
    let mut command = tokio::process::Command::new(&line[0]);
    command.args(&line[1..]).env_clear().envs(env).current_dir(gateway.home()).kill_on_drop(true);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::null()).spawn().expect("the gateway starts")
}

async fn nothing_left(home: &Path) {
    until("the end of everything", async || process::of_home(home, 0).is_empty()).await;
}

#[tokio::test]
async fn f42_the_client_stops_reading_stdout() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let gateway = gateway().catalog(good("fx")).transport("stdio");
    let mut child = piped(&gateway);
    let mut stdin = child.stdin.take().expect("piped");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    stdin.write_all(format!("{HELLO}\n").as_bytes()).await.expect("it reads");
    assert!(soon("the greeting", lines.next_line()).await.expect("it answers").is_some());
    drop(lines);
    // Its stdin stays open; the next thing it has to say finds nobody.
    stdin.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").await.expect("it reads");
    let status = soon("the gateway's end", child.wait()).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    nothing_left(gateway.home()).await;
    let _ = std::fs::remove_dir_all(gateway.home());
}

#[tokio::test]
async fn f42_the_client_is_killed_while_it_holds_the_pipes() {
    let gateway = gateway().catalog(good("fx")).transport("stdio");
    let (line, env) = gateway.command();
    let quoted: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
    // A client that starts the gateway, asks something, and waits for ever.
    let script = format!("(echo '{HELLO}'; exec sleep 1000) | {{ {}; }}", quoted.join(" "));
    let mut client = tokio::process::Command::new("sh");
    client.args(["-c", &script]).env_clear().envs(env).current_dir(gateway.home()).process_group(0);
    client.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut client = client.spawn().expect("sh starts");
    let all = || process::of_home(gateway.home(), 0);
    until("the server", async || all().iter().any(|(_, line)| line.ends_with("fixture server --stdio")))
        .await;
    let sleep = all().into_iter().find(|(_, line)| line == "sleep 1000").expect("the writer").0;
    let shell = client.id().expect("running");
    process::signal(shell, Signal::KILL);
    process::signal(sleep, Signal::KILL);
    drop(soon("the end of the client", client.wait()).await);
    nothing_left(gateway.home()).await;
    let _ = std::fs::remove_dir_all(gateway.home());
}

/// Servers that stay when their pipe closes, and what they started besides.
fn stubborn() -> Catalog {
    let fixture = wasmgate_tests::build::fixture();
    let daemon =
        "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.1; done' >/dev/null 2>&1 </dev/null &";
    let script = format!("{daemon} exec {} stubborn", fixture.display());
    Catalog::new().process("daemons", &["sh", "-c", &script]).fixture("fx", &["server", "--stdio"])
}

#[tokio::test]
async fn f42_a_server_s_daemons_end_with_it() {
    let gw = gateway().catalog(stubborn()).servers(["daemons", "fx"]).start().await;
    gw.ready(["daemons", "fx"]).await;
    let daemons = || gw.processes().into_iter().filter(|(_, line)| line.contains("while :")).count();
    assert_eq!(daemons(), 1, "{:?}", gw.processes());
    // Nothing may be left: `stop` looks.
    gw.stop().await;
}

#[tokio::test]
async fn f42_sigkill_leaves_no_process_of_any_server() {
    let gw = gateway().catalog(stubborn()).servers(["daemons", "fx"]).start().await;
    gw.ready(["daemons", "fx"]).await;
    assert!(gw.processes().len() >= 3, "{:?}", gw.processes());
    let home = gw.home().to_owned();
    gw.kill().await;
    nothing_left(&home).await;
    let _ = std::fs::remove_dir_all(home);
}

#[tokio::test]
async fn f42_what_even_the_second_process_left_is_swept_by_the_next_start() {
    let gw = gateway().catalog(stubborn()).servers(["daemons", "fx"]).start().await;
    gw.ready(["daemons", "fx"]).await;
    let home = gw.home().to_owned();
    // The gateway sees nothing of it, or it would start another one.
    process::signal(gw.pid, Signal::STOP);
    process::signal(second_of(&gw).expect("the second process"), Signal::KILL);
    gw.kill().await;
    let left = process::of_home(&home, 0);
    assert!(left.iter().any(|(_, line)| line.contains("while :")), "{left:?}");
    let next = gateway().catalog(good("fx")).start().await;
    nothing_left(&home).await;
    next.ready(["fx"]).await;
    let _ = std::fs::remove_dir_all(home);
    next.stop().await;
}

#[tokio::test]
async fn f42_the_second_process_is_killed_and_another_one_takes_its_place() {
    let gw = gateway().catalog(stubborn()).servers(["daemons", "fx"]).start().await;
    gw.ready(["daemons", "fx"]).await;
    let home = gw.home().to_owned();
    for _ in 0..2 {
        let before = second_of(&gw).expect("the second process");
        process::signal(before, Signal::KILL);
        until("its successor", async || second_of(&gw).is_some_and(|now| now != before)).await;
    }
    // It knows of all that was begun before it was.
    gw.kill().await;
    nothing_left(&home).await;
    let _ = std::fs::remove_dir_all(home);
}

/// The process that waits for the gateway's end.
fn second_of(gw: &Running) -> Option<u32> {
    children_of(gw.pid).into_iter().find(|pid| process::command_line(*pid).contains("__warden"))
}

fn children_of(parent: u32) -> Vec<u32> {
    let listed = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    pids.filter(is_child).collect()
}

#[tokio::test]
async fn f42_containers_and_networks_of_a_killed_gateway_are_swept_by_the_next_start() {
    require!(docker::scratch().await);
    let docker = docker::there().await.expect("checked");
    let name = "f42-swept";
    let catalog = || Catalog::new().container(name, docker::SCRATCH, &["server", "--stdio"]);
    let gw = gateway().catalog(catalog()).start().await;
    gw.ready([name]).await;
    let before = docker::containers_of(&docker, name).await;
    assert_eq!(before.len(), 1, "{before:?}");
    let network = format!("wasmgate-test-{}", gw.pid);
    docker::network_of(&docker, &before[0], &network).await;
    gw.kill().await;
    let next = gateway().catalog(catalog()).start().await.with_container(name);
    next.ready([name]).await;
    until("the sweep", async || {
        let now = docker::containers_of(&docker, name).await;
        !now.iter().any(|it| it.id == before[0].id) && !docker::has_network(&docker, &network).await
    })
    .await;
    next.stop().await;
}

#[tokio::test]
async fn f42_the_configuration_changes_while_the_gateway_stops() {
    let outside = Outside::new("server").await;
    let gateway = gateway();
    let remote = |name: &str| format!("  {name}: {{remote: {{url: '{}'}}}}\n", outside.url);
    let fixture = wasmgate_tests::build::fixture();
    let text = format!("servers:\n{}", remote("fx"));
    let more = format!("{text}  more: {{process: [{}, server, --stdio]}}\n", fixture.display());
    let gw = gateway.config(&text).start().await;
    gw.ready(["fx"]).await;
    let mut held = gw.alone("fx").await.post(HELD).open().await;
    assert!(held.event().await.is_some());
    told_to_stop(&gw).await;
    std::fs::write(gw.home().join("wasmgate.yaml"), more).expect("a file");
    process::signal(gw.pid, Signal::HUP);
    gw.stderr.line("the change seen", |line| line.contains("left to the next start")).await;
    assert!(gw.processes().is_empty(), "nothing is started any more");
    outside.call("release").await;
    assert!(held.rest().await.text().contains("done"));
    gw.ended().await;
}
