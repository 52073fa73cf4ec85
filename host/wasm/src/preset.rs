//! Configured once for all instances: a component whose memory is, from the start, what `configure` left of it. For plugins
//! that get fresh memory for each call, and would be configured in each call otherwise.
//!
//! wasmtime's wizer makes it: the component is compiled with everything it keeps made readable, an instance is configured
//! and read, and what was read is written into the component, which is compiled as any other. Whatever does not lend itself
//! is configured in every instance, as without this: a component that wizer does not take, one that holds a handle when it is
//! configured, one that was told something that another instance, or another day, would not be told, one that is large.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Type, WasmList};
use wasmtime::error::Context as _;
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::call::{Entered, configure, contained, enter};
use crate::compile::compile;
use crate::engine::Engine;
use crate::guest::{Guest, Identity};
use crate::limits::Limits;
use crate::link::{Linked, link};

/// Bytes of a component, and of its memory when it is configured. Beyond that, compiling it twice more takes longer than
/// many a call is worth, and so does a start that loads it.
const MAX_BYTES: usize = 4 << 20;
const MAX_MEMORY: usize = 8 << 20;

/// The instance that wizer adds to a component, with a function for each thing to be read.
const ACCESS: &str = "wasmtime:wizer/access";

/// The component of `bytes` with `identity`'s configuration behind it, or nothing where that cannot be.
///
/// Compiles twice, as [`compile`] does once.
pub(crate) async fn preset(
    engine: &Engine,
    identity: &Arc<Identity>,
    limits: &Limits,
    bytes: Bytes,
) -> Option<Arc<Linked>> {
    match made(engine, identity, limits, bytes).await {
        Ok(linked) => Some(Arc::new(linked)),
        Err(error) => {
            tracing::debug!(plugin = %identity.name, why = %format_args!("{error:#}"), "configured in every call");
            None
        }
    }
}

async fn made(
    engine: &Engine,
    identity: &Arc<Identity>,
    limits: &Limits,
    bytes: Bytes,
) -> wasmtime::Result<Linked> {
    if bytes.len() > MAX_BYTES {
        wasmtime::bail!("more than {MAX_BYTES} bytes");
    }
    let original = bytes.clone();
    let readable = aside(move || Ok(wizer().instrument_component(&original)?.1)).await?;
    let readable = link(engine, &compile(engine, readable.into()).await?.component)?;
    let work = async {
        let mut entered = enter(engine, &readable, Guest::new(engine, identity, limits)).await?;
        configure(&mut entered, &readable, identity).await?;
        if !entered.store.data_mut().is_all_in_memory() {
            wasmtime::bail!("holds a handle, or has used what is not the same for every instance");
        }
        if entered.store.data().usage.memory() > MAX_MEMORY {
            wasmtime::bail!("more than {MAX_MEMORY} bytes of memory");
        }
        read(&mut entered, &readable).await
    };
    let mut state = contained(engine, identity, limits, work).await?;
    let component = aside(move || {
        // The same component and the same wizer: the same functions have been added to it.
        let (context, _) = wizer().instrument_component(&bytes)?;
        let component = wizer().snapshot_component(&context, &mut state).now_or_never();
        component.context("wizer waits for something")?
    });
    let linked = link(engine, &compile(engine, component.await?.into()).await?.component)?;
    // Once, before calls rely on it.
    let work = enter(engine, &linked, Guest::new(engine, identity, limits));
    contained(engine, identity, limits, work).await?;
    Ok(linked)
}

fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    wizer
}

/// On a thread that may be busy for a while; it also holds whatever makes wizer, which is meant for one's own components, panic.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> wasmtime::Result<T> + Send + 'static,
) -> wasmtime::Result<T> {
    tokio::task::spawn_blocking(work).await.context("wizer failed")?
}

/// Everything that a configured instance keeps, by the function that tells it.
#[derive(Default)]
struct State {
    memories: HashMap<String, Vec<u8>>,
    i32s: HashMap<String, i32>,
    i64s: HashMap<String, i64>,
    f32s: HashMap<String, f32>,
    f64s: HashMap<String, f64>,
}

async fn read(entered: &mut Entered, readable: &Linked) -> wasmtime::Result<State> {
    let mut state = State::default();
    let Entered { store, instance, .. } = entered;
    let engine = store.engine().clone();
    let all = readable.pre.component().component_type();
    let Some(ComponentItem::ComponentInstance(access)) = all.get_export(&engine, ACCESS).map(|it| it.ty)
    else {
        wasmtime::bail!("nothing was made readable");
    };
    for (name, function) in access.exports(&engine) {
        let ComponentItem::ComponentFunc(function) = function.ty else { continue };
        let name = name.to_owned();
        match function.results().next() {
            Some(Type::List(_)) => {
                let list: WasmList<u8> = told(store, instance, &name).await?;
                state.memories.insert(name, list.as_le_slice(&*store).to_vec());
            }
            Some(Type::S32) => drop(state.i32s.insert(name.clone(), told(store, instance, &name).await?)),
            Some(Type::S64) => drop(state.i64s.insert(name.clone(), told(store, instance, &name).await?)),
            Some(Type::Float32) => drop(state.f32s.insert(name.clone(), told(store, instance, &name).await?)),
            Some(Type::Float64) => drop(state.f64s.insert(name.clone(), told(store, instance, &name).await?)),
            _ => wasmtime::bail!("`{name}` is of an unknown type"),
        }
    }
    Ok(state)
}

/// What one of the functions of [`ACCESS`] answers.
async fn told<R>(store: &mut Store<Guest>, instance: &Instance, function: &str) -> wasmtime::Result<R>
where
    (R,): ComponentNamedList + Lift + 'static,
{
    let missing = || format!("`{function}` is not there");
    let (_, access) = instance.get_export(&mut *store, None, ACCESS).with_context(missing)?;
    let (_, function) = instance.get_export(&mut *store, Some(&access), function).with_context(missing)?;
    let typed = instance.get_typed_func::<(), (R,)>(&mut *store, function)?;
    Ok(typed.call_async(&mut *store, ()).await?.0)
}

/// Wizer asks only for what it made readable, all of which was read.
impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(&mut self, _: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        contents(self.memories.get(func).map_or(&[], Vec::as_slice));
    }

    async fn call_func_ret_s32(&mut self, _: &str, func: &str) -> i32 {
        self.i32s.get(func).copied().unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, _: &str, func: &str) -> i64 {
        self.i64s.get(func).copied().unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, _: &str, func: &str) -> u32 {
        self.f32s.get(func).copied().unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, _: &str, func: &str) -> u64 {
        self.f64s.get(func).copied().unwrap_or_default().to_bits()
    }
}
