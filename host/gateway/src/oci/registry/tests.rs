//! The client against a registry on this machine that misbehaves on request.

mod access; // logins, tokens, redirects
mod content; // digests, sizes, manifests
mod double; // the registry
mod outages; // slow, broken, overloaded; what is used instead
mod publish; // uploads and referrers

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use self::double::{Asked, Double, Raw, reply};
use super::*;
use crate::oci::artifact::{DockerKind, Parts};

/// A registry, a client of it and its store, which is gone afterwards.
struct Bench {
    double: Double,
    client: Registry,
    dir: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Bench {
    fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.double.address())).unwrap()
    }

    /// What the registry is asked, as `METHOD path`, without the repository.
    fn asked(&self) -> Vec<String> {
        self.double.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }

    async fn pull(&self, rest: &str) -> Result<Pulled, OciError> {
        self.client.pull(&self.reference(rest), Freshness::Check, Most::bytes(1 << 20)).await
    }

    /// The failure of a pull.
    async fn failure(&self, rest: &str) -> OciError {
        self.pull(rest).await.expect_err("a failure")
    }
}

/// A registry that answers by this rule, and properly where the rule says nothing.
async fn bench(rule: impl Fn(&Asked) -> Option<Raw> + Send + Sync + 'static) -> Bench {
    bench_with(Settings { patience: impatient(), ..Settings::default() }, rule).await
}

async fn bench_with(
    mut settings: Settings,
    rule: impl Fn(&Asked) -> Option<Raw> + Send + Sync + 'static,
) -> Bench {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("wasmgate-oci-{}-{number}", std::process::id()));
    let double = Double::start(rule).await;
    if let Some(config) = settings.docker_config.take() {
        // The place is a template for the text: the port is known only now.
        std::fs::create_dir_all(&dir).unwrap();
        let text = config.to_str().unwrap().replace("REGISTRY", double.address());
        let path = dir.join("config.json");
        std::fs::write(&path, text).unwrap();
        settings.docker_config = Some(path);
    }
    let store = Store::open(dir.join("store")).unwrap();
    Bench { client: Registry::new(Egress::new(), store, settings), double, dir }
}

/// Long for what must come and with hardly a pause where the test is not about pauses.
fn impatient() -> Patience {
    Patience { pauses: vec![Duration::from_millis(1); 3], ..Patience::default() }
}

/// Logged in, with this in `auths`, `credHelpers` and so on; `REGISTRY` stands for host and port.
fn logged_in(config: &str) -> Settings {
    Settings { docker_config: Some(config.into()), patience: impatient(), ..Settings::default() }
}

fn catalog(text: &str) -> Artifact {
    Artifact::docker(DockerKind::Catalog, text.to_owned()).unwrap()
}

/// An artifact of one layer, whatever is in it.
fn layers(layers: &[&'static [u8]]) -> Artifact {
    let (config, empty) = Parts::EMPTY;
    let layers = layers.iter().map(|layer| ("text/plain".to_owned(), Bytes::from_static(layer)));
    let parts = Parts {
        config: (config.to_owned(), Bytes::from_static(empty)),
        layers: layers.collect(),
        ..Parts::default()
    };
    parts.build()
}

fn nothing_special(_: &Asked) -> Option<Raw> {
    None
}
