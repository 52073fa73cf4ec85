//! How long a call has been silent: one timer for all calls of a connection.
//!
//! A timer of its own for every call would be set and given up thousands of times a second, and as it is mostly the next
//! one due it would wake the runtime each time with a system call. This one is left where it is and set anew only when it
//! has run out before its call has.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A connection's timer, while no call has it.
#[derive(Default)]
pub(super) struct Silence(Mutex<Option<Pin<Box<Sleep>>>>);

impl Silence {
    /// What comes within `time`; None when nothing does.
    pub(super) async fn within<T>(&self, time: Duration, what: impl Future<Output = T>) -> Option<T> {
        let mut what = pin!(what);
        let until = Instant::now() + time;
        let mut timer = self.take(until);
        let came = poll_fn(|cx| {
            if let Poll::Ready(came) = what.as_mut().poll(cx) {
                return Poll::Ready(Some(came));
            }
            loop {
                ready!(timer.as_mut().poll(cx));
                if Instant::now() >= until {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset(until);
            }
        });
        let came = came.await;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(timer);
        came
    }

    /// The timer, set to `until` or before.
    fn take(&self, until: Instant) -> Pin<Box<Sleep>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|timer| timer.deadline() <= until).unwrap_or_else(|| Box::pin(sleep_until(until)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn every_call_has_its_whole_time() {
        let silence = Silence::default();
        let check = async |limit: u32, takes: u32, expected: Option<u32>| {
            let began = Instant::now();
            let came = silence.within(SECOND * limit, sleep(SECOND * takes)).await;
            assert_eq!(came.map(|()| takes), expected, "{takes} s of {limit}");
            assert_eq!(began.elapsed().as_secs(), u64::from(limit.min(takes)), "{takes} s of {limit}");
        };
        // With a timer that an earlier call left behind, due sooner or later than the call's own.
        check(2, 1, Some(1)).await;
        check(2, 1, Some(1)).await;
        check(2, 3, None).await;
        check(15, 1, Some(1)).await;
        check(2, 3, None).await;
        sleep(SECOND * 30).await;
        check(2, 1, Some(1)).await;
        check(2, 3, None).await;
    }
}
