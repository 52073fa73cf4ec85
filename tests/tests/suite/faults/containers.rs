//! Faults of containers: killed, out of memory, frozen, gone with their daemon, never there (F02, F04, F07, F17 to F19).

use bollard::Docker;
use bollard::query_parameters::KillContainerOptionsBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::engine::{engine, small_engine};
use wasmgate_tests::faulty::{is, logged};
use wasmgate_tests::registry::{self, Fault};
use wasmgate_tests::{Gateway, Legacy, Running, docker, gateway, process, require, soon};

/// The fixture in a container, with these members of its entry besides, next to a good server.
fn boxed(name: &str, arguments: &[&str], more: Value) -> Gateway {
    boxed_in(gateway(), name, arguments, more)
}

fn boxed_in(gateway: Gateway, name: &str, arguments: &[&str], more: Value) -> Gateway {
    let mut entry = json!({"type": "server", "image": docker::SCRATCH, "pull": "never", "command": arguments,
        "disableNetwork": true, "deadlines": {"initialize": "20s", "idle": "20s", "total": "60s"}});
    for (member, value) in more.as_object().into_iter().flatten() {
        entry[member] = value.clone();
    }
    gateway
        .catalog(Catalog::new().entry(name, entry).fixture("fx", &["server", "--stdio"]))
        .servers([name, "fx"])
}

/// Its gateway, once both are ready, and a client of the boxed one alone.
async fn started(name: &str, gateway: Gateway) -> (Running, Legacy) {
    let gw = gateway.start().await.with_container(name);
    gw.ready([name, "fx"]).await;
    let client = gw.alone(name).await;
    (gw, client)
}

fn failing(client: &Legacy, tool: &'static str) -> JoinHandle<Value> {
    let client = client.clone();
    tokio::spawn(async move { client.call_fails(tool, json!({})).await })
}

