//! One engine a process: the settings everything runs under, the pool of memories, the clock, and compiled code.
//!
//! The settings and why: untrusted guests get no optional WebAssembly proposal that nobody needs, every loop can be
//! interrupted, and fresh memory comes out of a pool, which costs microseconds where the kernel can
//! list touched pages (Linux 6.7).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

use crate::cache::Cache;
use crate::call::Entered;
use crate::compile::{Compiled, Digest};
use crate::entries::Stores;
use crate::guest::Guest;
use crate::keep::{MAX_KEPT, Shelves};
use crate::later::{After, Later};
use crate::limits::{MAX_INSTANCES, MAX_MEMORIES, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::link;
use crate::marks::Marks;
use crate::outbound::Outbound;
use crate::ticker::Ticker;

/// How many calls may be inside guests at once, over all plugins.
const SLOTS: u32 = 256;

/// Native stack for a guest and the host functions it calls; the guest may use the first part. Overflowing the rest
/// would abort the process.
const WASM_STACK: usize = 512 << 10;
const ASYNC_STACK: usize = 2 << 20;

/// Bytes of a memory, of a table and of a stack that stay mapped between calls, cleared by hand, where the kernel can say which pages
/// were touched; without that, keeping them is slower than giving them back. Nobody says that of a stack: all of what stays is cleared
/// after every call, so it is what most calls need and no more.
const KEEP_MEMORY: usize = 1 << 20;
const KEEP_TABLE: usize = 64 << 10;
const KEEP_STACK: usize = 16 << 10;

/// What an operator decides about the engine.
#[derive(Clone, Default)]
pub struct EngineSettings {
    /// Where compiled plugins are kept between runs; nowhere when absent. Created with mode 0700; a directory that others
    /// can write to, or own, is not used.
    pub cache: Option<PathBuf>,
    /// How plugins that are granted origins reach them; nobody reaches anything when absent.
    pub outbound: Option<Arc<dyn Outbound>>,
    /// Who makes fresh instances ahead of the calls that get them; each call makes its own when absent.
    pub later: Option<Arc<dyn Later>>,
}

/// The engine could not be built.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused its settings on this machine.
    #[error("the WebAssembly engine could not be started")]
    Wasmtime(#[source] wasmtime::Error),
    /// No thread for the clock.
    #[error("the WebAssembly engine's clock could not be started")]
    Clock(#[source] std::io::Error),
}

/// A handle to the process's engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) ticker: Ticker,
    /// Calls that may still enter guests.
    pub(crate) slots: Semaphore,
    /// Compilation is one at a time: it can use any amount of memory.
    pub(crate) compiling: Arc<Semaphore>,
    pub(crate) cache: Option<Cache>,
    pub(crate) compiled: Mutex<HashMap<Digest, Weak<Compiled>>>,
    pub(crate) linker: Linker<Guest>,
    /// Instances that wait for another call.
    pub(crate) shelves: Arc<Shelves<Entered>>,
    /// How plugins reach the network; not at all when absent.
    pub(crate) outbound: Option<Arc<dyn Outbound>>,
    /// What no call has to wait for; nowhere to leave it when absent.
    pub(crate) after: Option<After>,
    /// What plugins keep between calls.
    pub(crate) stores: Stores,
    /// What plugins mark sessions with.
    pub(crate) marks: Marks,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("cache", &self.inner.cache).finish_non_exhaustive()
    }
}

impl Engine {
    /// Builds the engine. A cache directory that cannot be used is only a warning.
    ///
    /// # Errors
    /// [`EngineError`] when this machine cannot run guests at all.
    pub fn new(settings: EngineSettings) -> Result<Self, EngineError> {
        let wasmtime = wasmtime().map_err(EngineError::Wasmtime)?;
        let shelves = Shelves::new();
        let swept = Arc::clone(&shelves);
        let sweep = move || swept.sweep(Instant::now());
        let ticker = Ticker::start(wasmtime.clone(), sweep).map_err(EngineError::Clock)?;
        let cache = settings.cache.and_then(|dir| {
            Cache::open(&dir, &wasmtime)
                .inspect_err(
                    |error| tracing::warn!(dir = %dir.display(), %error, "no cache for compiled plugins"),
                )
                .ok()
        });
        let inner = Inner {
            ticker,
            slots: Semaphore::new(SLOTS as usize),
            compiling: Arc::new(Semaphore::new(1)),
            cache,
            compiled: Mutex::default(),
            linker: link::linker(&wasmtime).map_err(EngineError::Wasmtime)?,
            shelves,
            outbound: settings.outbound,
            after: settings.later.map(After::new),
            stores: Stores::default(),
            marks: Marks::default(),
            wasmtime,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// The pool reserves terabytes of address space; where that is not to be had, memory is mapped per call.
fn wasmtime() -> wasmtime::Result<wasmtime::Engine> {
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    wasmtime::Engine::new(&config).or_else(|error| {
        tracing::warn!(error = %error.root_cause(), "no pool of plugin memories: calls of plugins are slower");
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        wasmtime::Engine::new(&config)
    })
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .async_stack_zeroing(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_multi_memory(true);
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let live = SLOTS + MAX_KEPT;
    pool.total_component_instances(live)
        .total_core_instances(live * MAX_INSTANCES)
        .total_memories(live * MAX_MEMORIES)
        .total_tables(live * MAX_TABLES)
        .total_stacks(SLOTS)
        .max_core_instances_per_component(MAX_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(MAX_MEMORY_BYTES)
        .pagemap_scan(Enabled::Auto);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.table_keep_resident(KEEP_TABLE)
            .linear_memory_keep_resident(KEEP_MEMORY)
            .async_stack_keep_resident(KEEP_STACK);
    }
    pool
}
