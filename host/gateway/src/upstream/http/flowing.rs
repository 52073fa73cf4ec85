//! A response that is passed on as it comes: what goes on reading it once its start has been judged.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmgate_core::json::Json;

use super::answer::Exchange;
use super::cancel::CancelOnDrop;
use super::pulse::Doubt;
use crate::egress::Body;
use crate::upstream::sieve::Sieve;
use crate::upstream::sse::EventTail;
use crate::upstream::{Answer, Fault, Flow};

/// What a response comes to.
pub(super) enum Come {
    /// An answer, whole.
    Answer(Answer),
    /// A result that has begun.
    Flows(Box<Begun>),
}

/// A result that has begun, and where the rest of it comes from.
pub(super) struct Begun {
    pub(super) body: Body,
    /// Where the body is a stream of events: the one that carries the response.
    pub(super) event: Option<EventTail>,
    pub(super) sieve: Box<Sieve>,
}

/// What goes with a call until it is over.
pub(super) struct Beside {
    pub(super) in_flight: TaskTrackerToken,
    pub(super) cancel: CancelOnDrop,
    pub(super) doubt: Option<Doubt>,
}

/// One response on its way.
struct Source {
    begun: Begun,
    exchange: Exchange,
    beside: Beside,
}

impl Begun {
    /// The flow of a call that `exchange` is.
    pub(super) fn flow(self, mut exchange: Exchange, beside: Beside) -> Flow {
        let limit = exchange.limit();
        exchange.patience.suspend(Instant::now().into_std());
        let source = Source { begun: self, exchange, beside };
        let pieces = stream::unfold(Some(source), async |source| {
            let mut source = source?;
            match source.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(source))),
                Ok(None) => {
                    source.over(&Ok(Answer::Result(Json::null())));
                    None
                }
                Err(fault) => {
                    source.over(&Err(fault.clone()));
                    Some((Err(fault), None))
                }
            }
        });
        Flow::new(pieces.boxed(), limit)
    }
}

impl Source {
    /// The next part. The server's clock runs only while it is waited for.
    async fn next(&mut self) -> Result<Option<crate::upstream::Piece>, Fault> {
        let now = || Instant::now().into_std();
        loop {
            if let Some(piece) = self.begun.sieve.next() {
                return Ok(Some(piece));
            }
            if self.begun.event.as_ref().is_some_and(EventTail::is_over) {
                self.begun.sieve.finish()?;
                return Ok(None);
            }
            self.exchange.patience.resume(now());
            let piece = self.exchange.piece(&mut self.begun.body).await;
            self.exchange.patience.suspend(now());
            match piece? {
                Some(piece) => self.take(&piece)?,
                None if self.begun.event.is_some() => {
                    return Err(Fault::Crashed(": its stream ended before the answer".into()));
                }
                None => {
                    self.begun.sieve.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    fn take(&mut self, piece: &Bytes) -> Result<(), Fault> {
        let Begun { event, sieve, .. } = &mut self.begun;
        let Some(event) = event else { return sieve.push(piece) };
        let mut taken = Ok(());
        let is_message = event.feed(piece, &mut |data| {
            if taken.is_ok() {
                taken = sieve.push(&data);
            }
        });
        taken?;
        if is_message {
            Ok(())
        } else {
            Err(Fault::Misbehaved("an event that is no message after all".into()))
        }
    }

    /// The call has ended like this.
    fn over(self, answer: &Result<Answer, Fault>) {
        let Beside { in_flight, cancel, doubt } = self.beside;
        doubt.into_iter().for_each(|doubt| doubt.settle(answer));
        cancel.settle(answer);
        drop(in_flight);
    }
}
