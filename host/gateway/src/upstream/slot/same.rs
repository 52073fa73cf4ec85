//! Whether a changed definition means another start.

use wasmgate_core::catalog::Server;

/// Whether both would be started and spoken to in the same way. Secrets count, which `Debug` does not show.
pub(super) fn runs_the_same(a: &Server, b: &Server) -> bool {
    let written = |server: &Server| format!("{:?} {:?}", server.launch, server.protocol);
    written(a) == written(b) && a.launch.secrets() == b.launch.secrets()
}
