//! A remote interceptor server (SEP-2624) as stages of ours: one for each interceptor it lists, or for the one that is
//! named.
//!
//! The connection is one of [`crate::upstream`], so eras, sessions and new attempts after a failure are as for servers. What
//! the remote says is believed only as far as its shape is right ([`read`]); everything else is a failure of the stage.

mod date; // time stamps
mod line; // the connection
mod read; // descriptors and results, strictly
mod stage;
mod wanted; // which messages it is shown

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{Mode, Stage};

use self::line::Line;
use self::read::{Described, described};
use self::stage::Distant;
use super::World;
use super::door::LIST;
use crate::upstream::{Answer, UpstreamError};

/// One remote, as configured.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The name of its stage, or the first part of the names of its stages.
    pub name: String,
    /// Its address. The operator named it, so it may be private.
    pub url: Url,
    /// Sent as a bearer token with every request.
    pub token: Option<SecretString>,
    /// The one interceptor that is wanted, by the remote's own name; all of them when absent.
    pub interceptor: Option<String>,
    /// Sent with every call, unless it is empty.
    pub config: Json,
    /// `Audit` makes every one of them audit; otherwise the remote's word counts.
    pub mode: Mode,
    /// Whether a message passes when one fails; the remote's word when absent.
    pub fail_open: Option<bool>,
    /// Order in the request phase; the remote's word when absent.
    pub priority_request: Option<i32>,
    /// Order in the response phase; the remote's word when absent.
    pub priority_response: Option<i32>,
    /// Method patterns that narrow what is sent to it; empty narrows nothing.
    pub events: Vec<String>,
    /// Server patterns, likewise.
    pub servers: Vec<String>,
    /// Subject patterns, likewise.
    pub subjects: Vec<String>,
    /// How long one call may take; ten seconds when absent.
    pub wall: Option<Duration>,
}

/// Why a remote cannot be used. Reads after "plugin `x`".
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Its name cannot be one.
    #[error("cannot be named so")]
    Name(#[source] wasmgate_core::name::BadName),
    /// It cannot be asked.
    #[error("cannot be reached")]
    Unreachable(#[source] UpstreamError),
    /// It refused to list its interceptors.
    #[error("does not list its interceptors: it answered `{0}`")]
    Refused(String),
    /// What it lists cannot be right.
    #[error("lists its interceptors wrongly: {0}")]
    Malformed(String),
    /// The one that is wanted is not there.
    #[error("has no interceptor `{0}`: it has {1}")]
    Missing(String, String),
    /// Nothing is left to do.
    #[error("has no interceptor that would see anything: look at its list and at `when`")]
    Nothing,
}

/// Connects to a remote and makes a stage of each of its interceptors that is wanted.
///
/// # Errors
/// [`RemoteError`]: a guard that is not there guards nothing.
pub async fn connect(world: &World, remote: Remote) -> Result<Vec<Arc<dyn Stage>>, RemoteError> {
    let line = Arc::new(Line::open(world, &remote)?);
    let listed = match line.ask(LIST, None).await.map_err(RemoteError::Unreachable)? {
        Answer::Result(result) => result,
        Answer::Error(error) => return Err(RemoteError::Refused(read::words(&error))),
        Answer::Asks(_) | Answer::Flow(_) => return Err(RemoteError::Malformed("a question".to_owned())),
    };
    let listed = listed.member("interceptors").and_then(|list| list.elements());
    let listed = listed.ok_or_else(|| RemoteError::Malformed("no list `interceptors`".to_owned()))?;
    let all: Result<Vec<Described>, String> = listed.iter().map(described).collect();
    let all = all.map_err(RemoteError::Malformed)?;
    let names: BTreeSet<&str> = all.iter().map(|described| &*described.name).collect();
    if names.len() < all.len() {
        return Err(RemoteError::Malformed("a name twice".to_owned()));
    }
    if let Some(wanted) = remote.interceptor.as_deref().filter(|wanted| !names.contains(wanted)) {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(RemoteError::Missing(wanted.to_owned(), names));
    }
    let remote = Arc::new(remote);
    let wanted =
        |described: &Described| remote.interceptor.as_ref().is_none_or(|name| *name == *described.name);
    let made = all.into_iter().filter(wanted).map(|described| Distant::new(&remote, &line, described));
    let stages: Vec<_> = made.filter(|stage| !stage.info().hooks.is_empty()).collect();
    if stages.is_empty() {
        return Err(RemoteError::Nothing);
    }
    Ok(stages.into_iter().map(|stage| Arc::new(stage) as Arc<dyn Stage>).collect())
}

/// How a call that takes too long is called.
const TIME: &str = "time limit";
