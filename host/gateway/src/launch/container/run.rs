//! The life of one container, in one task: create, attach, start, watch, stop, remove.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerState};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wasmgate_core::catalog::{ContainerTransport, Network};
use wasmgate_core::name::ServerName;

use super::attach::{Stdout, split};
use super::engine::{Engine, is_status};
use super::network::{Networks, Place};
use super::{create, port};
use crate::launch::instance::{ABANDONED_GRACE, Owner};
use crate::launch::stderr::Stderr;
use crate::launch::stdin::{self, Closer};
use crate::launch::{Channel, Exit, Instance, LaunchError};
use crate::shutdown::Tasks;

/// A container to run.
pub(super) struct Job {
    pub(super) docker: Docker,
    pub(super) engine: Engine,
    pub(super) body: ContainerCreateBody,
    pub(super) name: String,
    pub(super) server: ServerName,
    pub(super) networks: Networks,
    pub(super) network: Network,
    pub(super) transport: ContainerTransport,
    /// How long a container that serves HTTP may take to listen.
    pub(super) listening: Duration,
    pub(super) stderr: Stderr,
    pub(super) tasks: Tasks,
}

type Ready = oneshot::Sender<Result<Instance, LaunchError>>;

/// A container that exists.
struct Existing {
    docker: Docker,
    id: String,
    stdin: Option<Closer>,
    stderr: Stderr,
    /// Resolves when all it said has been read.
    said: oneshot::Receiver<()>,
    /// The gateway stops: what is left then is the sweep's.
    stopping: CancellationToken,
}

