//! The guard around every stage, whatever it is made of: a panic stays in its call, a stage that keeps failing is left
//! alone for a while ([`super::circuit`]), and what it costs is counted.
//!
//! A refused call is a failure of the stage like any other, so the stage's own fail policy says what becomes of the
//! message.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt as _;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{
    Exchange, FilterFuture, ListItem, Mode, Phase, ReconfigureFuture, Stage, StageError, StageFuture,
    StageInfo,
};

use super::circuit::{Admission, Change, Circuit, Ended, PAUSE};

/// A stage and its guard.
pub struct Guarded {
    inner: Arc<dyn Stage>,
    circuits: Circuits,
    counts: Counts,
}

/// One for each thing a stage does: what it makes of answers says nothing about what it makes of requests, and both come
/// in turn.
#[derive(Default)]
struct Circuits {
    requests: Mutex<Circuit>,
    responses: Mutex<Circuit>,
    lists: Mutex<Circuit>,
}

impl Circuits {
    const fn of(&self, phase: Phase) -> &Mutex<Circuit> {
        match phase {
            Phase::Request => &self.requests,
            Phase::Response => &self.responses,
        }
    }
}

/// What a stage has done since it was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that ran.
    pub calls: u64,
    /// Of those, the ones that failed.
    pub failures: u64,
    /// Calls that did not run because the circuit was open.
    pub refusals: u64,
    /// Time in calls that ran, in microseconds.
    pub micros: u64,
}

#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    failures: AtomicU64,
    refusals: AtomicU64,
    micros: AtomicU64,
}

impl Guarded {
    /// Guards a stage.
    pub fn new(inner: Arc<dyn Stage>) -> Self {
        Self { inner, circuits: Circuits::default(), counts: Counts::default() }
    }

    /// What the stage has done so far.
    pub fn figures(&self) -> Figures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { calls, failures, refusals, micros } = &self.counts;
        Figures {
            calls: read(calls),
            failures: read(failures),
            refusals: read(refusals),
            micros: read(micros),
        }
    }

    /// Runs one call of the stage, or refuses it.
    async fn pass<T>(
        &self,
        circuit: &Mutex<Circuit>,
        exchange: &Exchange,
        call: impl Future<Output = Result<T, StageError>>,
    ) -> Result<T, StageError> {
        let started = Instant::now();
        let admission = locked(circuit).admit(started);
        if admission == Admission::Refuse {
            add(&self.counts.refusals, 1);
            let words =
                format!("circuit is open: it kept failing and is tried again within {} s", PAUSE.as_secs());
            return Err(StageError::Failed(words));
        }
        // Tells the circuit in any case, also when nobody waits for the call any more.
        let mut told = Told { guard: self, circuit, admission, ended: Ended::Unknown };
        let answer = AssertUnwindSafe(call).catch_unwind().await;
        let answer = answer.unwrap_or_else(|_| Err(StageError::Failed("panicked".to_owned())));
        told.ended = if answer.is_ok() { Ended::Well } else { Ended::Badly };
        if let Err(error) = &answer {
            self.explain(exchange, error);
        }
        add(&self.counts.calls, 1);
        add(&self.counts.failures, u64::from(answer.is_err()));
        add(&self.counts.micros, u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        answer
    }

    /// The client is told only which interceptor failed. Where the message passes all the same the pipeline remarks it.
    fn explain(&self, exchange: &Exchange, error: &StageError) {
        let info = self.inner.info();
        if info.mode == Mode::Enforce && !info.fail_open {
            let (interceptor, request) = (&*info.name, &*exchange.operation.id);
            tracing::warn!(interceptor, request, %error, "interceptor failed");
        }
    }

    fn settle(&self, circuit: &Mutex<Circuit>, admission: Admission, ended: Ended) {
        let change = locked(circuit).settle(admission, ended, Instant::now());
        let interceptor = &*self.inner.info().name;
        match change {
            Some(Change::Opened) => {
                let seconds = PAUSE.as_secs();
                tracing::warn!(
                    interceptor,
                    seconds,
                    "interceptor keeps failing and is left alone for a while"
                );
            }
            Some(Change::Closed) => tracing::warn!(interceptor, "interceptor works again"),
            None => {}
        }
    }
}

