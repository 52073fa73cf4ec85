//! Catalog sources that misbehave: each hurts its own fetch, or is not loaded, and the next fetch is right.

use std::time::Duration;

use crate::sources::{fetch, settings, shown, source};
use expect_test::{Expect, expect};
use wasmgate_wasm::{CatalogSource, Limits, Settings, SourceFailure, SourceRequest};

/// A fetch must fail with these words, and the one after it must not.
async fn fails(source: &CatalogSource, what: &str, expected: Expect) {
    let failure = fetch(source, &format!("test://{what}")).await.unwrap_err();
    assert!(matches!(failure, SourceFailure::Failed(_)), "{what}: {failure}");
    expected.assert_eq(&failure.to_string());
    assert_eq!(fetch(source, "test://pages").await.unwrap().servers.len(), 2, "after {what}");
}

async fn hostile() -> CatalogSource {
    source("hostile-source", settings("{}")).await.unwrap()
}

#[tokio::test]
async fn what_a_guest_does_to_itself_fails_its_fetch() {
    let source = hostile().await;
    fails(&source, "spin", expect!["failed: exceeded its CPU budget"]).await;
    fails(&source, "trap", expect!["failed: wasm trap: wasm `unreachable` instruction executed"]).await;
    fails(&source, "grow", expect!["failed: exceeded its memory limit"]).await;
    fails(&source, "message", expect!["failed: used a message that it was not given in this call"]).await;
}

#[tokio::test]
async fn a_sleep_ends_with_the_time_limit() {
    let limits = Limits { wall: Duration::from_millis(300), ..Limits::of_sources() };
    let source = source("dozing", Settings { limits, ..settings("{}") }).await.unwrap();
    let failure = fetch(&source, "test://doze").await.unwrap_err();
    assert_eq!(failure, SourceFailure::Failed("exceeded its time limit".into()));
}

#[tokio::test]
async fn a_page_has_bounds() {
    let source = hostile().await;
    fails(&source, "million", expect!["failed: too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"]).await;
    fails(&source, "thousand-and-one", expect!["failed: `servers` has 1001 entries, at most 1000 are read"])
        .await;
    fails(&source, "removed-flood", expect!["failed: `removed` has 1001 entries, at most 1000 are read"])
        .await;
    fails(&source, "huge", expect!["failed: too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"]).await;
    fails(&source, "heavy", expect!["failed: too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"]).await;
    fails(&source, "long-next", expect!["failed: `next` has 4097 bytes, at most 4096 are kept"]).await;
}

/// More than an interceptor may ever say.
#[tokio::test]
async fn a_page_may_be_large() {
    let page = fetch(&hostile().await, "test://roomy").await.unwrap();
    assert_eq!(page.servers.iter().map(|s| s.document.bytes().len()).sum::<usize>(), 12 * ((900 << 10) + 8));
}

#[tokio::test]
async fn a_source_does_not_go_in_circles() {
    let request = SourceRequest { cursor: Some("again".into()), ..SourceRequest::new("test://same-page") };
    let failure = hostile().await.fetch(request, &[]).await.unwrap_err();
    expect!["failed: `next` is the page that it was asked for"].assert_eq(&failure.to_string());
}

#[tokio::test]
async fn a_wrong_server_is_refused_and_the_others_are_not() {
    let page = fetch(&hostile().await, "test://wrong").await.unwrap();
    let [noisy] = page.servers.as_slice() else { panic!("{} servers", page.servers.len()) };
    assert_eq!((noisy.notes.len(), noisy.notes[1].len()), (32, 1027));
    assert_eq!(noisy.notes.last().unwrap(), "and 70 more notes");
    let mut page = page.clone();
    page.servers[0].notes.truncate(1);
    expect![[r#"
        noisy "" {} https://a.example/\u{202e}x ["two\\nlines"]
        refused rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr... "": no reason is given
        refused \u{1b}[2J "": be\u{7}cause
        refused not-json "": its document is not JSON: unexpected end at byte 1
        refused no-object "": its document is not a JSON object
        refused twice "": its document is not JSON: duplicate member at byte 7
        refused large "": its document has 1048584 bytes, at most 1048576 are read
        refused a/b\u{7} "": its name is none for a server: 1 to 128 letters, digits, `.`, `_` or `-`, a letter or digit first
        refused versioned "1\\n2": its version is longer than 255 bytes or not plain text
        removed ["gone"] next None validator None"#]].assert_eq(&shown(&page));
}

/// A source that must not be loaded.
async fn refused(claims: &str, expected: Expect) {
    let settings = settings(&format!("{{\"claims\":\"{claims}\"}}"));
    let error = source("refused-source", settings).await.unwrap_err();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    expected.assert_eq(&format!("{error}{cause}"));
}

#[tokio::test]
async fn claims_have_bounds() {
    refused("spin", expect!["could not say which references it answers: exceeded its CPU budget"]).await;
    refused("trap", expect!["could not say which references it answers: failed: wasm trap: wasm `unreachable` instruction executed"]).await;
    refused(
        "many",
        expect!["describes itself wrongly: it claims 65 patterns of references, at most 64 are read"],
    )
    .await;
    refused("long", expect!["describes itself wrongly: it claims `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...`, which is no pattern of 1 to 1024 plain characters"]).await;
    refused("escape", expect![[r#"describes itself wrongly: it claims `test://\u{1b}[2J`, which is no pattern of 1 to 1024 plain characters"#]]).await;
}

#[tokio::test]
async fn a_source_may_claim_nothing() {
    let source = source("modest", settings(r#"{"claims":"none"}"#)).await.unwrap();
    assert!(!source.claims_reference("test://pages"));
    assert!(!source.claims_reference(""));
}

#[tokio::test]
async fn neighbours_are_served_while_one_spins() {
    let source = hostile().await;
    let spinning = fetch(&source, "test://spin");
    let (spun, page) = tokio::join!(spinning, fetch(&source, "test://pages"));
    assert!(spun.is_err());
    assert_eq!(page.unwrap().servers.len(), 2);
}