impl Job {
    /// Runs it to its end, in a network that is made before it and removed after it.
    pub(super) async fn run(self, ready: Ready) {
        let placed = self.networks.place(&self.docker, &self.server, &self.network).await;
        match placed {
            Ok(place) => {
                let docker = self.docker.clone();
                self.run_in(&place, ready).await;
                place.release(&docker).await;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    }

    /// When nobody waits for `ready` any more it is ended at once.
    async fn run_in(mut self, place: &Place, mut ready: Ready) {
        let options = CreateContainerOptionsBuilder::default().name(&self.name).build();
        // The values of the environment are not kept for as long as the container lives.
        let mut body = std::mem::take(&mut self.body);
        place.settle(&mut body);
        let created = match self.docker.create_container(Some(options), body).await {
            Ok(created) => created,
            Err(error) => {
                let _ = ready.send(Err(self.engine.failed("create its container", error)));
                return;
            }
        };
        let started = tokio::select! {
            started = self.bring_up(&created.id, place) => Some(started),
            () = ready.closed() => None,
        };
        let failure = match started {
            Some(Ok((channel, existing))) => {
                let (instance, owner) = Instance::pair(channel, self.stderr.censor(), &self.tasks);
                // An instance nobody takes is dropped here, which asks its owner to stop.
                let _ = ready.send(Ok(instance));
                return existing.look_after(owner).await;
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        remove(&self.docker, &created.id).await;
        if let Some(error) = failure {
            let _ = ready.send(Err(error));
        }
    }

    /// Attaches, then starts: whatever it says first is heard.
    async fn bring_up(&self, id: &str, place: &Place) -> Result<(Channel, Existing), LaunchError> {
        let stdio = self.transport == ContainerTransport::Stdio;
        let options =
            AttachContainerOptionsBuilder::default().stdin(stdio).stdout(true).stderr(true).stream(true);
        let attached = self.docker.attach_container(id, Some(options.build())).await;
        let attached = attached.map_err(|error| self.engine.failed("attach to its container", error))?;
        let (heard, said) = oneshot::channel();
        let stderr = self.stderr.clone();
        let (stdin, pipes) = if stdio {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            self.tasks.spawn("container output", async move {
                split(attached.output, Stdout::Messages(ours), stderr).await;
                let _ = heard.send(());
            });
            let (input, closer) = stdin::closable(Box::new(attached.input), &self.tasks);
            (Some(closer), Some(Channel::Stdio { input: Box::new(input), output: Box::new(theirs) }))
        } else {
            self.tasks.spawn("container output", async move {
                split(attached.output, Stdout::<tokio::io::DuplexStream>::Log, stderr).await;
                let _ = heard.send(());
            });
            (None, None)
        };
        let (docker, stopping) = (self.docker.clone(), self.tasks.stopping());
        let mut existing =
            Existing { docker, id: id.to_owned(), stdin, stderr: self.stderr.clone(), said, stopping };
        let started = self.docker.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(|error| self.engine.failed("start its container", error))?;
        let channel = match pipes {
            Some(pipes) => pipes,
            None => self.listen(&mut existing, place).await?,
        };
        Ok((channel, existing))
    }

    /// Waits until a container that serves HTTP does.
    async fn listen(&self, existing: &mut Existing, place: &Place) -> Result<Channel, LaunchError> {
        let inspected =
            existing.inspect().await.map_err(|error| self.engine.failed("inspect its container", error))?;
        let number = create::port(&self.transport).unwrap_or_default();
        let address = place.address(&inspected, number).or_else(|| port::published(&inspected, number));
        let Some(address) = address else {
            // A container that has ended has no ports any more.
            return Err(existing.ended_early().await);
        };
        tokio::select! {
            listening = timeout(self.listening, port::listening(address)) => {
                let silent = |_| LaunchError::NotListening {
                    port: number,
                    seconds: self.listening.as_secs(),
                    last_stderr: existing.stderr.tail(),
                };
                listening.map_err(silent)?;
            }
            () = existing.ended() => return Err(existing.ended_early().await),
        }
        port::channel(&self.transport, address).ok_or(LaunchError::NoNetwork)
    }
}

impl Existing {
    /// Until it ends, or is asked to; then it is removed.
    async fn look_after(mut self, mut owner: Owner) {
        let asked = tokio::select! {
            () = self.ended() => None,
            grace = owner.asked_to_stop() => Some(grace),
        };
        if let Some(grace) = asked {
            self.stop(grace).await;
            let exit = self.exit().await;
            let is_removed = remove(&self.docker, &self.id).await;
            owner.ended(exit);
            self.remove_at_last(is_removed).await;
        } else {
            let state = self.reason_known().await;
            // Its calls fail now; tidying up can wait.
            owner.ended(self.exit_as(&state).await);
            let is_removed = remove(&self.docker, &self.id).await;
            self.remove_at_last(is_removed).await;
        }
    }

    /// Removes it when the engine is back, however long it has been away.
    async fn remove_at_last(&self, is_removed: bool) {
        let mut is_removed = is_removed;
        while !is_removed {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = sleep(BACK) => is_removed = self.docker.ping().await.is_ok() && remove(&self.docker, &self.id).await,
            }
        }
    }

    /// Closes stdin, then signals, each with its grace.
    async fn stop(&self, grace: Duration) {
        if let Some(stdin) = &self.stdin {
            stdin.close();
            if timeout(grace, self.ended()).await.is_ok() {
                return;
            }
        }
        // The engine sends the signal the image asks for, waits, and kills. It counts whole seconds.
        let seconds = i32::try_from(grace.as_secs_f64().ceil() as u64).unwrap_or(i32::MAX).max(1);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let stopped = self.docker.stop_container(&self.id, Some(options));
        let _ = timeout(grace + ENGINE_SLACK, stopped).await;
    }

    /// Resolves when it runs no more, or when the engine cannot say so for long.
    async fn ended(&self) {
        let mut unanswered = 0;
        while unanswered < UNANSWERED {
            let mut wait = self.docker.wait_container(&self.id, None::<WaitContainerOptions>);
            if let Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) = wait.next().await {
                return;
            }
            match self.inspect().await {
                Ok(found) if found.state.as_ref().and_then(|state| state.running) == Some(true) => {
                    unanswered = 0
                }
                Ok(_) => return,
                Err(error) if is_status(&error, 404) => return,
                Err(_) => unanswered += 1,
            }
            sleep(AGAIN).await;
        }
    }

    /// How it ended.
    async fn exit(&mut self) -> Exit {
        let state = self.state().await.unwrap_or_default();
        self.exit_as(&state).await
    }

    async fn exit_as(&mut self, state: &ContainerState) -> Exit {
        // What it said last is still on its way; a second read of a used channel returns at once.
        let _ = timeout(LAST_WORDS, &mut self.said).await;
        exit(state, self.stderr.tail())
    }

    /// Its state once the reason is known why it was killed: that memory ran out the engine hears apart from the end, and
    /// on a busy machine after it.
    async fn reason_known(&self) -> ContainerState {
        let mut known = self.state().await.unwrap_or_default();
        for _ in 0..OUT_OF_MEMORY_TRIES {
            if !was_killed(&known) || self.stopping.is_cancelled() {
                break;
            }
            sleep(OUT_OF_MEMORY_PAUSE).await;
            // Somebody may have removed it meanwhile.
            let Some(state) = self.state().await else { break };
            known = state;
        }
        known
    }

    async fn state(&self) -> Option<ContainerState> {
        self.inspect().await.ok().and_then(|found| found.state)
    }

    /// Why it cannot be used although it was started.
    async fn ended_early(&mut self) -> LaunchError {
        let Exit { code, last_stderr, .. } = self.exit().await;
        let unpublished =
            || LaunchError::Engine { doing: "publish its port", said: "it runs without one".to_owned() };
        code.map_or_else(unpublished, |code| LaunchError::Ended { code, last_stderr })
    }

    async fn inspect(&self) -> Result<ContainerInspectResponse, Error> {
        self.docker.inspect_container(&self.id, None::<InspectContainerOptions>).await
    }
}

/// Removes a container, whatever it does, with its anonymous volumes. Tries again when the engine is away; what is
/// left after that is the sweep's.
pub(super) async fn remove(docker: &Docker, id: &str) -> bool {
    for pause in REMOVALS {
        sleep(pause).await;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match docker.remove_container(id, Some(options)).await {
            Ok(()) => return true,
            // Gone, or being removed by somebody else.
            Err(error) if is_status(&error, 404) || is_status(&error, 409) => return true,
            Err(error) => tracing::debug!(container = id, %error, "container not removed yet"),
        }
    }
    tracing::warn!(container = id, "container could not be removed");
    false
}

/// Whether it was killed and nobody has said why.
fn was_killed(state: &ContainerState) -> bool {
    state.running != Some(true) && state.exit_code == Some(KILLED) && state.oom_killed != Some(true)
}

fn exit(state: &ContainerState, last_stderr: String) -> Exit {
    let code = state.exit_code.filter(|_| state.running != Some(true));
    // The init process and the engine both report a signal as 128 and its number.
    let signal =
        code.and_then(|code| i32::try_from(code - 128).ok()).filter(|signal| (1..=64).contains(signal));
    Exit { code, signal, out_of_memory: state.oom_killed == Some(true), last_stderr }
}

/// Bytes of stdout that wait for their reader.
const PIPE: usize = 64 * 1024;
/// How long the end of stderr is waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The exit code of what ended by SIGKILL.
const KILLED: i64 = 128 + 9;
/// How often, and after how long, the engine is asked once more whether memory had run out.
const OUT_OF_MEMORY_TRIES: u32 = 10;
const OUT_OF_MEMORY_PAUSE: Duration = Duration::from_millis(50);
/// What the engine may take on top of a grace, twice what a loaded machine was seen to need.
const ENGINE_SLACK: Duration = ABANDONED_GRACE.saturating_mul(5);
/// How long before the engine is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the engine may fail to answer before the container is given up.
const UNANSWERED: u32 = 10;
/// How often it is looked whether the engine is back.
const BACK: Duration = Duration::from_secs(2);
/// Pauses before each try to remove.
pub(super) const REMOVALS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];
