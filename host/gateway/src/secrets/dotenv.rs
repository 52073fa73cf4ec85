//! Docker's secrets file: `NAME=VALUE` a line, where NAME is the catalog's name of the secret (`brave.api_key`).
//!
//! As Docker reads it: `#` starts a comment only as the first character, blank lines are skipped, nothing is unquoted, there
//! is no `export`, and the value is everything after the first `=`. Unlike Docker, an error names the line (and does not
//! show it: it may hold a secret).

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::document::Diagnostic;

/// Reads the file's text.
///
/// # Errors
/// The first line that is not `NAME=VALUE`.
pub fn read(file: &str, text: &str) -> Result<BTreeMap<String, SecretString>, Diagnostic> {
    let mut secrets = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                secrets.insert(name.trim().to_owned(), SecretString::from(value));
            }
            _ => {
                let message = format!("line {number} is not `NAME=VALUE`");
                let cure = "write the secret's name as the catalog has it, `=`, and the value without quotes; `#` starts a comment only in the first column";
                return Err(Diagnostic::new(file, message, cure));
            }
        }
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let read = read("f", "# comment\n\nbrave.api_key=a=b \"c\"\nempty=\r\nB= #x\n").unwrap();
        let shown: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(shown, [("B", " #x"), ("brave.api_key", "a=b \"c\""), ("empty", "")]);
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        for text in ["a=b\nhunter2\n", "a=b\n =x\n", "a=b\n  # hunter2\n"] {
            let problem = read("f", text).unwrap_err();
            assert!(
                problem.message.starts_with("line 2 ") && !format!("{problem:?}").contains("hunter2"),
                "{problem:?}"
            );
        }
    }
}
