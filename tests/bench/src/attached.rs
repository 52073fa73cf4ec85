//! The trivial server in a container or as a process, attached to by one client without any gateway: what a call to it takes at
//! least.

use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
    StartContainerOptions,
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use wasmgate_tests::docker;

use super::Anyhow;
use super::load::Round;
use super::process::{LOAD, pinned};

type Output = Pin<Box<dyn Stream<Item = Anyhow<Vec<u8>>>>>;

/// A server that runs.
pub(crate) struct Attached {
    server: Server,
    pipes: Mutex<(Pin<Box<dyn AsyncWrite + Send>>, Output)>,
}

enum Server {
    Container {
        docker: Docker,
        id: String,
    },
    /// Killed when this is dropped.
    Process {
        _child: Child,
    },
}

impl Attached {
    /// Starts a process beside the load.
    pub(crate) fn process(program: &Path) -> Anyhow<Self> {
        let mut command = Command::from(pinned(LOAD, program));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes")?;
        let output = stream::unfold(output, |mut output| async move {
            let mut part = Vec::with_capacity(4 << 10);
            match output.read_buf(&mut part).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(part), output)),
                Err(error) => Some((Err(error.into()), output)),
            }
        });
        Ok(Self {
            server: Server::Process { _child: child },
            pipes: Mutex::new((Box::pin(input), Box::pin(output))),
        })
    }

    /// Starts a container.
    pub(crate) async fn container(image: &str) -> Anyhow<Self> {
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
        let output = pipes.output.map(|part| Ok(part?.into_bytes().to_vec()));
        let pipes = Mutex::new((pipes.input, Box::pin(output) as Output));
        Ok(Self { server: Server::Container { docker, id }, pipes })
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
                line.extend(output.next().await.ok_or("the server ended")??);
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
    pub(crate) async fn stop(&self) -> Anyhow<()> {
        if let Server::Container { docker, id } = &self.server {
            let force = RemoveContainerOptionsBuilder::default().force(true).build();
            docker.remove_container(id, Some(force)).await?;
        }
        Ok(())
    }
}
