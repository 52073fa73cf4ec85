//! What plugins may use: each capability with its grant, without it, and used by somebody hostile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{engine, exchange, guest, run_in, settings, words};
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Exchange, Operation, Phase};
use wasmgate_wasm::{
    Engine, EngineSettings, Grants, HttpGrant, Interceptor, KnownSecrets, KvGrant, Limits, LoadError, Origin,
    Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse, Plugin, SecretGrant,
    Settings, inspect,
};

/// The guest `capable` under a name of its own, so that tests do not share what it keeps.
async fn capable(name: &str, grants: Grants) -> Arc<Interceptor> {
    with(engine(), name, Settings { grants, ..settings("{}") }).await
}

async fn with(engine: &Engine, name: &str, settings: Settings) -> Arc<Interceptor> {
    let loaded = Plugin::load(engine, name, guest("capable"), settings).await.unwrap();
    loaded.interceptors.into_iter().next().unwrap()
}

/// What comes of `lines`, done for this principal and session.
async fn told_by(stage: &Arc<Interceptor>, who: (&str, Option<&str>), lines: &str) -> String {
    let operation =
        Operation { principal: who.0.into(), session: who.1.map(Into::into), ..exchange().operation };
    let payload = Json::of(&serde_json::json!({ "do": lines }));
    answer(stage, &Exchange::new(operation), payload.as_str()).await
}

async fn told(stage: &Arc<Interceptor>, lines: &str) -> String {
    told_by(stage, ("alice", None), lines).await
}

async fn answer(stage: &Arc<Interceptor>, exchange: &Exchange, payload: &str) -> String {
    let answer = run_in(stage, exchange, Phase::Request, payload).await;
    words(&answer).trim_start_matches("Info at None: ").to_owned()
}

fn kv(quota: usize) -> Grants {
    Grants { kv: Some(KvGrant { quota }), ..Grants::default() }
}

#[tokio::test]
async fn without_a_grant_everything_is_denied() {
    let stage = capable("ungranted", Grants::default()).await;
    for (line, expected) in [
        ("kv get global k", "denied: `kv: true` is not granted"),
        ("kv set global k v", "denied: `kv: true` is not granted"),
        ("kv delete global k", "denied: `kv: true` is not granted"),
        ("kv add global k 1", "denied: `kv: true` is not granted"),
        ("kv swap global k nothing v", "denied: `kv: true` is not granted"),
        ("labels", "denied: `labels: true` is not granted"),
        ("label a", "denied: `labels: true` is not granted"),
        ("random 8", "denied: `random: true` is not granted"),
        ("find ", "denied: `findSecrets: true` is not granted"),
        ("get https://granted.example", "denied: `http: [\"https://granted.example\"]` is not granted"),
        ("names", ""),
        ("clock", "false"),
    ] {
        assert_eq!(told(&stage, line).await, expected, "{line}");
    }
}

#[tokio::test]
async fn values_outlive_calls_and_swaps() {
    let first = capable("swapped", kv(1 << 20)).await;
    assert_eq!(told(&first, "kv set global k one\nkv add global n 2\nkv get global k").await, "set; 2; one");
    drop(first);
    let second = capable("swapped", kv(1 << 20)).await;
    assert_eq!(
        told(&second, "kv get global k\nkv add global n 3\nkv delete global k").await,
        "one; 5; deleted"
    );
    assert_eq!(
        told(&second, "kv get global k\nkv swap global k nothing v\nkv swap global k nothing w").await,
        "nothing; true; false"
    );
    assert_eq!(told(&second, "kv set-for global k v 0\nkv get global k").await, "set; nothing");
    assert_eq!(
        told(&second, "kv set global t text\nkv add global t 1").await,
        "set; failed: what is there is no counter: those have 8 bytes"
    );
}

