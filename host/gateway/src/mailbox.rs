//! A bounded queue for what is said beside a call: nobody waits to put something in, and until somebody does it is one small
//! allocation. Nearly no call says anything, and the channels of the runtime set up their first block and their wait list
//! for each.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::task::coop::poll_proceed;

/// Where something is put in. Any number of them.
pub struct Sender<T>(Arc<Shared<T>>);

/// Where it is taken out, in the order in which it was put in.
pub struct Receiver<T>(Arc<Shared<T>>);

/// Why something was not taken; it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken<T> {
    /// As many wait already as may.
    Full(T),
    /// Nobody will ever take it out.
    Closed(T),
}

struct Shared<T> {
    queue: Mutex<VecDeque<T>>,
    /// The length of the queue, changed under its lock and read without.
    waiting: AtomicUsize,
    capacity: usize,
    senders: AtomicUsize,
    is_read: AtomicBool,
    reader: AtomicWaker,
}

/// A queue in which at most `capacity` wait.
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        waiting: AtomicUsize::new(0),
        capacity,
        senders: AtomicUsize::new(1),
        is_read: AtomicBool::new(true),
        reader: AtomicWaker::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<T> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut queue = self.queue();
        let next = queue.pop_front();
        self.waiting.store(queue.len(), Ordering::Release);
        next
    }

    fn has_senders(&self) -> bool {
        self.senders.load(Ordering::Acquire) > 0
    }
}

impl<T> Sender<T> {
    /// Puts something in, if there is room and somebody to take it out.
    ///
    /// # Errors
    /// Otherwise it comes back.
    pub fn try_send(&self, value: T) -> Result<(), NotTaken<T>> {
        self.put(value, self.0.capacity)
    }

    /// Puts in what is the last of its kind and should not be lost: for that, one more than otherwise may wait.
    ///
    /// # Errors
    /// If that one waits already, or nobody will take it out, it comes back.
    pub fn send_last(&self, value: T) -> Result<(), NotTaken<T>> {
        self.put(value, self.0.capacity + 1)
    }

    fn put(&self, value: T, room: usize) -> Result<(), NotTaken<T>> {
        let shared = &*self.0;
        let mut queue = shared.queue();
        // Under the lock: what a reader leaves behind is dropped under it, too.
        if !shared.is_read.load(Ordering::Acquire) {
            return Err(NotTaken::Closed(value));
        }
        if queue.len() >= room {
            return Err(NotTaken::Full(value));
        }
        queue.push_back(value);
        shared.waiting.store(queue.len(), Ordering::Release);
        drop(queue);
        shared.reader.wake();
        Ok(())
    }

    /// Whether nobody will ever take anything out.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !self.0.is_read.load(Ordering::Acquire)
    }
}

impl<T> Receiver<T> {
    /// What was put in first, as soon as there is something; None when there is nobody left to put anything in. It takes
    /// part in the budget of its task, so that one who says much does not keep the task from everything else.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let budget = ready!(poll_proceed(context));
        let look = || {
            // In this order: who puts something in and goes has put it in before.
            let is_over = !self.0.has_senders();
            let next = self.0.next();
            if next.is_some() || is_over { Poll::Ready(next) } else { Poll::Pending }
        };
        let mut come = look();
        if come.is_pending() {
            self.0.reader.register(context.waker());
            come = look();
        }
        if come.is_ready() {
            budget.made_progress();
        }
        come
    }

    /// Waits for it.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Whether something is there already.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire) > 0
    }

    /// From now on nobody is woken, neither by what is put in nor by the end, until the next look. For one who is about to
    /// do what puts things in, and looks afterwards.
    pub fn rest(&self) {
        drop(self.0.reader.take());
    }

    /// What is there already.
    pub fn try_recv(&mut self) -> Option<T> {
        self.0.next()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.reader.wake();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.queue();
            self.0.is_read.store(false, Ordering::Release);
            self.0.waiting.store(0, Ordering::Release);
            std::mem::take(&mut *queue)
        };
        drop(left);
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn things_come_out_in_order_and_the_end_comes_after_them() {
        let (first, mut out) = channel(4);
        let second = first.clone();
        first.try_send(1).unwrap();
        second.try_send(2).unwrap();
        drop(first);
        second.try_send(3).unwrap();
        drop(second);
        let all = [out.recv().await, out.recv().await, out.recv().await, out.recv().await];
        assert_eq!(all, [Some(1), Some(2), Some(3), None]);
        assert_eq!(out.try_recv(), None);
    }

    #[test]
    fn what_finds_no_room_comes_back_and_so_does_what_nobody_will_take() {
        let (to, mut out) = channel(2);
        to.try_send(1).unwrap();
        to.try_send(2).unwrap();
        assert_eq!(to.try_send(3), Err(NotTaken::Full(3)));
        to.send_last(4).unwrap();
        assert_eq!(to.send_last(5), Err(NotTaken::Full(5)));
        assert_eq!([out.try_recv(), out.try_recv()], [Some(1), Some(2)]);
        to.try_send(6).unwrap();
        assert_eq!([out.try_recv(), out.try_recv(), out.try_recv()], [Some(4), Some(6), None]);
        assert!(!to.is_closed());
        drop(out);
        assert!(to.is_closed());
        assert_eq!(to.try_send(4), Err(NotTaken::Closed(4)));
    }

    #[test]
    fn who_rests_is_woken_by_nothing_until_the_next_look() {
        let wakes = Arc::new(crate::woken::Wakes::default());
        let waker = std::task::Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let (to, mut out) = channel(2);
        assert_eq!(out.poll_recv(&mut context), Poll::Pending);
        out.rest();
        assert!(!out.has_any());
        to.try_send(1).unwrap();
        assert!(out.has_any());
        assert_eq!((out.poll_recv(&mut context), wakes.count()), (Poll::Ready(Some(1)), 0));
        assert_eq!(out.poll_recv(&mut context), Poll::Pending);
        to.try_send(2).unwrap();
        assert_eq!((out.poll_recv(&mut context), wakes.count()), (Poll::Ready(Some(2)), 1));
    }

    #[test]
    fn what_is_left_in_it_goes_with_its_reader() {
        let (to, out) = channel(2);
        let value = Arc::new(());
        to.try_send(Arc::clone(&value)).unwrap();
        drop(out);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_each_thing_and_by_the_end() {
        for _ in 0..100 {
            let (to, mut out) = channel(1000);
            let senders = [(); 3].map(|()| {
                let to = to.clone();
                std::thread::spawn(move || {
                    for step in 0..20 {
                        to.try_send(step).unwrap();
                        std::thread::yield_now();
                    }
                })
            });
            drop(to);
            let mut count = 0;
            while out.recv().await.is_some() {
                count += 1;
            }
            assert_eq!(count, 60);
            for sender in senders {
                sender.join().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_queue_that_is_never_empty_leaves_room_for_others() {
        let (to, mut out) = channel(1000);
        let reading = async {
            loop {
                to.try_send(()).unwrap();
                out.recv().await;
            }
        };
        tokio::select! {
            biased;
            () = reading => unreachable!("it has no end"),
            () = tokio::task::yield_now() => {}
        }
    }
}
