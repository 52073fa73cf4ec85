//! One call of one plugin, from a fresh store, or one that was kept, to its end.
//!
//! Whatever the guest does (trap, loop, allocate, answer nonsense) or a host function does (panic), the outcome is a
//! value of [`StageError`], and everything the guest had is dropped. Dropping the future is the same as a time-out: the
//! guest's stack is unwound, its store goes. Only an instance whose call ended well may serve another one, if its plugin
//! allows that at all.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use wasmgate_core::pipeline::StageError;
use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::mutates::Mutates;
use crate::bindings::validates::Validates;
use crate::engine::Engine;
use crate::guest::{Guest, Identity};
use crate::limits::{Exceeded, HOSTCALL_FUEL, Limits, MAX_CALLS, MAX_HANDLES, WALL};
use crate::link::Linked;
use crate::text::printable;

/// Bytes of a failure's description.
const MAX_WORDS: usize = 300;

/// An instance in its own store.
pub(crate) struct Entered {
    pub(crate) store: Store<Guest>,
    pub(crate) instance: Instance,
    /// Its exports, once they were called: looking them up and checking their types again takes longer than many a call.
    pub(crate) validates: Option<Validates>,
    pub(crate) mutates: Option<Mutates>,
    /// Calls it has served.
    calls: u32,
}

impl Entered {
    /// Looks its exports up, as its first call would.
    pub(crate) fn look_up(&mut self, linked: &Linked) -> wasmtime::Result<()> {
        let Self { store, instance, .. } = self;
        self.validates = linked.validates.as_ref().map(|it| it.load(&mut *store, &*instance)).transpose()?;
        self.mutates = linked.mutates.as_ref().map(|it| it.load(&mut *store, &*instance)).transpose()?;
        Ok(())
    }

    /// Another call begins.
    pub(crate) fn renew(&mut self, limits: &Limits) {
        self.store.data_mut().renew(limits);
        self.store.set_epoch_deadline(1);
    }

    /// Whether it may serve another call after this one, which ended well.
    pub(crate) fn may_continue(&mut self, limits: &Limits) -> bool {
        self.calls += 1;
        self.calls < MAX_CALLS && self.store.data_mut().may_continue(limits)
    }
}

/// Makes a fresh instance; nothing of the guest has run but its start function.
pub(crate) async fn enter(engine: &Engine, linked: &Linked, guest: Guest) -> wasmtime::Result<Entered> {
    let mut store = Store::new(&engine.inner.wasmtime, guest);
    store.limiter(|guest| &mut guest.usage);
    let copied = HOSTCALL_FUEL.max(store.data().usage.output_left());
    store.set_hostcall_fuel(copied);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    // Each tick the guest has had its turn: it pays, and others of this worker thread get theirs.
    let slow = engine.inner.ticker.slow();
    store.epoch_deadline_callback(move |mut store| {
        if store.data_mut().usage.meet_tick()? {
            slow.note();
        }
        Ok(UpdateDeadline::Yield(1))
    });
    let instance = linked.pre.instantiate_async(&mut store).await?;
    Ok(Entered { store, instance, validates: None, mutates: None, calls: 0 })
}

/// Tells an instance its configuration, which every instance is told once.
pub(crate) async fn configure(
    entered: &mut Entered,
    linked: &Linked,
    identity: &Identity,
) -> wasmtime::Result<()> {
    let exports = linked.describes.load(&mut entered.store, &entered.instance)?;
    let plugin = exports.wasmgate_plugin_plugin();
    let accepted = plugin.call_configure(&mut entered.store, &identity.config_text).await?;
    entered.store.data_mut().usage.note_configured();
    accepted.map(|_hooks| ()).map_err(|_problems| {
        wasmtime::format_err!("refused the configuration that it accepted when it was loaded")
    })
}

/// Runs `work`, which enters a guest, once there is room for it and within the limits of time, and turns whatever goes wrong into a [`StageError`].
pub(crate) async fn contained<T>(
    engine: &Engine,
    identity: &Identity,
    limits: &Limits,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, StageError> {
    let work = async {
        let _turn = identity.turns.acquire().await?;
        let _slot = engine.inner.slots.acquire().await?;
        let _running = engine.inner.ticker.run();
        work.await
    };
    match AssertUnwindSafe(tokio::time::timeout(limits.wall, work)).catch_unwind().await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(failure(&error)),
        Ok(Err(_elapsed)) => Err(StageError::Exceeded(WALL.0)),
        Err(_panic) => Err(StageError::Failed("the host failed while it served the plugin".into())),
    }
}

/// What ended a guest, without the guest's own backtrace.
fn failure(error: &wasmtime::Error) -> StageError {
    match error.chain().find_map(|cause| cause.downcast_ref::<Exceeded>()) {
        Some(Exceeded(what)) => StageError::Exceeded(what),
        None => StageError::Failed(printable(&error.root_cause().to_string(), MAX_WORDS)),
    }
}
