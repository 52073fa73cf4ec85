//! The one place that writes to the terminal: results on stdout, everything else on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use crate::oci::{Progress, Step};

/// Prints a result. A reader that went away (`| head`) is no failure.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _closed = writeln!(out, "{text}");
}

/// Prints a serialisable result as indented JSON.
pub(super) fn print_json<T: serde::Serialize>(value: &T) {
    print(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Says something beside the result.
pub(super) fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    let _closed = writeln!(err, "{text}");
}

/// Says several things of one kind beside the result: the first ones, and how many more there are.
pub(super) fn notes(what: &str, texts: &[String]) {
    for text in texts.iter().take(MOST_NOTES) {
        note(&format!("{what}: {text}"));
    }
    if let Some(more) = texts.len().checked_sub(MOST_NOTES).filter(|more| *more > 0) {
        note(&format!("{what}: and {more} more like these"));
    }
}

/// Lines of one kind that are of use to a person.
const MOST_NOTES: usize = 20;

/// Shows on a terminal how transfers go on; nothing elsewhere, where lines would pile up.
pub(super) fn progress() -> Option<Progress> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    Some(Arc::new(|step: &Step| {
        let percent = (step.done * 100).checked_div(step.total).unwrap_or(100);
        let end = if step.done >= step.total { "\n" } else { "\r" };
        let mut err = std::io::stderr().lock();
        let _closed =
            write!(err, "\x1b[K{} {percent:>3} % of {} KiB{end}", step.reference, step.total.div_ceil(1024));
        let _closed = err.flush();
    }))
}

/// Says what went wrong and gives the exit code.
pub(super) fn complain(message: &str, code: u8) -> ExitCode {
    note(&format!("error: {message}"));
    ExitCode::from(code)
}

/// Rows under headings, columns as wide as their widest cell.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}", width = *width))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["time".to_owned(), "ready".to_owned()],
            vec!["a-long-name".to_owned(), "failed".to_owned()],
        ];
        let expected = "NAME         STATE\ntime         ready\na-long-name  failed";
        assert_eq!(table(&["NAME", "STATE"], &rows), expected);
    }
}
