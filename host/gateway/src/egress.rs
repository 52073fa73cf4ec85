//! The one way out: every HTTP connection the gateway opens to somebody else is made here.
//!
//! A connection goes to an address that was checked, not to a name: all addresses of the name are looked at, one bad one
//! refuses the name, and the address that is dialled is one of those. So a name that changes its address between check
//! and use gains nothing. Redirects are never followed, response bodies are never decompressed, and no proxy setting of
//! the environment is obeyed. Deadlines for answers are the caller's.
//!
//! What containers with `allowHosts` send passes here too: [`Proxy`] is their only way out.

mod address; // which addresses may be dialled
mod dial; // names to checked connections
mod exceptions; // what the operator lets strangers' destinations be
mod hop; // headers of one connection
mod proxy; // the way out of a container

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;

pub use self::dial::Refused;
use self::dial::{Dialer, Guarded};
pub use self::exceptions::Exceptions;
pub use self::hop::{OF_CONNECTION, is_of_connection};
pub use self::proxy::{Proxy, Way};

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
    public: Clients,
    named: Clients,
    /// Changes with the configuration.
    exceptions: Arc<ArcSwap<Exceptions>>,
    tls: OnceLock<Result<ClientConfig, String>>,
}

/// The clients of one reach.
struct Clients {
    dialer: Dialer,
    plain: Client<Dialer, Full<Bytes>>,
    /// Made when first needed: reading the certificate authorities takes longer than the rest of the start.
    secure: OnceLock<Client<Guarded, Full<Bytes>>>,
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
    Broken(#[source] hyper_util::client::legacy::Error),
}

impl Egress {
    /// Will trust the certificate authorities of the operating system, which are read with the first https request.
    pub fn new() -> Self {
        let exceptions = Arc::<ArcSwap<Exceptions>>::default();
        let clients = |reach| Clients::new(Dialer { reach, exceptions: Arc::clone(&exceptions) });
        let (public, named) = (clients(Reach::Public), clients(Reach::Named));
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
        let clients = self.clients(reach);
        clients.dialer.connect(host, port).await.map_err(|error| match error.downcast::<Refused>() {
            Ok(refused) => EgressError::Refused(*refused),
            Err(other) => EgressError::NotConnected(other.to_string()),
        })
    }

    fn clients(&self, reach: Reach) -> &Clients {
        match reach {
            Reach::Public => &self.inner.public,
            Reach::Named => &self.inner.named,
        }
    }

    /// Sends one request and waits for the head of the response; the body comes as it arrives. Dropping the future
    /// closes the connection it used.
    ///
    /// # Errors
    /// [`EgressError`] says whether anything can have been sent.
    pub async fn send(
        &self,
        reach: Reach,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, EgressError> {
        let clients = self.clients(reach);
        let response = if request.uri().scheme_str() == Some("https") {
            clients.secure(&self.inner.tls)?.request(request)
        } else {
            clients.plain.request(request)
        };
        response.await.map_err(EgressError::from)
    }
}

impl Clients {
    fn new(dialer: Dialer) -> Self {
        Self { plain: builder().build(dialer.clone()), dialer, secure: OnceLock::new() }
    }

    fn secure(
        &self,
        config: &OnceLock<Result<ClientConfig, String>>,
    ) -> Result<&Client<Guarded, Full<Bytes>>, EgressError> {
        let config = config.get_or_init(tls).as_ref();
        let config = config.map_err(|why| EgressError::NotConnected(why.clone()))?;
        Ok(self.secure.get_or_init(|| {
            let https =
                HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_only().enable_http1();
            builder().build(Guarded(https.wrap_connector(self.dialer.clone())))
        }))
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self::new()
    }
}

impl From<hyper_util::client::legacy::Error> for EgressError {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        if let Some(refused) = causes(&error).find_map(|cause| cause.downcast_ref::<Refused>()) {
            return Self::Refused(refused.clone());
        }
        if !error.is_connect() {
            return Self::Broken(error);
        }
        let last = causes(&error).last();
        Self::NotConnected(last.map_or_else(|| error.to_string(), ToString::to_string))
    }
}

/// The causes of an error, nearest first.
fn causes(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[expect(clippy::disallowed_methods, reason = "this is the one place where clients are made")]
fn builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_idle_timeout(KEPT_IDLE).pool_timer(TokioTimer::new()).pool_max_idle_per_host(MAX_IDLE);
    builder
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

/// How long an idle connection is kept.
const KEPT_IDLE: Duration = Duration::from_secs(60);
/// How many idle connections are kept to one host.
const MAX_IDLE: usize = 128;
