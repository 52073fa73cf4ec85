//! CONNECT (RFC 9110, 9.3.6): the other side is dialled first, then the first bytes are looked at, then all flows.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::time::timeout;
use wasmgate_core::catalog::Carries;

use super::Shared;
use super::answer::{Answer, Refusal, whole};
use super::hello::{self, Hello};
use super::traffic::{Counted, Ledger};

/// The tunnel that a connection becomes once its answer is written.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Option<Tunnel>>>);

impl Waiting {
    pub(super) fn take(&self) -> Option<Tunnel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, tunnel: Tunnel) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    }
}

/// Two ends, not joined yet.
pub(super) struct Tunnel {
    inner: OnUpgrade,
    outer: Counted,
    host: String,
    port: u16,
    carries: Carries,
}

impl Shared {
    /// Answers CONNECT; what comes after the answer is the tunnel's.
    pub(super) async fn connect(
        &self,
        request: Request<Incoming>,
        waiting: &Waiting,
    ) -> Result<Response<Answer>, Refusal> {
        let authority = request.uri().authority().ok_or_else(|| Refusal::bad("CONNECT needs host:port"))?;
        let (host, port) = place(authority)?;
        let not_named = || Refusal::forbidden(format!("`{host}:{port}` is not among the allowed hosts"));
        let permit = self.way.allowed.permits(&host, port).ok_or_else(not_named)?;
        if !permit.carries.tunnel() {
            return Err(Refusal::forbidden(format!("`{host}:{port}` is allowed for plain http only")));
        }
        let outer = self.ledger.count(self.dial(permit, &host, port).await?);
        let (inner, carries) = (hyper::upgrade::on(request), permit.carries);
        waiting.put(Tunnel { inner, outer, host, port, carries });
        Ok(Response::new(whole("")))
    }
}

/// Host and port of a CONNECT. Names and passwords in it are nobody's business.
fn place(authority: &Authority) -> Result<(String, u16), Refusal> {
    if authority.as_str().contains('@') {
        return Err(Refusal::bad("CONNECT takes host:port and nothing else"));
    }
    let port = authority.port_u16().ok_or_else(|| Refusal::bad("CONNECT needs a port"))?;
    Ok((authority.host().to_ascii_lowercase(), port))
}

impl Tunnel {
    /// Runs it until one side closes, or both are silent.
    pub(super) async fn run(self, ledger: &Ledger) {
        let idle = self.outer.idle();
        tokio::select! {
            ended = self.join() => if let Err(refusal) = ended {
                ledger.refused(&refusal);
            },
            () = idle => {}
        }
    }

    async fn join(self) -> Result<(), Refusal> {
        let Self { inner, mut outer, host, port, carries } = self;
        let Ok(inner) = inner.await else { return Ok(()) };
        let mut inner = TokioIo::new(inner);
        if carries != Carries::Anything {
            let refused = |why: &str| Refusal::forbidden(format!("a tunnel to `{host}:{port}` {why}"));
            let read = timeout(HELLO, first_flight(&mut inner)).await;
            let (bytes, hello) =
                read.unwrap_or_else(|_| Ok((Vec::new(), Hello::Endless))).unwrap_or_default();
            hello.is_for(&host).map_err(refused)?;
            if outer.write_all(&bytes).await.is_err() {
                return Ok(());
            }
        }
        // How it ends is the two sides' business.
        let _ = copy_bidirectional(&mut inner, &mut outer).await;
        Ok(())
    }
}

/// Reads until it is known what the client says first.
async fn first_flight(inner: &mut (impl AsyncRead + Unpin)) -> io::Result<(Vec<u8>, Hello)> {
    let mut bytes = Vec::with_capacity(2048);
    loop {
        match hello::read(&bytes) {
            Some(hello) => return Ok((bytes, hello)),
            None if bytes.len() >= HELLO_BYTES => return Ok((bytes, Hello::Endless)),
            None => {}
        }
        let room = HELLO_BYTES.saturating_sub(bytes.len()) as u64;
        if (&mut *inner).take(room).read_buf(&mut bytes).await? == 0 {
            return Ok((bytes, Hello::Nothing));
        }
    }
}

/// How long the first message of TLS may take.
const HELLO: Duration = Duration::from_secs(10);
/// How long it may be; with keys against quantum computers it is about 2 KiB.
const HELLO_BYTES: usize = 32 * 1024;
