//! The hot path of the pure part, as operations with their inputs: what is timed here (`cargo bench -p wasmgate-core`) and what
//! has its instructions counted (`tests/bench/hot-path`) is the same.
//!
//! Inputs are made once and look like ordinary traffic; an operation does what the gateway does with one message.

use std::sync::Arc;

use bytes::Bytes;
use wasmgate_core::catalog::ToolFilter;
use wasmgate_core::index::{Index, Kind, Naming, Source, Target};
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{Id, Message, read, write_request, write_result};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{
    About, Compat, Exchange, Hook, Kind as StageKind, Mode, Operation, Party, Pattern, Phase, Pipeline,
    Stage, StageAnswer, StageFuture, StageInfo,
};
use wasmgate_core::seal::{Purpose, Scope, Sealer};

/// A call, and the server's answer to it, with about so many bytes of ordinary content each.
pub(crate) struct Envelopes {
    call: Bytes,
    answer: Bytes,
    own_name: Json,
}

impl Envelopes {
    /// Makes them.
    pub(crate) fn of(bytes: usize) -> Self {
        let line = r#""a_name_%":{"path":"/tmp/a file/of some name.txt","numbers":[1,2.5,-3],"ok":true,"text":"as \"quoted\" text\n"}"#;
        let content: Vec<_> =
            (0..bytes.div_ceil(line.len())).map(|n| line.replace('%', &n.to_string())).collect();
        let content = content.join(",");
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"files__read","arguments":{{{content}}}}}}}"#
        );
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":4711,"result":{{"content":[{{"type":"text","text":"done"}}],"structuredContent":{{{content}}}}}}}"#
        );
        Self { call: call.into(), answer: answer.into(), own_name: Json::of("read") }
    }

    /// A call is read, its tool gets the server's name for it, and it is written with an id of our own; the answer is read
    /// and written with the client's id.
    pub(crate) fn pass(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let Message::Request { id, method, params: Some(params) } = read(self.call.clone()).ok()? else {
            return None;
        };
        let params = params.with_member("name", &self.own_name);
        let sent = write_request(&Id::number(4711), &method, Some(&params));
        let Message::Response { outcome: Ok(result), .. } = read(self.answer.clone()).ok()? else {
            return None;
        };
        Some((sent, write_result(&id, &result)))
    }
}

/// Servers with tools, and the index of them all.
pub(crate) struct Lists {
    servers: Vec<(ServerName, Vec<Json>)>,
    index: Index,
    names: Vec<String>,
}

impl Lists {
    /// So many servers with so many tools each, of 350 bytes.
    pub(crate) fn of(servers: usize, tools: usize) -> Self {
        let tool = |number: usize| {
            let text = format!(
                r#"{{"name":"tool_{number}","description":"Reads what somebody else has written, and says so in a sentence or two of ordinary length.","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string","description":"Where it is"}},"limit":{{"type":"integer","minimum":1}}}},"required":["path"]}},"annotations":{{"readOnlyHint":true}}}}"#
            );
            Json::parse(text).unwrap_or_else(|_| Json::empty_object())
        };
        let servers: Vec<_> = (0..servers)
            .filter_map(|number| ServerName::new(&format!("server-{number}")).ok())
            .map(|name| (name, (0..tools).map(tool).collect()))
            .collect();
        let index = merged(&servers);
        let names = index.list(Kind::Tools).entries().iter().map(|entry| entry.public.to_string()).collect();
        Self { servers, index, names }
    }

    /// All of them merged.
    pub(crate) fn merge(&self) -> Index {
        merged(&self.servers)
    }

    /// A tool by its public name; another one each time.
    pub(crate) fn find(&self, number: usize) -> Option<Target> {
        self.index.tool(self.names.get(number % self.names.len().max(1))?)
    }

    /// The first page: 500 tools.
    pub(crate) fn page(&self) -> Option<Json> {
        self.index.list(Kind::Tools).page(0, &[])
    }
}

fn merged(servers: &[(ServerName, Vec<Json>)]) -> Index {
    let sources: Vec<_> = servers
        .iter()
        .map(|(server, tools)| Source {
            server,
            prefix: None,
            filter: &ToolFilter::All,
            tools,
            prompts: &[],
            resources: &[],
            templates: &[],
            has_old_tasks: false,
        })
        .collect();
    Index::build(&sources, Naming::Prefixed, 1000)
}

/// What a client keeps for the gateway: a session of 2025-11-25 is 120 bytes.
pub(crate) struct Sealed {
    sealer: Sealer,
    payload: [u8; 120],
    token: String,
}

const SCOPE: Scope<'static> = Scope { purpose: Purpose::Session, principal: "alice" };

impl Sealed {
    /// A token and its sealer.
    pub(crate) fn new() -> Self {
        let mut sealed = Self { sealer: Sealer::new([7; 32]), payload: [b'x'; 120], token: String::new() };
        sealed.token = sealed.seal().unwrap_or_default();
        sealed
    }

    /// Seals the payload.
    pub(crate) fn seal(&self) -> Option<String> {
        self.sealer.seal(SCOPE, 2_000_000_000, &self.payload, [9; 24]).ok()
    }

    /// Opens the token.
    pub(crate) fn open(&self) -> Option<Vec<u8>> {
        self.sealer.open(SCOPE, 1_900_000_000, &self.token).ok()
    }
}

/// Two interceptors that are there and want other messages.
pub(crate) struct Uninterested {
    pipeline: Pipeline,
    operation: Operation,
}

impl Uninterested {
    /// With a call they do not want.
    pub(crate) fn new() -> Self {
        let stages =
            ["prompts/get", "resources/*"].map(|event| Arc::new(Other::wants(event)) as Arc<dyn Stage>);
        let operation = Operation {
            id: "r1".into(),
            event: "tools/call".into(),
            server: ServerName::new("files").ok(),
            subject: Some("read".into()),
            principal: "alice".into(),
            session: None,
            version: "2025-11-25",
            initiator: Party::Client,
        };
        Self { pipeline: Pipeline::new(stages.into(), |_, _| ()), operation }
    }

    /// What the gateway asks before it goes past them.
    pub(crate) fn pass(&self) -> bool {
        self.pipeline.interested(&self.operation)
    }
}

struct Other(StageInfo);

impl Other {
    fn wants(event: &str) -> Self {
        let hook = Hook {
            events: vec![Pattern::new(event)],
            request: true,
            response: true,
            servers: Vec::new(),
            subjects: Vec::new(),
        };
        Self(StageInfo {
            name: event.into(),
            kind: StageKind::Mutator,
            about: About::default(),
            compat: Compat::default(),
            hooks: vec![hook],
            priority_request: 0,
            priority_response: 0,
            mode: Mode::Enforce,
            fail_open: false,
        })
    }
}

impl Stage for Other {
    fn info(&self) -> &StageInfo {
        &self.0
    }

    fn run<'a>(&'a self, _: &'a Exchange, _: Phase, _: &'a Json) -> StageFuture<'a> {
        Box::pin(std::future::ready(Ok(StageAnswer::Unchanged)))
    }
}
