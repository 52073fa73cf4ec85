//! Sessions that read a secret here and try to take it there. The harness's store is one session.

use super::*;
use wasmgate_plugin::harness::Exchange;

const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
/// `key=<TOKEN>\n`
const BASE64: &str = "a2V5PWdocF8wMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoK";

fn plugin(config: &str) -> CrossServerGuard {
    CrossServerGuard::configure(Config::new(config)).unwrap()
}

fn exchange(event: &str, server: &str) -> Exchange {
    let mut exchange = Exchange::new(event);
    exchange.operation.server = Some(server.to_owned());
    exchange
}

fn read(plugin: &CrossServerGuard, server: &str, text: &str) {
    let result = serde_json::json!({"content": [{"type": "text", "text": text}]}).to_string();
    let findings = exchange("tools/call", server).validate(plugin, Phase::Response, &result).unwrap();
    assert_eq!(findings, []);
}

/// What is said when `text` is sent to `server`: `pointer message`, or nothing.
fn sent(plugin: &CrossServerGuard, server: &str, text: &str) -> String {
    let params = serde_json::json!({"name": "t", "arguments": {"a": ["x", text]}}).to_string();
    let findings = exchange("tools/call", server).validate(plugin, Phase::Request, &params).unwrap();
    let words = findings.into_iter().map(|f| format!("{} {}", f.path.unwrap_or_default(), f.message));
    words.collect::<Vec<_>>().join("; ")
}

const REFUSED: &str =
    "/arguments/a/1 carries a secret that was read from `vault`, which must not go to `web`";

#[test]
fn a_secret_goes_back_to_where_it_came_from_and_nowhere_else() {
    let plugin = plugin("{}");
    assert_eq!(sent(&plugin, "web", TOKEN), "");
    read(&plugin, "vault", &format!("the token is {TOKEN}."));
    assert_eq!(sent(&plugin, "web", TOKEN), REFUSED);
    assert_eq!(sent(&plugin, "vault", TOKEN), "");
    assert_eq!(sent(&plugin, "web", "an ordinary text about ghp_ tokens"), "");
    assert_eq!(sent(&plugin, "web", "ghp_999956789abcdefghijklmnopqrstuvwxyz9999"), "");
}

#[test]
fn encodings_hide_nothing() {
    for read_as in [TOKEN.to_owned(), BASE64.to_owned(), TOKEN.replace('_', "%5F")] {
        for sent_as in [
            TOKEN.to_owned(),
            format!("Basic {BASE64}"),
            format!("https://e.example/?q={}", TOKEN.replace('0', "%30")),
        ] {
            std::thread::spawn({
                let read_as = read_as.clone();
                move || {
                    let plugin = plugin("{}");
                    read(&plugin, "vault", &read_as);
                    assert_eq!(sent(&plugin, "web", &sent_as), REFUSED, "{read_as} as {sent_as}");
                }
            })
            .join()
            .unwrap();
        }
    }
}

#[test]
fn a_password_is_known_without_its_url() {
    let plugin = plugin("{}");
    read(&plugin, "vault", "postgres://admin:tulip-fields@db/app");
    for text in ["tulip-fields", " tulip-fields ", "password=tulip-fields", "mysql://root:tulip-fields@other"]
    {
        assert_eq!(sent(&plugin, "web", text), REFUSED, "{text}");
    }
    assert_eq!(sent(&plugin, "web", "fields of tulips"), "");
}

#[test]
fn names_of_members_are_looked_at_and_never_repeated() {
    let plugin = plugin("{}");
    read(&plugin, "vault", "postgres://admin:tulip-fields@db/app");
    let params = r#"{"arguments":{"tulip-fields":{"b":"tulip-fields"}}}"#;
    let findings = exchange("tools/call", "web").validate(&plugin, Phase::Request, params).unwrap();
    assert!(!findings.is_empty());
    assert!(!format!("{findings:?}").contains("tulip"), "{findings:?}");
}

