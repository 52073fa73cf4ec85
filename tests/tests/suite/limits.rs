//! `limits` of wasmgate.yaml: what is wrong with them, when they take effect, and one below and one above those that no
//! fault is about. The others are among the faults.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wasmgate_tests::catalog::{Catalog, fixture, good};
use wasmgate_tests::faulty::{Beside, faulty, is, logged};
use wasmgate_tests::home::Home;
use wasmgate_tests::hostile::{answer, hostile, status};
use wasmgate_tests::http::Answer;
use wasmgate_tests::mcp::{only, parsed};
use wasmgate_tests::{Legacy, build, gateway, registry, soon};

use crate::reload::{change, in_force, rejected, yaml};

#[tokio::test]
async fn a_limit_that_makes_no_sense_stops_the_start() {
    for (limits, says) in [
        ("{http: {body: 0}}", &["wasmgate.yaml:1:23", "`limits.http.body`", "at least `1KiB`", "`4MiB`"][..]),
        ("{drain: 25}", &["wasmgate.yaml:1:17", "`25` is not a length of time"]),
        ("{retries: 101%}", &["wasmgate.yaml:1:19", "`limits.retries`", "at most `100%`", "`20%`"]),
        ("{documents: {component: 1GiB}}", &["`limits.documents.component`", "at most `128MiB`"]),
        ("{conections: {total: 5}}", &["unknown key `conections`", "did you mean `connections`?"]),
    ] {
        let gw = gateway().catalog(good("fx")).config(&format!("limits: {limits}\n"));
        let ended = gw.run_to_end().await;
        assert_eq!(ended.status.code(), Some(2), "{limits}: {}", ended.stderr);
        for word in says {
            assert!(ended.stderr.contains(word), "{limits} does not say {word:?}:\n{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn limits_take_effect_at_the_next_start_and_that_is_said() {
    let gw = gateway().catalog(good("fx")).config("limits: {http: {body: 4KiB}}\n").start().await;
    gw.ready(["fx"]).await;
    let client = gw.legacy().await;
    let ping = |size: usize| {
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        ping.to_owned() + &" ".repeat(size - ping.len())
    };
    assert_eq!(client.post(ping(4097)).send().await.status, 413);
    change(&gw, "limits: {http: {body: 8KiB}}\n");
    gw.printed("what takes effect when", |text| text.contains("`limits` has changed")).await;
    assert_eq!(client.post(ping(4097)).send().await.status, 413, "as it was");
    assert_eq!(only(&client.post(ping(4096)).send().await)["result"], json!({}));
    gw.stop().await;
}

// Documents

#[tokio::test]
async fn a_catalog_of_one_byte_too_many() {
    let catalog = good("fx").text();
    let padded = |size: usize| catalog.clone() + &" ".repeat(size - catalog.len());
    let config = "limits: {documents: {catalog: 64KiB}}\n";
    for (size, fits) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let text = padded(size);
        let gw = gateway().catalog(text.clone()).config(config);
        let web =
            hostile(move |_, _| Some(answer(200, &[("content-type", "application/json")], &text))).await;
        let far = gateway().catalog_at(web.url()).servers(["fx"]).config(config);
        // What a stranger's catalog runs on this machine needs a grant: it was read.
        for (whence, gw, state) in [("a file", gw, "ready"), ("elsewhere", far, "needs-grant")] {
            if fits {
                let gw = gw.start().await;
                gw.reaches("fx", &[state]).await;
                gw.stop().await;
                continue;
            }
            let ended = gw.run_to_end().await;
            assert_eq!(ended.status.code(), Some(2), "{whence}: {}", ended.stderr);
            assert!(ended.stderr.contains("`limits.documents.catalog`"), "{whence}: {}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn a_component_of_one_byte_too_many() {
    let size = std::fs::metadata(build::hostile()).expect("it was built").len();
    let with = |from: &str, most: u64| {
        yaml(
            &["fx"],
            &format!("  hostile: {{use: '{from}'}}\nlimits: {{documents: {{component: {most}}}}}\n"),
        )
    };
    let mut sources = vec![build::hostile().display().to_string()];
    let held;
    if let Err(why) = registry::there() {
        eprintln!("no registry: {why}");
    } else {
        held = registry::registry().await;
        let reference = held.reference("acme/hostile:1");
        Home::new().line(&["plugin", "push", &sources[0], &reference]).await;
        sources.push(format!("oci://{reference}"));
    }
    for from in &sources {
        let gw = gateway().config(&with(from, size)).start().await;
        gw.ready(["fx"]).await;
        // It counts from the next reload on.
        let said = rejected(&gw, "one byte less", || change(&gw, &with(from, size - 1))).await;
        assert!(said.contains("too large") && said.contains("limits.documents.component"), "{from}: {said}");
        in_force(&gw, "one byte more", || change(&gw, &with(from, size + 1))).await;
        let log = gw.stop().await.stderr;
        assert!(!log.contains("takes effect at the next start"), "{log}");
    }
}

// Requests to remotes that are repeated

#[tokio::test]
async fn requests_are_repeated_within_their_share_and_not_beyond() {
    // Of 100 calls, all of which are told to come again: each share of the requests, and one to begin with.
    for (share, expected) in [(0, 0..=0), (10, 11..=14), (100, 100..=100)] {
        let far = hostile(move |heard, before| match heard.kind() {
            // The same call again is the next of its kind.
            "tools/call" if share < 100 || before % 2 == 0 => Some(status(429, &[("retry-after", "0")])),
            _ => None,
        })
        .await;
        let gw = gateway()
            .catalog(Catalog::new().remote("far", &far.url(), "streamable-http"))
            .config(&format!("limits: {{retries: {share}%}}\n"))
            .start()
            .await;
        gw.ready(["far"]).await;
        let client = gw.legacy().await;
        for _ in 0..100 {
            let answer = client.request("tools/call", json!({"name": "work", "arguments": {}})).await;
            match share {
                100 => assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}"),
                _ => is(&answer["error"], "upstream_unavailable"),
            }
        }
        let repeated = far.count("tools/call") - 100;
        assert!(expected.contains(&repeated), "{share} %: {repeated} repeated");
        gw.stop().await;
    }
}

// How deep JSON is

#[tokio::test]
async fn json_of_one_level_too_many() {
    let bad = faulty().start().await;
    let arrays = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    // A client's: the message, its params and the arguments are three levels.
    let call = |levels: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"fx__text","arguments":{{"text":"deep","x":{}}}}}}}"#,
            arrays(levels - 3)
        )
    };
    let fits = bad.client.post(call(64)).send().await;
    assert_eq!(only(&fits)["result"]["content"][0]["text"], "deep", "{}", fits.text());
    let too_deep = bad.client.post(call(65)).send().await;
    assert_eq!(too_deep.status, 400, "{}", too_deep.text());
    assert_eq!(only(&too_deep)["error"]["code"], -32600, "{}", too_deep.text());
    assert!(too_deep.text().contains("nested too deeply"), "{}", too_deep.text());
    // A server's: the message and its result are two.
    let line = |levels: usize| {
        format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"content":[],"x":{}}}}}"#, arrays(levels - 2))
    };
    let fits = bad.says(&[&line(64)]).await;
    assert!(fits["result"]["x"].is_array(), "{fits}");
    let too_deep = bad.says(&[&line(65)]).await;
    assert_eq!(too_deep["error"]["data"]["code"], "upstream_misbehaved", "{too_deep}");
    bad.both_are_fine().await;
    bad.gw.stop().await;
}

