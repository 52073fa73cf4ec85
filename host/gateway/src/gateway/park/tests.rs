//! Calls are kept for their principal, for one use, for a while, and not too many of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use wasmgate_core::name::ServerName;

use super::*;
use crate::mailbox;
use crate::upstream::{Event, Fault, Resumed, Waiting as Call};

/// A call that is counted until it is let go.
struct Counted(Arc<AtomicUsize>);

impl Call for Counted {
    fn resume(self: Box<Self>, _: Vec<(String, Reply)>, _: mailbox::Sender<Event>) -> Resumed {
        Box::pin(async { Err(Fault::Unavailable("counted".into())) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct World {
    parking: Parking,
    held: Arc<AtomicUsize>,
    tasks: Tasks,
}

impl World {
    fn new() -> Self {
        let tasks = Tasks::new();
        Self { parking: Parking::new(&tasks), held: Arc::default(), tasks }
    }

    fn keep(&self, id: &str, principal: &str) -> Result<(), CallError> {
        self.held.fetch_add(1, Ordering::Relaxed);
        let call = Box::new(Counted(Arc::clone(&self.held)));
        let call = Parked::new(ServerName::new("s").unwrap(), call);
        self.parking.keep(id.to_owned(), &principal.into(), Stay { call, known: Vec::new() })
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_call_is_taken_once_by_its_principal() {
    let world = World::new();
    world.keep("one", "alice").unwrap();
    assert!(world.parking.take("one", "bob").is_none());
    assert!(world.parking.take("two", "alice").is_none());
    let taken = world.parking.take("one", "alice").unwrap();
    assert_eq!(world.held(), 1);
    assert!(world.parking.take("one", "alice").is_none());
    drop(taken);
    assert_eq!(world.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_comes_for_is_given_up_in_its_time() {
    let world = World::new();
    world.keep("early", "alice").unwrap();
    tokio::time::sleep(LIFE / 2).await;
    world.keep("late", "alice").unwrap();
    tokio::time::sleep(LIFE / 2 + Duration::from_secs(1)).await;
    assert_eq!(world.held(), 1);
    assert!(world.parking.take("early", "alice").is_none());
    tokio::time::sleep(LIFE / 2).await;
    assert_eq!(world.held(), 0);
    assert!(world.tasks.finish(Duration::from_secs(1)).await.is_empty());
}

#[tokio::test]
async fn one_principal_has_its_oldest_call_given_up_and_all_together_are_refused() {
    let world = World::new();
    for number in 0..=MOST_OF_ONE {
        world.keep(&format!("{number}"), "alice").unwrap();
    }
    assert_eq!((world.held(), world.parking.len()), (MOST_OF_ONE, MOST_OF_ONE));
    assert!(world.parking.take("0", "alice").is_none());
    for number in MOST_OF_ONE..MOST {
        world.keep(&format!("{number} more"), &format!("{number}")).unwrap();
    }
    assert!(matches!(world.keep("too many", "carol"), Err(CallError::Limit(_))));
    assert_eq!(world.held(), MOST);
    world.keep("another", "alice").unwrap();
    assert_eq!(world.held(), MOST);
}

#[tokio::test]
async fn closing_gives_all_up_and_takes_no_more() {
    let world = World::new();
    world.keep("one", "alice").unwrap();
    world.parking.close();
    assert!(matches!(world.keep("two", "alice"), Err(CallError::NotServing(_))));
    assert_eq!(world.held(), 0);
}
