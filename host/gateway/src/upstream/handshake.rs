//! The first words with a server: which era it is of, and what it says of itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wasmgate_core::catalog::{ContainerTransport, Launch, Protocol, RemoteTransport, Server};
use wasmgate_core::json::Json;
use wasmgate_core::mcp::method;

use super::correlator::Patience;
use super::detect::{Over, Sign, names, sign, supported};
use super::era::Era;
use super::eras::{Eras, Lasting, Way};
use super::link::{Ending, Link, Question};
use super::{Answer, Fault, Identity, bridge, legacy, modern};

/// What a server said of itself.
#[derive(Debug)]
pub(super) struct Greeting {
    /// Its era.
    pub(super) era: Era,
    /// Its capabilities object.
    pub(super) capabilities: Json,
    /// Its `serverInfo`.
    pub(super) info: Option<Json>,
    /// Its instructions.
    pub(super) instructions: Option<String>,
}

/// Why a server is not serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// A stable code.
    pub(super) code: &'static str,
    /// A sentence's end, after "server `x`".
    pub(super) reason: String,
    /// Last lines of its stderr.
    pub(super) stderr: Option<String>,
}

/// Shakes hands, within the server's initialize deadline, in the way that is known of the server, and remembers how it
/// went.
///
/// # Errors
/// [`Failure`] says what went wrong, for people; [`Failure::is_detour`] when it is to be connected to in another way.
pub(super) async fn greet(
    link: &Link,
    server: &Server,
    identity: &Arc<Identity>,
    eras: &Eras,
) -> Result<Greeting, Failure> {
    let attempt = Attempt::new(link, server, identity);
    let known = eras.recall(server).filter(|_| server.protocol == Protocol::Auto);
    let greeting = attempt.within_its_limit(server.protocol, known).await;
    if server.protocol != Protocol::Auto {
        return greeting.map_err(|trouble| trouble.failure(link));
    }
    let lasting = match (link, &server.launch) {
        (Link::Pipe(_), Launch::Container(_) | Launch::Process(_)) => Lasting::File,
        _ => Lasting::Run,
    };
    match &greeting {
        Ok(greeting) if attempt.is_sure() => {
            let version = greeting.info.as_ref().and_then(|info| info.member("version"));
            let way = match greeting.era {
                Era::Modern(_) => Way::Modern,
                Era::Legacy(_) => known.filter(|way| *way == Way::OldTransport).unwrap_or(Way::Legacy),
            };
            eras.learn(server, way, version.as_ref().and_then(Json::string).as_deref(), lasting);
        }
        Ok(_) => {}
        // It did not outlive a question it did not know: the next one begins with one that all old servers know.
        Err(Trouble::Startled(_)) => eras.learn(server, Way::Legacy, None, Lasting::Run),
        Err(Trouble::OldTransport) => eras.learn(server, Way::OldTransport, None, Lasting::Run),
        Err(_) => eras.forget(server),
    }
    greeting.map_err(|trouble| trouble.failure(link))
}

struct Attempt<'a> {
    link: &'a Link,
    identity: &'a Arc<Identity>,
    limit: Duration,
    transport: Option<RemoteTransport>,
    /// Whether what came from elsewhere than the server may have led us.
    is_unsure: AtomicBool,
}

impl<'a> Attempt<'a> {
    fn new(link: &'a Link, server: &Server, identity: &'a Arc<Identity>) -> Self {
        let transport = match &server.launch {
            Launch::Remote(remote) => Some(remote.transport),
            Launch::Container(container) => match container.transport {
                ContainerTransport::Sse { .. } => Some(RemoteTransport::Sse),
                _ => None,
            },
            _ => None,
        };
        let limit = server.deadlines.initialize;
        Self { link, identity, limit, transport, is_unsure: AtomicBool::new(false) }
    }

    async fn within_its_limit(&self, protocol: Protocol, known: Option<Way>) -> Result<Greeting, Trouble> {
        let greeting = tokio::time::timeout(self.limit, self.run(protocol, known)).await;
        greeting.unwrap_or_else(|_| Err(Trouble::Failed(Fault::Timeout(self.limit.as_secs().max(1)))))
    }

    /// Whether the server itself showed its era.
    fn is_sure(&self) -> bool {
        !self.is_unsure.load(Ordering::Relaxed)
    }

    /// A container of ours may not be listening yet: then again, until the deadline.
    async fn run(&self, protocol: Protocol, known: Option<Way>) -> Result<Greeting, Trouble> {
        loop {
            self.is_unsure.store(false, Ordering::Relaxed);
            let greeting = match (protocol, known) {
                // No newer version was ever spoken over it.
                (Protocol::Auto, _) if self.transport == Some(RemoteTransport::Sse) => {
                    self.initialize().await
                }
                (Protocol::Auto, Some(Way::Legacy | Way::OldTransport)) => self.initialize_first().await,
                (Protocol::Auto, _) => self.find_out().await,
                (Protocol::Legacy, _) => self.initialize().await,
                (Protocol::Modern, _) => self.discover().await,
            };
            match greeting {
                Err(Trouble::Failed(
                    Fault::Unavailable(_) | Fault::Declined(_) | Fault::Crashed(_) | Fault::OutOfMemory,
                )) if self.link.may_be_starting() => {
                    tokio::time::sleep(STARTING).await;
                }
                decided => return decided,
            }
        }
    }

