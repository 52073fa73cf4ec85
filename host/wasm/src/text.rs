//! Text that came from a guest, made fit for a log or an error message: bounded, and without control characters.

/// At most `max` bytes of `text`, control characters (line breaks, escapes that move a terminal's cursor) and bidirectional
/// overrides written as `\u{..}`; `...` where something was cut off.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max) + 3);
    // Most texts are plain to their end.
    let plain = text.bytes().take(max).take_while(|byte| matches!(byte, b' '..=b'~')).count();
    let (plain, rest) = text.split_at_checked(plain).unwrap_or_default();
    out.push_str(plain);
    for c in rest.chars() {
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
            ("abc\u{7f}", 10, "abc\\u{7f}"),
            ("abcdé", 5, "abcd..."),
            ("abcdeé", 5, "abcde..."),
        ] {
            assert_eq!(printable(text, max), expected);
        }
    }
}
