//! Connections that are used again: idle ones by where they lead, the one that was used last first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use tokio::time::{Instant, sleep};

use super::connection::Connection;

/// The shelves of one reach.
#[derive(Default)]
pub(super) struct Kept {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Hashed fast: there are few, and whoever named them cannot see what they hash to.
    shelves: HashMap<Place, Arc<Shelf>, foldhash::fast::RandomState>,
    /// Whether somebody looks after them.
    is_swept: bool,
}

#[derive(PartialEq, Eq, Hash)]
struct Place {
    is_secure: bool,
    authority: Authority,
}

/// The idle connections to one place.
pub(super) struct Shelf {
    /// What requests to it say in their `Host`.
    pub(super) host: HeaderValue,
    /// In the order in which they were used.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Kept {
    /// The shelf for where a URI leads; None when it is not an address of http or https.
    pub(super) fn shelf(self: &Arc<Self>, uri: &Uri) -> Option<Arc<Shelf>> {
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let place = Place { is_secure, authority: uri.authority()?.clone() };
        let mut table = lock(&self.table);
        if !table.is_swept {
            table.is_swept = true;
            self.sweep_now_and_then();
        }
        if let Some(shelf) = table.shelves.get(&place) {
            return Some(Arc::clone(shelf));
        }
        let shelf = Arc::new(Shelf { host: host(&place)?, idle: Mutex::default() });
        table.shelves.insert(place, Arc::clone(&shelf));
        Some(shelf)
    }

    /// Until there are none left.
    #[expect(clippy::disallowed_methods, reason = "it has nothing to finish, and ends with the connections")]
    fn sweep_now_and_then(self: &Arc<Self>) {
        let kept = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                sleep(PAUSE).await;
                let Some(kept) = kept.upgrade() else { return };
                if !kept.sweep(Instant::now()) {
                    return;
                }
            }
        });
    }

    /// Closes connections that the other side has closed or that were idle for too long. Whether there is more to look after.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut table = lock(&self.table);
        table.shelves.retain(|_, shelf| {
            let mut idle = lock(&shelf.idle);
            idle.retain_mut(|idle| !idle.is_old(now) && idle.connection.is_open());
            // Whoever has the shelf in hand is about to put something on it.
            !idle.is_empty() || Arc::strong_count(shelf) > 1
        });
        table.is_swept = !table.shelves.is_empty();
        table.is_swept
    }

    /// How many are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        lock(&self.table).shelves.values().map(|shelf| lock(&shelf.idle).len()).sum()
    }
}

impl Shelf {
    /// The connection that was used last.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        let idle = lock(&self.idle).pop()?;
        // Those below are older still: the next sweep closes them.
        (!idle.is_old(Instant::now())).then_some(idle.connection)
    }

    /// Keeps a connection for the next request. When there are too many, the one that was idle longest is closed.
    pub(super) fn keep(&self, connection: Box<Connection>) {
        let mut idle = lock(&self.idle);
        let oldest = (idle.len() >= MAX_IDLE).then(|| idle.remove(0));
        idle.push(Idle { connection, since: Instant::now() });
        drop(idle);
        drop(oldest);
    }
}

impl Idle {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= KEPT_IDLE
    }
}

/// RFC 9110, section 7.2: the authority without user information, the port unless it is the scheme's own.
fn host(place: &Place) -> Option<HeaderValue> {
    let host = place.authority.host();
    let own = if place.is_secure { 443 } else { 80 };
    let port = place.authority.port_u16().filter(|port| *port != own);
    let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::from_maybe_shared(bytes::Bytes::from(host)).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long an idle connection is kept.
const KEPT_IDLE: Duration = Duration::from_secs(60);
/// How many idle connections are kept to one place.
const MAX_IDLE: usize = 128;
/// How often idle ones are looked after.
const PAUSE: Duration = Duration::from_secs(5);