#[tokio::test]
async fn plugins_principals_and_sessions_have_their_own_values() {
    let stage = capable("scoped", kv(1 << 20)).await;
    let other = capable("scoped-other", kv(1 << 20)).await;
    let set = "kv set session k session\nkv set principal k principal\nkv set global k global";
    let get = "kv get session k\nkv get principal k\nkv get global k";
    let alice = ("alice", Some("s1"));
    assert_eq!(told_by(&stage, alice, set).await, "set; set; set");
    assert_eq!(told_by(&stage, alice, get).await, "session; principal; global");
    assert_eq!(told_by(&stage, ("alice", Some("s2")), get).await, "nothing; principal; global");
    assert_eq!(told_by(&stage, ("bob", Some("s3")), get).await, "nothing; nothing; global");
    assert_eq!(told_by(&stage, ("alice", None), get).await, "nothing; principal; global");
    assert_eq!(told_by(&other, alice, get).await, "nothing; nothing; nothing");
    // Without sessions it is the principal's.
    assert_eq!(told_by(&stage, ("bob", None), "kv set session k bobs\nkv get session k").await, "set; bobs");
    assert_eq!(told_by(&stage, ("bob", None), "kv get session k").await, "bobs");
    assert_eq!(told_by(&stage, ("alice", None), "kv get session k").await, "nothing");
}

#[tokio::test]
async fn what_a_failed_call_wrote_counts() {
    let stage = capable("attempts", kv(1 << 20)).await;
    assert_eq!(told(&stage, "kv add global attempts 1\nfail").await, "failed: as told");
    assert_eq!(told(&stage, "kv add global attempts 1").await, "2");
}

