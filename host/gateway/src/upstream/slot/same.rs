//! Whether a changed definition means another start.

use secrecy::ExposeSecret as _;
use wasmgate_core::catalog::{EnvVar, Launch, Server};

/// Whether both would be started and spoken to in the same way. Secrets count, which `Debug` does not show.
pub(super) fn runs_the_same(a: &Server, b: &Server) -> bool {
    let written = |server: &Server| format!("{:?} {:?}", server.launch, server.protocol);
    written(a) == written(b) && secrets(&a.launch).eq(secrets(&b.launch))
}

fn secrets(launch: &Launch) -> impl Iterator<Item = &str> {
    let (env, headers): (&[EnvVar], &[_]) = match launch {
        Launch::Container(container) => (&container.env, &[]),
        Launch::Process(process) => (&process.env, &[]),
        Launch::Remote(remote) => (&[], &remote.headers),
    };
    let headers = headers.iter().map(|(_, value)| value.expose_secret());
    env.iter().map(|var| var.value.expose_secret()).chain(headers)
}
