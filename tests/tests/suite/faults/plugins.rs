//! Faults of plugins (F38): hostile ones harm their own call, at its end, and nothing else.

use serde_json::{Value, json};
use wasmgate_tests::home::Home;
use wasmgate_tests::{Gateway, Legacy, Running, build, gateway, process, registry, require, soon};

use crate::reload::Load;

/// What the plugin does when it is told to, at most four of them in a row: the fifth failure opens the circuit.
const HOSTILE: [&[&str]; 4] = [
    &["overrun", "exit", "spin", "spin-in-host"],
    &["grow", "recurse", "doze", "stale"],
    &["huge-text", "flood-findings", "flood-log-million"],
    &["bad-note", "huge-note", "fail"],
];

/// A gateway whose calls of `fx` pass the hostile plugin and whose calls of `other` do not.
async fn beside_a_hostile_one(gateway: Gateway, from: &str, more: &str) -> Running {
    let fixture = build::fixture();
    let server = |name: &str| format!("  {name}: {{process: [{}, server, --stdio]}}\n", fixture.display());
    let text = format!(
        "servers:\n{}{}plugins:\n  hostile: {{use: '{from}', when: {{servers: [fx]}}, limits: {{wall: 300ms}}{more}}}\n",
        server("fx"),
        server("other"),
    );
    let gw = gateway.config(&text).start().await;
    gw.ready(["fx", "other"]).await;
    gw
}

/// A call during which the plugin does this.
async fn told(client: &Legacy, what: &str) -> Value {
    client.request("tools/call", json!({"name": "text", "arguments": {"text": "fine"}, "do": what})).await
}

fn is_fine(answer: &Value) -> bool {
    answer["result"]["content"][0]["text"] == "fine"
}

/// Each of these harms its own call, at its end and not at the client's patience, and nothing else.
async fn harm_only_their_own_call(gateway: Gateway, from: &str, whats: &[&str]) -> String {
    let gw = beside_a_hostile_one(gateway, from, "").await;
    let (client, other) = (gw.alone("fx").await, gw.alone("other").await);
    for what in whats {
        let calls = async {
            for _ in 0..3 {
                assert!(is_fine(&told(&other, "pass").await));
            }
        };
        let (answer, ()) = tokio::join!(soon(what, told(&client, what)), calls);
        assert_eq!(answer["error"]["data"]["code"], "plugin_failed", "{what}: {answer}");
        assert_eq!(answer["error"]["data"]["plugin"], "hostile", "{what}: {answer}");
        assert!(is_fine(&told(&client, "pass").await), "{what}: the next call is right");
    }
    gw.stop().await.stderr
}

#[tokio::test]
async fn f38_a_plugin_traps_loops_hoards_floods_or_talks_nonsense() {
    let hostile = build::hostile();
    for whats in HOSTILE {
        let log = harm_only_their_own_call(gateway(), hostile.to_str().expect("UTF-8"), whats).await;
        assert!(log.matches("again and again").count() < 1000, "a flooded log");
        assert!(log.lines().all(|line| !line.contains('\u{1b}')), "escapes of a plugin reached the log");
    }
}

#[tokio::test]
async fn f38_a_plugin_makes_tables_larger_or_leaks_handles() {
    for name in ["table-bomb", "handle-leak"] {
        let component = build::root().join("tests/components").join(name).with_extension("wasm");
        let gw = beside_a_hostile_one(gateway(), component.to_str().expect("UTF-8"), "").await;
        let (client, other) = (gw.alone("fx").await, gw.alone("other").await);
        let before = process::resident(gw.pid);
        for _ in 0..4 {
            let answer = soon(name, told(&client, "as ever")).await;
            assert_eq!(answer["error"]["data"]["code"], "plugin_failed", "{name}: {answer}");
            assert_eq!(answer["error"]["data"]["plugin"], "hostile", "{name}: {answer}");
            assert!(is_fine(&told(&other, "pass").await), "{name}: others are served");
        }
        let grown = process::resident(gw.pid).saturating_sub(before);
        assert!(grown < 64 << 20, "{name}: four calls grew the gateway by {grown} bytes");
        gw.stop().await;
    }
}

