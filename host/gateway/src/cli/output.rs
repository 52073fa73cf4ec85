//! The one place that writes to the terminal: results on stdout, everything else on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::Failed;

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

/// Writes a file that somebody named: whole or not at all, so that whoever watches it never sees half of it. A link stays a
/// link, and what is no file (a pipe, `/dev/null`) is written to and not replaced.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let written = match path.metadata() {
        Ok(there) if !there.is_file() => std::fs::write(path, bytes),
        there => {
            let path = if there.is_ok() { path.canonicalize() } else { Ok(path.to_owned()) };
            path.and_then(|path| exchange(&path, bytes))
        }
    };
    written.map_err(|error| Failed::Work(format!("{} cannot be written: {error}", path.display())))
}

fn exchange(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _left = std::fs::remove_file(&beside);
    }
    written
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
    fn what_is_no_file_is_not_replaced_by_one() {
        use std::os::unix::fs::FileTypeExt as _;
        assert!(write_file(Path::new("/dev/null"), b"text").is_ok());
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let dir = std::env::temp_dir().join(format!("wasmgate-output-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (file, link) = (dir.join("file"), dir.join("link"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(write_file(&file, b"one").is_ok() && write_file(&link, b"two").is_ok());
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "and nothing beside them");
        assert!(write_file(&dir.join("no/file"), b"x").is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

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
