//! Remotes: names that lead nowhere, connections that break, answers that never end (F20 to F29).

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::faulty::is;
use wasmgate_tests::hostile::{Heard, Hostile, Step, answer, events, head, hostile, secure, status};
use wasmgate_tests::names::{Name, names};
use wasmgate_tests::tls::Authority;
use wasmgate_tests::{Gateway, Legacy, Running, gateway, process, require, soon};

/// The remote `far` with short deadlines, beside a good server.
async fn toward(url: &str) -> (Running, Legacy) {
    let gw = towards(url, gateway()).start().await;
    gw.ready(["fx", "far"]).await;
    let client = gw.legacy().await;
    (gw, client)
}

fn towards(url: &str, gateway: Gateway) -> Gateway {
    let mut entry = json!({"type": "remote", "remote": {"url": url, "transport_type": "streamable-http"}});
    entry["deadlines"] = json!({"initialize": "8s", "idle": "2s", "total": "20s"});
    let catalog = Catalog::new().entry("far", entry).fixture("fx", &["server", "--stdio"]);
    gateway.catalog(catalog).servers(["far", "fx"])
}

/// A remote that answers calls of its tool as `rule` says.
async fn calls(
    rule: impl Fn(&Heard, usize) -> Vec<Step> + Send + Sync + 'static,
) -> (Hostile, Running, Legacy) {
    let far = hostile(move |heard, before| (heard.kind() == "tools/call").then(|| rule(heard, before))).await;
    let (gw, client) = toward(&far.url()).await;
    (far, gw, client)
}

async fn fails(client: &Legacy) -> Value {
    client.call_fails("far__work", json!({})).await
}

/// The word before the reason.
fn code(state: &Value) -> &str {
    state["reason"].as_str().and_then(|reason| reason.split(':').next()).unwrap_or_default()
}

async fn works(client: &Legacy) {
    assert_eq!(client.call("far__work", json!({})).await["content"][0]["text"], "done");
}

async fn the_good_one_is_fine(client: &Legacy) {
    assert_eq!(client.call("fx__text", json!({"text": "fine"})).await["content"][0]["text"], "fine");
}

#[tokio::test]
async fn f20_a_name_is_unknown_and_then_known() {
    require!(wasmgate_tests::names::there());
    let far = hostile(|_, _| None).await;
    for trouble in [Name::Unknown, Name::Failure] {
        let server =
            names(move |before| if before < 4 { trouble } else { Name::At(Ipv4Addr::LOCALHOST) }).await;
        let url = far.url_of(&format!("far.wasmgate.test:{}", far.address.port()));
        let gw = server.serve(towards(&url, gateway())).start().await;
        gw.ready(["fx"]).await;
        let failed = gw.reaches("far", &["failed"]).await;
        assert_eq!(code(&failed), "unavailable", "{failed}");
        let client = gw.legacy().await;
        the_good_one_is_fine(&client).await;
        gw.reaches("far", &["ready"]).await;
        assert!(server.asked() > 4, "what was not found is looked for again");
        works(&client).await;
        gw.stop().await;
    }
}

#[tokio::test]
async fn f20_a_name_server_never_answers() {
    require!(wasmgate_tests::names::there());
    let server = names(|_| Name::Silence).await;
    let gw = server.serve(towards("http://far.wasmgate.test:9/mcp", gateway())).start().await;
    gw.ready(["fx"]).await;
    let failed = gw.reaches("far", &["failed"]).await;
    assert_eq!(code(&failed), "unavailable", "the connection has a deadline of its own: {failed}");
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("5 s")), "{failed}");
    the_good_one_is_fine(&gw.legacy().await).await;
    gw.stop().await;
}

