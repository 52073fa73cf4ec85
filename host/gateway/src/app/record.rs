//! `run --record DIR`: every message that passes, as a file that `plugin test` takes.
//!
//! Two stages that change nothing: requests are seen before any mutator, answers before any validator judged them. What
//! cannot be written lets its message pass. Payloads are written as they are, for the owner's eyes only (mode 0600).

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{
    About, Compat, Exchange, Hook, Kind, Mode, Party, Pattern, Phase, Stage, StageAnswer, StageFuture,
    StageInfo,
};

use super::StartError;
use crate::cases::{Began, Case, CasePhase, Cases};
use crate::config::Record;

/// Bytes of a payload that are written; larger ones are left out.
const MAX_PAYLOAD: usize = 1 << 20;

/// The stages that record, for the front of a pipeline.
///
/// # Errors
/// The directory cannot be used.
pub(super) fn stages(record: &Record) -> Result<Vec<Arc<dyn Stage>>, StartError> {
    let directory = &record.directory;
    let recorder = Recorder::open(directory, record.most).map_err(|error| {
        StartError::System(format!("cannot record into {}: {error}", directory.display()))
    })?;
    tracing::warn!(directory = %directory.display(), most = record.most, "recording messages with their payloads");
    let recorder = Arc::new(recorder);
    let tap = |name: &str, kind, request| -> Arc<dyn Stage> {
        Arc::new(Tap { info: info(name, kind, request), recorder: Arc::clone(&recorder) })
    };
    Ok(vec![tap("record.requests", Kind::Mutator, true), tap("record.answers", Kind::Validator, false)])
}

fn info(name: &str, kind: Kind, request: bool) -> StageInfo {
    let hook = Hook {
        events: vec![Pattern::new("*")],
        request,
        response: !request,
        servers: Vec::new(),
        subjects: Vec::new(),
    };
    StageInfo {
        name: name.into(),
        kind,
        about: About::default(),
        compat: Compat::default(),
        hooks: vec![hook],
        priority_request: i32::MIN,
        priority_response: i32::MIN,
        mode: Mode::Enforce,
        fail_open: true,
    }
}

struct Tap {
    info: StageInfo,
    recorder: Arc<Recorder>,
}

impl Stage for Tap {
    fn info(&self) -> &StageInfo {
        &self.info
    }

    fn run<'a>(&'a self, exchange: &'a Exchange, phase: Phase, payload: &'a Json) -> StageFuture<'a> {
        Box::pin(async move {
            self.recorder.record(exchange, phase, payload).await;
            Ok(match self.info.kind {
                Kind::Validator => StageAnswer::Findings(Vec::new()),
                Kind::Mutator | Kind::Filter => StageAnswer::Unchanged,
            })
        })
    }
}

/// Writes cases into a directory, so many at most.
struct Recorder {
    directory: PathBuf,
    /// Number of the next file; later runs go on where earlier ones ended.
    next: AtomicU64,
    /// How many files may still be written.
    left: AtomicU64,
    said_full: AtomicBool,
    /// Sessions in the order they were seen: their identifiers are credentials, so numbers are written.
    sessions: Mutex<Vec<Arc<str>>>,
}

