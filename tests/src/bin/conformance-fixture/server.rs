//! The server itself: what the SDK asks of one, and what calls can tell their client on the way.

#![expect(deprecated, reason = "logging and resource subscriptions live on in the legacy era")]

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::hmac;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, CompleteRequestParams,
    CompleteResult, GetPromptRequestParams, GetPromptResponse, GetPromptResult, GetTaskParams, GetTaskResult,
    InitializeRequestParams, InitializeResult, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, LoggingLevel, PaginatedRequestParams, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::era::Era;
use crate::http::Return;
use crate::questions::{Gathered, Questions, typed};
use crate::tools::{failure, text};
use crate::{jobs, offers, tools};

/// How long a call waits for a client whose stream has ended.
const LONGEST_ABSENCE: Duration = Duration::from_secs(20);

/// What happens to the server while clients watch.
#[derive(Clone)]
enum Event {
    Tools,
    Prompts,
    Resource(String),
}

/// What all clients share.
struct Shared {
    era: Era,
    tasks: TaskManager,
    events: broadcast::Sender<Event>,
    /// What has happened since a `subscriptions/listen` was let in, by the task that serves it. The SDK acknowledges
    /// before it calls `listen`, and a quick client makes news in between.
    listening: Mutex<HashMap<tokio::task::Id, broadcast::Receiver<Event>>>,
    more_tools: AtomicBool,
    more_prompts: AtomicBool,
    key: hmac::Key,
}

/// What belongs to one legacy session.
#[derive(Default)]
struct Session {
    level: Mutex<Option<LoggingLevel>>,
    watched: Mutex<BTreeSet<String>>,
}

#[derive(Clone)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    session: Arc<Session>,
}

impl Server {
    /// A server of that era.
    pub(crate) fn new(era: Era) -> Self {
        let random = ring::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("randomness");
        let shared = Shared {
            era,
            tasks: TaskManager::new(),
            events: broadcast::Sender::new(64),
            listening: Mutex::default(),
            more_tools: AtomicBool::new(false),
            more_prompts: AtomicBool::new(false),
            key,
        };
        Self { shared: Arc::new(shared), session: Arc::default() }
    }

    /// The same server for one more client.
    pub(crate) fn session(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), session: Arc::default() }
    }

    fn tools(&self) -> Vec<Value> {
        tools::list(self.shared.more_tools.load(Ordering::SeqCst))
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        typed(json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {
                "tools": {"listChanged": true},
                "prompts": {"listChanged": true},
                "resources": {"subscribe": true, "listChanged": true},
                "completions": {},
                "logging": {},
                "extensions": {"io.modelcontextprotocol/tasks": {}},
            },
            "serverInfo": {"name": "conformance-fixture", "version": "1.0.0"},
        }))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.shared.era.versions().into()
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut result = self.negotiate_initialize(&request)?;
        // The extension came with the modern era.
        result.capabilities.extensions = None;
        Ok(result)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let events = self.shared.events.subscribe();
        tokio::spawn(tell(context.peer, events, Arc::clone(&self.session)));
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        if let Some(task) = tokio::task::try_id() {
            let events = self.shared.events.subscribe();
            self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner).insert(task, events);
        }
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let since_it_was_let_in = tokio::task::try_id().and_then(|task| {
            self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner).remove(&task)
        });
        let mut events = since_it_was_let_in.unwrap_or_else(|| self.shared.events.subscribe());
        let (accepted, sink) = (context.accepted(), context.sink());
        loop {
            let event = tokio::select! {
                () = context.cancelled() => return Ok(()),
                event = events.recv() => event,
            };
            let sent = match event {
                Ok(Event::Tools) if accepted.tools_list_changed == Some(true) => {
                    sink.notify_tool_list_changed().await
                }
                Ok(Event::Prompts) if accepted.prompts_list_changed == Some(true) => {
                    sink.notify_prompt_list_changed().await
                }
                Ok(Event::Resource(uri))
                    if accepted.resource_subscriptions.as_ref().is_some_and(|all| all.contains(&uri)) =>
                {
                    sink.notify_resource_updated(uri).await
                }
                _ => Ok(()),
            };
            if sent.is_err() {
                return Ok(());
            }
        }
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(complete(json!({"tools": self.tools()})))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools().into_iter().find(|tool| tool["name"] == name).map(typed)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let questions = Questions {
            context: &context,
            answered: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
            key: &self.shared.key,
        };
        if let Some(done) = jobs::call(&request.name, &arguments, questions, &self.shared.tasks).await? {
            return Ok(done);
        }
        let telling = Telling { server: self, context: &context, modern: questions.modern() };
        tools::call(&request.name, &arguments, questions, &telling).await
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompts = offers::prompts(self.shared.more_prompts.load(Ordering::SeqCst));
        Ok(complete(json!({"prompts": prompts})))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let questions = Questions {
            context: &context,
            answered: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
            key: &self.shared.key,
        };
        Ok(match offers::prompt(&request.name, &arguments, questions).await? {
            Gathered::Done(prompt) => complete::<GetPromptResult>(prompt).into(),
            Gathered::Asks(round) => GetPromptResponse::InputRequired(round),
        })
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(complete(json!({"resources": offers::resources()})))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(complete(json!({"resourceTemplates": offers::templates()})))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some(contents) = offers::contents(&request.uri) else {
            return Err(ErrorData::resource_not_found(
                "Resource not found",
                Some(json!({"uri": request.uri})),
            ));
        };
        Ok(complete::<ReadResourceResult>(json!({"contents": [contents]})).into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.session.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(request.uri);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.session.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.uri);
        Ok(())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let values = ["test-one", "test-two", "other"];
        let values: Vec<&str> =
            values.into_iter().filter(|value| value.starts_with(&request.argument.value)).collect();
        Ok(complete(json!({"completion": {"values": values, "total": values.len(), "hasMore": false}})))
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        *self.session.level.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.level);
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.shared.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.cancel_task(&request.task_id)
    }
}

