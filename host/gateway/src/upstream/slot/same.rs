//! Whether a changed definition means another start.

use secrecy::ExposeSecret as _;
use wasmgate_core::catalog::{EnvVar, Launch, Server};

/// Whether both would be started and spoken to in the same way. Secrets count, which `Debug` does not show.
pub(super) fn runs_the_same(a: &Server, b: &Server) -> bool {
    let written = |server: &Server| format!("{:?} {:?}", server.launch, server.protocol);
    written(a) == written(b) && secrets(&a.launch).eq(secrets(&b.launch))
}

fn secrets(launch: &Launch) -> impl Iterator<Item = &str> {
    let (env, headers): (Vec<&EnvVar>, &[_]) = match launch {
        Launch::Container(container) => (container.env.iter().collect(), &[]),
        Launch::Process(process) => (process.env.iter().collect(), &[]),
        Launch::Remote(remote) => (Vec::new(), &remote.headers),
        Launch::Tools(tools) => (tools.iter().flat_map(|tool| &tool.env).collect(), &[]),
    };
    let headers = headers.iter().map(|(_, value)| value.expose_secret());
    env.into_iter().map(|var| var.value.expose_secret()).chain(headers)
}
