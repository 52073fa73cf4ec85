//! What is wrong with a file, where, and the cure: one value, and the one function that shows it.

use std::fmt::Write as _;

/// One thing wrong in something a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as it was named, or what stands for it (`command line`, `environment`).
    pub file: String,
    /// The spot, when there is one.
    pub place: Option<Place>,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do about it: a lower-case fragment; empty when the message says it all.
    pub cure: String,
}

/// A spot in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// The line itself, without its end; long lines are cut.
    pub text: String,
    /// How many characters the caret underlines, at least 1.
    pub width: usize,
}

impl Diagnostic {
    /// A diagnostic without a spot in a text.
    pub fn new(file: impl Into<String>, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { file: file.into(), place: None, message: message.into(), cure: cure.into() }
    }
}

/// The text a terminal shows: file, line, the text with a caret, what is wrong, the cure.
pub fn render(diagnostic: &Diagnostic) -> String {
    let mut out = String::new();
    let Diagnostic { file, place, message, cure } = diagnostic;
    match place {
        Some(at) => {
            let gutter = at.line.to_string();
            let indent = " ".repeat(gutter.len());
            let before = " ".repeat(usize::try_from(at.column.saturating_sub(1)).unwrap_or(0));
            let carets = "^".repeat(at.width.max(1));
            let _ = writeln!(out, "{file}:{}:{}: {message}", at.line, at.column);
            let _ = writeln!(out, "{indent} |");
            let _ = writeln!(out, "{gutter} | {}", at.text);
            let _ = writeln!(out, "{indent} | {before}{carets}");
        }
        None => {
            let _ = writeln!(out, "{file}: {message}");
        }
    }
    if !cure.is_empty() {
        let _ = writeln!(out, "  {cure}");
    }
    out
}
