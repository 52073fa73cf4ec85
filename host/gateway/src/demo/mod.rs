//! The servers of the demo catalog, over stdin and stdout: `wasmgate demo-server NAME`.
//!
//! Real MCP servers in a process of their own, so that a first run needs nothing but this binary. They know nothing of the
//! gateway in front of them; the rest of the program knows nothing of them.

mod clock;
mod notes;
#[cfg(test)]
mod tests;
mod tools;

use rmcp::ServiceExt as _;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};

/// The names [`serve`] takes.
pub const NAMES: &[&str] = &["demo", "notes", "time"];

/// Why a demo server ended other than by its client closing stdin.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no such server.
    #[error("no demo server is called `{0}`: there are {names}", names = NAMES.join(", "))]
    Unknown(String),
    /// The client did not speak MCP.
    #[error("the client did not introduce itself: {0}")]
    Handshake(String),
    /// Its task ended badly.
    #[error("the server broke off: {0}")]
    Broken(#[source] tokio::task::JoinError),
}

/// Serves one of them until its client closes stdin.
///
/// # Errors
/// See [`DemoError`].
pub async fn serve(name: &str) -> Result<(), DemoError> {
    serve_over(name, tokio::io::stdin(), tokio::io::stdout()).await
}

async fn serve_over<R, W>(name: &str, input: R, output: W) -> Result<(), DemoError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    match name {
        "demo" => run(tools::Demo::new(), (input, output)).await,
        "notes" => run(notes::Notes::new(), (input, output)).await,
        "time" => run(clock::Clock::new(), (input, output)).await,
        other => Err(DemoError::Unknown(other.to_owned())),
    }
}

async fn run<R, W>(server: impl rmcp::ServerHandler, pipes: (R, W)) -> Result<(), DemoError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let running = server.serve(pipes).await;
    let running = running.map_err(|error| DemoError::Handshake(error.to_string()))?;
    running.waiting().await.map_err(DemoError::Broken)?;
    Ok(())
}

/// What each of them says about itself.
fn about(name: &str, capabilities: ServerCapabilities, instructions: &str) -> ServerConfig {
    ServerConfig::new(capabilities)
        .with_server_info(Implementation::new(format!("wasmgate-{name}"), env!("CARGO_PKG_VERSION")))
        .with_instructions(instructions)
}
