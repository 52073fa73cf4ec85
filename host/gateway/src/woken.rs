//! Work that is looked at only when it has been woken itself. A task that does several things at once is woken for each of
//! them, and would look at all of them each time.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Tells whether what is attended to was woken. For one piece of work at a time, and for any number one after another.
#[derive(Debug)]
pub struct Attention {
    bell: Arc<Bell>,
    /// The bell, as the work knows it.
    waker: Waker,
}

#[derive(Debug)]
struct Bell {
    is_rung: AtomicBool,
    task: AtomicWaker,
}

impl Default for Attention {
    fn default() -> Self {
        let bell = Arc::new(Bell { is_rung: AtomicBool::new(false), task: AtomicWaker::new() });
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl Attention {
    /// Waits for `work`. May be dropped and begun anew with the same or other work.
    pub async fn on<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        self.bell.is_rung.store(true, Ordering::Release);
        poll_fn(|cx| {
            // In this order: what rings from now on is seen here, or wakes the task.
            self.bell.task.register(cx.waker());
            match self.bell.is_rung.swap(false, Ordering::AcqRel) {
                true => work.as_mut().poll(&mut Context::from_waker(&self.waker)),
                false => Poll::Pending,
            }
        })
        .await
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// How often a task was woken.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Wakes(std::sync::atomic::AtomicUsize);

#[cfg(test)]
impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    /// Counts how often it is looked at.
    fn counted<T>(looks: &Cell<u32>, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let mut work = Box::pin(work);
        poll_fn(move |cx| {
            looks.set(looks.get() + 1);
            work.as_mut().poll(cx)
        })
    }

    #[tokio::test]
    async fn what_others_are_woken_for_is_no_reason_to_look() {
        let (attention, looks) = (Attention::default(), Cell::new(0));
        let (to, from) = oneshot::channel();
        let mut work = pin!(counted(&looks, from));
        let others = async {
            for _ in 0..10 {
                yield_now().await;
            }
            to.send(7).unwrap();
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            biased;
            outcome = attention.on(work.as_mut()) => outcome,
            () = others => unreachable!("it has no end"),
        };
        assert_eq!((outcome, looks.get()), (Ok(7), 2));
    }

    #[tokio::test]
    async fn work_that_wakes_itself_goes_on() {
        let attention = Attention::default();
        for _ in 0..3 {
            let work = async {
                for _ in 0..10 {
                    yield_now().await;
                }
            };
            attention.on(pin!(work)).await;
        }
    }

    #[test]
    fn work_that_is_taken_up_again_is_looked_at_anew() {
        let (attention, looks) = (Attention::default(), Cell::new(0));
        let mut work = pin!(counted(&looks, std::future::pending::<()>()));
        for expected in 1..4 {
            assert!(attention.on(work.as_mut()).now_or_never().is_none());
            assert_eq!(looks.get(), expected);
        }
    }

    #[tokio::test]
    async fn no_wake_of_another_thread_is_lost() {
        let attention = Attention::default();
        let (hand, given) = std::sync::mpsc::channel::<oneshot::Sender<()>>();
        let other = std::thread::spawn(move || given.into_iter().for_each(|to| to.send(()).unwrap()));
        for _ in 0..10_000 {
            let (to, from) = oneshot::channel();
            hand.send(to).unwrap();
            attention.on(pin!(from)).await.unwrap();
        }
        drop(hand);
        other.join().unwrap();
    }
}
