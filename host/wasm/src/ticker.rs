//! Advances the engine's epoch once a millisecond while guests run: what CPU budgets and fair yielding are counted in.
//!
//! An own thread, because a guest that never yields must not be able to stop the clock. It sleeps when no guest has run
//! for a while, and ends when the [`Ticker`] is dropped. Now and then it sweeps out what nobody has used for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// One tick.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks without a guest before the thread sleeps.
const IDLE_TICKS: u32 = 200;

/// How many ticks between two sweeps.
const SWEEP_TICKS: u32 = 10_000;

/// How long it sleeps at most while there is something left to sweep.
const NAP: Duration = Duration::from_secs(60);

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
    /// Starts the thread. `sweep` says whether it has to come again.
    pub(crate) fn start(
        engine: wasmtime::Engine,
        sweep: impl Fn() -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        let run = move || tick(&engine, &of_thread, &sweep);
        let thread = thread::Builder::new().name("wasm-ticker".into()).spawn(run)?;
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

fn tick(engine: &wasmtime::Engine, state: &State, sweep: &dyn Fn() -> bool) {
    let (mut idle, mut ticks) = (0, 0_u32);
    while !state.ended.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        engine.increment_epoch();
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(SWEEP_TICKS) {
            sweep();
        }
        idle = if state.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle >= IDLE_TICKS {
            sleep(state, sweep);
            idle = 0;
        }
    }
}

/// Sleeps until a guest runs. Announces the sleep before each look, so that a guest starting in between either is seen here
/// or sees the announcement; a guest that came and went takes the announcement with it, so it is made anew.
fn sleep(state: &State, sweep: &dyn Fn() -> bool) {
    loop {
        state.asleep.store(true, Ordering::SeqCst);
        if state.running.load(Ordering::SeqCst) != 0 || state.ended.load(Ordering::SeqCst) {
            break;
        }
        match sweep() {
            true => thread::park_timeout(NAP),
            false => thread::park(),
        }
    }
    state.asleep.store(false, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    /// Guests that come and go faster than the clock wakes up do not leave it asleep: whoever comes later finds it running.
    #[test]
    fn it_wakes_up_however_short_the_guests_before_were() {
        let naps = Arc::new(AtomicU32::new(0));
        let of_thread = Arc::clone(&naps);
        let state = Arc::new(State::default());
        let (seen, came) = (Arc::clone(&state), Arc::clone(&naps));
        // The first sweep is where it is about to sleep: there a guest comes and goes.
        let sweep = move || {
            if came.fetch_add(1, Ordering::SeqCst) == 0 {
                assert!(seen.asleep.swap(false, Ordering::SeqCst));
                thread::current().unpark();
            }
            false
        };
        let sleeping = Arc::clone(&state);
        let thread = thread::spawn(move || sleep(&sleeping, &sweep));
        while of_thread.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
        // It sleeps again, and says so to the next guest.
        state.running.fetch_add(1, Ordering::SeqCst);
        assert!(state.asleep.swap(false, Ordering::SeqCst));
        thread.thread().unpark();
        thread.join().unwrap();
    }
}
