//! Who hears the notifications of a call, and who hears what a legacy server logs on the stream of the session.
//!
//! Many servers log there and not on the call's own stream. Such a message says of no call that it is its own; it goes to the
//! only request in flight in that session, and to nobody when there are several: they may be of several clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmgate_core::json::Json;

use crate::mailbox;
use crate::upstream::Event;
use crate::upstream::outlet::Outlet;

type Shared = Arc<Mutex<Outlet>>;
type Table = Arc<Mutex<BTreeMap<u64, Shared>>>;

/// The requests in flight in one session that want to hear something.
#[derive(Default)]
pub(super) struct Hearers(Table);

/// Where the notifications of one request go. In flight until dropped.
pub(super) struct Hearer {
    outlet: Option<Shared>,
    /// Its session and its id there.
    seat: Option<(Table, u64)>,
}

impl Hearers {
    /// A request that is answered on a stream where everything it is told comes.
    pub(super) fn apart(outlet: Option<Outlet>) -> Hearer {
        Hearer { outlet: outlet.map(|outlet| Arc::new(Mutex::new(outlet))), seat: None }
    }

    /// A request that may be told something on the stream of the session. What the gateway asks on its own account hears
    /// nothing, and takes nothing from the one that does.
    pub(super) fn enter(&self, id: u64, outlet: Option<Outlet>) -> Hearer {
        let mut hearer = Self::apart(outlet);
        if let Some(outlet) = &hearer.outlet {
            locked(&self.0).insert(id, Arc::clone(outlet));
            hearer.seat = Some((Arc::clone(&self.0), id));
        }
        hearer
    }

    /// A log message, or that a URL was visited, on the stream of the session.
    pub(super) fn aside(&self, method: &str, params: Json) {
        let only = {
            let table = locked(&self.0);
            table.values().next().filter(|_| table.len() == 1).cloned()
        };
        if let Some(outlet) = only {
            locked(&outlet).aside(method, params);
        }
    }
}

impl Hearer {
    /// Whether somebody wants notifications.
    pub(super) fn is_there(&self) -> bool {
        self.outlet.is_some()
    }

    /// The call goes on: they go there from now on.
    pub(super) fn resume(&mut self, events: mailbox::Sender<Event>) {
        let fresh = || Arc::new(Mutex::new(Outlet::new(events.clone())));
        locked(self.outlet.get_or_insert_with(fresh)).resume(events.clone());
    }

    /// Hands on a notification, when somebody wants any.
    pub(super) fn tell(&self, tell: impl FnOnce(&mut Outlet)) {
        if let Some(outlet) = &self.outlet {
            tell(&mut locked(outlet));
        }
    }
}

impl Drop for Hearer {
    fn drop(&mut self) {
        if let Some((table, id)) = self.seat.take() {
            locked(&table).remove(&id);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_message_on_the_session_s_stream_belongs_to_the_only_request_or_to_none() {
        let hearers = Hearers::default();
        let (to, mut events) = mailbox::channel(8);
        let log = |words: &str| hearers.aside("notifications/message", Json::of(words));
        log("nobody is there");
        let first = hearers.enter(1, Some(Outlet::new(to)));
        log("for the first");
        let own = hearers.enter(2, None);
        let second = hearers.enter(3, Some(Outlet::new(mailbox::channel(8).0)));
        log("whose?");
        drop(second);
        // Of the gateway itself: it hears nothing.
        log("for the first again");
        drop((first, own));
        log("over");
        let mut heard = Vec::new();
        while let Some(event) = events.try_recv() {
            heard.push((event.method, event.params.string().unwrap_or_default().into_owned()));
        }
        let log = |words: &str| ("notifications/message".into(), words.to_owned());
        assert_eq!(heard, [log("for the first"), log("for the first again")]);
    }
}