#[tokio::test]
async fn a_plugin_keeps_no_more_than_its_quota() {
    let stage = capable("bomb", kv(64 << 10)).await;
    let kept = told(&stage, "kv bomb global k").await;
    let count: usize = kept.trim_end_matches(" kept").parse().unwrap();
    assert!((300..500).contains(&count), "{kept}");
    let full = "more than allowed: its quota of 65536 bytes (`grants.kv.quota`)";
    assert_eq!(
        told(&stage, "kv set principal k v\nkv set-large global k0 200").await,
        format!("{full}; {full}")
    );
    assert_eq!(told(&stage, "kv delete global k0\nkv set global k0 v").await, "deleted; set");
    let roomy = capable("roomy", kv(1 << 20)).await;
    assert_eq!(
        told(&roomy, "kv set-large global k 65536\nkv set-large global k 65537").await,
        "set; more than allowed: a value of 65536 bytes"
    );
    assert_eq!(
        told(&roomy, "kv set-long global k 256\nkv set-long global k 257").await,
        "set; more than allowed: a key of 256 bytes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn additions_of_concurrent_calls_all_count() {
    let stage = capable("concurrent", kv(1 << 20)).await;
    let calls = (0..50).map(|_| {
        let stage = Arc::clone(&stage);
        async move { told(&stage, "kv add global n 1\nkv add global n 1").await }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(told(&stage, "kv add global n 0").await, "100");
}

#[tokio::test]
async fn there_is_nobody_to_keep_values_for_outside_of_a_call() {
    let lines = r"kv add global n 1\nkv add session n 1\nlabels\nnames";
    let grants = Grants { labels: true, ..kv(1 << 20) };
    let config = format!("{{\"do\":\"{lines}\"}}");
    let stage = with(engine(), "configured", Settings { grants, ..settings(&config) }).await;
    let found = told(&stage, "").await;
    let (sum, rest) = found.split_once("; ").unwrap();
    assert!(sum.parse::<u32>().is_ok(), "{found}");
    assert_eq!(
        rest,
        "denied: there is no session and no principal outside of a call; denied: there is no session outside of a call; "
    );
}

#[tokio::test]
async fn marks_are_the_sessions_and_every_plugins() {
    let grants = Grants { labels: true, ..Grants::default() };
    let (one, other) = (capable("marks-1", grants.clone()).await, capable("marks-2", grants).await);
    let alice = ("marked", Some("marked-1"));
    assert_eq!(
        told_by(&one, alice, "label read:secret\nlabel b\nlabel read:secret\nlabels").await,
        "put; put; put; read:secret,b"
    );
    assert_eq!(told_by(&other, alice, "labels").await, "read:secret,b");
    assert_eq!(told_by(&other, ("marked", Some("marked-2")), "labels").await, "");
    assert_eq!(told_by(&other, ("marked", None), "labels\nlabel x\nlabels").await, "; put; x");
    assert_eq!(
        told_by(&one, alice, "label Upper").await,
        "failed: a mark is `[a-z0-9._:/-]`, 1 to 128 bytes"
    );
    assert_eq!(
        told_by(&one, ("marked", Some("flood")), "label-flood\nlabel y").await,
        "64 put; more than allowed: 64 marks on a session"
    );
}

#[tokio::test]
async fn random_numbers_are_the_same_without_the_grant() {
    let fixed = capable("fixed", Grants::default()).await;
    let seed = told(&fixed, "seed").await;
    assert_eq!(told(&fixed, "seed").await, seed);
    let granted = capable("random", Grants { random: true, ..Grants::default() }).await;
    assert_ne!(told(&granted, "seed").await, told(&granted, "seed").await);
    assert_eq!(
        told(&granted, "random 4096\nrandom 4097").await,
        "4096 bytes; more than allowed: 4096 bytes at once"
    );
}

#[tokio::test]
async fn time_passes_with_the_grant() {
    let granted = capable("timed", Grants { clock: true, ..Grants::default() }).await;
    assert_eq!(told(&granted, "clock").await, "true");
}

#[tokio::test]
async fn no_socket_is_made_and_no_name_looked_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let everything = Grants { clock: true, random: true, labels: true, http: granted(), ..kv(1 << 20) };
    let stage = capable("sockets", everything).await;
    let line = format!("sockets {}", listener.local_addr().unwrap());
    assert_eq!(told(&stage, &line).await, "false false false false");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn secrets_are_found_by_name_and_place() {
    let known =
        [("KEY", "s3cret-value"), ("SHORT", "abc")].map(|(name, value)| (name.to_owned(), value.into()));
    let known = Arc::new(KnownSecrets::new(known).unwrap());
    let stage = capable("finds", Grants { find_secrets: Some(known), ..Grants::default() }).await;
    let found = async |under: &str, rest: &str| {
        answer(&stage, &exchange(), &format!("{{\"do\":\"find {under}\",\"a\":{rest}}}")).await
    };
    assert_eq!(
        found("", r#"["x s3cret-value","s3cret%2Dvalue abc",{"b":"\u0073\u0033cret-value"}]"#).await,
        "KEY at /a/0 2..14, KEY at /a/1 0..14, KEY at /a/2/b 0..12"
    );
    assert_eq!(found("/a/1", r#"["s3cret-value","czNjcmV0LXZhbHVl"]"#).await, "KEY at /a/1 0..16");
    assert_eq!(found("/none", r#""s3cret-value""#).await, "");
    let many = |count: usize| format!("\"{}\"", "s3cret-value ".repeat(count));
    assert_eq!(found("", &many(1000)).await, "1000 places");
    assert_eq!(found("", &many(1001)).await, "more than allowed: 1000 places in one message");
}

/// Answers with what it was asked; `/slow` never, `/large` too much, `/cookie` with headers that are not passed on.
#[derive(Default)]
struct Echo(Mutex<Vec<String>>);

impl Outbound for Echo {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        Box::pin(async move {
            let text = format!(
                "{} {} {:?} {:?} {}",
                request.method,
                request.url,
                request.headers,
                request.body,
                if request.private { "private" } else { "public" }
            );
            self.0.lock().unwrap().push(text.clone());
            let header = |name: &str| (name.to_owned(), "1".to_owned());
            match request.url.path() {
                "/slow" => std::future::pending().await,
                "/panic" => panic!("made to"),
                "/forbidden" => Err(OutboundError::Forbidden("a private address".into())),
                "/broken" => Err(OutboundError::Failed("it broke\noff".into())),
                "/large" => Ok(OutboundResponse {
                    status: 200,
                    headers: Vec::new(),
                    body: vec![b'x'; request.max_response + 1].into(),
                }),
                "/headers" => Ok(OutboundResponse {
                    status: 200,
                    headers: vec![header("x"); 65],
                    body: bytes::Bytes::new(),
                }),
                _ => Ok(OutboundResponse {
                    status: 200,
                    headers: ["x-one", "set-cookie", "connection"].map(header).into(),
                    body: "hello".into(),
                }),
            }
        })
    }
}

fn granted() -> Vec<HttpGrant> {
    ["https://granted.example", "https://other.example", "http://127.0.0.1:9"]
        .map(|origin| HttpGrant { origin: Origin::parse(origin).unwrap(), private: false })
        .into()
}

/// A plugin that is granted origins, and what was sent for it.
async fn online(limits: Limits) -> (Arc<Interceptor>, Arc<Echo>) {
    let secret = |name: &str, origin: &str| SecretGrant {
        name: name.into(),
        value: "s3cret-value".into(),
        origins: vec![Origin::parse(origin).unwrap()],
    };
    let secrets = vec![secret("KEY", "https://granted.example")];
    let echo = Arc::new(Echo::default());
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
    let settings_of_engine = EngineSettings {
        cache: Some(cache),
        outbound: Some(Arc::clone(&echo) as Arc<dyn Outbound>),
        later: None,
    };
    let engine = Engine::new(settings_of_engine).unwrap();
    let grants = Grants { http: granted(), secrets, ..Grants::default() };
    let stage = with(&engine, "online", Settings { grants, limits, ..settings("{}") }).await;
    (stage, echo)
}

#[tokio::test]
async fn granted_origins_are_reached_and_no_others() {
    let (stage, sent) = online(settings("{}").limits).await;
    assert_eq!(told(&stage, "get https://granted.example/a?b#c").await, "200 [x-one] hello");
    assert_eq!(told(&stage, "get http://127.0.0.1:9/").await, "200 [x-one] hello");
    let absolute = "get https://granted.example/http://evil.example/";
    assert_eq!(told(&stage, absolute).await, "200 [x-one] hello");
    for refused in
        ["https://evil.example/", "http://granted.example/", "https://granted.example@evil.example/"]
    {
        assert!(!told(&stage, &format!("get {refused}")).await.starts_with("200"), "{refused}");
    }
    let sent = sent.0.lock().unwrap().clone();
    assert_eq!(
        sent,
        [
            "GET https://granted.example/a?b [] b\"\" public",
            "GET http://127.0.0.1:9/ [] b\"\" private",
            "GET https://granted.example/http://evil.example/ [] b\"\" public",
        ]
    );
}

#[tokio::test]
async fn a_secret_is_sent_and_never_seen() {
    let (stage, sent) = online(settings("{}").limits).await;
    assert_eq!(told(&stage, "names\nget https://granted.example/ KEY").await, "KEY; 200 [x-one] hello");
    let elsewhere = "that secret is not granted for https://other.example (`grants.secrets`)";
    assert_eq!(told(&stage, "get https://other.example/ KEY").await, format!("denied: {elsewhere}"));
    let unknown = "that secret is not granted for https://granted.example (`grants.secrets`)";
    assert_eq!(told(&stage, "get https://granted.example/ OTHER").await, format!("denied: {unknown}"));
    let sent = sent.0.lock().unwrap().clone();
    assert_eq!(
        sent,
        ["GET https://granted.example/ [(\"authorization\", \"Bearer s3cret-value\")] b\"\" public"]
    );
}

#[tokio::test]
async fn forbidden_headers_and_methods_are_not_sent() {
    let (stage, sent) = online(settings("{}").limits).await;
    for (part, expected) in [
        (r#""header":"host=evil""#, "denied: the header `host` is the gateway's to write"),
        (r#""header":"x\r\nhost=evil""#, "failed: a header's name is not one of HTTP"),
        (r#""header":"x=1\r\nhost: evil""#, "failed: the header `x` has characters that no header has"),
        (r#""method":"CONNECT""#, "denied: the method CONNECT is not for plugins"),
        (r#""method":"GET /x HTTP/1.1""#, "failed: the method is not one of HTTP"),
    ] {
        let payload = format!(r#"{{"do":"fetch-message","url":"https://granted.example/",{part}}}"#);
        assert_eq!(answer(&stage, &exchange(), &payload).await, expected, "{part}");
    }
    assert!(sent.0.lock().unwrap().is_empty());
    let payload =
        r#"{"do":"fetch-message","url":"https://granted.example/","method":"PUT","header":"x=1","body":"b"}"#;
    assert_eq!(answer(&stage, &exchange(), payload).await, "200 [x-one] hello");
    assert_eq!(*sent.0.lock().unwrap(), [r#"PUT https://granted.example/ [("x", "1")] b"b" public"#]);
}

#[tokio::test]
async fn failures_on_the_way_are_told_apart() {
    let (stage, _) = online(settings("{}").limits).await;
    for (path, expected) in [
        ("forbidden", "denied: may not go there: a private address"),
        ("broken", "failed: it broke\\noff"),
        ("large", "more than allowed: the response is larger than 1048576 bytes"),
        ("headers", "more than allowed: 64 headers and 16384 bytes of them in a response"),
    ] {
        assert_eq!(told(&stage, &format!("get https://granted.example/{path}")).await, expected);
    }
    assert_eq!(
        told(&stage, "get-within 1 https://granted.example/slow").await,
        "more than allowed: no answer in time"
    );
    let nowhere = capable("nowhere", Grants { http: granted(), ..Grants::default() }).await;
    assert_eq!(told(&nowhere, "get https://granted.example/").await, "failed: nothing is reached from here");
}

#[tokio::test]
async fn requests_of_one_call_are_counted() {
    let (stage, sent) = online(Limits { http_calls: 2, ..settings("{}").limits }).await;
    let three = ["get https://granted.example/"; 3].join("\n");
    let refused = "more than allowed: 2 requests in one call (`limits.httpCalls`)";
    assert_eq!(told(&stage, &three).await, format!("200 [x-one] hello; 200 [x-one] hello; {refused}"));
    assert_eq!(told(&stage, "get https://granted.example/").await, "200 [x-one] hello");
    assert_eq!(sent.0.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn waiting_for_an_answer_ends_with_the_calls_time() {
    let (stage, _) = online(Limits { wall: Duration::from_secs(1), ..settings("{}").limits }).await;
    let ended = told(&stage, "get-within 3600000 https://granted.example/slow").await;
    // The plugin has the last tenth of a second to say so; on a slow machine that is not enough.
    assert!(
        ["more than allowed: no answer in time", "exceeded its time limit"].contains(&&*ended),
        "{ended}"
    );
}

#[tokio::test]
async fn a_host_that_fails_on_the_way_hurts_one_call() {
    let (stage, _) = online(settings("{}").limits).await;
    for _ in 0..3 {
        let failed = told(&stage, "get https://granted.example/panic").await;
        assert_eq!(failed, "failed: the host failed while it served the plugin");
        assert!(told(&stage, "get https://granted.example/").await.contains("hello"));
    }
}

#[tokio::test]
async fn a_call_dropped_while_it_waits_for_an_answer_leaves_nothing_behind() {
    let (stage, echo) = online(settings("{}").limits).await;
    for sent in 1..=5 {
        let mut call = Box::pin(told(&stage, "get https://granted.example/slow"));
        while echo.0.lock().unwrap().len() < sent {
            assert!(futures_util::poll!(&mut call).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert!(told(&stage, "get https://granted.example/").await.contains("hello"));
}

#[tokio::test]
async fn the_configuration_is_held_against_the_plugins_schema() {
    let load = async |config: &str| {
        let loaded = Plugin::load(engine(), "schema", guest("capable"), settings(config)).await;
        loaded.map(|_| ()).unwrap_err()
    };
    let error = load(r#"{"do":7,"extra":"hunter2"}"#).await;
    let LoadError::Configuration(problems) = &error else { panic!("{error}") };
    let pointers: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/do", ""], "{error}");
    assert!(
        error.to_string().starts_with("refuses its configuration: `/do` value is not of type"),
        "{error}"
    );
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_component_is_inspected_without_being_configured() {
    let found = inspect(engine(), guest("capable")).await.unwrap();
    assert_eq!((found.digest.len(), found.size), (64, guest("capable").len()));
    assert_eq!(found.descriptor.name, "capable");
    assert!(
        found.exports.iter().any(|name| name == "wasmgate:plugin/validator@0.1.0"),
        "{:?}",
        found.exports
    );
    assert!(
        found.capabilities.iter().any(|name| name == "wasmgate:plugin/kv@0.1.0"),
        "{:?}",
        found.capabilities
    );
    assert!(found.wasi.iter().all(|name| name.starts_with("wasi:")) && !found.wasi.is_empty());
    let [hook] = found.descriptor.hooks.as_slice() else { panic!("one hook") };
    assert_eq!(
        (hook.role, hook.events.as_slice(), hook.request, hook.response),
        ("validate", &["tools/call".to_owned()][..], true, false)
    );
    let error = inspect(engine(), b"(component)".to_vec()).await.unwrap_err();
    assert!(error.to_string().contains("is not a WebAssembly component"), "{error}");
}

#[tokio::test]
async fn limits_beyond_what_can_be_given_are_refused() {
    for (limits, what) in [
        (Limits { output: 5 << 20, ..Limits::default() }, "output"),
        (Limits { http_response: 17 << 20, ..Limits::default() }, "httpResponse"),
        (Limits { in_flight: 257, ..Limits::default() }, "inFlight"),
    ] {
        let settings = Settings { limits, ..Settings::default() };
        let error = Plugin::load(engine(), "limits", guest("capable"), settings).await.unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("has a limit that cannot be given: {what}")),
            "{error}"
        );
    }
}
