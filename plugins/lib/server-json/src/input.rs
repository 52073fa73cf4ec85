//! Inputs: values that are fixed, set by people, or made of variables.

use std::collections::BTreeMap;

use catalog_entry::{Entry, Kind, Piece, Property, Secret, Text};

use crate::model::{Format, Input};

/// What a name in braces means that no `variables` declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undeclared {
    /// Itself, braces and all: the letter of the schema.
    Text,
    /// A secret that has to be there: what real entries mean in headers like `Bearer {api_key}`.
    Secret,
    /// A value that has to be there.
    Property,
}

/// Whether a path of the user's is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paths {
    /// It is, where it is on the user's machine.
    Mounted,
    /// It is a text like any other.
    Plain,
}

/// How inputs of one place are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) undeclared: Undeclared,
    pub(crate) paths: Paths,
}

impl Reading {
    /// By the letter, in a container that sees files only where they are mounted.
    pub(crate) const PACKAGE: Self = Self { undeclared: Undeclared::Text, paths: Paths::Mounted };
    /// By the letter.
    pub(crate) const PLAIN: Self = Self { undeclared: Undeclared::Text, paths: Paths::Plain };

    /// The text that an input ends as. `owner` names what people set where the input has no name of its own.
    pub(crate) fn text(self, entry: &mut Entry, owner: &str, input: &Input) -> Text {
        match &input.value {
            Some(value) => self.template(entry, owner, input, value),
            None if input.secret => {
                let env = entry.secret_of(owner, secret(input, input.required));
                Text::from(vec![Piece::Secret { env, required: input.required }])
            }
            None => {
                let property = entry.property(owner, property(input, input.required));
                Text::from(vec![self.piece(entry, property, input)])
            }
        }
    }

    /// A value, or the path of one that is mounted. A default is a path inside of the container: there is nothing to mount.
    pub(crate) fn piece(self, entry: &mut Entry, property: String, input: &Input) -> Piece {
        let path = input.format == Some(Format::Path) && input.default.is_none();
        if !path || self.paths == Paths::Plain {
            return Piece::Value(property);
        }
        entry.mount(&property);
        Piece::Path(property)
    }

    /// What the source wrote, with its variables.
    pub(crate) fn template(self, entry: &mut Entry, owner: &str, input: &Input, value: &str) -> Text {
        let mut pieces: Vec<Piece> = Vec::new();
        for part in parts(value, &input.variables) {
            match part {
                Part::Text(text) => pieces.push(Piece::Literal(text.to_owned())),
                Part::Name(name) => pieces.push(self.variable(entry, owner, input, name)),
            }
        }
        Text::from(joined(pieces))
    }

    fn variable(self, entry: &mut Entry, owner: &str, input: &Input, name: &str) -> Piece {
        let undeclared = Input::default();
        let (variable, required) = match (input.variables.get(name), self.undeclared) {
            (Some(variable), _) => (variable, variable.required || input.required),
            (None, Undeclared::Text) => return Piece::Literal(format!("{{{name}}}")),
            (None, _) => (&undeclared, true),
        };
        if let Some(value) = &variable.value {
            return Piece::Literal(value.clone());
        }
        let open = variable.default.is_some() || !variable.choices.is_empty();
        let hidden = variable.secret || self.undeclared == Undeclared::Secret || input.secret;
        if variable.secret || (hidden && !open) {
            let env = entry.secret_of(name, secret(&described(variable, input), required));
            return Piece::Secret { env, required };
        }
        let required = required && (variable.required || variable.default.is_none());
        let property = entry.shared_property(owner, name, property(&described(variable, input), required));
        self.piece(entry, property, variable)
    }
}

/// A variable, with the description of what it stands in where it has none.
pub(crate) fn described(variable: &Input, input: &Input) -> Input {
    let own = !variable.description.is_empty();
    let description = if own { &variable.description } else { &input.description };
    Input { description: description.clone(), ..variable.clone() }
}

/// A stretch of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'v> {
    /// As it stands.
    Text(&'v str),
    /// A name that stood in braces.
    Name(&'v str),
}

/// Splits a value at the names in braces. `${name}` is the same for a name that is declared, and text otherwise.
pub(crate) fn parts<'v>(value: &'v str, declared: &BTreeMap<String, Input>) -> Vec<Part<'v>> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(open) = value.get(at..).and_then(|rest| rest.find('{')).map(|found| at + found) {
        let inside = value.get(open + 1..).unwrap_or_default();
        let name = inside.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        let before = value.get(from..open).unwrap_or_default();
        let dollar = before.ends_with('$');
        let Some(name) = name.filter(|name| !dollar || declared.contains_key(*name)) else {
            at = open + 1;
            continue;
        };
        let before = before.strip_suffix('$').filter(|_| dollar).unwrap_or(before);
        parts.extend((!before.is_empty()).then_some(Part::Text(before)));
        parts.push(Part::Name(name));
        at = open + name.len() + 2;
        from = at;
    }
    let rest = value.get(from..).unwrap_or_default();
    parts.extend((!rest.is_empty()).then_some(Part::Text(rest)));
    parts
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(word)
}

/// Neighbouring literals as one.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (out.last_mut(), piece) {
            (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
            (_, piece) => out.push(piece),
        }
    }
    out
}

/// The value that people set.
pub(crate) fn property(input: &Input, required: bool) -> Property {
    Property {
        kind: match input.format {
            Some(Format::Number) => Kind::Number,
            Some(Format::Boolean) => Kind::Boolean,
            Some(Format::Text | Format::Path) | None => Kind::Text,
        },
        description: description(input),
        default: input.default.clone(),
        choices: input.choices.clone(),
        required,
    }
}

/// The secret that people set. Catalogs have neither choices nor defaults for secrets: they are told.
pub(crate) fn secret(input: &Input, required: bool) -> Secret {
    let mut text = description(input);
    if !input.choices.is_empty() {
        text.push_str(&format!(" One of: {}.", input.choices.join(", ")));
    }
    if let Some(default) = &input.default {
        text.push_str(&format!(" Usually `{default}`, which has to be set too."));
    }
    Secret { description: text.trim().to_owned(), required }
}

fn description(input: &Input) -> String {
    match &input.placeholder {
        Some(example) => format!("{} For example: `{example}`.", input.description).trim().to_owned(),
        None => input.description.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, declared: &[&str], expected: &str) {
        let declared = declared.iter().map(|name| ((*name).to_owned(), Input::default())).collect();
        let shown = parts(value, &declared).into_iter().map(|part| match part {
            Part::Text(text) => format!("{text:?}"),
            Part::Name(name) => format!("<{name}>"),
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{value}");
    }

    #[test]
    fn names_in_braces() {
        check("", &[], "");
        check("Bearer {api_key}", &[], r#""Bearer " <api_key>"#);
        check("{a}{b.c}/x", &[], r#"<a> <b.c> "/x""#);
        check(r#"{"a": {b}}"#, &[], r#""{\"a\": " <b> "}""#);
        check("${HOME}/x ${y}", &["y"], r#""${HOME}/x " <y>"#);
        check("{} { x } {a", &[], r#""{} { x } {a""#);
        check("é{ü}", &[], r#""é{ü}""#);
    }
}
