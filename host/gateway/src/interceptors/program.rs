//! A process or a container for each call: the payload on its stdin, what it says on its stdout.
//!
//! It is started and ended by [`crate::launch`], as servers are: a process with a clean environment in a group of its own,
//! a container with the hardened settings and the labels by which the sweep finds it. Whatever ends the call ends it too.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use wasmgate_core::catalog::{
    About, Container, ContainerTransport, Deadlines, Instances, Launch, Network, Process, Protocol, Pull,
    Server, ToolFilter,
};
use wasmgate_core::json::Json;
use wasmgate_core::name::{BadName, ServerName};
use wasmgate_core::pipeline::StageError;

use super::outside::{DEADLINE, OUTPUT, TIME, TOO_MUCH};
use crate::launch::{Channel, Exit, Input, Instance, Launcher, Output};
use crate::shutdown::Tasks;

/// What is run for each call.
pub(super) struct Program {
    definition: Server,
    launcher: Launcher,
    tasks: Tasks,
    /// How long it may take until it runs, on top of the deadline.
    patience: Duration,
}

impl Program {
    /// `/bin/sh -c <line>`.
    pub(super) fn shell(name: &str, line: &str, launcher: &Launcher, tasks: &Tasks) -> Result<Self, BadName> {
        let process = Process {
            program: "/bin/sh".to_owned(),
            args: vec!["-c".into(), line.into()],
            env: Vec::new(),
            cwd: None,
        };
        Self::new(name, Launch::Process(process), (launcher, tasks), DEADLINE)
    }

    /// A container of `image` with `args` as its command. The first call may have to wait for the image.
    pub(super) fn container(
        name: &str,
        (image, args): (&str, &[String]),
        launcher: &Launcher,
        tasks: &Tasks,
    ) -> Result<Self, BadName> {
        let container = Container {
            image: image.to_owned(),
            command: args.iter().map(|word| word.as_str().into()).collect(),
            env: Vec::new(),
            mounts: Vec::new(),
            user: None,
            network: Network::Default,
            extra_hosts: Vec::new(),
            transport: ContainerTransport::Stdio,
            memory: None,
            cpus: None,
            writable_root: false,
            pull: Pull::Missing,
            extras: Box::default(),
        };
        Self::new(name, Launch::Container(container), (launcher, tasks), PULL)
    }

    fn new(
        name: &str,
        launch: Launch,
        (launcher, tasks): (&Launcher, &Tasks),
        patience: Duration,
    ) -> Result<Self, BadName> {
        let definition = Server {
            name: ServerName::new(name)?,
            about: About::default(),
            launch,
            prefix: None,
            tools: ToolFilter::All,
            protocol: Protocol::Auto,
            deadlines: Deadlines::default(),
            max_in_flight: None,
            instances: Instances::default(),
            required: false,
        };
        Ok(Self { definition, launcher: launcher.clone(), tasks: tasks.clone(), patience })
    }

    /// Runs it to its end. Dropping the future ends it, and everything it started, at once.
    pub(super) async fn run(&self, shown: &Json) -> Result<Bytes, StageError> {
        let started = timeout(self.patience, self.launcher.start(&self.definition, &|_| {})).await;
        let started = started.map_err(|_| StageError::Exceeded(TIME))?;
        let mut instance = started.map_err(|error| StageError::Failed(error.to_string()))?;
        let channel = instance.take_channel();
        let mut running = Running {
            name: self.definition.name.clone(),
            instance: Some(instance),
            tasks: self.tasks.clone(),
        };
        let Some(Channel::Stdio { input, output }) = channel else {
            return Err(StageError::Failed("has no stdin and stdout".to_owned()));
        };
        timeout(DEADLINE, running.converse(input, output, shown))
            .await
            .map_err(|_| StageError::Exceeded(TIME))?
    }
}

/// A run. Whoever drops it before its end ends the program.
struct Running {
    name: ServerName,
    instance: Option<Instance>,
    tasks: Tasks,
}

impl Running {
    async fn converse(&mut self, input: Input, output: Output, shown: &Json) -> Result<Bytes, StageError> {
        // A program need not read what it is shown, and may say much before it does.
        let ((), said) = tokio::try_join!(tell(input, shown), hear(output))?;
        let Some(instance) = &mut self.instance else { return Ok(said) };
        let exit = instance.ended().await;
        self.instance = None;
        show(&self.name, &exit);
        match (exit.code, exit.signal) {
            (Some(0), _) => Ok(said),
            (_, Some(signal)) => Err(StageError::Failed(format!("ended by signal {signal}"))),
            (code, None) => Err(StageError::Failed(format!("ended with exit code {}", code.unwrap_or(-1)))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(instance) = self.instance.take() else { return };
        let name = self.name.clone();
        // Outside the runtime the instance's own end has to do: it gives the program a few seconds.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.tasks.spawn("interceptor end", async move {
                show(&name, &instance.stop(Duration::ZERO).await);
            });
        }
    }
}

async fn tell(mut input: Input, shown: &Json) -> Result<(), StageError> {
    let mut line = Vec::with_capacity(shown.bytes().len() + 1);
    line.extend_from_slice(shown.bytes());
    line.push(b'\n');
    // It may end without reading; then what it says and how it ends is what counts.
    let _unread = input.write_all(&line).await;
    let _closed = input.shutdown().await;
    Ok(())
}

async fn hear(output: Output) -> Result<Bytes, StageError> {
    let mut said = Vec::new();
    let read = output.take(OUTPUT as u64 + 1).read_to_end(&mut said).await;
    if said.len() > OUTPUT {
        return Err(StageError::Exceeded(TOO_MUCH));
    }
    read.map_err(|error| StageError::Failed(format!("its output cannot be read: {error}")))?;
    Ok(said.into())
}

/// What it said on stderr, at most its last 4 KiB.
fn show(name: &ServerName, exit: &Exit) {
    for line in exit.last_stderr.lines() {
        tracing::info!(target: "wasmgate::interceptor", interceptor = %name, "{line}");
    }
}

/// How long the first call waits for an image.
const PULL: Duration = Duration::from_secs(60);
