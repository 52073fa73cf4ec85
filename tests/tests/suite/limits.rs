//! `limits` of wasmgate.yaml as a whole: what is wrong with them, and when they take effect. What each of them does is
//! among the faults.

use serde_json::json;
use wasmgate_tests::catalog::good;
use wasmgate_tests::gateway;
use wasmgate_tests::mcp::only;

use crate::reload::change;

#[tokio::test]
async fn a_limit_that_makes_no_sense_stops_the_start() {
    for (limits, says) in [
        ("{http: {body: 0}}", &["wasmgate.yaml:1:23", "`limits.http.body`", "at least `1KiB`", "`4MiB`"][..]),
        ("{drain: 25}", &["wasmgate.yaml:1:17", "`25` is not a length of time"]),
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
