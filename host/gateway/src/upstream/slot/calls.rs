//! From a call to an instance of its server, and its turns there: the instance's own, the server's, everybody's.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};
use wasmgate_core::catalog::{Deadlines, Sharing};
use wasmgate_core::mcp::method;

use super::connection::{Lease, Ready};
use super::further::Stage;
use super::roster::{Found, Sought};
use super::sessions::Lease as Session;
use super::{Shared, Slot};
use crate::shutdown::Tasks;
use crate::upstream::again::Effect;
use crate::upstream::correlator::Patience;
use crate::upstream::link::{Client as Asker, Question};
use crate::upstream::turns::{Client, NoTurn, Turn, Turns};
use crate::upstream::{Answer, Ask, Fault};

/// How long a call may take, waiting included.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    until: Instant,
    deadlines: Deadlines,
}

/// An instance for a call, and its turns there.
struct Seat {
    lease: Lease,
    /// The instance's own, when it has a limit.
    own: Option<Turn>,
    /// The server's and everybody's.
    others: [Turn; 2],
}

impl Seat {
    /// Keeps it for a call whose result flows, or that goes on once its client has answered, and gives it up when the call
    /// is over. The turns of one that waits are given up as soon as it is over at the server: its client may come back
    /// for the outcome much later.
    fn keep_for(self, tasks: &Tasks, session: Option<Session>, answer: Answer) -> Answer {
        let asks = match &answer {
            Answer::Flow(_) => return answer.holding((session, self)),
            Answer::Asks(asks) => asks,
            Answer::Result(_) | Answer::Error(_) => return answer,
        };
        let Self { lease, own, others } = self;
        let parked = lease.ready.calls.park(own.into_iter().chain(others).collect());
        let (over, kept) = (asks.parked.over(), Arc::downgrade(&parked));
        tasks.spawn("upstream-parked", async move {
            over.cancelled().await;
            kept.upgrade().iter().for_each(|parked| parked.release());
        });
        answer.holding((session, lease, parked))
    }
}

/// What became of one attempt.
struct Tried {
    answer: Result<Answer, Fault>,
    /// Where it was made.
    ready: Option<Arc<Ready>>,
    missed: Missed,
}

/// What came of a call.
pub(in crate::upstream) enum Called {
    /// This, for good.
    Answered(Result<Answer, Fault>),
    /// The slot was stopped before the call had an instance: this, unless the server has another slot.
    Stopped(Result<Answer, Fault>),
}

impl Called {
    /// What is said of it when nobody else takes it.
    pub(in crate::upstream) fn into_answer(self) -> Result<Answer, Fault> {
        match self {
            Self::Answered(answer) | Self::Stopped(answer) => answer,
        }
    }
}

/// A request that was not looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missed {
    No,
    /// The session that everybody shares had ended: it is being renewed.
    Base,
    /// A client's own session had: the next request opens another.
    Own,
    /// The address could not be reached, and the server has others.
    Address,
    /// The slot was stopped before there was an instance for it.
    Slot,
}