// Calls at once

/// Two servers, and these limits.
async fn within(limits: &str) -> Beside {
    let config = format!("limits: {{inFlight: {limits}}}\n");
    faulty().deadlines("60s", "120s").with(|gw| gw.config(&config)).start().await
}

/// A call that its server keeps, until it is cancelled.
async fn held(bad: &Beside, id: u64, count: usize) -> JoinHandle<Answer> {
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "bad__hold"}});
    let call = tokio::spawn(bad.client.post(body.to_string()).send());
    bad.got("hold", count).await;
    call
}

async fn cancel(client: &Legacy, id: u64) {
    client.notify("notifications/cancelled", json!({"requestId": id})).await;
}

/// A call that waits for its turn while others, which need none of the same, are answered; it is served when one is free.
async fn waits_for_its_turn(bad: &Beside, tool: &'static str, meanwhile: &'static str, held: u64) {
    let other = bad.gw.legacy().await;
    let late = tokio::spawn(async move { other.call(tool, json!({})).await });
    for _ in 0..50 {
        let params = if meanwhile == "ping" { json!({}) } else { json!({"name": "fx__text"}) };
        assert!(bad.client.request(meanwhile, params).await.get("result").is_some());
    }
    assert!(!late.is_finished(), "one call too many went out at once");
    cancel(&bad.client, held).await;
    let answer: Value = soon("its turn", late).await.expect("no panic");
    assert!(answer["content"][0]["text"].is_string(), "{answer}");
}

