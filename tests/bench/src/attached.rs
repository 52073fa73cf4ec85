//! A container with the trivial server, attached to by one client without any gateway: what a call to it takes at least.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};
use futures_util::StreamExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Mutex;
use wasmgate_tests::docker;

use super::Anyhow;
use super::load::Round;

type Output = Pin<Box<dyn futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// A container that runs.
pub(crate) struct Attached {
    docker: Docker,
    id: String,
    pipes: Mutex<(Pin<Box<dyn AsyncWrite + Send>>, Output)>,
}

impl Attached {
    /// Starts one.
    pub(crate) async fn start(image: &str) -> Anyhow<Self> {
        let docker = docker::there().await?;
        let body = ContainerCreateBody {
            image: Some(image.into()),
            open_stdin: Some(true),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            network_disabled: Some(true),
            host_config: Some(HostConfig { network_mode: Some("none".into()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let id = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
        let how = AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stream(true).build();
        let pipes = docker.attach_container(&id, Some(how)).await?;
        docker.start_container(&id, None::<StartContainerOptions>).await?;
        Ok(Self { docker, id, pipes: Mutex::new((pipes.input, pipes.output)) })
    }

    /// One call after the other for so long.
    pub(crate) async fn calls(&self, time: Duration) -> Anyhow<Round> {
        let mut pipes = self.pipes.lock().await;
        let (input, output) = &mut *pipes;
        let text = "x".repeat(200);
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
        ) + "\n";
        let (start, mut latencies) = (Instant::now(), Vec::new());
        while start.elapsed() < time {
            let sent = Instant::now();
            input.write_all(call.as_bytes()).await?;
            input.flush().await?;
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') {
                let part = output.next().await.ok_or("the container ended")??;
                line.extend_from_slice(&part.into_bytes());
            }
            latencies.push(sent.elapsed());
            if memchr::memmem::find(&line, text.as_bytes()).is_none() {
                return Err(format!("wrong answer: {}", String::from_utf8_lossy(&line)).into());
            }
        }
        latencies.sort_unstable();
        Ok(Round { latencies, elapsed: start.elapsed() })
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Anyhow<()> {
        let force = RemoveContainerOptionsBuilder::default().force(true).build();
        self.docker.remove_container(&self.id, Some(force)).await?;
        Ok(())
    }
}