impl Recorder {
    fn open(directory: &Path, most: u64) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let number =
            |entry: std::fs::DirEntry| entry.file_name().to_str()?.split('-').next()?.parse::<u64>().ok();
        let last = std::fs::read_dir(directory)?.flatten().filter_map(number).max();
        Ok(Self {
            directory: directory.to_owned(),
            next: AtomicU64::new(last.map_or(1, |last| last.saturating_add(1))),
            left: AtomicU64::new(most),
            said_full: AtomicBool::new(false),
            sessions: Mutex::default(),
        })
    }

    async fn record(&self, exchange: &Exchange, phase: Phase, payload: &Json) {
        let request = &*exchange.operation.id;
        if payload.bytes().len() > MAX_PAYLOAD {
            tracing::warn!(request, bytes = payload.bytes().len(), "not recorded: the payload is too large");
            return;
        }
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if taken.is_err() {
            if !self.said_full.swap(true, Ordering::Relaxed) {
                tracing::warn!("recording has ended: as many messages as were asked for are written");
            }
            return;
        }
        let Some(case) = self.case(exchange, phase, payload) else { return };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(file_name(number, &case));
        let text = Cases::One(Box::new(case)).text();
        let written = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(request, %error, "not recorded");
        }
    }

    fn case(&self, exchange: &Exchange, phase: Phase, payload: &Json) -> Option<Case> {
        let operation = &exchange.operation;
        let raw = |json: &Json| RawValue::from_string(json.as_str().to_owned()).ok();
        let attributes = exchange
            .context()
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), serde_json::from_str(value.as_str()).ok()?)));
        Some(Case {
            about: None,
            event: operation.event.to_string(),
            phase: if phase == Phase::Request { CasePhase::Request } else { CasePhase::Response },
            from: if operation.initiator == Party::Server { Began::Server } else { Began::Client },
            id: Some(operation.id.to_string()),
            server: operation.server.as_ref().map(|server| server.as_str().to_owned()),
            subject: operation.subject.as_deref().map(str::to_owned),
            principal: Some(operation.principal.to_string()),
            session: operation.session.as_ref().map(|session| self.session(session)),
            protocol: Some(operation.version.to_owned()),
            config: None,
            attributes: attributes.collect(),
            request: exchange.sent.as_ref().filter(|_| phase == Phase::Response).and_then(raw),
            failed: exchange.failed,
            grants: Vec::new(),
            secrets: std::collections::BTreeMap::new(),
            http: Vec::new(),
            payload: raw(payload)?,
            expected: None,
        })
    }

    fn session(&self, session: &Arc<str>) -> String {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sessions.iter().position(|known| known == session);
        let index = known.unwrap_or_else(|| {
            sessions.push(Arc::clone(session));
            sessions.len() - 1
        });
        format!("session-{}", index + 1)
    }
}

/// Sorts by number; the rest is for people.
fn file_name(number: u64, case: &Case) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let event: String = case.event.chars().take(64).map(plain).collect();
    let phase = if case.phase == CasePhase::Request { "request" } else { "response" };
    format!("{number:06}-{event}-{phase}.json")
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use wasmgate_core::pipeline::Operation;

    use super::*;

    fn exchange() -> Exchange {
        Exchange::new(Operation {
            id: "r1".into(),
            event: "tools/call".into(),
            server: None,
            subject: Some("read".into()),
            principal: "alice".into(),
            session: Some("secret-session-id".into()),
            version: "2025-11-25",
            initiator: Party::Client,
        })
    }

    #[tokio::test]
    async fn messages_become_files_that_load_so_many_and_no_more() {
        let home = std::env::temp_dir().join(format!("wasmgate-record-{}", std::process::id()));
        let stages = stages(&Record { directory: home.clone(), most: 2 }).unwrap();
        let payload = Json::parse(r#"{"n":1.0e0, "a":"\u0041"}"#).unwrap();
        for phase in [Phase::Request, Phase::Response, Phase::Request] {
            stages[0].run(&exchange(), phase, &payload).await.unwrap();
        }
        // A later run goes on behind the files of this one.
        let again = super::stages(&Record { directory: home.clone(), most: 1 }).unwrap();
        again[1].run(&exchange(), Phase::Response, &payload).await.unwrap();
        let mut files: Vec<_> =
            std::fs::read_dir(&home).unwrap().flatten().map(|entry| entry.path()).collect();
        files.sort();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "000001-tools-call-request.json",
                "000002-tools-call-response.json",
                "000003-tools-call-response.json"
            ]
        );
        let cases = Cases::<Case>::read(&files[0]).unwrap();
        let case = &cases.all()[0];
        assert_eq!((case.payload.get(), case.subject.as_deref()), (payload.as_str(), Some("read")));
        assert_eq!(case.session.as_deref(), Some("session-1"), "a session's id is not written");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&home), mode(&files[0])), (0o700, 0o600));
        std::fs::remove_dir_all(&home).unwrap();
    }
}
