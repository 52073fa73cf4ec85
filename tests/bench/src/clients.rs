//! `wasmgate-bench clients`: many clients at once. How many sessions a second, what a session and a held stream cost in
//! memory, and how long one change takes to reach everybody who listens; each against the trivial server itself.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::Anyhow;
use super::backend::{header, next_message};
use super::changing::RESOURCE;
use super::process::{Running, cpu_seconds, say};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    /// For how long sessions are opened and ended.
    pub(crate) time: Duration,
    /// Sessions and streams that are held.
    pub(crate) held: usize,
    /// Who listens for one change.
    pub(crate) listeners: usize,
    /// How many changes.
    pub(crate) changes: usize,
}

/// One server to be asked.
struct Place {
    name: &'static str,
    port: u16,
    running: Running,
}

/// Measures everything and prints the tables.
pub(crate) async fn measure(crowd: Crowd) -> Anyhow<()> {
    LocalSet::new()
        .run_until(async {
            sessions(crowd).await?;
            streams(crowd).await?;
            fan_out(crowd).await
        })
        .await
}

/// The trivial server alone, and the gateway in front of another of its kind.
async fn places(role: &str) -> Anyhow<[Place; 2]> {
    let (direct, behind) = (Running::own(role, None).await?, Running::own(role, None).await?);
    let gateway = Running::crowded_gateway(behind.port).await?;
    let gateway = gateway.with(behind);
    Ok([
        Place { name: "direct", port: direct.port, running: direct },
        Place { name: "wasmgate", port: gateway.port, running: gateway },
    ])
}

/// What sessions cost at one place.
pub(crate) struct Held {
    /// Whose they are.
    pub(crate) name: &'static str,
    /// Opened, confirmed and ended.
    pub(crate) per_second: f64,
    /// CPU milliseconds of one of those.
    pub(crate) cpu_ms: f64,
    /// Left open.
    pub(crate) count: usize,
    /// KiB of one of those.
    pub(crate) kib_each: f64,
    /// KiB of the process in the end.
    pub(crate) rss: u64,
}

/// Sessions opened, confirmed and ended for some time; then so many left open. Within a `LocalSet`.
pub(crate) async fn held(time: Duration, count: usize) -> Anyhow<Vec<Held>> {
    let mut all_held = Vec::new();
    for place in places("backend").await? {
        let (cpu, start) = (cpu_seconds(place.running.pid())?, Instant::now());
        let until = start + time;
        let clients: Vec<_> = (0..16).map(|_| spawn_local(opening(place.port, Until::Time(until)))).collect();
        let opened = all(clients).await? as f64;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds(place.running.pid())? - cpu);
        let before = place.running.rss()?;
        let each = count / 16;
        let clients: Vec<_> = (0..16).map(|_| spawn_local(opening(place.port, Until::Held(each)))).collect();
        let count = all(clients).await?;
        let rss = place.running.rss()?;
        let kib_each = rss.saturating_sub(before) as f64 / count as f64;
        let (per_second, cpu_ms) = (opened / seconds, cpu * 1e3 / opened);
        all_held.push(Held { name: place.name, per_second, cpu_ms, count, kib_each, rss });
    }
    Ok(all_held)
}

async fn sessions(crowd: Crowd) -> Anyhow<()> {
    say(
        "\n| sessions of 2025-11-25 | sessions/s | CPU ms each | held | KiB each |\n|---|---:|---:|---:|---:|",
    );
    for Held { name, per_second, cpu_ms, count, kib_each, .. } in held(crowd.time, crowd.held).await? {
        say(&format!("| {name} | {per_second:.0} | {cpu_ms:.3} | {count} | {kib_each:.2} |"));
    }
    Ok(())
}

async fn all(clients: Vec<JoinHandle<Anyhow<usize>>>) -> Anyhow<usize> {
    let mut sum = 0;
    for client in clients {
        sum += client.await??;
    }
    Ok(sum)
}

/// When a client has had enough.
#[derive(Clone, Copy)]
enum Until {
    /// Sessions are ended as they come.
    Time(Instant),
    /// So many are left open.
    Held(usize),
}

/// Opens one session after the other over one connection.
async fn opening(port: u16, until: Until) -> Anyhow<usize> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut held = Vec::with_capacity(4 * 1024);
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let mut opened = 0;
    let goes_on = |opened: usize| match until {
        Until::Time(end) => Instant::now() < end,
        Until::Held(most) => opened < most,
    };
    while goes_on(opened) {
        stream.write_all(&request("POST", port, "", hello)).await?;
        let answer = next_message(&mut stream, &mut held).await?.ok_or("no answer to initialize")?;
        let session = header(&answer.head, "mcp-session-id");
        if !answer.head.starts_with("HTTP/1.1 200") {
            return Err(format!("no session: {}", answer.head).into());
        }
        let session = session.map(|id| format!("mcp-session-id: {id}\r\n")).unwrap_or_default();
        stream.write_all(&request("POST", port, &session, ready)).await?;
        next_message(&mut stream, &mut held).await?.ok_or("no answer to initialized")?;
        if let Until::Time(_) = until {
            stream.write_all(&request("DELETE", port, &session, "")).await?;
            next_message(&mut stream, &mut held).await?.ok_or("no answer to the end")?;
        }
        opened += 1;
    }
    Ok(opened)
}

