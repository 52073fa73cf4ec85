//! The task that owns a pair of pipes and what is behind them.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc;
use wasmgate_core::name::ServerName;

use super::garbage::Garbage;
use super::{Behind, Control, Ends, Order, Ticket};
use crate::launch::{Input, Output};
use crate::upstream::correlator::Correlator;
use crate::upstream::framer::{Frame, Framer, MAX_MESSAGE};
use crate::upstream::incoming::{self, Concern, Incoming};
use crate::upstream::link::{Ending, Signals, cancelled};
use crate::upstream::{Answer, Fault, questions};

/// The owner of one connection.
pub(super) struct Owner {
    output: Output,
    framer: Framer,
    writer: Writer,
    behind: Behind,
    orders: mpsc::Receiver<Order>,
    controls: mpsc::UnboundedReceiver<Control>,
    timer: Pin<Box<Sleep>>,
    /// As good as never; a timer cannot be armed for longer than a few years.
    never: Instant,
    desk: Desk,
    /// Set when we are to end: the latest moment for calls in flight.
    closing: Option<Instant>,
}

/// What happened next.
enum Step {
    Read(io::Result<usize>),
    Written(io::Result<()>),
    Ordered(Option<Order>),
    Controlled(Option<Control>),
    Due,
    Ended(Ending),
}

impl Owner {
    pub(super) fn new(
        server: ServerName,
        ends: Ends,
        orders: mpsc::Receiver<Order>,
        controls: mpsc::UnboundedReceiver<Control>,
        signals: Arc<Signals>,
    ) -> Self {
        let never = Instant::now() + Duration::from_secs(365 * 86400);
        Self {
            never,
            output: ends.output,
            framer: Framer::new(MAX_MESSAGE),
            writer: Writer { input: Some(ends.input), out: BytesMut::new(), is_unflushed: false },
            behind: ends.behind,
            orders,
            controls,
            timer: Box::pin(sleep_until(never)),
            desk: Desk {
                server,
                signals,
                waiting: Correlator::new(),
                listens: HashMap::new(),
                garbage: Garbage::default(),
                dropped: 0,
            },
            closing: None,
        }
    }

    /// Serves until the connection is over, says how it ended, and stops what is behind the pipes.
    pub(super) async fn run(mut self, ending: watch::Sender<Option<Ending>>) {
        let how = loop {
            let step = self.step().await;
            if let Some(how) = self.take(step) {
                break how;
            }
        };
        let how = match how {
            Over::Closed => Ending::closed(),
            Over::Broken(why) => self.wind_up(&why).await,
            Over::Ended(how) => self.drain_output(how).await,
        };
        tracing::debug!(
            server = %self.desk.server, garbage = self.desk.garbage.lines(), dropped = self.desk.dropped,
            "connection over"
        );
        let _ = ending.send(Some(how.clone()));
        self.desk.fail_all(&how.crashed());
        self.refuse_the_rest(&how);
        // The server sees the end of its input before it is stopped; callers of `close` wait until it has been.
        self.writer.input = None;
        self.behind.stop().await;
    }

    async fn step(&mut self) -> Step {
        let Self { output, framer, writer, behind, orders, controls, timer, closing, .. } = self;
        let has_room = writer.out.len() < MAX_UNWRITTEN && closing.is_none();
        let is_writing = writer.is_writing();
        tokio::select! {
            read = output.read_buf(framer.spare()) => Step::Read(read),
            written = writer.pump(), if is_writing => Step::Written(written),
            order = orders.recv(), if has_room => Step::Ordered(order),
            control = controls.recv() => Step::Controlled(control),
            () = timer.as_mut() => Step::Due,
            ending = behind.ended() => Step::Ended(ending),
        }
    }

    fn take(&mut self, step: Step) -> Option<Over> {
        match step {
            Step::Read(Ok(0)) => return Some(Over::Broken("it closed its output".into())),
            Step::Read(Ok(_)) => self.take_lines(),
            Step::Read(Err(error)) => {
                return Some(Over::Broken(format!("its output cannot be read: {error}")));
            }
            Step::Written(Ok(())) => {}
            Step::Written(Err(_)) => return Some(Over::Broken("it closed its input".into())),
            Step::Ordered(Some(order)) => self.take_orders(order),
            // Nobody holds a handle any more.
            Step::Ordered(None) => self.close(Duration::ZERO),
            Step::Controlled(Some(control)) => self.take_control(control),
            Step::Controlled(None) => self.close(Duration::ZERO),
            Step::Due => self.expire(),
            Step::Ended(ending) => return Some(Over::Ended(ending)),
        }
        self.set_timer();
        let is_over =
            self.closing.is_some_and(|latest| self.desk.waiting.len() == 0 || Instant::now() >= latest);
        is_over.then_some(Over::Closed)
    }

