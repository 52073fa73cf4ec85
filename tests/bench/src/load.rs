//! The closed-loop load: each connection sends its next call when the last one is answered and checked.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::backend::{header, next_message};
use super::process::cpu_seconds;
use super::{Anyhow, PAYLOAD, Route};

/// What one round of one cell measured.
pub(crate) struct Sample {
    latencies: Vec<Duration>,
    elapsed: Duration,
    cpu: f64,
}

/// Calls over `connections` for `time`.
pub(crate) async fn run(route: &Route, connections: usize, time: Duration) -> Anyhow<Sample> {
    let cpu = |route: &Route| route.pid.map_or(Ok(0.0), cpu_seconds);
    let (before, start) = (cpu(route)?, Instant::now());
    let until = start + time;
    let local = tokio::task::LocalSet::new();
    let latencies = local
        .run_until(async {
            let (port, path) = (route.port, route.path);
            let callers: Vec<_> =
                (0..connections).map(|_| tokio::task::spawn_local(caller(port, path, until))).collect();
            let mut all = Vec::new();
            for caller in callers {
                all.extend(caller.await?.map_err(|error| error.to_string())?);
            }
            Anyhow::Ok(all)
        })
        .await?;
    Ok(Sample { latencies, elapsed: start.elapsed(), cpu: cpu(route)? - before })
}

async fn caller(port: u16, path: &'static str, until: Instant) -> Anyhow<Vec<Duration>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut held = Vec::with_capacity(64 * 1024);
    let session = open(&mut stream, &mut held, port, path).await?;
    let text = "x".repeat(PAYLOAD);
    let mut latencies = Vec::with_capacity(1 << 16);
    let mut id = 1_u64;
    while Instant::now() < until {
        id += 1;
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
        );
        let sent = Instant::now();
        stream.write_all(&post(port, path, &session, &call)).await?;
        let answer = next_message(&mut stream, &mut held).await?.ok_or("closed in mid-call")?;
        latencies.push(sent.elapsed());
        let body = String::from_utf8_lossy(&answer.body);
        if !body.contains(&text) || !body.contains(&format!("\"id\":{id}")) {
            return Err(format!("wrong answer: {} {body}", answer.head).into());
        }
    }
    Ok(latencies)
}

/// Opens a session and returns its header line, empty where the server keeps none.
async fn open(stream: &mut TcpStream, held: &mut Vec<u8>, port: u16, path: &str) -> Anyhow<String> {
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
    stream.write_all(&post(port, path, "", hello)).await?;
    let answer = next_message(stream, held).await?.ok_or("no answer to initialize")?;
    let session = header(&answer.head, "mcp-session-id");
    let session = session.map(|id| format!("mcp-session-id: {id}\r\n")).unwrap_or_default();
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    stream.write_all(&post(port, path, &session, ready)).await?;
    next_message(stream, held).await?.ok_or("no answer to initialized")?;
    Ok(session)
}

fn post(port: u16, path: &str, session: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n{session}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One request to `/health`.
pub(crate) async fn health(port: u16) -> Anyhow<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let ask = format!("GET /health HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    next_message(&mut stream, &mut Vec::new()).await?.ok_or("closed")?;
    Ok(())
}

/// One line of the table: the medians over the rounds.
pub(crate) fn row(name: &str, connections: usize, samples: Vec<Sample>) -> String {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let quantile = |sample: &Sample, at: f64| {
        let mut sorted = sample.latencies.clone();
        sorted.sort_unstable();
        let index = (sorted.len() as f64 * at) as usize;
        sorted.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    };
    let of = |measure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(measure).collect());
    let calls = |sample: &Sample| sample.latencies.len() as f64;
    format!(
        "{connections:>4}  {name:<26} {:>9.1} {:>9.1} {:>10.0} {:>16.4}",
        of(&|sample| quantile(sample, 0.5)),
        of(&|sample| quantile(sample, 0.99)),
        of(&|sample| calls(sample) / sample.elapsed.as_secs_f64()),
        of(&|sample| sample.cpu / calls(sample) * 1000.0),
    )
}
