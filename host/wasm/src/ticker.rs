//! Advances the engine's epoch once a millisecond while guests run: what CPU budgets and fair yielding are counted in.
//!
//! An own thread, because a guest that never yields must not be able to stop the clock. It sleeps when no guest has run
//! for a while, and ends when the [`Ticker`] is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// One tick.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks without a guest before the thread sleeps.
const IDLE_TICKS: u32 = 200;

/// Keeps the clock running.
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

/// While this lives, the clock ticks.
pub(crate) struct Running(Arc<State>);

#[derive(Default)]
struct State {
    running: AtomicUsize,
    /// Set before the thread sleeps; whoever starts a guest afterwards takes it back and wakes the thread.
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        let thread =
            thread::Builder::new().name("wasm-ticker".into()).spawn(move || tick(&engine, &of_thread))?;
        Ok(Self { state, thread: thread.thread().clone() })
    }

    /// Makes sure that the clock ticks until the value returned is dropped.
    pub(crate) fn run(&self) -> Running {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(Arc::clone(&self.state))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &wasmtime::Engine, state: &State) {
    let mut idle = 0;
    while !state.ended.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        engine.increment_epoch();
        idle = if state.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle >= IDLE_TICKS {
            sleep(state);
            idle = 0;
        }
    }
}

/// Sleeps until a guest starts. Announces the sleep before it looks once more, so that a guest starting in between either
/// is seen here or sees the announcement.
fn sleep(state: &State) {
    state.asleep.store(true, Ordering::SeqCst);
    while state.running.load(Ordering::SeqCst) == 0 && !state.ended.load(Ordering::SeqCst) {
        thread::park();
    }
    state.asleep.store(false, Ordering::SeqCst);
}