    fn take_lines(&mut self) {
        while let Some(frame) = self.framer.next() {
            self.desk.frame(frame, &mut self.writer);
        }
    }

    /// Takes this request and those that wait behind it, so that they go out in one write.
    fn take_orders(&mut self, first: Order) {
        self.desk.order(first, &mut self.writer);
        while self.writer.out.len() < MAX_UNWRITTEN
            && let Ok(order) = self.orders.try_recv()
        {
            self.desk.order(order, &mut self.writer);
        }
    }

    fn take_control(&mut self, control: Control) {
        match control {
            Control::Cancel(id) => {
                if self.desk.waiting.end(id).or_else(|| self.desk.listens.remove(&id)).is_some() {
                    self.writer.cancel(id, "the client cancelled the request");
                }
            }
            Control::Fail(id, fault) => self.desk.finish(id, Err(fault)),
            Control::TooLong(head) => self.desk.too_long(&head, &[]),
            Control::Tell(line) => self.writer.out.extend_from_slice(&line),
            Control::Close(grace) => self.close(grace),
        }
    }

    /// Takes no more requests but those already handed over, and gives all of them so long to finish.
    fn close(&mut self, grace: Duration) {
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            self.desk.order(order, &mut self.writer);
        }
        self.closing = Some(Instant::now() + grace);
    }

    fn expire(&mut self) {
        for (id, ticket, seconds) in self.desk.waiting.expire(Instant::now().into_std()) {
            self.writer.cancel(id, "no answer in time");
            let _ = ticket.reply.send(Err(Fault::Timeout(seconds)));
        }
    }

    fn set_timer(&mut self) {
        let check_at = self.desk.waiting.check_at().map(Instant::from_std);
        let next = [check_at, self.closing].into_iter().flatten().min().unwrap_or(self.never);
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
    }

    /// The pipes broke: usually because the server is ending, which explains more.
    async fn wind_up(&mut self, why: &str) -> Ending {
        let ended = timeout_at(Instant::now() + LINGER, self.behind.ended()).await;
        self.drain_output(ended.unwrap_or_else(|_| Ending::broken(why))).await
    }

    /// Reads what the server still wrote before it ended, answers among it.
    async fn drain_output(&mut self, how: Ending) -> Ending {
        let latest = Instant::now() + LINGER;
        while self.desk.waiting.len() > 0
            && let Ok(Ok(1..)) = timeout_at(latest, self.output.read_buf(self.framer.spare())).await
        {
            self.take_lines();
        }
        if let Some(frame) = self.framer.finish() {
            self.desk.frame(frame, &mut self.writer);
        }
        how
    }

    /// Requests that came when it was over were never sent.
    fn refuse_the_rest(&mut self, how: &Ending) {
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            let _ = order.ticket.reply.send(Err(how.unavailable()));
        }
    }
}

/// Why the loop ended.
enum Over {
    Closed,
    Broken(String),
    Ended(Ending),
}

/// Requests in flight, and what to do with what comes in.
struct Desk {
    server: ServerName,
    signals: Arc<Signals>,
    waiting: Correlator<Ticket>,
    /// Listens are no calls: they end with the connection, and say nothing of which call a message belongs to.
    listens: HashMap<u64, Ticket>,
    garbage: Garbage,
    /// Messages nobody waited for.
    dropped: u64,
}

impl Desk {
    fn order(&mut self, order: Order, writer: &mut Writer) {
        // A caller that has gone already is not sent for.
        if order.ticket.reply.is_closed() {
            return;
        }
        writer.out.extend_from_slice(&order.line);
        if order.is_listen {
            self.listens.insert(order.id, order.ticket);
            return;
        }
        self.waiting.ask(order.id, order.ticket, order.token, order.patience);
    }

    fn frame(&mut self, frame: Frame, writer: &mut Writer) {
        match frame {
            Frame::Line(line) => {
                incoming::read(&line, &mut |incoming| self.incoming(incoming, &line, writer));
            }
            Frame::TooLong { head, tail } => self.too_long(&head, &tail),
        }
    }

