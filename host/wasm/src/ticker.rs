//! Advances the engine's epoch while guests run: what CPU budgets and fair yielding are counted in. Once a millisecond while
//! a guest takes long; nearly none does, and until one has met two ticks they come less often. Each wakes a thread, and with a
//! thousand of them a second a busy gateway with one interceptor served a fourteenth less.
//!
//! An own thread, because a guest that never yields must not be able to stop the clock. It sleeps when no guest has run
//! for a while, and ends when the [`Ticker`] is dropped. Now and then it sweeps out what nobody has used for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// The time between ticks while a guest takes long.
const TICK: Duration = Duration::from_millis(1);

/// The time between ticks otherwise.
const LOOK: Duration = Duration::from_millis(4);

/// How long there is no guest before the thread sleeps.
const IDLE: Duration = Duration::from_millis(200);

/// The time between two sweeps.
const SWEEP: Duration = Duration::from_secs(10);

/// How long it sleeps at most while there is something left to sweep.
const NAP: Duration = Duration::from_secs(60);

/// Keeps the clock running.
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

/// While this lives, the clock ticks.
pub(crate) struct Running(Arc<State>);

/// What a guest that takes long says at each tick.
pub(crate) struct Slow(Arc<State>);

#[derive(Default)]
struct State {
    running: AtomicUsize,
    /// Set before the thread sleeps; whoever starts a guest afterwards takes it back and wakes the thread.
    asleep: AtomicBool,
    ended: AtomicBool,
    /// A guest that takes long met the last tick.
    is_slow: AtomicBool,
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

    /// For a guest to say that it takes long.
    pub(crate) fn slow(&self) -> Slow {
        Slow(Arc::clone(&self.state))
    }
}

impl Slow {
    /// A tick met such a guest.
    pub(crate) fn note(&self) {
        self.0.is_slow.store(true, Ordering::Relaxed);
    }
}

impl State {
    /// The time to the next tick.
    fn pause(&self) -> Duration {
        match self.is_slow.swap(false, Ordering::Relaxed) {
            true => TICK,
            false => LOOK,
        }
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
    let (mut idle, mut unswept) = (Duration::ZERO, Duration::ZERO);
    while !state.ended.load(Ordering::SeqCst) {
        let pause = state.pause();
        thread::sleep(pause);
        engine.increment_epoch();
        unswept += pause;
        if unswept >= SWEEP {
            sweep();
            unswept = Duration::ZERO;
        }
        idle = if state.running.load(Ordering::SeqCst) == 0 { idle + pause } else { Duration::ZERO };
        if idle >= IDLE {
            sleep(state, sweep);
            idle = Duration::ZERO;
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

    #[test]
    fn it_goes_faster_as_long_as_guests_take_long() {
        let state = Arc::new(State::default());
        let slow = Slow(Arc::clone(&state));
        assert_eq!(state.pause(), LOOK);
        slow.note();
        assert_eq!(state.pause(), TICK);
        slow.note();
        slow.note();
        assert_eq!([state.pause(), state.pause()], [TICK, LOOK]);
    }

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
