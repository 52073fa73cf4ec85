//! The task that owns a pair of pipes and what is behind them.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::desk::Desk;
use super::writer::Writer;
use super::{Behind, Control, Ends, Order};
use crate::launch::{Censor, Output};
use crate::upstream::framer::Framer;
use crate::upstream::link::Ending;

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
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a box for each request costs more"
)]
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
        ends: Ends,
        orders: mpsc::Receiver<Order>,
        controls: mpsc::UnboundedReceiver<Control>,
        desk: Desk,
    ) -> Self {
        let never = Instant::now() + Duration::from_secs(365 * 86400);
        Self {
            never,
            output: ends.output,
            framer: Framer::new(desk.limit()),
            writer: Writer::new(ends.input),
            behind: ends.behind,
            orders,
            controls,
            timer: Box::pin(sleep_until(never)),
            desk,
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
        let mut how = match how {
            Over::Closed => Ending::closed(),
            Over::Silent => Ending::unresponsive(),
            Over::Broken(why) => self.wind_up(&why).await,
            Over::Ended(how) => self.drain_output(how).await,
        };
        self.desk.report();
        // Many a server says on its stdout why it does not start.
        how.stderr = how.stderr.or_else(|| self.desk.last_words());
        let _ = ending.send(Some(how.clone()));
        self.desk.fail_all(&how.crashed());
        self.refuse_the_rest(&how);
        // The server sees the end of its input before it is stopped; callers of `close` wait until it has been.
        self.writer.close();
        self.behind.stop().await;
    }

    async fn step(&mut self) -> Step {
        let Self { output, framer, writer, behind, orders, controls, timer, closing, .. } = self;
        let has_room = writer.has_room() && closing.is_none();
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
            Step::Read(Ok(_)) => {
                self.desk.heard();
                self.take_lines();
            }
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
            Step::Due => {
                self.desk.expire(self.timer.deadline(), &mut self.writer);
                if self.desk.is_dead(&mut self.writer) {
                    return Some(Over::Silent);
                }
            }
            Step::Ended(ending) => return Some(Over::Ended(ending)),
        }
        self.set_timer();
        let is_over = self.closing.is_some_and(|latest| self.desk.is_idle() || Instant::now() >= latest);
        is_over.then_some(Over::Closed)
    }

    fn take_lines(&mut self) {
        while let Some(frame) = self.framer.next() {
            self.desk.frame(frame, &mut self.writer);
        }
        self.desk.hand_out();
    }

    /// Takes this request and those that wait behind it, so that they go out in one write.
    fn take_orders(&mut self, first: Order) {
        self.desk.order(first, &mut self.writer);
        while self.writer.has_room()
            && let Ok(order) = self.orders.try_recv()
        {
            self.desk.order(order, &mut self.writer);
        }
    }

    fn take_control(&mut self, control: Control) {
        match control {
            Control::Cancel(id) => self.desk.cancel(id, &mut self.writer),
            Control::Resume(id, resumption) => self.desk.resume(id, resumption, &mut self.writer),
            Control::Fail(id, fault) => self.desk.finish(id, Err(fault)),
            Control::TooLong(head) => self.desk.too_long(&head, &[]),
            Control::Tell(message) => self.writer.line(&message),
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

    fn set_timer(&mut self) {
        let next = [self.desk.check_at(), self.closing].into_iter().flatten().min().unwrap_or(self.never);
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
    }

    /// The pipes broke: usually because the server is ending, which explains more.
    async fn wind_up(&mut self, why: &str) -> Ending {
        let ended = timeout_at(Instant::now() + WHY, self.behind.ended()).await;
        self.drain_output(ended.unwrap_or_else(|_| Ending::broken(why))).await
    }

    /// Reads what the server still wrote before it ended, answers among it.
    async fn drain_output(&mut self, how: Ending) -> Ending {
        let latest = Instant::now() + LINGER;
        while !self.desk.is_idle()
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
            order.ticket.talk.finish(Err(how.unavailable()));
        }
    }
}

/// Why the loop ended.
enum Over {
    Closed,
    /// It gives no sign of life.
    Silent,
    Broken(String),
    Ended(Ending),
}

impl Behind {
    /// What nobody is to read in what it says.
    pub(super) fn censor(&self) -> Censor {
        match self {
            Self::Instance(instance) => instance.censor(),
            Self::Other(_) => Censor::default(),
        }
    }

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

/// How long an ending server may take to say why. The engine of a container is asked for that, and may be busy.
const WHY: Duration = Duration::from_secs(1);
/// How long the last answers of an ending server may take to arrive.
const LINGER: Duration = Duration::from_millis(150);
/// How long a server has between the steps of its stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