#[tokio::test]
async fn f20_a_name_moves_to_an_address_that_is_off_limits() {
    require!(wasmgate_tests::names::there());
    // Each connection ends with its answer and says so, so that the next request looks the name up anew.
    let far = hostile(|heard, _| {
        let last = |step| match step {
            Step::Say(bytes) => {
                let text = String::from_utf8(bytes).expect("UTF-8");
                Step::Say(text.replacen("\r\n", "\r\nconnection: close\r\n", 1).into_bytes())
            }
            other => other,
        };
        Some(wasmgate_tests::hostile::well(heard).into_iter().map(last).chain([Step::Close]).collect())
    })
    .await;
    let moved = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let server = {
        let moved = std::sync::Arc::clone(&moved);
        names(move |_| match moved.load(std::sync::atomic::Ordering::SeqCst) {
            false => Name::At(Ipv4Addr::LOCALHOST),
            true => Name::At(Ipv4Addr::new(169, 254, 169, 254)),
        })
        .await
    };
    let url = far.url_of(&format!("far.wasmgate.test:{}", far.address.port()));
    let gw = server.serve(towards(&url, gateway())).start().await;
    gw.ready(["fx", "far"]).await;
    let client = gw.legacy().await;
    works(&client).await;
    moved.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = fails(&client).await;
    is(&error, "upstream_unavailable");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("not allowed")), "{error}");
    assert_eq!(far.count("tools/call"), 1);
    gw.stop().await;
}

#[tokio::test]
async fn f21_nobody_listens() {
    let gw = towards("http://127.0.0.1:9/mcp", gateway()).start().await;
    gw.ready(["fx"]).await;
    let failed = gw.reaches("far", &["failed"]).await;
    assert_eq!(code(&failed), "unavailable", "{failed}");
    let client = gw.legacy().await;
    is(&fails(&client).await, "upstream_unavailable");
    the_good_one_is_fine(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f21_a_certificate_is_not_to_be_trusted() {
    require!(wasmgate_tests::tls::there());
    let (known, unknown) = (Authority::new(), Authority::new());
    for (what, identity, is_fine) in [
        ("a good one", known.vouch("IP:127.0.0.1", 2), true),
        ("expired", known.vouch("IP:127.0.0.1", -1), false),
        ("of another host", known.vouch("DNS:elsewhere.test", 2), false),
        ("of an unknown authority", unknown.vouch("IP:127.0.0.1", 2), false),
    ] {
        let far = secure(&identity).await;
        let gw = towards(&far.url(), gateway()).env("SSL_CERT_FILE", &known.path()).start().await;
        gw.ready(["fx"]).await;
        let client = gw.legacy().await;
        if is_fine {
            gw.ready(["far"]).await;
            works(&client).await;
        } else {
            let failed = gw.reaches("far", &["failed"]).await;
            assert_eq!(code(&failed), "unavailable", "{what}: {failed}");
            assert!(
                failed["reason"].as_str().is_some_and(|text| text.contains("certificate")),
                "{what}: {failed}"
            );
            is(&fails(&client).await, "upstream_unavailable");
            assert!(far.seen().is_empty(), "{what}: something was sent");
            assert!(far.connections() <= 4, "{what}: {} connections", far.connections());
        }
        gw.stop().await;
    }
}

#[tokio::test]
async fn f22_a_remote_wants_credentials_in_the_middle_of_many_calls() {
    let challenge = ("www-authenticate", r#"Bearer realm="far", scope="work:do""#);
    let (far, gw, client) = calls(move |_, _| status(401, &[challenge])).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call_fails("far__work", json!({})).await })
        })
        .collect();
    for call in calls {
        let error = soon("the end of a refused call", call).await.expect("no panic");
        is(&error, "upstream_unauthorized");
        assert_eq!(
            (&error["data"]["reason"], &error["data"]["scope"]),
            (&json!("auth_required"), &json!("work:do"))
        );
    }
    assert_eq!(far.count("tools/call"), 20, "each was sent once: there is no token to be refreshed");
    the_good_one_is_fine(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f23_a_remote_wants_more_rights() {
    let challenge =
        ("www-authenticate", r#"Bearer error="insufficient_scope", scope="files:read files:write""#);
    let (far, gw, client) = calls(move |_, _| status(403, &[challenge])).await;
    let error = fails(&client).await;
    is(&error, "upstream_unauthorized");
    assert_eq!(error["data"]["reason"], "insufficient_scope", "{error}");
    assert_eq!(error["data"]["scope"], "files:read files:write", "which is the client's to ask for: {error}");
    assert_eq!(far.count("tools/call"), 1);
    gw.stop().await;
}

#[tokio::test]
async fn f24_a_remote_forgets_its_session() {
    let far = hostile(|heard, before| match heard.kind() {
        "tools/call" | "resources/read" if before == 0 => Some(status(404, &[])),
        _ => None,
    })
    .await;
    let (gw, client) = toward(&far.url()).await;
    assert_eq!(far.count("initialize"), 1);
    is(&fails(&client).await, "upstream_unavailable");
    assert_eq!(far.count("tools/call"), 1, "a call is not sent again");
    gw.ready(["far"]).await;
    works(&client).await;
    assert_eq!(far.count("initialize"), 2, "it shook hands once more");
    let read = client.request("resources/read", json!({"uri": "far://one"})).await;
    assert_eq!(read["result"]["contents"][0]["text"], "one", "what only reads is asked again: {read}");
    assert_eq!((far.count("resources/read"), far.count("initialize")), (2, 3));
    gw.stop().await;
}

#[tokio::test]
async fn f25_a_remote_says_when_to_come_back() {
    for (number, retried) in [(429, true), (503, false)] {
        let (far, gw, client) = calls(move |heard, before| match before {
            0 => status(number, &[("retry-after", "1")]),
            _ => heard.done(),
        })
        .await;
        match retried {
            true => works(&client).await,
            false => is(&fails(&client).await, "upstream_unavailable"),
        }
        assert_eq!(far.count("tools/call"), 1 + usize::from(retried), "{number}");
        gw.stop().await;
    }
    let far = hostile(|heard, before| {
        (heard.kind() == "resources/read" && before == 0).then(|| status(503, &[("retry-after", "0")]))
    })
    .await;
    let (gw, client) = toward(&far.url()).await;
    let read = client.request("resources/read", json!({"uri": "far://one"})).await;
    assert_eq!(read["result"]["contents"][0]["text"], "one", "{read}");
    assert_eq!(far.count("resources/read"), 2);
    gw.stop().await;
}

#[tokio::test]
async fn f25_a_remote_asks_for_more_time_than_a_call_has() {
    for seconds in ["3", "40"] {
        let (far, gw, client) = calls(move |_, _| status(429, &[("retry-after", seconds)])).await;
        let error = fails(&client).await;
        is(&error, "upstream_unavailable");
        let says = format!("{seconds} s");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(&says)), "{error}");
        assert_eq!(far.count("tools/call"), 1);
        gw.stop().await;
    }
}

