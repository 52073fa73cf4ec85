//! One HTTP/1.1 connection, driven by whoever waits for what comes on it: no task of its own, so a request and its answer
//! cost no switches between tasks, and what nobody reads is not read from the socket either.
//!
//! Between two requests nobody drives it. What the other side does in the meantime, closing it for example, is seen before
//! the next request is written: that one is handed back then, unsent.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::kept::Shelf;
use crate::joined::Joined;

/// The bytes of a connection, with TLS or without.
pub(super) type Stream = MaybeHttpsStream<TokioIo<Joined<TcpStream>>>;

/// A connection on which one request at a time is made.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Until it is over: what waits for it hears of the end when it is gone.
    driver: Option<http1::Connection<Stream, Full<Bytes>>>,
    bell: Arc<Bell>,
    /// The bell, as the driver knows it.
    waker: Waker,
}

/// Why there is no answer on this connection.
pub(super) enum Failure {
    /// It was closed before anything of the request was written.
    Unsent(Box<Request<Full<Bytes>>>),
    /// It broke; the request may have arrived.
    Broken(hyper::Error),
}

impl Connection {
    /// Speaks HTTP on a stream that has just been opened.
    pub(super) async fn on(stream: Stream) -> Result<Box<Self>, hyper::Error> {
        let (sender, driver) = http1::handshake(stream).await?;
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Box::new(Self { sender, driver: Some(driver), bell, waker }))
    }

    /// Makes a request and waits for the head of its answer. Once that has been read to its end, the connection goes on the
    /// shelf. Dropping the future, or the body before its end, closes it.
    pub(super) async fn send(
        mut self: Box<Self>,
        request: Request<Full<Bytes>>,
        shelf: Arc<Shelf>,
    ) -> Result<Response<Body>, Failure> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let answer = std::future::poll_fn(|context| self.drive(context, |quiet| answer.as_mut().poll(quiet)));
        let response = answer.await.map_err(|mut failed| match failed.take_message() {
            Some(request) => Failure::Unsent(Box::new(request)),
            None => Failure::Broken(failed.into_error()),
        })?;
        Ok(response.map(|incoming| {
            let mut body = Body { incoming, from: Some((self, shelf)) };
            body.settle_at_end();
            body
        }))
    }

    /// Looks whether something has come; if not, goes on with the connection and looks again.
    ///
    /// What is looked at is woken by nobody but the driver, which runs here. So it is looked at without a waker, and
    /// nothing wakes the task that is at it already.
    fn drive<T>(
        &mut self,
        context: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let quiet = &mut Context::from_waker(Waker::noop());
        let come = look(quiet);
        if come.is_ready() {
            return come;
        }
        // In this order: what happens from now on is seen by the driver, or wakes the task.
        self.bell.0.register(context.waker());
        self.go_on();
        let come = look(quiet);
        if come.is_ready() {
            drop(self.bell.0.take());
        }
        come
    }

    fn go_on(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        // An error is the answer's, too, or nobody's.
        if Pin::new(driver).poll(&mut Context::from_waker(&self.waker)).is_ready() {
            self.driver = None;
        }
    }

    /// Whether another request can be made, as far as is known on this side.
    pub(super) fn is_open(&mut self) -> bool {
        self.go_on();
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Wakes whoever waits for what comes on a connection.
#[derive(Default)]
struct Bell(AtomicWaker);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

/// The body of an answer. Reading it drives its connection.
pub struct Body {
    incoming: Incoming,
    /// Until its end has been read: the connection, and where that goes then.
    from: Option<(Box<Connection>, Arc<Shelf>)>,
}

impl Body {
    /// Gives the connection back when nothing more comes for this body.
    fn settle_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if let Some((mut connection, shelf)) = self.from.take()
            && connection.is_open()
        {
            shelf.keep(connection);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { incoming, from } = &mut *self;
        let mut incoming = Pin::new(incoming);
        let Some((connection, _)) = from else { return incoming.poll_frame(context) };
        let come = ready!(connection.drive(context, |quiet| incoming.as_mut().poll_frame(quiet)));
        match &come {
            Some(Ok(_)) => self.settle_at_end(),
            Some(Err(_)) => self.from = None,
            None => self.settle(),
        }
        Poll::Ready(come)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Body {
    /// Takes the end when it is there already, so that the connection can be used again.
    fn drop(&mut self) {
        let quiet = &mut Context::from_waker(Waker::noop());
        for _ in 0..MAX_DISCARDED {
            if self.from.is_none() {
                return;
            }
            let Poll::Ready(Some(Ok(_))) = Pin::new(&mut *self).poll_frame(quiet) else { return };
        }
    }
}

/// So many pieces of a body that nobody wants any more are taken for its end.
const MAX_DISCARDED: usize = 8;
