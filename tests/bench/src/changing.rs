//! The trivial server of 2026-07-28 whose one resource changes on demand: it holds `subscriptions/listen` streams, and a
//! call of `touch` tells all of them. It is the gateway's server, and directly the floor that the gateway is held against.

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use super::Anyhow;
use super::backend::{Message, member, next_message};
use super::process::announce;

/// The resource.
pub(crate) const RESOURCE: &str = "bench://resource";

/// Serves until killed; prints its port.
pub(crate) async fn serve() -> Anyhow<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?.port());
    let changes = broadcast::Sender::new(64);
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let changes = changes.clone();
                tokio::task::spawn_local(async move {
                    let _closed = connection(stream, changes).await;
                });
            }
        })
        .await
}

async fn connection(mut stream: TcpStream, changes: broadcast::Sender<()>) -> Anyhow<()> {
    let mut held = Vec::with_capacity(2 * 1024);
    loop {
        let Some(message) = next_message(&mut stream, &mut held).await? else { return Ok(()) };
        let body = String::from_utf8_lossy(&message.body);
        if body.contains("\"subscriptions/listen\"") {
            let id = member(&body, "\"id\":").to_owned();
            drop(held);
            return listen(stream, &id, changes.subscribe()).await;
        }
        if body.contains("\"touch\"") {
            // Nobody may be listening yet.
            let _told = changes.send(());
        }
        stream.write_all(&reply(&message, &body)).await?;
    }
}

/// Holds one stream: its acknowledgement, then every change.
async fn listen(mut stream: TcpStream, id: &str, mut changes: broadcast::Receiver<()>) -> Anyhow<()> {
    let meta = format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}"#);
    let granted = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"notifications":{{"resourceSubscriptions":["{RESOURCE}"]}},{meta}}}}}"#
    );
    let changed = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{RESOURCE}",{meta}}}}}"#
    );
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    stream.write_all((head + &event(&granted)).as_bytes()).await?;
    while changes.recv().await.is_ok() {
        stream.write_all(event(&changed).as_bytes()).await?;
    }
    Ok(())
}

/// One event as one chunk.
fn event(message: &str) -> String {
    let event = format!("event: message\ndata: {message}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

fn reply(message: &Message, body: &str) -> Vec<u8> {
    if !message.head.starts_with("POST") {
        return b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n".to_vec();
    }
    let id = member(body, "\"id\":");
    let rest = r#""resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"changing","version":"1"}}"#;
    let known = [
        (
            "\"server/discover\"",
            r#""supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{"subscribe":true}}"#.to_owned(),
        ),
        ("\"tools/list\"", r#""tools":[{"name":"touch","inputSchema":{"type":"object"}}]"#.to_owned()),
        ("\"resources/list\"", format!(r#""resources":[{{"uri":"{RESOURCE}","name":"it"}}]"#)),
        ("\"resources/templates/list\"", r#""resourceTemplates":[]"#.to_owned()),
        ("\"tools/call\"", r#""content":[{"type":"text","text":"touched"}]"#.to_owned()),
    ];
    let result = known.into_iter().find(|(method, _)| body.contains(method));
    let (status, json) = match result {
        Some((_, result)) => {
            ("200 OK", format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{result},{rest}}}}}"#))
        }
        None => (
            "404 Not Found",
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"unknown"}}}}"#),
        ),
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
        json.len()
    )
    .into_bytes()
}
