//! Uploads, and lists of what refers to what.

use super::*;

fn signature(subject: &Artifact) -> Artifact {
    let (config, empty) = Parts::EMPTY;
    let parts = Parts {
        artifact_type: Some("application/vnd.example.signature".into()),
        config: (config.into(), Bytes::from_static(empty)),
        layers: vec![("text/plain".into(), Bytes::from_static(b"signed"))],
        subject: Some(subject.descriptor()),
        ..Parts::default()
    };
    parts.build()
}

#[tokio::test]
async fn what_is_pushed_is_pulled() {
    let bench = bench(nothing_special).await;
    let artifact = catalog(r#"{"title":"x"}"#);
    let reference = bench.reference("a/b:1");
    assert_eq!(bench.client.push(&reference, &artifact).await.unwrap(), artifact.digest);
    assert_eq!(bench.double.manifest("a/b/manifests/1"), Some(artifact.bytes.to_vec()));
    let offline = bench.client.pull(&reference, Freshness::Offline, Most::bytes(100)).await.unwrap();
    assert_eq!(offline.artifact, artifact);
    let store = Store::open(bench.dir.join("another")).unwrap();
    let other = Registry::new(Egress::new(), store, Settings::default());
    let pulled = other.pull(&reference, Freshness::Check, Most::bytes(100)).await.unwrap();
    assert_eq!(pulled.artifact, artifact);

    bench.double.forget_asked();
    bench.client.push(&reference, &artifact).await.unwrap();
    let again = bench.asked();
    assert!(again.iter().all(|asked| !asked.starts_with("POST")), "nothing moves twice: {again:?}");
    bench.client.push(&reference.only(artifact.digest), &artifact).await.unwrap();
    let failure = bench.client.push(&reference.pinned(Digest::of(b"")), &artifact).await.unwrap_err();
    assert!(matches!(failure, OciError::NotATarget(..)), "{failure}");
}

#[tokio::test]
async fn places_for_uploads_may_be_anywhere_on_the_registry() {
    for absolute in [false, true] {
        let bench = bench(move |asked| {
            let host = asked.headers.get("host").unwrap();
            let place = "/v2/a/blobs/uploads/here";
            let place = if absolute { format!("http://{host}{place}") } else { format!("{place}?_state=y") };
            (asked.method == "POST").then(|| reply(202, &[("Location", &place)], ""))
        })
        .await;
        bench.client.push(&bench.reference("a:1"), &catalog("{}")).await.unwrap();
        let put = bench.asked().into_iter().find(|asked| asked.starts_with("PUT")).unwrap();
        let expected = if absolute { "here?digest=sha256%3A" } else { "here?_state=y&digest=sha256%3A" };
        assert!(put.contains(expected), "{put}");
    }
    let elsewhere = bench(|asked| {
        (asked.method == "POST").then(|| reply(202, &[("Location", "https://10.0.0.1/x")], ""))
    })
    .await;
    let failure = elsewhere.client.push(&elsewhere.reference("a:1"), &catalog("{}")).await.unwrap_err();
    assert!(failure.to_string().contains("private address"), "{failure}");
}

#[tokio::test]
async fn an_upload_that_breaks_is_begun_anew() {
    let bench =
        bench(|asked| (asked.method == "PUT" && asked.before == 0).then(|| reply(502, &[], ""))).await;
    bench.client.push(&bench.reference("a:1"), &catalog("[1]")).await.unwrap();
    let posts = bench.asked().iter().filter(|asked| asked.starts_with("POST")).count();
    assert_eq!(posts, 4, "two blobs, each from the beginning: {:?}", bench.asked());
}

#[tokio::test]
async fn a_registry_that_stored_something_else_is_not_believed() {
    let lie = Digest::of(b"something else").to_string();
    let bench = bench(move |asked| {
        asked.is("PUT", "/manifests/").then(|| reply(201, &[("Docker-Content-Digest", &lie)], ""))
    })
    .await;
    let failure = bench.client.push(&bench.reference("a:1"), &catalog("{}")).await.unwrap_err();
    assert!(matches!(failure, OciError::StoredOther { .. }), "{failure}");
}

#[tokio::test]
async fn referrers_are_listed_under_a_tag_where_there_is_no_list() {
    let bench = bench(nothing_special).await;
    let artifact = catalog("{}");
    let reference = bench.reference("a:1");
    let list = |kind: Option<&'static str>| {
        bench.client.referrers(&reference, artifact.digest, kind, Freshness::Check)
    };
    assert_eq!(list(None).await.unwrap(), []);
    bench.client.push(&reference, &artifact).await.unwrap();
    let signature = signature(&artifact);
    let unnamed = reference.only(signature.digest);
    for _ in 0..2 {
        bench.client.push(&unnamed, &signature).await.unwrap();
    }
    let found = list(Some("application/vnd.example.signature")).await.unwrap();
    assert_eq!(found.iter().map(|one| one.digest).collect::<Vec<_>>(), [signature.digest]);
    assert_eq!(list(Some("another/kind")).await.unwrap(), []);
    let tag = format!("a/manifests/sha256-{}", artifact.digest.hex());
    assert!(bench.double.manifest(&tag).is_some());

    bench.double.forget_asked();
    let offline = bench.client.referrers(&reference, artifact.digest, None, Freshness::Offline).await;
    assert_eq!(offline.unwrap(), found);
    assert_eq!(bench.asked(), [""; 0]);
}

#[tokio::test]
async fn referrers_are_read_from_the_registry_s_list_page_by_page() {
    let artifact = catalog("{}");
    let page = |one: &Artifact| {
        let one = serde_json::to_value(one.descriptor()).unwrap();
        serde_json::json!({"schemaVersion": 2, "manifests": [one]}).to_string()
    };
    let (first, second) = (page(&signature(&artifact)), page(&catalog("[]")));
    let bench = bench(move |asked| {
        if !asked.is("GET", "/v2/a/referrers/sha256:") {
            return None;
        }
        let next = format!("<{}?page=2>; rel=\"next\"", asked.path);
        Some(if asked.path.ends_with("page=2") {
            reply(200, &[], &second)
        } else {
            reply(200, &[("Link", &next)], &first)
        })
    })
    .await;
    let all = bench.client.referrers(&bench.reference("a:1"), artifact.digest, None, Freshness::Check).await;
    let expected = [signature(&artifact).digest, catalog("[]").digest];
    assert_eq!(all.unwrap().iter().map(|one| one.digest).collect::<Vec<_>>(), expected);
}
