//! What cannot be had now: tried again where that helps, answered from the store where there is something.

use super::*;

#[tokio::test]
async fn overload_passes() {
    let bench = bench(|asked| match asked.before {
        0 => Some(reply(429, &[("Retry-After", "0")], "")),
        1 => Some(reply(500, &[], "")),
        2 => Some(reply(503, &[("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")], "")),
        _ => None,
    })
    .await;
    bench.double.has("a:1", &layers(&[b"content"]));
    assert_eq!(bench.pull("a:1").await.unwrap().artifact.layers, ["content"]);
}

#[tokio::test]
async fn overload_that_does_not_pass_is_an_error() {
    let bench = bench(|_| Some(reply(500, &[], "the registry's own words"))).await;
    let failure = bench.failure("a:1").await;
    assert!(matches!(failure, OciError::Failed { status: 500, .. }), "{failure}");
    assert_eq!(bench.asked().len(), 4);
    let patient = super::bench(|_| Some(reply(429, &[("Retry-After", "3600")], ""))).await;
    let failure = patient.failure("a:1").await;
    assert!(matches!(failure, OciError::TooMany { .. }), "{failure}");
    assert_eq!(patient.asked().len(), 1, "an hour is not waited for");
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again() {
    let bench = bench(|asked| {
        let truncated = || reply(200, &[("Content-Length", "7")], "cont");
        (asked.is("GET", "/blobs/") && asked.before < 2).then(truncated)
    })
    .await;
    bench.double.has("a:1", &layers(&[b"content"]));
    // The configuration is in the store, so that the layer is the only blob.
    let digest = layers(&[b"content"]).manifest.layers[0].digest;
    bench.client.store().keep(&bench.reference("other:1"), &layers(&[])).unwrap();
    assert_eq!(bench.pull("a:1").await.unwrap().artifact.layers, ["content"]);
    assert_eq!(bench.asked().iter().filter(|asked| asked.contains(&digest.to_string())).count(), 3);
}

#[tokio::test]
async fn a_body_that_always_ends_early_is_an_error() {
    let bench =
        bench(|asked| asked.is("GET", "/manifests/").then(|| reply(200, &[("Content-Length", "1000")], "{")))
            .await;
    let failure = bench.client.manifest(&bench.reference("a:1")).await.unwrap_err();
    assert!(failure.to_string().contains("in the middle of an answer"), "{failure}");
    assert_eq!(bench.asked().len(), 4);
}

#[tokio::test]
async fn silence_ends() {
    let quick = |patience: Patience| Settings {
        patience: Patience { pauses: Vec::new(), ..patience },
        ..Settings::default()
    };
    let short = Duration::from_millis(50);
    let head = quick(Patience { head: short, ..Patience::default() });
    let bench = bench_with(head, |_| Some(Raw { bytes: Vec::new(), hang: true })).await;
    let failure = bench.client.manifest(&bench.reference("a:1")).await.unwrap_err();
    assert!(matches!(failure, OciError::TooSlow { what: "answer", .. }), "{failure}");

    let half = |_: &Asked| Some(Raw { hang: true, ..reply(200, &[("Content-Length", "9")], "{") });
    let idle = quick(Patience { idle: short, ..Patience::default() });
    let bench = bench_with(idle, half).await;
    let failure = bench.client.manifest(&bench.reference("a:1")).await.unwrap_err();
    assert!(matches!(failure, OciError::TooSlow { what: "go on", .. }), "{failure}");

    let whole = quick(Patience { operation: short, ..Patience::default() });
    let bench = bench_with(whole, half).await;
    let failure = bench.client.manifest(&bench.reference("a:1")).await.unwrap_err();
    assert!(matches!(failure, OciError::TooSlow { what: "finish", .. }), "{failure}");
}

/// A registry that works until the file is there, and then answers this status to everything, or nothing for 0.
async fn until(status: u16) -> (Bench, Arc<std::sync::atomic::AtomicBool>) {
    let out: Arc<std::sync::atomic::AtomicBool> = Arc::default();
    let rule = Arc::clone(&out);
    let bench = bench(move |_| {
        rule.load(Ordering::SeqCst).then(|| match status {
            0 => Raw { bytes: Vec::new(), hang: false },
            status => reply(status, &[("WWW-Authenticate", "Basic realm=\"x\"")], ""),
        })
    })
    .await;
    bench.double.has("a:1", &layers(&[b"content"]));
    (bench, out)
}

#[tokio::test]
async fn a_registry_that_is_away_is_answered_for() {
    for status in [0, 500, 502, 429] {
        let (bench, out) = until(status).await;
        let before = bench.pull("a:1").await.unwrap();
        out.store(true, Ordering::SeqCst);
        bench.double.forget_asked();
        let pulled = bench.pull("a:1").await.unwrap();
        assert!(pulled.stale && pulled.artifact == before.artifact, "{status}");
        assert_eq!(bench.asked().len(), 1, "who has an answer does not insist");
        let failure = bench.failure("a:2").await;
        assert!(failure.is_unreachable(), "{status}: {failure}");
    }
}

#[tokio::test]
async fn a_registry_that_says_no_is_believed() {
    for (status, says) in [(401, "docker login"), (403, "does not allow"), (404, "not in its registry")] {
        let (bench, out) = until(status).await;
        bench.pull("a:1").await.unwrap();
        out.store(true, Ordering::SeqCst);
        let failure = bench.failure("a:1").await;
        assert!(failure.to_string().contains(says), "{status}: {failure}");
    }
}

#[tokio::test]
async fn offline_is_offline() {
    let bench = bench(nothing_special).await;
    bench.double.has("a:1", &layers(&[b"content"]));
    let (reference, most) = (bench.reference("a:1"), Most::bytes(100));
    let failure = bench.client.pull(&reference, Freshness::Offline, most).await.unwrap_err();
    assert!(matches!(failure, OciError::NotStored(_)), "{failure}");
    bench.client.resolve(&reference, Freshness::Check).await.unwrap();
    let failure = bench.client.pull(&reference, Freshness::Offline, most).await.unwrap_err();
    assert!(matches!(failure, OciError::NotStored(_)), "resolved, but not pulled: {failure}");
    bench.pull("a:1").await.unwrap();
    bench.double.forget_asked();
    let pulled = bench.client.pull(&reference, Freshness::Offline, most).await.unwrap();
    assert!(!pulled.stale);
    assert_eq!(bench.asked(), [""; 0]);
}

#[tokio::test]
async fn the_local_namespace_never_touches_the_network() {
    let bench = bench(nothing_special).await;
    let artifact = catalog("{}");
    let store = bench.client.store();
    let reference = store.keep_local("Acme/Weather", "1.0", &artifact).unwrap();
    let most = Most::bytes(100);
    let pulled = bench.client.pull(&reference, Freshness::Check, most).await.unwrap();
    assert_eq!((pulled.artifact, pulled.stale), (artifact.clone(), false));
    let tag = Reference::parse("wasmgate.local/acme/weather:1.0").unwrap();
    assert_eq!(bench.client.pull(&tag, Freshness::Check, most).await.unwrap().digest, artifact.digest);
    let other = Reference::parse("wasmgate.local/acme/other").unwrap();
    let failure = bench.client.pull(&other, Freshness::Check, most).await.unwrap_err();
    assert!(matches!(failure, OciError::NotImported(_)), "{failure}");
    let failure = bench.client.push(&reference, &artifact).await.unwrap_err();
    assert!(matches!(failure, OciError::NotATarget(..)), "{failure}");
}