#[tokio::test]
async fn f25_a_remote_is_overloaded_and_no_storm_follows() {
    let (far, gw, client) = calls(|_, _| status(429, &[("retry-after", "0")])).await;
    for _ in 0..5 {
        let calls = (0..20).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call_fails("far__work", json!({})).await })
        });
        for call in calls.collect::<Vec<_>>() {
            is(&soon("the end of a call", call).await.expect("no panic"), "upstream_unavailable");
        }
    }
    let sent = far.seen().len();
    let repeated = far.count("tools/call") - 100;
    assert!(repeated > 0 && repeated * 5 <= sent, "{repeated} of {sent} requests were repeated");
    gw.stop().await;
}

#[tokio::test]
async fn f26_a_remote_fails_after_it_got_the_call() {
    let cut = |heard: &Heard| {
        let mut whole = heard.done();
        if let Some(Step::Say(bytes)) = whole.first_mut() {
            bytes.truncate(bytes.len() - 7);
        }
        whole.push(Step::Close);
        whole
    };
    let (far, gw, client) = calls(move |heard, before| match before {
        0 => status(500, &[]),
        1 => status(502, &[("retry-after", "0")]),
        2 => status(504, &[]),
        3 => vec![Step::Reset],
        4 => vec![Step::Close],
        5 => vec![Step::Say(b"HTTP/1.1 2".to_vec()), Step::Reset],
        6 => cut(heard),
        _ => heard.done(),
    })
    .await;
    for sent in 1..=7 {
        let error = fails(&client).await;
        let code = error["data"]["code"].as_str().unwrap_or_default();
        assert!(["upstream_unavailable", "upstream_crashed"].contains(&code), "{error}");
        assert_eq!(far.count("tools/call"), sent, "exactly one invocation: {error}");
    }
    works(&client).await;
    assert_eq!(far.count("tools/call"), 8);
    the_good_one_is_fine(&client).await;
    gw.stop().await;
}

