//! Docker as the suite needs it: is it there, images built from nothing but files of this machine, what a gateway left.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::{ContainerInspectResponse, ContainerSummary, Network};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, PushImageOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
    TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::OnceCell;

use crate::{build, watch};

/// An image with one static program and nothing else.
pub const SCRATCH: &str = "wasmgate-tests/fixture:scratch";
/// An image with one hostile program and nothing else.
pub const PROBE: &str = "wasmgate-tests/probe:scratch";
/// An image with a third-party server: Node and `@modelcontextprotocol/server-everything`.
pub const EVERYTHING: &str = "wasmgate-tests/everything:local";

/// A connection to the engine, or why there is none.
pub async fn there() -> Result<Docker, String> {
    watch::this_test();
    let docker = Docker::connect_with_defaults().map_err(|error| format!("no Docker ({error})"))?;
    docker.ping().await.map_err(|error| format!("no Docker ({error})"))?;
    Ok(docker)
}

/// The fixture in an image `FROM scratch`.
pub async fn scratch() -> Result<&'static str, String> {
    static MADE: OnceCell<Result<(), String>> = OnceCell::const_new();
    let made = MADE.get_or_init(|| async { scratch_in(&there().await?).await });
    made.await.clone().map(|()| SCRATCH)
}

/// The same in another engine.
pub async fn scratch_in(docker: &Docker) -> Result<(), String> {
    let program = tokio::task::spawn_blocking(build::static_fixture).await.map_err(|e| e.to_string())??;
    let directory = program.parent().ok_or("the fixture lies nowhere")?.to_owned();
    let tar = tar(&[(directory.as_path(), &["fixture"])])?;
    import(docker, SCRATCH, tar, r#"ENTRYPOINT ["/fixture"]"#).await
}

/// One static program in an image of its own, which runs it.
pub async fn image_of(docker: &Docker, program: &Path, name: &str) -> Result<(), String> {
    let directory = program.parent().ok_or("the program lies nowhere")?;
    let file = program.file_name().and_then(|file| file.to_str()).ok_or("the program has no name")?;
    let tar = tar(&[(directory, &[file])])?;
    import(docker, name, tar, &format!(r#"ENTRYPOINT ["/{file}"]"#)).await
}

/// The probe in an image `FROM scratch`.
pub async fn probe() -> Result<&'static str, String> {
    static MADE: OnceCell<Result<(), String>> = OnceCell::const_new();
    let made = MADE.get_or_init(|| async {
        let docker = there().await?;
        let program =
            tokio::task::spawn_blocking(build::static_fixture).await.map_err(|e| e.to_string())??;
        let directory = program.parent().ok_or("the probe lies nowhere")?.to_owned();
        let tar = tar(&[(directory.as_path(), &["probe"])])?;
        import(&docker, PROBE, tar, r#"ENTRYPOINT ["/probe"]"#).await
    });
    made.await.clone().map(|()| PROBE)
}

/// Node, the libraries it is linked with, and the third-party server, in an image without a distribution.
pub async fn everything() -> Result<&'static str, String> {
    static MADE: OnceCell<Result<(), String>> = OnceCell::const_new();
    let made = MADE.get_or_init(|| async {
        let docker = there().await?;
        let modules = crate::peers::node().await?;
        let files = node_files()?;
        let names: Vec<&str> = files.iter().map(String::as_str).collect();
        let npm = modules.parent().ok_or("node_modules lies nowhere")?;
        let tar = tokio::task::block_in_place(|| tar(&[(Path::new("/"), &names), (npm, &["node_modules"])]))?;
        let entry = format!(
            r#"ENTRYPOINT ["/{}", "/node_modules/@modelcontextprotocol/server-everything/dist/index.js"]"#,
            files.first().ok_or("no node")?
        );
        import(&docker, EVERYTHING, tar, &entry).await
    });
    made.await.clone().map(|()| EVERYTHING)
}

/// Node itself first, then every file it needs, without the leading slash. Links are followed by `tar`.
fn node_files() -> Result<Vec<String>, String> {
    let found = Command::new("node")
        .args(["-p", "process.execPath"])
        .output()
        .map_err(|e| format!("no node: {e}"))?;
    let node = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let linked = Command::new("ldd").arg(&node).output().map_err(|e| format!("no ldd: {e}"))?;
    let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
    let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
    let mut files: Vec<PathBuf> =
        std::iter::once(PathBuf::from(node.clone())).chain(libraries.map(PathBuf::from)).collect();
    // Debian's own Node keeps parts of its standard library in files.
    for shared in
        ["/usr/share/nodejs/undici", "/usr/share/nodejs/acorn", "/usr/share/nodejs/cjs-module-lexer"]
    {
        if Path::new(shared).exists() {
            files.push(shared.into());
        }
    }
    Ok(files
        .iter()
        .filter_map(|path| path.to_str())
        .map(|path| path.trim_start_matches('/').to_owned())
        .collect())
}

/// One archive of files from several directories, links followed, everything owned by root and readable.
fn tar(parts: &[(&Path, &[&str])]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("tar");
    command.args([
        "--create",
        "--dereference",
        "--hard-dereference",
        "--owner=0",
        "--group=0",
        "--mode=a+rX",
    ]);
    for (directory, names) in parts {
        command.arg("-C").arg(directory).args(*names);
    }
    let output = command.output().map_err(|error| format!("no tar: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Makes an image of one archive.
async fn import(docker: &Docker, name: &str, tar: Vec<u8>, change: &str) -> Result<(), String> {
    let (repo, tag) = name.split_once(':').ok_or("an image name with a tag")?;

    let before = docker.inspect_image(name).await.ok().and_then(|image| image.id);
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(repo)
        .tag(tag)
        .changes(vec![change.to_owned()])
        .build();
    let body = bollard::body_full(Bytes::from(tar));
    let mut steps = docker.create_image(Some(options), Some(body), None);
    while let Some(step) = steps.next().await {
        step.map_err(|error| format!("{name} could not be made: {error}"))?;
    }
    // The image of an earlier run has lost its name to this one.
    let after = docker.inspect_image(name).await.ok().and_then(|image| image.id);
    if let Some(old) = before.filter(|old| after.as_ref() != Some(old)) {
        let _ = docker.remove_image(&old, None::<RemoveImageOptions>, None).await;
    }
    Ok(())
}

/// Pushes an image of this machine to a registry under another name, logged in or not, and forgets that name here.
pub async fn push(docker: &Docker, image: &str, name: &str, login: Option<(&str, &str)>) {
    let (repo, tag) = name.rsplit_once(':').expect("a name with a tag");
    let named = TagImageOptionsBuilder::default().repo(repo).tag(tag).build();
    docker.tag_image(image, Some(named)).await.expect("a name for the image");
    let credentials = login.map(|(user, password)| DockerCredentials {
        username: Some(user.to_owned()),
        password: Some(password.to_owned()),
        ..DockerCredentials::default()
    });
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let mut steps = docker.push_image(repo, Some(options), credentials);
    while let Some(step) = steps.next().await {
        step.unwrap_or_else(|error| panic!("{name} could not be pushed: {error}"));
    }
    drop(steps);
    forget(docker, repo).await;
}

/// Pulls an image, as `docker pull` does.
pub async fn pull(docker: &Docker, name: &str) {
    let (repo, tag) = name.rsplit_once(':').expect("a name with a tag");
    let options = CreateImageOptionsBuilder::default().from_image(repo).tag(tag).build();
    let mut steps = docker.create_image(Some(options), None, None);
    while let Some(step) = steps.next().await {
        step.unwrap_or_else(|error| panic!("{name} could not be pulled: {error}"));
    }
}

/// Takes every name in a repository from the images of this machine.
pub async fn forget(docker: &Docker, repository: &str) {
    let options = ListImagesOptionsBuilder::default().all(true).build();
    for image in docker.list_images(Some(options)).await.expect("the engine lists images") {
        for name in image.repo_tags.into_iter().chain(image.repo_digests) {
            if name.strip_prefix(repository).is_some_and(|rest| rest.starts_with([':', '@'])) {
                let _ = docker.remove_image(&name, None::<RemoveImageOptions>, None).await;
            }
        }
    }
}

/// Containers with the gateway's label that have `server` as the value of one of their labels.
pub async fn containers_of(docker: &Docker, server: &str) -> Vec<ContainerSummary> {
    let filters = HashMap::from([("label", vec!["wasmgate=true"])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let all = docker.list_containers(Some(options)).await.expect("the engine lists containers");
    let is_of = |container: &ContainerSummary| {
        container.labels.as_ref().is_some_and(|labels| labels.values().any(|value| value == server))
    };
    all.into_iter().filter(is_of).collect()
}

/// Networks with the gateway's label that have `value` as the value of one of their labels.
pub async fn networks_of(docker: &Docker, value: &str) -> Vec<Network> {
    let filters = HashMap::from([("label", vec!["wasmgate=true"])]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let all = docker.list_networks(Some(options)).await.expect("the engine lists networks");
    let is_of = |network: &Network| {
        network.labels.as_ref().is_some_and(|labels| labels.values().any(|label| label == value))
    };
    all.into_iter().filter(is_of).collect()
}

/// The settings of the one container of `server`.
pub async fn inspect(docker: &Docker, server: &str) -> ContainerInspectResponse {
    let containers = containers_of(docker, server).await;
    assert_eq!(containers.len(), 1, "one container for {server}");
    let id = containers[0].id.as_deref().expect("a container has an id");
    docker.inspect_container(id, None).await.expect("the engine inspects")
}

/// Kills and removes a container, as a person might.
pub async fn remove(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    let _ = docker.remove_container(id, Some(options)).await;
}

/// A network with the labels of a container: of the same owner, that is.
pub async fn network_of(docker: &Docker, container: &ContainerSummary, name: &str) {
    let labels = container.labels.clone();
    let request = bollard::models::NetworkCreateRequest { name: name.into(), labels, ..Default::default() };
    docker.create_network(request).await.expect("a network");
}

/// Whether there is a network of this name.
pub async fn has_network(docker: &Docker, name: &str) -> bool {
    let all = docker.list_networks(None::<bollard::query_parameters::ListNetworksOptions>).await;
    all.expect("Docker, as before").iter().any(|network| network.name.as_deref() == Some(name))
}
