//! The trivial server over streamable HTTP, without sessions, and the reading of HTTP messages that everything here shares.

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wasmgate_echo::{Echo, Said};

use super::Anyhow;
use super::process::announce;

/// How it answers.
#[derive(Clone, Copy)]
struct Manner {
    echo: Echo,
    /// As a stream of one event, and not as one JSON message.
    is_stream: bool,
}

/// Serves until killed; prints its port. `words` say how: `sse`, `modern`, a number of tools.
pub(crate) async fn serve(words: &[&str]) -> Anyhow<()> {
    let tools = words.iter().find_map(|word| word.parse().ok()).unwrap_or(2);
    let echo = Echo { tools, is_modern: words.contains(&"modern") };
    let manner = Manner { echo, is_stream: words.contains(&"sse") };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?.port());
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::task::spawn_local(async move {
                    let _closed = connection(stream, manner).await;
                });
            }
        })
        .await
}

async fn connection(mut stream: TcpStream, manner: Manner) -> Anyhow<()> {
    let mut held = Vec::with_capacity(64 * 1024);
    loop {
        let Some(message) = next_message(&mut stream, &mut held).await? else { return Ok(()) };
        if !message.head.starts_with("POST") {
            stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        }
        match manner.echo.answer(&message.body) {
            Said::Nothing => {
                stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await?;
            }
            Said::Message(said) => {
                let status =
                    if said.contains("\"error\":{\"code\":-32601") { "404 Not Found" } else { "200 OK" };
                stream.write_all(&manner.whole(status, &said)).await?;
            }
            Said::Big { start, letters, end } => manner.in_parts(&mut stream, (&start, letters, end)).await?,
        }
    }
}

impl Manner {
    /// A response in one piece.
    fn whole(self, status: &str, message: &str) -> Vec<u8> {
        if self.is_stream {
            let event = format!("event: message\ndata: {message}\n\n");
            let length = event.len();
            return format!("{}{length:x}\r\n{event}\r\n0\r\n\r\n", stream_head(status)).into_bytes();
        }
        let length = message.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{message}"
        )
        .into_bytes()
    }

    /// A large response, written as it is made.
    async fn in_parts(self, stream: &mut TcpStream, big: (&str, usize, &str)) -> Anyhow<()> {
        let (start, letters, end) = big;
        let (before, after) = if self.is_stream { ("event: message\ndata: ", "\n\n") } else { ("", "") };
        let length = before.len() + start.len() + letters + end.len() + after.len();
        let head = match self.is_stream {
            true => format!("{}{length:x}\r\n", stream_head("200 OK")),
            false => {
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
                )
            }
        };
        stream.write_all(format!("{head}{before}{start}").as_bytes()).await?;
        let part = vec![b'x'; PART];
        let mut left = letters;
        while left > 0 {
            let now = left.min(PART);
            stream.write_all(part.get(..now).unwrap_or_default()).await?;
            left -= now;
        }
        let last = if self.is_stream { "\r\n0\r\n\r\n" } else { "" };
        stream.write_all(format!("{end}{after}{last}").as_bytes()).await?;
        Ok(())
    }
}

fn stream_head(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
}

/// Bytes of a large answer that are written at once.
const PART: usize = 64 << 10;

/// A request or response as read.
pub(crate) struct Message {
    /// Without the empty line.
    pub(crate) head: String,
    /// The body, without the marks of its chunks.
    pub(crate) body: Vec<u8>,
}

/// One HTTP message, its bytes taken out of `held`; `None` at the end of the stream.
pub(crate) async fn next_message(stream: &mut TcpStream, held: &mut Vec<u8>) -> Anyhow<Option<Message>> {
    loop {
        if let Some(head_end) = memmem::find(held, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(held.get(..head_end).unwrap_or_default()).into_owned();
            let body = head_end + 4;
            if header(&head, "transfer-encoding").is_some() {
                return Ok(Some(Message { body: chunks(stream, held, body).await?, head }));
            }
            let end = body + header(&head, "content-length").map_or(Ok(0), str::parse::<usize>)?;
            while held.len() < end {
                if stream.read_buf(held).await? == 0 {
                    return Ok(None);
                }
            }
            let rest = held.split_off(end);
            let mut whole = std::mem::replace(held, rest);
            return Ok(Some(Message { head, body: whole.split_off(body) }));
        }
        if stream.read_buf(held).await? == 0 {
            return Ok(None);
        }
    }
}

/// The chunks from `at` on, joined.
async fn chunks(stream: &mut TcpStream, held: &mut Vec<u8>, mut at: usize) -> Anyhow<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let rest = held.get(at..).unwrap_or_default();
        if let Some(line) = memmem::find(rest, b"\r\n") {
            let size = std::str::from_utf8(rest.get(..line).unwrap_or_default())?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)?;
            let (start, end) = (line + 2, line + 2 + size);
            if let Some(chunk) = rest.get(start..end)
                && rest.len() >= end + 2
            {
                body.extend_from_slice(chunk);
                at += end + 2;
                if size == 0 {
                    held.drain(..at);
                    return Ok(body);
                }
                continue;
            }
        }
        if stream.read_buf(held).await? == 0 {
            return Err("the stream ended within a body".into());
        }
    }
}

/// The value of a header; `name` in lower case.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let value = |line: &'h str| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    };
    head.lines().find_map(value)
}

/// The scalar after `key`: only texts without escapes and plain numbers come here.
pub(crate) fn member<'b>(body: &'b str, key: &str) -> &'b str {
    let Some((_, after)) = body.split_once(key) else { return "null" };
    let end = match after.strip_prefix('"') {
        Some(text) => text.find('"').map_or(after.len(), |end| end + 2),
        None => after.find([',', '}']).unwrap_or(after.len()),
    };
    after.get(..end).unwrap_or("null")
}
