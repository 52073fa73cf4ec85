//! Who has which instance of one server. No task, no clock: instants come in, and whoever is told to begin an instance does
//! so elsewhere. An instance that has served one client is never given to another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmgate_core::catalog::Sharing;

use super::base::quarantined;
use super::connection::{Lease, Ready};
use super::further::{Further, Stage};
use crate::upstream::Fault;
use crate::upstream::backoff::{Backoff, Cause, Pause, PauseKind};
use crate::upstream::balance::least_of_two;
use crate::upstream::dice::Dice;
use crate::upstream::handshake::Failure;
use crate::upstream::turns::Client;

/// The instances of one server.
pub(super) struct Roster {
    /// Who shares one, as things are.
    pub(super) sharing: Sharing,
    /// The base, when it can be asked.
    pub(super) base: Option<Arc<Ready>>,
    /// Ends the run of the base there is or was last, also while that cannot be asked.
    pub(super) base_over: Option<CancellationToken>,
    /// Whose the base is. It stays that when it is started again.
    pub(super) base_owner: Option<Client>,
    /// Nobody needs the base for now.
    pub(super) is_asleep: bool,
    /// Those of single clients.
    pub(super) owned: HashMap<Client, Owned>,
    /// Those nobody has used yet.
    pub(super) free: Vec<Arc<Further>>,
    /// Those that everybody uses, besides the base.
    pub(super) shared: Vec<Arc<Further>>,
    /// Failures of instances that are nobody's.
    fresh: Backoff,
    /// None of those is started before then, and why.
    pub(super) rest: Option<(Instant, Fault)>,
    /// Nobody gets another before then, and why: instances keep failing, whoever's they are.
    pub(super) shut: Option<(Instant, Fault)>,
    next: u64,
}

/// A client's instance.
pub(super) struct Owned {
    pub(super) further: Arc<Further>,
    backoff: Backoff,
}

/// Where a call goes.
pub(super) enum Found {
    /// To this instance.
    Lease(Lease),
    /// To this one, once it can be asked.
    Wait(Arc<Further>),
    /// To this one, which is to be begun.
    Begin(Arc<Further>),
    /// Look again once there is a base.
    Base,
    /// Nowhere.
    Gone(Fault),
}

/// What a call looks for.
pub(super) struct Sought<'a> {
    pub(super) client: &'a Client,
    pub(super) now: Instant,
    /// A connection that it does not want again.
    pub(super) old: Option<&'a Arc<Ready>>,
    /// Whether the server has ever told its lists: another instance is worth a try.
    pub(super) is_known: bool,
    /// Ends everything.
    pub(super) stop: &'a CancellationToken,
}

impl Sought<'_> {
    fn wants(&self, ready: &Arc<Ready>) -> bool {
        self.old.is_none_or(|old| !Arc::ptr_eq(old, ready))
    }
}

impl Roster {
    pub(super) fn new(sharing: Sharing) -> Self {
        Self {
            sharing,
            base: None,
            base_over: None,
            base_owner: None,
            is_asleep: false,
            owned: HashMap::new(),
            free: Vec::new(),
            shared: Vec::new(),
            fresh: Backoff::default(),
            rest: None,
            shut: None,
            next: 1,
        }
    }

    /// The base can be asked.
    pub(super) fn base_up(&mut self, ready: &Arc<Ready>, sharing: Sharing) {
        self.base = Some(Arc::clone(ready));
        ready.calls.touch();
        self.sharing = sharing;
        match sharing {
            Sharing::Shared | Sharing::PerCall => self.base_owner = None,
            Sharing::PerPrincipal | Sharing::PerSession if self.base_owner.is_none() => self.give_base(),
            Sharing::PerPrincipal | Sharing::PerSession => {}
        }
        if sharing != Sharing::Shared {
            self.shared.drain(..).for_each(|further| further.retire());
        }
    }

    /// The base is nobody's: who has waited longest for a place has it instead.
    fn give_base(&mut self) {
        let waits = |owned: &Owned| matches!(&*owned.further.stage.borrow(), Stage::Placing);
        let waiting = self.owned.iter().filter(|(_, owned)| waits(owned));
        let Some((client, _)) = waiting.min_by_key(|(_, owned)| owned.further.number) else { return };
        let client = client.clone();
        // Its waiters look again, and find the base.
        self.owned.remove(&client).iter().for_each(|owned| owned.further.retire());
        self.base_owner = Some(client);
    }