    fn incoming(&mut self, incoming: Incoming, line: &Bytes, writer: &mut Writer) {
        let now = Instant::now().into_std();
        match incoming {
            Incoming::Answer(Some(id), answer) => match id.as_u64() {
                Some(id) => self.finish(id, Ok(answer)),
                None => self.dropped += 1,
            },
            // It could not read a request: when there is only one, that one.
            Incoming::Answer(None, answer) => match self.waiting.only(now).map(|(id, _)| id) {
                Some(id) => self.finish(id, Ok(answer)),
                None => self.dropped += 1,
            },
            Incoming::Broken(id, detail) => match id.as_u64() {
                Some(id) => self.finish(id, Err(Fault::Misbehaved(detail))),
                None => self.garbage.add(&self.server, line, now),
            },
            Incoming::Progress(token, params) => {
                match token.and_then(|token| self.waiting.progress(token, now)) {
                    Some((ticket, known)) => ticket.progress(&params, known),
                    None => self.dropped += 1,
                }
            }
            Incoming::Log(params) => match self.waiting.only(now) {
                Some((_, ticket)) => ticket.log(params),
                None => self.dropped += 1,
            },
            Incoming::Changed(kinds) => self.signals.raise(kinds),
            Incoming::Updated(method, params) => self.signals.update(method, params),
            Incoming::Acknowledged(id, params) => self.acknowledged(id, params),
            Incoming::Dropped(id) => {
                if let Some(ticket) = self.listens.remove(&id) {
                    let _ = ticket.reply.send(Err(Fault::Crashed(": it gave the request up".into())));
                }
            }
            Incoming::Question(id, method) => writer.answer(&id, &method),
            Incoming::Other => self.dropped += 1,
            Incoming::Garbage => self.garbage.add(&self.server, line, now),
        }
    }

    fn finish(&mut self, id: u64, answer: Result<Answer, Fault>) {
        let Some(mut ticket) = self.waiting.end(id).or_else(|| self.listens.remove(&id)) else {
            self.dropped += 1;
            tracing::debug!(server = %self.server, id, "answer nobody waits for: dropped");
            return;
        };
        if let Some(events) = &mut ticket.events {
            events.flush();
        }
        let _ = ticket.reply.send(answer);
    }

    /// Fails the request an over-long line answered, or all when nothing says which.
    fn too_long(&mut self, head: &[u8], tail: &[u8]) {
        let fault = Fault::TooLarge(MAX_MESSAGE);
        tracing::warn!(server = %self.server, limit = MAX_MESSAGE, "message longer than the limit: dropped");
        match incoming::concern(head, tail) {
            Concern::Request(id) => self.finish(id, Err(fault)),
            Concern::Nobody => self.dropped += 1,
            Concern::Unknown => self.fail_all(&fault),
        }
    }

    /// A server that does not say which listen it means can only mean the one there is.
    fn acknowledged(&mut self, id: Option<u64>, params: Json) {
        let is_only = self.listens.len() == 1;
        let ticket = match id {
            Some(id) => self.listens.get_mut(&id),
            None => self.listens.values_mut().next().filter(|_| is_only),
        };
        match ticket.and_then(|ticket| ticket.events.as_mut()) {
            Some(events) => events.acknowledged(params),
            None => self.dropped += 1,
        }
    }

    fn fail_all(&mut self, fault: &Fault) {
        for ticket in self.waiting.drain() {
            let _ = ticket.reply.send(Err(fault.clone()));
        }
    }
}

impl Ticket {
    fn progress(&mut self, params: &Json, known: &Json) {
        if let Some(events) = &mut self.events {
            events.progress(params, known);
        }
    }

    fn log(&mut self, params: Json) {
        if let Some(events) = &mut self.events {
            events.log(params);
        }
    }
}

/// What goes to the server.
struct Writer {
    input: Option<Input>,
    out: BytesMut,
    is_unflushed: bool,
}

impl Writer {
    fn is_writing(&self) -> bool {
        self.input.is_some() && (!self.out.is_empty() || self.is_unflushed)
    }

    /// Writes or flushes once; may be dropped and called again.
    async fn pump(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Ok(()) };
        if self.out.is_empty() {
            input.flush().await?;
            self.is_unflushed = false;
            return Ok(());
        }
        let written = input.write(&self.out).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.out.advance(written);
        self.is_unflushed = true;
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    fn cancel(&mut self, id: u64, reason: &str) {
        let params = cancelled(id, reason);
        self.line(&jsonrpc::write_notification("notifications/cancelled", Some(&params)));
    }

    /// A server that asks and does not read its answers gets no more of them.
    fn answer(&mut self, id: &jsonrpc::Id, method: &str) {
        if self.out.len() < MAX_UNWRITTEN {
            self.line(&questions::answer(id, method));
        }
    }

    fn line(&mut self, message: &[u8]) {
        self.out.extend_from_slice(message);
        self.out.extend_from_slice(b"\n");
    }
}

impl Behind {
    async fn ended(&mut self) -> Ending {
        match self {
            Self::Instance(instance) => Ending::exited(instance.ended().await),
            Self::Other(ended) => ended.await.unwrap_or_else(|_| Ending::broken("the connection broke")),
        }
    }

    async fn stop(self) {
        if let Self::Instance(instance) = self {
            instance.stop(STOP_GRACE).await;
        }
    }
}

/// No more requests are taken while so much waits for the server to read it.
const MAX_UNWRITTEN: usize = 4 * 1024 * 1024;
/// How long an ending server may take to say why, or its last answers to arrive.
const LINGER: Duration = Duration::from_millis(150);
/// How long a server has between the steps of its stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
