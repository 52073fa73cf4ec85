//! Servers that are containers: image, settings, mounts, and the task that owns the container.
//!
//! Only objects this gateway created are ever touched, besides images (looked at and pulled) and what a dead gateway
//! left. The engine is looked up when the first container needs it, so machines without one serve the rest.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bollard::Docker;
use bollard::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, MountVolumeOptions,
};
use tokio::sync::oneshot;
use wasmgate_core::catalog::{self, Container, ContainerTransport, MountSource, Network, Pull, Server};
use wasmgate_core::name::ServerName;

use super::binds::BindPolicy;
use super::guard::{Admitted, AnyImage, Candidate, ImageGuard};
use super::identity::{Identity, MARK, SERVER};
use super::stderr::Stderr;
use super::{Instance, LaunchError, LaunchSettings, Limits, Progress};
use crate::shutdown::Tasks;

mod attach; // one stream into stdout and stderr
mod create; // the settings of every container
mod engine; // the way to Docker
mod image; // is it there, and how it gets there
mod layers; // how far a pull is
mod network; // what containers can reach
mod port; // containers that serve HTTP
mod reference; // what an image may be called
mod run; // a container's life
mod sweep; // what dead gateways left, and what we leave

use create::{Placement, create_body};
use engine::Engine;
use image::Images;
use network::Networks;
use reference::Reference;
use run::Job;

/// Starts containers of one engine. Cheap to clone.
#[derive(Clone)]
pub(super) struct Containers {
    engine: Engine,
    images: Images,
    networks: Networks,
    identity: Arc<Identity>,
    /// Changes with the configuration.
    binds: Arc<ArcSwap<BindPolicy>>,
    /// Likewise.
    guard: Arc<ArcSwap<Box<dyn ImageGuard>>>,
    limits: Limits,
    tasks: Tasks,
}

impl Containers {
    /// Takes the settings; touches no engine.
    pub(super) fn new(settings: LaunchSettings, identity: Arc<Identity>, tasks: Tasks) -> Self {
        let LaunchSettings { docker_host, binds, limits, logins, egress, .. } = settings;
        let engine = Engine::new(docker_host);
        let images = Images::new(engine.clone(), logins, tasks.clone());
        let networks = Networks::new(engine.clone(), Arc::clone(&identity), egress, tasks.clone());
        Self {
            engine,
            images,
            networks,
            identity,
            binds: Arc::new(ArcSwap::from_pointee(binds)),
            guard: Arc::new(ArcSwap::from_pointee(Box::new(AnyImage))),
            limits,
            tasks,
        }
    }

    /// What the next containers may mount.
    pub(super) fn allow(&self, binds: BindPolicy) {
        self.binds.store(Arc::new(binds));
    }

    /// Which images may be run from now on.
    pub(super) fn guard(&self, guard: Box<dyn ImageGuard>) {
        self.guard.store(Arc::new(guard));
    }

    /// The image that is run: as named, or pinned to the content that was looked at.
    async fn admitted(
        &self,
        docker: &Docker,
        named: Reference,
        pull: Pull,
    ) -> Result<Reference, LaunchError> {
        let here = self.images.here(docker, &named, pull).await?;
        let refused = |said: String| LaunchError::ImageRefused { image: named.as_str().to_owned(), said };
        let guard = self.guard.load_full();
        let candidate = Candidate { image: named.as_str(), here: &here, pull };
        match guard.admit(candidate).await.map_err(refused)? {
            Admitted::AsNamed => Ok(named),
            Admitted::Pinned(image) => Reference::parse(&image).ok_or(LaunchError::ImageName { image }),
        }
    }