    /// A server that was an old one; when it refuses to be, it may have become another.
    async fn initialize_first(&self) -> Result<Greeting, Trouble> {
        let refusal = match self.initialize().await {
            Err(refusal) if refusal.is_of_its_own() => refusal,
            other => return other,
        };
        self.discover().await.map_err(|_| refusal)
    }

    /// Asks a server of which nothing is known what it is.
    ///
    /// Some old servers say nothing to what they do not know, and some of any era take long to start: after a while
    /// `initialize` is asked too, and whichever answer comes first and says something decides.
    async fn find_out(&self) -> Result<Greeting, Trouble> {
        let mut probing = std::pin::pin!(self.probe());
        if let Ok(sign) = tokio::time::timeout(PROBE.min(self.limit / 3), &mut probing).await {
            return self.follow(sign).await;
        }
        self.is_unsure.store(self.over() == Over::Http, Ordering::Relaxed);
        let mut initializing = std::pin::pin!(self.initialize());
        tokio::select! {
            // Of two answers that come at once the one that says more.
            biased;
            sign = &mut probing => match sign {
                Sign::Legacy | Sign::Nothing => initializing.await,
                sign => self.follow(sign).await,
            },
            greeting = &mut initializing => match greeting {
                Err(refusal) if refusal.is_of_its_own() => match probing.await {
                    Sign::Legacy | Sign::Nothing => Err(refusal),
                    sign => self.follow(sign).await,
                },
                greeting => greeting,
            },
        }
    }

    /// Does what the answer to the probe says.
    async fn follow(&self, sign: Sign) -> Result<Greeting, Trouble> {
        match sign {
            Sign::Modern(result) => Ok(self.modern(&result)),
            Sign::Again(error) | Sign::Refused(error) => Err(Trouble::Refused(method::DISCOVER, error)),
            Sign::Stranger(named) if named.is_empty() => Err(Trouble::Version("none that it names".into())),
            Sign::Stranger(named) => Err(Trouble::Version(named)),
            Sign::Hopeless(fault @ Fault::Crashed(_)) => Err(Trouble::Startled(fault)),
            Sign::Hopeless(fault) => Err(Trouble::Failed(fault)),
            Sign::Nothing => {
                self.is_unsure.store(true, Ordering::Relaxed);
                self.initialize().await
            }
            Sign::Legacy => match self.initialize().await {
                Err(refusal) if refusal.is_of_its_own() && self.speaks_old_transport().await => {
                    Err(Trouble::OldTransport)
                }
                greeting => greeting,
            },
        }
    }

    /// A server that knows no POST may push events to whoever GETs them (2024-11-05, HTTP with SSE), unless the
    /// transport has been said.
    async fn speaks_old_transport(&self) -> bool {
        let (Link::Http(http), Some(RemoteTransport::Auto)) = (self.link, self.transport) else {
            return false;
        };
        bridge::is_offered(http.way()).await
    }

    /// Asks `server/discover`, once more when the server wants that.
    async fn probe(&self) -> Sign {
        let era = Era::Modern(self.identity.to_json());
        match sign(self.answer(&era, method::DISCOVER, None).await, self.over()) {
            Sign::Again(_) => sign(self.answer(&era, method::DISCOVER, None).await, self.over()),
            sign => sign,
        }
    }

    fn over(&self) -> Over {
        if matches!(self.link, Link::Http(_)) { Over::Http } else { Over::Pipes }
    }

    async fn initialize(&self) -> Result<Greeting, Trouble> {
        let params = legacy::initialize(self.identity, self.link.declared());
        let ask = async |params: &Json| {
            self.ask(&Era::Legacy(legacy::VERSIONS[0]), method::INITIALIZE, Some(params)).await
        };
        let result = match ask(&params).await {
            Err(Trouble::Refused(_, error)) if let Some(version) = another(&error) => {
                ask(&params.with_member("protocolVersion", &Json::of(version))).await
            }
            result => result,
        }?;
        let named = result.member("protocolVersion");
        let named = named.as_ref().and_then(Json::string).unwrap_or_default();
        let version = legacy::version(&named).ok_or_else(|| Trouble::Version(named.into_owned()))?;
        let era = Era::Legacy(version);
        self.link.tell(&era, method::INITIALIZED, None).await.map_err(Trouble::Failed)?;
        Ok(Greeting::of(era, &result, result.member("serverInfo")))
    }

    /// Takes it that the server is of 2026-07-28.
    async fn discover(&self) -> Result<Greeting, Trouble> {
        match self.probe().await {
            Sign::Legacy | Sign::Nothing => Err(Trouble::Version("none that was offered".into())),
            sign => self.follow(sign).await,
        }
    }

    fn modern(&self, result: &Json) -> Greeting {
        Greeting::of(Era::Modern(self.identity.to_json()), result, modern::server_info(result))
    }

