//! The closed-loop load: each connection does its next thing when the last one is answered and checked.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Anyhow;
use super::backend::{Message, header, next_message};

/// The protocol version clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25, in a session.
    Legacy,
    /// 2026-07-28, without.
    Modern,
}

/// What clients do all the time.
#[derive(Debug, Clone)]
pub(crate) enum Doing {
    /// Calls of these tools in turn, whose names have one length; each answers with the text of so many bytes that it gets.
    Calls { tools: Arc<[String]>, bytes: usize },
    /// `tools/list`; the page must name this tool.
    Lists { last: String },
    /// `initialize`, `notifications/initialized`, `tools/list`, the end of the session; the page must name this tool.
    Connects { last: String },
}

/// Whom clients ask, and what.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// The port on this machine.
    pub(crate) port: u16,
    /// How they speak.
    pub(crate) era: Era,
    /// What they do.
    pub(crate) doing: Doing,
}

/// What was measured in one stretch of time.
pub(crate) struct Round {
    /// In ascending order.
    pub(crate) latencies: Vec<Duration>,
    /// How long it was.
    pub(crate) elapsed: Duration,
}

impl Round {
    /// What is done in microseconds by the share `at`.
    pub(crate) fn quantile(&self, at: f64) -> f64 {
        let index = (self.latencies.len() as f64 * at) as usize;
        let index = index.min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }

    /// How often it was done.
    pub(crate) fn count(&self) -> f64 {
        self.latencies.len() as f64
    }
}

/// Clients with their connections and sessions open.
pub(crate) struct Clients(Vec<Client>);

impl Clients {
    /// Opens so many.
    pub(crate) async fn connect(traffic: &Traffic, connections: usize) -> Anyhow<Self> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(Client::connect(traffic).await?);
        }
        Ok(Self(clients))
    }

    /// Lets all of them go for so long.
    pub(crate) async fn go(self, time: Duration) -> Anyhow<Round> {
        let local = tokio::task::LocalSet::new();
        let start = Instant::now();
        let (mut latencies, mut elapsed) = (Vec::new(), time);
        let until = start + time;
        let going = async {
            let going: Vec<_> =
                self.0.into_iter().map(|client| tokio::task::spawn_local(client.stay(until))).collect();
            for client in going {
                let (of_client, last) = client.await?.map_err(|error| error.to_string())?;
                latencies.extend(of_client);
                elapsed = elapsed.max(last.duration_since(start));
            }
            Anyhow::Ok(())
        };
        local.run_until(going).await?;
        latencies.sort_unstable();
        Ok(Round { latencies, elapsed })
    }
}

/// One client that calls tools in turn for so long: what the calls of each take. They differ in nothing but what the gateway
/// does for them: same process, same moment.
pub(crate) async fn in_turn<const N: usize>(
    port: u16,
    tools: [&str; N],
    bytes: usize,
    time: Duration,
) -> Anyhow<[Round; N]> {
    let doing = Doing::Calls { tools: tools.map(str::to_owned).into(), bytes };
    let client = Client::connect(&Traffic { port, era: Era::Legacy, doing }).await?;
    let start = Instant::now();
    let (all, last) = client.stay(start + time).await?;
    let elapsed = last.duration_since(start);
    Ok(std::array::from_fn(|tool| {
        let mut latencies: Vec<_> = all.iter().skip(tool).step_by(N).copied().collect();
        latencies.sort_unstable();
        Round { latencies, elapsed }
    }))
}

/// One client with one connection.
struct Client {
    traffic: Traffic,
    stream: TcpStream,
    held: Vec<u8>,
    session: String,
}

impl Client {
    async fn connect(traffic: &Traffic) -> Anyhow<Self> {
        let stream = TcpStream::connect(("127.0.0.1", traffic.port)).await?;
        stream.set_nodelay(true)?;
        let held = Vec::with_capacity(64 << 10);
        let mut client = Self { traffic: traffic.clone(), stream, held, session: String::new() };
        if traffic.era == Era::Legacy && !matches!(traffic.doing, Doing::Connects { .. }) {
            client.open().await?;
        }
        Ok(client)
    }

    /// Goes until then, and ends its session: what its calls took, and when the last one was answered.
    async fn stay(mut self, until: Instant) -> Anyhow<(Vec<Duration>, Instant)> {
        let latencies = self.go(until).await?;
        let last = Instant::now();
        if !self.session.is_empty() {
            self.end().await?;
        }
        Ok((latencies, last))
    }

    async fn end(&mut self) -> Anyhow<()> {
        let end = self.post("DELETE", "", "");
        self.stream.write_all(&end).await?;
        self.answer().await?;
        self.session.clear();
        Ok(())
    }

