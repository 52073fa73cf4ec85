//! Tools that are one container per call, as a server behind a pair of pipes.
//!
//! There is no server to ask, so this is one: it answers `initialize` and `tools/list` from the catalog and runs a container
//! for each `tools/call`. Whatever else a connection is (ids, deadlines, cancellation) stays with [`super::stdio`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable, BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::json;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, split,
};
use tokio::sync::oneshot;
use wasmgate_core::catalog::{ContainerTool, Launch, Server};
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{self, Id, Message, error_object, write_error, write_result};
use wasmgate_core::mcp::{code, method};

use super::Limits;
use super::declared::Declared;
use super::link::Ending;
use super::stdio::{Behind, Ends, Pipe};
use crate::launch::{Channel, Launcher};
use crate::shutdown::Tasks;

/// Bytes of a tool's stdout that are passed on.
const MAX_OUTPUT: u64 = 4 << 20;
/// Bytes the pipe holds.
const BUFFER: usize = 64 << 10;
/// How long a container that has closed its stdout may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Opens the pipes. Nothing runs until a tool is called.
pub(super) fn open(
    server: &Server,
    tools: &[ContainerTool],
    launcher: &Launcher,
    tasks: &Tasks,
    limits: &Limits,
) -> Arc<Pipe> {
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    let (output, input) = split(ours);
    let (end, ended) = oneshot::channel();
    let ends = Ends { input: Box::new(input), output: Box::new(output), behind: Behind::Other(ended) };
    let pipe = Pipe::open(server.name.clone(), ends, Declared::NOTHING, tasks, limits);
    let host = Host { server: server.clone(), tools: tools.to_vec(), launcher: launcher.clone() };
    tasks.spawn("upstream-poci", async move {
        serve(Arc::new(host), theirs).await;
        let _ = end.send(Ending::broken("it was stopped"));
    });
    Arc::new(pipe)
}

struct Host {
    server: Server,
    tools: Vec<ContainerTool>,
    launcher: Launcher,
}

/// Answers until the other side closes its end; calls that still run then are given up, and their containers with them.
async fn serve(host: Arc<Host>, stream: DuplexStream) {
    let (from, mut to) = split(stream);
    let mut lines = BufReader::new(from).split(b'\n');
    let mut running: FuturesUnordered<BoxFuture<'static, (Id, Option<Vec<u8>>)>> = FuturesUnordered::new();
    let mut handles: HashMap<Id, AbortHandle> = HashMap::new();
    loop {
        let answer = tokio::select! {
            line = lines.next_segment() => match line.ok().flatten().map(|line| jsonrpc::read(line.into())) {
                None => return,
                Some(Ok(Message::Request { id, method, params })) if &*method == method::TOOLS_CALL => {
                    let (handle, registration) = AbortHandle::new_pair();
                    handles.insert(id.clone(), handle);
                    let call = Arc::clone(&host).call(id.clone(), params);
                    let call = Abortable::new(call, registration).map(|answer| (id, answer.ok()));
                    running.push(call.boxed());
                    None
                }
                Some(Ok(Message::Request { id, method, params })) => Some(host.answer(&id, &method, params.as_ref())),
                Some(Ok(Message::Notification { method, params })) if &*method == method::CANCELLED => {
                    let id = params.and_then(|params| params.member("requestId")).and_then(|id| Id::of(&id));
                    if let Some(handle) = id.and_then(|id| handles.remove(&id)) {
                        handle.abort();
                    }
                    None
                }
                Some(_) => None,
            },
            Some((id, answer)) = running.next() => {
                handles.remove(&id);
                answer
            }
        };
        if let Some(mut line) = answer {
            line.push(b'\n');
            if to.write_all(&line).await.is_err() {
                return;
            }
        }
    }
}

impl Host {
    fn answer(&self, id: &Id, method: &str, params: Option<&Json>) -> Vec<u8> {
        let result = match method {
            method::INITIALIZE => {
                let version =
                    params.and_then(|params| params.member("protocolVersion")).unwrap_or_else(Json::null);
                json!({
                    "protocolVersion": version,
                    "capabilities": { "tools": {} },
                    "serverInfo": { "name": self.server.name, "version": env!("CARGO_PKG_VERSION") },
                })
            }
            method::TOOLS_LIST => {
                let definitions: Vec<&Json> = self.tools.iter().map(|tool| &tool.definition).collect();
                return write_result(id, &Json::of(&HashMap::from([("tools", definitions)])));
            }
            method::PING => json!({}),
            _ => return failed(id, code::METHOD_NOT_FOUND, "not a method of these tools"),
        };
        write_result(id, &Json::of(&result))
    }

    async fn call(self: Arc<Self>, id: Id, params: Option<Json>) -> Vec<u8> {
        let [name, arguments] = params.map_or([None, None], |params| params.pick(["name", "arguments"]));
        let name = name.as_ref().and_then(Json::string).unwrap_or_default();
        let Some(tool) = self.tools.iter().find(|tool| tool.name == name) else {
            return failed(&id, code::INVALID_PARAMS, "unknown tool");
        };
        match (tool.prepare)(&arguments.unwrap_or_else(Json::empty_object)) {
            Err(sentence) => failed(&id, code::INVALID_PARAMS, &sentence),
            Ok(container) => {
                let container = wasmgate_core::catalog::Container { env: tool.env.clone(), ..container };
                match self.run(Launch::Container(container)).await {
                    Ok(result) => write_result(&id, &result),
                    Err(sentence) => failed(&id, code::INTERNAL, &sentence),
                }
            }
        }
    }

    /// Runs one container to its end. Dropping this future removes it.
    async fn run(&self, launch: Launch) -> Result<Json, String> {
        let server = Server { launch, ..self.server.clone() };
        let mut instance = self.launcher.start(&server, &|_| {}).await.map_err(|error| error.to_string())?;
        let Some(Channel::Stdio { input, output }) = instance.take_channel() else {
            return Err("its container has no output".into());
        };
        drop(input);
        let mut text = Vec::new();
        let read = output.take(MAX_OUTPUT + 1).read_to_end(&mut text).await;
        if text.len() as u64 > MAX_OUTPUT {
            instance.stop(Duration::ZERO).await;
            return Err(format!("it wrote more than {MAX_OUTPUT} bytes"));
        }
        read.map_err(|error| format!("its output cannot be read: {error}"))?;
        let exit = match tokio::time::timeout(GRACE, instance.ended()).await {
            Ok(exit) => exit,
            Err(_still_running) => instance.stop(Duration::ZERO).await,
        };
        let failed = exit.code != Some(0);
        let mut content = vec![json!({ "type": "text", "text": String::from_utf8_lossy(&text) })];
        if failed {
            let code = exit.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
            let said = exit.last_stderr.trim();
            let text = if said.is_empty() {
                format!("ended with {code}")
            } else {
                format!("ended with {code}: {said}")
            };
            content.push(json!({ "type": "text", "text": text }));
        }
        Ok(Json::of(&json!({ "content": content, "isError": failed })))
    }
}

fn failed(id: &Id, code: i64, sentence: &str) -> Vec<u8> {
    write_error(Some(id), &error_object(code, sentence, None))
}
