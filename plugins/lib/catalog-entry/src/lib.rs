//! Writes entries of catalogs (docs/catalogs.md) for plugins that read servers from somewhere; no plugin itself.
//!
//! An [`Entry`] collects what a server takes: values that people set, secrets, and the texts made of them. It keeps names
//! unique, writes templates so that a text of the source never becomes one by accident, and ends as a document whose members
//! are sorted: the same calls make the same bytes. It knows no format but the catalog's, and fetches nothing.

mod image;
mod name;
mod property;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

pub use image::Image;
pub use name::{BadName, server_name, variable_name};
pub use property::{Kind, Property, Secret};
pub use text::{Piece, Text, Unfit};

use name::property_name;
use text::Place;

/// A server on its way into a catalog.
#[derive(Debug, Clone)]
pub struct Entry {
    name: String,
    members: BTreeMap<String, Json>,
    properties: BTreeMap<String, Property>,
    shared: BTreeSet<String>,
    secrets: Vec<(String, Secret)>,
    env: Vec<(String, String)>,
    reserved: BTreeSet<String>,
    notes: Vec<String>,
}

impl Entry {
    /// An empty entry of a server, by its name in the catalog ([`server_name`]).
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            members: BTreeMap::new(),
            properties: BTreeMap::new(),
            shared: BTreeSet::new(),
            secrets: Vec::new(),
            env: Vec::new(),
            reserved: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// The server's name in the catalog.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets a key of the entry.
    pub fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.members.insert(key.to_owned(), value.into());
    }

    /// Adds to a key of the entry that is a list.
    pub fn push(&mut self, key: &str, value: impl Into<Json>) {
        let list = self.members.entry(key.to_owned()).or_insert_with(|| json!([]));
        if let Json::Array(items) = list {
            items.push(value.into());
        }
    }

    /// Notes what people should know; the same only once.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Keeps names of variables free for the environment, so that no secret is delivered under one of them.
    pub fn reserve<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.reserved.extend(names.into_iter().map(str::to_owned));
    }

    /// Takes in a value that people set, and answers the name it got: `wanted` made plain, with a number behind it where
    /// that is taken.
    pub fn property(&mut self, wanted: &str, property: Property) -> String {
        let name = self.free(&property_name(wanted));
        self.properties.insert(name.clone(), property);
        name
    }

    /// As [`Entry::property`], but several places that name the same value mean one. A value of the same name and another
    /// kind gets the owner's name before its own.
    pub fn shared_property(&mut self, owner: &str, wanted: &str, property: Property) -> String {
        let name = property_name(wanted);
        match self.properties.get_mut(&name) {
            Some(known) if self.shared.contains(&name) && known.is_like(&property) => {
                known.required |= property.required;
                return name;
            }
            Some(_) => return self.property(&format!("{owner}-{wanted}"), property),
            None => {}
        }
        self.shared.insert(name.clone());
        self.properties.insert(name.clone(), property);
        name
    }

    fn free(&self, name: &str) -> String {
        let taken = |name: &str| self.properties.contains_key(name);
        if !taken(name) {
            return name.to_owned();
        }
        let numbered = (2u32..).map(|number| format!("{name}-{number}"));
        numbered.into_iter().find(|name| !taken(name)).unwrap_or_else(|| name.to_owned())
    }

    /// Takes in a secret that is delivered as exactly this variable. Its name is the server's and the variable's:
    /// `io-github-a-b.API_KEY`.
    pub fn secret(&mut self, env: &str, secret: Secret) {
        match self.secrets.iter_mut().find(|(known, _)| known == env) {
            Some((_, known)) => known.required |= secret.required,
            None => self.secrets.push((env.to_owned(), secret)),
        }
    }

    /// Takes in a secret that is put into other texts, and answers the variable it goes by.
    pub fn secret_of(&mut self, wanted: &str, secret: Secret) -> String {
        let plain = variable_name(wanted);
        let taken = |env: &str| {
            self.reserved.contains(env)
                || self
                    .secrets
                    .iter()
                    .any(|(known, with)| known == env && with.description != secret.description)
        };
        let numbered = (2u32..).map(|number| format!("{plain}_{number}"));
        let env = [plain.clone()].into_iter().chain(numbered).find(|env| !taken(env)).unwrap_or(plain);
        self.secret(&env, secret);
        env
    }

    /// Adds a variable of the environment. The first of a name stays: answers whether it was that.
    pub fn variable(&mut self, name: &str, text: &Text) -> bool {
        let taken = |(known, _): &(String, String)| known == name;
        if self.env.iter().any(taken) || self.secrets.iter().any(|(env, _)| env == name) {
            return false;
        }
        let value = self.environment_text(name, text);
        self.env.push((name.to_owned(), value));
        true
    }

    /// A value in an environment is either a template or has secrets; where it needs both, the values go first, each as a
    /// variable of its own.
    fn environment_text(&mut self, owner: &str, text: &Text) -> String {
        let text = if text.has_secret() { self.detour(owner, text) } else { text.clone() };
        text.written(self, text.environment_place())
    }

    fn detour(&mut self, owner: &str, text: &Text) -> Text {
        let mut pieces = Vec::new();
        for piece in text.pieces() {
            let (wanted, value) = match piece {
                Piece::Value(property) => (property.as_str(), self.template(property, "")),
                Piece::Path(property) => (property.as_str(), self.template(property, "volume-target")),
                Piece::Literal(text) if text::looks_like_a_template(text) => {
                    ("text", Text::from(text.as_str()).written(self, Place::Template))
                }
                _ => {
                    pieces.push(piece.clone());
                    continue;
                }
            };
            let name = format!("{owner}__{}", variable_name(wanted));
            if !self.env.iter().any(|(known, _)| *known == name) {
                self.env.push((name.clone(), value));
            }
            pieces.push(Piece::Secret { env: name, required: true });
        }
        Text::from(pieces)
    }

    /// `{{server.property|filters}}`.
    pub fn template(&self, property: &str, filters: &str) -> String {
        let bar = if filters.is_empty() { "" } else { "|" };
        format!("{{{{{}.{property}{bar}{filters}}}}}", self.name)
    }

    /// A text as one argument of a command, or the value of a header. What the source wrote there stays as it is, also
    /// where the catalog would read it as a template or variable.
    pub fn argument(&self, text: &Text) -> String {
        text.written(self, Place::Argument)
    }

    /// A text as a URL.
    pub fn url(&self, text: &Text) -> String {
        text.written(self, Place::Url)
    }

    /// A text where the catalog has no place for secrets and no way to write braces or `$`: volumes and users.
    ///
    /// # Errors
    /// [`Unfit`] when it has any of these.
    pub fn plain(&self, text: &Text) -> Result<String, Unfit> {
        text.plain(self)
    }

    /// Mounts what a property names, a path of the user's, where it is on the user's machine. [`Piece::Path`] names it then.
    pub fn mount(&mut self, property: &str) {
        let volume = self.template(property, "volume");
        self.push("volumes", volume);
    }

    /// The properties so far, by name.
    pub fn properties(&self) -> &BTreeMap<String, Property> {
        &self.properties
    }

    /// The document, its members sorted, and the notes.
    pub fn finish(mut self) -> (Json, Vec<String>) {
        let config = self.config();
        let secrets: Vec<_> =
            self.secrets.iter().map(|(env, secret)| secret.entry(&self.name, env)).collect();
        let env: Vec<_> =
            self.env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.set("name", self.name.clone());
        for (key, list) in [("config", config), ("secrets", secrets), ("env", env)] {
            if !list.is_empty() {
                self.set(key, list);
            }
        }
        let mut document = Json::Object(self.members.into_iter().collect());
        document.sort_all_objects();
        (document, self.notes)
    }

    fn config(&self) -> Vec<Json> {
        if self.properties.is_empty() {
            return Vec::new();
        }
        let required: Vec<_> =
            self.properties.iter().filter(|(_, property)| property.required).map(|(name, _)| name).collect();
        let properties: Map<String, Json> =
            self.properties.iter().map(|(name, property)| (name.clone(), property.schema())).collect();
        let mut schema = json!({
            "name": self.name,
            "description": format!("Values for {}", self.name),
            "type": "object",
            "properties": properties,
        });
        if !required.is_empty()
            && let Some(members) = schema.as_object_mut()
        {
            members.insert("required".to_owned(), json!(required));
        }
        vec![schema]
    }
}

#[cfg(test)]
mod tests;