    async fn ask(&self, era: &Era, method: &'static str, params: Option<&Json>) -> Result<Json, Trouble> {
        match self.answer(era, method, params).await.map_err(Trouble::Failed)? {
            Answer::Result(result) => Ok(result),
            Answer::Error(error) => Err(Trouble::Refused(method, error)),
            Answer::Asks(_) | Answer::Flow(_) => {
                Err(Trouble::Failed(Fault::Misbehaved("a question in the handshake".into())))
            }
        }
    }

    async fn answer(&self, era: &Era, method: &'static str, params: Option<&Json>) -> Result<Answer, Fault> {
        // The deadline of the handshake as a whole comes first.
        let patience = Patience::of(self.limit * 2, Instant::now().into_std());
        self.link.ask(era, Question { method, params, client: None, events: None, patience }).await
    }
}

/// A version of ours that a server names when it refuses the one it was offered.
fn another(error: &Json) -> Option<&'static str> {
    let named = supported(error)?;
    legacy::VERSIONS.into_iter().skip(1).find(|ours| names(&named, ours))
}

impl Greeting {
    fn of(era: Era, result: &Json, info: Option<Json>) -> Self {
        let capabilities = result.member("capabilities").filter(Json::is_object);
        let instructions = result.member("instructions");
        Self {
            era,
            capabilities: capabilities.unwrap_or_else(Json::empty_object).detached(),
            info: info.map(|info| info.detached()),
            instructions: instructions.and_then(|text| text.string().map(std::borrow::Cow::into_owned)),
        }
    }
}

/// What went wrong in a handshake.
enum Trouble {
    /// The server answered this method with this error.
    Refused(&'static str, Json),
    /// It speaks only this version.
    Version(String),
    /// No answer of its own.
    Failed(Fault),
    /// It ended at the sight of the probe.
    Startled(Fault),
    /// It is to be connected to over HTTP+SSE.
    OldTransport,
}

impl Trouble {
    /// Whether the server itself said no, in whatever words.
    const fn is_of_its_own(&self) -> bool {
        matches!(self, Self::Refused(..) | Self::Version(_) | Self::Failed(Fault::Misbehaved(_)))
    }

    fn failure(self, link: &Link) -> Failure {
        let (code, reason) = match self {
            Self::OldTransport => (DETOUR, "speaks HTTP+SSE of 2024-11-05".to_owned()),
            Self::Refused(method, error) => {
                let message = error.member("message");
                let message = message.as_ref().and_then(Json::string).unwrap_or_default();
                ("initialize_refused", format!("answered {method} with an error: {}", Plain(&message)))
            }
            Self::Version(named) if named.is_empty() => {
                ("not_mcp", "answered initialize without naming a protocol version".to_owned())
            }
            Self::Version(named) => {
                let spoken = legacy::VERSIONS.join(", ");
                let reason = format!(
                    "speaks protocol version {}; this gateway speaks {}, {spoken}",
                    Plain(&named),
                    modern::VERSION
                );
                ("protocol_version", reason)
            }
            Self::Failed(fault) | Self::Startled(fault)
                if matches!(fault, Fault::Crashed(_) | Fault::OutOfMemory) =>
            {
                let ending = link.how_it_ended();
                let code = ending.as_ref().map_or("disconnected", |ending| ending.code);
                let stderr = ending.and_then(|ending| ending.stderr);
                let how = if let Fault::Crashed(how) = fault { how } else { " out of memory".into() };
                return Failure { code, reason: format!("ended during its start{how}"), stderr };
            }
            Self::Failed(fault) | Self::Startled(fault) => return fault.into(),
        };
        Failure { code, reason, stderr: None }
    }
}

impl Failure {
    /// Whether nothing is wrong: the server is to be connected to in another way, at once.
    pub(super) fn is_detour(&self) -> bool {
        self.code == DETOUR
    }
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        Self { code: ending.code, reason: format!("ended{}", ending.how), stderr: ending.stderr }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault {
            Fault::Timeout(_) => "initialize_timeout",
            Fault::Unauthorized(_) => "unauthorized",
            Fault::Unavailable(_) | Fault::Declined(_) | Fault::Busy(_) => "unavailable",
            Fault::Crashed(_) | Fault::OutOfMemory => "disconnected",
            Fault::Misbehaved(_) | Fault::TooLarge(_) => "not_mcp",
        };
        let reason = match fault {
            Fault::Timeout(seconds) => format!("did not answer initialize within {seconds} s"),
            fault => fault.to_string(),
        };
        Self { code, reason, stderr: None }
    }
}

/// A server's own words, cut short and with nothing in them that a terminal would obey.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().take(200).try_for_each(|c| if c.is_control() { Ok(()) } else { write!(f, "{c}") })
    }
}

/// How long a server may say nothing to the probe before it is asked in another way too.
const PROBE: Duration = Duration::from_secs(3);
const DETOUR: &str = "old_transport";
/// How often a container that does not listen yet is tried.
const STARTING: Duration = Duration::from_millis(100);
