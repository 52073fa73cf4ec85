//! The one way out: every HTTP connection the gateway opens to somebody else is made here.
//!
//! A connection goes to an address that was checked, not to a name: all addresses of the name are looked at, one bad one
//! refuses the name, and the address that is dialled is one of those. So a name that changes its address between check
//! and use gains nothing. Redirects are never followed, response bodies are never decompressed, and no proxy setting of
//! the environment is obeyed. Deadlines for answers are the caller's.
//!
//! What containers with `allowHosts` send passes here too: [`Proxy`] is their only way out.

mod address; // which addresses may be dialled
mod connection; // requests and answers on one connection
mod dial; // names to checked connections
mod exceptions; // what the operator lets strangers' destinations be
mod hop; // headers of one connection
mod kept; // connections that are used again
mod proxy; // the way out of a container
#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service as _;

pub use self::connection::Body;
use self::connection::{Connection, Failure, Stream};
pub use self::dial::Refused;
use self::dial::{Dialer, Guarded};
pub use self::exceptions::Exceptions;
pub use self::hop::{OF_CONNECTION, is_of_connection};
use self::kept::{Kept, Shelf};
pub use self::proxy::{Proxy, Way};
use crate::joined::Joined;

/// Which addresses a connection may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses over https: for whatever somebody else named.
    Public,
    /// Also loopback and private addresses, and plain http: for what the operator named. Cloud metadata services are
    /// refused all the same.
    Named,
}

/// Sends requests. Cheap to clone; connections are kept and shared by all clones.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

struct Inner {
    public: Within,
    named: Within,
    /// Changes with the configuration.
    exceptions: Arc<ArcSwap<Exceptions>>,
    tls: OnceLock<Result<ClientConfig, String>>,
}

/// What goes out within one reach.
struct Within {
    dialer: Dialer,
    /// Made when first needed: reading the certificate authorities takes longer than the rest of the start.
    secure: OnceLock<Guarded>,
    kept: Arc<Kept>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The destination is not allowed. Nothing was sent.
    #[error(transparent)]
    Refused(Refused),
    /// No connection could be made. Nothing was sent.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// The connection broke; the request may have arrived.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
}

impl Egress {
    /// Will trust the certificate authorities of the operating system, which are read with the first https request.
    pub fn new() -> Self {
        let exceptions = Arc::<ArcSwap<Exceptions>>::default();
        let within = |reach| Within {
            dialer: Dialer { reach, exceptions: Arc::clone(&exceptions) },
            secure: OnceLock::new(),
            kept: Arc::default(),
        };
        let (public, named) = (within(Reach::Public), within(Reach::Named));
        Self { inner: Arc::new(Inner { public, named, exceptions, tls: OnceLock::new() }) }
    }

    /// Changes which destinations that strangers named are treated as if the operator had named them, for every clone.
    pub fn except(&self, exceptions: Exceptions) {
        self.inner.exceptions.store(Arc::new(exceptions));
    }

    /// Connects to a port of a host, all addresses checked, and leaves what is said there to the caller.
    ///
    /// # Errors
    /// [`EgressError`]; nothing was sent.
    async fn connect(&self, reach: Reach, host: &str, port: u16) -> Result<TcpStream, EgressError> {
        self.within(reach).dialer.connect(host, port).await.map_err(undialled)
    }

    fn within(&self, reach: Reach) -> &Within {
        match reach {
            Reach::Public => &self.inner.public,
            Reach::Named => &self.inner.named,
        }
    }

    /// Sends one request and waits for the head of the response; the body comes as it is read. Dropping the future, or the
    /// body before its end, closes the connection.
    ///
    /// # Errors
    /// [`EgressError`] says whether anything can have been sent.
    pub async fn send(
        &self,
        reach: Reach,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, EgressError> {
        let within = self.within(reach);
        let shelf = within.kept.shelf(request.uri()).ok_or(EgressError::Refused(Refused::NotHttp))?;
        let uri = direct(&mut request, &shelf);
        loop {
            let (connection, is_kept) = match shelf.take() {
                Some(kept) => (kept, true),
                // In a box: nearly no request needs one, and all would carry it.
                None => (Box::pin(within.open(&uri, &self.inner.tls)).await?, false),
            };
            request = match connection.send(request, Arc::clone(&shelf)).await {
                Ok(response) => return Ok(response),
                Err(Failure::Broken(error)) => return Err(EgressError::Broken(error)),
                Err(Failure::Unsent(request)) if is_kept => *request,
                Err(Failure::Unsent(_)) => return Err(EgressError::NotConnected("closed at once".into())),
            };
        }
    }
}

impl Within {
    async fn open(
        &self,
        uri: &Uri,
        config: &OnceLock<Result<ClientConfig, String>>,
    ) -> Result<Box<Connection>, EgressError> {
        let stream = match uri.scheme_str() {
            Some("https") => self.secure(config)?.call(uri.clone()).await.map_err(undialled)?,
            _ => Stream::Http(TokioIo::new(Joined(self.dialer.request(uri).await.map_err(undialled)?))),
        };
        Connection::on(stream).await.map_err(|error| EgressError::NotConnected(error.to_string()))
    }

    fn secure(&self, config: &OnceLock<Result<ClientConfig, String>>) -> Result<Guarded, EgressError> {
        let config = config.get_or_init(tls).as_ref();
        let config = config.map_err(|why| EgressError::NotConnected(why.clone()))?;
        let connector = self.secure.get_or_init(|| {
            let https =
                HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_only().enable_http1();
            Guarded(https.wrap_connector(self.dialer.clone()))
        });
        Ok(connector.clone())
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a request one to the server itself: RFC 9112, section 3.2.1, and RFC 9110, section 7.2. Gives the URI that it had.
fn direct(request: &mut Request<Full<Bytes>>, shelf: &Shelf) -> Uri {
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    request.headers_mut().entry(HOST).or_insert_with(|| shelf.host.clone());
    std::mem::replace(request.uri_mut(), Uri::from(path))
}

fn undialled(error: Box<dyn Error + Send + Sync>) -> EgressError {
    let mut cause: &(dyn Error + 'static) = &*error;
    loop {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return EgressError::Refused(refused.clone());
        }
        let Some(next) = cause.source() else { return EgressError::NotConnected(cause.to_string()) };
        cause = next;
    }
}

/// The error says what is missing on this machine: https cannot work then, everything else does.
fn tls() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| format!("no TLS: {error}"))?;
    let trusting = builder
        .with_native_roots()
        .map_err(|error| format!("no certificate authorities to trust: {error}"))?;
    Ok(trusting.with_no_client_auth())
}
