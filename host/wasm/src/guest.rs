//! What one store holds: everything the host knows about one instance of one plugin. Dropped with it; where an instance
//! serves another call, [`Guest::renew`] takes away what was of the last one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Exchange, Operation, Phase};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::types;
use crate::engine::Engine;
use crate::entries::Store;
use crate::grants::{Grants, HttpGrant};
use crate::imports::{Counters, LogBudget, LogRate, Stdio};
use crate::limits::{Limits, MAX_HANDLES, MAX_KEPT_HANDLES, Usage};
use crate::load::Settings;

/// Who a plugin is in logs, notes and counters, for as long as it is loaded.
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) counters: Counters,
    /// Lines it may still write.
    pub(crate) lines: LogRate,
    /// Calls that may still start: a plugin that dawdles delays only its own.
    pub(crate) turns: Semaphore,
    /// What it may use.
    pub(crate) grants: Grants,
    /// What it keeps between calls, if it may.
    pub(crate) store: Option<Arc<Store>>,
    /// Its configuration.
    pub(crate) config: Json,
    /// The same, as the generated bindings want it.
    pub(crate) config_text: String,
}

impl Identity {
    pub(crate) fn new(engine: &Engine, name: &str, settings: &Settings) -> Self {
        let (grants, config) = (settings.grants.clone(), settings.config.clone());
        let name = name.into();
        Self {
            store: grants.kv.map(|_| engine.inner.stores.of(&name)),
            name,
            counters: Counters::default(),
            lines: LogRate::new(settings.limits.log_rate),
            turns: Semaphore::new(settings.limits.in_flight.max(1)),
            grants,
            config_text: config.as_str().to_owned(),
            config,
        }
    }
}

/// One store's data.
pub(crate) struct Guest {
    pub(crate) engine: Engine,
    pub(crate) identity: Arc<Identity>,
    pub(crate) usage: Usage,
    pub(crate) log: LogBudget,
    pub(crate) stdio: Stdio,
    /// Origins that it may call besides those of its grants, in this call.
    pub(crate) besides: Vec<HttpGrant>,
    message: Option<Message>,
    /// Whether it has used anything that may be another thing for another instance, or at another time.
    beyond: bool,
    /// What WASI keeps, once something of WASI is used: most calls end without, and making it takes a dozen allocations.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

/// The message under inspection.
pub(crate) struct Message {
    handle: types::Message,
    /// What the guest may know of the exchange; a copy, because a store cannot borrow.
    pub(crate) exchange: Exchange,
    pub(crate) payload: Json,
    /// Only a mutator that sees the payload may edit it.
    pub(crate) may_edit: bool,
    pub(crate) edited: bool,
    pub(crate) note: Option<Json>,
    pub(crate) noted: bool,
}

/// What of a payload a guest is shown.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) json: &'a Json,
    pub(crate) may_edit: bool,
}

impl Guest {
    /// A guest that has no message yet.
    pub(crate) fn new(engine: &Engine, identity: &Arc<Identity>, limits: &Limits) -> Self {
        let stdio = Stdio::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            engine: engine.clone(),
            identity: Arc::clone(identity),
            usage: Usage::new(limits),
            log: LogBudget::default(),
            wasi: None,
            stdio,
            besides: Vec::new(),
            message: None,
            beyond: false,
            table,
        }
    }

    /// Another call begins: budgets are whole again and nothing of the last call is left but the guest's own memory.
    pub(crate) fn renew(&mut self, limits: &Limits) {
        self.usage.renew(limits);
        self.log = LogBudget::default();
        self.besides.clear();
        self.message = None;
    }

    /// Whether the guest may have another call within `limits`: it has let go of what it borrowed and has memory left.
    pub(crate) fn may_continue(&mut self, limits: &Limits) -> bool {
        self.usage.may_continue(limits) && self.table.iter_mut().count() <= MAX_KEPT_HANDLES
    }

    /// The guest, for an import that is not the same for every instance.
    pub(crate) fn beyond(&mut self) -> &mut Self {
        self.beyond = true;
        self
    }

    /// The guest, for a clock: it stands still unless one is granted.
    pub(crate) fn beyond_clock(&mut self) -> &mut Self {
        self.beyond |= self.identity.grants.clock;
        self
    }

    /// The guest, for random numbers: they are always the same ones unless others are granted.
    pub(crate) fn beyond_random(&mut self) -> &mut Self {
        self.beyond |= self.identity.grants.random;
        self
    }

    /// Whether the guest's memory, as it is now, is all there is to its instance, and would be the same in any other that did
    /// the same.
    pub(crate) fn is_all_in_memory(&mut self) -> bool {
        !self.beyond && self.table.iter_mut().next().is_none()
    }

    /// Puts a message before the guest; what comes back is what the guest is told of it.
    pub(crate) fn receive(
        &mut self,
        exchange: &Exchange,
        phase: Phase,
        payload: Shown<'_>,
    ) -> types::Operation {
        static HANDLES: AtomicU64 = AtomicU64::new(1);
        let message = Message {
            handle: HANDLES.fetch_add(1, Ordering::Relaxed),
            exchange: copy(exchange),
            payload: payload.json.clone(),
            may_edit: payload.may_edit,
            edited: false,
            note: exchange.note(&self.identity.name),
            noted: false,
        };
        let operation = operation(message.handle, exchange, phase);
        self.message = Some(message);
        operation
    }

    /// The message that `handle` names.
    ///
    /// # Errors
    /// There is none, or another: the guest kept a handle, or made one up. Ends the guest.
    pub(crate) fn message(&mut self, handle: types::Message) -> wasmtime::Result<&mut Message> {
        self.message
            .as_mut()
            .filter(|message| message.handle == handle)
            .ok_or_else(|| wasmtime::format_err!("used a message that it was not given in this call"))
    }

    /// The message again, after the call.
    pub(crate) fn give_back(&mut self) -> Option<Message> {
        self.message.take()
    }

    /// What is being done; nothing outside of a call.
    pub(crate) fn operation(&self) -> Option<&Operation> {
        self.message.as_ref().map(|message| &message.exchange.operation)
    }

    /// The request id for the log.
    pub(crate) fn request(&self) -> &str {
        self.message.as_ref().map_or("", |message| &message.exchange.operation.id)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| crate::imports::wasi(&self.stdio, &self.identity.grants));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

fn copy(exchange: &Exchange) -> Exchange {
    let mut copy = Exchange::new(exchange.operation.clone());
    copy.client.clone_from(&exchange.client);
    copy.tool.clone_from(&exchange.tool);
    copy.attributes.clone_from(&exchange.attributes);
    copy.sent.clone_from(&exchange.sent);
    copy.failed = exchange.failed;
    copy
}

fn operation(message: types::Message, exchange: &Exchange, phase: Phase) -> types::Operation {
    let operation = &exchange.operation;
    types::Operation {
        message,
        id: operation.id.as_ref().to_owned(),
        event: operation.event.as_ref().to_owned(),
        phase: match phase {
            Phase::Request => types::Phase::Request,
            Phase::Response => types::Phase::Response,
        },
        session: operation.session.as_deref().map(str::to_owned),
        server: operation.server.as_ref().map(|server| server.as_str().to_owned()),
        subject: operation.subject.as_deref().map(str::to_owned),
        principal: Some(operation.principal.as_ref().to_owned()),
    }
}
