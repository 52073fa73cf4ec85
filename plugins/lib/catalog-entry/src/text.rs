//! Texts made of what a source wrote, values that people set, and secrets.

use crate::Entry;

/// A stretch of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Literal(String),
    /// The value of a property, by its name in the entry.
    Value(String),
    /// The value of a property that is a path of the user's, as the container sees it ([`Entry::mount`]).
    Path(String),
    /// A secret, by the variable it is delivered as.
    Secret {
        /// The variable.
        env: String,
        /// Whether the server does not run without.
        required: bool,
    },
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(Vec<Piece>);

/// Why a text cannot stand where it should: a fragment that follows what is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It holds a secret.
    Secret,
    /// It holds braces or `$`, which no template can write.
    Marks,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret => "holds a secret, which others could read there",
            Self::Marks => "holds `{`, `}` or `$`, which cannot be written there",
        })
    }
}

/// Where a text goes: it decides what must not stand there as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Templates and variables are both read.
    Argument,
    /// Only templates are.
    Template,
    /// Only variables are.
    Variables,
    Url,
}

impl From<Vec<Piece>> for Text {
    fn from(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }
}

impl From<&str> for Text {
    fn from(literal: &str) -> Self {
        Self(vec![Piece::Literal(literal.to_owned())])
    }
}

impl Text {
    /// Its pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// What it says, where it is nothing but what the source wrote.
    pub fn literal(&self) -> Option<String> {
        self.0.iter().try_fold(String::new(), |all, piece| match piece {
            Piece::Literal(text) => Some(all + text),
            _ => None,
        })
    }

    /// The property and the filter its value goes through, where the text is that and nothing else.
    pub fn value(&self) -> Option<(&str, &'static str)> {
        match self.0.as_slice() {
            [Piece::Value(property)] => Some((property, "")),
            [Piece::Path(property)] => Some((property, "volume-target|")),
            _ => None,
        }
    }

    /// Whether it holds a secret.
    pub fn has_secret(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Secret { .. }))
    }

    /// Whether it holds a secret that the server can do without.
    pub fn has_optional_secret(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Secret { required: false, .. }))
    }

    pub(crate) fn written(&self, entry: &Entry, place: Place) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => escaped(text, place),
            Piece::Value(property) => entry.template(property, ""),
            Piece::Path(property) => entry.template(property, "volume-target"),
            Piece::Secret { env, .. } => format!("${{{env}}}"),
        };
        self.0.iter().map(piece).collect()
    }

    /// What a value of an environment is read as. It is a template where it holds `{{` and `}}`, and has variables where it
    /// does not; in a template `$` means nothing, and outside of one braces do not.
    pub(crate) fn environment_place(&self) -> Place {
        let literal = self.literal();
        let braced = literal.as_ref().is_some_and(|text| looks_like_a_template(text));
        match self.has_secret() || (literal.is_some() && !braced) {
            true => Place::Variables,
            false => Place::Template,
        }
    }

    pub(crate) fn plain(&self, entry: &Entry) -> Result<String, Unfit> {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) if text.contains(['{', '}', '$']) => Err(Unfit::Marks),
            Piece::Literal(text) => Ok(text.clone()),
            Piece::Value(property) => Ok(entry.template(property, "")),
            Piece::Path(property) => Ok(entry.template(property, "volume-target")),
            Piece::Secret { .. } => Err(Unfit::Secret),
        };
        self.0.iter().map(piece).collect()
    }
}

/// Whether an environment would read it as a template.
pub(crate) fn looks_like_a_template(text: &str) -> bool {
    text.contains("{{") || text.contains("}}")
}

/// What the source wrote, so that it stays that: `$$` is a `$`, `{{'{'}}` a brace; a URL has its own way.
fn escaped(text: &str, place: Place) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (c, place) {
            ('{', Place::Url) => out.push_str("%7B"),
            ('}', Place::Url) => out.push_str("%7D"),
            ('$', Place::Url) => out.push_str("%24"),
            ('{', Place::Argument | Place::Template) => out.push_str("{{'{'}}"),
            ('}', Place::Argument | Place::Template) => out.push_str("{{'}'}}"),
            ('$', Place::Argument | Place::Variables) => out.push_str("$$"),
            (other, _) => out.push(other),
        }
    }
    out
}
