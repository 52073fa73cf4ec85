//! Keeps the snapshot in step with what servers offer, and tells clients of changed lists once per burst.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wasmgate_core::index::{Kind, List};

use super::snapshot::{Snapshot, same_offer, same_servers};
use super::{Gateway, Revisions};
use crate::upstream::Status;

/// Changes within this time of the first are told together (protocol.md: one `list_changed` per burst).
const BURST: Duration = Duration::from_millis(250);

/// Rebuilds the snapshot at every change of a server until the process stops.
pub(super) async fn keep_fresh(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut changed = gateway.pool.changed();
    let mut tell_at: Option<Instant> = None;
    gateway.refresh();
    loop {
        let tell = async {
            match tell_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tell => {
                tell_at = None;
                let counted = *gateway.counted.lock().unwrap_or_else(PoisonError::into_inner);
                gateway.revisions.send_replace(counted);
            }
            seen = changed.changed() => {
                if seen.is_err() {
                    return;
                }
                // A new generation counts for itself; the pool it changed wakes us all the same.
                if gateway.refresh() != *gateway.revisions.borrow() {
                    tell_at.get_or_insert_with(|| Instant::now() + BURST);
                }
            }
        }
    }
}

impl Gateway {
    /// Swaps in a snapshot of what the servers offer now, and says which revisions clients have to be told.
    fn refresh(&self) -> Revisions {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.current.load_full();
        let version = self.pool.version();
        let servers = self.pool.status();
        // Where only states changed nothing is rebuilt: every reader of states asks the pool.
        if !same_offers(&now.servers, &servers) {
            let next = Snapshot::build(Arc::clone(&now.generation), servers, Some(&now));
            counted.count(&now, &next);
            self.current.store(Arc::new(next));
        }
        self.seen.store(version, Ordering::Release);
        let revisions = *counted;
        drop(counted);
        self.refreshed.send_replace(());
        revisions
    }

    /// Whether the snapshot shows what the servers offer now.
    pub(super) fn is_fresh(&self) -> bool {
        self.seen.load(Ordering::Acquire) == self.pool.version()
    }
}

impl Revisions {
    pub(super) fn count(&mut self, now: &Snapshot, next: &Snapshot) {
        let other_pipeline = !Arc::ptr_eq(&now.generation, &next.generation);
        let made = |kind: Kind| now.generation.changes(kind) || next.generation.changes(kind);
        let changed = |kind: Kind| {
            !same_list(now.all.list(kind), next.all.list(kind)) || (other_pipeline && made(kind))
        };
        self.tools += u64::from(changed(Kind::Tools));
        self.prompts += u64::from(changed(Kind::Prompts));
        self.resources += u64::from(changed(Kind::Resources) || changed(Kind::Templates));
        let known: HashSet<_> = now.all.warnings.iter().collect();
        for warning in next.all.warnings.iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!(%warning, "list entry");
        }
    }
}

fn same_offers(a: &[Status], b: &[Status]) -> bool {
    same_servers(a, b) && a.iter().zip(b).all(|(a, b)| same_offer(&a.offer, &b.offer))
}

fn same_list(a: &List, b: &List) -> bool {
    a.entries() == b.entries()
}
