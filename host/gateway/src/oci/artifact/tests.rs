//! Layouts: what is written has the digest it had yesterday, and what is read is checked.

use super::*;

fn wasm() -> Component {
    Component {
        wasm: Bytes::from_static(b"\0asm\x0d\0\x01\0"),
        exports: vec!["wasmgate:plugin/source@0.1.0".into(), "a:b/c".into()],
        imports: vec!["wasmgate:plugin/log@0.1.0".into()],
        annotations: [("title".into(), "tëst <1>".into()), ("io.example.x".into(), "y".into())].into(),
    }
}

fn with_layer(media_type: &str, bytes: &'static [u8]) -> Parts {
    let (config, empty) = Parts::EMPTY;
    Parts {
        config: (config.into(), Bytes::from_static(empty)),
        layers: vec![(media_type.into(), Bytes::from_static(bytes))],
        ..Parts::default()
    }
}

#[test]
fn docker_s_own_catalog_has_docker_s_own_digest() {
    let document = r#"{"title":"test-catalog","servers":[{"type":"image","tools":["tool1","tool2"],"image":"docker/test:latest"}]}"#;
    let artifact = Artifact::docker(DockerKind::Catalog, document).unwrap();
    assert_eq!(artifact.digest.hex(), "748cbd4974f87b261b86586b962fa4400abc6953a70b64c4b9b14ea6cc5c0849");
    assert_eq!(artifact.manifest.config.digest.hex().get(..8), Some("44136fa3"));
    assert_eq!(artifact.document(), Ok((DockerKind::Catalog, &Bytes::from(document))));
}

#[test]
fn manifests_are_written_the_same_for_ever() {
    let artifact = Artifact::component(wasm()).unwrap();
    expect_test::expect![[r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:5c29142be3b9c65999ddd9453e61bb7ff66f57fb4d429cbfa5345dcb7ad63f89","size":266},"layers":[{"mediaType":"application/wasm","digest":"sha256:24eaf3439a60c96764c4f2c92a0a81b52bd4fe5d5b91f090184a0f6486b1bf29","size":8}],"annotations":{"io.example.x":"y","org.opencontainers.image.title":"tëst <1>"}}"#]].assert_eq(std::str::from_utf8(&artifact.bytes).unwrap());
    expect_test::expect![[r#"{"created":"1970-01-01T00:00:00Z","architecture":"wasm","os":"wasip2","layerDigests":["sha256:24eaf3439a60c96764c4f2c92a0a81b52bd4fe5d5b91f090184a0f6486b1bf29"],"component":{"exports":["a:b/c","wasmgate:plugin/source@0.1.0"],"imports":["wasmgate:plugin/log@0.1.0"]}}"#]].assert_eq(std::str::from_utf8(&artifact.config).unwrap());
    let reordered = Component { exports: wasm().exports.into_iter().rev().collect(), ..wasm() };
    assert_eq!(Artifact::component(reordered).unwrap().digest, artifact.digest);
    let server = Artifact::docker(DockerKind::Server, r#"{"registry":[]}"#).unwrap();
    expect_test::expect![[r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.docker.mcp.server","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/json","digest":"sha256:1c445e5457e5569211c37ddad90075a2acd54289488c6d0a013e1493fda41433","size":15}]}"#]].assert_eq(std::str::from_utf8(&server.bytes).unwrap());
}

#[test]
fn a_component_comes_back() {
    let artifact = Artifact::component(wasm()).unwrap();
    let layout = artifact.wasm().unwrap();
    assert_eq!(layout.wasm, &wasm().wasm);
    assert_eq!(layout.exports, ["a:b/c", "wasmgate:plugin/source@0.1.0"]);
    assert_eq!(layout.imports, wasm().imports);
    let older = with_layer("application/vnd.wasm.content.layer.v1+wasm", b"\0asm\x0d\0\x01\0").build();
    assert!(older.wasm().unwrap().exports.is_empty());
}

#[test]
fn what_is_not_that_says_what_it_is() {
    let check = |parts: Parts, document: &str, component: &str| {
        let artifact = parts.build();
        assert_eq!(artifact.document().unwrap_err().to_string(), document);
        assert_eq!(artifact.wasm().unwrap_err().to_string(), component);
    };
    let kind = |kind: &str, layer: &str, bytes: &'static [u8]| Parts {
        artifact_type: Some(kind.into()),
        ..with_layer(layer, bytes)
    };
    check(
        with_layer("application/vnd.oci.image.layer.v1.tar", b"x"),
        "it is of the kind `application/vnd.oci.empty.v1+json`, where a catalog, a server or a profile is wanted",
        "it is of the kind `application/vnd.oci.empty.v1+json`, where a WebAssembly component is wanted",
    );
    check(
        kind(DockerKind::Server.artifact_type(), "application/wasm", b"{}"),
        "its layer is `application/wasm`, where `application/json` is wanted",
        "its layer is not what its type says: WebAssembly begins with `\\0asm`",
    );
    check(
        Parts { layers: Vec::new(), ..kind(DockerKind::Profile.artifact_type(), "", b"") },
        "it has 0 layers where there is one in the layout",
        "it has 0 layers where there is one in the layout",
    );
    assert!(matches!(Artifact::docker(DockerKind::Server, "{"), Err(NotThat::Content { .. })));
    assert!(matches!(Artifact::component(Component::default()), Err(NotThat::Content { .. })));
}

#[test]
fn a_configuration_for_other_bytes_is_refused() {
    let mut artifact = Artifact::component(wasm()).unwrap();
    artifact.layers = vec![Bytes::from_static(b"\0asm\x0d\0\x01\0\0")];
    assert!(artifact.wasm().unwrap_err().to_string().contains("`layerDigests`"));
}
