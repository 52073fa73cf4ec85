//! Who shares a running server: everybody, a session, nobody; how many run and for how long; and remotes with several
//! addresses.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture};
use wasmgate_tests::gateway::Running;
use wasmgate_tests::{Legacy, gateway, remote, soon};

/// A gateway with the fixture as a process, and what its entry says of instances.
async fn with(instances: Value) -> Running {
    let mut entry = fixture(&["server", "--stdio"]);
    entry["instances"] = instances;
    let gw = gateway().catalog(Catalog::new().entry("fx", entry)).start().await;
    gw.ready(["fx"]).await;
    gw
}

/// The process that answers this client.
async fn pid(client: &Legacy) -> String {
    let answer = client.call("pid", json!({})).await;
    answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no pid: {answer}")).to_owned()
}

async fn until_there_are(gw: &Running, count: usize) {
    soon(&format!("{count} processes"), async {
        while gw.processes().len() != count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn sessions_have_processes_of_their_own_and_leave_none_behind() {
    let gw = with(json!({"policy": "per-session", "idle": "1h"})).await;
    let (a, b) = (gw.alone("fx").await, gw.alone("fx").await);
    let (of_a, of_b) = (pid(&a).await, pid(&b).await);
    assert_ne!(of_a, of_b);
    assert_eq!([pid(&a).await, pid(&b).await], [of_a.clone(), of_b.clone()], "the same one each time");
    // And one that is ready for the next.
    until_there_are(&gw, 3).await;
    for session in [&a, &b] {
        assert_eq!(session.dress(session.door.ask("DELETE")).send().await.status, 200);
    }
    let runs = |pid: &String| gw.processes().iter().any(|(number, _)| number.to_string() == *pid);
    soon("the end of both", async {
        while [&of_a, &of_b].into_iter().any(runs) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let next = gw.alone("fx").await;
    assert!(![of_a, of_b].contains(&pid(&next).await), "nobody gets what another had");
    gw.stop().await;
}

#[tokio::test]
async fn calls_have_processes_of_their_own() {
    let gw = with(json!("per-call")).await;
    let client = gw.alone("fx").await;
    let mut pids = Vec::new();
    for _ in 0..4 {
        pids.push(pid(&client).await);
    }
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 4, "{pids:?}");
    // The one that reads the lists, and a spare.
    until_there_are(&gw, 2).await;
    gw.stop().await;
}

#[tokio::test]
async fn everybody_shares_one_process() {
    let gw = with(json!("shared")).await;
    let (a, b) = (gw.alone("fx").await, gw.alone("fx").await);
    assert_eq!(pid(&a).await, pid(&b).await);
    assert_eq!(gw.processes().len(), 1);
    gw.stop().await;
}

#[tokio::test]
async fn no_more_run_than_may_and_who_waits_gets_a_turn() {
    let gw = with(json!({"policy": "per-session", "min": 0, "max": 2, "idle": "1h"})).await;
    let (a, b, c) = (gw.alone("fx").await, gw.alone("fx").await, gw.alone("fx").await);
    let (of_a, of_b) = (pid(&a).await, pid(&b).await);
    assert_ne!(of_a, of_b);
    let (of_c, ended) = tokio::join!(pid(&c), async {
        let goodbye = a.dress(a.door.ask("DELETE")).send().await;
        assert!(gw.processes().len() <= 2, "{:?}", gw.processes());
        goodbye.status
    });
    assert_eq!(ended, 200);
    assert!(![of_a, of_b].contains(&of_c));
    until_there_are(&gw, 2).await;
    gw.stop().await;
}

#[tokio::test]
async fn an_old_client_that_hangs_up_makes_room() {
    let gw = with(json!({"policy": "per-session", "min": 0, "max": 1, "idle": "1h"})).await;
    let mut first = None;
    for _ in 0..3 {
        let mut stream = gw.door("/sse").ask("GET").header("accept", "text/event-stream").open().await;
        let path = soon("the endpoint", stream.event()).await.expect("an endpoint");
        for message in [
            json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "pid", "arguments": {}}}),
        ] {
            assert_eq!(gw.door(&path).post(message.to_string()).send().await.status, 202);
        }
        let answer = soon("a process of its own", async {
            loop {
                let event = stream.event().await.expect("a message");
                let message: Value = serde_json::from_str(&event).expect("JSON");
                if message["id"] == 1 {
                    break message["result"]["content"][0]["text"].clone();
                }
            }
        })
        .await;
        assert!(answer.is_string(), "{answer}");
        assert_ne!(first.replace(answer.clone()), Some(answer), "nobody gets what another had");
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_server_that_need_not_run_starts_with_the_call() {
    let gw = with(json!({"min": 0, "idle": "200ms"})).await;
    let client = gw.alone("fx").await;
    until_there_are(&gw, 0).await;
    assert_eq!(gw.state("fx").await["state"], "ready");
    assert!(client.tool_names().await.contains(&"pid".to_owned()), "its lists are known");
    let first = pid(&client).await;
    until_there_are(&gw, 0).await;
    assert_ne!(pid(&client).await, first);
    gw.stop().await;
}

#[tokio::test]
async fn a_change_of_numbers_restarts_nothing() {
    let gw = gateway().config(
        "servers: {fx: {process: [FIXTURE, server, --stdio], instances: {idle: 1m}}}\n"
            .replace("FIXTURE", &wasmgate_tests::build::fixture().display().to_string())
            .as_str(),
    );
    let gw = gw.start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let first = pid(&client).await;
    let path = gw.home().join("wasmgate.yaml");
    let text = std::fs::read_to_string(&path).expect("the configuration").replace("1m", "2m");
    let before = gw.states().await["config"]["since"].take();
    std::fs::write(&path, text).expect("written");
    soon("the new configuration in force", async {
        while gw.states().await["config"]["since"] == before {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(pid(&client).await, first);
    gw.stop().await;
}

#[tokio::test]
async fn a_remote_is_used_at_all_its_addresses_and_does_without_one_that_dies() {
    let (one, two) =
        (remote::fixture(&["server", "--http"]).await, remote::fixture(&["server", "--http"]).await);
    let urls = json!([one.url("/mcp"), two.url("/mcp")]);
    let entry = json!({"type": "remote", "instances": "shared", "remote": {"urls": urls, "transport_type": "streamable-http"}});
    let gw = gateway().catalog(Catalog::new().entry("far", entry)).start().await;
    gw.reaches("far", &["ready"]).await;
    let client = gw.alone("far").await;
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    soon("both addresses at work", async {
        while answered.len() < 2 {
            *answered.entry(pid(&client).await).or_default() += 1;
        }
    })
    .await;
    for _ in 0..40 {
        *answered.entry(pid(&client).await).or_default() += 1;
    }
    assert!(answered.values().all(|count| *count >= 5), "{answered:?}");
    one.end().await;
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..20 {
        *left.entry(pid(&client).await).or_default() += 1;
    }
    assert_eq!(left.len(), 1, "no call fails, and one address serves: {left:?}");
    gw.reaches("far", &["degraded"]).await;
    gw.stop().await;
}
