//! Takes credentials out of a payload and leaves every other byte of it as it was.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use secret_scan::{Allowed, json, look};
use wasmgate_plugin::secrets::Sighting;

use crate::config::KNOWN;

/// What is taken out of one string: where, and the rule.
type Cuts = Vec<(Range<usize>, &'static str)>;

/// The payload without credentials; None when it has none.
pub(crate) fn payload(payload: &str, allowed: Allowed, known: &[Sighting]) -> Option<String> {
    let mut places: HashMap<&str, Vec<&Sighting>> = HashMap::new();
    for sighting in known {
        places.entry(&sighting.pointer).or_default().push(sighting);
    }
    let mut redacted = String::new();
    let (mut copied, mut names) = (0, 0);
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
            cuts.push((found.range, found.rule.name))
        });
        if !cuts.is_empty() {
            let mut left = cut(&text.text, cuts);
            if text.is_name {
                // Two names that become the same would make it no object any more.
                names += 1;
                left.extend((names > 1).then(|| format!(" ({names})")));
            }
            redacted.push_str(payload.get(copied..text.raw.start).unwrap_or_default());
            redacted.push_str(&json::quoted(&left));
            copied = text.raw.end;
        }
        ControlFlow::Continue(())
    });
    if copied == 0 {
        return None;
    }
    redacted.push_str(payload.get(copied..).unwrap_or_default());
    Some(redacted)
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