impl Stage for Guarded {
    fn info(&self) -> &StageInfo {
        self.inner.info()
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a> {
        // The inner future is made inside, where a panic is caught.
        let circuit = self.circuits.of(phase);
        Box::pin(self.pass(circuit, exchange, async move { self.inner.run(exchange, phase, payload).await }))
    }

    fn filter<'a>(&'a self, exchange: &'a Exchange, items: &'a [ListItem]) -> FilterFuture<'a> {
        let circuit = &self.circuits.lists;
        Box::pin(self.pass(circuit, exchange, async move { self.inner.filter(exchange, items).await }))
    }

    fn reconfigured(&self, config: Json) -> ReconfigureFuture<'_> {
        Box::pin(async move {
            let made = AssertUnwindSafe(async { self.inner.reconfigured(config).await }).catch_unwind().await;
            let stage = made.unwrap_or_else(|_| Err("panicked".to_owned()))?;
            Ok(Arc::new(Self::new(stage)) as Arc<dyn Stage>)
        })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Figures { calls, failures, refusals, micros } = self.figures();
        if calls > 0 || refusals > 0 {
            let interceptor = &*self.inner.info().name;
            tracing::debug!(interceptor, calls, failures, refusals, micros, "interceptor ended");
        }
    }
}

/// Tells the circuit how a call ended.
struct Told<'a> {
    guard: &'a Guarded,
    circuit: &'a Mutex<Circuit>,
    admission: Admission,
    ended: Ended,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.guard.settle(self.circuit, self.admission, self.ended);
    }
}

fn locked(circuit: &Mutex<Circuit>) -> std::sync::MutexGuard<'_, Circuit> {
    circuit.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use wasmgate_core::pipeline::{Kind, StageAnswer};

    use super::*;
    use crate::interceptors::samples::{exchange, info};

    /// Does the next of a list of things at every call: `+` answers, `-` fails, `!` panics, `~` never ends.
    struct Scripted(StageInfo, &'static str, AtomicUsize);

    impl Scripted {
        fn guarded(script: &'static str) -> Guarded {
            Guarded::new(Arc::new(Self(info("scripted", Kind::Mutator), script, AtomicUsize::new(0))))
        }
    }

    impl Stage for Scripted {
        fn info(&self) -> &StageInfo {
            &self.0
        }

        fn run<'a>(&'a self, _: &'a Exchange, _: Phase, _: &'a Json) -> StageFuture<'a> {
            match self.1.as_bytes()[self.2.fetch_add(1, Ordering::Relaxed)] {
                b'+' => Box::pin(async { Ok(StageAnswer::Unchanged) }),
                b'-' => Box::pin(async { Err(StageError::Failed("on purpose".into())) }),
                b'~' => Box::pin(std::future::pending()),
                _ => panic!("on purpose"),
            }
        }
    }

    fn ask(stage: &Guarded) -> Option<Result<StageAnswer, StageError>> {
        let (exchange, payload) = (exchange("tools/call"), Json::empty_object());
        stage.run(&exchange, Phase::Request, &payload).now_or_never()
    }

    #[test]
    fn a_panic_is_a_failure_of_its_call() {
        let stage = Scripted::guarded("!+");
        assert_eq!(ask(&stage).unwrap().unwrap_err().to_string(), "failed: panicked");
        assert!(matches!(ask(&stage), Some(Ok(StageAnswer::Unchanged))));
        let Figures { calls, failures, refusals, .. } = stage.figures();
        assert_eq!((calls, failures, refusals), (2, 1, 0));
    }

    #[test]
    fn a_stage_that_keeps_failing_is_not_run() {
        let stage = Scripted::guarded("-----+");
        for _ in 0..5 {
            assert_eq!(ask(&stage).unwrap().unwrap_err().to_string(), "failed: on purpose");
        }
        let refused = ask(&stage).unwrap().unwrap_err().to_string();
        assert!(refused.contains("circuit is open"), "{refused}");
        let Figures { calls, failures, refusals, .. } = stage.figures();
        assert_eq!((calls, failures, refusals), (5, 5, 1));
    }

    #[test]
    fn what_answers_pass_does_not_excuse_what_requests_fail() {
        let stage = Scripted::guarded("-+-+-+-+-++");
        let (exchange, payload) = (exchange("tools/call"), Json::empty_object());
        let run = |phase| stage.run(&exchange, phase, &payload).now_or_never().unwrap();
        for _ in 0..5 {
            assert!(run(Phase::Request).is_err());
            assert!(run(Phase::Response).is_ok());
        }
        assert!(run(Phase::Request).unwrap_err().to_string().contains("circuit is open"));
        assert!(run(Phase::Response).is_ok());
    }

    #[test]
    fn a_call_that_is_given_up_counts_for_nothing() {
        let stage = Scripted::guarded("----~-+");
        for _ in 0..4 {
            ask(&stage);
        }
        assert!(ask(&stage).is_none());
        assert!(ask(&stage).unwrap().is_err());
        assert!(ask(&stage).unwrap().unwrap_err().to_string().contains("circuit is open"));
    }
}