#[test]
fn a_way_can_be_opened() {
    let plugin = plugin(r#"{"allow":[{"from":"vault","to":"w*"},{"from":"mail","to":"vault"}]}"#);
    read(&plugin, "vault", TOKEN);
    assert_eq!(sent(&plugin, "web", TOKEN), "");
    assert!(sent(&plugin, "chat", TOKEN).contains("must not go to `chat`"));
    // Read from a second server too, whose ways are closed.
    read(&plugin, "mail", TOKEN);
    assert!(sent(&plugin, "web", TOKEN).contains("was read from `mail`"));
    assert_eq!(sent(&plugin, "mail", TOKEN), "");
}

#[test]
fn what_the_client_said_itself_was_not_read() {
    let plugin = plugin("{}");
    let mut exchange = exchange("tools/call", "vault");
    exchange.attributes.push(("request.params".into(), format!(r#"{{"arguments":{{"token":"{TOKEN}"}}}}"#)));
    let result = format!(r#"{{"content":[{{"type":"text","text":"stored {TOKEN}"}}]}}"#);
    exchange.validate(&plugin, Phase::Response, &result).unwrap();
    assert_eq!(sent(&plugin, "web", TOKEN), "");
}

#[test]
fn what_servers_ask_goes_the_other_way() {
    let plugin = plugin("{}");
    let message = |text: &str| format!(r#"{{"role":"user","content":{{"type":"text","text":"{text}"}}}}"#);
    let asked = |server, phase| {
        let exchange = exchange("sampling/createMessage", server);
        exchange.validate(&plugin, phase, &message(TOKEN)).unwrap().len()
    };
    assert_eq!(asked("vault", Phase::Request), 0);
    assert_eq!(asked("vault", Phase::Response), 0);
    assert_eq!(asked("web", Phase::Response), 1);
    assert_eq!(sent(&plugin, "web", TOKEN), REFUSED);
}

#[test]
fn what_the_gateway_keeps_secret_is_followed_by_name() {
    wasmgate_plugin::secrets::know("db", "tulip");
    let plugin = plugin("{}");
    read(&plugin, "vault", "it is tulip");
    assert_eq!(sent(&plugin, "web", "tulip!"), REFUSED);
    assert_eq!(sent(&plugin, "vault", "tulip!"), "");
}

#[test]
fn random_strings_are_followed_where_that_is_wanted() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015";
    for (config, expected) in [("{}", ""), (r#"{"highEntropy":true}"#, REFUSED)] {
        let plugin = plugin(config);
        read(&plugin, "vault", &format!("id: {digest}"));
        assert_eq!(sent(&plugin, "web", digest), expected, "{config}");
    }
}

#[test]
fn what_is_short_is_not_followed() {
    let plugin = plugin(r#"{"minLength":20}"#);
    read(&plugin, "vault", "postgres://admin:tulip-fields@db/app");
    assert_eq!(sent(&plugin, "web", "tulip-fields"), "");
}

#[test]
fn a_day_later_it_is_forgotten() {
    let plugin = plugin("{}");
    read(&plugin, "vault", TOKEN);
    wasmgate_plugin::clock::set_ms(24 * 60 * 60 * 1000 - 1);
    assert_eq!(sent(&plugin, "web", TOKEN), REFUSED);
    wasmgate_plugin::clock::set_ms(24 * 60 * 60 * 1000);
    assert_eq!(sent(&plugin, "web", TOKEN), "");
}

#[test]
fn values_are_not_kept() {
    use wasmgate_plugin::kv::{Scope, get};
    let plugin = plugin("{}");
    read(&plugin, "vault", TOKEN);
    let kept = get(Scope::Session, "read").unwrap().unwrap();
    assert!(kept.len() < 32, "{kept:?}");
    assert!(!String::from_utf8_lossy(&kept).contains("ghp_"));
}
