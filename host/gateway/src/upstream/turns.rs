//! Turns: so many at once, the others wait. Clients are served in rotation and each client's own in the order they came,
//! so that whoever asks for a thousand delays whoever asks for one by no more than a turn. No clock, no task.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// So many turns at once.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Desk>);

/// Whose turns count together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    /// Who is behind it.
    pub(super) principal: Arc<str>,
    /// Its session, when it has one.
    pub(super) session: Option<Arc<str>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// As many wait as may.
    Full,
    /// There are no turns any more.
    Over,
}

#[derive(Debug)]
struct Desk {
    limit: usize,
    taken: usize,
    /// So many may wait.
    room: usize,
    waiting: usize,
    next: u64,
    lines: HashMap<Client, VecDeque<Waiter>>,
    /// Those with a line, whoever is served next first.
    rotation: VecDeque<Client>,
    is_over: bool,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    called: oneshot::Sender<()>,
}

/// A place in a line, given up when dropped.
struct Place<'a> {
    turns: &'a Turns,
    client: &'a Client,
    id: u64,
    called: oneshot::Receiver<()>,
    is_settled: bool,
}

impl Turns {
    /// `limit` at once; `room` may wait.
    pub(super) fn new(limit: usize, room: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Desk {
            limit,
            taken: 0,
            room,
            waiting: 0,
            next: 0,
            lines: HashMap::new(),
            rotation: VecDeque::new(),
            is_over: false,
        })))
    }

    /// A turn, if there is one and nobody waits for it.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Turn> {
        let mut desk = self.desk();
        let is_free = desk.taken < desk.limit && desk.waiting == 0 && !desk.is_over;
        is_free.then(|| {
            desk.taken += 1;
            Turn(Arc::clone(self))
        })
    }

    /// Waits for a turn. Dropping the future gives the place in the line up.
    ///
    /// # Errors
    /// [`NoTurn`], at once when the line is full.
    pub(super) async fn enter(self: &Arc<Self>, client: &Client) -> Result<Turn, NoTurn> {
        if let Some(turn) = self.try_enter() {
            return Ok(turn);
        }
        let mut place = self.line_up(client)?;
        let called = (&mut place.called).await;
        place.is_settled = true;
        match called {
            Ok(()) => Ok(Turn(Arc::clone(self))),
            Err(_) => Err(NoTurn::Over),
        }
    }

    fn line_up<'a>(&'a self, client: &'a Client) -> Result<Place<'a>, NoTurn> {
        let (call, called) = oneshot::channel();
        let mut desk = self.desk();
        if desk.is_over {
            return Err(NoTurn::Over);
        }
        if desk.waiting >= desk.room {
            return Err(NoTurn::Full);
        }
        let id = desk.next;
        desk.next += 1;
        desk.waiting += 1;
        let waiter = Waiter { id, called: call };
        if let Some(line) = desk.lines.get_mut(client) {
            line.push_back(waiter);
        } else {
            desk.lines.insert(client.clone(), VecDeque::from([waiter]));
            desk.rotation.push_back(client.clone());
        }
        // What was free a moment ago may have been given back since.
        desk.serve();
        Ok(Place { turns: self, client, id, called, is_settled: false })
    }

    /// From now on so many at once. What has been given out stays given out.
    pub(super) fn set_limit(&self, limit: usize) {
        let mut desk = self.desk();
        desk.limit = limit;
        desk.serve();
    }

    /// Whether anybody waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.desk().waiting > 0
    }

    /// How many more could be given out.
    pub(super) fn free(&self) -> usize {
        let desk = self.desk();
        desk.limit.saturating_sub(desk.taken)
    }

    /// Nobody waits any longer, and nobody gets a turn.
    pub(super) fn close(&self) {
        let mut desk = self.desk();
        desk.is_over = true;
        desk.waiting = 0;
        desk.rotation.clear();
        desk.lines.clear();
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Calls those whose turn it is.
    fn serve(&mut self) {
        while self.taken < self.limit
            && let Some(client) = self.rotation.pop_front()
        {
            let Some(line) = self.lines.get_mut(&client) else { continue };
            let first = line.pop_front();
            if line.is_empty() {
                self.lines.remove(&client);
            } else {
                self.rotation.push_back(client);
            }
            let Some(waiter) = first else { continue };
            self.waiting -= 1;
            if waiter.called.send(()).is_ok() {
                self.taken += 1;
            }
        }
    }

    fn give_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
        self.serve();
    }

    fn leave(&mut self, client: &Client, id: u64) {
        let Some(line) = self.lines.get_mut(client) else { return };
        let before = line.len();
        line.retain(|waiter| waiter.id != id);
        self.waiting -= before - line.len();
        if line.is_empty() {
            self.lines.remove(client);
            self.rotation.retain(|other| other != client);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let mut desk = self.turns.desk();
        // Called, but gone before it heard.
        if self.called.try_recv().is_ok() {
            desk.give_back();
        } else {
            desk.leave(self.client, self.id);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.desk().give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use futures_util::future::LocalBoxFuture;

    fn client(name: &str) -> Client {
        Client { principal: name.into(), session: None }
    }

    type Waiting = LocalBoxFuture<'static, Result<Turn, NoTurn>>;

    fn wait(turns: &Arc<Turns>, name: &'static str) -> Waiting {
        let turns = Arc::clone(turns);
        let mut waiting = async move { turns.enter(&client(name)).await }.boxed_local();
        assert!((&mut waiting).now_or_never().is_none());
        waiting
    }

    /// Who is called, one after the other, when each gives the turn on.
    fn order(mut waiting: Vec<(&'static str, Waiting)>, first: Turn) -> String {
        let mut order = String::new();
        let mut turn = Some(first);
        while !waiting.is_empty() {
            drop(turn.take());
            let called = waiting.iter_mut().position(|(_, waiting)| match waiting.now_or_never() {
                Some(called) => {
                    turn = Some(called.unwrap());
                    true
                }
                None => false,
            });
            order.push_str(waiting.remove(called.expect("somebody is called")).0);
        }
        order
    }

    #[test]
    fn clients_are_served_in_rotation_and_their_own_in_order() {
        let turns = Turns::new(1, 100);
        let first = turns.try_enter().unwrap();
        let names = ["a", "a", "a", "a", "b", "c", "b"];
        let waiting = names.map(|name| (name, wait(&turns, name))).into_iter().collect();
        assert_eq!(order(waiting, first), "abcabaa");
        assert_eq!(turns.free(), 1);
    }

    #[test]
    fn whoever_leaves_is_in_nobodys_way() {
        let turns = Turns::new(1, 100);
        let first = turns.try_enter().unwrap();
        let mut waiting: Vec<_> =
            ["a", "b", "a"].into_iter().map(|name| (name, wait(&turns, name))).collect();
        drop(waiting.remove(1));
        drop(waiting.remove(0));
        // Called, and gone before it hears.
        let called = wait(&turns, "d");
        let last = wait(&turns, "e");
        drop(first);
        let a = waiting.remove(0).1.now_or_never().unwrap().unwrap();
        drop(a);
        drop(called);
        assert!(last.now_or_never().unwrap().is_ok());
        assert_eq!((turns.free(), turns.is_wanted()), (1, false));
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let turns = Turns::new(1, 2);
        let _first = turns.try_enter().unwrap();
        let _waiting = [wait(&turns, "a"), wait(&turns, "a")];
        assert_eq!(turns.enter(&client("b")).now_or_never().unwrap().unwrap_err(), NoTurn::Full);
    }

    #[test]
    fn a_limit_moves_and_an_end_is_heard() {
        let turns = Turns::new(1, 9);
        let first = turns.try_enter().unwrap();
        let (a, b, c) = (wait(&turns, "a"), wait(&turns, "b"), wait(&turns, "c"));
        turns.set_limit(2);
        let a = a.now_or_never().unwrap().unwrap();
        turns.set_limit(1);
        drop(a);
        let mut b = b;
        assert!((&mut b).now_or_never().is_none(), "two were out, one may be");
        drop(first);
        assert!(b.now_or_never().unwrap().is_ok());
        let _taken = turns.try_enter();
        turns.close();
        assert!(matches!(c.now_or_never(), Some(Ok(_) | Err(NoTurn::Over))));
        assert!(turns.try_enter().is_none());
    }

    #[test]
    fn sessions_of_one_principal_take_turns_too() {
        let turns = Turns::new(1, 9);
        let of = |session: &str| Client { principal: "p".into(), session: Some(session.into()) };
        let first = turns.try_enter().unwrap();
        let (one, two) = (of("1"), of("2"));
        let mut waiting = [&one, &one, &two].map(|client| Box::pin(turns.enter(client)));
        waiting.iter_mut().for_each(|waiting| assert!(waiting.now_or_never().is_none()));
        drop(first);
        let [a, b, c] = waiting;
        drop(a.now_or_never().unwrap());
        drop(c.now_or_never().expect("before the first one's second"));
        assert!(b.now_or_never().is_some());
    }
}
