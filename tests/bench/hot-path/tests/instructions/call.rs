//! A whole call, a client's HTTP request to the front, through the gateway, to a server over HTTP and back, and a whole list,
//! all in one thread. The client and the server do as little as they can, and the same done directly is taken off.

#![expect(clippy::disallowed_methods, reason = "a process of its own, ended with its tasks")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use memchr::memmem::find;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use wasmgate::egress::Egress;
use wasmgate::front;
use wasmgate::gateway::{Gateway, Generation};
use wasmgate::launch::{LaunchSettings, Launcher};
use wasmgate::shutdown::Tasks;
use wasmgate::upstream::{Identity, Pool, State};
use wasmgate_core::catalog::{
    About, Deadlines, Instances, Launch, Protocol, Remote, RemoteTransport, Server, ToolFilter,
};
use wasmgate_core::index::Naming;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::Pipeline;
use wasmgate_core::seal::Sealer;

/// Enough that what is not a call does not matter.
const CALLS: u32 = 50;

#[test]
#[ignore = "run below callgrind by the test beside it"]
fn below_callgrind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut out = std::io::stdout();
    // After what the harness has begun to say.
    writeln!(out).expect("stdout");
    let (server, gateway) = runtime.block_on(async {
        let server = server().await;
        (server, gateway(server).await)
    });
    for (name, address, era, doing) in [
        ("a call made directly", server, LEGACY, Doing::Call),
        ("a call through the gateway, 2025-11-25", gateway, LEGACY, Doing::Call),
        ("a call through the gateway, 2026-07-28", gateway, MODERN, Doing::Call),
        ("a list read directly", server, LEGACY, Doing::List),
        ("a list of 200 tools from the gateway, 2025-11-25", gateway, LEGACY, Doing::List),
    ] {
        let mut client = runtime.block_on(Client::connect(address, era, doing));
        runtime.block_on(client.calls(5));
        hot_path_measured(&runtime, &mut client);
        writeln!(out, "{name}\t{CALLS}").expect("stdout");
    }
}

/// What is counted; found by its name.
#[inline(never)]
fn hot_path_measured(runtime: &Runtime, client: &mut Client) {
    runtime.block_on(client.calls(CALLS));
}

/// The gateway in front of that server, without interceptors.
async fn gateway(server: SocketAddr) -> SocketAddr {
    let tasks = Tasks::new();
    let launcher = Launcher::new(LaunchSettings::default(), tasks.clone());
    let identity = Identity { name: "wasmgate".into(), version: "0".into() };
    let pool = Pool::new(launcher, Egress::new(), tasks.clone(), identity.into());
    let generation = Generation {
        servers: vec![Arc::new(remote(server))],
        unavailable: Vec::new(),
        naming: Naming::default(),
        page: 1000,
        pipeline: Pipeline::default(),
    };
    let gateway = Gateway::start(generation, Arc::clone(&pool), Sealer::new([7; 32]), &tasks);
    let mut changed = pool.changed();
    while !pool.status().iter().all(|status| matches!(status.state, State::Ready)) {
        changed.changed().await.expect("the pool");
    }
    let front = front::bind(([127, 0, 0, 1], 0).into(), front::Settings::default(), tasks.clone()).await;
    let front = front.expect("a port");
    let address = front.local_addr();
    let (_filled, slot) = watch::channel(Some(gateway));
    tasks.spawn("front", async move { drop(front.serve(slot).await) });
    address
}

fn remote(server: SocketAddr) -> Server {
    let remote = Remote {
        urls: vec![url::Url::parse(&format!("http://{server}/mcp")).expect("a URL").into()],
        transport: RemoteTransport::StreamableHttp,
        headers: Vec::new(),
        private_allowed: true,
    };
    Server {
        name: ServerName::new("echo").expect("a name"),
        about: About::default(),
        launch: Launch::Remote(remote),
        prefix: None,
        tools: ToolFilter::All,
        protocol: Protocol::Legacy,
        deadlines: Deadlines::default(),
        max_in_flight: None,
        instances: Instances::default(),
        required: false,
    }
}