    /// The base cannot be asked any more.
    pub(super) fn base_down(&mut self) {
        self.base = None;
    }

    /// How many instances can be asked.
    pub(super) fn serving(&self) -> usize {
        let furthers = self.owned.values().map(|owned| &owned.further).chain(&self.shared);
        usize::from(self.base.is_some()) + furthers.filter(|further| further.ready().is_some()).count()
    }

    /// An instance for a call of whoever has them to themselves.
    pub(super) fn of_client(&mut self, sought: &Sought<'_>) -> Found {
        let is_base_owner = self.base_owner.as_ref() == Some(sought.client);
        if is_base_owner || (self.base_owner.is_none() && !self.owned.contains_key(sought.client)) {
            match &self.base {
                Some(base) if sought.wants(base) => {
                    if !is_base_owner {
                        self.base_owner = Some(sought.client.clone());
                    }
                    return Found::Lease(Lease::of(base));
                }
                _ if is_base_owner || !sought.is_known => return Found::Base,
                _ if self.free.is_empty() => return Found::Base,
                _ => {}
            }
        }
        if let Some(owned) = self.owned.get(sought.client) {
            let stage = owned.further.stage.borrow().clone();
            match stage {
                Stage::Open(ready) if sought.wants(&ready) => return Found::Lease(Lease::of(&ready)),
                Stage::Over { fault, again } if sought.now < again => return Found::Gone(fault),
                Stage::Over { .. } => {}
                Stage::Placing | Stage::Opening | Stage::Open(_) => {
                    return Found::Wait(Arc::clone(&owned.further));
                }
            }
        }
        self.own(sought)
    }

    /// Another instance becomes this client's: a spare, or one that is to be begun.
    fn own(&mut self, sought: &Sought<'_>) -> Found {
        if !sought.is_known {
            return Found::Base;
        }
        if self.owned.len() >= MAX_OWNED {
            self.owned.retain(|_, owned| !owned.further.is_over());
            if self.owned.len() >= MAX_OWNED {
                return Found::Gone(Fault::Busy("too many clients have instances of it".into()));
            }
        }
        let spare = self.spare();
        if let (None, Some((again, fault))) = (&spare, &self.shut)
            && sought.now < *again
        {
            return Found::Gone(fault.clone());
        }
        let backoff = self.owned.remove(sought.client).map(|owned| owned.backoff).unwrap_or_default();
        let is_new = spare.is_none();
        let further = spare.unwrap_or_else(|| self.further(sought, None));
        let owned = Owned { further: Arc::clone(&further), backoff };
        self.owned.insert(sought.client.clone(), owned);
        match further.ready() {
            Some(ready) => Found::Lease(Lease::of(&ready)),
            None if is_new => Found::Begin(further),
            None => Found::Wait(further),
        }
    }

    /// An instance for one call.
    pub(super) fn of_call(&mut self, sought: &Sought<'_>) -> Found {
        if !sought.is_known {
            return Found::Base;
        }
        match (self.spare(), &self.rest) {
            (Some(spare), _) => match spare.ready() {
                Some(ready) => Found::Lease(Lease::only(&ready)),
                None => Found::Wait(spare),
            },
            (None, Some((again, fault))) if sought.now < *again => Found::Gone(fault.clone()),
            (None, _) => Found::Begin(self.further(sought, None)),
        }
    }

    /// An instance for a call of anybody.
    pub(super) fn of_all(&self, sought: &Sought<'_>, dice: &Dice) -> Found {
        let up = |ready: &Arc<Ready>| sought.wants(ready) && ready.is_up();
        if self.shared.is_empty() {
            let base = self.base.as_ref().filter(|base| sought.wants(base));
            return base.map_or(Found::Base, |base| Found::Lease(Lease::of(base)));
        }
        let furthers = self.shared.iter().filter_map(|further| further.ready());
        let candidates: Vec<Arc<Ready>> = self.base.iter().cloned().chain(furthers).filter(up).collect();
        let chosen = least_of_two(&candidates, dice, |ready| ready.calls.in_flight());
        chosen.map_or(Found::Base, |ready| Found::Lease(Lease::of(ready)))
    }

