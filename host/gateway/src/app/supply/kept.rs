//! The last good answer of every source, on disk: what a gateway starts with when the source is away, and what an update is
//! laid over.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmgate_core::json::Json;

use crate::config::Supply;

/// A directory of answers, one file a question.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    directory: Option<PathBuf>,
}

/// Whose answer to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// The reference as written.
    pub(super) reference: &'a str,
    /// What answers it: another program or another configuration of it has other answers.
    pub(super) answerer: &'a [u8],
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Entries by name: what a catalog source says.
    #[serde(default)]
    pub(super) entries: BTreeMap<String, Held>,
    /// Servers that cannot be imported, and why.
    #[serde(default)]
    pub(super) refused: BTreeMap<String, String>,
    /// A whole catalog: what a web server says.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// By which the source tells whether it has changed.
    #[serde(default)]
    pub(super) validator: Option<String>,
    /// When it was asked (RFC 3339).
    #[serde(default)]
    pub(super) asked: String,
    /// When everything was last asked for, and not only what changed (RFC 3339).
    #[serde(default)]
    pub(super) full: String,
    /// Whether the source has said "no" since.
    #[serde(default)]
    pub(super) denied: bool,
}

/// A server of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// Its entry, as JSON text.
    pub(super) document: String,
    /// What people should know.
    #[serde(default)]
    pub(super) notes: Vec<String>,
}

impl Answer {
    /// The answer as a catalog.
    pub(super) fn supply(&self) -> Supply {
        let text = match &self.text {
            Some(text) => text.clone(),
            None => {
                let entries = self.entries.iter().map(|(name, held)| entry(name, held));
                format!("{{\"servers\":[{}]}}", entries.collect::<Vec<_>>().join(","))
            }
        };
        let notes = self
            .entries
            .iter()
            .flat_map(|(name, held)| held.notes.iter().map(move |note| format!("server `{name}`: {note}")));
        Supply { text, refused: self.refused.clone().into_iter().collect(), warnings: notes.collect() }
    }
}

/// An entry with its name in it.
fn entry(name: &str, held: &Held) -> String {
    match Json::parse(held.document.clone()) {
        Ok(document) => document.with_member("name", &Json::of(name)).as_str().to_owned(),
        // Only JSON is ever kept; a file that somebody else wrote is a broken entry.
        Err(_) => Json::of(name).as_str().to_owned(),
    }
}

impl Kept {
    /// Beside the artifacts; nothing is kept without a place.
    pub(super) fn new(data: Option<&Path>) -> Self {
        Self { directory: data.map(|data| data.join("sources")) }
    }

    /// The last good answer. A file that cannot be read is none.
    pub(super) fn find(&self, question: Question<'_>) -> Option<Answer> {
        let bytes = std::fs::read(self.path(question)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps an answer. What cannot be kept is only a warning: the answer itself is there.
    pub(super) fn keep(&self, question: Question<'_>, answer: &Answer) {
        let Some(path) = self.path(question) else { return };
        if let Err(error) = write(&path, answer) {
            tracing::warn!(path = %path.display(), %error, "an answer of a catalog source could not be kept");
        }
    }

    /// Notes that the source says "no" by now: the answer is not to be used before it is asked again.
    pub(super) fn deny(&self, question: Question<'_>) {
        if let Some(answer) = self.find(question) {
            self.keep(question, &Answer { denied: true, ..answer });
        }
    }

    fn path(&self, question: Question<'_>) -> Option<PathBuf> {
        let mut hasher = Sha256::new();
        hasher.update(Sha256::digest(question.answerer));
        hasher.update(question.reference.as_bytes());
        let name: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(self.directory.as_ref()?.join(format!("{name}.json")))
    }
}

/// Whole or not at all: several processes may share the directory.
fn write(path: &Path, answer: &Answer) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}.{number}", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create(&beside)?;
        serde_json::to_writer(&mut file, answer)?;
        file.flush()?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _left = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str) -> Answer {
        let document = format!(r#"{{"image":"{name}:1"}}"#);
        let held = Held { document, notes: vec!["is deprecated".to_owned()] };
        Answer { entries: BTreeMap::from([(name.to_owned(), held)]), ..Answer::default() }
    }

    #[test]
    fn each_question_has_its_own_answer() {
        let dir = std::env::temp_dir().join(format!("wasmgate-kept-{}", std::process::id()));
        let kept = Kept::new(Some(&dir));
        let ask = |reference, answerer| Question { reference, answerer };
        assert_eq!(kept.find(ask("a", b"1")), None);
        kept.keep(ask("a", b"1"), &answer("a"));
        kept.keep(ask("a", b"2"), &answer("b"));
        assert_eq!(kept.find(ask("a", b"1")), Some(answer("a")));
        assert_eq!(kept.find(ask("a", b"2")), Some(answer("b")));
        assert_eq!(std::fs::read_dir(dir.join("sources")).unwrap().count(), 2, "and nothing beside them");
        std::fs::write(kept.path(ask("a", b"1")).unwrap(), "{\"entries\":").unwrap();
        assert_eq!(kept.find(ask("a", b"1")), None, "half a file is no answer");
        kept.deny(ask("a", b"2"));
        kept.deny(ask("never", b"asked"));
        assert_eq!(kept.find(ask("a", b"2")), Some(Answer { denied: true, ..answer("b") }));
        assert_eq!(kept.find(ask("never", b"asked")), None);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_answer_is_a_catalog() {
        let supply = answer("time").supply();
        assert_eq!(supply.text, r#"{"servers":[{"image":"time:1","name":"time"}]}"#);
        assert_eq!(supply.warnings, ["server `time`: is deprecated"]);
        let catalog = supply.catalog("registry://time").unwrap();
        assert_eq!(catalog.servers.len(), 1);
    }
}
