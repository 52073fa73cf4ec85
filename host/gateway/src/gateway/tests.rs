//! Every operation through the pipeline: fake stages in front of a server of this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use wasmgate_core::catalog::{Launch, Protocol, Remote, RemoteTransport, Server};
use wasmgate_core::index::Naming;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::{V2025_11_25, V2026_07_28};
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{
    About, Compat, Exchange, FilterFuture, Finding, Hook, ItemChange, Kind as StageKind, ListItem, Mode,
    Pattern, Phase, Pipeline, Severity, Stage, StageAnswer, StageError, StageFuture, StageInfo,
};

use super::*;
use crate::egress::Egress;
use crate::launch::{LaunchSettings, Launcher};
use crate::mailbox;
use crate::upstream::Identity;
use crate::upstream::tests::site::{Reply, Seen, Site, push};

mod asking;
mod tasks;
mod uris;

type Run = dyn Fn(&Exchange, Phase, &Json) -> StageAnswer + Send + Sync;
type Filter = dyn Fn(&[ListItem]) -> Result<Vec<(usize, ItemChange)>, StageError> + Send + Sync;

/// A stage that does as it is told.
struct Fake {
    info: StageInfo,
    run: Box<Run>,
    filter: Box<Filter>,
}

impl Stage for Fake {
    fn info(&self) -> &StageInfo {
        &self.info
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a> {
        Box::pin(std::future::ready(Ok((self.run)(exchange, phase, payload))))
    }

    fn filter<'a>(&'a self, _: &'a Exchange, items: &'a [ListItem]) -> FilterFuture<'a> {
        Box::pin(std::future::ready((self.filter)(items)))
    }
}

fn info(kind: StageKind, event: &str) -> StageInfo {
    StageInfo {
        name: "fake".into(),
        kind,
        about: About::default(),
        compat: Compat::default(),
        hooks: vec![Hook {
            events: vec![Pattern::new(event)],
            request: true,
            response: true,
            servers: Vec::new(),
            subjects: Vec::new(),
        }],
        priority_request: 0,
        priority_response: 0,
        mode: Mode::Enforce,
        fail_open: false,
    }
}

fn stage(
    kind: StageKind,
    event: &str,
    run: impl Fn(&Exchange, Phase, &Json) -> StageAnswer + Send + Sync + 'static,
) -> Arc<dyn Stage> {
    Arc::new(Fake { info: info(kind, event), run: Box::new(run), filter: Box::new(|_| Ok(Vec::new())) })
}

fn mutator(
    event: &str,
    run: impl Fn(&Exchange, Phase, &Json) -> StageAnswer + Send + Sync + 'static,
) -> Arc<dyn Stage> {
    stage(StageKind::Mutator, event, run)
}

/// Refuses what contains a word.
fn forbids(event: &str, word: &'static str) -> Arc<dyn Stage> {
    stage(StageKind::Validator, event, move |_, _, payload| {
        let finding =
            Finding { path: None, message: "no".into(), severity: Severity::Error, suggestion: None };
        let is_bad = payload.as_str().contains(word);
        StageAnswer::Findings(if is_bad { vec![finding] } else { Vec::new() })
    })
}

fn filter(
    event: &str,
    filter: impl Fn(&[ListItem]) -> Result<Vec<(usize, ItemChange)>, StageError> + Send + Sync + 'static,
) -> Arc<dyn Stage> {
    let run = Box::new(|_: &Exchange, _: Phase, _: &Json| StageAnswer::Unchanged);
    Arc::new(Fake { info: info(StageKind::Filter, event), run, filter: Box::new(filter) })
}

/// Hides or renames items by name.
fn renames(event: &str, changes: &'static [(&'static str, Option<&'static str>)]) -> Arc<dyn Stage> {
    filter(event, move |items| {
        let changed = items.iter().enumerate().filter_map(|(at, item)| {
            let (_, to) = changes.iter().find(|(name, _)| **name == *item.name)?;
            let key = if item.item.member("uri").is_some() { "uri" } else { "name" };
            let patch = |to: &&str| ItemChange::Patch(Json::empty_object().with_member(key, &Json::of(*to)));
            Some((at, to.as_ref().map_or(ItemChange::Hide, patch)))
        });
        Ok(changed.collect())
    })
}

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

