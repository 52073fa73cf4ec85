//! YAML and JSON by one strict reader (JSON is YAML): errors become [`Diagnostic`]s with the line, a caret and the
//! nearest known word.

use serde::de::DeserializeOwned;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Budget, Error, Location};

use super::{Diagnostic, Place, closest};

pub use serde_saphyr::Spanned;

/// The longest line shown beside a diagnostic, in characters.
const SHOWN: usize = 160;

/// A text and the name it goes by.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file as it was named.
    pub file: &'a str,
    /// Its whole text.
    pub text: &'a str,
}

impl Source<'_> {
    /// Reads one document. Duplicate keys, alias bombs and more than one document are errors.
    ///
    /// # Errors
    /// A [`Diagnostic`] at the spot.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        let mut budget = Budget::default();
        budget.max_depth = 64;
        budget.max_nodes = 500_000;
        budget.max_aliases = 1_000;
        budget.max_documents = 1;
        let mut options = serde_saphyr::Options::default();
        options.budget = Some(budget);
        options.alias_limits.max_total_replayed_events = 20_000;
        options.with_snippet = false;
        options.strict_booleans = true;
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| self.explain(&error))
    }

    /// A diagnostic at a spot of this text; `word` is what the caret underlines.
    pub fn at(&self, spot: &Location, word: &str, message: String, cure: String) -> Diagnostic {
        let line = spot.line();
        let place = (line > 0).then(|| {
            let index = usize::try_from(line - 1).unwrap_or(usize::MAX);
            let text: String = self.text.lines().nth(index).unwrap_or_default().chars().take(SHOWN).collect();
            let start = usize::try_from(spot.column().saturating_sub(1)).unwrap_or(0);
            let rest: String = text.chars().skip(start).collect();
            let quoted = rest.starts_with(['"', '\'']);
            let fits = rest.trim_start_matches(['"', '\'']).starts_with(word);
            let width =
                if fits && !word.is_empty() { word.chars().count() + 2 * usize::from(quoted) } else { 1 };
            Place { line, column: spot.column(), text, width }
        });
        Diagnostic { file: self.file.to_owned(), place, message, cure }
    }

    fn explain(&self, error: &Error) -> Diagnostic {
        let error = error.without_snippet();
        if let Error::AliasError { error, .. } = error {
            return self.explain(error);
        }
        let spot = error.location().unwrap_or(Location::UNKNOWN);
        match error {
            Error::SerdeUnknownField { field, expected, .. } => {
                let (message, cure) = (format!("unknown key `{field}`"), cure_for(field, expected));
                self.at(&spot, field, message, cure)
            }
            Error::SerdeUnknownVariant { variant, expected, .. } => {
                let (message, cure) =
                    (format!("`{variant}` is not a choice here"), cure_for(variant, expected));
                self.at(&spot, variant, message, cure)
            }
            Error::DuplicateMappingKey { key, .. } => {
                let key = key.clone().unwrap_or_default();
                let cure = "remove one of the two: which one counts would be a guess".to_owned();
                self.at(&spot, &key, format!("the key `{key}` appears twice"), cure)
            }
            Error::SerdeMissingField { field, .. } => {
                self.at(&spot, "", format!("the key `{field}` is missing"), String::new())
            }
            Error::SerdeInvalidType { unexpected, expected, .. }
            | Error::SerdeInvalidValue { unexpected, expected, .. } => {
                self.at(&spot, "", format!("expected {expected}, found {unexpected}"), String::new())
            }
            Error::Unexpected { expected, .. } => {
                let wanted = match *expected {
                    "mapping start" => "a map",
                    "sequence start" => "a list",
                    "string scalar" => "a text",
                    other => other,
                };
                self.at(&spot, "", format!("expected {wanted}"), String::new())
            }
            Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
                let cure = "keep one document a file: remove the `---` and what belongs elsewhere".to_owned();
                self.at(&spot, "---", "a second document begins".to_owned(), cure)
            }
            Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. } => {
                let message = format!("too large or too deep to be read safely: {}", first_line(error));
                self.at(&spot, "", message, String::new())
            }
            Error::Eof { .. } => self.at(&spot, "", "the file is empty".to_owned(), String::new()),
            other => self.at(&spot, "", first_line(other), String::new()),
        }
    }
}

