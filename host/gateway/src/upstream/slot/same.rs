//! Whether a changed definition means another start.

use wasmgate_core::catalog::Server;

/// Whether both would be started and spoken to in the same way. Secrets count, which `Debug` does not show.
pub(super) fn runs_the_same(a: &Server, b: &Server) -> bool {
    // How many requests it is given at once decides what it is told it may ask.
    let written =
        |server: &Server| format!("{:?} {:?} {:?}", server.launch, server.protocol, server.max_in_flight);
    written(a) == written(b) && a.launch.secrets() == b.launch.secrets()
}