/// A server of 2026-07-28 with three tools and three resources; `call` answers `tools/call`.
fn modern(seen: &Seen, call: &dyn Fn(&Seen) -> Reply) -> Reply {
    let result = match seen.rpc().as_str() {
        "server/discover" => {
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"resources":{},"extensions":{"io.modelcontextprotocol/tasks":{}}},"instructions":"be kind"}"#
        }
        "tools/list" => {
            r#"{"tools":[{"name":"a","inputSchema":{"type":"object"},"outputSchema":{"type":"array"}},{"name":"b"},{"name":"c"}]}"#
        }
        "resources/list" => r#"{"resources":[{"uri":"x:a"},{"uri":"x:b"}]}"#,
        "resources/templates/list" => {
            r#"{"resourceTemplates":[{"uriTemplate":"x:open/{id}"},{"uriTemplate":"x:shut/{id}"}]}"#
        }
        "tools/call" => return call(seen),
        "subscriptions/listen" => return Reply::error(seen, 404, -32601),
        _ => return echo(seen),
    };
    Reply::result(seen, result)
}

/// The same server, but it says how long its tools and resources may be kept.
fn kept(seen: &Seen) -> Reply {
    match seen.rpc().as_str() {
        "tools/list" => Reply::result(
            seen,
            r#"{"tools":[{"name":"a"},{"name":"b"},{"name":"c"}],"ttlMs":5000,"cacheScope":"public"}"#,
        ),
        "resources/list" => {
            Reply::result(seen, r#"{"resources":[{"uri":"x:a"}],"ttlMs":7,"cacheScope":"private"}"#)
        }
        _ => modern(seen, &|seen: &Seen| echo(seen)),
    }
}

/// Answers with the method and the params that came, without `_meta`.
fn echo(seen: &Seen) -> Reply {
    let params = seen.body.as_ref().and_then(|body| body.member("params")).unwrap();
    let params = params.without_member("_meta");
    Reply::result(seen, &format!(r#"{{"method":"{}","params":{}}}"#, seen.rpc(), params.as_str()))
}

struct World {
    gateway: Arc<Gateway>,
    site: Site,
    _tasks: Tasks,
}

fn generation(site: &Site, page: usize, stages: Vec<Arc<dyn Stage>>) -> Generation {
    let remote = Remote {
        urls: vec![site.url.clone().into()],
        transport: RemoteTransport::StreamableHttp,
        headers: Vec::new(),
        private_allowed: true,
    };
    let server = crate::upstream::tests::server("p", Launch::Remote(remote));
    Generation {
        servers: vec![Arc::new(Server { protocol: Protocol::Modern, ..server })],
        unavailable: Vec::new(),
        naming: Naming::Prefixed,
        page,
        pipeline: Pipeline::new(stages, |_, _| ()),
    }
}

impl World {
    async fn new(stages: Vec<Arc<dyn Stage>>) -> Self {
        Self::with(2, stages, |seen: &Seen| echo(seen)).await
    }

    async fn with(
        page: usize,
        stages: Vec<Arc<dyn Stage>>,
        call: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let site = Site::start(move |seen| modern(&seen, &call)).await;
        let first = generation(&site, page, stages);
        Self::of(site, first).await
    }

    async fn of(site: Site, generation: Generation) -> Self {
        let tasks = Tasks::new();
        let launcher = Launcher::new(LaunchSettings::default(), tasks.clone());
        let identity = Identity { name: "test".into(), version: "0".into() };
        let pool = Pool::new(launcher, Egress::new(), tasks.clone(), identity.into());
        let gateway = Gateway::start(generation, pool, Sealer::new([7; 32]), &tasks);
        gateway.until_settled().await;
        gateway.until_fresh().await;
        Self { gateway, site, _tasks: tasks }
    }

    async fn ask(&self, method: &str, params: &str) -> Result<Json, CallError> {
        self.gateway.request(request(method, params).0).await
    }

    async fn names(&self, method: &str) -> String {
        let mut found = Vec::new();
        let mut params = "{}".to_owned();
        loop {
            let page = self.ask(method, &params).await.unwrap();
            // The list is the last member.
            let items = page.members().unwrap().pop().unwrap().1.elements().unwrap();
            found.extend(
                items.iter().map(|item| item.members().unwrap().remove(0).1.string().unwrap().into_owned()),
            );
            let Some(cursor) = page.member("nextCursor") else { return found.join(" ") };
            params = format!(r#"{{"cursor":{}}}"#, cursor.as_str());
        }
    }
}

impl Gateway {
    async fn until_fresh(&self) {
        let mut refreshed = self.refreshed.subscribe();
        while !self.is_fresh() {
            tokio::time::timeout(Duration::from_secs(20), refreshed.changed()).await.unwrap().unwrap();
        }
    }
}

fn request(method: &str, params: &str) -> (Request, mailbox::Receiver<Event>) {
    let (events, seen) = mailbox::channel(16);
    let client = ClientFacts {
        info: Some(json(r#"{"name":"tester"}"#)),
        capabilities: json(r#"{"elicitation":{}}"#),
        log_level: None,
    };
    let request = Request {
        view: View::All,
        id: "r".into(),
        principal: "alice".into(),
        session: None,
        method: method.into(),
        params: Some(json(params)),
        client: Arc::new(client),
        version: V2026_07_28,
        events,
    };
    (request, seen)
}

#[track_caller]
fn text(outcome: Result<Json, CallError>) -> String {
    match outcome {
        Ok(result) => result.as_str().to_owned(),
        Err(CallError::Blocked(_)) => "blocked".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Adds a member to objects, with the phase's name.
fn marks(event: &str) -> Arc<dyn Stage> {
    mutator(event, |_, phase, payload| {
        let phase = if phase == Phase::Request { "in" } else { "out" };
        StageAnswer::Changed(payload.with_member(phase, &Json::of("seen")))
    })
}

#[tokio::test]
async fn only_tools_that_a_client_is_shown_have_headers() {
    let wants = |world: World, tool: &'static str| async move {
        let found = world.gateway.param_headers(&View::All, &"alice".into(), V2026_07_28, tool).await;
        found.into_iter().map(|header| header.name).collect::<Vec<_>>()
    };
    let world = |stages: Vec<Arc<dyn Stage>>| async move {
        let site = Site::start(|seen| match seen.rpc().as_str() {
            "tools/list" => Reply::result(
                &seen,
                r#"{"tools":[{"name":"a","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"R"}}}}]}"#,
            ),
            _ => modern(&seen, &|seen: &Seen| echo(seen)),
        });
        let site = site.await;
        let first = generation(&site, 2, stages);
        World::of(site, first).await
    };
    let filter = |to| vec![renames("tools/list", to)];
    assert_eq!(wants(world(Vec::new()).await, "a").await, ["R"]);
    assert!(wants(world(Vec::new()).await, "b").await.is_empty());
    assert_eq!(wants(world(filter(&[("a", Some("x"))])).await, "x").await, ["R"]);
    assert!(wants(world(filter(&[("a", Some("x"))])).await, "a").await.is_empty());
    assert!(wants(world(filter(&[("a", None)])).await, "a").await.is_empty(), "hidden is not there");
}

#[tokio::test]
async fn lists_say_how_long_they_may_be_kept() {
    let hints = |page: &Json| {
        let [ttl, scope] = page.pick(["ttlMs", "cacheScope"]);
        (ttl.map(|ttl| ttl.as_str().to_owned()), scope.map(|scope| scope.string().unwrap().into_owned()))
    };
    let says = |ttl: &str, scope: &str| (Some(ttl.to_owned()), Some(scope.to_owned()));
    let world = |stages: Vec<Arc<dyn Stage>>| async move {
        let site = Site::start(|seen| kept(&seen)).await;
        let first = generation(&site, 2, stages);
        World::of(site, first).await
    };
    let plain = world(Vec::new()).await;
    let first = plain.ask("tools/list", "{}").await.unwrap();
    assert_eq!(hints(&first), says("5000", "public"));
    let cursor = first.member("nextCursor").unwrap();
    let second = plain.ask("tools/list", &format!(r#"{{"cursor":{}}}"#, cursor.as_str())).await.unwrap();
    assert_eq!(hints(&second), hints(&first), "the same on every page");
    assert_eq!(hints(&plain.ask("resources/list", "{}").await.unwrap()), says("7", "private"));
    let silent = plain.ask("resources/templates/list", "{}").await.unwrap();
    assert_eq!(hints(&silent), says("0", "private"), "who says nothing allows nothing");
    let (mut old, _events) = request("tools/list", "{}");
    old.version = V2025_11_25;
    assert_eq!(hints(&plain.gateway.request(old).await.unwrap()), (None, None));
    let filtered = world(vec![renames("tools/list", &[("a", None)])]).await;
    let shown = filtered.ask("tools/list", "{}").await.unwrap();
    assert_eq!(hints(&shown), says("5000", "private"), "a filter may show everybody something else");
}

#[tokio::test]
async fn what_a_client_is_told_at_the_start_passes_both_phases() {
    for method in ["initialize", "server/discover"] {
        let world = World::new(vec![marks(method)]).await;
        let word = |params: &Json, offering: &Offering| {
            assert_eq!(params.as_str(), r#"{"a":1,"in":"seen"}"#);
            Ok(Json::empty_object().with_member("instructions", &Json::of(&offering.instructions)))
        };
        let greeting = world.gateway.greet(request(method, r#"{"a":1}"#).0, word).await.unwrap();
        assert_eq!(greeting.params.member("in").unwrap().as_str(), r#""seen""#);
        assert!(greeting.result.member("out").is_some(), "{:?}", greeting.result);
        assert!(greeting.result.as_str().contains("be kind"));
    }
    let world = World::new(vec![forbids("initialize", "tester")]).await;
    let refused = world
        .gateway
        .greet(request("initialize", r#"{"clientInfo":"tester"}"#).0, |_, _| panic!("nothing is worded"));
    assert!(matches!(refused.await, Err(CallError::Blocked(_))));
}

#[tokio::test]
async fn a_list_filter_decides_what_is_there() {
    let world = World::new(vec![renames("tools/list", &[("a", Some("alpha")), ("b", None)])]).await;
    assert_eq!(world.names("tools/list").await, "alpha c");
    let call = |name: &str| format!(r#"{{"name":"{name}"}}"#);
    let renamed = text(world.ask("tools/call", &call("alpha")).await);
    assert_eq!(renamed, r#"{"method":"tools/call","params":{"name":"a"}}"#);
    for hidden in ["a", "b", "never"] {
        assert_eq!(text(world.ask("tools/call", &call(hidden)).await), format!("unknown tool: {hidden}"));
    }
    let alone =
        Request { view: View::One(ServerName::new("p").unwrap()), ..request("tools/call", &call("b")).0 };
    assert_eq!(text(world.gateway.request(alone).await), "unknown tool: b");
}

#[tokio::test]
async fn a_name_that_two_items_get_belongs_to_the_first() {
    let world = World::new(vec![renames("tools/list", &[("b", Some("a")), ("c", Some(""))])]).await;
    assert_eq!(world.names("tools/list").await, "a");
    let called = text(world.ask("tools/call", r#"{"name":"a"}"#).await);
    assert_eq!(called, r#"{"method":"tools/call","params":{"name":"a"}}"#);
}

#[tokio::test]
async fn a_filter_that_fails_refuses_the_list_and_its_calls() {
    let world = World::new(vec![filter("tools/list", |_| Err(StageError::Failed("oh".into())))]).await;
    assert_eq!(text(world.ask("tools/list", "{}").await), "blocked");
    assert_eq!(text(world.ask("tools/call", r#"{"name":"a"}"#).await), "blocked");
    assert!(world.ask("resources/list", "{}").await.is_ok());
}

#[tokio::test]
async fn a_filtered_list_costs_the_filter_one_run() {
    let runs = Arc::new(atomic::AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let world = World::new(vec![filter("tools/list", move |_| {
        count.fetch_add(1, atomic::Ordering::Relaxed);
        Ok(Vec::new())
    })])
    .await;
    for _ in 0..3 {
        assert_eq!(world.names("tools/list").await, "a b c");
        world.ask("tools/call", r#"{"name":"a"}"#).await.unwrap();
    }
    assert_eq!(runs.load(atomic::Ordering::Relaxed), 1);
    let other = Request { principal: "bob".into(), ..request("tools/list", "{}").0 };
    world.gateway.request(other).await.unwrap();
    assert_eq!(runs.load(atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn hidden_resources_cannot_be_reached_in_a_way_round_their_names() {
    let hides = filter("resources/list", |items| {
        let hidden = items.iter().enumerate().filter(|(_, item)| item.name.ends_with('b'));
        Ok(hidden.map(|(at, _)| (at, ItemChange::Hide)).collect())
    });
    let templates = filter("resources/templates/list", |items| {
        let hidden = items.iter().enumerate().filter(|(_, item)| item.name.contains("shut"));
        Ok(hidden.map(|(at, _)| (at, ItemChange::Hide)).collect())
    });
    let world = World::new(vec![hides, templates]).await;
    assert_eq!(world.names("resources/list").await, "x:a");
    assert_eq!(world.names("resources/templates/list").await, "x:open/{id}");
    for (uri, is_there) in [
        ("x:a", true),
        ("x:b", false),
        // Nothing is made unique where there is one server: this is another resource of its own.
        ("wasmgate://p/x:a", true),
        ("wasmgate://p/x:b", false),
        ("x:open/1", true),
        ("x:open/b", false),
        ("x:shut/1", false),
        ("x:unlisted", true),
        ("x:unlisted/b", false),
    ] {
        let read = world.ask("resources/read", &format!(r#"{{"uri":"{uri}"}}"#)).await;
        assert_eq!(read.is_ok(), is_there, "{uri}: {read:?}");
    }
}

#[tokio::test]
async fn an_answer_in_place_of_a_list_passes_the_response_phase() {
    let answers = mutator("tools/list", |_, phase, payload| match phase {
        Phase::Request => StageAnswer::Answer(json(r#"{"tools":[]}"#)),
        Phase::Response => StageAnswer::Changed(payload.with_member("out", &Json::of("seen"))),
    });
    let world = World::new(vec![answers]).await;
    assert_eq!(text(world.ask("tools/list", "{}").await), r#"{"tools":[],"out":"seen"}"#);
}

#[tokio::test]
async fn a_cursor_is_for_its_list_as_it_was() {
    let world = World::new(Vec::new()).await;
    let page = world.ask("tools/list", "{}").await.unwrap();
    let params = format!(r#"{{"cursor":{}}}"#, page.member("nextCursor").unwrap().as_str());
    assert!(world.ask("tools/list", &params).await.is_ok());
    let alone =
        Request { view: View::One(ServerName::new("p").unwrap()), ..request("tools/list", &params).0 };
    assert!(matches!(world.gateway.request(alone).await, Err(CallError::InvalidParams(_))));
    world.gateway.replace(generation(&world.site, 2, vec![renames("tools/list", &[("c", None)])]));
    assert!(matches!(world.ask("tools/list", &params).await, Err(CallError::InvalidParams(_))));
}

#[tokio::test]
async fn a_new_generation_is_heard_of_once_and_old_calls_end_on_theirs() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let world = World::with(9, vec![marks("tools/call")], move |seen: &Seen| {
        let (reply, rest) = Reply::events();
        tell.send((seen.id(), rest)).unwrap();
        reply
    })
    .await;
    let mut revisions = world.gateway.revisions();
    let before = *revisions.wait_for(|now| now.tools == 1).await.unwrap();
    let running = world.ask("tools/call", r#"{"name":"a"}"#);
    let replace = async {
        let (id, rest) = told.recv().await.unwrap();
        world.gateway.replace(generation(&world.site, 9, vec![renames("tools/list", &[("a", None)])]));
        push(&rest, format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n\n"));
    };
    let (running, ()) = tokio::join!(running, replace);
    assert_eq!(text(running), r#"{"out":"seen"}"#);
    assert_eq!(text(world.ask("tools/call", r#"{"name":"a"}"#).await), "unknown tool: a");
    assert_eq!(world.names("tools/list").await, "b c");
    tokio::time::timeout(Duration::from_secs(20), revisions.changed()).await.unwrap().unwrap();
    let after = *revisions.borrow();
    assert_eq!(after, Revisions { tools: before.tools + 1, ..before });
    assert_eq!(world.site.of("server/discover").len(), 1, "the server keeps its connection");
}

#[tokio::test]
async fn stages_know_the_tool_and_the_client() {
    let tells = mutator("tools/call", |exchange, phase, payload| {
        let known = |name| exchange.attribute(name).map_or("-".to_owned(), |value| value.as_str().to_owned());
        let all = ["client.name", "tool.input-schema", "tool.output-schema", "tool.annotations"].map(known);
        let at = if phase == Phase::Request { "in" } else { "out" };
        StageAnswer::Changed(payload.with_member(at, &Json::of(&all.join(" "))))
    });
    let world = World::new(vec![tells]).await;
    let result = world.ask("tools/call", r#"{"name":"a"}"#).await.unwrap();
    let expected = Json::of(r#""tester" {"type":"object"} {"type":"array"} -"#);
    assert_eq!(result.pointer("/params/in"), Some(expected.clone()));
    assert_eq!(result.member("out"), Some(expected));
}

/// A server that asks twice before it answers, with its own state in between.
fn asks(seen: &Seen) -> Reply {
    let params = seen.body.as_ref().unwrap().member("params").unwrap();
    match params.member("inputResponses") {
        Some(_) => echo(seen),
        None => Reply::result(
            seen,
            r#"{"resultType":"input_required","requestState":"mine","inputRequests":{
                "k":{"method":"elicitation/create","params":{"message":"password?"}},"r":{"method":"roots/list"}}}"#,
        ),
    }
}

#[tokio::test]
async fn questions_and_their_answers_pass_the_interceptors() {
    let world = World::with(9, vec![marks("elicitation/create")], asks).await;
    let asked = world.ask("tools/call", r#"{"name":"a"}"#).await.unwrap();
    let question = asked.pointer("/inputRequests/k").unwrap();
    assert_eq!(
        question.as_str(),
        r#"{"method":"elicitation/create","params":{"message":"password?","in":"seen"}}"#
    );
    assert_eq!(asked.pointer("/inputRequests/r").unwrap().as_str(), r#"{"method":"roots/list"}"#);
    let state = asked.member("requestState").unwrap();
    assert_ne!(state.as_str(), r#""mine""#);
    // Said in the shape of something else: what was asked decides, not what it looks like.
    let retry = format!(
        r#"{{"name":"a","requestState":{},"inputResponses":{{"k":{{"roots":1}},"r":{{"action":"x"}}}}}}"#,
        state.as_str()
    );
    assert_eq!(
        text(world.ask("tools/call", &retry).await),
        r#"{"method":"tools/call","params":{"name":"a","requestState":"mine","inputResponses":{"k":{"roots":1,"out":"seen"},"r":{"action":"x"}}}}"#
    );
    let unsealed =
        r#"{"name":"a","requestState":"other","inputResponses":{"k":{"action":"accept"},"r":{"roots":[]}}}"#;
    assert_eq!(
        text(world.ask("tools/call", unsealed).await),
        r#"{"method":"tools/call","params":{"name":"a","requestState":"other","inputResponses":{"k":{"action":"accept","out":"seen"},"r":{"roots":[]}}}}"#
    );
    assert_eq!(
        world.site.of("tools/call")[0]
            .body
            .as_ref()
            .unwrap()
            .pointer("/params/_meta/io.modelcontextprotocol~1clientCapabilities"),
        Some(json(r#"{"elicitation":{}}"#)),
        "the server knows what this client can be asked"
    );
}

#[tokio::test]
async fn a_refused_question_refuses_the_call_and_a_refused_answer_never_arrives() {
    let world = World::with(9, vec![forbids("elicitation/create", "password")], asks).await;
    assert_eq!(text(world.ask("tools/call", r#"{"name":"a"}"#).await), "blocked");
    let retry = r#"{"name":"a","inputResponses":{"k":{"action":"accept","content":{"x":"password"}}}}"#;
    assert_eq!(text(world.ask("tools/call", retry).await), "blocked");
    assert_eq!(world.site.of("tools/call").len(), 1);
}

#[tokio::test]
async fn a_state_that_nobody_looks_at_stays_the_servers_own() {
    let world = World::with(9, vec![marks("tools/list")], asks).await;
    let asked = world.ask("tools/call", r#"{"name":"a"}"#).await.unwrap();
    assert_eq!(asked.member("requestState"), Some(Json::of("mine")));
}

fn works(seen: &Seen) -> Reply {
    let (reply, rest) = Reply::events();
    let token = seen.body.as_ref().unwrap().pointer("/params/_meta/progressToken").unwrap();
    let token = token.as_str();
    for event in [
        format!(
            r#""notifications/progress","params":{{"progressToken":{token},"progress":1,"message":"secret"}}"#
        ),
        r#""notifications/message","params":{"level":"info","data":"hello"}"#.to_owned(),
        format!(r#""notifications/progress","params":{{"progressToken":{token},"progress":2}}"#),
    ] {
        push(&rest, format!("data: {{\"jsonrpc\":\"2.0\",\"method\":{event}}}\n\n"));
    }
    push(&rest, format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n\n", seen.id()));
    reply
}

/// Says more than anybody fetches meanwhile.
fn works_in_many_steps(seen: &Seen) -> Reply {
    let (reply, rest) = Reply::events();
    let token = seen.body.as_ref().unwrap().pointer("/params/_meta/progressToken").unwrap();
    let mut events = String::new();
    for step in 1..=200 {
        events += &format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{},\"progress\":{step}}}}}\n\n",
            token.as_str()
        );
    }
    push(&rest, format!("{events}data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n\n", seen.id()));
    reply
}

async fn heard(stages: Vec<Arc<dyn Stage>>) -> String {
    heard_of(works, stages).await
}

/// What comes of a call, fetched after its end.
async fn heard_of(
    works: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    stages: Vec<Arc<dyn Stage>>,
) -> String {
    let world = World::with(9, stages, works).await;
    let (request, mut events) = request("tools/call", r#"{"name":"a","_meta":{"progressToken":"t"}}"#);
    world.gateway.request(request).await.unwrap();
    let mut heard = String::new();
    while let Some(event) = events.try_recv() {
        heard += &format!("{}\n", event.params.as_str());
    }
    heard
}

#[tokio::test]
async fn what_a_server_says_meanwhile_passes_the_interceptors() {
    let plain = heard(Vec::new()).await;
    assert_eq!(heard(vec![marks("tools/list")]).await, plain);
    assert_eq!(plain.lines().count(), 3);
    let dropped = heard(vec![forbids("notifications/progress", "secret")]).await;
    assert_eq!(dropped, plain.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>());
    let hides = mutator("notifications/*", |exchange, _, payload| {
        assert_eq!(exchange.operation.server.as_ref().unwrap().as_str(), "p");
        StageAnswer::Changed(payload.with_member("progressToken", &Json::of("stolen")).without_member("data"))
    });
    let rewritten = heard(vec![hides]).await;
    assert!(rewritten.lines().next().unwrap().contains(r#""progressToken":"t""#), "{rewritten}");
    assert!(!rewritten.contains("hello"), "{rewritten}");
}

#[tokio::test]
async fn the_latest_progress_comes_however_late_its_reader_is() {
    for stages in [Vec::new(), vec![marks("notifications/progress")]] {
        let heard = heard_of(works_in_many_steps, stages).await;
        let steps: Vec<&str> = heard.lines().collect();
        assert_eq!(steps.len(), 17, "as many as have room, and one: {heard}");
        assert!(steps[15].contains(r#""progress":16"#) && steps[16].contains(r#""progress":200"#), "{heard}");
    }
}

#[tokio::test]
async fn a_list_that_nobody_offers_is_an_unknown_method() {
    let world = World::new(Vec::new()).await;
    let legacy = Request { version: V2025_11_25, ..request("prompts/list", "{}").0 };
    assert!(matches!(world.gateway.request(legacy).await, Err(CallError::UnknownMethod(_))));
    let offering = world.gateway.offering(&View::All).unwrap();
    assert!(offering.capabilities.member("prompts").is_none());
}

/// A legacy server that takes subscriptions and pushes what `told` is given on its own stream. Its session ends with the
/// first call of a tool.
async fn publisher() -> (Site, mpsc::UnboundedReceiver<crate::upstream::tests::site::Rest>) {
    let (tell, streams) = mpsc::unbounded_channel();
    let site = Site::start(move |seen| match seen.rpc().as_str() {
        "initialize" => {
            let result = r#"{"protocolVersion":"2025-11-25","capabilities":{"resources":{"subscribe":true},"tools":{}}}"#;
            Reply::result(&seen, result).with("mcp-session-id", "s")
        }
        "GET" => {
            let (reply, rest) = Reply::events();
            push(&rest, ": hello\n\n");
            tell.send(rest).unwrap();
            reply
        }
        "tools/list" => Reply::result(&seen, r#"{"tools":[{"name":"end"}]}"#),
        "tools/call" => Reply::status(404),
        "DELETE" => Reply::status(200),
        method if method.starts_with("notifications/") => Reply::status(202),
        _ => modern(&seen, &echo),
    })
    .await;
    (site, streams)
}

async fn published(
    stages: Vec<Arc<dyn Stage>>,
) -> (World, mpsc::UnboundedReceiver<crate::upstream::tests::site::Rest>) {
    let (site, streams) = publisher().await;
    let mut first = generation(&site, 9, stages);
    let server = Server { protocol: Protocol::Legacy, ..(*first.servers[0]).clone() };
    first.servers = vec![Arc::new(server)];
    (World::of(site, first).await, streams)
}

fn listener() -> Listener {
    Listener { id: "n".into(), principal: "alice".into(), session: None, version: V2025_11_25 }
}

#[tokio::test]
async fn a_server_is_subscribed_to_once_and_until_nobody_waits() {
    let (world, mut streams) = published(Vec::new()).await;
    let capabilities = world.gateway.offering(&View::All).unwrap().capabilities.clone();
    assert_eq!(capabilities.pointer("/resources/subscribe").unwrap().boolean(), Some(true));
    let subscribe = || world.gateway.subscribe(request(method::RESOURCES_SUBSCRIBE, r#"{"uri":"x:a"}"#).0);
    let first = subscribe().await.unwrap().1.unwrap();
    let second = subscribe().await.unwrap().1.unwrap();
    assert_eq!(world.site.of("resources/subscribe").len(), 1);
    let mut updates = world.gateway.updates();
    let stream = streams.recv().await.unwrap();
    for uri in ["x:b", "x:a", "x:a/below", "x:ab"] {
        let update = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#
        );
        push(&stream, format!("data: {update}\n\n"));
    }
    let mut told = Vec::new();
    for _ in 0..4 {
        let update = updates.recv().await.unwrap();
        let Some(of) = first.told_by(&update) else { continue };
        told.push(world.gateway.told(&update, &of, listener()).await.unwrap().as_str().to_owned());
    }
    assert_eq!(told, [r#"{"uri":"x:a"}"#, r#"{"uri":"x:a/below"}"#]);
    // The session at the server ends, which is that of clients that can be asked nothing; the next one is told what is
    // waited for.
    let (end, _) = request("tools/call", r#"{"name":"end"}"#);
    let client = ClientFacts { capabilities: Json::empty_object(), ..(*end.client).clone() };
    let _ = world.gateway.request(Request { client: Arc::new(client), ..end }).await;
    world.site.wait_for("resources/subscribe", 2).await;
    drop(first);
    let mut held = Some(second);
    let unsubscribe = request(method::RESOURCES_UNSUBSCRIBE, r#"{"uri":"x:a"}"#).0;
    assert_eq!(text(world.gateway.unsubscribe(unsubscribe, &mut held).await), "{}");
    assert!(held.is_none());
    let last = world.site.wait_for("resources/unsubscribe", 1).await;
    assert_eq!(last.body.unwrap().pointer("/params/uri"), Some(Json::of("x:a")));
}

#[tokio::test]
async fn subscriptions_and_changes_pass_the_interceptors() {
    let (world, _streams) =
        published(vec![forbids("resources/*", "x:b"), marks("notifications/resources/*")]).await;
    let subscribe = |uri: &str| {
        let params = format!(r#"{{"uri":"{uri}"}}"#);
        world.gateway.subscribe(request(method::RESOURCES_SUBSCRIBE, &params).0)
    };
    assert!(matches!(subscribe("x:b").await, Err(CallError::Blocked(_))));
    assert!(world.site.of("resources/subscribe").is_empty());
    let (_, subscription) = subscribe("x:a").await.unwrap();
    let update = Update {
        server: ServerName::new("p").unwrap(),
        method: "notifications/resources/updated",
        params: json(r#"{"uri":"x:a"}"#),
    };
    let of = subscription.unwrap().told_by(&update).unwrap();
    let told = world.gateway.told(&update, &of, listener()).await.unwrap();
    assert_eq!(told.as_str(), r#"{"uri":"x:a","in":"seen"}"#);
}

#[tokio::test]
async fn a_server_that_takes_no_subscriptions_says_so() {
    let world = World::new(Vec::new()).await;
    let capabilities = world.gateway.offering(&View::All).unwrap().capabilities.clone();
    assert!(capabilities.pointer("/resources/subscribe").is_none());
    let subscribe = request(method::RESOURCES_SUBSCRIBE, r#"{"uri":"x:a"}"#).0;
    assert!(matches!(world.gateway.subscribe(subscribe).await, Err(CallError::Answered(_))));
}