fn cure_for(word: &str, expected: &[&'static str]) -> String {
    match closest(word, expected.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if expected.is_empty() => String::new(),
        None => {
            let words: Vec<_> = expected.iter().map(|word| format!("`{word}`")).collect();
            format!("known here: {}", words.join(", "))
        }
    }
}

/// The reader's own words, without the position it appends.
fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let end = line.rfind(" at line ").unwrap_or(line.len());
    line.split_at(end).0.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde::Deserialize;

    use super::super::render;
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the reading is under test")]
    struct Sample {
        #[serde(default)]
        image: String,
        #[serde(default)]
        limit: Option<super::super::units::Span>,
        #[serde(default)]
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Enforce,
        Audit,
    }

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let shown = match (Source { file: "f.yaml", text }).parse::<Sample>() {
            Ok(sample) => format!("{sample:?}"),
            Err(problem) => render(&problem),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "most of them are golden text")]
    fn what_is_wrong_is_shown_where_it_is() {
        check(
            "image: x\nimgae: y\n",
            expect![[r#"
            f.yaml:2:1: unknown key `imgae`
              |
            2 | imgae: y
              | ^^^^^
              did you mean `image`?
        "#]],
        );
        check(
            "{\"image\": \"x\", \"zzz\": 1}",
            expect![[r#"
            f.yaml:1:16: unknown key `zzz`
              |
            1 | {"image": "x", "zzz": 1}
              |                ^^^^^
              known here: `image`, `limit`, `mode`
        "#]],
        );
        check(
            "image: x\nimage: y\n",
            expect![[r#"
            f.yaml:2:1: the key `image` appears twice
              |
            2 | image: y
              | ^^^^^
              remove one of the two: which one counts would be a guess
        "#]],
        );
        check(
            "limit: soon\n",
            expect![[r#"
            f.yaml:1:8: `soon` is not a length of time: write a number and a unit, such as `500ms`, `30s` or `2m`
              |
            1 | limit: soon
              |        ^
        "#]],
        );
        check(
            "mode: enfroce\n",
            expect![[r#"
            f.yaml:1:7: `enfroce` is not a choice here
              |
            1 | mode: enfroce
              |       ^^^^^^^
              did you mean `enforce`?
        "#]],
        );
        check(
            "image: [a]\n",
            expect![[r#"
            f.yaml:1:8: expected a text
              |
            1 | image: [a]
              |        ^
        "#]],
        );
        check(
            "image: 'a\n",
            expect![[r#"
            f.yaml:2:1: invalid indentation in multiline quoted scalar
              |
            2 | 
              | ^
        "#]],
        );
        check(
            "image: a\n\tb: c\n",
            expect![[r#"
            f.yaml:1:8: while scanning a plain scalar, found a tab
              |
            1 | image: a
              |        ^
        "#]],
        );
        check("", expect![[r#"Sample { image: "", limit: None, mode: None }"#]]);
        check(
            "image: a\n---\nimage: b\n",
            expect![[r#"
            f.yaml:2:1: a second document begins
              |
            2 | ---
              | ^^^
              keep one document a file: remove the `---` and what belongs elsewhere
        "#]],
        );
        check(
            "image: a\nlimit: 5s\nmode: audit\n",
            expect![[r#"Sample { image: "a", limit: Some(Span(5s)), mode: Some(Audit) }"#]],
        );
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
        }
        let read = (Source { file: "bomb", text: &text }).parse::<serde_json::Value>();
        let message = read.unwrap_err().message;
        assert!(message.starts_with("too large or too deep"), "{message}");
    }
}
