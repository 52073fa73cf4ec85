//! How the clients' calls share a connection: in turns, when the server takes only so many at once, and in sessions of a
//! client's own, when it may be asked something.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use wasmgate_core::catalog::{Deadlines, Server};
use wasmgate_core::mcp::MAY_ASK;

use super::sessions::{Lease, Sessions};
use super::{Ready, Shared, Slot};
use crate::upstream::correlator::Patience;
use crate::upstream::declared::Declared;
use crate::upstream::era::Era;
use crate::upstream::link::{Client, Link, Question};
use crate::upstream::pool::Clients;
use crate::upstream::{Answer, Ask, Fault};

/// What the calls on one connection share besides it.
pub(super) struct Calls {
    turns: Option<Arc<Semaphore>>,
    pub(super) sessions: Sessions,
}

/// A request that was not looked at, because its session had ended.
enum Missed {
    No,
    /// The session that everybody shares: it is being renewed.
    Base,
    /// A client's own: the next request opens another.
    Own,
}

impl Calls {
    pub(super) fn new(server: &Arc<Server>, shared: &Arc<Shared>) -> Self {
        let turns = server.max_in_flight.map(|most| Arc::new(Semaphore::new(most.get())));
        Self { turns, sessions: Sessions::new(Arc::clone(server), Arc::clone(shared)) }
    }

    /// Waits for a turn, first come, first served.
    async fn turn(&self, limit: Duration) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        let Some(turns) = &self.turns else { return Ok(None) };
        match timeout(limit, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Some(turn)),
            Ok(Err(_)) => Err(Fault::Unavailable("it has ended".into())),
            Err(_) => Err(Fault::Unavailable("other requests keep it busy".into())),
        }
    }

    /// The connection is over: nobody waits any longer.
    pub(super) fn close(&self) {
        self.turns.iter().for_each(|turns| turns.close());
    }
}

impl Slot {
    /// Asks the server, waiting for it when it is starting. A request that met the end of its session was not looked
    /// at; it is asked again once when it only reads.
    pub(in crate::upstream) async fn call(&self, ask: Ask) -> Result<Answer, Fault> {
        let limit = self.server.load().deadlines.initialize;
        let ready = self.ready(limit, None).await?;
        let (answer, missed) = self.attempt(&ready, &ask).await;
        if !READING.contains(&&*ask.method) {
            return answer;
        }
        let ready = match missed {
            Missed::No => return answer,
            Missed::Own => ready,
            Missed::Base => self.ready(limit, Some(&ready)).await?,
        };
        self.attempt(&ready, &ask).await.0
    }

    async fn attempt(&self, ready: &Ready, ask: &Ask) -> (Result<Answer, Fault>, Missed) {
        let deadlines = self.server.load().deadlines;
        let turn = match ready.calls.turn(deadlines.total).await {
            Ok(turn) => turn,
            Err(fault) => return (Err(fault), Missed::No),
        };
        let lease = ready.lease(ask).await;
        let (link, era) = lease.as_ref().map_or((&ready.link, &ready.era), Lease::connection);
        let sessions = link.sessions_ended();
        let answer = link.ask(era, ask.question(deadlines)).await;
        let is_over = matches!(answer, Err(Fault::Unavailable(_))) && link.sessions_ended() != sessions;
        let missed = match (is_over, &lease) {
            (false, _) => Missed::No,
            (true, None) => Missed::Base,
            (true, Some(_)) => Missed::Own,
        };
        (answer.map(|answer| answer.holding((turn, lease))), missed)
    }
}

impl Ready {
    /// The session of the client's own, when the server may ask it something and it has one.
    async fn lease(&self, ask: &Ask) -> Option<Lease> {
        let (Era::Legacy(_), Link::Http(base)) = (&self.era, &self.link) else { return None };
        if !MAY_ASK.contains(&&*ask.method) {
            return None;
        }
        let declared = Declared::of(&ask.client.capabilities);
        self.calls.sessions.lease(base, &ask.principal, declared).await
    }
}

impl Shared {
    /// What a server on a pair of pipes is told it may ask: what can be told apart, or need not be.
    pub(super) fn declared(&self, server: &Server) -> Declared {
        let one_at_a_time = server.max_in_flight.is_some_and(|most| most.get() == 1);
        if one_at_a_time || self.clients == Clients::One { Declared::ANYTHING } else { Declared::NOTHING }
    }
}

impl Ask {
    fn question(&self, deadlines: Deadlines) -> Question<'_> {
        Question {
            method: &self.method,
            params: self.params.as_ref(),
            client: Some(Client { facts: &self.client, principal: Some(&self.principal) }),
            events: Some(self.events.clone()),
            patience: Patience::new(deadlines, Instant::now().into_std()),
        }
    }
}

/// Requests that change nothing at the server.
const READING: [&str; 7] = [
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tools/list",
];