/// A server that knows some tools and no client from another.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket");
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let tools = tools();
    let mut read = Vec::with_capacity(64 << 10);
    while let Some(end) = message(&mut stream, &mut read).await {
        let asked = &read[..end];
        let has = |text: &str| find(asked, text.as_bytes()).is_some();
        let id = find(asked, b"\"id\":").map_or("0", |at| number(&asked[at + 5..]));
        let result = if has("\"tools/call\"") {
            RESULT
        } else if has("\"initialize\"") {
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1"}}"#
        } else if has("\"tools/list\"") {
            &tools
        } else {
            ""
        };
        let answer = match (result, asked.starts_with(b"POST")) {
            (_, false) => "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n".to_owned(),
            ("", true) => "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned(),
            (result, true) => {
                let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                let length = body.len();
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                )
            }
        };
        stream.write_all(answer.as_bytes()).await.expect("the client reads");
        read.drain(..end);
    }
}

/// A list of them.
fn tools() -> String {
    let tool = |name: &str| {
        format!(
            r#"{{"name":"{name}","description":"{TEXT}","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string","description":"what it is about"}},"count":{{"type":"integer"}}}},"required":["text"]}}}}"#
        )
    };
    let tools: Vec<String> = (1..200).map(|number| tool(&format!("tool_{number}"))).collect();
    format!(r#"{{"tools":[{},{}]}}"#, tools.join(","), tool("echo"))
}

/// What a client does all the time.
#[derive(Clone, Copy)]
enum Doing {
    Call,
    List,
}

/// A client with one connection.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    request: String,
}

impl Client {
    async fn connect(address: SocketAddr, era: Era, doing: Doing) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let mut client = Self { stream, read: Vec::with_capacity(64 << 10), request: String::new() };
        let mut headers = format!("host: {address}\r\n{COMMON}{}", era.headers);
        if era.version == LEGACY.version {
            let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"pin","version":"1"}}}"#;
            let head = client.exchange(&post(&headers, initialize)).await;
            let session = head.lines().find(|line| line.to_ascii_lowercase().starts_with("mcp-session-id:"));
            session.into_iter().for_each(|line| headers.push_str(&format!("{line}\r\n")));
            client
                .exchange(&post(&headers, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#))
                .await;
        }
        let params = format!(r#""name":"echo","arguments":{{"text":"{TEXT}"}}{}"#, era.meta);
        let asked = match doing {
            Doing::Call => format!(r#""method":"tools/call","params":{{{params}}}"#),
            Doing::List => r#""method":"tools/list""#.to_owned(),
        };
        client.request = post(&headers, &format!(r#"{{"jsonrpc":"2.0","id":2,{asked}}}"#));
        client
    }

    async fn calls(&mut self, count: u32) {
        for _ in 0..count {
            self.stream.write_all(self.request.as_bytes()).await.expect("the other side reads");
            let end = message(&mut self.stream, &mut self.read).await.expect("an answer");
            let answer = &self.read[..end];
            // In what a call answers and in every tool's description.
            assert!(find(answer, TEXT.as_bytes()).is_some(), "{}", String::from_utf8_lossy(answer));
            self.read.drain(..end);
        }
    }

    /// Returns the head of the answer.
    async fn exchange(&mut self, request: &str) -> String {
        self.stream.write_all(request.as_bytes()).await.expect("the other side reads");
        let end = message(&mut self.stream, &mut self.read).await.expect("an answer");
        let answer: Vec<u8> = self.read.drain(..end).collect();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /mcp HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// Reads until a whole HTTP message is there; its length, or `None` at the end of the stream.
async fn message(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(head) = find(read, b"\r\n\r\n") {
            let length =
                find(&read[..head], b"ontent-length: ").or_else(|| find(&read[..head], b"ontent-Length: "));
            let length = length.map_or("0", |at| number(&read[at + 15..]));
            let end = head + 4 + length.parse::<usize>().expect("a length");
            if read.len() >= end {
                return Some(end);
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// The digits at the start.
fn number(text: &[u8]) -> &str {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).expect("digits")
}

/// What a client of some version adds to its requests.
#[derive(Clone, Copy)]
struct Era {
    version: &'static str,
    headers: &'static str,
    meta: &'static str,
}

const LEGACY: Era = Era { version: "2025-11-25", headers: "mcp-protocol-version: 2025-11-25\r\n", meta: "" };
const MODERN: Era = Era {
    version: "2026-07-28",
    headers: "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: echo\r\n",
    meta: r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#,
};
const COMMON: &str =
    "content-type: application/json\r\naccept: application/json, text/event-stream\r\nuser-agent: pin/1\r\n";
/// Two hundred bytes.
const TEXT: &str = "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMN 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMN 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMN 0123456789 abcdefghijklmnopqrstuvwxyz ABC";
const RESULT: &str = r#"{"content":[{"type":"text","text":"0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMN 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMN 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMN 0123456789 abcdefghijklmnopqrstuvwxyz ABC"}]}"#;
