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
    fails(&source, "spin", expect![""]).await;
    fails(&source, "trap", expect![""]).await;
    fails(&source, "grow", expect![""]).await;
    fails(&source, "message", expect![""]).await;
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
    fails(&source, "million", expect![""]).await;
    fails(&source, "thousand-and-one", expect![""]).await;
    fails(&source, "removed-flood", expect![""]).await;
    fails(&source, "huge", expect![""]).await;
    fails(&source, "heavy", expect![""]).await;
    fails(&source, "long-next", expect![""]).await;
}

#[tokio::test]
async fn a_source_does_not_go_in_circles() {
    let request = SourceRequest { cursor: Some("again".into()), ..SourceRequest::new("test://same-page") };
    let failure = hostile().await.fetch(request, &[]).await.unwrap_err();
    expect![""].assert_eq(&failure.to_string());
}

#[tokio::test]
async fn a_wrong_server_is_refused_and_the_others_are_not() {
    let page = fetch(&hostile().await, "test://wrong").await.unwrap();
    let [noisy] = page.servers.as_slice() else { panic!("{} servers", page.servers.len()) };
    assert_eq!((noisy.notes.len(), noisy.notes[1].len()), (32, 1027));
    assert_eq!(noisy.notes.last().unwrap(), "and 70 more notes");
    let mut page = page.clone();
    page.servers[0].notes.truncate(1);
    expect![""].assert_eq(&shown(&page));
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
    refused("spin", expect![""]).await;
    refused("trap", expect![""]).await;
    refused("many", expect![""]).await;
    refused("long", expect![""]).await;
    refused("escape", expect![""]).await;
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
