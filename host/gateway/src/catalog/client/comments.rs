//! JSON as editors let people write it: with comments, and indented by tabs, which YAML does not allow.

/// The text with blanks in place of comments and of tabs outside texts, so that every place stays where it is. None when it
/// is not JSON, or has neither.
pub(crate) fn without_comments(text: &str) -> Option<String> {
    let start = text.trim_start();
    if !(start.starts_with('{') || start.starts_with("//") || start.starts_with("/*")) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '"' => quoted(rest),
            // Not the slashes of an address that stands without quotes.
            '/' if !(before.is_whitespace() || ",{}[]\"".contains(before)) => 1,
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(taken);
        match token {
            "\t" => out.push(' '),
            _ if token.starts_with("//") || token.starts_with("/*") => {
                out.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            }
            other => out.push_str(other),
        }
        before = token.chars().next_back().unwrap_or(before);
        rest = after;
    }
    (out != text).then_some(out)
}

/// How long the text in quotes is that begins here.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(without_comments(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn comments_become_blanks() {
        check(
            "{\n\t// a\n\t\"u\": \"http://x\" /* b\n */ }",
            Some("{\n     \n \"u\": \"http://x\"     \n    }"),
        );
        check(r#"{"a": "\" // no"}"#, None);
        check("servers: // yaml\n", None);
        check("{url: http://x}", None);
        check("// head\n{}", Some("       \n{}"));
        check("{ /* open", Some("{        "));
    }
}
