//! An entry in the making: a client's texts become templates, and what they refer to becomes secrets and values.

use serde_json::{Map, Value as Json, json};

use crate::catalog::Refusal;
use crate::catalog::template::{braces, literal};

/// Where a text stands, which decides what may be in it and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// An argument, a header, a URL: templates and variables.
    Word,
    /// A mount, a path, a user: templates only.
    Setting,
}

/// A stretch of a client's text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bit<'a> {
    Text(&'a str),
    /// `${env:X}`, `${X}`.
    Variable(&'a str),
    /// `${X:-y}`.
    Defaulted(&'a str, &'a str),
    /// `${input:x}`.
    Input(&'a str),
    /// `${workspaceFolder}` and the like.
    Editor(&'a str),
}

/// What a reference stands for in an entry.
enum Stand {
    /// A declared secret, by its variable.
    Secret(String),
    /// A value of `config`, by its key.
    Value(String),
}

struct Secret {
    name: String,
    env: String,
    description: String,
}

/// The entry, and what came to light on the way.
pub(super) struct Draft<'a> {
    root: String,
    inputs: &'a [Json],
    secrets: Vec<Secret>,
    properties: Map<String, Json>,
    env: Vec<Json>,
    /// For whoever has a terminal; never holds a value.
    pub(super) warnings: Vec<String>,
}

impl<'a> Draft<'a> {
    /// Begins an entry.
    pub(super) fn new(server: &str, inputs: &'a [Json]) -> Self {
        Self {
            root: server.replace('.', "_"),
            inputs,
            secrets: Vec::new(),
            properties: Map::new(),
            env: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The entry: what was read, and what it takes.
    pub(super) fn finish(&mut self, mut document: Map<String, Json>) -> Json {
        if !self.env.is_empty() {
            document.insert("env".to_owned(), std::mem::take(&mut self.env).into());
        }
        if !self.secrets.is_empty() {
            let one = |secret: &Secret| match secret.description.as_str() {
                "" => json!({ "name": secret.name, "env": secret.env }),
                text => json!({ "name": secret.name, "env": secret.env, "description": text }),
            };
            document.insert("secrets".to_owned(), self.secrets.iter().map(one).collect());
        }
        if !self.properties.is_empty() {
            let required = self.properties.iter().filter(|(_, property)| property.get("default").is_none());
            let required: Vec<&String> = required.map(|(key, _)| key).collect();
            let config = json!([{ "name": self.root, "description": "What the client's configuration asks for",
                "type": "object", "properties": self.properties, "required": required }]);
            document.insert("config".to_owned(), config);
        }
        Json::Object(document)
    }

    /// A text of the client as a template.
    ///
    /// # Errors
    /// When it refers to what only an editor knows, or to a secret where none may be.
    pub(super) fn text(&mut self, text: &str, place: Place) -> Result<String, Refusal> {
        let mut out = String::new();
        for bit in split(text) {
            match bit {
                Bit::Text(text) if place == Place::Word => out.push_str(&literal(text)),
                Bit::Text(text) => out.push_str(&braces(text)),
                reference => match self.stand(&reference, None)? {
                    Stand::Secret(_) if place == Place::Setting => {
                        return Err(Refusal::new(format!("`{text}` would take a setting from a variable")));
                    }
                    Stand::Secret(name) => out.push_str(&format!("${{{name}}}")),
                    Stand::Value(key) => out.push_str(&format!("{{{{{}.{key}}}}}", self.root)),
                },
            }
        }
        Ok(out)
    }

    /// A variable of the server's environment.
    ///
    /// # Errors
    /// Those of [`Draft::text`].
    pub(super) fn env(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        self.look_for_token("env", key, value);
        let bits = split(value);
        let mut stands = Vec::new();
        for bit in &bits {
            stands.push(match bit {
                Bit::Text(_) => None,
                reference if bits.len() == 1 => Some(self.stand(reference, Some(key))?),
                reference => Some(self.stand(reference, None)?),
            });
        }
        if matches!(stands.as_slice(), [Some(Stand::Secret(name))] if name == key) {
            // It is delivered under its own name.
            return Ok(());
        }
        // A value with a template in it has no variables, and the other way round: catalogs know only the one or the other.
        let templated = stands.iter().any(|stand| matches!(stand, Some(Stand::Value(_))))
            || value.contains("{{") && value.contains("}}");
        let mut out = String::new();
        for (bit, stand) in bits.iter().zip(stands) {
            match (bit, stand) {
                (Bit::Text(text), _) if templated => out.push_str(&braces(text)),
                (Bit::Text(text), _) => out.push_str(&text.replace('$', "$$")),
                (_, Some(Stand::Value(path))) => out.push_str(&format!("{{{{{}.{path}}}}}", self.root)),
                (_, Some(Stand::Secret(_))) if templated => {
                    return Err(Refusal::new(format!(
                        "its variable `{key}` mixes a secret with other references"
                    )));
                }
                (_, Some(Stand::Secret(name))) => out.push_str(&format!("${{{name}}}")),
                (_, None) => {}
            }
        }
        self.env.push(json!({ "name": key, "value": out }));
        Ok(())
    }

    /// A variable handed on from the environment the client runs in.
    pub(super) fn hand_on(&mut self, name: &str) {
        self.secret(name, name, String::new());
    }

    /// Warns where a token stands in plain text.
    pub(super) fn look_for_token(&mut self, place: &str, key: &str, value: &str) {
        let telling = ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTHORIZATION"];
        let upper = key.to_ascii_uppercase();
        let named = telling.iter().any(|word| upper.contains(word)) && value.len() >= 8;
        let known = ["ghp_", "gho_", "github_pat_", "glpat-", "sk-", "xoxb-", "xoxp-", "AKIA", "eyJ", "AIza"];
        let literal = !value.contains("${") && !value.contains(char::is_whitespace)
            || value.to_ascii_lowercase().starts_with("bearer ") && !value.contains("${");
        if literal && (named || value.len() >= 16 && known.iter().any(|start| value.starts_with(start))) {
            self.warnings.push(format!(
                "`{place}.{key}` holds what looks like a secret in plain text: better write `${{env:{}}}`",
                plain(key)
            ));
        }
    }

    /// What a reference stands for; `key` is the variable whose whole value it is.
    fn stand(&mut self, reference: &Bit<'_>, key: Option<&str>) -> Result<Stand, Refusal> {
        match *reference {
            Bit::Text(_) => Err(Refusal::new("a text is no reference")),
            Bit::Editor(name) => Err(Refusal::new(format!(
                "it uses `${{{name}}}`, which only an editor knows: write the path itself"
            ))),
            Bit::Variable(name) => Ok(Stand::Secret(self.secret(name, name, String::new()))),
            Bit::Defaulted(name, default) => {
                let property = json!({ "type": "string", "description": format!("In place of the variable `{name}`"), "default": default });
                self.properties.entry(name.to_owned()).or_insert(property);
                Ok(Stand::Value(name.to_owned()))
            }
            Bit::Input(id) => Ok(self.input(id, key)),
        }
    }

    fn input(&mut self, id: &str, key: Option<&str>) -> Stand {
        let input = self.inputs.iter().find(|input| input.get("id").and_then(Json::as_str) == Some(id));
        let member = |key: &str| input.and_then(|input| input.get(key));
        let description = member("description").and_then(Json::as_str).unwrap_or_default().to_owned();
        let open = match member("type").and_then(Json::as_str) {
            Some("promptString") => member("password") != Some(&Json::Bool(true)),
            kind => kind == Some("pickString"),
        };
        if !open {
            let own = format!("INPUT_{}", plain(id));
            return Stand::Secret(self.secret(id, key.unwrap_or(&own), description));
        }
        let mut property = Map::from_iter([
            ("type".to_owned(), "string".into()),
            ("description".to_owned(), description.into()),
        ]);
        if let Some(default) = member("default").and_then(Json::as_str).filter(|text| !text.is_empty()) {
            property.insert("default".to_owned(), default.into());
        }
        if let Some(options) = member("options").and_then(Json::as_array) {
            let value = |option: &Json| option.get("value").unwrap_or(option).clone();
            property.insert("enum".to_owned(), options.iter().map(value).collect());
        }
        let path: String =
            id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        self.properties.entry(path.clone()).or_insert(Json::Object(property));
        Stand::Value(path)
    }

    /// The variable of a secret, which is declared if it is not yet.
    fn secret(&mut self, name: &str, env: &str, description: String) -> String {
        if let Some(known) = self.secrets.iter().find(|secret| secret.name == name) {
            return known.env.clone();
        }
        self.secrets.push(Secret { name: name.to_owned(), env: env.to_owned(), description });
        env.to_owned()
    }
}

/// A name as variables are named.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn split(text: &str) -> Vec<Bit<'_>> {
    let mut bits = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let found = rest.match_indices("${").find_map(|(at, _)| {
            let (inside, _) = rest.get(at + 2..)?.split_once('}')?;
            Some((at, at + 3 + inside.len(), reference(inside)?))
        });
        let Some((start, end, bit)) = found else {
            bits.push(Bit::Text(rest));
            break;
        };
        if start > 0 {
            bits.push(Bit::Text(rest.get(..start).unwrap_or_default()));
        }
        bits.push(bit);
        rest = rest.get(end..).unwrap_or_default();
    }
    bits
}

/// What stands between `${` and `}`; none when it is text after all.
fn reference(inside: &str) -> Option<Bit<'_>> {
    let variable = |name: &str| {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if let Some((name, default)) = inside.split_once(":-") {
        return variable(name).then_some(Bit::Defaulted(name, default));
    }
    match inside.split_once(':') {
        Some(("input", id)) if !id.is_empty() => Some(Bit::Input(id)),
        Some(("env", name)) if variable(name) => Some(Bit::Variable(name)),
        Some(("workspaceFolder" | "config" | "command", _)) => Some(Bit::Editor(inside)),
        Some(_) => None,
        None if EDITOR.contains(&inside) => Some(Bit::Editor(inside)),
        None if variable(inside) && !inside.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Some(Bit::Variable(inside))
        }
        None => None,
    }
}

/// What editors put in.
const EDITOR: [&str; 10] = [
    "workspaceFolder",
    "workspaceFolderBasename",
    "workspaceRoot",
    "userHome",
    "cwd",
    "file",
    "fileDirname",
    "execPath",
    "pathSeparator",
    "/",
];
