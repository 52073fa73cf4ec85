//! One client on a pair of pipes: newline-delimited messages, legacy and modern ones side by side. The output carries
//! nothing but protocol.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio_util::sync::CancellationToken;
use wasmgate_core::jsonrpc::{Id, Message, ReadError, peek_id, read};

use super::batch::{self, Manner};
use super::calling::{Reply, Step};
use super::classify::{Era, Protocol, Seen, Shape, classify};
use super::duplex::{Duplex, announcements};
use super::lines::{Line, Lines};
use super::render::{Refusal, Wire};
use super::session::{Caller, Session};
use super::settings::Limits;
use super::{Slot, legacy, modern};
use crate::gateway::{Appetite, Gateway, View};
use crate::shutdown::Tasks;

/// Serves one client until its input ends, its output breaks or the process stops. What was asked before the end of the
/// input is answered, within a few seconds; when the process stops, what was asked before is answered to the end.
pub async fn serve<R, W>(slot: Slot, (input, mut output): (R, W), limits: Limits, tasks: Tasks)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let stopping = tasks.stopping();
    let Some(gateway) = loaded(slot, &tasks).await else { return };
    let caller = Caller { principal: "local".into(), view: View::All };
    let session = Arc::new(Session::new("stdio".into(), caller, Instant::now(), CancellationToken::new()));
    let changes = announcements(&gateway, Arc::clone(&session), || true);
    let mut lines = Lines::new(BufReader::with_capacity(READ, input), limits.line);
    let mut duplex = Duplex::new(changes, None, stopping.clone());
    let pipe = Pipe { gateway, session, limits, stopping };
    let outcome = pipe.talk(&mut lines, &mut output, &mut duplex).await;
    pipe.session.end();
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => tracing::debug!("the client is gone"),
        Err(error) => tracing::error!(%error, "the client's pipe failed"),
        Ok(()) => {}
    }
}

/// The gateway, however long its configuration takes: the client's messages wait in the pipe. None when it never comes.
async fn loaded(mut slot: Slot, tasks: &Tasks) -> Option<Arc<Gateway>> {
    let stopping = tasks.stopping();
    tokio::select! {
        () = stopping.cancelled() => None,
        gateway = slot.wait_for(Option::is_some) => gateway.ok()?.clone(),
    }
}

struct Pipe {
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    limits: Limits,
    stopping: CancellationToken,
}

impl Pipe {
    async fn talk<R, W>(
        &self,
        lines: &mut Lines<BufReader<R>>,
        output: &mut W,
        duplex: &mut Duplex,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            tokio::select! {
                Some(message) = duplex.next() => write(output, message).await?,
                // Clients wait for the answer to `initialize`; what one sends at once waits in the pipe.
                line = lines.next(), if !self.session.is_opening() => match line? {
                    Some(line) => duplex.push(self.receive(line)),
                    None => break,
                },
                () = self.stopping.cancelled() => return self.drain(lines, output, duplex).await,
            }
        }
        // What a server asks now, nobody answers.
        self.session.hear_no_more();
        let rest = async {
            while let Some(message) = duplex.next_owed().await {
                write(output, message).await?;
            }
            Ok(())
        };
        tokio::time::timeout(LAST_WORDS, rest).await.unwrap_or(Ok(()))
    }

    /// Answers what is still owed. Answers of the client and what it cancels are heard meanwhile.
    async fn drain<R, W>(
        &self,
        lines: &mut Lines<BufReader<R>>,
        output: &mut W,
        duplex: &mut Duplex,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut hears = true;
        loop {
            tokio::select! {
                biased;
                message = duplex.next_owed() => match message {
                    Some(message) => write(output, message).await?,
                    None => return Ok(()),
                },
                line = lines.next(), if hears && !self.session.is_opening() => match line? {
                    Some(line) => duplex.push(self.receive(line)),
                    None => {
                        self.session.hear_no_more();
                        hears = false;
                    }
                },
            }
        }
    }

    fn receive(&self, line: Line) -> Step {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong(start) => {
                let detail = format!("the message is longer than {} bytes", self.limits.line);
                let error = ReadError { code: wasmgate_core::mcp::code::INVALID_REQUEST, id: None, detail };
                let id = peek_id(&start);
                return self.refuse((Wire::Legacy, id.as_ref()), None, &Refusal::Unreadable(error));
            }
        };
        let manner = Manner { hears: true, most: self.limits.in_flight, appetite: Appetite::default() };
        if batch::looks_like_batch(&bytes) {
            return batch::receive(&self.gateway, &self.session, bytes, manner);
        }
        self.message(bytes, manner)
    }

    fn message(&self, bytes: Bytes, manner: Manner) -> Step {
        let message = match read(bytes) {
            Ok(message) => message,
            Err(error) => {
                let id = error.id.clone();
                return self.refuse((Wire::Legacy, id.as_ref()), None, &Refusal::Unreadable(error));
            }
        };
        let Message::Request { id, method, params } = message else {
            return legacy::receive(&self.gateway, &self.session, message, manner);
        };
        let protocol = Protocol::of(params.as_ref());
        let seen = Seen { shape: Shape::Request, method: &method, protocol: &protocol, headers: None };
        let version = match classify(&seen) {
            Ok(Era::Modern(version)) => version,
            Ok(Era::Initialize | Era::Legacy | Era::Ignored) => {
                let message = Message::Request { id, method, params };
                return legacy::receive(&self.gateway, &self.session, message, manner);
            }
            Err(misfit) => {
                let to = (Wire::Modern, Some(&id));
                return self.refuse(to, Some(&method), &Refusal::Misfit(misfit));
            }
        };
        let in_flight = match self.session.begin_alone(&id, manner.most) {
            Ok(in_flight) => (Arc::clone(&self.session.id), in_flight),
            Err(refusal) => return self.refuse((Wire::Modern, Some(&id)), Some(&method), &refusal),
        };
        let asked = modern::Asked { id, method, params, protocol, version };
        modern::receive(
            &self.gateway,
            &self.session.caller,
            asked,
            (manner.hears, &manner.appetite),
            Some(in_flight),
        )
    }

    fn refuse(&self, (wire, id): (Wire, Option<&Id>), method: Option<&str>, refusal: &Refusal) -> Step {
        self.session.note(&self.gateway, method, refusal);
        Step::Reply(Reply::refusal(wire, id, refusal))
    }
}

async fn write<W: AsyncWrite + Unpin>(output: &mut W, mut message: Vec<u8>) -> io::Result<()> {
    message.push(b'\n');
    output.write_all(&message).await?;
    output.flush().await
}

/// How much is read at once.
const READ: usize = 64 << 10;

/// How long answers may take that are still owed when the input ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
