//! Spellings of references and what they complete to.

use super::*;

const HEX: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[track_caller]
fn check(text: &str, expected: &str) {
    let reference = Reference::parse(text).unwrap();
    assert_eq!(reference.to_string(), expected, "{text}");
    assert_eq!(Reference::parse(expected).as_ref(), Ok(&reference), "the completed form is a reference");
    assert_eq!(Reference::parse(&format!("oci://{text}")).as_ref(), Ok(&reference));
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let said = Reference::parse(text).unwrap_err();
    assert!(said.why.contains(why), "{text}: {said}");
    assert!(said.to_string().starts_with('`'));
}

#[test]
fn references_are_completed_as_docker_does() {
    check("nginx", "docker.io/library/nginx:latest");
    check("mcp/git", "docker.io/mcp/git:latest");
    check("docker.io/nginx:1", "docker.io/library/nginx:1");
    check("index.docker.io/mcp/git", "docker.io/mcp/git:latest");
    check("registry-1.docker.io/mcp/git", "docker.io/mcp/git:latest");
    check("ghcr.io/acme/tools:1", "ghcr.io/acme/tools:1");
    check("GHCR.io/acme/tools:V1", "ghcr.io/acme/tools:V1");
    check("localhost/x", "localhost/x:latest");
    check("LocalHost/x", "localhost/x:latest");
    check("localhost:5000/x:t", "localhost:5000/x:t");
    check("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest");
    check("[::1]:5000/a:b", "[::1]:5000/a:b");
    check("r.example/a__b/c-d/e.f_g---h", "r.example/a__b/c-d/e.f_g---h:latest");
    check(&format!("ghcr.io/a/b@{HEX}"), &format!("ghcr.io/a/b@{HEX}"));
    check(&format!("ghcr.io/a/b:1@{HEX}"), &format!("ghcr.io/a/b:1@{HEX}"));
    check(&format!("b@{HEX}"), &format!("docker.io/library/b@{HEX}"));
}

#[test]
fn what_is_no_reference_says_what_is_wrong() {
    refused("", "no name");
    refused("oci://", "no name");
    refused("https://ghcr.io/a/b", "no `https://`");
    refused("ghcr.io/", "empty part");
    refused("ghcr.io//a", "empty part");
    refused("ghcr.io/Acme/b", "lower-case, and `Acme`");
    refused("acme/B", "lower-case");
    refused("ACME/b", "lower-case, and `ACME`");
    refused("ghcr.io/a b", "cannot be part");
    refused("ghcr.io/../a", "cannot be part");
    refused("ghcr.io/-a", "cannot be part");
    refused("ghcr.io/a_", "cannot be part");
    refused("ghcr.io/a..b", "cannot be part");
    refused("ghcr.io/a___b", "cannot be part");
    refused("ghcr.io/a:", "not a tag");
    refused("ghcr.io/a:.x", "not a tag");
    refused(&format!("ghcr.io/a:{}", "x".repeat(129)), "not a tag");
    refused("ghcr.io:0/a", "not a port");
    refused("ghcr.io:99999/a", "not a port");
    refused("gh_cr.io/a", "not a host name");
    refused("-x.io/a", "not a host name");
    refused("user@ghcr.io/a", "64 lower-case");
    refused("ghcr.io/a@sha256:abc", "64 lower-case");
    refused(&format!("ghcr.io/a@sha512:{}", "a".repeat(128)), "`sha512`");
    refused("[::1/a", "not a port");
    refused("[zz]:1/a", "not an IPv6 address");
    refused(&format!("ghcr.io/{}", "a/".repeat(200)), "longer than 255");
    refused("ghcr.io/\u{e9}", "cannot be part");
}

#[test]
fn parts_and_pins() {
    let digest: Digest = HEX.parse().unwrap();
    let reference = Reference::parse("mcp/git:1").unwrap();
    assert_eq!((reference.registry(), reference.repository()), ("docker.io", "mcp/git"));
    assert_eq!((reference.tag(), reference.digest()), (Some("1"), None));
    assert_eq!(reference.version(), "1");
    assert_eq!(reference.pinned(digest).to_string(), format!("docker.io/mcp/git:1@{HEX}"));
    assert_eq!(reference.only(digest).to_string(), format!("docker.io/mcp/git@{HEX}"));
    assert_eq!(reference.pinned(digest).version(), HEX);
}

#[test]
fn local_references_are_references() {
    let digest: Digest = HEX.parse().unwrap();
    let check = |name: &str, version: &str, expected: &str| {
        let local = Reference::local(name, version, digest);
        assert_eq!(local.to_string(), format!("wasmgate.local/{expected}@{HEX}"));
        assert!(local.is_local());
        assert_eq!(Reference::parse(&local.to_string()), Ok(local));
    };
    check("io.github.acme/weather", "1.2.0", "io.github.acme/weather:1.2.0");
    check("io.github.Acme/Weather Server!", "1.0.0+build", "io.github.acme/weather-server:1.0.0_build");
    check("a..b/_c_", "-rc", "a.b/c:rc");
    check("\u{e9}", "", "artifact:latest");
    check(&"x".repeat(300), &"1".repeat(300), &format!("{}:{}", "x".repeat(255), "1".repeat(128)));
    assert!(!Reference::parse("ghcr.io/a").unwrap().is_local());
}

proptest::proptest! {
    /// Whatever is accepted is spelled in a way that is accepted again and means the same.
    #[test]
    fn spellings_are_stable(text in "(oci://)?([a-zA-Z0-9._-]{0,8}(:[0-9]{0,6})?/)?[a-z0-9._/-]{0,12}(:[a-zA-Z0-9._-]{0,6})?") {
        if let Ok(reference) = Reference::parse(&text) {
            proptest::prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
        }
    }

    /// Any name and version have a local reference.
    #[test]
    fn local_references_are_always_references(name: String, version: String) {
        let local = Reference::local(&name, &version, HEX.parse().unwrap());
        proptest::prop_assert_eq!(Reference::parse(&local.to_string()), Ok(local));
    }
}
