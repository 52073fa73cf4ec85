//! Bare sockets to a gateway, for clients that do not behave: from any address of this machine, in any piece and order.

use std::net::{IpAddr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::gateway::TOKEN;
use crate::soon;

/// Lets this process, and what it starts from now on, have so many files open; or says why it cannot.
pub fn room_for(files: u64) -> Result<(), String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    if let Some(most) = maximum.filter(|most| *most < files) {
        return Err(format!("no more than {most} open files are allowed here (`ulimit -Hn`), not {files}"));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })
        .map_err(|error| format!("the limit of open files stays: {error}"))
}

/// A connection to `address` from one of this machine's own addresses (all of 127.0.0.0/8 are).
pub async fn connect(from: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((IpAddr::from(from), 0).into()).expect("an address of this machine");
    soon("a connection", socket.connect(address)).await.expect("the gateway accepts connections")
}

/// The head of a POST to `/mcp` with the token, and these lines in it; the body's length is up to them.
pub fn head(address: SocketAddr, lines: &[&str]) -> String {
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    );
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// Everything that comes until the other side closes; what a broken connection brought before it broke.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    soon("the end of a connection", async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..count]);
        }
    })
    .await;
    String::from_utf8_lossy(&all).into_owned()
}

/// Writes and then reads to the end.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect([127, 0, 0, 1], address).await;
    // A gateway that refuses may close before it has read everything.
    let _ = stream.write_all(request).await;
    rest(&mut stream).await
}

/// The status of an answer, 0 when there is none.
pub fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// How many connections to a port of 127.0.0.1 wait to be accepted.
pub fn waiting(address: SocketAddr) -> usize {
    let queue = |line: &Vec<String>| usize::from_str_radix(line.get(4)?.split_once(':')?.1, 16).ok();
    sockets(address, LISTENING).iter().filter_map(queue).sum()
}

/// How many connections to a port of 127.0.0.1 its owner has open.
pub fn open(address: SocketAddr) -> usize {
    sockets(address, ESTABLISHED).len()
}

/// The sockets of a port of 127.0.0.1 in this state, as the kernel lists them.
fn sockets(address: SocketAddr, state: &str) -> Vec<Vec<String>> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!("0100007F:{:04X}", address.port());
    let lines = table.lines().map(|line| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
    lines
        .filter(|line| line.get(1) == Some(&local) && line.get(3).is_some_and(|found| found == state))
        .collect()
}

const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";
