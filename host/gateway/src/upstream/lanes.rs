//! The addresses of a remote and how they have been doing: which of them the next connection goes to, and which are left
//! alone for a while. No socket, no clock: instants come in. A server with one address has one lane, which is never left
//! alone: the pauses of [`super::backoff`] are all it needs.
//!
//! An address goes out when a connection to it breaks or cannot be made, and when five calls in a row on it got no answer
//! (`FAILURES`): for 10 s, twice as long each time, up to 300 s. A handshake that succeeds brings it back. Of those whose
//! connections hold no more than half are ever out at once, because calls that fail everywhere say more about the calls;
//! one whose connection is gone cannot serve and does not count.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The addresses of one server.
#[derive(Debug)]
pub(super) struct Lanes {
    count: usize,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    lanes: Vec<Lane>,
    /// Where the search for the next lane begins, so that equal ones take turns.
    first: usize,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    /// Connections that are open or being opened.
    connections: usize,
    /// Calls in a row without an answer.
    in_row: u32,
    /// How often it went out without having done well in between.
    times: u32,
    /// Since when it has been in again.
    back: Option<Instant>,
    out: Option<Out>,
}

#[derive(Debug, Clone, Copy)]
struct Out {
    until: Instant,
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its connection is gone.
    Gone,
    /// Its calls get no answer.
    Silent,
}

impl Lanes {
    /// So many, at least one.
    pub(super) fn new(count: usize) -> Self {
        let count = count.max(1);
        Self { count, table: Mutex::new(Table { lanes: vec![Lane::default(); count], first: 0 }) }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Takes the lane for another connection that has fewest of them, among those that are in or whose time out is over;
    /// when all are out the one that is back first.
    pub(super) fn take(&self, now: Instant) -> usize {
        let mut table = self.table();
        let count = table.lanes.len();
        let order: Vec<usize> = (0..count).map(|step| (table.first + step) % count).collect();
        let of = |lane: &usize| table.lanes.get(*lane).cloned().unwrap_or_default();
        let fewest =
            order.iter().filter(|lane| of(lane).may_serve(now)).min_by_key(|lane| of(lane).connections);
        let soonest = || order.iter().min_by_key(|lane| of(lane).out.map(|out| out.until));
        let taken = fewest.or_else(soonest).copied().unwrap_or_default();
        table.first = (taken + 1) % count;
        table.lane(taken, |lane| lane.connections += 1);
        taken
    }

    /// Takes this lane for another connection.
    pub(super) fn take_this(&self, lane: usize) {
        self.table().lane(lane, |lane| lane.connections += 1);
    }

    /// A connection is no more.
    pub(super) fn give_back(&self, lane: usize) {
        self.table().lane(lane, |lane| lane.connections = lane.connections.saturating_sub(1));
    }

    /// Lanes that may serve and have no connection.
    pub(super) fn vacant(&self, now: Instant) -> Vec<usize> {
        let table = self.table();
        let lanes = table.lanes.iter().enumerate();
        lanes.filter(|(_, lane)| lane.may_serve(now) && lane.connections == 0).map(|(at, _)| at).collect()
    }

    /// How many connections a lane has.
    pub(super) fn connections(&self, lane: usize) -> usize {
        self.table().lanes.get(lane).map_or(0, |lane| lane.connections)
    }

    /// Whether another lane than this one may serve.
    pub(super) fn has_other(&self, lane: usize, now: Instant) -> bool {
        self.table().lanes.iter().enumerate().any(|(at, other)| at != lane && other.may_serve(now))
    }

    /// Whether any lane may serve.
    pub(super) fn has_any(&self, now: Instant) -> bool {
        self.table().lanes.iter().any(|lane| lane.may_serve(now))
    }

    /// A handshake succeeded: the lane is in.
    pub(super) fn greeted(&self, lane: usize, now: Instant) {
        self.table().lane(lane, |lane| {
            if lane.out.take().is_some() {
                lane.back = Some(now);
            }
            lane.in_row = 0;
        });
    }

    /// A call got an answer.
    pub(super) fn answered(&self, lane: usize) {
        self.table().lane(lane, |lane| lane.in_row = 0);
    }

    /// A call got none. Whether the lane goes out with that.
    pub(super) fn unanswered(&self, lane: usize, now: Instant) -> bool {
        let mut table = self.table();
        let silent = table.lanes.iter().filter(|lane| lane.is_out(Why::Silent)).count();
        let standing = table.lanes.iter().filter(|lane| !lane.is_out(Why::Gone)).count();
        let may_go = (silent + 1) * 2 <= standing;
        let mut goes = false;
        table.lane(lane, |lane| {
            lane.in_row = lane.in_row.saturating_add(1);
            goes = lane.in_row >= FAILURES && lane.out.is_none() && may_go;
            if goes {
                lane.go_out(Why::Silent, now);
            }
        });
        goes
    }

    /// A connection broke, or could not be made.
    pub(super) fn broke(&self, lane: usize, now: Instant) {
        let mut table = self.table();
        if table.lanes.len() > 1 {
            table.lane(lane, |lane| lane.go_out(Why::Gone, now));
        }
    }

    /// How many are out.
    pub(super) fn out(&self) -> usize {
        self.table().lanes.iter().filter(|lane| lane.out.is_some()).count()
    }

    /// When the first of those that are out may come back.
    pub(super) fn next_return(&self, now: Instant) -> Option<Instant> {
        let table = self.table();
        table.lanes.iter().filter_map(|lane| lane.out).map(|out| out.until).filter(|until| *until > now).min()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn lane(&mut self, lane: usize, change: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            change(lane);
        }
    }
}

impl Lane {
    fn may_serve(&self, now: Instant) -> bool {
        self.out.is_none_or(|out| out.until <= now)
    }

