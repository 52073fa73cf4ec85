//! `$VAR` and `${VAR}` in what a catalog wrote, by Go's `os.Expand` rules (which Docker's gateway uses): `$` before a
//! letter, digit, underscore or one of `*#@!?-` names a variable, `${}` vanishes, any other `$` stays. `$$` is a `$` (where
//! Docker's gateway, which has no way to write one, puts nothing).

/// A stretch of text or the name of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bit<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// A variable's name.
    Var(&'a str),
}

/// Splits a text at its variables. One pass: what replaces a variable is never looked at again.
pub(super) fn split(text: &str) -> Vec<Bit<'_>> {
    let mut bits = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        let after = from.get(1..).unwrap_or_default();
        let (bit, used) = variable(after);
        if !before.is_empty() {
            bits.push(Bit::Text(before));
        }
        match bit {
            Some("$") => bits.push(Bit::Text("$")),
            Some(name) if !name.is_empty() => bits.push(Bit::Var(name)),
            Some(_) => {}
            None => bits.push(Bit::Text("$")),
        }
        rest = after.get(used..).unwrap_or_default();
    }
    if !rest.is_empty() {
        bits.push(Bit::Text(rest));
    }
    bits
}

/// The name that starts `text` (after its `$`) and how many bytes it takes.
fn variable(text: &str) -> (Option<&str>, usize) {
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            Some(end) => (braced.get(..end), end + 2),
            None => (Some(""), 1),
        };
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    match text.bytes().next() {
        Some(b'0'..=b'9' | b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-') => (text.get(..1), 1),
        _ if end > 0 => (text.get(..end), end),
        _ => (None, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown: String = split(text)
            .iter()
            .map(|bit| match bit {
                Bit::Text(text) => (*text).to_owned(),
                Bit::Var(name) => format!("<{name}>"),
            })
            .collect();
        assert_eq!(shown, expected, "{text}");
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_variables_is_lost(text in "[$\\{\\}a_1é*]{0,30}") {
            let texts: String = split(&text).iter().map(|bit| if let Bit::Text(text) = bit { text } else { "" }).collect();
            let mut rest = text.chars();
            proptest::prop_assert!(texts.chars().all(|c| rest.any(|from| from == c)), "{} from {}", texts, text);
        }
    }

    #[test]
    fn variables_are_found_as_go_finds_them() {
        check("Bearer $A_1 end", "Bearer <A_1> end");
        check("Bearer ${A}x", "Bearer <A>x");
        check("$A$B", "<A><B>");
        check("a$", "a$");
        check("a$ b", "a$ b");
        check("$$x", "$x");
        check("$$$x$$", "$<x>$");
        check("$1x", "<1>x");
        check("${}x", "x");
        check("${x", "x");
        check("é$é", "é$é");
        check(r#"{"A": "Bearer $T"}"#, r#"{"A": "Bearer <T>"}"#);
    }
}
