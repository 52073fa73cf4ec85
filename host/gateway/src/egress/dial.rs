//! Turns a URL's authority into a connection to an address that was checked.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tower_service::Service;

use super::{Exceptions, Reach, address};
use crate::joined::Joined;

/// A destination that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It leads to an address that is off limits.
    #[error("`{host}` is {kind}, which is not allowed here")]
    Address {
        /// As the URL spells it.
        host: String,
        /// What kind of address it leads to.
        kind: &'static str,
    },
    /// Plain http to a host the operator did not name.
    #[error("plain http to `{0}` is not allowed: use https")]
    PlainHttp(String),
    /// Neither http nor https, or no host.
    #[error("not an http or https address")]
    NotHttp,
}

/// Dials within a reach.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) reach: Reach,
    pub(super) exceptions: Arc<ArcSwap<Exceptions>>,
}

/// [`Refused`], or why there is no connection.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Dialled<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

impl Dialer {
    /// Within the deadline of all connections. `host` may stand in brackets.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        self.within(Speech::NotHttp, host, port).await
    }

    async fn within(&self, speech: Speech, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 5 s");
        timeout(CONNECT, self.dial(speech, host, port)).await.map_err(late)?
    }

    async fn dial(&self, speech: Speech, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let exceptions = self.exceptions.load_full();
        let plain = speech == Speech::PlainHttp;
        if plain && self.reach == Reach::Public && exceptions.is_empty() {
            return Err(Refused::PlainHttp(host.to_owned()).into());
        }
        let addresses = resolve(host, port).await?;
        for address in &addresses {
            let excepted = exceptions.name(host, *address);
            let reach = if excepted { Reach::Named } else { self.reach };
            if plain && reach == Reach::Public {
                return Err(Refused::PlainHttp(host.to_owned()).into());
            }
            let refused = |kind| Refused::Address { host: host.to_owned(), kind };
            address::check(address.ip(), reach).map_err(refused)?;
        }
        Ok(connect(&addresses).await?)
    }

    /// The address of a URI.
    pub(super) async fn request(&self, uri: &Uri) -> Result<TcpStream, Failure> {
        let host = uri.host().ok_or(Refused::NotHttp)?;
        let (speech, port) = match uri.scheme_str() {
            Some("https") => (Speech::Tls, 443),
            Some("http") => (Speech::PlainHttp, 80),
            _ => return Err(Refused::NotHttp.into()),
        };
        self.within(speech, host, uri.port_u16().unwrap_or(port)).await
    }
}

/// What will be said on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Tls,
    /// For everybody on the way to read.
    PlainHttp,
    /// Not ours: a server's own.
    NotHttp,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Joined<TcpStream>>;
    type Error = Failure;
    type Future = Dialled<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { Ok(TokioIo::new(Joined(dialer.request(&uri).await?))) })
    }
}

/// The dialler with TLS on top, all within a deadline.
#[derive(Clone)]
pub(super) struct Guarded(pub(super) HttpsConnector<Dialer>);

impl Service<Uri> for Guarded {
    type Response = MaybeHttpsStream<TokioIo<Joined<TcpStream>>>;
    type Error = Failure;
    type Future = Dialled<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connected = self.0.call(uri);
        Box::pin(async move {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS connection within 10 s");
            timeout(CONNECT_TLS, connected).await.map_err(late)?
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "every answer is looked at before one is dialled")]
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    #[cfg(test)]
    if host == LOOPBACK {
        return Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// Tries the addresses in turn; the last failure counts.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let share = CONNECT / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(share, connect_one(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Event streams may be silent for hours: this is how a dead peer is noticed.
    socket.set_keepalive(true)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A name whose owner says that it is this machine; the world's own names are not for unit tests.
#[cfg(test)]
pub(super) const LOOPBACK: &str = "loopback.test";
/// For name and connection together.
const CONNECT: Duration = Duration::from_secs(5);
/// With the TLS handshake.
const CONNECT_TLS: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refusal(dialled: Result<TcpStream, Failure>) -> String {
        dialled.unwrap_err().downcast::<Refused>().unwrap().to_string()
    }

    async fn dial(uri: &Uri, reach: Reach) -> Result<TcpStream, Failure> {
        Dialer { reach, exceptions: Arc::default() }.request(uri).await
    }

    #[tokio::test]
    async fn an_exception_is_one_for_its_destination_only() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = Dialer { reach: Reach::Public, exceptions: Arc::default() };
        let uri = |text: String| text.parse::<Uri>().unwrap();
        for (rule, url, passes) in [
            ("127.0.0.0/8".to_owned(), format!("http://127.0.0.1:{port}/"), true),
            (format!("127.0.0.1:{port}"), format!("https://127.0.0.1:{port}/"), true),
            (format!("localhost:{port}"), format!("http://127.0.0.1:{port}/"), false),
            ("127.0.0.1:1".to_owned(), format!("http://127.0.0.1:{port}/"), false),
            ("127.0.0.2".to_owned(), format!("https://127.0.0.1:{port}/"), false),
            ("0.0.0.0/0".to_owned(), "http://169.254.169.254/".to_owned(), false),
            ("::/0".to_owned(), "http://[::ffff:127.0.0.1]/".to_owned(), false),
        ] {
            dialer.exceptions.store(Arc::new(Exceptions::read([rule.as_str()]).unwrap()));
            let dialled = dialer.request(&uri(url.clone())).await;
            assert_eq!(dialled.is_ok(), passes, "{rule} {url} {:?}", dialled.err());
        }
    }

    #[tokio::test]
    async fn what_the_url_spells_is_what_is_checked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"] {
            let uri: Uri = format!("https://{host}:{port}/").parse().unwrap();
            assert!(refusal(dial(&uri, Reach::Public).await).contains("not allowed"), "{host}");
        }
        let uri: Uri = format!("http://127.0.0.1:{port}/").parse().unwrap();
        assert!(dial(&uri, Reach::Named).await.is_ok());
        assert!(refusal(dial(&uri, Reach::Public).await).contains("plain http"));
        for uri in ["http://169.254.169.254/", "http://[::ffff:a9fe:a9fe]/", "http://0.0.0.0/"] {
            assert!(
                refusal(dial(&uri.parse().unwrap(), Reach::Named).await).contains("not allowed"),
                "{uri}"
            );
        }
        assert_eq!(
            refusal(dial(&"ftp://example.org/".parse().unwrap(), Reach::Named).await),
            "not an http or https address"
        );
    }
}
