//! What people set: values and secrets, as a catalog describes them.

use serde_json::{Map, Value as Json, json};

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Any text.
    #[default]
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Several texts.
    List,
}

/// A value that people set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Property {
    /// Its kind.
    pub kind: Kind,
    /// What it is for.
    pub description: String,
    /// What it is when nobody sets it, as text.
    pub default: Option<String>,
    /// The only values it takes, where there are such.
    pub choices: Vec<String>,
    /// Whether the server does not run without.
    pub required: bool,
}

/// A value that nobody else sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secret {
    /// What it is for.
    pub description: String,
    /// Whether the server does not run without.
    pub required: bool,
}

impl Property {
    /// Whether both take the same values.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.kind, &self.default, &self.choices) == (other.kind, &other.default, &other.choices)
    }

    /// Its kind, or text where the default or a choice is not of that kind.
    fn real_kind(&self) -> Kind {
        let fits = |text: &String| !matches!(typed(self.kind, text), Json::String(_));
        let scalar = matches!(self.kind, Kind::Number | Kind::Boolean);
        let all = self.default.iter().chain(&self.choices).all(fits);
        if scalar && !all { Kind::Text } else { self.kind }
    }

    pub(crate) fn schema(&self) -> Json {
        let kind = self.real_kind();
        let (name, items) = match kind {
            Kind::Text => ("string", false),
            Kind::Number => ("number", false),
            Kind::Boolean => ("boolean", false),
            Kind::List => ("array", true),
        };
        let mut schema = Map::new();
        let mut set = |key: &str, value: Json| schema.insert(key.to_owned(), value);
        set("type", json!(name));
        let values: Vec<_> = self.all_choices().iter().map(|choice| typed(kind, choice)).collect();
        if items {
            set(
                "items",
                if values.is_empty() {
                    json!({"type": "string"})
                } else {
                    json!({"type": "string", "enum": values})
                },
            );
        } else if !values.is_empty() && kind != Kind::Boolean {
            set("enum", Json::Array(values));
        }
        if !self.description.is_empty() {
            set("description", json!(self.description));
        }
        if let Some(default) = self.default.as_ref().filter(|default| !default.is_empty()) {
            set("default", if items { json!([default]) } else { typed(kind, default) });
        }
        Json::Object(schema)
    }

    /// The choices; a default that is none of them is one.
    fn all_choices(&self) -> Vec<&String> {
        let missing =
            self.default.as_ref().filter(|default| !default.is_empty() && !self.choices.contains(*default));
        let missing = missing.filter(|_| !self.choices.is_empty());
        missing.into_iter().chain(&self.choices).collect()
    }
}

/// A text as a value of its kind; a text where it is none.
fn typed(kind: Kind, text: &str) -> Json {
    let parsed: Option<Json> = match kind {
        Kind::Number => serde_json::from_str(text).ok().filter(Json::is_number),
        Kind::Boolean => text.to_ascii_lowercase().parse().ok().map(Json::Bool),
        Kind::Text | Kind::List => None,
    };
    parsed.unwrap_or_else(|| Json::String(text.to_owned()))
}

impl Secret {
    pub(crate) fn entry(&self, server: &str, env: &str) -> Json {
        let mut entry = Map::new();
        let mut set = |key: &str, value: Json| entry.insert(key.to_owned(), value);
        set("name", json!(format!("{server}.{env}")));
        set("env", json!(env));
        set("required", json!(self.required));
        if !self.description.is_empty() {
            set("description", json!(self.description));
        }
        Json::Object(entry)
    }
}
