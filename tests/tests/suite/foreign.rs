//! Interceptors that are no component of ours: commands, containers and HTTP services of Docker's command line, the
//! standard's own door, and remote interceptor servers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wasmgate_tests::catalog::{good, raw};
use wasmgate_tests::gateway::TOKEN;
use wasmgate_tests::mcp::only;
use wasmgate_tests::{Legacy, Modern, Running, docker, gateway, remote, require, soon};

/// A gateway with the well-behaved server and these interceptors.
async fn with(interceptors: &[&str]) -> (Running, Legacy) {
    let mut builder = gateway().catalog(good("fx"));
    for interceptor in interceptors {
        builder = builder.arg("--interceptor").arg(*interceptor);
    }
    let gw = builder.start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    (gw, client)
}

#[track_caller]
fn failed(error: &Value, interceptor: &str) {
    assert_eq!(error["data"]["code"], "plugin_failed", "{error}");
    assert_eq!(error["data"]["plugin"], interceptor, "{error}");
}

#[tokio::test]
async fn a_command_before_the_call_may_answer_in_the_server_s_place() {
    let answer = r#"cat >"$HOME/shown"; echo '{"content":[{"type":"text","text":"not today"}]}'"#;
    let builder = gateway().catalog(good("fx")).arg("--interceptor").arg(format!("before:exec:{answer}"));
    let shown = builder.home().join("shown");
    let gw = builder.start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let result = client.call("echo", json!({"a": 1})).await;
    assert_eq!(result, json!({"content": [{"type": "text", "text": "not today"}]}));
    let shown: Value =
        serde_json::from_slice(&std::fs::read(shown).expect("what it was shown")).expect("JSON");
    assert_eq!(shown["method"], "tools/call");
    assert_eq!(shown["params"]["name"], "echo");
    assert_eq!(shown["params"]["arguments"], json!({"a": 1}));
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("unsandboxed"), "nobody is told: {}", ended.stderr);
}

#[tokio::test]
async fn a_command_that_says_nothing_leaves_the_call_alone() {
    let (gw, client) =
        with(&["before:exec:true", "after:exec:cat >/dev/null; echo heard >&2", "after:exec:echo"]).await;
    let result = client.call("echo", json!({"a": 1})).await;
    assert_eq!(result["structuredContent"], json!({"a": 1}));
    let error = client.call_fails("no-such-tool", json!({})).await;
    assert!(error["message"].as_str().is_some_and(|words| !words.contains("interceptor")), "{error}");
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("heard"), "what it said on stderr is not logged:\n{}", ended.stderr);
}

#[tokio::test]
async fn commands_after_the_call_see_the_result_and_replace_it_the_first_one_last() {
    let say = |word: &str| {
        format!(
            r#"after:exec:read r; echo "{word} saw $r" >&2; echo '{{"content":[{{"type":"text","text":"{word}"}}]}}'"#
        )
    };
    let (one, two) = (say("one"), say("two"));
    let (gw, client) = with(&[&one, &two]).await;
    assert_eq!(client.call("text", json!({"text": "from the server"})).await["content"][0]["text"], "one");
    let ended = gw.stop().await;
    let line = |word: &str| {
        ended.stderr.lines().find(|line| line.contains(&format!("{word} saw"))).expect("its words").to_owned()
    };
    assert!(line("two").contains("from the server"), "{}", line("two"));
    assert!(!line("one").contains("from the server"), "{}", line("one"));
}

