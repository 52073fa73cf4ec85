//! Seats for connections: so many in all, so many from one address. Whoever has asked nothing yet that was let in is a
//! stranger, and when there is no seat left the stranger who has been there longest makes room: connections that are
//! opened and then say nothing, or say it slowly, hold up nobody. Only not at once: who came a moment ago may have asked
//! already and not have been read.
//!
//! No socket. Those who have shown who they are keep their seat until they leave.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// All seats.
pub(super) struct Seats {
    most: usize,
    most_per_address: usize,
    state: Mutex<State>,
    /// Somebody left.
    freed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    taken: usize,
    addresses: HashMap<IpAddr, Address>,
    /// By when they came.
    strangers: BTreeMap<u64, Stranger>,
}

/// What one address has.
#[derive(Default)]
struct Address {
    taken: usize,
    strangers: BTreeSet<u64>,
}

struct Stranger {
    address: IpAddr,
    since: Instant,
    leave: CancellationToken,
}

/// The seat of one connection, until it is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
    number: u64,
    is_known: AtomicBool,
    leave: CancellationToken,
}

/// What a connection that was accepted gets.
pub(super) enum Entry {
    Entered(Seat),
    /// Its address has as many as it may have, all of them in use.
    AddressFull,
    /// All seats are in use: see [`Seats::room`].
    Full,
}

