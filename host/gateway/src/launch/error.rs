//! Why a server could not be started: each with a stable code for programs and a sentence for people.

use std::path::PathBuf;

/// Why a server could not be started. Messages never hold a value of the server's environment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// There is no such program.
    #[error(
        "there is no program `{program}` in the gateway's PATH: install it, or name it with its full path"
    )]
    ProgramNotFound {
        /// The program as the entry spells it.
        program: String,
    },
    /// The program was named with a path and is not there.
    #[error("there is no file {}", path.display())]
    ProgramFileMissing {
        /// The path looked at.
        path: PathBuf,
    },
    /// The working directory is not there.
    #[error("its working directory {} is not a directory", path.display())]
    NoDirectory {
        /// The directory as the entry spells it.
        path: PathBuf,
    },
    /// The operating system refused to run the program.
    #[error("{program} could not be run")]
    Spawn {
        /// The program as the entry spells it.
        program: String,
        /// What the operating system said.
        #[source]
        cause: std::io::Error,
    },
    /// A remote was handed to the launcher.
    #[error("a remote is not started by the gateway")]
    NotStartable,
    /// The engine's address is of a kind that is not spoken.
    #[error("DOCKER_HOST is `{host}`, but only unix:// sockets are supported")]
    DockerHost {
        /// The address.
        host: String,
    },
    /// Nobody answers at the engine's socket.
    #[error(
        "Docker is not reachable at {socket}: start Docker, or set DOCKER_HOST to where it listens; servers that are \
         processes or remotes work without it"
    )]
    DockerUnavailable {
        /// The socket's path.
        socket: String,
        /// What was tried and how it ended.
        #[source]
        cause: Box<bollard::errors::Error>,
    },
    /// The engine's socket is there and not for this user.
    #[error(
        "this user may not use the Docker socket at {socket}: add the user to the socket's group (often `docker`)"
    )]
    DockerForbidden {
        /// The socket's path.
        socket: String,
        /// What was tried and how it ended.
        #[source]
        cause: Box<bollard::errors::Error>,
    },
    /// The engine refused a step.
    #[error("Docker would not {doing}: {said}")]
    Engine {
        /// The step, as a verb phrase.
        doing: &'static str,
        /// The engine's own words.
        said: String,
    },
    /// The image reference is none.
    #[error("`{image}` is not an image reference")]
    ImageName {
        /// As the entry spells it.
        image: String,
    },
    /// The operator's policy does not let the image be run.
    #[error("image {image} {said}")]
    ImageRefused {
        /// The reference as the entry spells it.
        image: String,
        /// Why, to be read after the image.
        said: String,
    },
    /// The image is not there and may not be pulled.
    #[error("image {image} is not on this machine and its entry says `pull: never`: pull it first")]
    ImageMissing {
        /// The reference.
        image: String,
    },
    /// The pull failed.
    #[error("image {image} {fault}: {said}")]
    Pull {
        /// The reference.
        image: String,
        /// Whose fault it is.
        fault: PullFault,
        /// The engine's own words.
        said: String,
    },
    /// A host path may not be mounted.
    #[error("{} may not be mounted: {reason}", path.display())]
    BindRefused {
        /// The path as the entry spells it.
        path: PathBuf,
        /// Which rule says so, and the cure when there is one.
        reason: String,
    },
    /// A host path is not there.
    #[error("there is nothing at {} to mount", path.display())]
    BindMissing {
        /// The path as the entry spells it.
        path: PathBuf,
    },
    /// A place in the container that cannot be mounted on.
    #[error(
        "`{target}` is not a place in a container to mount on: use an absolute path outside /proc, /sys and /dev"
    )]
    MountTarget {
        /// As the entry spells it.
        target: String,
    },
    /// A volume's name is none.
    #[error(
        "`{name}` cannot name a volume: use 1 to 100 letters, digits, `.`, `_` or `-`, a letter or digit first"
    )]
    VolumeName {
        /// As the entry spells it.
        name: String,
    },
    /// It serves HTTP and has no network.
    #[error("a container that serves HTTP needs a network, and its entry disables it")]
    NoNetwork,
    /// Its network is not where the gateway is, so there is no way out of it.
    #[error(
        "its `allowHosts` cannot be enforced here, because its network is not on this machine (Docker Desktop, or a gateway \
         that is itself in a container): run the gateway where the engine runs, or set `network: none` or `default`"
    )]
    NoWayOut {
        /// Why nothing can listen there.
        #[source]
        cause: std::io::Error,
    },
    /// It ended before it could be used.
    #[error("it ended with exit code {code} before it listened{}", words(last_stderr))]
    Ended {
        /// Its exit code.
        code: i64,
        /// Its last words, harmless to print.
        last_stderr: String,
    },
    /// Nothing listens on the port it was said to serve.
    #[error("nothing listened on its port {port} within {seconds} s{}", words(last_stderr))]
    NotListening {
        /// The port inside the container.
        port: u16,
        /// How long was waited.
        seconds: u64,
        /// Its last words, harmless to print.
        last_stderr: String,
    },
}

/// Whose fault a failed pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PullFault {
    /// The registry has no such image.
    #[error("does not exist")]
    NotFound,
    /// The registry wants a login, or hides what it does not have.
    #[error("does not exist or may not be pulled without a login")]
    Denied,
    /// Likewise, although there is a login.
    #[error("does not exist or may not be pulled with the login of this machine")]
    LoginDenied,
    /// The registry does not answer.
    #[error("could not be pulled because its registry is not reachable")]
    Unreachable,
    /// Anything else: disk full, too many requests, no progress.
    #[error("could not be pulled")]
    Other,
}

impl LaunchError {
    /// The code of this failure, stable across versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProgramNotFound { .. } | Self::ProgramFileMissing { .. } => "program_not_found",
            Self::DockerUnavailable { .. } | Self::DockerForbidden { .. } | Self::DockerHost { .. } => {
                "docker_unavailable"
            }
            Self::ImageName { .. } => "image_invalid",
            Self::ImageMissing { .. } => "image_missing",
            Self::ImageRefused { .. } => "image_refused",
            Self::Pull { fault: PullFault::NotFound, .. } => "image_not_found",
            Self::Pull { fault: PullFault::Denied | PullFault::LoginDenied, .. } => "image_denied",
            Self::Pull { fault: PullFault::Unreachable, .. } => "registry_unreachable",
            Self::Pull { fault: PullFault::Other, .. } => "image_pull_failed",
            Self::BindRefused { .. } => "bind_refused",
            Self::BindMissing { .. } => "bind_missing",
            Self::MountTarget { .. } | Self::VolumeName { .. } => "mount_invalid",
            Self::Ended { .. } => "ended_early",
            Self::NotListening { .. } => "not_listening",
            Self::NoDirectory { .. }
            | Self::Spawn { .. }
            | Self::NotStartable
            | Self::Engine { .. }
            | Self::NoNetwork
            | Self::NoWayOut { .. } => "start_failed",
        }
    }
}

fn words(last_stderr: &str) -> String {
    if last_stderr.is_empty() { String::new() } else { format!(": {last_stderr}") }
}
