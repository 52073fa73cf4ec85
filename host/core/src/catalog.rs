//! What every source of servers ends as: a [`Server`] that can be started as it stands.
//!
//! File formats, templates and missing values live with the readers in the gateway; by the time a [`Server`] exists
//! every template has been evaluated, every secret looked up and every default filled in. It describes an image or a
//! program and never starts one.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

mod hidden;
mod hosts;

use crate::json::Json;
use crate::name::ServerName;

pub use hidden::{Argument, RemoteUrl};
pub use hosts::{AllowedHosts, Author, Carries, HostRule, Permit};

/// One server, ready to start.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name, unique within a generation of configuration.
    pub name: ServerName,
    /// What people read about it.
    pub about: About,
    /// How it is made to run.
    pub launch: Launch,
    /// Prefix of its tools' and prompts' public names, when the catalog fixes one.
    pub prefix: Option<String>,
    /// Which of its tools may be seen and called.
    pub tools: ToolFilter,
    /// Which protocol era to speak to it.
    pub protocol: Protocol,
    /// How long its requests may take.
    pub deadlines: Deadlines,
    /// How many requests of clients it is given at once; `None` is as many as there are.
    pub max_in_flight: Option<NonZeroUsize>,
    /// Who shares a running instance of it, and how many run.
    pub instances: Instances,
    /// Whether the gateway must not run without it.
    pub required: bool,
}

/// What people read about a server.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// A short title.
    pub title: Option<String>,
    /// A sentence or two.
    pub description: Option<String>,
}

/// The ways to make a server run.
#[derive(Debug, Clone)]
pub enum Launch {
    /// A container that speaks over attached stdio or serves HTTP on a port.
    Container(Container),
    /// A child process that speaks over stdio.
    Process(Process),
    /// Somebody else's server, reached over HTTP.
    Remote(Remote),
    /// Tools without a server: each call is one container of its own (`type: poci` in Docker's catalogs).
    Tools(Vec<ContainerTool>),
}

impl Launch {
    /// What `Debug` hides of it, in a fixed order.
    pub fn secrets(&self) -> Vec<&str> {
        let (env, words): (Vec<&EnvVar>, &[Argument]) = match self {
            Self::Container(container) => (container.env.iter().collect(), &container.command),
            Self::Process(process) => (process.env.iter().collect(), &process.args),
            Self::Tools(tools) => (tools.iter().flat_map(|tool| &tool.env).collect(), &[]),
            Self::Remote(remote) => {
                let urls = remote.urls.iter().filter(|url| url.is_secret()).map(|url| url.expose().as_str());
                return remote.headers.iter().map(|(_, value)| value.expose_secret()).chain(urls).collect();
            }
        };
        let words = words.iter().filter_map(Argument::secret).map(ExposeSecret::expose_secret);
        env.into_iter().map(|var| var.value.expose_secret()).chain(words).collect()
    }
}

/// A tool that is one container per call: its arguments make the command line, its stdout is the result.
#[derive(Clone)]
pub struct ContainerTool {
    /// Its name.
    pub name: String,
    /// Its line in `tools/list`.
    pub definition: Json,
    /// What the catalog says of its containers, as text: two tools that run the same are written the same.
    pub written: String,
    /// Environment of its containers.
    pub env: Vec<EnvVar>,
    /// From the arguments of a call to its container, without `env`.
    pub prepare: Prepare,
}

/// Makes a container of the arguments of a call, or says in a sentence what is wrong with them.
pub type Prepare = Arc<dyn Fn(&Json) -> Result<Container, String> + Send + Sync>;

impl fmt::Debug for ContainerTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerTool")
            .field("name", &self.name)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// A variable of a server's environment. The value is treated as secret whether or not it is one.
#[derive(Debug, Clone)]
pub struct EnvVar {
    /// The variable's name.
    pub name: String,
    /// Its value; never printed.
    pub value: SecretString,
}

/// A container to run. Everything not said here is the hardened default of `launch`.
#[derive(Debug, Clone)]
pub struct Container {
    /// Image reference, as Docker resolves it.
    pub image: String,
    /// Arguments after the image; empty keeps the image's own command.
    pub command: Vec<Argument>,
    /// Environment.
    pub env: Vec<EnvVar>,
    /// Mounts, as typed values: no flag can be smuggled through one.
    pub mounts: Vec<Mount>,
    /// `user[:group]`; `None` is the hardened default (65532:65532).
    pub user: Option<String>,
    /// What it may reach.
    pub network: Network,
    /// Extra `host:ip` lines for its hosts file.
    pub extra_hosts: Vec<String>,
    /// How it is spoken to.
    pub transport: ContainerTransport,
    /// Memory limit in bytes; `None` is the default of `launch`.
    pub memory: Option<u64>,
    /// CPU limit in cores; `None` is the default of `launch`.
    pub cpus: Option<f64>,
    /// Whether its root filesystem may be written.
    pub writable_root: bool,
    /// When its image is pulled.
    pub pull: Pull,
    /// What else sets it apart from the hardened default.
    pub extras: Box<Extras>,
}