#[tokio::test]
async fn f27_a_stream_of_events_is_silent_or_says_nothing() {
    let (far, gw, client) = calls(|_, before| match before {
        0 => vec![Step::Hang],
        1 => vec![events(), Step::Hang],
        2 => vec![events(), Step::Flood(b": nothing\n\n".repeat(1000))],
        _ => vec![events(), Step::Flood(b":".repeat(10_000))],
    })
    .await;
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call_fails("far__work", json!({})).await })
        })
        .collect();
    the_good_one_is_fine(&client).await;
    for call in calls {
        is(&soon("the end of a call at its deadline", call).await.expect("no panic"), "upstream_timeout");
    }
    assert_eq!(far.count("tools/call"), 4);
    gw.stop().await;
}

#[tokio::test]
async fn f27_an_event_of_a_gigabyte() {
    let (far, gw, client) = calls(|heard, before| {
        let begin = match before {
            0 => format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":\"", heard.body["id"]),
            _ => "data: {\"jsonrpc\":\"2.0\",\"result\":\"".to_owned(),
        };
        vec![events(), Step::Say(begin.into_bytes()), Step::Flood(vec![b'x'; 1 << 20])]
    })
    .await;
    for _ in 0..2 {
        process::forget_peak(gw.pid);
        let before = process::resident(gw.pid);
        is(&fails(&client).await, "limit_exceeded");
        let grown = process::peak(gw.pid).saturating_sub(before);
        assert!(grown < 3 * (16 << 20), "the gateway grew by {grown} bytes");
    }
    assert_eq!(far.count("tools/call"), 2);
    gw.stop().await;
}

#[tokio::test]
async fn f27_a_stream_breaks_off_and_is_taken_up() {
    // The first call gets its answer when the stream is taken up for the second time, the other never.
    let call = std::sync::Arc::new(std::sync::Mutex::new(Value::Null));
    let far = hostile(move |heard, _| {
        let begin =
            b"id: e-1\nretry: 0\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n".to_vec();
        let half = b"id: e-2\ndata: {\"jsonrpc\":\"2.0\",\"id\":".to_vec();
        let mut call = call.lock().expect("no panic");
        match (heard.kind(), heard.header("last-event-id")) {
            ("tools/call", _) => {
                *call = heard.body["id"].clone();
                Some(vec![events(), Step::Say(begin), Step::Say(half), Step::Close])
            }
            ("GET", Some("e-1")) if heard.body.is_null() && !call.is_null() && call["tries"].is_null() => {
                *call = json!({"tries": 1, "id": *call});
                Some(vec![events(), Step::Close])
            }
            ("GET", Some("e-1")) if call["tries"] == 1 => {
                let result =
                    json!({"jsonrpc": "2.0", "id": call["id"], "result": {"content": [], "late": true}});
                *call = Value::Null;
                Some(vec![events(), Step::Say(format!("data: {result}\n\n").into_bytes()), Step::Close])
            }
            ("GET", Some(_)) => Some(vec![events(), Step::Close]),
            _ => None,
        }
    })
    .await;
    let (gw, client) = toward(&far.url()).await;
    assert_eq!(client.call("far__work", json!({})).await["late"], true);
    assert_eq!(far.count("tools/call"), 1, "the call is not sent again");
    let taken_up = far.seen().iter().filter(|heard| heard.header("last-event-id") == Some("e-1")).count();
    assert_eq!(taken_up, 2, "it was asked for the rest after the last whole event");
    gw.stop().await;
}

