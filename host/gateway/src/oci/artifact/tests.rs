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
    expect_test::expect![].assert_eq(std::str::from_utf8(&artifact.bytes).unwrap());
    expect_test::expect![].assert_eq(std::str::from_utf8(&artifact.config).unwrap());
    let reordered = Component { exports: wasm().exports.into_iter().rev().collect(), ..wasm() };
    assert_eq!(Artifact::component(reordered).unwrap().digest, artifact.digest);
    let server = Artifact::docker(DockerKind::Server, r#"{"registry":[]}"#).unwrap();
    expect_test::expect![].assert_eq(std::str::from_utf8(&server.bytes).unwrap());
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
