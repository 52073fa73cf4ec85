//! The fixture as somebody else's server: on a port of this machine, outside every gateway.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::gateway::Captured;
use crate::{build, soon};

/// A server that lives as long as this value.
pub struct Remote {
    pub address: SocketAddr,
    _child: Child,
}

impl Remote {
    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Starts the fixture with these arguments and a free address after them.
pub async fn fixture(arguments: &[&str]) -> Remote {
    fixture_on(arguments, 0).await
}

/// Starts the fixture on a port that another one has left.
pub async fn fixture_on(arguments: &[&str], port: u16) -> Remote {
    let mut command = Command::new(build::fixture());
    command
        .args(arguments)
        .arg(format!("127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("the fixture starts");
    let stdout = Captured::of(child.stdout.take().expect("piped"));
    let line = stdout.find(|text| {
        text.strip_prefix("listening ")?.split_once('\n').map(|(address, _)| address.to_owned())
    });
    let address = soon("the fixture saying where it listens", line).await;
    Remote { address: address.parse().expect("an address"), _child: child }
}