/// Tells a legacy session what happens, as long as it is there.
async fn tell(peer: Peer<RoleServer>, mut events: broadcast::Receiver<Event>, session: Arc<Session>) {
    loop {
        let sent = match events.recv().await {
            Ok(Event::Tools) => peer.notify_tool_list_changed().await,
            Ok(Event::Prompts) => peer.notify_prompt_list_changed().await,
            Ok(Event::Resource(uri)) => {
                let watched = session.watched.lock().unwrap_or_else(PoisonError::into_inner).contains(&uri);
                if watched { peer.notify_resource_updated(typed(json!({"uri": uri}))).await } else { Ok(()) }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// What a call can tell its client, or all of them, before it is done.
pub(crate) struct Telling<'a> {
    server: &'a Server,
    context: &'a RequestContext<RoleServer>,
    modern: bool,
}

impl Telling<'_> {
    /// A line at level `info`, for those who want that much.
    pub(crate) async fn log(&self, line: &str) -> Result<(), ErrorData> {
        let wanted = if self.modern {
            // Who names no level wants nothing.
            match self.context.meta.log_level() {
                None => return Ok(()),
                level => level,
            }
        } else {
            *self.server.session.level.lock().unwrap_or_else(PoisonError::into_inner)
        };
        // Of the eight levels, two are lower.
        let low = [LoggingLevel::Debug, LoggingLevel::Info];
        if wanted.is_some_and(|level| !low.contains(&level)) {
            return Ok(());
        }
        let event = json!({"level": "info", "logger": "fixture", "data": line});
        let sent = self.context.peer.notify_logging_message(typed(event)).await;
        sent.map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    /// So many per cent, for a client that asked to be told.
    pub(crate) async fn progress(&self, percent: u32) -> Result<(), ErrorData> {
        let Some(token) = self.context.meta.get_progress_token() else { return Ok(()) };
        let event = json!({"progressToken": token, "progress": percent, "total": 100});
        let sent = self.context.peer.notify_progress(typed(event)).await;
        sent.map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    /// Where the stream of the call has ended: waits until the client has come back for more.
    pub(crate) async fn waited(&self) -> CallToolResult {
        let parts = self.context.extensions.get::<hyper::http::request::Parts>();
        let Some(Return(returned)) = parts.and_then(|parts| parts.extensions.get()) else {
            return text("You never left.");
        };
        match tokio::time::timeout(LONGEST_ABSENCE, returned.notified()).await {
            Ok(()) => text("You came back."),
            Err(_) => failure("You did not come back."),
        }
    }

    /// A tool comes or goes.
    pub(crate) fn tools_changed(&self) -> CallToolResult {
        self.server.shared.more_tools.fetch_xor(true, Ordering::SeqCst);
        self.happened(Event::Tools)
    }

    /// A prompt comes or goes.
    pub(crate) fn prompts_changed(&self) -> CallToolResult {
        self.server.shared.more_prompts.fetch_xor(true, Ordering::SeqCst);
        self.happened(Event::Prompts)
    }

    /// A resource is not what it was.
    pub(crate) fn updated(&self, uri: &str) -> CallToolResult {
        self.happened(Event::Resource(uri.to_owned()))
    }

    fn happened(&self, event: Event) -> CallToolResult {
        let told = self.server.shared.events.send(event).unwrap_or(0);
        text(&format!("told {told}"))
    }
}

/// A result as the modern era wants it; the SDK takes `resultType` out again for older clients.
fn complete<T: DeserializeOwned>(mut value: Value) -> T {
    value["resultType"] = "complete".into();
    typed(value)
}
