//! The id of a legacy session: what `initialize` settled, sealed for its principal, so that a gateway that has forgotten the
//! session, or has never seen it, can go on with it. Everything that cannot be in here is memory: calls, streams,
//! subscriptions, the log level.
//!
//! An id is visible ASCII of at most [`LONGEST`] characters, whatever a client says of itself.

use std::sync::Arc;

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::LEGACY;
use wasmgate_core::name::ServerName;
use wasmgate_core::seal::{Purpose, Scope, Sealer};

use super::session::{Agreed, Caller};
use crate::gateway::{ClientFacts, View};

/// The id a client knows a session by.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: Arc<str>,
    /// When it ceases to be good, in seconds since the epoch.
    pub(super) until: u64,
}

/// What a token says.
#[derive(Debug)]
pub(super) struct Remembered {
    /// The session's own name, for logs and interceptors.
    pub(super) id: Arc<str>,
    pub(super) agreed: Agreed,
    pub(super) until: u64,
}

/// Seals what was agreed. None without random numbers.
pub(super) fn seal(sealer: &Sealer, id: &str, caller: &Caller, agreed: &Agreed, now: u64) -> Option<Token> {
    let until = now + LIFE;
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).ok()?;
    let payload = payload(id, caller, agreed, until);
    let text = sealer.seal(scope(caller), until, payload.bytes(), nonce).ok()?;
    Some(Token { text: text.into(), until })
}

/// What was sealed for this caller, and is still good.
pub(super) fn open(sealer: &Sealer, text: &str, caller: &Caller, now: u64) -> Option<Remembered> {
    if text.len() > LONGEST {
        return None;
    }
    let payload = Json::parse(sealer.open(scope(caller), now, text).ok()?).ok()?;
    let [id, version, server, until, capabilities] = payload.pick([ID, VERSION, SERVER, UNTIL, CAPABILITIES]);
    let view = match server {
        None => View::All,
        Some(server) => View::One(ServerName::new(&server.string()?).ok()?),
    };
    if view != caller.view {
        return None;
    }
    let version = version?;
    let version = LEGACY.iter().find(|known| version.string().as_deref() == Some(**known))?;
    let client = ClientFacts {
        info: payload.member(INFO).map(|info| info.detached()),
        capabilities: capabilities.filter(Json::is_object)?.detached(),
        log_level: None,
    };
    let agreed = Agreed { version, client: Arc::new(client) };
    Some(Remembered { id: id?.string()?.as_ref().into(), agreed, until: until?.as_str().parse().ok()? })
}

/// All that is known of the client, or as much of it as there is room for.
fn payload(id: &str, caller: &Caller, agreed: &Agreed, until: u64) -> Json {
    let client = &agreed.client;
    let (info, short) = (client.info.clone(), client.info.as_ref().map(name_and_version));
    let (all, asked) = (&client.capabilities, askable(&client.capabilities));
    let write = |info: Option<&Json>, capabilities: &Json| {
        let mut writer = ObjectWriter::new().string(ID, id).string(VERSION, agreed.version);
        if let View::One(server) = &caller.view {
            writer = writer.string(SERVER, server.as_str());
        }
        let writer = writer.member(UNTIL, &Json::of(&until)).member(CAPABILITIES, capabilities);
        match info {
            Some(info) => writer.member(INFO, info).finish(),
            None => writer.finish(),
        }
    };
    let candidates =
        [(info.as_ref(), all), (short.as_ref(), all), (None, all), (short.as_ref(), &asked), (None, &asked)];
    let mut written = candidates.into_iter().map(|(info, capabilities)| write(info, capabilities));
    let fits = written.find(|payload| payload.bytes().len() <= LARGEST);
    fits.unwrap_or_else(|| write(None, &Json::empty_object()))
}

pub(super) fn name_and_version(info: &Json) -> Json {
    let [name, version] = info.pick(["name", "version"]);
    let members = [("name", name), ("version", version)];
    members.into_iter().fold(Json::empty_object(), |all, (key, value)| match value {
        Some(value) => all.with_member(key, &value),
        None => all,
    })
}

/// What servers may ask of the client, without the details that take room.
pub(super) fn askable(capabilities: &Json) -> Json {
    let asked = ASKABLE.into_iter().zip(capabilities.pick(ASKABLE));
    asked.fold(Json::empty_object(), |all, (key, value)| match value {
        Some(value) if value.bytes().len() <= DETAILS => all.with_member(key, &value),
        Some(_) => all.with_member(key, &Json::empty_object()),
        None => all,
    })
}

