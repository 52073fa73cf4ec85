//! The server on stdin and stdout. Lines of an era it does not speak are answered here; the others reach the SDK.

use rmcp::ServiceExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use crate::era::Era;
use crate::server::Server;

/// How much may lie between the pipes and the SDK.
const BUFFER: usize = 64 * 1024;

/// Serves until the end of input.
pub(crate) async fn serve(era: Era) -> std::io::Result<()> {
    let (near, far) = tokio::io::duplex(BUFFER);
    let (from_sdk, to_sdk) = tokio::io::split(near);
    // Two write answers, one owns the pipe.
    let (say, mut said) = mpsc::channel::<String>(16);
    let writer = tokio::spawn(async move {
        let mut out = tokio::io::stdout();
        while let Some(line) = said.recv().await {
            out.write_all(line.as_bytes()).await?;
            out.write_all(b"\n").await?;
            out.flush().await?;
        }
        Ok::<_, std::io::Error>(())
    });
    let answers = say.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(from_sdk).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if answers.send(line).await.is_err() {
                break;
            }
        }
    });
    let reader = tokio::spawn(read(era, to_sdk, say));
    let running = Server::new(era).serve(far).await.map_err(std::io::Error::other)?;
    running.waiting().await.map_err(std::io::Error::other)?;
    reader.await.map_err(std::io::Error::other)??;
    writer.await.map_err(std::io::Error::other)?
}

async fn read(
    era: Era,
    mut to_sdk: impl AsyncWrite + Unpin,
    say: mpsc::Sender<String>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        match (era.refuses_line(&message), message.get("id")) {
            (Some(error), Some(id)) => {
                let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
                say.send(answer.to_string()).await.map_err(std::io::Error::other)?;
            }
            (Some(_), None) => (),
            (None, _) => to_sdk.write_all(format!("{line}\n").as_bytes()).await?,
        }
    }
    to_sdk.shutdown().await
}