impl Seats {
    /// So many in all, and so many from one address.
    pub(super) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, state: Mutex::default(), freed: Notify::new() })
    }

    /// Waits until somebody can enter. For one task alone.
    pub(super) async fn room(&self) {
        loop {
            let oldest = {
                let state = self.state();
                if state.taken < self.most {
                    return;
                }
                state.strangers.first_key_value().map(|(_, stranger)| stranger.since)
            };
            match oldest.map(|since| since + TENURE) {
                None => self.freed.notified().await,
                Some(until) if until <= Instant::now() => return,
                // Until then it may leave, or be known.
                Some(until) => drop(timeout_at(until, self.freed.notified()).await),
            }
        }
    }

    /// Gives a connection from this address a seat.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr) -> Entry {
        let address = group(from);
        let mut state = self.state();
        let own = state.addresses.get(&address);
        // Where one address may have all seats, there is nothing to hold against it: it waits like everybody.
        let has_share = self.most_per_address < self.most;
        if has_share && own.is_some_and(|own| own.taken >= self.most_per_address) {
            let oldest = own.and_then(|own| own.strangers.first().copied());
            let Some(oldest) = oldest else { return Entry::AddressFull };
            state.dismiss(oldest);
        }
        if state.taken >= self.most {
            let Some((&oldest, _)) = state.strangers.first_key_value() else { return Entry::Full };
            state.dismiss(oldest);
        }
        let number = state.next;
        state.next += 1;
        state.taken += 1;
        let own = state.addresses.entry(address).or_default();
        own.taken += 1;
        own.strangers.insert(number);
        let leave = CancellationToken::new();
        let since = Instant::now();
        state.strangers.insert(number, Stranger { address, since, leave: leave.clone() });
        drop(state);
        Entry::Entered(Seat {
            seats: Arc::clone(self),
            address,
            number,
            is_known: AtomicBool::new(false),
            leave,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a stranger's seat away.
    fn dismiss(&mut self, number: u64) {
        if let Some(Stranger { address, leave, .. }) = self.strangers.remove(&number) {
            self.free(address, number);
            leave.cancel();
        }
    }

    fn free(&mut self, address: IpAddr, number: u64) {
        self.taken -= 1;
        let Some(own) = self.addresses.get_mut(&address) else { return };
        own.taken -= 1;
        own.strangers.remove(&number);
        if own.taken == 0 {
            self.addresses.remove(&address);
        }
    }
}

impl Seat {
    /// Resolves when somebody else gets the seat.
    pub(super) async fn lost(&self) {
        self.leave.cancelled().await;
    }

    /// It is somebody we know: from now on nobody else gets the seat.
    pub(super) fn keep(&self) {
        if self.is_known.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut state = self.seats.state();
        state.strangers.remove(&self.number);
        if let Some(own) = state.addresses.get_mut(&self.address) {
            own.strangers.remove(&self.number);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.state();
        // Otherwise it is somebody else's already.
        if !self.leave.is_cancelled() {
            state.strangers.remove(&self.number);
            state.free(self.address, self.number);
        }
        drop(state);
        self.seats.freed.notify_one();
    }
}

/// Who counts as one address: in IPv6 a network of 64 bits, because that is what one customer has.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// How long a stranger has a seat before somebody else may get it.
const TENURE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn from(seats: &Arc<Seats>, address: &str) -> Option<Seat> {
        match seats.enter(address.parse().unwrap()) {
            Entry::Entered(seat) => Some(seat),
            Entry::AddressFull | Entry::Full => None,
        }
    }

    fn known(seats: &Arc<Seats>, address: &str) -> Seat {
        let seat = from(seats, address).unwrap();
        seat.keep();
        seat
    }

    #[test]
    fn the_oldest_stranger_makes_room() {
        let seats = Seats::new(3, 3);
        let kept = known(&seats, "10.0.0.1");
        let (old, young) = (from(&seats, "10.0.0.2").unwrap(), from(&seats, "10.0.0.3").unwrap());
        let newcomer = from(&seats, "10.0.0.4").unwrap();
        let lost = |seat: &Seat| seat.lost().now_or_never().is_some();
        assert_eq!([&kept, &old, &young, &newcomer].map(lost), [false, true, false, false]);
        // Who lost it leaves nothing behind.
        drop(old);
        assert_eq!(seats.state().taken, 3);
        young.keep();
        newcomer.keep();
        assert!(matches!(seats.enter("10.0.0.5".parse().unwrap()), Entry::Full));
        assert!(seats.room().now_or_never().is_none());
        drop(kept);
        assert!(seats.room().now_or_never().is_some());
        assert!(from(&seats, "10.0.0.5").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_is_not_sent_away() {
        let seats = Seats::new(1, 1);
        let first = from(&seats, "10.0.0.1").unwrap();
        assert!(seats.room().now_or_never().is_none());
        let before = Instant::now();
        seats.room().await;
        assert_eq!(before.elapsed(), TENURE);
        let _second = known(&seats, "10.0.0.2");
        assert!(first.lost().now_or_never().is_some());
    }

    #[test]
    fn one_address_has_its_share_and_makes_room_for_itself() {
        let seats = Seats::new(9, 2);
        let kept = known(&seats, "10.0.0.1");
        let stranger = from(&seats, "10.0.0.1").unwrap();
        let next = known(&seats, "10.0.0.1");
        assert!(stranger.lost().now_or_never().is_some());
        assert!(matches!(seats.enter("10.0.0.1".parse().unwrap()), Entry::AddressFull));
        assert!(from(&seats, "10.0.0.2").is_some());
        drop((kept, next, stranger));
        let state = seats.state();
        assert_eq!((state.taken, state.addresses.len(), state.strangers.len()), (0, 0, 0));
    }

    #[test]
    fn an_address_that_may_have_all_waits_for_them() {
        let seats = Seats::new(2, 2);
        let (one, _other) = (known(&seats, "10.0.0.1"), known(&seats, "10.0.0.1"));
        assert!(matches!(seats.enter("10.0.0.1".parse().unwrap()), Entry::Full));
        drop(one);
        assert!(from(&seats, "10.0.0.1").is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_mapped_ones_are_ipv4() {
        let seats = Seats::new(9, 1);
        let check = |address: &str, enters: bool| {
            let seat = from(&seats, address);
            assert_eq!(seat.is_some(), enters, "{address}");
            seat.inspect(Seat::keep)
        };
        let _one = check("2001:db8:0:1::1", true);
        check("2001:db8:0:1:ffff::2", false);
        let _other = check("2001:db8:0:2::1", true);
        let _v4 = check("10.0.0.1", true);
        check("::ffff:10.0.0.1", false);
    }
}
