//! Looks after the instances of one server besides the base: ends those nobody has used for a while, keeps spares and the
//! number that is wanted, connects to the other addresses of a remote, and makes room for clients that wait for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use wasmgate_core::catalog::{Instances, Server, Sharing};

use super::further::{Further, REMEMBERED, Stage};
use super::roster::{Roster, Sought};
use super::{Shared, Slot};
use crate::upstream::noise;
use crate::upstream::turns::Client;

/// One look at the instances of a server.
struct Look<'a> {
    slot: &'a Slot,
    server: Arc<Server>,
    now: Instant,
    /// When to look again at the latest.
    next: Instant,
    begin: Vec<Arc<Further>>,
}

impl Slot {
    /// Looks whenever something has changed or is due. Never returns.
    pub(super) async fn keep(self: &Arc<Self>, shared: &Arc<Shared>) -> Infallible {
        loop {
            let next = self.look(shared);
            tokio::select! {
                biased;
                () = self.house.wake.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    fn look(self: &Arc<Self>, shared: &Arc<Shared>) -> Instant {
        let now = Instant::now();
        let mut look =
            Look { slot: self, server: self.server.load_full(), now, next: now + RARELY, begin: Vec::new() };
        if self.stop.is_cancelled() {
            return look.next;
        }
        let short = {
            let roster = &mut *self.roster();
            look.end_idle(roster);
            look.rest_base(roster);
            match roster.sharing {
                Sharing::Shared => look.serve_all(roster),
                Sharing::PerPrincipal | Sharing::PerSession | Sharing::PerCall => look.keep_spares(roster),
            }
            look.make_room(roster);
            look.short(roster)
        };
        look.begin.iter().for_each(|further| self.begin(shared, further));
        self.phase(shared, |phase| std::mem::replace(&mut phase.short, short.clone()) != short);
        look.next
    }
}

impl Look<'_> {
    fn wanted(&self) -> Instances {
        self.server.instances
    }

    fn later(&mut self, at: Instant) {
        self.next = self.next.min(at);
    }

    /// Whether something unused since then has been so for long enough; when not, it is looked at again.
    fn is_due(&mut self, since: Option<Instant>) -> bool {
        let due = since.unwrap_or(self.now) + self.wanted().idle;
        if since.is_some() && due <= self.now {
            return true;
        }
        self.later(due.max(self.now + SOON));
        false
    }

    fn end_idle(&mut self, roster: &mut Roster) {
        let mut live = 1 + roster.free.len() + roster.owned.len();
        // Those that are kept whether or not anybody calls are the ones that came first.
        let kept = if roster.sharing == Sharing::PerPrincipal { self.wanted().min } else { 0 };
        let mut ended = Vec::new();
        for (client, owned) in &roster.owned {
            let stage = owned.further.stage.borrow().clone();
            let is_ended = match stage {
                Stage::Open(ready) => live > kept && self.is_due(ready.calls.idle_since()),
                Stage::Over { again, .. } => {
                    let forgotten = again + REMEMBERED;
                    self.later(forgotten.max(self.now + SOON));
                    forgotten <= self.now
                }
                Stage::Placing | Stage::Opening => false,
            };
            if is_ended {
                live -= 1;
                ended.push(client.clone());
            }
        }
        for client in ended {
            roster.owned.remove(&client).iter().for_each(|owned| owned.further.retire());
        }
    }

    /// A base that a session has used is started afresh when that has not been heard of for a while; one that need not run
    /// (`min: 0`) sleeps when nobody calls.
    fn rest_base(&mut self, roster: &mut Roster) {
        let Some(base) = &roster.base else { return };
        let is_sessions = roster.sharing == Sharing::PerSession && roster.base_owner.is_some();
        let may_sleep = self.wanted().min == 0;
        if !is_sessions && !may_sleep {
            return;
        }
        let idle_since = base.calls.idle_since();
        if self.is_due(idle_since) && (!may_sleep || !self.slot.topics.is_any_wanted()) {
            roster.is_asleep = may_sleep;
            roster.retire_base();
        }
    }

    /// Instances for everybody: one for each address, as many as are to be kept, and another when those there are have as
    /// many calls as they take.
    fn serve_all(&mut self, roster: &mut Roster) {
        let Instances { min, max, .. } = self.wanted();
        let lanes = self.slot.lanes.count();
        roster.shared.retain(|further| !further.is_over());
        let kept = min.max(lanes).min(max.get());
        let vacant = self.slot.lanes.vacant(self.now);
        for further in roster.shared.clone() {
            let Some(ready) = further.ready() else { continue };
            // The address came back that another one stood in for.
            let is_double = !vacant.is_empty() && self.slot.lanes.connections(ready.calls.lane) > 1;
            let is_more = roster.shared.len() + 1 > kept;
            if is_double || (is_more && self.is_due(ready.calls.idle_since())) {
                further.retire();
                roster.shared.retain(|other| !Arc::ptr_eq(other, &further));
            }
        }
        let is_pressed = self.server.max_in_flight.is_some() && self.slot.house.turns.is_wanted();
        let count = roster.shared.len() + 1;
        let lane = vacant.first().copied().filter(|_| lanes > 1);
        let is_opening = roster.shared.iter().any(|further| further.ready().is_none());
        let wants = lane.is_some() || count < min || is_pressed;
        if wants && count < max.get() && !is_opening && self.may_begin(roster) {
            let further = roster.further(&self.sought(&nobody()), lane);
            roster.shared.push(Arc::clone(&further));
            self.begin.push(further);
        }
        if let Some(next) = self.slot.lanes.next_return(self.now) {
            self.later(next);
        }
        if let Some(each) = self.server.max_in_flight {
            self.slot.house.turns.set_limit(each.get().saturating_mul(roster.serving().max(1)));
        }
    }

    /// Instances that nobody has used yet, for the next client, session or call.
    fn keep_spares(&mut self, roster: &mut Roster) {
        let Instances { min, .. } = self.wanted();
        let is_base_free = roster.base_owner.is_none();
        roster.free.retain(|further| !further.is_over());
        let wanted = match roster.sharing {
            Sharing::PerSession => min.saturating_sub(usize::from(is_base_free)),
            Sharing::PerCall => min,
            _ => min.saturating_sub(1 + roster.owned.len()),
        };
        while roster.free.len() > wanted
            && let Some(further) = roster.free.pop()
        {
            further.retire();
        }
        let is_opening = roster.free.iter().any(|further| further.ready().is_none());
        if roster.free.len() < wanted && !is_opening && self.may_begin(roster) {
            let further = roster.further(&self.sought(&nobody()), None);
            roster.free.push(Arc::clone(&further));
            self.begin.push(further);
        }
    }

    /// Whether an instance that nobody asked for may be begun: there is a base, room, and nothing has just failed.
    fn may_begin(&mut self, roster: &Roster) -> bool {
        if let Some((again, _)) = roster.rest.as_ref().filter(|(again, _)| *again > self.now) {
            self.later(*again);
            return false;
        }
        let places = &self.slot.house.places;
        roster.base.is_some() && places.free() > self.begin.len() && !places.is_wanted()
    }

    /// Clients wait for a place: the instance of a principal that has been unused longest gives way. Sessions keep theirs.
    fn make_room(&mut self, roster: &mut Roster) {
        if roster.sharing != Sharing::PerPrincipal || !self.slot.house.places.is_wanted() {
            return;
        }
        let idle = roster.owned.iter().filter_map(|(client, owned)| {
            Some((owned.further.ready()?.calls.idle_since()?, owned.further.number, client.clone()))
        });
        let longest = idle.min_by_key(|(since, number, _)| (*since, *number));
        if let Some((_, _, client)) = longest {
            roster.owned.remove(&client).iter().for_each(|owned| owned.further.retire());
        } else if let Some(base) = &roster.base
            && roster.base_owner.is_some()
            && base.calls.idle_since().is_some_and(|since| since + self.wanted().idle <= self.now)
        {
            roster.retire_base();
        }
    }

    fn sought<'s>(&'s self, client: &'s Client) -> Sought<'s> {
        Sought { client, now: self.now, old: None, is_known: true, stop: &self.slot.stop }
    }

    /// What does not serve though the server does.
    fn short(&mut self, roster: &Roster) -> Option<String> {
        let (out, count) = (self.slot.lanes.out(), self.slot.lanes.count());
        if out > 0 {
            return Some(format!("{out} of its {count} addresses cannot be used; the others serve"));
        }
        let base = roster.base.as_ref()?;
        self.later(base.link.signals().noisy_until(self.now)?);
        Some(noise::in_words())
    }
}

fn nobody() -> Client {
    Client { principal: "".into(), session: None }
}

/// How long it may be until the next look.
const RARELY: Duration = Duration::from_secs(3600);
/// How soon the next look may be.
const SOON: Duration = Duration::from_millis(10);