#[tokio::test]
async fn f38_a_plugin_writes_to_where_nobody_reads() {
    let hostile = build::hostile();
    let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), "").await;
    let client = gw.alone("fx").await;
    assert!(is_fine(&told(&client, "flood-output").await), "that alone is no failure");
    assert!(is_fine(&told(&client, "flood-log").await));
    let log = gw.stop().await.stderr;
    assert!(log.matches("again and again").count() < 1000, "a flooded log");
}

#[tokio::test]
async fn f38_a_plugin_of_a_registry_does_the_same() {
    require!(registry::there());
    let (registry, home) = (registry::registry().await, Home::new());
    let reference = registry.reference("acme/hostile:1");
    home.line(&["plugin", "push", build::hostile().to_str().expect("UTF-8"), &reference]).await;
    for whats in HOSTILE {
        harm_only_their_own_call(gateway(), &format!("oci://{reference}"), whats).await;
    }
}

#[tokio::test]
async fn f38_a_plugin_that_fails_may_be_passed_by_when_the_file_says_so() {
    let hostile = build::hostile();
    for whats in HOSTILE {
        let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), ", failOpen: true").await;
        let client = gw.alone("fx").await;
        for what in whats {
            let answer = soon(what, told(&client, what)).await;
            assert!(is_fine(&answer), "{what}: {answer}");
        }
        gw.stop().await;
    }
}

#[tokio::test]
async fn f38_a_plugin_waits_for_an_http_server_that_never_answers() {
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", silent.local_addr().expect("an address"));
    let capable = build::capable();
    let granted = format!(", grants: {{http: [{{origin: '{origin}', private: true}}]}}");
    let gw = beside_a_hostile_one(gateway(), capable.to_str().expect("UTF-8"), &granted).await;
    let (client, other) = (gw.alone("fx").await, gw.alone("other").await);
    let ask = format!("get {origin}/");
    let asking = told(&client, &ask);
    let asked = async {
        let held = silent.accept().await.expect("the plugin's request");
        assert!(is_fine(&told(&other, "pass").await), "meanwhile others are served");
        held
    };
    let (answer, _held) = tokio::join!(soon("the end of the plugin's time", asking), asked);
    // Its time is over in either case; in the last of it a plugin may decide what to make of that.
    assert!(is_fine(&answer) || answer["error"]["data"]["code"] == "plugin_failed", "{answer}");
    assert!(is_fine(&told(&client, "nothing much").await));
    gw.stop().await;
}

#[tokio::test]
async fn f38_a_plugin_fails_five_times_in_a_row() {
    let hostile = build::hostile();
    for (policy, passes) in [("", false), (", failOpen: true", true)] {
        let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), policy).await;
        let (client, other) = (gw.alone("fx").await, gw.alone("other").await);
        for _ in 0..5 {
            assert_eq!(is_fine(&told(&client, "overrun").await), passes);
        }
        // Its circuit is open: the same policy holds without it.
        assert_eq!(is_fine(&told(&client, "pass").await), passes);
        assert!(is_fine(&told(&other, "pass").await));
        let log = gw.stop().await.stderr;
        assert!(log.contains("keeps failing and is left alone"), "{log}");
    }
}

#[tokio::test]
async fn f38_four_plugins_are_hostile_at_once_and_other_calls_go_on() {
    let hostile = build::hostile();
    let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), ", failOpen: true").await;
    let client = gw.alone("fx").await;
    let load = Load::on(&gw, "other").await;
    let all = ["spin", "grow", "doze", "flood-log-million"].map(|what| {
        let client = client.clone();
        tokio::spawn(async move { is_fine(&told(&client, what).await) })
    });
    for one in all {
        assert!(soon("its end", one).await.expect("no panic"));
    }
    load.end().await;
    gw.stop().await;
}
