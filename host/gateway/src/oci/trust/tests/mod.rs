//! Signatures that count and signatures that do not: made here by an authority, logs and keys of our own ([`maker`]), and
//! made by others out there ([`real`]).

mod by_identity;
mod by_key;
mod hostile;
mod maker;
mod real;

use std::fmt::Write as _;

use super::*;

/// A repository's rule about signatures, in a test: whose, and what was found.
fn said(subject: &Subject, evidence: &[Evidence], signer: &Signer, root: &TrustRoot) -> String {
    match verify(subject, evidence, signer, root) {
        Ok(Verified { by, when }) => {
            let epoch =
                |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
            let when = when.map_or_else(|| "no time".to_owned(), |time| format!("at {}", epoch(time)));
            format!("signed by {by}, {when}")
        }
        Err(unverified) => unverified.to_string(),
    }
}

/// Lines of a table whose words are golden.
#[derive(Default)]
struct Table(String);

impl Table {
    fn row(&mut self, name: &str, said: &str) {
        let words = said.split(' ').map(stable).collect::<Vec<_>>().join(" ");
        let _ = writeln!(self.0, "{name}: {words}");
    }
}

/// A word, without what is another one each time: digests of keys made here, and the present.
fn stable(word: &str) -> String {
    let hex = |c: char| c.is_ascii_hexdigit();
    let long = word.trim_end_matches(',').len() >= 60 && word.trim_end_matches(',').chars().all(hex);
    if long || word.ends_with("Z)") { "...".to_owned() } else { word.to_owned() }
}

fn about(manifest: &[u8]) -> Subject {
    Subject::new(&maker::digest_of(manifest)).expect("a digest")
}
