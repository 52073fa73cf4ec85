//! Bytes that are not what they should be are never used, and limits hold before anything is fetched.

use super::*;
use crate::oci::manifest::{ManifestError, OCI_INDEX};

/// Pulls an artifact whose manifest was changed.
async fn pull_changed(change: impl FnOnce(&mut serde_json::Value)) -> (Bench, OciError) {
    let bench = bench(nothing_special).await;
    let mut artifact = layers(&[b"content"]);
    let mut manifest: serde_json::Value = serde_json::from_slice(&artifact.bytes).unwrap();
    change(&mut manifest);
    artifact.bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap());
    artifact.digest = Digest::of(&artifact.bytes);
    bench.double.has("a:1", &artifact);
    let failure = bench.failure("a:1").await;
    (bench, failure)
}

#[tokio::test]
async fn what_was_pulled_once_is_not_asked_for_again() {
    let bench = bench(nothing_special).await;
    let artifact = catalog(r#"{"title":"x"}"#);
    bench.double.has("a/b:1", &artifact);
    let pulled = bench.pull("a/b:1").await.unwrap();
    assert_eq!((&pulled.artifact, pulled.stale), (&artifact, false));
    let asked = bench.asked();
    assert_eq!(asked[0], "HEAD /v2/a/b/manifests/1");
    assert_eq!(asked[1], format!("GET /v2/a/b/manifests/{}", artifact.digest));
    assert_eq!(asked.len(), 4, "{asked:?}");

    bench.double.forget_asked();
    assert_eq!(bench.pull("a/b:1").await.unwrap(), pulled);
    assert_eq!(bench.asked(), ["HEAD /v2/a/b/manifests/1"]);
    bench.double.forget_asked();
    let pinned = format!("a/b:other@{}", artifact.digest);
    assert_eq!(bench.pull(&pinned).await.unwrap(), pulled);
    let cached = bench.client.pull(&bench.reference("a/b:1"), Freshness::Cached, Most::bytes(1000)).await;
    assert_eq!(cached.unwrap(), pulled);
    assert_eq!(bench.asked(), [""; 0]);
}

#[tokio::test]
async fn a_tag_that_moved_leads_elsewhere_and_a_digest_does_not() {
    let bench = bench(nothing_special).await;
    let (old, new) = (catalog("1"), catalog("2"));
    bench.double.has("a:1", &old);
    assert_eq!(bench.pull("a:1").await.unwrap().digest, old.digest);
    bench.double.has("a:1", &new);
    let cached = bench.client.pull(&bench.reference("a:1"), Freshness::Cached, Most::bytes(1000)).await;
    assert_eq!(cached.unwrap().digest, old.digest);
    let layer = bench.client.store().root().join("blobs/sha256").join(old.manifest.layers[0].digest.hex());
    let kept = std::fs::read(&layer).unwrap();
    std::fs::remove_file(&layer).unwrap();
    let cached = bench.client.pull(&bench.reference("a:1"), Freshness::Cached, Most::bytes(1000)).await;
    assert_eq!(cached.unwrap().digest, new.digest, "the old one is not whole any more");
    std::fs::write(&layer, kept).unwrap();
    assert_eq!(bench.pull(&format!("a:1@{}", old.digest)).await.unwrap().artifact, old);
    let resolved = bench.client.resolve(&bench.reference("a:1"), Freshness::Offline).await.unwrap();
    assert_eq!(resolved.digest, new.digest);
}

#[tokio::test]
async fn a_blob_with_another_digest_is_not_used() {
    let bench = bench(|asked| asked.is("GET", "/blobs/").then(|| reply(200, &[], "{]"))).await;
    bench.double.has("a:1", &layers(&[b"xx"]));
    assert!(matches!(bench.failure("a:1").await, OciError::WrongDigest { .. }));
    assert_eq!(bench.client.store().list()[0].size, 0, "nothing of it is kept but what the tag leads to");
}

#[tokio::test]
async fn a_manifest_with_another_digest_is_not_used() {
    let bench = bench(|asked| {
        asked.is("GET", "/manifests/sha256:").then(|| reply(200, &[], layers(&[b"evil"]).bytes))
    })
    .await;
    bench.double.has("a:1", &layers(&[b"good"]));
    assert!(matches!(bench.failure("a:1").await, OciError::WrongDigest { .. }));
}

#[tokio::test]
async fn a_manifest_by_tag_is_digested_by_its_bytes() {
    let lie = Digest::of(b"something else").to_string();
    let bench = bench(move |asked| {
        asked
            .is("GET", "/manifests/1")
            .then(|| reply(200, &[("Docker-Content-Digest", &lie)], layers(&[b"content"]).bytes))
    })
    .await;
    let fetched = bench.client.manifest(&bench.reference("a:1")).await.unwrap();
    assert_eq!(fetched.digest, layers(&[b"content"]).digest);
}

#[tokio::test]
async fn manifests_have_an_end() {
    let announced = bench(|asked| {
        asked.is("GET", "/manifests/").then(|| reply(200, &[("Content-Length", "104857600")], "{"))
    });
    let announced = announced.await;
    let failure = announced.client.manifest(&announced.reference("a:1")).await.unwrap_err();
    assert!(matches!(failure, OciError::TooLarge { size: 104_857_600, .. }), "{failure}");

    // A chunk of 100 MiB, of which a little more than the limit is sent.
    let endless = bench(|asked| {
        asked.is("GET", "/manifests/").then(|| {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6400000\r\n".to_vec();
            bytes.resize(bytes.len() + (5 << 20), b' ');
            Raw { bytes, hang: true }
        })
    })
    .await;
    let failure = endless.client.manifest(&endless.reference("a:1")).await.unwrap_err();
    assert!(matches!(failure, OciError::TooLarge { .. }), "{failure}");
}

#[tokio::test]
async fn limits_hold_before_anything_is_fetched() {
    let (bench, failure) = pull_changed(|it| it["layers"][0]["size"] = (2 << 20).into()).await;
    assert!(matches!(failure, OciError::TooLarge { .. }), "{failure}");
    assert!(!bench.asked().iter().any(|asked| asked.contains("/blobs/")));

    let two = super::bench(nothing_special).await;
    two.double.has("a:1", &layers(&[b"1", b"2"]));
    let failure = two.failure("a:1").await;
    let why = ManifestError::Layers { found: 2, most: 1 };
    assert!(matches!(&failure, OciError::Manifest { why: said, .. } if *said == why), "{failure}");
    let most = Most { bytes: 100, layers: 2 };
    let pulled = two.client.pull(&two.reference("a:1"), Freshness::Check, most).await.unwrap();
    assert_eq!(pulled.artifact.layers, ["1", "2"]);
    let failure = two.failure("a:1").await;
    assert!(matches!(failure, OciError::Manifest { .. }), "from the store, too: {failure}");
}

#[tokio::test]
async fn a_layer_has_the_size_the_manifest_says() {
    for size in [3, 300] {
        let (_bench, failure) = pull_changed(|it| it["layers"][0]["size"] = size.into()).await;
        assert!(matches!(failure, OciError::WrongSize { said, .. } if said == size), "{failure}");
    }
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ncontent\r\n1\r\n!\r\n0\r\n\r\n";
    let bench = bench(move |asked| {
        let layer = layers(&[b"content"]).manifest.layers[0].digest.to_string();
        asked.is("GET", &layer).then(|| Raw { bytes: chunked.to_vec(), hang: false })
    })
    .await;
    bench.double.has("a:1", &layers(&[b"content"]));
    let failure = bench.failure("a:1").await;
    assert!(matches!(failure, OciError::WrongSize { found: 8, said: 7, .. }), "{failure}");
}

#[tokio::test]
async fn what_is_no_artifact_is_refused() {
    let urls = serde_json::json!(["https://elsewhere.example/layer"]);
    let (bench, failure) = pull_changed(|it| it["layers"][0]["urls"] = urls).await;
    assert!(failure.to_string().contains("another address"), "{failure}");
    assert!(!bench.asked().iter().any(|asked| asked.contains("/blobs/")));
    let (_bench, failure) = pull_changed(|it| it["mediaType"] = OCI_INDEX.into()).await;
    assert!(failure.to_string().contains("index of several"), "{failure}");
}

#[tokio::test]
async fn a_blob_that_went_bad_is_fetched_again() {
    let bench = bench(nothing_special).await;
    let artifact = layers(&[b"content"]);
    bench.double.has("a:1", &artifact);
    bench.pull("a:1").await.unwrap();
    let hex = artifact.manifest.layers[0].digest.hex();
    let path = bench.client.store().root().join("blobs/sha256").join(&hex);
    std::fs::write(&path, b"cOntent").unwrap();
    let pinned = format!("a@{}", artifact.digest);
    assert_eq!(bench.pull(&pinned).await.unwrap().artifact, artifact);
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
    assert_eq!(std::fs::read(path.with_extension("corrupt")).unwrap(), b"cOntent");
}

#[tokio::test]
async fn many_at_once_fetch_once() {
    let bench = bench(nothing_special).await;
    bench.double.has("a:1", &layers(&[b"content"]));
    let pulls = (0..8).map(|_| bench.pull("a:1"));
    for pulled in futures_util::future::join_all(pulls).await {
        assert_eq!(pulled.unwrap().artifact.layers, ["content"]);
    }
    let fetched = bench.asked().iter().filter(|asked| asked.starts_with("GET")).count();
    assert_eq!(fetched, 3, "manifest, configuration and layer: {:?}", bench.asked());
}

#[tokio::test]
async fn progress_ends_with_everything() {
    let bench = bench(nothing_special).await;
    bench.double.has("a:1", &layers(&[b"content"]));
    let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
    let seen = Arc::clone(&steps);
    let client = bench.client.with_progress(Arc::new(move |step| seen.lock().unwrap().push(step.clone())));
    client.pull(&bench.reference("a:1"), Freshness::Check, Most::bytes(100)).await.unwrap();
    let last = steps.lock().unwrap().last().cloned().unwrap();
    assert_eq!((last.done, last.total), (7, 7));
    assert!(last.reference.contains("/a:1@sha256:"));
}
