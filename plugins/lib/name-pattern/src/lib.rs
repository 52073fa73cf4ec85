//! Name patterns, as everywhere in the gateway: `*` stands for any run of characters, everything else for itself.
//! Shared by the plugins that are configured with names; no plugin itself.

/// Whether upper and lower case (ASCII) differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They do.
    Same,
    /// They do not.
    Any,
}

/// Whether `text` fits `pattern`. Never goes back over more than the last `*`: time is at most the product of both lengths.
pub fn matches(pattern: &str, text: &str, case: Case) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star is, and how much of the text it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(other) if same(*other, *byte, case) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, swallowed)) = &mut star else { return false };
                *swallowed += 1;
                at = *star_at + 1;
                seen = *swallowed;
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

fn same(one: u8, other: u8, case: Case) -> bool {
    match case {
        Case::Same => one == other,
        Case::Any => one.eq_ignore_ascii_case(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*delete*", "repo_delete_all", true),
            ("*delete*", "delet", false),
            ("a*b*c", "a_b_b_c", true),
            ("a*b*c", "a_c_b", false),
            ("**", "x", true),
            ("a**b", "ab", true),
            ("file:///*.md", "file:///ä/x.md", true),
            ("*aab", "aaab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text, Case::Same), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn case_counts_only_where_it_is_asked_to() {
        assert!(!matches("*Delete*", "delete_it", Case::Same));
        assert!(matches("*Delete*", "delete_it", Case::Any));
    }

    #[test]
    fn time_is_bounded() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!matches(&pattern, &"a".repeat(10_000), Case::Same));
    }
}
