//! Artifacts through a real registry: Debian's docker-registry, with and without a login, and with faults in front of it.
//!
//! What only a misbehaving registry shows is tested beside the code, against one of ours. These tests hold it against one
//! that others wrote; without it they are skipped, unless `WASMGATE_REQUIRE_ALL` is set.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its own environment, spawns its peers' tasks and fails where it stands"
)]

#[expect(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared with the integration suite, which has rules of its own and uses the rest"
)]
#[path = "../../../../tests/src/registry.rs"]
mod registry;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use registry::{Fault, LOGIN_BASE64, Options, faulty};
use wasmgate::egress::Egress;
use wasmgate::oci::artifact::{Component, DockerKind, Parts};
use wasmgate::oci::{
    Artifact, Freshness, Most, OciError, Patience, Pulled, Reference, Registry, Settings, Store,
};

/// A machine of its own: a store and a client.
struct Machine {
    client: Registry,
    dir: PathBuf,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Machine {
    fn new() -> Self {
        Self::with(None)
    }

    /// With this as Docker's `config.json`.
    fn with(docker_config: Option<&str>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("wasmgate-machine-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let docker_config = docker_config.map(|text| {
            let path = dir.join("config.json");
            std::fs::write(&path, text).unwrap();
            path
        });
        let patience = Patience { pauses: vec![Duration::from_millis(10); 3], ..Patience::default() };
        let settings = Settings { docker_config, patience, ..Settings::default() };
        let store = Store::open(dir.join("store")).unwrap();
        Self { client: Registry::new(Egress::new(), store, settings), dir }
    }

    async fn push(&self, reference: &str, artifact: &Artifact) -> Result<(), OciError> {
        self.client.push(&Reference::parse(reference)?, artifact).await.map(drop)
    }

    async fn pull(&self, reference: &str) -> Result<Pulled, OciError> {
        self.client.pull(&Reference::parse(reference)?, Freshness::Check, Most::bytes(1 << 20)).await
    }
}

fn there() -> bool {
    let Err(reason) = registry::there() else { return true };
    assert!(std::env::var_os("WASMGATE_REQUIRE_ALL").is_none(), "needs what is missing: {reason}");
    eprintln!("skipped: {reason}");
    false
}