    /// An instance that nobody has used, the one that has come furthest.
    fn spare(&mut self) -> Option<Arc<Further>> {
        self.free.retain(|further| !further.is_over());
        let open = self.free.iter().position(|further| further.ready().is_some());
        (!self.free.is_empty()).then(|| self.free.remove(open.unwrap_or(0)))
    }

    /// Another instance, not begun yet.
    pub(super) fn further(&mut self, sought: &Sought<'_>, lane: Option<usize>) -> Arc<Further> {
        self.next += 1;
        Further::new(self.next, sought.client.clone(), lane, sought.stop.child_token())
    }

    /// An instance failed: what to say of that, and how long nobody starts one in its place.
    pub(super) fn failed(
        &mut self,
        further: &Arc<Further>,
        failure: &Failure,
        now: Instant,
        jitter: f64,
    ) -> (String, Duration) {
        let was_open = further.ready();
        self.free.retain(|other| !Arc::ptr_eq(other, further));
        self.shared.retain(|other| !Arc::ptr_eq(other, further));
        let owner = self.owned.values_mut().find(|owned| Arc::ptr_eq(&owned.further, further));
        // One call's own that ended in the course of it concerns no other.
        let is_fresh = owner.is_none();
        let backoff = owner.map_or(&mut self.fresh, |owned| &mut owned.backoff);
        let cause = Cause::of(failure.code);
        let note = |backoff: &mut Backoff| {
            if let Some(ready) = &was_open {
                backoff.served(now.duration_since(ready.calls.began));
            }
            backoff.failed(cause, now, jitter)
        };
        let Pause { length, kind } = note(backoff);
        let reason = in_words(failure, kind);
        // A client that keeps coming back as another one does not start what keeps failing more often than that.
        let all = match is_fresh {
            true => Some(Pause { length, kind }),
            false if cause == Cause::OutOfMemory || was_open.is_none() => Some(note(&mut self.fresh)),
            false => None,
        };
        if let Some(Pause { length, kind }) = all {
            let rest = Some((now + length, Fault::Unavailable(in_words(failure, kind))));
            if kind != PauseKind::Short {
                self.shut.clone_from(&rest);
            }
            if kind != PauseKind::Short || (is_fresh && was_open.is_none()) {
                self.rest = rest;
            }
        }
        (reason, length)
    }

    /// Nobody waits for it any more, and it has not begun.
    pub(super) fn forget(&mut self, further: &Arc<Further>) {
        self.owned.retain(|_, owned| !Arc::ptr_eq(&owned.further, further));
        self.shared.retain(|other| !Arc::ptr_eq(other, further));
    }

    /// What failed may be tried again at once.
    pub(super) fn pardon(&mut self) {
        self.owned.retain(|_, owned| !owned.further.is_over());
        self.rest = None;
        self.shut = None;
    }

    /// The instances of this session end. Says whether there were any.
    pub(super) fn session_over(&mut self, session: &str) -> bool {
        let is_its = |client: &Client| client.session.as_deref() == Some(session);
        let before = self.owned.len();
        self.owned.retain(|client, owned| {
            if is_its(client) {
                owned.further.retire();
            }
            !is_its(client)
        });
        let has_base = self.base_owner.as_ref().is_some_and(is_its);
        if has_base {
            self.retire_base();
        }
        has_base || self.owned.len() < before
    }

    /// The base is started afresh, and is nobody's until then.
    pub(super) fn retire_base(&mut self) {
        self.base_owner = None;
        self.base = None;
        if let Some(over) = self.base_over.take() {
            over.cancel();
        }
    }
}

fn in_words(failure: &Failure, kind: PauseKind) -> String {
    match kind {
        PauseKind::Quarantine => quarantined(&failure.reason),
        PauseKind::Open => format!("{} (it keeps failing: tried again about once a minute)", failure.reason),
        PauseKind::Short => failure.reason.clone(),
    }
}

/// So many clients have instances, or had one that failed a moment ago.
const MAX_OWNED: usize = 4096;
