//! Takes credentials out of a payload and leaves every other byte of it as it was.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use secret_scan::{Allowed, json, look};
use wasmgate_plugin::Edit;
use wasmgate_plugin::secrets::Sighting;

use crate::config::KNOWN;

/// What is taken out of one string: where, and the rule.
type Cuts = Vec<(Range<usize>, &'static str)>;

/// More than so many strings are not edited one by one: each edit looks for its place from the beginning.
const MOST_EDITS: usize = 64;

/// How credentials are taken out of a payload.
pub(crate) enum Redacted {
    /// String by string, so that only those cross over to the gateway.
    Edits(Vec<Edit>),
    /// As a whole new payload.
    Whole(String),
}

/// One string without its credentials.
struct Change {
    /// Where it stands in the payload, quotes included.
    raw: Range<usize>,
    pointer: String,
    text: String,
    is_name: bool,
}

/// How credentials are taken out; None when there are none.
pub(crate) fn payload(payload: &str, allowed: Allowed, known: &[Sighting]) -> Option<Redacted> {
    let changes = changes(payload, allowed, known);
    if changes.is_empty() {
        return None;
    }
    if changes.len() <= MOST_EDITS && !changes.iter().any(|change| change.is_name) {
        let edit = |change: Change| Edit::SetString(change.pointer, change.text);
        return Some(Redacted::Edits(changes.into_iter().map(edit).collect()));
    }
    let mut whole = String::with_capacity(payload.len());
    let mut copied = 0;
    for change in changes {
        whole.push_str(payload.get(copied..change.raw.start).unwrap_or_default());
        whole.push_str(&json::quoted(&change.text));
        copied = change.raw.end;
    }
    whole.push_str(payload.get(copied..).unwrap_or_default());
    Some(Redacted::Whole(whole))
}

fn changes(payload: &str, allowed: Allowed, known: &[Sighting]) -> Vec<Change> {
    let mut places: HashMap<&str, Vec<&Sighting>> = HashMap::new();
    for sighting in known {
        places.entry(&sighting.pointer).or_default().push(sighting);
    }
    let mut changes = Vec::new();
    let mut names = 0;
    json::strings(payload, 1, &mut |text| {
        let mut cuts = Cuts::new();
        // The gateway's own first: where both are found, that is what it is.
        if !places.is_empty()
            && !text.is_name
            && let Some(known) = places.get(text.pointer().as_str())
        {
            cuts.extend(known.iter().map(|sighting| (sighting.range.clone(), KNOWN)));
        }
        look(&text.text, text.name().as_deref(), allowed, &mut |found| {
            cuts.push((found.range, found.rule.name));
        });
        if !cuts.is_empty() {
            let mut left = cut(&text.text, cuts);
            if text.is_name {
                // Two names that become the same would make it no object any more.
                names += 1;
                left.extend((names > 1).then(|| format!(" ({names})")));
            }
            let (raw, pointer, is_name) = (text.raw.clone(), text.pointer(), text.is_name);
            changes.push(Change { raw, pointer, text: left, is_name });
        }
        ControlFlow::Continue(())
    });
    changes
}

/// `text` with each stretch of cuts that touch replaced by the name of the rule that begins it.
fn cut(text: &str, mut cuts: Cuts) -> String {
    // Stable: of two that begin together, the first found names the stretch.
    cuts.sort_by_key(|(range, _)| range.start);
    let mut left = String::new();
    let mut copied = 0;
    let mut cuts = cuts.into_iter().peekable();
    while let Some((mut range, rule)) = cuts.next() {
        while let Some((next, _)) = cuts.next_if(|(next, _)| next.start < range.end) {
            range.end = range.end.max(next.end);
        }
        let start = text.floor_char_boundary(range.start).max(copied);
        left.push_str(text.get(copied..start).unwrap_or_default());
        left.push_str("[redacted: ");
        left.push_str(rule);
        left.push(']');
        copied = text.ceil_char_boundary(range.end.min(text.len()));
    }
    left.push_str(text.get(copied..).unwrap_or_default());
    left
}