    async fn go(&mut self, until: Instant) -> Anyhow<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(1 << 14);
        let doing = self.traffic.doing.clone();
        let (mut call, mut text) = (None, String::new());
        if let Doing::Calls { tools, bytes } = &doing {
            text = "x".repeat(*bytes);
            call = Some(self.call(tools.first().ok_or("no tools")?, &text));
        }
        let mut id = FIRST;
        while Instant::now() < until {
            let sent = Instant::now();
            match &doing {
                Doing::Calls { tools, .. } => {
                    let tool = tools.get((id - FIRST) % tools.len().max(1)).ok_or("no tools")?;
                    id += 1;
                    let call = call.as_mut().ok_or("no tools")?;
                    call.number(id);
                    call.name(tool)?;
                    self.stream.write_all(&call.bytes).await?;
                    let answer = self.answer().await?;
                    latencies.push(sent.elapsed());
                    check(&answer, id, &text)?;
                    continue;
                }
                Doing::Lists { last } => self.list(last).await?,
                Doing::Connects { last } => {
                    self.open().await?;
                    self.list(last).await?;
                    self.end().await?;
                }
            }
            latencies.push(sent.elapsed());
        }
        Ok(latencies)
    }

    /// Opens a session and keeps its header line, empty where the server keeps none.
    async fn open(&mut self) -> Anyhow<()> {
        let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
        let hello = self.post("POST", "", hello);
        self.stream.write_all(&hello).await?;
        let answer = self.answer().await?;
        let session = header(&answer.head, "mcp-session-id");
        self.session = session.map(|id| format!("mcp-session-id: {id}\r\n")).unwrap_or_default();
        let ready = self.post("POST", "", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        self.stream.write_all(&ready).await?;
        self.answer().await?;
        Ok(())
    }

    async fn list(&mut self, last: &str) -> Anyhow<()> {
        let meta = self.meta();
        let meta = meta.strip_prefix(',').unwrap_or_default();
        let ask = format!(r#"{{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{{{meta}}}}}"#);
        let ask = self.post("POST", "tools/list", &ask);
        self.stream.write_all(&ask).await?;
        let answer = self.answer().await?;
        let name = format!("\"{last}\"");
        match memchr::memmem::find(&answer.body, name.as_bytes()) {
            Some(_) => Ok(()),
            None => Err(wrong(&answer)),
        }
    }

    fn call(&self, tool: &str, text: &str) -> Call {
        let head = format!(r#"{{"jsonrpc":"2.0","id":{FIRST}"#);
        let body = format!(
            r#"{head},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"{text}"}}{}}}}}"#,
            self.meta()
        );
        let bytes = self.post("POST", &format!("tools/call\r\nmcp-name: {tool}"), &body);
        let id_end = bytes.len() - body.len() + head.len();
        let names = ["mcp-name: ", "\"params\":{\"name\":\""].map(|before| {
            let at = memchr::memmem::find(&bytes, before.as_bytes())? + before.len();
            Some(at..at + tool.len())
        });
        Call { bytes, id_end, names }
    }

    fn meta(&self) -> &'static str {
        match self.traffic.era {
            Era::Legacy => "",
            Era::Modern => {
                r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#
            }
        }
    }

    /// A request of this client's; `method` is what the modern era says in headers, too.
    fn post(&self, verb: &str, method: &str, body: &str) -> Vec<u8> {
        let (port, session) = (self.traffic.port, &self.session);
        let version = match self.traffic.era {
            Era::Legacy => "2025-11-25\r\n".to_owned(),
            Era::Modern => format!("2026-07-28\r\nmcp-method: {method}\r\n"),
        };
        let length = body.len();
        format!(
            "{verb} /mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: {version}{session}content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    async fn answer(&mut self) -> Anyhow<Message> {
        next_message(&mut self.stream, &mut self.held).await?.ok_or_else(|| "closed in mid-call".into())
    }
}

/// A request whose id and tool are exchanged in their places: one for each tool would make clients of many tools slower, whose
/// memory is colder then, and what they wait for seem so.
struct Call {
    bytes: Vec<u8>,
    id_end: usize,
    /// The tool's name, in the headers of 2026-07-28 and in the body.
    names: [Option<Range<usize>>; 2],
}

impl Call {
    fn name(&mut self, tool: &str) -> Anyhow<()> {
        for place in self.names.iter().flatten() {
            let name = self.bytes.get_mut(place.clone()).filter(|name| name.len() == tool.len());
            name.ok_or("tools whose names differ in length")?.copy_from_slice(tool.as_bytes());
        }
        Ok(())
    }

    fn number(&mut self, id: usize) {
        let digits = id.to_string();
        let place = self.id_end.saturating_sub(digits.len())..self.id_end;
        if let Some(place) = self.bytes.get_mut(place) {
            place.copy_from_slice(digits.as_bytes());
        }
    }
}

/// Ids have nine digits.
const FIRST: usize = 100_000_000;

fn check(answer: &Message, id: usize, text: &str) -> Anyhow<()> {
    let body = answer.body.as_slice();
    let key = b"\"text\":\"";
    let echoed = memchr::memmem::find(body, key).and_then(|at| body.get(at + key.len()..));
    let is_same = echoed.is_some_and(|echoed| echoed.starts_with(text.as_bytes()));
    // The gateway may write the id last, after a long result.
    let id = format!("\"id\":{id}");
    let is_mine = memchr::memmem::find(body, id.as_bytes()).is_some();
    if is_same && is_mine { Ok(()) } else { Err(wrong(answer)) }
}

fn wrong(answer: &Message) -> Box<dyn std::error::Error> {
    let start: String = String::from_utf8_lossy(&answer.body).chars().take(500).collect();
    format!("wrong answer: {} {start}", answer.head).into()
}

/// One request to `/health`.
pub(crate) async fn health(port: u16) -> Anyhow<()> {
    get(port, "/health").await?;
    Ok(())
}

/// The body of what a path answers.
pub(crate) async fn get(port: u16, path: &str) -> Anyhow<Message> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let ask = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    next_message(&mut stream, &mut Vec::new()).await?.ok_or_else(|| "closed".into())
}

/// One `server/discover` that is answered.
pub(crate) async fn discover(port: u16) -> Anyhow<()> {
    let doing = Doing::Lists { last: String::new() };
    let mut client = Client::connect(&Traffic { port, era: Era::Modern, doing }).await?;
    let params = client.meta().strip_prefix(',').unwrap_or_default();
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{{params}}}}}"#);
    let ask = client.post("POST", "server/discover", &body);
    client.stream.write_all(&ask).await?;
    let answer = client.answer().await?;
    match memchr::memmem::find(&answer.body, b"supportedVersions") {
        Some(_) => Ok(()),
        None => Err(wrong(&answer)),
    }
}
