//! Catalog documents for tests, in Docker's shape. Written as JSON, which every YAML reader reads.

use serde_json::{Map, Value, json};

use crate::build;

/// A catalog being put together.
#[derive(Clone, Default)]
pub struct Catalog(Map<String, Value>);

impl Catalog {
    pub fn new() -> Self {
        Self::default()
    }

    /// Any entry.
    #[must_use]
    pub fn entry(mut self, name: &str, entry: Value) -> Self {
        self.0.insert(name.into(), entry);
        self
    }

    /// A process.
    #[must_use]
    pub fn process(self, name: &str, command: &[&str]) -> Self {
        self.entry(name, process(command))
    }

    /// The fixture with these arguments, as a process.
    #[must_use]
    pub fn fixture(self, name: &str, arguments: &[&str]) -> Self {
        self.entry(name, fixture(arguments))
    }

    /// A remote: `transport` is `streamable-http` or `sse`.
    #[must_use]
    pub fn remote(self, name: &str, url: &str, transport: &str) -> Self {
        self.entry(name, json!({"type": "remote", "remote": {"url": url, "transport_type": transport}}))
    }

    /// A container of a local image.
    #[must_use]
    pub fn container(self, name: &str, image: &str, command: &[&str]) -> Self {
        self.entry(name, json!({"type": "server", "image": image, "command": command, "pull": "never"}))
    }

    /// The document.
    pub fn text(&self) -> String {
        json!({"version": 3, "name": "tests", "registry": self.0}).to_string()
    }
}

impl From<Catalog> for String {
    fn from(catalog: Catalog) -> Self {
        catalog.text()
    }
}

/// An entry for a process.
pub fn process(command: &[&str]) -> Value {
    json!({"type": "process", "process": {"command": command}})
}

/// An entry for the fixture as a process.
pub fn fixture(arguments: &[&str]) -> Value {
    let program = build::fixture();
    let command: Vec<&str> =
        std::iter::once(program.to_str().expect("UTF-8")).chain(arguments.iter().copied()).collect();
    process(&command)
}

/// The well-behaved server over stdio, under one name.
pub fn good(name: &str) -> Catalog {
    Catalog::new().fixture(name, &["server", "--stdio"])
}

/// The well-behaved server with what extensions are for, over stdio in the modern era.
pub fn more(name: &str) -> Catalog {
    let mut entry = fixture(&["server", "--stdio", "--more"]);
    entry["protocol"] = "modern".into();
    Catalog::new().entry(name, entry)
}

/// The misbehaving server over stdio, under one name.
pub fn raw(name: &str) -> Catalog {
    Catalog::new().fixture(name, &["raw", "--stdio"])
}

/// A server with these tools, each of which answers with its argument `answer`.
pub fn tools(name: &str, tools: &Value) -> Catalog {
    let mut entry = fixture(&["raw", "--stdio"]);
    // A `$` in a catalog stands before the name of a variable.
    let tools = tools.to_string().replace('$', "\\u0024");
    entry["env"] = json!([{"name": "FIXTURE_TOOLS", "value": tools}]);
    Catalog::new().entry(name, entry)
}