    /// Makes the image be there, then the container run.
    pub(super) async fn start(
        &self,
        server: &Server,
        container: &Container,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Instance, LaunchError> {
        let named = Reference::parse(&container.image)
            .ok_or_else(|| LaunchError::ImageName { image: container.image.clone() })?;
        if container.transport != ContainerTransport::Stdio && container.network == Network::None {
            return Err(LaunchError::NoNetwork);
        }
        // Before anything slow, so that what can never start says so at once.
        container.extras.tmpfs.iter().try_for_each(|path| check_target(path))?;
        let mounts = self.mounts(&server.name, &container.mounts).await?;
        let docker = self.engine.connect().await?;
        let image = self.admitted(&docker, named, container.pull).await?;
        self.images.ensure(&docker, &image, container.pull, progress).await?;
        progress(Progress::Starting);
        let container = Container { image: image.as_str().to_owned(), ..container.clone() };
        self.run(docker, server, &container, mounts).await
    }

    async fn run(
        &self,
        docker: Docker,
        server: &Server,
        container: &Container,
        mounts: Vec<Mount>,
    ) -> Result<Instance, LaunchError> {
        let labels = self.identity.labels();
        let placement = Placement { server: &server.name, mounts, labels, limits: self.limits };
        let job = Job {
            docker,
            engine: self.engine.clone(),
            body: create_body(container, placement),
            name: self.name(&server.name),
            server: server.name.clone(),
            networks: self.networks.clone(),
            network: container.network.clone(),
            transport: container.transport.clone(),
            listening: server.deadlines.initialize,
            stderr: Stderr::new(&server.name, &container.env, &container.command),
            tasks: self.tasks.clone(),
        };
        let (ready, started) = oneshot::channel();
        // From creation to removal in one task: a start that is given up leaves nothing.
        self.tasks.spawn("container", job.run(ready));
        let gone = |_| LaunchError::Engine { doing: "start it", said: "the gateway stops".to_owned() };
        started.await.map_err(gone)?
    }

    fn name(&self, server: &ServerName) -> String {
        let mut random = [0; 4];
        // A name that is taken makes the engine refuse, nothing worse.
        let _ = getrandom::fill(&mut random);
        let boot = self.identity.boot().get(..8).unwrap_or_default();
        format!("wasmgate-{server}-{boot}-{:08x}", u32::from_be_bytes(random))
    }

    /// Judges the mounts and writes them as the engine's typed values: no text of an entry becomes an option.
    async fn mounts(
        &self,
        server: &ServerName,
        wanted: &[catalog::Mount],
    ) -> Result<Vec<Mount>, LaunchError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (binds, server, wanted) = (self.binds.load_full(), server.clone(), wanted.to_vec());
        let judged = tokio::task::spawn_blocking(move || {
            wanted.iter().map(|mount| typed(&binds, &server, mount)).collect()
        });
        let lost =
            |_| LaunchError::Engine { doing: "check its mounts", said: "the gateway stops".to_owned() };
        judged.await.map_err(lost)?
    }
}

fn typed(binds: &BindPolicy, server: &ServerName, mount: &catalog::Mount) -> Result<Mount, LaunchError> {
    check_target(&mount.target)?;
    let target = Some(mount.target.clone());
    match &mount.source {
        MountSource::Bind(path) => {
            let bind = binds.check(path, mount.read_only)?;
            let options = MountBindOptions {
                propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
                // What is mounted below a read-only bind would stay writable.
                non_recursive: Some(bind.read_only),
                ..MountBindOptions::default()
            };
            let read_only = Some(bind.read_only);
            let typ = Some(MountType::BIND);
            Ok(Mount {
                target,
                source: Some(bind.source),
                typ,
                read_only,
                bind_options: Some(options),
                ..Mount::default()
            })
        }
        MountSource::Volume(name) => {
            let labels = HashMap::from([
                (MARK.to_owned(), "true".to_owned()),
                (SERVER.to_owned(), server.to_string()),
            ]);
            let options = MountVolumeOptions { labels: Some(labels), ..MountVolumeOptions::default() };
            let (source, typ) = (Some(volume_name(server, name)?), Some(MountType::VOLUME));
            let read_only = Some(mount.read_only);
            Ok(Mount { target, source, typ, read_only, volume_options: Some(options), ..Mount::default() })
        }
    }
}

fn check_target(target: &str) -> Result<(), LaunchError> {
    let mut parts = target.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    let first = parts.peek().copied().unwrap_or_default().to_owned();
    let own = matches!(first.as_str(), "" | "proc" | "sys" | "dev");
    if target.starts_with('/') && !own && parts.all(|part| part != "..") && !target.contains('\0') {
        return Ok(());
    }
    Err(LaunchError::MountTarget { target: target.to_owned() })
}

/// The engine's name of a server's volume. It ends in a hash of both names, because `a` + `b-c` and `a-b` + `c` read
/// the same and must not share a volume.
fn volume_name(server: &ServerName, name: &str) -> Result<String, LaunchError> {
    use sha2::{Digest as _, Sha256};
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !first || !rest || name.len() > 100 {
        return Err(LaunchError::VolumeName { name: name.to_owned() });
    }
    let hash = Sha256::digest(format!("{server}/{name}"));
    let mark: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("wasmgate-{server}-{name}-{mark}"))
}

#[cfg(test)]
mod tests;
