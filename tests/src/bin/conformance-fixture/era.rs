//! Which protocol versions the server speaks, and how it turns down a message of the era it does not know.
//!
//! The SDK always answers as one that has heard of both eras; a client would take that answer for a modern one. So what a
//! server of one era only would say is said here, before the SDK sees the message.

use std::str::FromStr;

use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};

/// The first version without a handshake.
const FIRST_MODERN: &str = "2026-07-28";
/// Where a modern request says its version.
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";

/// What the server pretends to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25 and before.
    Legacy,
    /// 2026-07-28 and later.
    Modern,
    Both,
}

impl FromStr for Era {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "legacy" => Ok(Self::Legacy),
            "modern" => Ok(Self::Modern),
            "both" => Ok(Self::Both),
            _ => Err(()),
        }
    }
}

impl Era {
    /// The versions it speaks.
    pub(crate) fn versions(self) -> Vec<ProtocolVersion> {
        let all = ProtocolVersion::KNOWN_VERSIONS.iter().cloned();
        match self {
            Self::Legacy => all.filter(|version| !is_modern(version)).collect(),
            Self::Modern => all.filter(is_modern).collect(),
            Self::Both => all.collect(),
        }
    }

    /// The JSON-RPC error with which a server that never heard of this message's era answers it on stdio.
    pub(crate) fn refuses_line(self, message: &Value) -> Option<Value> {
        match self {
            Self::Legacy if speaks_modern(message) => match message["method"].as_str() {
                Some("server/discover" | "subscriptions/listen") => {
                    Some(error(-32601, "Method not found", None))
                }
                _ => Some(error(-32602, "Invalid request parameters", None)),
            },
            Self::Modern if opens_session(message) => Some(self.unsupported(message)),
            _ => None,
        }
    }

    /// The same over HTTP, where the version is in a header as well: an error for a response with status 400.
    pub(crate) fn refuses_post(self, header: Option<&str>, message: &Value) -> Option<Value> {
        let modern_header = header.is_some_and(|version| version >= FIRST_MODERN);
        match self {
            // The words and the code are the implementation's own affair: the specification of that time has none.
            Self::Legacy if modern_header => {
                Some(error(-32000, "Bad Request: Unsupported protocol version", None))
            }
            Self::Legacy if speaks_modern(message) => {
                Some(error(-32000, "Bad Request: Server not initialized", None))
            }
            Self::Modern if opens_session(message) => Some(self.unsupported(message)),
            _ => None,
        }
    }

    /// A modern server names its versions to a client that knows only the handshake.
    fn unsupported(self, message: &Value) -> Value {
        let data = json!({"supported": self.versions(), "requested": message["params"]["protocolVersion"]});
        error(-32022, "Unsupported protocol version", Some(data))
    }
}

/// Whether a version has no handshake any more.
pub(crate) fn is_modern(version: &ProtocolVersion) -> bool {
    version.as_str() >= FIRST_MODERN
}

fn speaks_modern(message: &Value) -> bool {
    message["params"]["_meta"].get(VERSION_KEY).is_some() || message["method"] == "server/discover"
}

/// The handshake of old; one that carries modern metadata is a modern request for a method that does not exist.
fn opens_session(message: &Value) -> bool {
    message["method"] == "initialize" && !speaks_modern(message)
}

fn error(code: i32, message: &str, data: Option<Value>) -> Value {
    let mut error = json!({"code": code, "message": message});
    if let Some(data) = data {
        error["data"] = data;
    }
    error
}
