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
    Argument,
    Environment,
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

    /// The same with what cannot stand in the place turned into values that nobody can change.
    pub(crate) fn pinned(&self, entry: &mut Entry, owner: &str, place: Place) -> Self {
        // A template in an environment is no place for variables, so `$` is safe there; so are braces that are alone.
        let marks: &[char] = match (place, self.has_secret(), self.literal()) {
            (Place::Url, ..) => return self.clone(),
            (Place::Argument, ..) | (Place::Environment, true, None) => &['{', '}', '$'],
            (Place::Environment, _, Some(all)) if all.contains("{{") && all.contains("}}") => {
                &['{', '}', '$']
            }
            (Place::Environment, _, Some(_)) => &['$'],
            (Place::Environment, false, None) => &['{', '}'],
        };
        let mut pieces = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => match text.find(marks) {
                    Some(at) => {
                        let (before, rest) = text.split_at(at);
                        pieces.extend((!before.is_empty()).then(|| Piece::Literal(before.to_owned())));
                        pieces.push(entry.pin(owner, rest));
                    }
                    None => pieces.push(piece.clone()),
                },
                other => pieces.push(other.clone()),
            }
        }
        Self(pieces)
    }

    pub(crate) fn written(&self, entry: &mut Entry, owner: &str, place: Place) -> String {
        let text = self.pinned(entry, owner, place);
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) if place == Place::Url => escaped(text),
            Piece::Literal(text) => text.clone(),
            Piece::Value(property) => entry.template(property, ""),
            Piece::Path(property) => entry.template(property, "volume-target"),
            Piece::Secret { env, .. } => format!("${{{env}}}"),
        };
        text.0.iter().map(piece).collect()
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

/// A stretch of a URL without the characters that mean something in a template.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '{' => out.push_str("%7B"),
            '}' => out.push_str("%7D"),
            '$' => out.push_str("%24"),
            other => out.push(other),
        }
    }
    out
}
