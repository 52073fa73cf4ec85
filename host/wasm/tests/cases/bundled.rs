//! The bundled plugins as components: that those that are off until they are configured load with the grants they ask for and
//! do in a fresh instance what their own tests say they do, and that those whose instances serve many calls remember none.

use crate::support::{engine, exchange, run_in, settings, words};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, ItemChange, ListItem, Operation, Phase, Stage, StageAnswer};
use wasmgate_wasm::{Grants, Isolation, KvGrant, LoadError, Loaded, Plugin, Settings, builtin};

async fn loaded(name: &str, settings: Settings) -> Loaded {
    Plugin::load(engine(), name, builtin(name).unwrap(), settings).await.unwrap()
}

#[tokio::test]
async fn tool_filter_hides_and_patches_items() {
    let config = r#"{"deny":["*delete*"],"rename":{"get":"fetch"}}"#;
    let loaded = loaded("tool-filter", settings(config)).await;
    let exchange = Exchange::new(Operation { event: "tools/list".into(), ..exchange().operation });
    let item = |name: &str| ListItem {
        name: name.into(),
        server: ServerName::new("files").unwrap(),
        item: Json::parse(format!(r#"{{"name":"{name}"}}"#)).unwrap(),
    };
    let [stage] = loaded.interceptors.as_slice() else { panic!("one role") };
    let items = [item("get"), item("delete_all"), item("put")];
    let changes = stage.filter(&exchange, &items).await.unwrap();
    let patch = Json::parse(r#"{"name":"fetch"}"#.to_owned()).unwrap();
    assert_eq!(changes, [(0, ItemChange::Patch(patch)), (1, ItemChange::Hide)]);
}

/// With the grants that it asks for.
fn granted(config: &str) -> Settings {
    let grants = Grants { clock: true, random: true, kv: Some(KvGrant::default()), ..Grants::default() };
    Settings { grants, ..settings(config) }
}

/// A call of tool `read` on a server, in a session.
fn call_of(server: &str) -> Exchange {
    let server = Some(ServerName::new(server).unwrap());
    Exchange::new(Operation { server, session: Some("s1".into()), ..exchange().operation })
}

#[tokio::test]
async fn rate_limit_keeps_its_buckets_between_calls() {
    let loaded =
        loaded("rate-limit", granted(r#"{"rules":[{"rate":"1/h","burst":2,"per":["server"]}]}"#)).await;
    let [stage] = loaded.interceptors.as_slice() else { panic!("one role") };
    for expected in ["", "", r"Error at None: rate limit exceeded: try again in 3600 s"] {
        let told = words(&run_in(stage, &call_of("files"), Phase::Request, "{}").await);
        assert_eq!(told.replace("3599 s", "3600 s"), expected);
    }
    assert_eq!(words(&run_in(stage, &call_of("mail"), Phase::Request, "{}").await), "");
}

#[tokio::test]
async fn cross_server_guard_remembers_between_calls() {
    let loaded = loaded("cross-server-guard", granted("{}")).await;
    let [stage] = loaded.interceptors.as_slice() else { panic!("one role") };
    let secret = r#"["ghp_0123456789abcdefghijklmnopqrstuvwxyz"]"#;
    assert_eq!(words(&run_in(stage, &call_of("vault"), Phase::Response, secret).await), "");
    assert_eq!(words(&run_in(stage, &call_of("vault"), Phase::Request, secret).await), "");
    assert_eq!(
        words(&run_in(stage, &call_of("mail"), Phase::Request, secret).await),
        r#"Error at Some("/0"): carries a secret that was read from `vault`, which must not go to `mail`"#
    );
    let mut elsewhere = call_of("mail");
    elsewhere.operation.session = Some("s2".into());
    assert_eq!(words(&run_in(stage, &elsewhere, Phase::Request, secret).await), "");
}

#[tokio::test]
async fn what_is_not_granted_is_asked_for() {
    for (name, config, missing) in [
        ("rate-limit", r#"{"rules":[{"rate":"1/s"}]}"#, 2),
        ("cross-server-guard", "{}", 2),
        ("tool-filter", "{}", 0),
        ("block-secrets", "{}", 0),
    ] {
        let held = Plugin::load(engine(), name, builtin(name).unwrap(), settings(config)).await;
        let asked = match held {
            Err(LoadError::Held(wants)) => wants.len(),
            other => other.map(|_| 0).unwrap(),
        };
        assert_eq!(asked, missing, "{name}");
    }
}

#[tokio::test]
async fn block_secrets_redacts_large_results_within_its_budget() {
    let config = Json::parse(r#"{"response":"redact"}"#.to_owned()).unwrap();
    let loaded = loaded("block-secrets", Settings { config, ..Settings::default() }).await;
    let [_, mutator] = loaded.interceptors.as_slice() else { panic!("two roles") };
    let rows = format!(r#""{}","#, "a row of text ".repeat(292)).repeat((8 << 20) / (4 << 10));
    let payload = format!(r#"[{rows}"ghp_0123456789abcdefghijklmnopqrstuvwxyz"]"#);
    let Ok(StageAnswer::Changed(after)) = run_in(mutator, &exchange(), Phase::Response, &payload).await
    else {
        panic!("not redacted")
    };
    assert!(after.as_str().ends_with(r#""[redacted: github-token]"]"#));
    assert_eq!(words(&run_in(mutator, &exchange(), Phase::Response, "[\"clean\"]").await), "unchanged");
}

#[tokio::test]
async fn only_those_that_keep_nothing_of_a_message_are_pooled() {
    for (name, isolation) in [
        ("block-secrets", Isolation::Pooled),
        ("cross-server-guard", Isolation::PerCall),
        ("invisible-text", Isolation::Pooled),
        ("json-schema-validator", Isolation::Pooled),
        ("log-calls", Isolation::Pooled),
        ("pii-redactor", Isolation::Pooled),
        ("tool-filter", Isolation::Pooled),
    ] {
        let settings = Settings { isolation: None, ..granted("{}") };
        let own = Plugin::load(engine(), name, builtin(name).unwrap(), settings).await.unwrap().descriptor;
        assert_eq!(own.isolation, isolation, "{name}");
    }
}

#[tokio::test]
async fn an_instance_that_found_a_credential_does_not_find_it_again() {
    let loaded = loaded("block-secrets", Settings { isolation: None, ..granted("{}") }).await;
    let stage = loaded.interceptors.first().unwrap();
    let token = format!(r#"{{"arguments":{{"a":"ghp_{}"}}}}"#, "a1B2c3D4e5F6".repeat(3));
    for (payload, findings) in [("{}", 0), (&*token, 1), (r#"{"arguments":{"a":"ghp_"}}"#, 0), (&token, 1)] {
        let exchange = exchange();
        let answer = run_in(stage, &exchange, Phase::Request, payload).await.unwrap();
        let StageAnswer::Findings(found) = answer else { panic!("a validator answers with findings") };
        assert_eq!(found.len(), findings, "{payload}");
    }
}
