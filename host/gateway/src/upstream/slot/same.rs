//! Whether a changed definition means another start.

use wasmgate_core::catalog::Server;

/// Whether both would be started and spoken to in the same way. Secrets count, which `Debug` does not show; how many
/// instances there are and for how long does not, because running ones need not know.
pub(super) fn runs_the_same(a: &Server, b: &Server) -> bool {
    let written = |server: &Server| {
        // How many requests it is given at once decides what it is told it may ask; who shares an instance decides who
        // has had it.
        let (at_once, sharing) = (server.max_in_flight, server.instances.sharing);
        format!("{:?} {:?} {at_once:?} {sharing:?}", server.launch, server.protocol)
    };
    written(a) == written(b) && a.launch.secrets() == b.launch.secrets()
}