#[tokio::test]
async fn one_call_more_than_a_server_may_be_given_at_once() {
    let bad = within("{perServer: 2}").await;
    let first = held(&bad, 101, 1).await;
    assert!(bad.call("pid", json!({})).await["content"][0]["text"].is_string(), "the second goes at once");
    let second = held(&bad, 102, 2).await;
    waits_for_its_turn(&bad, "bad__pid", "tools/call", 101).await;
    cancel(&bad.client, 102).await;
    for call in [first, second] {
        soon("the end of a cancelled call", call).await.expect("no panic");
    }
    bad.gw.stop().await;
}

#[tokio::test]
async fn one_call_more_than_all_servers_may_be_given_at_once() {
    let bad = within("{total: 2}").await;
    let first = held(&bad, 101, 1).await;
    bad.the_good_one_is_fine().await;
    let second = held(&bad, 102, 2).await;
    // Of another server, and yet.
    waits_for_its_turn(&bad, "fx__text", "ping", 101).await;
    cancel(&bad.client, 102).await;
    for call in [first, second] {
        soon("the end of a cancelled call", call).await.expect("no panic");
    }
    bad.gw.stop().await;
}

#[tokio::test]
async fn one_call_more_than_may_wait_for_a_server() {
    let gateway = gateway();
    let notes = gateway.home().join("notes");
    let mut entry = fixture(&["faulty", "--stdio"]);
    entry["env"] = json!([{"name": "FIXTURE_NOTES", "value": notes}]);
    entry["deadlines"] = json!({"initialize": "20s", "idle": "60s", "total": "120s"});
    let mut gw = gateway
        .catalog(Catalog::new().entry("bad", entry))
        .config("limits: {inFlight: {total: 3000, perServer: 1, perSession: 3000}}\n")
        .transport("stdio")
        // A thousand calls at once are more than interceptors that were not optimised see in their time.
        .arg("--log-calls=false")
        .arg("--block-secrets=false")
        .start()
        .await;
    gw.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#).await;
    gw.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    gw.say(r#"{"jsonrpc":"2.0","id":"hold","method":"tools/call","params":{"name":"hold"}}"#).await;
    soon("the first call at the server", async {
        while !std::fs::read_to_string(&notes).unwrap_or_default().contains("hold") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    // 1,024 may wait, and one of these is one too many.
    for id in 1..=1025 {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "pid"}});
        gw.say(&call.to_string()).await;
    }
    let refused = gw.stdout.line("a refusal", |line| line.contains("\"error\"")).await;
    assert_eq!(parsed(&refused)["error"]["data"]["code"], "limit_exceeded", "{refused}");
    gw.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"hold"}}"#).await;
    let answered = |text: &str| text.lines().filter(|line| line.contains("\"content\"")).count();
    // One after the other: each share of them in its time.
    for share in (128..=1024).step_by(128) {
        soon("the others being served", gw.stdout.find(|text| (answered(text) >= share).then_some(()))).await;
    }
    gw.hang_up();
    let ended = gw.ended().await;
    let refused = ended.stdout.lines().filter(|line| line.contains("limit_exceeded")).count();
    assert_eq!((answered(&ended.stdout), refused), (1024, 1));
}

// Sessions that nobody uses

const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

/// How many sessions were forgotten so far.
fn forgotten(log: &str) -> u64 {
    logged(log, "unused sessions forgotten").iter().filter_map(|event| event["swept"].as_u64()).sum()
}

#[tokio::test]
async fn a_session_that_nobody_came_back_to_is_forgotten_sooner_than_an_idle_one() {
    for (limits, expected) in [("{uninitialized: 3s, idle: 1h}", 1), ("{uninitialized: 1h, idle: 3s}", 2)] {
        let gw = gateway().catalog(good("fx")).config(&format!("limits: {{sessions: {limits}}}\n"));
        let gw = gw.env("WASMGATE_LOG", "wasmgate=debug").start().await;
        gw.ready(["fx"]).await;
        let door = gw.door("/servers/fx/mcp");
        // One that said hello and no more, one that came back and is idle, one that listens.
        assert_eq!(door.post(HELLO).send().await.status, 200);
        let idle = Legacy::connect(door.clone(), "2025-11-25").await;
        let listening = Legacy::connect(door.clone(), "2025-11-25").await;
        let stream = listening.dress(door.ask("GET")).open().await;
        gw.printed("what is forgotten", |text| forgotten(text) >= expected).await;
        assert_eq!(forgotten(&gw.stderr.text()), expected, "{limits}: what is in use stays");
        // It comes back: what it agreed on stands in its id.
        for client in [&idle, &listening] {
            assert_eq!(client.call("text", json!({"text": "here"})).await["content"][0]["text"], "here");
        }
        drop(stream);
        gw.stop().await;
    }
}