impl Slot {
    /// Asks the server, waiting for it when it is starting. A request that met the end of its session was not looked
    /// at; it is asked again once when it only reads. One that could not be sent to an address is sent to another. Its
    /// time runs since `began`.
    pub(in crate::upstream) async fn call(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        ask: &Ask,
        began: Instant,
    ) -> Called {
        let deadlines = self.server.load().deadlines;
        let clock = Clock { began, until: began + deadlines.total, deadlines };
        let (mut addresses, mut sessions) = (self.lanes.count(), 1);
        let mut old = None;
        loop {
            let Tried { answer, ready, missed } = self.attempt(shared, ask, (clock, old.as_ref())).await;
            let left = match missed {
                Missed::No => return Called::Answered(answer),
                Missed::Slot => return Called::Stopped(answer),
                Missed::Base | Missed::Own if Effect::of(&ask.method) == Effect::None => &mut sessions,
                Missed::Base | Missed::Own => return Called::Answered(answer),
                Missed::Address => &mut addresses,
            };
            if *left == 0 {
                return Called::Answered(answer);
            }
            *left -= 1;
            old = ready.filter(|_| missed != Missed::Own);
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        ask: &Ask,
        (clock, old): (Clock, Option<&Arc<Ready>>),
    ) -> Tried {
        let seat = match self.seat(shared, ask, (clock, old)).await {
            Ok(seat) => seat,
            Err(fault) => {
                let missed = if self.stop.is_cancelled() { Missed::Slot } else { Missed::No };
                return Tried { answer: Err(fault), ready: None, missed };
            }
        };
        let ready = Arc::clone(&seat.lease.ready);
        let session = ready.session(ask).await;
        let (link, era) = session.as_ref().map_or((&ready.link, &ready.era), Session::connection);
        let sessions = link.sessions_ended();
        let answer = link.ask(era, ask.question(clock)).await;
        let was_not_sent = matches!(answer, Err(Fault::Unavailable(_)));
        let missed = match (link.sessions_ended() != sessions, &session) {
            _ if !was_not_sent => Missed::No,
            (true, None) => Missed::Base,
            (true, Some(_)) => Missed::Own,
            (false, _) if self.lanes.count() > 1 && !ready.is_up() => Missed::Address,
            (false, _) => Missed::No,
        };
        self.note(&ready, &answer);
        Tried {
            answer: answer.map(|answer| seat.keep_for(&shared.tasks, session, answer)),
            ready: Some(ready),
            missed,
        }
    }

    /// Remembers how an address is doing. One that goes out is spoken to anew, when everybody uses it; clients that have
    /// sessions there keep them.
    fn note(&self, ready: &Arc<Ready>, answer: &Result<Answer, Fault>) {
        let lane = ready.calls.lane;
        if self.lanes.count() == 1 {
            return;
        }
        match answer {
            Err(
                Fault::Timeout(_)
                | Fault::Crashed(_)
                | Fault::OutOfMemory
                | Fault::Unavailable(_)
                | Fault::Declined(_),
            ) => {
                if !self.lanes.unanswered(lane, Instant::now()) {
                    return;
                }
                tracing::warn!(server = %self.server.load().name, lane, "an address gives no answers and is left alone");
                let mut roster = self.roster();
                if roster.sharing != Sharing::Shared {
                    return;
                }
                if roster.base.as_ref().is_some_and(|base| base.calls.lane == lane) {
                    roster.retire_base();
                }
                let there = |ready: Option<Arc<Ready>>| ready.is_some_and(|ready| ready.calls.lane == lane);
                for further in roster.shared.extract_if(.., |further| there(further.ready())) {
                    further.retire();
                }
                drop(roster);
                self.house.wake.notify_one();
            }
            _ => self.lanes.answered(lane),
        }
    }

    /// Finds an instance and waits for the call's turns.
    async fn seat(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        ask: &Ask,
        (clock, old): (Clock, Option<&Arc<Ready>>),
    ) -> Result<Seat, Fault> {
        let client = ask.client();
        // Those that everybody uses are chosen when the turn has come.
        let is_shared = self.roster().sharing == Sharing::Shared;
        let early = match is_shared {
            true => Some(self.turn(&client, clock).await?),
            false => None,
        };
        let mut lease = self.lease(shared, ask, (clock, old)).await?;
        let own = match own_turn(&lease, &client, clock).await {
            // It has ended, and never heard of this call.
            Err(Fault::Unavailable(_)) if !self.stop.is_cancelled() => {
                let ended = Arc::clone(&lease.ready);
                drop(lease);
                lease = self.lease(shared, ask, (clock, Some(&ended))).await?;
                own_turn(&lease, &client, clock).await?
            }
            own => own?,
        };
        let servers = match early {
            Some(turn) => turn,
            None => self.turn(&client, clock).await?,
        };
        let everybodys = turn(&shared.turns, &client, clock).await?;
        Ok(Seat { lease, own, others: [servers, everybodys] })
    }

    async fn turn(&self, client: &Client, clock: Clock) -> Result<Turn, Fault> {
        if let Some(turn) = self.house.turns.try_enter() {
            return Ok(turn);
        }
        // Another instance may help, once it is seen that somebody waits.
        let mut entering = pin!(turn(&self.house.turns, client, clock));
        if let Some(entered) = entering.as_mut().now_or_never() {
            return entered;
        }
        self.house.wake.notify_one();
        entering.await
    }

    /// An instance for this call, begun for it when there is none.
    async fn lease(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        ask: &Ask,
        (clock, old): (Clock, Option<&Arc<Ready>>),
    ) -> Result<Lease, Fault> {
        loop {
            let (found, sharing) = self.find(shared, ask, old);
            let further = match found {
                Found::Lease(lease) => return Ok(lease),
                Found::Gone(fault) => return Err(fault),
                Found::Base => {
                    self.ready(clock.deadlines.initialize, old).await?;
                    tokio::task::yield_now().await;
                    continue;
                }
                Found::Wait(further) => further,
                Found::Begin(further) => {
                    self.begin(shared, &further);
                    self.house.wake.notify_one();
                    further
                }
            };
            let is_only = sharing == Sharing::PerCall;
            // Dropped before it has an instance, the call leaves none behind.
            let unused = is_only.then(|| further.over.clone().drop_guard());
            match self.opened(&further, clock.until, old).await? {
                Stage::Open(ready) if is_only => {
                    unused.map(|unused| unused.disarm());
                    return Ok(Lease::only(&ready));
                }
                Stage::Over { fault, .. } if is_only || matches!(fault, Fault::Busy(_)) => return Err(fault),
                // Looked for again, so that it is not ended in between.
                _ => {}
            }
        }
    }

    fn find(&self, shared: &Shared, ask: &Ask, old: Option<&Arc<Ready>>) -> (Found, Sharing) {
        if self.stop.is_cancelled() {
            return (Found::Gone(Fault::Unavailable("it has been removed".into())), Sharing::Shared);
        }
        let mut roster = self.roster();
        let sharing = match roster.sharing {
            // Concerns the server, not an instance that is gone in a moment.
            Sharing::PerCall if &*ask.method == method::SET_LEVEL => Sharing::Shared,
            sharing => sharing,
        };
        let client = match sharing {
            Sharing::PerPrincipal => Client { session: None, ..ask.client() },
            _ => ask.client(),
        };
        let is_known = roster.base.is_some() || self.phase.borrow().offer.is_some();
        let sought = Sought { client: &client, now: Instant::now(), old, is_known, stop: &self.stop };
        let (was_free, spares) = (roster.base_owner.is_none(), roster.free.len());
        let found = match sharing {
            Sharing::Shared => roster.of_all(&sought, &shared.dice),
            Sharing::PerPrincipal | Sharing::PerSession => roster.of_client(&sought),
            Sharing::PerCall => roster.of_call(&sought),
        };
        if (was_free && roster.base_owner.is_some()) || roster.free.len() < spares {
            // It was a spare until now.
            self.house.wake.notify_one();
        }
        (found, sharing)
    }
}

/// The turn at the instance, when it takes only so many at once.
async fn own_turn(lease: &Lease, client: &Client, clock: Clock) -> Result<Option<Turn>, Fault> {
    match &lease.ready.calls.turns {
        Some(turns) => turn(turns, client, clock).await.map(Some),
        None => Ok(None),
    }
}

async fn turn(turns: &Arc<Turns>, client: &Client, clock: Clock) -> Result<Turn, Fault> {
    if let Some(turn) = turns.try_enter() {
        return Ok(turn);
    }
    match timeout_at(clock.until, turns.enter(client)).await {
        Ok(turn) => turn.map_err(Fault::from),
        Err(_) => Err(Fault::Busy("other calls keep it busy".into())),
    }
}

impl From<NoTurn> for Fault {
    fn from(no_turn: NoTurn) -> Self {
        match no_turn {
            NoTurn::Full => Self::Busy("as many calls wait for it as may".into()),
            NoTurn::Over => Self::Unavailable("it has ended".into()),
        }
    }
}

impl Ask {
    fn client(&self) -> Client {
        Client { principal: Arc::clone(&self.principal), session: self.session.clone() }
    }

    fn question(&self, clock: Clock) -> Question<'_> {
        // Waiting counts: the whole began before the server heard of it.
        let mut patience = Patience::new(clock.deadlines, clock.began.into_std());
        patience.renew(Instant::now().into_std());
        Question {
            method: &self.method,
            params: self.params.as_ref(),
            client: Some(Asker {
                facts: &self.client,
                principal: Some(&self.principal),
                appetite: Some(&self.appetite),
            }),
            events: Some(self.events.clone()),
            patience,
        }
    }
}
