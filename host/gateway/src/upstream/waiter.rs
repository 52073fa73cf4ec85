//! The caller's end of a call that somebody else looks after: the owner of a pair of pipes, or the task of one exchange.

use tokio::sync::oneshot;
use wasmgate_core::name::ServerName;

use super::asks::{Asks, Parked, Reply, Resumed, Waiting};
use super::questions::{Outcome, Resumption, Said};
use super::{Answer, Event, Fault};
use crate::mailbox;

/// Waits for what a server says to a call. Dropping it cancels the call.
pub(super) struct Waiter<K: Keeper> {
    keeper: K,
    next: oneshot::Receiver<Outcome>,
    is_settled: bool,
}

/// Whoever looks after a call.
pub(super) trait Keeper: Send + 'static {
    /// Where the call is.
    fn server(&self) -> &ServerName;

    /// The client has replied.
    fn resume(&self, resumption: Resumption);

    /// Nobody waits any more.
    fn cancel(&self);

    /// Why it has ended without a word.
    fn lost(&self) -> Fault;
}

impl<K: Keeper> Waiter<K> {
    /// For a call whose outcome comes from `next`.
    pub(super) fn new(keeper: K, next: oneshot::Receiver<Outcome>) -> Self {
        Self { keeper, next, is_settled: false }
    }

    /// Waits for the answer or the next questions.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer of the server's own.
    pub(super) async fn wait(mut self) -> Result<Answer, Fault> {
        let outcome = (&mut self.next).await;
        self.is_settled = true;
        match outcome {
            Ok(Ok(Said::Answer(answer))) => Ok(answer),
            Ok(Ok(Said::Questions(questions, next, over))) => {
                (self.next, self.is_settled) = (next, false);
                let server = self.keeper.server().clone();
                Ok(Answer::Asks(Asks { questions, parked: Parked::new(server, Box::new(self)).until(over) }))
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => Err(self.keeper.lost()),
        }
    }
}

impl<K: Keeper> Waiting for Waiter<K> {
    fn resume(self: Box<Self>, replies: Vec<(String, Reply)>, events: mailbox::Sender<Event>) -> Resumed {
        Box::pin(async move {
            self.keeper.resume(Resumption { replies, events });
            self.wait().await
        })
    }
}

impl<K: Keeper> Drop for Waiter<K> {
    fn drop(&mut self) {
        // First: whoever is told must find that nobody waits.
        self.next.close();
        if !self.is_settled {
            self.keeper.cancel();
        }
    }
}