fn scope(caller: &Caller) -> Scope<'_> {
    Scope { purpose: Purpose::Session, principal: &caller.principal }
}

/// How long a token is good, in seconds.
pub(super) const LIFE: u64 = 24 * 3600;
/// The longest token, in bytes: proxies and clients put up with headers of this size.
pub(super) const LONGEST: usize = 1024;
/// The largest payload: with key id, nonce, expiry and tag, in base64, it makes the longest token.
const LARGEST: usize = LONGEST / 4 * 3 - 4 - 24 - 8 - 16;
/// The longest details of one capability when there is no room for all.
const DETAILS: usize = 64;

/// Capabilities of clients that can be asked something.
pub(super) const ASKABLE: [&str; 3] = ["sampling", "elicitation", "roots"];

const ID: &str = "id";
const VERSION: &str = "version";
const SERVER: &str = "server";
const UNTIL: &str = "until";
const CAPABILITIES: &str = "capabilities";
const INFO: &str = "info";

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(principal: &str, server: Option<&str>) -> Caller {
        let view = server.map_or(View::All, |server| View::One(ServerName::new(server).unwrap()));
        Caller { principal: principal.into(), view }
    }

    fn agreed(info: &str, capabilities: &str) -> Agreed {
        let client = ClientFacts {
            info: Some(Json::parse(info.to_owned()).unwrap()),
            capabilities: Json::parse(capabilities.to_owned()).unwrap(),
            log_level: None,
        };
        Agreed { version: "2025-06-18", client: Arc::new(client) }
    }

    #[track_caller]
    fn check(info: &str, capabilities: &str, expected: (Option<&str>, &str)) {
        let (sealer, alice) = (Sealer::new([7; 32]), caller("alice", Some("time")));
        let token = seal(&sealer, "session-1", &alice, &agreed(info, capabilities), 100).unwrap();
        assert!(token.text.len() <= LONGEST, "{}", token.text.len());
        assert!(token.text.bytes().all(|byte| byte.is_ascii_graphic()));
        let opened = open(&sealer, &token.text, &alice, 100 + LIFE).unwrap();
        assert_eq!((&*opened.id, opened.agreed.version), ("session-1", "2025-06-18"));
        assert_eq!((opened.until, token.until), (100 + LIFE, 100 + LIFE));
        let client = &opened.agreed.client;
        assert_eq!((client.info.as_ref().map(Json::as_str), client.capabilities.as_str()), expected);
    }

    #[test]
    fn as_much_is_remembered_as_there_is_room_for() {
        let (info, short) = (r#"{"name":"a","version":"1","title":"A"}"#, r#"{"name":"a","version":"1"}"#);
        let capabilities = r#"{"sampling":{"tools":{}},"x":{"a":1}}"#;
        check(info, capabilities, (Some(info), capabilities));
        let long = format!(r#"{{"name":"a","version":"1","title":"{}"}}"#, "A".repeat(2000));
        check(&long, capabilities, (Some(short), capabilities));
        let nameless = format!(r#"{{"name":"{}","version":"1"}}"#, "a".repeat(2000));
        check(&nameless, capabilities, (None, capabilities));
        let many = format!(r#"{{"sampling":{{}},"elicitation":{{"url":{{}}}},"x":"{}"}}"#, "x".repeat(2000));
        check(info, &many, (Some(short), r#"{"sampling":{},"elicitation":{"url":{}}}"#));
        let deep = format!(r#"{{"roots":{{"x":"{}"}}}}"#, "x".repeat(2000));
        check(&nameless, &deep, (None, r#"{"roots":{}}"#));
    }

    #[test]
    fn a_token_is_its_callers_own_and_ends() {
        let (sealer, alice) = (Sealer::new([7; 32]), caller("alice", None));
        let token = seal(&sealer, "s", &alice, &agreed("{}", "{}"), 100).unwrap();
        assert!(open(&sealer, &token.text, &alice, 100).is_some());
        assert!(open(&sealer, &token.text, &alice, 101 + LIFE).is_none());
        assert!(open(&sealer, &token.text, &caller("bob", None), 100).is_none());
        assert!(open(&sealer, &token.text, &caller("alice", Some("time")), 100).is_none(), "another path");
        assert!(open(&Sealer::new([8; 32]), &token.text, &alice, 100).is_none());
        assert!(open(&sealer, &"A".repeat(LONGEST + 1), &alice, 100).is_none());
        assert!(open(&sealer, "", &alice, 100).is_none());
    }
}
