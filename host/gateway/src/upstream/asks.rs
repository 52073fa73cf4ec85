//! A server of an older version asks its client something before it goes on with a call (elicitation, sampling, roots).
//!
//! The question comes out of the pool as an [`Asks`] in place of an answer. The call waits at the server, held by its
//! [`Parked`], until the client's replies are there; letting go of that cancels the call. Nothing is ever sent twice.

use std::fmt;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use super::{Answer, Event, Fault, UpstreamError};
use crate::mailbox;

/// What a server asks, and the call that waits for the replies.
#[derive(Debug)]
pub struct Asks {
    /// At least one.
    pub questions: Vec<Question>,
    /// The call.
    pub parked: Parked,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Tells the questions of one call apart.
    pub key: String,
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: Box<str>,
    /// As the server wrote them.
    pub params: Option<Json>,
}

/// What a client says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The result.
    Result(Json),
    /// A JSON-RPC error object.
    Error(Json),
}

/// A call that waits at its server until its client has replied. Dropping it cancels the call.
pub struct Parked {
    server: ServerName,
    call: Box<dyn Waiting>,
    /// Cancelled when the call is over at its server, whether or not its client knows.
    over: CancellationToken,
}

/// What waits, over one kind of connection. Dropping it, or the future of `resume`, cancels the call.
pub(crate) trait Waiting: Send {
    /// Hands the replies over and goes on: the answer, or the next questions.
    fn resume(self: Box<Self>, replies: Vec<(String, Reply)>, events: mailbox::Sender<Event>) -> Resumed;
}

/// The rest of a call.
pub(crate) type Resumed = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;

impl Parked {
    /// A call that waits at this server.
    pub(crate) fn new(server: ServerName, call: Box<dyn Waiting>) -> Self {
        Self { server, call, over: CancellationToken::new() }
    }

    /// The same call, of which `over` tells when it has ended at its server.
    pub(crate) fn until(self, over: CancellationToken) -> Self {
        Self { over, ..self }
    }

    /// Tells when the call has ended at its server.
    pub(crate) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// The same call, which keeps `held` until it is over.
    pub(crate) fn holding(self, held: impl Send + 'static) -> Self {
        Self { call: Box::new(Holding { call: self.call, held }), ..self }
    }

    /// Where it waits.
    pub const fn server(&self) -> &ServerName {
        &self.server
    }

    /// Goes on with the call. A question without a reply is asked again. `events` takes over from the call's first
    /// receiver of notifications.
    ///
    /// # Errors
    /// [`UpstreamError`] when no answer of the server's own can be had.
    pub async fn resume(
        self,
        replies: Vec<(String, Reply)>,
        events: mailbox::Sender<Event>,
    ) -> Result<Answer, UpstreamError> {
        let Self { server, call, .. } = self;
        call.resume(replies, events).await.map_err(|fault| UpstreamError { server, fault })
    }
}

/// A call and what it keeps until it is over.
struct Holding<T> {
    call: Box<dyn Waiting>,
    held: T,
}

impl<T: Send + 'static> Waiting for Holding<T> {
    fn resume(self: Box<Self>, replies: Vec<(String, Reply)>, events: mailbox::Sender<Event>) -> Resumed {
        Box::pin(async move {
            let Self { call, held } = *self;
            let answer = call.resume(replies, events).await?;
            Ok(answer.holding(held))
        })
    }
}

impl Answer {
    /// The same, which keeps `held` as long as its call goes on.
    pub(crate) fn holding(self, held: impl Send + 'static) -> Self {
        match self {
            Self::Asks(Asks { questions, parked }) => {
                Self::Asks(Asks { questions, parked: parked.holding(held) })
            }
            Self::Flow(flow) => Self::Flow(flow.holding(held)),
            over => over,
        }
    }
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked").field("server", &self.server).finish_non_exhaustive()
    }
}
