//! The first words with a server: which era it is of, and what it says of itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmgate_core::catalog::{Protocol, Server};
use wasmgate_core::json::Json;

use super::correlator::Patience;
use super::era::Era;
use super::link::{Ending, Link, Question};
use super::{Answer, Fault, Identity, legacy, modern};

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

/// Shakes hands, within the server's initialize deadline.
///
/// # Errors
/// [`Failure`] says what went wrong, for people.
pub(super) async fn greet(
    link: &Link,
    server: &Server,
    identity: &Arc<Identity>,
) -> Result<Greeting, Failure> {
    let limit = server.deadlines.initialize;
    let attempt = Attempt { link, identity, limit };
    let greeting = tokio::time::timeout(limit, attempt.run(server.protocol)).await;
    greeting
        .unwrap_or_else(|_| Err(Trouble::Failed(Fault::Timeout(limit.as_secs().max(1)))))
        .map_err(|trouble| trouble.failure(link))
}

struct Attempt<'a> {
    link: &'a Link,
    identity: &'a Arc<Identity>,
    limit: Duration,
}

impl Attempt<'_> {
    /// A container of ours may not be listening yet: then again, until the deadline.
    async fn run(&self, protocol: Protocol) -> Result<Greeting, Trouble> {
        loop {
            let greeting = match protocol {
                Protocol::Auto => self.find_out().await,
                Protocol::Legacy => self.initialize().await,
                Protocol::Modern => self.discover().await,
            };
            match greeting {
                Err(Trouble::Failed(Fault::Unavailable(_) | Fault::Crashed(_)))
                    if self.link.may_be_starting() =>
                {
                    tokio::time::sleep(STARTING).await;
                }
                decided => return decided,
            }
        }
    }

    /// Most servers know `initialize`; one that refuses it, in whatever words, may be a modern one.
    async fn find_out(&self) -> Result<Greeting, Trouble> {
        let refusal = match self.initialize().await {
            Err(refusal @ (Trouble::Refused(..) | Trouble::Failed(Fault::Misbehaved(_)))) => refusal,
            other => return other,
        };
        self.discover().await.map_err(|_| refusal)
    }

    async fn initialize(&self) -> Result<Greeting, Trouble> {
        let params = legacy::initialize(self.identity);
        let result = self.ask(&Era::Legacy(legacy::VERSIONS[0]), "initialize", Some(&params)).await?;
        let named = result.member("protocolVersion");
        let named = named.as_ref().and_then(Json::string).unwrap_or_default();
        let version = legacy::version(&named).ok_or_else(|| Trouble::Version(named.into_owned()))?;
        let era = Era::Legacy(version);
        self.link.tell(&era, "notifications/initialized", None).await.map_err(Trouble::Failed)?;
        Ok(Greeting::of(era, &result, result.member("serverInfo")))
    }

    async fn discover(&self) -> Result<Greeting, Trouble> {
        let era = Era::Modern(Arc::clone(self.identity));
        let result = self.ask(&era, "server/discover", None).await?;
        if !modern::speaks_ours(&result) {
            return Err(Trouble::Version("none that was offered".into()));
        }
        Ok(Greeting::of(era, &result, modern::server_info(&result)))
    }

    async fn ask(&self, era: &Era, method: &'static str, params: Option<&Json>) -> Result<Json, Trouble> {
        // The deadline of the handshake as a whole comes first.
        let patience = Patience::of(self.limit * 2, Instant::now().into_std());
        let question = Question { method, params, client: None, events: None, patience };
        match self.link.ask(era, question).await.map_err(Trouble::Failed)? {
            Answer::Result(result) => Ok(result),
            Answer::Error(error) => Err(Trouble::Refused(method, error)),
            Answer::Asks(_) => Err(Trouble::Failed(Fault::Misbehaved("a question in the handshake".into()))),
        }
    }
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
}

impl Trouble {
    fn failure(self, link: &Link) -> Failure {
        let (code, reason) = match self {
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
            Self::Failed(Fault::Crashed(how)) => {
                let ending = link.how_it_ended();
                let code = ending.as_ref().map_or("disconnected", |ending| ending.code);
                let stderr = ending.and_then(|ending| ending.stderr);
                return Failure { code, reason: format!("ended during its start{how}"), stderr };
            }
            Self::Failed(fault) => return fault.into(),
        };
        Failure { code, reason, stderr: None }
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
            Fault::Unavailable(_) => "unavailable",
            Fault::Crashed(_) => "disconnected",
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

/// How often a container that does not listen yet is tried.
const STARTING: Duration = Duration::from_millis(100);
