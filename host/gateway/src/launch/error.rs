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
    /// Asked to start what nobody can start here.
    #[error("{0} is not started by the gateway")]
    NotStartable(&'static str),
}

impl LaunchError {
    /// The code of this failure, stable across versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProgramNotFound { .. } | Self::ProgramFileMissing { .. } => "program_not_found",
            Self::NoDirectory { .. } | Self::Spawn { .. } | Self::NotStartable(_) => "start_failed",
        }
    }
}
