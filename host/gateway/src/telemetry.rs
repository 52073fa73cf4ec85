//! What the gateway says of itself: human lines on a terminal, JSON elsewhere, always on stderr, because in stdio mode
//! stdout belongs to the protocol.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// Libraries that write secrets when asked for details (bollard: whole container definitions, environment included):
/// no more than warnings from them unless the filter names one of their modules.
const QUIET: [&str; 3] = ["bollard=warn", "hyper=warn", "rmcp=warn"];

/// Starts logging for the whole process. `filter` is a tracing filter (`info`, `wasmgate=debug`, ...); `None` or
/// something that is not one means `info`.
pub fn start(filter: Option<&str>) {
    let filter =
        filter.and_then(|text| EnvFilter::try_new(text).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let filter = QUIET.iter().filter_map(|pin| pin.parse().ok()).fold(filter, EnvFilter::add_directive);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (several gateways in one test process) keeps the first.
    let _already_started = if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// This moment as the log writes it: RFC 3339, UTC.
pub fn now() -> String {
    let mut text = String::new();
    // Writing into a text does not fail.
    let _written = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}
