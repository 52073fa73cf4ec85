//! The trivial backend: a JSON streamable-HTTP MCP server without sessions that echoes what it is sent.

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Anyhow;
use super::process::announce;

/// Serves until killed; prints its port.
pub(crate) async fn serve() -> Anyhow<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?.port());
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::task::spawn_local(async move {
                    let _closed = connection(stream).await;
                });
            }
        })
        .await
}

async fn connection(mut stream: TcpStream) -> Anyhow<()> {
    let mut held = Vec::with_capacity(64 * 1024);
    loop {
        let Some(message) = next_message(&mut stream, &mut held).await? else { return Ok(()) };
        stream.write_all(&reply(&message)).await?;
    }
}

/// One HTTP message's head and body, its bytes taken out of `held`; `None` at the end of the stream.
pub(crate) async fn next_message(stream: &mut TcpStream, held: &mut Vec<u8>) -> Anyhow<Option<Message>> {
    loop {
        if let Some(head_end) = memmem::find(held, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(held.get(..head_end).unwrap_or_default()).into_owned();
            let length = header(&head, "content-length").map_or(Ok(0), str::parse::<usize>)?;
            let end = head_end + 4 + length;
            if held.len() >= end {
                let rest = held.split_off(end);
                let mut whole = std::mem::replace(held, rest);
                let body = whole.split_off(head_end + 4);
                return Ok(Some(Message { head, body }));
            }
        }
        if stream.read_buf(held).await? == 0 {
            return Ok(None);
        }
    }
}

/// A request or response as read.
pub(crate) struct Message {
    /// Without the empty line.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// The value of a header; `name` in lower case.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let value = |line: &'h str| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    };
    head.lines().find_map(value)
}

fn reply(message: &Message) -> Vec<u8> {
    let body = String::from_utf8_lossy(&message.body);
    let id = member(&body, "\"id\":");
    let result = if !message.head.starts_with("POST") {
        return b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n".to_vec();
    } else if body.contains("\"initialize\"") {
        r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}"#.to_owned()
    } else if body.contains("\"tools/list\"") {
        r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#.to_owned()
    } else if body.contains("\"notifications/") {
        return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_vec();
    } else {
        let text = member(&body, "\"text\":");
        format!(r#"{{"content":[{{"type":"text","text":{text}}}]}}"#)
    };
    let json = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
        json.len()
    )
    .into_bytes()
}

/// The scalar after `key`: this backend only ever sees texts without escapes and plain numbers.
pub(crate) fn member<'b>(body: &'b str, key: &str) -> &'b str {
    let Some((_, after)) = body.split_once(key) else { return "null" };
    let end = match after.strip_prefix('"') {
        Some(text) => text.find('"').map_or(after.len(), |end| end + 2),
        None => after.find([',', '}']).unwrap_or(after.len()),
    };
    after.get(..end).unwrap_or("null")
}