/// Waits until the boxed one answers again.
async fn back(client: &Legacy) {
    soon("the server's return", async {
        loop {
            let answer = client.request("tools/call", json!({"name": "pid", "arguments": {}})).await;
            if answer.get("result").is_some() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn the_good_one_is_fine(gw: &Running) {
    let answer = gw.alone("fx").await.call("text", json!({"text": "fine"})).await;
    assert_eq!(answer["content"][0]["text"], "fine");
}

async fn ids(engine: &Docker, name: &str) -> Vec<String> {
    docker::containers_of(engine, name).await.into_iter().filter_map(|container| container.id).collect()
}

/// The container of a server is another one, and the only one.
async fn replaced(engine: &Docker, name: &str, before: &[String]) {
    soon("one container in the place of the other", async {
        loop {
            let now = ids(engine, name).await;
            if now.len() == 1 && now != before {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// A server has no container any more: one that has ended is removed soon after.
async fn gone(engine: &Docker, name: &str) {
    soon("its container's removal", async {
        while !ids(engine, name).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn kill(engine: &Docker, id: &str) {
    let options = KillContainerOptionsBuilder::default().signal("KILL").build();
    engine.kill_container(id, Some(options)).await.expect("the engine kills");
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_a_container_runs_out_of_memory() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-oom";
    let gateway = boxed(name, &["faulty", "--stdio"], json!({"memory": "48MiB"}));
    let (gw, client) = started(name, gateway).await;
    let (before, waiting) = (ids(&engine, name).await, failing(&client, "hold"));
    client.call("pid", json!({})).await;
    for error in
        [client.call_fails("oom", json!({})).await, soon("the other call", waiting).await.expect("no panic")]
    {
        is(&error, "upstream_crashed");
        assert_eq!(error["data"]["reason"], "oom_killed", "{error}");
    }
    the_good_one_is_fine(&gw).await;
    back(&client).await;
    replaced(&engine, name, &before).await;
    // Somebody's SIGKILL ends it with the same exit code, for another reason.
    let waiting = failing(&client, "hold");
    client.call("pid", json!({})).await;
    kill(&engine, &ids(&engine, name).await[0]).await;
    let error = soon("the call in flight", waiting).await.expect("no panic");
    is(&error, "upstream_crashed");
    assert_eq!(error["data"].get("reason"), None, "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("137")), "{error}");
    // The second time within five minutes is the last one.
    back(&client).await;
    assert_eq!(client.call_fails("oom", json!({})).await["data"]["reason"], "oom_killed");
    gw.reaches(name, &["quarantined"]).await;
    is(&client.call_fails("pid", json!({})).await, "upstream_unavailable");
    gone(&engine, name).await;
    let ended = gw.stop().await;
    let failed: Vec<_> =
        logged(&ended.stderr, "server failed").iter().map(|event| event["code"].clone()).collect();
    assert_eq!(failed, ["oom_killed", "exited", "oom_killed"], "each said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_a_container_runs_out_of_memory_again_and_again() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-greedy";
    let gateway = boxed(name, &["faulty", "--stdio"], json!({"memory": "48MiB"}));
    let (gw, client) = started(name, gateway).await;
    is(&client.call_fails("oom", json!({})).await, "upstream_crashed");
    back(&client).await;
    is(&client.call_fails("oom", json!({})).await, "upstream_crashed");
    let state = gw.reaches(name, &["quarantined"]).await;
    let reason = state["reason"].as_str().expect("a reason");
    assert!(reason.contains("out of memory twice within 5 minutes") && reason.contains("SIGHUP"), "{reason}");
    is(&client.call_fails("pid", json!({})).await, "upstream_unavailable");
    gone(&engine, name).await;
    the_good_one_is_fine(&gw).await;
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f04_a_container_is_paused() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-paused";
    let deadlines = json!({"deadlines": {"initialize": "20s", "idle": "1s", "total": "20s"}});
    let (gw, client) = started(name, boxed(name, &["faulty", "--stdio"], deadlines)).await;
    let before = ids(&engine, name).await;
    engine.pause_container(&before[0]).await.expect("the engine pauses");
    is(&client.call_fails("pid", json!({})).await, "upstream_timeout");
    the_good_one_is_fine(&gw).await;
    replaced(&engine, name, &before).await;
    back(&client).await;
    let ended = gw.stop().await;
    let failed = logged(&ended.stderr, "server failed");
    assert!(failed.iter().any(|event| event["code"] == "unresponsive"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f04_a_container_that_serves_http_is_paused() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-paused-http";
    let more = json!({"deadlines": {"initialize": "20s", "idle": "1s", "total": "20s"}, "disableNetwork": false,
        "transport": "streamable-http", "port": 8080, "path": "/mcp"});
    let (gw, client) = started(name, boxed(name, &["server", "--http", "0.0.0.0:8080"], more)).await;
    let before = ids(&engine, name).await;
    engine.pause_container(&before[0]).await.expect("the engine pauses");
    is(&client.call_fails("pid", json!({})).await, "upstream_timeout");
    the_good_one_is_fine(&gw).await;
    replaced(&engine, name, &before).await;
    back(&client).await;
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f07_an_image_is_nowhere_or_may_not_be_pulled() {
    require!(docker::there().await);
    require!(registry::there());
    let private = registry::start(registry::Options { login: true, ..registry::Options::default() }).await;
    let broken = registry::faulty(&private.address, |_, _| Some(Fault::Status(500, &[]))).await;
    let entry = |image: &str, pull: &str| json!({"type": "server", "image": image, "pull": pull, "disableNetwork": true});
    let catalog = Catalog::new()
        .entry("absent", entry("wasmgate-tests/there-is-no-such-image:1", "never"))
        .entry("denied", entry(&private.reference("secret:1"), "missing"))
        .entry("broken", entry(&broken.reference("any:1"), "missing"))
        .fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).start().await;
    gw.ready(["fx"]).await;
    the_good_one_is_fine(&gw).await;
    for (name, says) in
        [("absent", "there-is-no-such-image"), ("denied", "docker login"), ("broken", "any:1")]
    {
        let state = gw.reaches(name, &["failed"]).await;
        assert!(state["reason"].as_str().is_some_and(|reason| reason.contains(says)), "{state}");
    }
    let client = gw.legacy().await;
    is(&client.call_fails("denied__any", json!({})).await, "upstream_unavailable");
    the_good_one_is_fine(&gw).await;
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f07_a_pull_stands_still() {
    require!(docker::scratch().await);
    require!(registry::there());
    let engine = docker::there().await.expect("checked");
    let behind = registry::registry().await;
    docker::push(&engine, docker::SCRATCH, &behind.reference("slow:1"), None).await;
    let stuck =
        registry::faulty(&behind.address, |line, _| line.contains("/blobs/").then_some(Fault::Stuck)).await;
    let entry = json!({"type": "server", "image": stuck.reference("slow:1"), "disableNetwork": true});
    let catalog = Catalog::new().entry("slow", entry).fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["slow", "fx"]).start().await;
    gw.ready(["fx"]).await;
    gw.reaches("slow", &["pulling"]).await;
    the_good_one_is_fine(&gw).await;
    assert_eq!(gw.state("slow").await["state"], "pulling", "nobody has waited for it");
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f07_a_disk_fills_up_during_a_pull() {
    require!(docker::scratch().await);
    require!(registry::there());
    require!(wasmgate_tests::engine::there());
    let behind = registry::registry().await;
    let name = behind.reference("big:1");
    docker::push(&docker::there().await.expect("checked"), docker::SCRATCH, &name, None).await;
    let full = small_engine(4).await;
    let entry = json!({"type": "server", "image": name, "disableNetwork": true});
    let catalog = Catalog::new().entry("big", entry).fixture("fx", &["server", "--stdio"]);
    let gw = gateway().catalog(catalog).servers(["big", "fx"]).env("DOCKER_HOST", &full.host()).start().await;
    gw.ready(["fx"]).await;
    let state = gw.reaches("big", &["failed"]).await;
    assert!(state["reason"].as_str().is_some_and(|reason| reason.contains("no space left")), "{state}");
    the_good_one_is_fine(&gw).await;
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f15_stderr_of_a_container_is_flooded() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-stderr";
    let (gw, client) = started(name, boxed(name, &["faulty", "--stdio"], json!({}))).await;
    client.call("stderr", json!({})).await;
    process::forget_peak(gw.pid);
    let before = process::resident(gw.pid);
    for _ in 0..50 {
        client.call("pid", json!({})).await;
    }
    let grown = process::peak(gw.pid).saturating_sub(before);
    assert!(grown < 16 << 20, "a flood grew the gateway by {grown} bytes");
    let settings = docker::inspect(&engine, name).await;
    assert_eq!(settings.log_path.unwrap_or_default(), "", "nothing of it is written to disk");
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f17_the_docker_daemon_dies_and_comes_back() {
    require!(docker::scratch().await);
    require!(wasmgate_tests::engine::there());
    let mut mortal = engine().await;
    mortal.scratch().await.expect("an image");
    let name = "box-daemon";
    let gateway =
        boxed_in(gateway().env("DOCKER_HOST", &mortal.host()), name, &["faulty", "--stdio"], json!({}));
    // Not `with_container`: that asks the engine of this machine.
    let gw = gateway.start().await;
    gw.ready([name, "fx"]).await;
    let client = gw.alone(name).await;
    let before = ids(&mortal.docker(), name).await;
    let waiting = failing(&client, "hold");
    client.call("pid", json!({})).await;
    mortal.kill().await;
    is(&soon("the call in flight", waiting).await.expect("no panic"), "upstream_crashed");
    the_good_one_is_fine(&gw).await;
    let failed = gw.reaches(name, &["failed"]).await;
    is(&client.call_fails("pid", json!({})).await, "upstream_unavailable");
    assert!(failed["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{failed}");
    // It is away for longer than anybody tries to remove what it still has.
    gw.stderr.line("the removal given up", |line| line.contains("container could not be removed")).await;
    mortal.start().await;
    back(&client).await;
    let engine = mortal.docker();
    replaced(&engine, name, &before).await;
    the_good_one_is_fine(&gw).await;
    let ended = gw.stop().await;
    let left = ids(&engine, name).await;
    assert!(left.is_empty(), "containers outlived the gateway: {left:?}\n{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_a_person_kills_a_container_or_removes_it() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-person";
    let (gw, client) = started(name, boxed(name, &["faulty", "--stdio"], json!({}))).await;
    for removes in [true, false] {
        let before = ids(&engine, name).await;
        let waiting = failing(&client, "hold");
        client.call("pid", json!({})).await;
        match removes {
            true => docker::remove(&engine, &before[0]).await,
            false => kill(&engine, &before[0]).await,
        }
        is(&soon("the call in flight", waiting).await.expect("no panic"), "upstream_crashed");
        the_good_one_is_fine(&gw).await;
        back(&client).await;
        replaced(&engine, name, &before).await;
    }
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_container_ends_at_once_as_if_all_were_well() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    let name = "box-brief";
    let gw = boxed(name, &["exit", "0"], json!({})).start().await.with_container(name);
    gw.ready(["fx"]).await;
    let failures = || logged(&gw.stderr.text(), "server failed");
    gw.stderr.line("the second failure", |_| failures().len() >= 2).await;
    let pauses: Vec<f64> = failures().iter().filter_map(|event| event["again_in"].as_f64()).collect();
    assert!(pauses[0] < pauses[1], "it is no success to be repeated: {pauses:?}");
    let state = gw.reaches(name, &["failed"]).await;
    assert!(state["reason"].as_str().is_some_and(|reason| reason.contains("exit code 0")), "{state}");
    assert!(ids(&engine, name).await.len() <= 1, "ended ones are removed");
    the_good_one_is_fine(&gw).await;
    gw.stop().await;
}
