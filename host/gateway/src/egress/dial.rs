//! Turns a URL's authority into a connection to an address that was checked.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tower_service::Service;

use super::{Reach, address};

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
pub(super) struct Dialer(pub(super) Reach);

type Dialled<T> = Pin<Box<dyn Future<Output = Result<T, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Dialled<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let reach = self.0;
        Box::pin(async move {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection within 5 s");
            let stream = timeout(CONNECT, dial(&uri, reach)).await.map_err(late)??;
            Ok(TokioIo::new(stream))
        })
    }
}

/// The dialler with TLS on top, all within a deadline.
#[derive(Clone)]
pub(super) struct Guarded(pub(super) HttpsConnector<Dialer>);

impl Service<Uri> for Guarded {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
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

async fn dial(uri: &Uri, reach: Reach) -> Result<TcpStream, Box<dyn std::error::Error + Send + Sync>> {
    let host = uri.host().ok_or(Refused::NotHttp)?.trim_start_matches('[').trim_end_matches(']');
    let default_port = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") if reach == Reach::Named => 80,
        Some("http") => return Err(Refused::PlainHttp(host.to_owned()).into()),
        _ => return Err(Refused::NotHttp.into()),
    };
    let addresses = resolve(host, uri.port_u16().unwrap_or(default_port)).await?;
    for address in &addresses {
        address::check(address.ip(), reach)
            .map_err(|kind| Refused::Address { host: host.to_owned(), kind })?;
    }
    Ok(connect(&addresses).await?)
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
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

/// For name and connection together.
const CONNECT: Duration = Duration::from_secs(5);
/// With the TLS handshake.
const CONNECT_TLS: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refusal(dialled: Result<TcpStream, Box<dyn std::error::Error + Send + Sync>>) -> String {
        dialled.unwrap_err().downcast::<Refused>().unwrap().to_string()
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