/// What few containers ask for. The last three weaken what holds a container in; the operator has granted them by the time
/// they stand here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// In place of the image's own entry point; empty keeps that one.
    pub entrypoint: Vec<String>,
    /// Absolute working directory, in place of the image's own.
    pub workdir: Option<String>,
    /// Size of `/dev/shm` in bytes; `None` is the default of `launch`.
    pub shm_size: Option<u64>,
    /// Absolute paths that are memory and writable, besides `/tmp`.
    pub tmpfs: Vec<String>,
    /// All capabilities and devices of the machine.
    pub privileged: bool,
    /// Capabilities, without the `CAP_` before their names.
    pub capabilities: Vec<String>,
    /// Devices of the machine.
    pub devices: Vec<Device>,
}

/// A device of the machine that a container may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path on the machine, below `/dev`.
    pub host: String,
    /// Its path in the container, below `/dev`.
    pub container: String,
    /// What may be done with it: some of `r`, `w` and `m`.
    pub access: String,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Absolute path inside the container.
    pub target: String,
    /// Whether the container may only read it. Binds are read-only unless the operator allows writing to that path.
    pub read_only: bool,
}

/// Where a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A host path; checked against the bind policy when the container starts.
    Bind(PathBuf),
    /// A named volume of the container engine.
    Volume(String),
}

/// What a container may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    None,
    /// Whatever this machine reaches, and no other server.
    Default,
    /// These destinations, through the gateway, and nothing else.
    Hosts(AllowedHosts),
    /// The machine's own, with everything that listens on it. Needs the operator's grant.
    Host,
}

/// How a container is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerTransport {
    /// Attached stdin and stdout.
    Stdio,
    /// Streamable HTTP on a port of the container.
    StreamableHttp {
        /// Port inside the container.
        port: u16,
        /// Path, with its leading slash.
        path: String,
    },
    /// HTTP+SSE (2024-11-05) on a port of the container.
    Sse {
        /// Port inside the container.
        port: u16,
        /// Path, with its leading slash.
        path: String,
    },
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pull {
    /// When it is not there.
    #[default]
    Missing,
    /// Never: a missing image is a failure.
    Never,
    /// At every start.
    Always,
}

/// A child process to run, with a clean environment.
#[derive(Debug, Clone)]
pub struct Process {
    /// The program, looked up in the gateway's `PATH` when it has no slash.
    pub program: String,
    /// Its arguments, never through a shell.
    pub args: Vec<Argument>,
    /// Its whole environment besides `PATH`, `HOME`, `LANG` and `TMPDIR`.
    pub env: Vec<EnvVar>,
    /// Working directory; `None` keeps the gateway's.
    pub cwd: Option<PathBuf>,
}

/// A server reached over HTTP.
#[derive(Debug, Clone)]
pub struct Remote {
    /// One or more equivalent addresses; never empty.
    pub urls: Vec<RemoteUrl>,
    /// Which HTTP transport it speaks.
    pub transport: RemoteTransport,
    /// Headers sent with every request, by lower-case name. Values are never printed.
    pub headers: Vec<(String, SecretString)>,
    /// Whether loopback and private addresses and plain http are allowed: only where the operator's own file or
    /// command line names the URL.
    pub private_allowed: bool,
}

/// HTTP transports of remotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteTransport {
    /// Streamable HTTP; HTTP+SSE when the server refuses that and offers this.
    Auto,
    /// Streamable HTTP (2025-03-26 and later).
    StreamableHttp,
    /// HTTP+SSE (2024-11-05).
    Sse,
}

/// Which protocol era to speak to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Find out.
    #[default]
    Auto,
    /// Always the initialize handshake (2025-11-25 and earlier).
    Legacy,
    /// Always stateless (2026-07-28).
    Modern,
}

/// How long requests to a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From start to the answer to `initialize`.
    pub initialize: Duration,
    /// Longest silence within a call; progress resets it.
    pub idle: Duration,
    /// Longest a call may take, progress or not.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            initialize: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// How many instances of a server run, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instances {
    /// Who shares one.
    pub sharing: Sharing,
    /// How many are kept running whether or not anybody calls; 0 starts the server with the first call.
    pub min: usize,
    /// How many may run at once, those of all clients together.
    pub max: NonZeroUsize,
    /// How long one that is not among the `min` is kept after its last call.
    pub idle: Duration,
}

/// Who shares an instance of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// All clients of one principal.
    #[default]
    PerPrincipal,
    /// The calls of one session (`longLived` in Docker's catalogs); a principal's calls outside any session share one.
    PerSession,
    /// Nobody: each call has its own.
    PerCall,
}

impl Default for Instances {
    fn default() -> Self {
        Self {
            sharing: Sharing::default(),
            min: 1,
            max: NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN),
            idle: Duration::from_secs(300),
        }
    }
}

/// Which tools of a server may be seen and called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolFilter {
    /// All of them.
    #[default]
    All,
    /// Only these, by the server's own names, compared exactly.
    Only(std::collections::BTreeSet<String>),
    /// Only these, held in lower case and compared in any case: what `--tools` means.
    OnlyIgnoringCase(std::collections::BTreeSet<String>),
}

impl ToolFilter {
    /// Whether a tool passes.
    pub fn allows(&self, tool: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(tool),
            Self::OnlyIgnoringCase(names) => names.contains(&tool.to_lowercase()),
        }
    }
}