#[tokio::test]
async fn after_a_failed_call_a_command_sees_null_and_the_failure_stays() {
    let say = r#"after:exec:read r; echo "saw <$r>" >&2; echo '{"content":[]}'"#;
    let mut builder = gateway().catalog(raw("r"));
    builder = builder.arg("--interceptor").arg(say);
    let gw = builder.start().await;
    gw.ready(["r"]).await;
    let error = gw.alone("r").await.call_fails("no-such-tool-there", json!({})).await;
    assert!(error["code"].is_i64(), "{error}");
    let ended = gw.stop().await;
    assert!(ended.stderr.contains("saw <null>"), "{}", ended.stderr);
    assert!(ended.stderr.contains("stays failed"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_command_that_fails_stops_the_call() {
    for (script, words) in [
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "signal 9"),
        ("echo '{}'", "neither `content` nor `structuredContent`"),
        ("cat", "neither `content` nor `structuredContent`"),
        ("echo no", "not JSON"),
        ("head -c 5000000 /dev/zero", "output limit"),
    ] {
        let (gw, client) = with(&[&format!("before:exec:{script}")]).await;
        failed(&client.call_fails("text", json!({"text": "x"})).await, "before-exec-1");
        let error = client.call_fails("text", json!({"text": "x"})).await;
        assert!(
            error["message"].as_str().is_some_and(|said| said.contains("before-exec-1")),
            "{script}: {error}"
        );
        let ended = gw.stop().await;
        // The details are for the operator.
        assert!(ended.stderr.contains(words), "{script}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_it_started() {
    let (gw, client) = with(&["before:exec:sleep 1000 & sleep 1000"]).await;
    failed(&client.call_fails("text", json!({"text": "x"})).await, "before-exec-1");
    soon("the end of both", async {
        while gw.processes().iter().any(|(_, line)| line.contains("sleep")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    gw.stop().await;
}

#[tokio::test]
async fn a_client_that_gives_up_ends_its_command() {
    let (gw, client) = with(&["before:exec:sleep 1000"]).await;
    let id = client.next_id();
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "text", "arguments": {}}});
    let asking = tokio::spawn(client.post(body.to_string()).send());
    soon("the command", async {
        while !gw.processes().iter().any(|(_, line)| line.contains("sleep")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    client.notify("notifications/cancelled", json!({"requestId": id})).await;
    soon("its end", async {
        while gw.processes().iter().any(|(_, line)| line.contains("sleep")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    asking.await.expect("an answer");
    gw.stop().await;
}

#[tokio::test]
async fn a_command_that_keeps_failing_is_left_alone_for_a_while() {
    let (gw, client) = with(&["before:exec:echo ran >&2; exit 1"]).await;
    for _ in 0..7 {
        failed(&client.call_fails("text", json!({"text": "x"})).await, "before-exec-1");
    }
    let ended = gw.stop().await;
    assert_eq!(ended.stderr.matches("\"ran\"").count(), 5, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("left alone").count(), 1, "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_calls_run_in_one_command_at_the_same_time_and_the_others_wait() {
    let script =
        r#"d="$HOME/running"; mkdir -p "$d/$$"; ls "$d" | wc -l >>"$HOME/counts"; sleep 0.3; rmdir "$d/$$""#;
    let builder = gateway().catalog(good("fx")).arg("--interceptor").arg(format!("before:exec:{script}"));
    let counts = builder.home().join("counts");
    let gw = builder.start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let calls = (0..24).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.call("echo", json!({"n": n})).await })
    });
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.expect("a call")["structuredContent"], json!({"n": n}));
    }
    let counts = std::fs::read_to_string(counts).expect("the counts");
    let counts: Vec<usize> = counts.lines().map(|line| line.trim().parse().expect("a count")).collect();
    assert_eq!(counts.len(), 24);
    assert!(counts.iter().all(|count| *count <= 16), "{counts:?}");
    gw.stop().await;
}

#[tokio::test]
async fn an_http_service_is_asked_and_must_answer_well() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let address = remote::service(move |head, body| {
        log.lock().expect("a lock").push((head.to_owned(), body.to_owned()));
        match head.split(' ').nth(1).unwrap_or_default().split_whitespace().next().unwrap_or_default() {
            "/answer" => (200, json!({"content": [], "structuredContent": {"by": "service"}}).to_string()),
            "/pass" => (204, String::new()),
            "/empty" => (200, "{}".to_owned()),
            "/moved" => (302, String::new()),
            "/huge" => (200, "x".repeat(5 << 20)),
            _ => (500, json!({"content": []}).to_string()),
        }
    })
    .await;
    let of = |path: &str| format!("before:http:http://{address}/{path}");
    let (gw, client) = with(&[&of("pass"), &of("answer")]).await;
    assert_eq!(client.call("text", json!({"a": 1})).await["structuredContent"], json!({"by": "service"}));
    gw.stop().await;
    let first = seen.lock().expect("a lock")[0].clone();
    assert!(
        first.0.starts_with("POST /pass") && first.0.contains("content-type: application/json"),
        "{}",
        first.0
    );
    let body: Value = serde_json::from_str(&first.1).expect("JSON");
    assert_eq!((&body["method"], &body["params"]["arguments"]), (&json!("tools/call"), &json!({"a": 1})));
    for path in ["broken", "empty", "moved", "huge"] {
        let (gw, client) = with(&[&of(path)]).await;
        failed(&client.call_fails("text", json!({})).await, "before-http-1");
        gw.stop().await;
    }
    assert!(
        !seen.lock().expect("a lock").iter().any(|(head, _)| head.contains("/elsewhere")),
        "a redirect was followed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_shown_the_call_and_is_gone_afterwards() {
    require!(docker::scratch().await);
    let (gw, client) = with(&[&format!("before:docker:{} interceptor two words", docker::SCRATCH)]).await;
    let gw = gw.with_container("before-docker-1");
    let result = client.call("echo", json!({"a": 1})).await;
    assert_eq!(result["content"][0]["text"], "two words");
    assert_eq!(result["structuredContent"]["shown"]["params"]["arguments"], json!({"a": 1}));
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_hangs_stops_the_call_and_is_removed() {
    require!(docker::scratch().await);
    let engine = docker::there().await.expect("checked");
    // Ignores the end of its input and SIGTERM.
    let (gw, client) =
        with(&["after:exec:true", &format!("before:docker:{} stubborn", docker::SCRATCH)]).await;
    failed(&client.call_fails("echo", json!({"a": 1})).await, "before-docker-2");
    soon("the end of its container", async {
        while !docker::containers_of(&engine, "before-docker-2").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    gw.stop().await;
}

#[tokio::test]
async fn a_component_can_be_named_the_same_way() {
    let component = wasmgate_tests::build::plugin("block-secrets");
    let builder = gateway().catalog(good("fx")).arg("--block-secrets=false");
    let gw = builder.arg("--interceptor").arg(format!("before:wasm:{}", component.display())).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let refused = client.call_fails("echo", json!({"text": secret})).await;
    assert_eq!(refused["data"]["findings"][0]["interceptor"], "before-wasm-1", "{refused}");
    gw.stop().await;
}

#[tokio::test]
async fn a_slip_in_the_command_line_is_said_with_its_cure() {
    for (written, words) in [
        ("around:exec:x", "use `before` or `after`"),
        ("before:lua:x", "use `exec`, `docker`, `http` or `wasm`"),
        ("before:exec", "when:type:argument"),
        ("before:http:localhost:80", "write it out"),
    ] {
        let ended = gateway().catalog(good("fx")).arg("--interceptor").arg(written).run_to_end().await;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{written}: {}", ended.stderr);
        let ended = wasmgate_tests::gateway::wasmgate(&["validate", "--interceptor", written], &[]).await;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{written}: {}", ended.stderr);
    }
}

/// Asks at the door.
async fn knock(gw: &Running, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    only(&gw.door("/interceptors").post(body).send().await)
}

const DOOR: &str = "listen: {http: '127.0.0.1:0', interceptors: true}\n";
const SECRET: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

#[tokio::test]
async fn the_door_is_shut_unless_it_is_opened_and_asks_for_the_token() {
    let gw = gateway().catalog(good("fx")).start().await;
    assert_eq!(gw.door("/interceptors").post("{}").send().await.status, 404);
    gw.stop().await;
    let gw = gateway().catalog(good("fx")).config(DOOR).start().await;
    let stranger = gw.door("/interceptors").post("{}").without("authorization").send().await;
    assert_eq!(stranger.status, 401);
    let page = gw.door("/interceptors").post("{}").header("origin", "https://evil.example").send().await;
    assert_eq!(page.status, 403);
    assert_eq!(gw.door("/interceptors").ask("GET").send().await.status, 405);
    let batch = gw.door("/interceptors").post("[]").send().await;
    assert_eq!(only(&batch)["error"]["code"], -32600);
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    assert_eq!(gw.door("/interceptors").post(note).send().await.status, 202);
    gw.stop().await;
}

#[tokio::test]
async fn the_door_lists_the_interceptors_and_runs_one() {
    let gw = gateway().catalog(good("fx")).config(DOOR);
    let gw = gw.arg("--interceptor").arg(r#"after:exec:cat >/dev/null; echo '{"content":[]}'"#).start().await;
    gw.ready(["fx"]).await;
    let hello = knock(&gw, "initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}})).await;
    let events = hello["result"]["capabilities"]["interceptor"]["supportedEvents"].clone();
    assert!(events.as_array().is_some_and(|events| events.contains(&json!("tools/call"))), "{hello}");
    assert_eq!(knock(&gw, "tools/list", json!({})).await["error"]["code"], -32601);

    let listed = knock(&gw, "interceptors/list", json!({})).await["result"]["interceptors"].clone();
    let of = |name: &str| {
        let list = listed.as_array().expect("a list");
        list.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {listed}")).clone()
    };
    assert_eq!(of("block-secrets")["type"], "validation");
    assert_eq!(of("after-exec-1")["hook"], json!({"events": ["tools/call"], "phase": "response"}));
    assert!(of("after-exec-1").get("failOpen").is_none() && of("after-exec-1").get("mode").is_none());

    let call = |text: &str| {
        json!({"name": "block-secrets", "event": "tools/call", "phase": "request", "payload":
            {"method": "tools/call", "params": {"name": "t", "arguments": {"text": text}}}})
    };
    let clean = knock(&gw, "interceptor/invoke", call("ordinary")).await["result"].clone();
    assert_eq!((&clean["valid"], &clean["interceptor"]), (&json!(true), &json!("block-secrets")));
    let refused = knock(&gw, "interceptor/invoke", call(SECRET)).await["result"].clone();
    assert_eq!((&refused["valid"], &refused["severity"]), (&json!(false), &json!("error")), "{refused}");
    assert_eq!(refused["messages"][0]["path"], "params.arguments.text", "{refused}");

    let after = json!({"name": "after-exec-1", "event": "tools/call", "phase": "response", "payload": {"content": [1]}});
    let changed = knock(&gw, "interceptor/invoke", after).await["result"].clone();
    assert_eq!(
        (&changed["modified"], &changed["payload"]),
        (&json!(true), &json!({"content": []})),
        "{changed}"
    );

    let mut nobody = call("x");
    nobody["name"] = "nobody".into();
    assert_eq!(knock(&gw, "interceptor/invoke", nobody).await["error"]["code"], -32602);
    assert_eq!(knock(&gw, "interceptor/invoke", json!({})).await["error"]["code"], -32602);
    gw.stop().await;
}

#[tokio::test]
async fn a_modern_client_is_answered_in_its_own_era() {
    let gw = gateway().catalog(good("fx")).config(DOOR).start().await;
    let client = Modern::new(gw.door("/interceptors"));
    let discovered = client.request("server/discover", json!({})).await;
    assert!(discovered["result"]["capabilities"]["interceptor"].is_object(), "{discovered}");
    let listed = client.request("interceptors/list", json!({"event": "tools/call"})).await;
    assert_eq!(listed["result"]["resultType"], "complete", "{listed}");
    let unknown = client.ask("tools/list", json!({})).send().await;
    assert_eq!(unknown.status, 404);
    gw.stop().await;
}

#[tokio::test]
async fn a_run_through_the_door_ends_with_its_time() {
    let gw = gateway().catalog(good("fx")).config(DOOR).arg("--interceptor").arg("before:exec:sleep 1000");
    let gw = gw.start().await;
    gw.ready(["fx"]).await;
    let asked = json!({"name": "before-exec-1", "event": "tools/call", "phase": "request", "payload": {}, "timeoutMs": 50});
    let error = knock(&gw, "interceptor/invoke", asked).await["error"].clone();
    assert_eq!(error["code"], -32000, "{error}");
    assert_eq!(error["data"], json!({"interceptor": "before-exec-1", "timeoutMs": 50, "phase": "request"}));
    soon("the end of the command", async {
        while gw.processes().iter().any(|(_, line)| line.contains("sleep")) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    gw.stop().await;
}

#[tokio::test]
async fn one_gateway_runs_the_interceptors_of_another() {
    let replace = r#"after:exec:read r; echo '{"content":[{"type":"text","text":"seen by a"}]}'"#;
    let answer = r#"before:exec:grep -q '"name":"fail"' && echo '{"content":[{"type":"text","text":"answered by a"}]}' || true"#;
    let a = gateway().catalog(good("fx")).config(DOOR);
    let a = a.arg("--interceptor").arg(replace).arg("--interceptor").arg(answer).start().await;
    a.ready(["fx"]).await;
    let config = format!("plugins:\n  far: {{use: 'mcp+{}', token: a.token}}\n", a.url("/interceptors"));
    let b = gateway()
        .catalog(good("fx"))
        .config(&config)
        .env("WASMGATE_SECRET_A_TOKEN", TOKEN)
        .arg("--block-secrets=false")
        .start()
        .await;
    b.ready(["fx"]).await;
    let client = b.alone("fx").await;
    // A mutator of the other gateway.
    assert_eq!(client.call("echo", json!({"a": 1})).await["content"][0]["text"], "seen by a");
    // A validator of it, and its finding's place.
    let refused = client.call_fails("echo", json!({"text": SECRET})).await;
    assert_eq!(refused["data"]["findings"][0]["interceptor"], "far/block-secrets", "{refused}");
    assert_eq!(refused["data"]["findings"][0]["path"], "/arguments/text", "{refused}");
    // An answer in the server's place, which the standard has no word for.
    let result = client.call("fail", json!({})).await;
    assert!(result.get("isError").is_none(), "{result}");
    // A failure of the server goes to them as one.
    let error = client.call_fails("no-such-tool", json!({})).await;
    assert!(error["data"]["code"] != "plugin_failed", "{error}");
    // Without the other gateway nothing passes.
    a.stop().await;
    let error = client.call_fails("echo", json!({"a": 1})).await;
    assert_eq!(error["data"]["code"], "plugin_failed", "{error}");
    b.stop().await;
}

/// A remote interceptor server that answers every invocation with `answer`, and keeps what it was asked.
async fn scripted(
    answer: impl Fn(&Value) -> Value + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Value>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let address = remote::service(move |_, body| {
        let Ok(message) = serde_json::from_str::<Value>(body) else { return (405, String::new()) };
        let Some(id) = message.get("id") else { return (202, String::new()) };
        let hook = json!({"events": ["tools/call"], "phase": "both"});
        let outcome = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({"result": {"protocolVersion": "2025-11-25", "capabilities": {"interceptor": {"supportedEvents": ["tools/call"]}},
                "serverInfo": {"name": "scripted", "version": "1"}}}),
            "interceptors/list" => json!({"result": {"interceptors": [
                {"name": "checks", "type": "validation", "hook": hook}, {"name": "changes", "type": "mutation", "hook": hook}]}}),
            "interceptor/invoke" => {
                log.lock().expect("a lock").push(message["params"].clone());
                answer(&message["params"])
            }
            _ => json!({"error": {"code": -32601, "message": "no"}}),
        };
        let mut response = json!({"jsonrpc": "2.0", "id": id});
        response.as_object_mut().expect("an object").extend(outcome.as_object().expect("an object").clone());
        (200, response.to_string())
    })
    .await;
    (format!("mcp+http://{address}/mcp"), seen)
}

#[tokio::test]
async fn a_remote_is_shown_the_call_with_its_configuration_and_context() {
    let (url, seen) = scripted(|params| match (params["phase"].as_str(), params["payload"].clone()) {
        (Some("request"), mut payload) => {
            payload["params"]["arguments"]["added"] = json!(true);
            json!({"result": {"modified": true, "payload": payload}})
        }
        _ => json!({"result": {"modified": false}}),
    })
    .await;
    let config = format!(
        "{DOOR}plugins:\n  far: {{use: '{url}', interceptor: changes, config: {{level: 3}}, when: {{events: [tools/call]}}, limits: {{wall: 4s}}}}\n"
    );
    let gw = gateway().catalog(good("fx")).config(&config).start().await;
    gw.ready(["fx"]).await;
    let result = gw.alone("fx").await.call("echo", json!({"a": 1})).await;
    assert_eq!(result["structuredContent"], json!({"a": 1, "added": true}));
    let first = seen.lock().expect("a lock")[0].clone();
    assert_eq!((&first["name"], &first["event"]), (&json!("changes"), &json!("tools/call")));
    assert_eq!((&first["phase"], &first["payload"]["method"]), (&json!("request"), &json!("tools/call")));
    assert_eq!((&first["config"], &first["timeoutMs"]), (&json!({"level": 3}), &json!(4000)));
    assert_eq!(first["context"]["principal"], json!({"type": "user", "id": "bearer"}));
    assert!(first["context"]["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{first}");
    assert!(first["context"]["sessionId"].is_string(), "{first}");
    let second = seen.lock().expect("a lock")[1].clone();
    assert_eq!(
        (&second["phase"], &second["payload"]["structuredContent"]["added"]),
        (&json!("response"), &json!(true))
    );
    // Through our own door with another configuration.
    let asked = json!({"name": "far", "event": "tools/call", "phase": "request", "payload": {"name": "t"}, "config": {"level": 4}});
    let through = knock(&gw, "interceptor/invoke", asked).await;
    assert_eq!(through["result"]["payload"]["arguments"]["added"], true, "{through}");
    assert_eq!(seen.lock().expect("a lock")[2]["config"], json!({"level": 4}));
    gw.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_answers_wrongly_or_late_stops_the_call() {
    for (answer, words) in [
        (json!({"result": {}}), "no `valid`"),
        (json!({"result": {"valid": "yes"}}), "no `valid`"),
        (json!({"result": {"valid": true, "interceptor": "other"}}), "another `interceptor`"),
        (
            json!({"error": {"code": -32603, "message": "broken", "data": {"reason": "no\u{7}idea"}}}),
            "broken",
        ),
        (json!({"result": {"sleep": true}}), "time limit"),
    ] {
        let (url, _) = scripted(move |_| {
            if answer["result"].get("sleep").is_some() {
                std::thread::sleep(std::time::Duration::from_secs(4));
            }
            answer.clone()
        })
        .await;
        let config =
            format!("plugins:\n  far: {{use: '{url}', interceptor: checks, limits: {{wall: 1s}}}}\n");
        let gw = gateway().catalog(good("fx")).config(&config).start().await;
        gw.ready(["fx"]).await;
        failed(&gw.alone("fx").await.call_fails("text", json!({})).await, "far");
        let ended = gw.stop().await;
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_remote_that_cannot_be_used_fails_the_start() {
    let (url, _) = scripted(|_| json!({})).await;
    for (plugin, words) in [
        (format!("{{use: '{url}', interceptor: missing}}"), "it has changes, checks"),
        (format!("{{use: '{url}', when: {{events: [prompts/get]}}}}"), "look at its list"),
        ("{use: 'mcp+http://127.0.0.1:1/mcp'}".to_owned(), "cannot be reached"),
        ("{use: 'mcp+ftp://host/'}".to_owned(), "write `mcp+https://host/path`"),
        (format!("{{use: '{url}', limits: {{memory: 1MiB}}}}"), "only `wall` can be kept on a remote"),
        ("{use: builtin:log-calls, interceptor: x}".to_owned(), "is for remotes"),
        (format!("{{use: '{url}', token: no.such}}"), "WASMGATE_SECRET_NO_SUCH"),
    ] {
        let config = format!("plugins:\n  far: {plugin}\n");
        let ended = gateway().catalog(good("fx")).config(&config).run_to_end().await;
        assert_eq!(ended.status.code(), Some(2), "{plugin}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{plugin}: {}", ended.stderr);
    }
}
