//! Finds the places of many paths in one walk, so that a thousand edits do not cost a thousand walks.

use std::cmp::Ordering;
use std::ops::Range;

use super::walk::{Elements, Members};

/// The unescaped tokens of a pointer.
pub(super) type Path = Vec<String>;

/// Where each path leads in a checked value; None where there is nothing.
pub(super) fn find_all(bytes: &[u8], paths: &[Path]) -> Vec<Option<Range<usize>>> {
    let mut sorted: Vec<_> = paths.iter().enumerate().map(|(number, path)| Sought { number, path }).collect();
    sorted.sort_unstable_by_key(|sought| sought.path);
    let mut found = vec![None; paths.len()];
    walk(bytes, 0..bytes.len(), 0, &sorted, &mut found);
    found
}

struct Sought<'a> {
    number: usize,
    path: &'a [String],
}

/// Looks below `place`, which the first `depth` tokens of all `sought` lead to. Recursion ends with the shortest of path
/// and value, and values are not deep.
fn walk(
    bytes: &[u8],
    place: Range<usize>,
    depth: usize,
    sought: &[Sought<'_>],
    found: &mut [Option<Range<usize>>],
) {
    // In sorted order those that end here come first.
    let (here, below) = sought.split_at(sought.partition_point(|one| one.path.len() <= depth));
    for one in here {
        if let Some(slot) = found.get_mut(one.number) {
            *slot = Some(place.clone());
        }
    }
    let Some(container) = bytes.get(place.clone()).filter(|_| !below.is_empty()) else { return };
    let mut descend = |token: &str, part: Range<usize>| {
        let order =
            |one: &Sought<'_>| one.path.get(depth).map_or(Ordering::Less, |known| known.as_str().cmp(token));
        let start = below.partition_point(|one| order(one).is_lt());
        let end = below.partition_point(|one| order(one).is_le());
        if let Some(group) = below.get(start..end).filter(|group| !group.is_empty()) {
            walk(bytes, place.start + part.start..place.start + part.end, depth + 1, group, found);
        }
    };
    if let Some(members) = Members::of(container) {
        for member in members {
            descend(&member.name.meant(), member.value);
        }
    } else {
        for (index, element) in Elements::of(container).into_iter().flatten().enumerate() {
            descend(&index.to_string(), element);
        }
    }
}
