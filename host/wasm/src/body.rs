//! A loaded plugin, whatever its roles: how a call gets an instance and what becomes of the instance afterwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmgate_core::pipeline::{Exchange, StageError};

use crate::call::{Entered, configure, contained, enter};
use crate::engine::Engine;
use crate::guest::{Guest, Identity};
use crate::keep::{Owner, Shelf};
use crate::limits::Limits;
use crate::link::Linked;
use crate::load::Made;

/// A loaded plugin, shared by its roles.
pub(crate) struct Body {
    pub(crate) engine: Engine,
    pub(crate) identity: Arc<Identity>,
    pub(crate) linked: Arc<Linked>,
    /// Whether instances are configured from the start.
    pub(crate) is_preset: bool,
    /// Instances that wait for another call.
    pub(crate) shelf: Arc<Shelf<Entered>>,
    pub(crate) limits: Limits,
    /// What it was made of.
    pub(crate) made: Arc<Made>,
    /// When a call ended last.
    pub(crate) pace: Pace,
}

/// Calls that come faster than this make their own instances: nobody is idle then, and handing work over is work too: one
/// interceptor in fresh memory costs a busy gateway a tenth more otherwise.
const BUSY: Duration = Duration::from_micros(200);

/// How fast calls follow each other.
#[derive(Default)]
pub(crate) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// A call ends. Says whether that is soon after another.
    fn is_busy(&self, now: Instant) -> bool {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        before.is_some_and(|before| now.saturating_duration_since(before) < BUSY)
    }
}

impl Body {
    /// One call of one export within `limits`, in an instance that is configured. It is kept for another call, if the plugin
    /// allows that, only when `work` ended well in every respect.
    pub(crate) async fn call<T>(
        self: &Arc<Self>,
        exchange: &Exchange,
        limits: &Limits,
        work: impl AsyncFnOnce(&mut Entered) -> wasmtime::Result<Result<T, StageError>>,
    ) -> Result<T, StageError> {
        let operation = &exchange.operation;
        let mut output = None;
        let work = async {
            let owner = self.shelf.owner(operation);
            let mut entered = match self.shelf.take(&owner) {
                Some(mut kept) => {
                    kept.renew(limits);
                    output = Some(kept.store.data().stdio.clone());
                    kept
                }
                None => {
                    let guest = Guest::new(&self.engine, &self.identity, limits);
                    output = Some(guest.stdio.clone());
                    let mut fresh = enter(&self.engine, &self.linked, guest).await?;
                    if !self.is_preset {
                        configure(&mut fresh, &self.linked, &self.identity).await?;
                    }
                    fresh
                }
            };
            let answer = work(&mut entered).await?;
            entered.store.data().stdio.log(&self.identity.name, &operation.id);
            if answer.is_ok() {
                self.ended(owner, entered);
            }
            Ok(answer)
        };
        let said = contained(&self.engine, &self.identity, limits, work).await;
        if let (Err(_), Some(output)) = (&said, output) {
            output.log(&self.identity.name, &operation.id);
        }
        said?
    }

    /// What becomes of an instance whose call ended well. One that serves a single call is taken down when the call has gone on,
    /// and another is made then: both take longer than most calls.
    fn ended(self: &Arc<Self>, owner: Owner, mut entered: Entered) {
        if owner != Owner::Nobody {
            if entered.may_continue(&self.limits) {
                self.shelf.put(owner, entered);
            }
            return;
        }
        // Making one that is not configured from the start would run the guest.
        let after = self.engine.inner.after.as_ref().filter(|_| self.is_preset);
        if let Some(after) = after.filter(|_| !self.pace.is_busy(Instant::now())) {
            let body = Arc::clone(self);
            after.run(Box::pin(async move {
                drop(entered);
                body.make_ahead().await;
            }));
        }
    }

    /// Makes the instance of a call to come.
    async fn make_ahead(&self) {
        let guest = Guest::new(&self.engine, &self.identity, &self.limits);
        let made = async {
            let mut fresh = enter(&self.engine, &self.linked, guest).await?;
            fresh.look_up(&self.linked)?;
            Ok(fresh)
        };
        match contained(&self.engine, &self.identity, &self.limits, made).await {
            Ok(fresh) => self.shelf.put(Owner::Nobody, fresh),
            Err(error) => tracing::debug!(plugin = %self.identity.name, %error, "no instance made ahead"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_follow_each_other_closely_are_busy() {
        let (pace, start) = (Pace::default(), Instant::now());
        let after = |us| start + Duration::from_micros(us);
        let busy = [0, 199, 398, 598, 599].map(|us| pace.is_busy(after(us)));
        assert_eq!(busy, [false, true, true, false, true]);
    }
}
