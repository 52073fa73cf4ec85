//! Text that came from a guest, made fit for a log or an error message: bounded, and without control characters.

/// At most `max` bytes of `text`, control characters (line breaks, escapes that move a terminal's cursor) and bidirectional
/// overrides written as `\u{..}`; `...` where something was cut off.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max) + 3);
    for c in text.chars() {
        let before = out.len();
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        if out.len() > max {
            out.truncate(before);
            out.push_str("...");
            break;
        }
    }
    out
}

/// Characters that change how the text around them is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_would_move_the_cursor_is_written_out() {
        for (text, max, expected) in [
            ("plain", 10, "plain"),
            ("two\nlines\t\u{1b}[2J", 40, "two\\nlines\\t\\u{1b}[2J"),
            ("abc\u{202e}def", 40, "abc\\u{202e}def"),
            ("éééé", 5, "éé..."),
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcdef..."),
            ("abcde\n", 6, "abcde..."),
        ] {
            assert_eq!(printable(text, max), expected);
        }
    }
}