fn catalog(title: &str) -> Artifact {
    Artifact::docker(DockerKind::Catalog, format!(r#"{{"title":"{title}"}}"#)).unwrap()
}

fn component() -> Artifact {
    let wasm = Bytes::from_static(b"\0asm\x0d\0\x01\0");
    Artifact::component(Component { wasm, exports: vec!["a:b/c".into()], ..Component::default() }).unwrap()
}

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
async fn what_one_machine_pushes_another_pulls() {
    if !there() {
        return;
    }
    let registry = registry::registry().await;
    let (ours, theirs) = (Machine::new(), Machine::new());
    let artifacts = [
        catalog("x"),
        Artifact::docker(DockerKind::Server, "{}").unwrap(),
        Artifact::docker(DockerKind::Profile, "{}").unwrap(),
        component(),
    ];
    for (number, artifact) in artifacts.iter().enumerate() {
        let reference = registry.reference(&format!("acme/tools:{number}"));
        ours.push(&reference, artifact).await.unwrap();
        let pulled = theirs.pull(&reference).await.unwrap();
        assert_eq!((&pulled.artifact, pulled.digest, pulled.stale), (artifact, artifact.digest, false));
        let pinned = registry.reference(&format!("acme/tools@{}", artifact.digest));
        assert_eq!(Machine::new().pull(&pinned).await.unwrap().artifact, *artifact);
    }
    let absent = theirs.pull(&registry.reference("acme/absent")).await.unwrap_err();
    assert!(absent.is_not_found(), "{absent}");
}

#[tokio::test]
async fn what_is_pushed_about_an_artifact_is_found() {
    if !there() {
        return;
    }
    let registry = registry::registry().await;
    let (machine, artifact) = (Machine::new(), catalog("x"));
    let reference = Reference::parse(&registry.reference("a:1")).unwrap();
    machine.client.push(&reference, &artifact).await.unwrap();
    let signature = signature(&artifact);
    machine.client.push(&reference.only(signature.digest), &signature).await.unwrap();
    let fresh = Machine::new();
    let found = fresh.client.referrers(&reference, artifact.digest, None, Freshness::Check).await.unwrap();
    assert_eq!(found.iter().map(|one| one.digest).collect::<Vec<_>>(), [signature.digest]);
    let pinned = reference.only(signature.digest).to_string();
    assert_eq!(fresh.pull(&pinned).await.unwrap().artifact, signature);
}

#[tokio::test]
async fn a_login_opens_the_door() {
    if !there() {
        return;
    }
    let registry = registry::start(Options { login: true, ..Options::default() }).await;
    let reference = registry.reference("private/catalog:1");
    let login = |auth: &str| format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.address);
    let nobody = Machine::new().pull(&reference).await.unwrap_err();
    assert!(matches!(nobody, OciError::NoLogin { .. }), "{nobody}");
    let wrong =
        Machine::with(Some(&login("bWU6d3Jvbmc="))).push(&reference, &catalog("x")).await.unwrap_err();
    assert!(matches!(wrong, OciError::LoginRefused { .. }), "{wrong}");
    let right = login(LOGIN_BASE64);
    Machine::with(Some(&right)).push(&reference, &catalog("x")).await.unwrap();
    assert_eq!(Machine::with(Some(&right)).pull(&reference).await.unwrap().artifact, catalog("x"));
}

#[tokio::test]
async fn faults_that_pass_are_waited_out() {
    if !there() {
        return;
    }
    let registry = registry::registry().await;
    let failing = faulty(&registry.address, |_, before| match before % 4 {
        0 => Some(Fault::Status(429, &[("Retry-After", "0")])),
        1 => Some(Fault::Status(500, &[])),
        _ => None,
    })
    .await;
    let artifact = component();
    Machine::new().push(&failing.reference("a:1"), &artifact).await.unwrap();
    assert_eq!(Machine::new().pull(&failing.reference("a:1")).await.unwrap().artifact, artifact);
    let breaking = faulty(&registry.address, |line, before| {
        (line.starts_with("GET") && before % 2 == 1).then_some(Fault::Truncated)
    })
    .await;
    assert_eq!(Machine::new().pull(&breaking.reference("a:1")).await.unwrap().artifact, artifact);
    assert!(breaking.asked() > 4, "something was asked for again");
}

#[tokio::test]
async fn changed_bytes_are_never_used() {
    if !there() {
        return;
    }
    let registry = registry::registry().await;
    Machine::new().push(&registry.reference("a:1"), &component()).await.unwrap();
    for part in ["/manifests/", "/blobs/"] {
        let changing =
            move |line: &str, _| (line.starts_with("GET") && line.contains(part)).then_some(Fault::Changed);
        let proxy = faulty(&registry.address, changing).await;
        let machine = Machine::new();
        let failure = machine.pull(&proxy.reference("a:1")).await.unwrap_err();
        assert!(matches!(failure, OciError::WrongDigest { .. }), "{part}: {failure}");
        assert!(machine.client.store().list().iter().all(|entry| entry.size == 0));
    }
}

#[tokio::test]
async fn a_registry_that_went_away_is_answered_for() {
    if !there() {
        return;
    }
    let registry = registry::registry().await;
    let down: Arc<AtomicUsize> = Arc::default();
    let seen = Arc::clone(&down);
    let proxy = faulty(&registry.address, move |_, _| match seen.load(Ordering::SeqCst) {
        0 => None,
        status => Some(Fault::Status(u16::try_from(status).unwrap(), &[])),
    })
    .await;
    let (machine, reference) = (Machine::new(), proxy.reference("a:1"));
    Machine::new().push(&reference, &catalog("old")).await.unwrap();
    assert!(!machine.pull(&reference).await.unwrap().stale);
    down.store(503, Ordering::SeqCst);
    let pulled = machine.pull(&reference).await.unwrap();
    assert!(pulled.stale && pulled.artifact == catalog("old"));
    down.store(404, Ordering::SeqCst);
    assert!(
        machine.pull(&reference).await.unwrap_err().is_not_found(),
        "a registry that says no is believed"
    );
    down.store(0, Ordering::SeqCst);
    Machine::new().push(&reference, &catalog("new")).await.unwrap();
    assert_eq!(machine.pull(&reference).await.unwrap().artifact, catalog("new"), "the tag moved");

    // The machine's next start, without any network.
    let store = Store::open(machine.dir.join("store")).unwrap();
    let offline = Registry::new(Egress::new(), store, Settings::default());
    let reference = Reference::parse(&reference).unwrap();
    let pulled = offline.pull(&reference, Freshness::Offline, Most::bytes(1000)).await.unwrap();
    assert_eq!(pulled.artifact, catalog("new"));
}
