//! Which fields of a message are meant: RFC 6901 pointers in which `*` is any one step and `**` any number of them. A
//! pattern means the value at the place and everything in it.

/// Whether `pointer` is at or below a place that `pattern` means.
pub(crate) fn covers(pattern: &str, pointer: &str) -> bool {
    let (pattern, pointer) = (steps(pattern), steps(pointer));
    // Where the last `**` was, and how far it reaches by now: the usual matching of wildcards, without recursion.
    let (mut at, mut place, mut again) = (0, 0, None);
    loop {
        match (pattern.get(at), pointer.get(place)) {
            (None, _) => return true,
            (Some(&"**"), _) => {
                again = Some((at + 1, place));
                at += 1;
            }
            (Some(step), Some(own)) if *step == "*" || step == own => (at, place) = (at + 1, place + 1),
            (Some(_), found) => match (again, found) {
                (Some((behind, reached)), _) if reached < pointer.len() => {
                    again = Some((behind, reached + 1));
                    (at, place) = (behind, reached + 1);
                }
                _ => return false,
            },
        }
    }
}

fn steps(pointer: &str) -> Vec<&str> {
    pointer.split('/').skip(1).collect()
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_means_a_place_and_what_is_in_it() {
        for (pattern, pointer, expected) in [
            ("", "/a/b", true),
            ("/a", "/a", true),
            ("/a", "/a/b/0", true),
            ("/a", "/ab", false),
            ("/a/b", "/a", false),
            ("/a/*/c", "/a/0/c", true),
            ("/a/*/c", "/a/0/b/c", false),
            ("/**/email", "/a/0/b/email", true),
            ("/**/email", "/email/0", true),
            ("/**/email", "/a/b", false),
            ("/a/**/c/*/d", "/a/c/c/x/d", true),
            ("/a/**/c/*/d", "/a/x/c/c/d/e", true),
            ("/a~1b", "/a~1b", true),
        ] {
            assert_eq!(covers(pattern, pointer), expected, "{pattern} {pointer}");
        }
    }
}