fn request(verb: &str, port: u16, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{verb} /mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Streams that are held open, and nothing happens.
async fn streams(crowd: Crowd) -> Anyhow<()> {
    say(
        "\n| streams of `subscriptions/listen` | held | opened/s | KiB each | CPU ms in 10 s of silence |\n|---|---:|---:|---:|---:|",
    );
    for place in places("changing").await? {
        let before = place.running.rss()?;
        let start = Instant::now();
        let (sender, _heard) = mpsc::unbounded_channel();
        let listeners = listeners(place.port, crowd.held, &sender).await?;
        let seconds = start.elapsed().as_secs_f64();
        let more = place.running.rss()?.saturating_sub(before);
        let cpu = cpu_seconds(place.running.pid())?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let cpu = cpu_seconds(place.running.pid())? - cpu;
        if listeners.iter().any(JoinHandle::is_finished) {
            return Err(format!("{}: a stream ended", place.name).into());
        }
        let held = listeners.len() as f64;
        say(&format!(
            "| {} | {held} | {:.0} | {:.2} | {:.0} |",
            place.name,
            held / seconds,
            more as f64 / held,
            cpu * 1e3
        ));
        listeners.into_iter().for_each(|listener| listener.abort());
    }
    Ok(())
}

/// One change, and everybody who hears of it.
async fn fan_out(crowd: Crowd) -> Anyhow<()> {
    say(
        "\n| one change to all listeners | listeners | changes | first ms | median ms | last ms | CPU us each |\n|---|---:|---:|---:|---:|---:|---:|",
    );
    for place in places("changing").await? {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let listeners = listeners(place.port, crowd.listeners, &sender).await?;
        let mut caller = TcpStream::connect(("127.0.0.1", place.port)).await?;
        let cpu = cpu_seconds(place.running.pid())?;
        let (mut first, mut median, mut last) = (0.0, 0.0, 0.0);
        for _ in 0..crowd.changes {
            let start = Instant::now();
            touch(&mut caller, place.port).await?;
            let mut times = Vec::with_capacity(listeners.len());
            while times.len() < listeners.len() {
                let at: Instant =
                    tokio::time::timeout(Duration::from_secs(30), heard.recv()).await?.ok_or("all gone")?;
                times.push(at.saturating_duration_since(start).as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            first += times.first().copied().unwrap_or(f64::NAN);
            median += times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
            last += times.last().copied().unwrap_or(f64::NAN);
        }
        let cpu = cpu_seconds(place.running.pid())? - cpu;
        let changes = crowd.changes as f64;
        say(&format!(
            "| {} | {} | {changes} | {:.2} | {:.2} | {:.2} | {:.1} |",
            place.name,
            listeners.len(),
            first / changes,
            median / changes,
            last / changes,
            cpu * 1e6 / changes / listeners.len() as f64
        ));
        listeners.into_iter().for_each(|listener| listener.abort());
    }
    Ok(())
}

/// So many streams, each acknowledged; what they hear is told to `heard`.
async fn listeners(
    port: u16,
    count: usize,
    heard: &mpsc::UnboundedSender<Instant>,
) -> Anyhow<Vec<JoinHandle<Anyhow<()>>>> {
    let mut listeners = Vec::with_capacity(count);
    for number in 0..count {
        let stream = listen(port, number).await?;
        listeners.push(spawn_local(hear(stream, heard.clone())));
    }
    Ok(listeners)
}

/// Opens one stream and reads its acknowledgement.
async fn listen(port: u16, number: usize) -> Anyhow<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let params = format!(r#""notifications":{{"resourceSubscriptions":["{RESOURCE}"]}}"#);
    stream.write_all(&modern(port, "subscriptions/listen", "", number, &params)).await?;
    let mut read = Vec::new();
    while !contains(&read, b"acknowledged") {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(format!("no stream: {}", String::from_utf8_lossy(&read)).into());
        }
    }
    if !contains(&read, RESOURCE.as_bytes()) {
        return Err(format!("not granted: {}", String::from_utf8_lossy(&read)).into());
    }
    Ok(stream)
}

async fn hear(mut stream: TcpStream, heard: mpsc::UnboundedSender<Instant>) -> Anyhow<()> {
    let mut read = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err("the stream ended".into());
        }
        while let Some(at) = memchr::memmem::find(&read, b"resources/updated") {
            read.drain(..at + 1);
            heard.send(Instant::now())?;
        }
        let surplus = read.len().saturating_sub(64);
        read.drain(..surplus);
    }
}

async fn touch(stream: &mut TcpStream, port: u16) -> Anyhow<()> {
    let params = r#""name":"touch","arguments":{}"#;
    stream.write_all(&modern(port, "tools/call", "mcp-name: touch\r\n", 1, params)).await?;
    let answer = next_message(stream, &mut Vec::new()).await?.ok_or("no answer")?;
    let body = String::from_utf8_lossy(&answer.body);
    if body.contains("touched") { Ok(()) } else { Err(format!("not touched: {} {body}", answer.head).into()) }
}

fn modern(port: u16, method: &str, headers: &str, id: usize, params: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}
