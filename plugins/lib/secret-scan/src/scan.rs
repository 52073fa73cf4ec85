//! One pass over a text: at each byte the rules whose literal can begin there, told by three bytes in three tables.
//!
//! Linear: a word is looked at once for each rule whose literal it begins with, and marks inside words look at a bounded
//! stretch.

use std::ops::Range;

use crate::Allowed;
use crate::checks::Hit;
use crate::rules::{Class, Kind, RULES, Rule};

/// Between a name and its value.
const SEPARATORS: &[u8] = b" =:\"'\\>\t";
const MAX_SEPARATORS: usize = 8;

/// The shortest value of a rule of kind `Name`.
const SHORTEST_NAMED: usize = 40;

/// For each byte, as bits, the rules with a literal that has this byte at its first, second and third place. A rule with a
/// literal that is shorter has every byte there.
static PLACES: [[u64; 256]; 3] = [place(0), place(1), place(2)];

/// Places that are looked at together.
const STRETCH: usize = 16;

/// Sets of rules are kept as bits in a word.
pub(crate) const MOST_RULES: usize = 64;

/// Shows every place where `text` breaks a rule, but those that are allowed. Places of one rule do not overlap.
pub(crate) fn spans(text: &[u8], allowed: Allowed, visit: &mut dyn FnMut(&'static Rule, Range<usize>)) {
    let open = !allowed.0;
    let mut behind = [0; MOST_RULES];
    let mut look_at = |at: usize, window: &[u8]| {
        let mut candidates = candidates(window) & open;
        while candidates != 0 {
            let index = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let (Some(rule), Some(behind)) = (RULES.get(index), behind.get_mut(index)) else { continue };
            if at >= *behind
                && let Some(range) = fits(rule, text, at)
            {
                *behind = range.end;
                visit(rule, range);
            }
        }
    };
    let mut at = 0;
    // In almost every place nothing begins: so many places are asked about with one branch.
    while let Some(stretch) = text.get(at..).and_then(<[u8]>::first_chunk::<{ STRETCH + 2 }>) {
        if stretch.windows(3).fold(0, |any, window| any | candidates(window)) & open != 0 {
            stretch.windows(3).enumerate().for_each(|(more, window)| look_at(at + more, window));
        }
        at += STRETCH;
    }
    let rest = text.get(at..).unwrap_or_default();
    rest.windows(3).enumerate().for_each(|(more, window)| look_at(at + more, window));
}

fn candidates(window: &[u8]) -> u64 {
    let [first, second, third] = &PLACES;
    let [a, b, c] = window else { return 0 };
    // Tables of 256 indexed by a byte: never out of bounds, and the compiler knows it.
    let at = |table: &[u64; 256], byte: &u8| table.get(usize::from(*byte)).copied().unwrap_or_default();
    at(first, a) & at(second, b) & at(third, c)
}

/// The rule that says that a member of this name has a credential as its value, and what of the value that is.
pub(crate) fn named(name: &str, value: &[u8], allowed: Allowed) -> Option<(&'static Rule, Range<usize>)> {
    if value.len() < SHORTEST_NAMED {
        return None;
    }
    let named =
        |rule: &Rule| rule.kind == Kind::Name && rule.prefixes.iter().any(|p| p.eq_ignore_ascii_case(name));
    let (_, rule) = RULES
        .iter()
        .enumerate()
        .find(|(_, rule)| named(rule))
        .filter(|(at, _)| allowed.0 & (1 << at) == 0)?;
    fits_body(rule, value, 0, 0).map(|range| (rule, range))
}

fn fits(rule: &Rule, text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..).unwrap_or_default();
    let mut begins = rule.prefixes.iter().filter(|prefix| rest.starts_with(prefix.as_bytes()));
    begins.find_map(|prefix| match rule.kind {
        Kind::Prefix if !begins_word(text, at) => None,
        Kind::Prefix | Kind::Mark => fits_body(rule, text, at, at + prefix.len()),
        Kind::Name => {
            let after = text.get(at + prefix.len()..).unwrap_or_default();
            let gap = after.iter().take(MAX_SEPARATORS).take_while(|byte| SEPARATORS.contains(byte)).count();
            if gap == 0 { None } else { fits_body(rule, text, at, at + prefix.len() + gap) }
        }
    })
}

fn fits_body(rule: &Rule, text: &[u8], start: usize, after: usize) -> Option<Range<usize>> {
    let rest = text.get(after..).unwrap_or_default();
    let body = if matches!(rule.body, Class::Any) { 0 } else { run(rest, rule.body, rule.max) };
    if body < rule.min || body > rule.max {
        return None;
    }
    let body = rest.get(..body).unwrap_or_default();
    let hit = Hit { text, start, body, after };
    (rule.check)(&hit).then(|| (rule.reach)(&hit))
}

/// How many characters of `class` there are, counted to one more than `max`; a dot that ends a sentence is none.
fn run(text: &[u8], class: Class, max: usize) -> usize {
    let count = text.iter().take(max + 1).take_while(|byte| class.has(**byte)).count();
    let trailing =
        text.get(..count).unwrap_or_default().iter().rev().take_while(|byte| **byte == b'.').count();
    count - trailing
}

/// Whether a word can begin at `at`: after nothing, after what is no part of a word, or after an escape sequence that was
/// not undone (`\n`, `%20`) because it was escaped twice.
fn begins_word(text: &[u8], at: usize) -> bool {
    let before = text.get(at.saturating_sub(3)..at).unwrap_or_default();
    match before {
        [] => true,
        [.., b'\\', b'n' | b'r' | b't'] => true,
        [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => true,
        [.., last] => !Class::Word.has(*last),
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler: out of bounds does not compile")]
const fn place(place: usize) -> [u64; 256] {
    let mut table = [0; 256];
    let mut rule = 0;
    while rule < RULES.len() {
        let mut prefix = 0;
        while prefix < RULES[rule].prefixes.len() {
            let literal = RULES[rule].prefixes[prefix].as_bytes();
            let mut byte = 0;
            while byte < 256 {
                if place >= literal.len() || literal[place] as usize == byte {
                    table[byte] |= 1 << rule;
                }
                byte += 1;
            }
            prefix += 1;
        }
        rule += 1;
    }
    table
}

#[cfg(test)]
mod tests;