    fn is_out(&self, why: Why) -> bool {
        self.out.is_some_and(|out| out.why == why)
    }

    fn go_out(&mut self, why: Why, now: Instant) {
        if self.out.is_none() && self.back.is_some_and(|back| now.duration_since(back) >= LONGEST) {
            self.times = 0;
        }
        let length = SHORTEST.saturating_mul(2_u32.saturating_pow(self.times.min(8))).min(LONGEST);
        self.times = self.times.saturating_add(1);
        self.in_row = 0;
        self.out = Some(Out { until: now + length, why });
    }
}

/// So many calls in a row without an answer put an address out.
const FAILURES: u32 = 5;
/// The first time out.
const SHORTEST: Duration = Duration::from_secs(10);
/// The longest time out.
const LONGEST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn silence(lanes: &Lanes, lane: usize, now: Instant) -> bool {
        (0..FAILURES).any(|_| lanes.unanswered(lane, now))
    }

    #[tokio::test]
    async fn connections_go_to_the_lane_that_has_fewest() {
        let (lanes, now) = (Lanes::new(3), Instant::now());
        let taken: Vec<usize> = (0..4).map(|_| lanes.take(now)).collect();
        assert_eq!(taken, [0, 1, 2, 0]);
        lanes.give_back(1);
        assert_eq!(lanes.take(now), 1);
        lanes.give_back(1);
        assert_eq!(lanes.vacant(now), [1]);
    }

    #[tokio::test]
    async fn a_broken_lane_is_out_for_longer_each_time_and_comes_back_by_a_handshake() {
        let (lanes, mut now) = (Lanes::new(2), Instant::now());
        let mut lengths = Vec::new();
        for _ in 0..7 {
            lanes.broke(0, now);
            assert_eq!([lanes.take(now), lanes.take(now)], [1, 1]);
            let back = lanes.next_return(now).unwrap();
            lengths.push((back - now).as_secs());
            now = back;
            assert!(lanes.vacant(now).contains(&0) && lanes.out() == 1, "a probe may go out");
            lanes.greeted(0, now);
            assert_eq!(lanes.out(), 0);
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 300, 300]);
        now += LONGEST;
        lanes.broke(0, now);
        assert_eq!(lanes.next_return(now), Some(now + SHORTEST), "forgiven after doing well");
    }

    #[tokio::test]
    async fn five_calls_in_a_row_without_an_answer_put_a_lane_out() {
        let (lanes, now) = (Lanes::new(2), Instant::now());
        (1..FAILURES).for_each(|_| assert!(!lanes.unanswered(0, now)));
        lanes.answered(0);
        assert!(silence(&lanes, 0, now));
        assert!(!lanes.unanswered(0, now), "once");
    }

    #[tokio::test]
    async fn never_more_than_half_of_those_that_stand_are_put_out_for_silence() {
        let (lanes, now) = (Lanes::new(4), Instant::now());
        assert_eq!([0, 1, 2].map(|lane| silence(&lanes, lane, now)), [true, true, false]);
        let one = Lanes::new(1);
        assert!(!silence(&one, 0, now));
        one.broke(0, now);
        assert_eq!(one.out(), 0);
        let two = Lanes::new(2);
        two.broke(0, now);
        assert!(!silence(&two, 1, now), "the last one");
    }

    #[tokio::test]
    async fn when_all_are_out_the_one_that_is_back_first_is_tried() {
        let (lanes, now) = (Lanes::new(2), Instant::now());
        lanes.broke(1, now);
        lanes.broke(0, now + SECOND);
        assert!(!lanes.has_other(0, now + SECOND));
        assert_eq!(lanes.take(now + SECOND), 1);
    }
}
