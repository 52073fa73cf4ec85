//! Name patterns, as everywhere in the gateway: `*` stands for any run of characters, everything else for itself.

/// Whether `text` fits. Every part between two stars is taken where it first occurs, which is never too late.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else {
        return false;
    };
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_run() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("*", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*x*", "axb", true),
            ("a*b*c", "a_b_b_c", true),
            ("a*b*c", "a_c", false),
            ("**", "x", true),
            ("tools/*", "tools/call", true),
            ("*é*", "café!", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