#[tokio::test]
async fn f27_the_stream_of_the_session_ends_again_and_again() {
    let far = hostile(|heard, _| {
        (heard.method == "GET").then(|| vec![events(), Step::Say(b"retry: 0\n\n".to_vec()), Step::Close])
    })
    .await;
    let (gw, client) = toward(&far.url()).await;
    soon("a few of them", async {
        while far.count("GET") < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let (began, so_far) = (std::time::Instant::now(), far.count("GET"));
    while began.elapsed() < Duration::from_secs(2) {
        works(&client).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let more = far.count("GET") - so_far;
    assert!(more <= 5, "{more} connections in 2 s, whatever `retry` says");
    gw.stop().await;
}

#[tokio::test]
async fn f28_a_remote_sends_calls_elsewhere() {
    let elsewhere = hostile(|_, _| None).await;
    let target = elsewhere.url();
    let (far, gw, client) = calls(move |_, before| match before {
        0 => status(307, &[("location", &target)]),
        1 => status(308, &[("location", &target)]),
        2 => status(302, &[("location", &target)]),
        3 => status(303, &[("location", &target)]),
        4 => status(307, &[("location", "/mcp")]),
        _ => status(301, &[("location", "http://169.254.169.254/latest/meta-data/")]),
    })
    .await;
    for sent in 1..=6 {
        let error = fails(&client).await;
        is(&error, "upstream_unavailable");
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains("redirects are not followed")),
            "{error}"
        );
        assert_eq!(far.count("tools/call"), sent);
    }
    assert_eq!(elsewhere.connections(), 0);
    gw.stop().await;
}

#[tokio::test]
async fn f28_a_remote_sends_the_handshake_elsewhere() {
    let elsewhere = hostile(|_, _| None).await;
    let target = elsewhere.url();
    let far = hostile(move |_, _| Some(status(307, &[("location", &target)]))).await;
    let gw = towards(&far.url(), gateway()).start().await;
    gw.ready(["fx"]).await;
    let failed = gw.reaches("far", &["failed"]).await;
    assert!(failed["reason"].as_str().is_some_and(|text| text.contains("redirects")), "{failed}");
    assert_eq!(elsewhere.connections(), 0);
    gw.stop().await;
}

#[tokio::test]
async fn f29_an_answer_is_compressed() {
    let bomb = bomb();
    let (far, gw, client) = calls(move |heard, before| {
        let encoding = ["gzip", "br", "deflate", "gzip, gzip"][before % 4];
        let media = if before < 4 { "application/json" } else { "text/event-stream" };
        match before {
            0..8 => {
                let headers = [("content-type", media), ("content-encoding", encoding)];
                vec![Step::Say(head(200, &headers, Some(bomb.len()))), Step::Say(bomb.clone())]
            }
            8 => answer(200, &[("content-type", "application/json"), ("content-encoding", "identity")], &{
                json!({"jsonrpc": "2.0", "id": heard.body["id"], "result": {"content": []}}).to_string()
            }),
            // Without a word about it: it is no JSON then.
            _ => vec![
                Step::Say(head(200, &[("content-type", "application/json")], Some(bomb.len()))),
                Step::Say(bomb.clone()),
            ],
        }
    })
    .await;
    process::forget_peak(gw.pid);
    let before = process::resident(gw.pid);
    for _ in 0..8 {
        is(&fails(&client).await, "upstream_misbehaved");
    }
    assert!(client.call("far__work", json!({})).await["content"].is_array());
    is(&fails(&client).await, "upstream_misbehaved");
    let grown = process::peak(gw.pid).saturating_sub(before);
    assert!(grown < 8 << 20, "the gateway grew by {grown} bytes");
    assert!(far.seen().iter().all(|heard| heard.header("accept-encoding").is_none()), "nobody asked for it");
    gw.stop().await;
}

/// 64 MiB of zeros, in a few bytes.
fn bomb() -> Vec<u8> {
    let made = std::process::Command::new("sh").args(["-c", "head -c 67108864 /dev/zero | gzip -9"]).output();
    made.expect("gzip").stdout
}
