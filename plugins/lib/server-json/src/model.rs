//! server.json as a type: every revision of its schema, and the snake_case of what Docker's gateway packed.
//!
//! Reading is lenient; a member that nothing here knows is listed in [`Server::unknown`], so that nothing vanishes.

use std::collections::BTreeMap;

use crate::node::Node;

/// One version of one server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    /// Its reverse-DNS name.
    pub(crate) name: String,
    /// Its version; empty where it has none.
    pub(crate) version: String,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) website: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) subfolder: Option<String>,
    /// Sources of icons.
    pub(crate) icons: Vec<String>,
    pub(crate) packages: Vec<Package>,
    pub(crate) remotes: Vec<Transport>,
    /// Places of members that nobody knows.
    pub(crate) unknown: Vec<String>,
}

/// Something to install and run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    /// `npm`, `pypi`, `oci`, ...
    pub(crate) kind: String,
    pub(crate) identifier: String,
    pub(crate) version: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) sha256: Option<String>,
    /// `npx`, `uvx`, `docker`, ...
    pub(crate) hint: Option<String>,
    pub(crate) runtime_arguments: Vec<Argument>,
    pub(crate) arguments: Vec<Argument>,
    /// Names and inputs.
    pub(crate) env: Vec<(String, Input)>,
    pub(crate) transport: Transport,
}

/// How it is spoken to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transport {
    pub(crate) kind: TransportKind,
    pub(crate) url: Option<String>,
    pub(crate) headers: Vec<(String, Input)>,
    pub(crate) variables: BTreeMap<String, Input>,
}

/// The transports of MCP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum TransportKind {
    #[default]
    Stdio,
    StreamableHttp,
    Sse,
    /// None of them.
    Other(String),
}

/// A value that is fixed, or that somebody sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    pub(crate) description: String,
    pub(crate) required: bool,
    pub(crate) secret: bool,
    /// None where nothing says; `string` is said often by mistake, but it is said.
    pub(crate) format: Option<Format>,
    pub(crate) value: Option<String>,
    pub(crate) default: Option<String>,
    pub(crate) placeholder: Option<String>,
    pub(crate) choices: Vec<String>,
    pub(crate) variables: BTreeMap<String, Self>,
}

/// What kind of value an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Number,
    Boolean,
    /// A file on the user's machine.
    Path,
}

/// One argument.
#[derive(Debug, Clone, Default)]
pub(crate) struct Argument {
    /// The flag of a named argument.
    pub(crate) name: Option<String>,
    /// What a positional argument is called.
    pub(crate) hint: Option<String>,
    pub(crate) repeated: bool,
    pub(crate) input: Input,
}

impl Server {
    /// Reads what is there.
    pub(crate) fn read(node: Node<'_>) -> Self {
        let mut unknown = Unknown::default();
        unknown.look(node, "", SERVER);
        let repository = node.member("repository");
        unknown.look(repository, "repository.", &["url", "source", "id", "subfolder"]);
        let packages = node.member("packages").list().enumerate();
        let packages = packages
            .map(|(at, node)| Package::read(node, &format!("packages[{at}]."), &mut unknown))
            .collect();
        let remotes = node.member("remotes").list().enumerate();
        let remotes = remotes
            .map(|(at, node)| Transport::read(node, &format!("remotes[{at}]."), &mut unknown))
            .collect();
        Self {
            name: node.member("name").text().unwrap_or_default(),
            version: node
                .member("version")
                .text()
                .or_else(|| node.member("versionDetail").member("version").text())
                .unwrap_or_default(),
            title: node.member("title").text(),
            description: node.member("description").text(),
            website: node.member("websiteUrl").text().filter(|url| is_web(url)),
            repository: repository.member("url").text().filter(|url| is_web(url)),
            subfolder: repository.member("subfolder").text(),
            icons: node.member("icons").list().filter_map(|icon| icon.member("src").text()).collect(),
            packages,
            remotes,
            unknown: unknown.0,
        }
    }
}

/// Members that nothing here knows.
#[derive(Default)]
struct Unknown(Vec<String>);

impl Unknown {
    fn look(&mut self, node: Node<'_>, at: &str, known: &[&str]) {
        self.0.extend(node.others(known).into_iter().map(|name| format!("{at}{name}")));
    }
}

impl Package {
    fn read(node: Node<'_>, at: &str, unknown: &mut Unknown) -> Self {
        unknown.look(node, at, PACKAGE);
        let text = |names: &[&str]| node.any(names).text();
        let mut arguments = |name: &str| {
            let list = node.member(name).list().enumerate();
            list.map(|(index, node)| Argument::read(node, &format!("{at}{name}[{index}]."), unknown))
                .collect()
        };
        let (runtime_arguments, own) = (arguments("runtimeArguments"), arguments("packageArguments"));
        let kind = text(&["registryType", "registryName"]).unwrap_or_default().to_ascii_lowercase();
        Self {
            kind: if kind == "docker" { "oci".to_owned() } else { kind },
            identifier: text(&["identifier", "name"]).unwrap_or_default(),
            version: text(&["version"]),
            base_url: text(&["registryBaseUrl"]),
            sha256: text(&["fileSha256"]),
            hint: text(&["runtimeHint"]),
            runtime_arguments,
            arguments: own,
            env: pairs(node.member("environmentVariables"), &format!("{at}environmentVariables"), unknown),
            transport: Transport::read(node.member("transport"), &format!("{at}transport."), unknown),
        }
    }
}

fn pairs(node: Node<'_>, at: &str, unknown: &mut Unknown) -> Vec<(String, Input)> {
    let pair = |(index, node): (usize, Node<'_>)| {
        let input = Input::read(node, &format!("{at}[{index}]."), unknown, &["name"]);
        (node.member("name").text().unwrap_or_default(), input)
    };
    node.list().enumerate().map(pair).collect()
}

impl Transport {
    fn read(node: Node<'_>, at: &str, unknown: &mut Unknown) -> Self {
        unknown.look(node, at, &["type", "transportType", "url", "headers", "variables"]);
        let kind = node.any(&["type", "transportType"]).text().unwrap_or_default().to_ascii_lowercase();
        Self {
            kind: match kind.as_str() {
                "" | "stdio" => TransportKind::Stdio,
                "streamable-http" | "streamable_http" | "streamable" | "http" => {
                    TransportKind::StreamableHttp
                }
                "sse" => TransportKind::Sse,
                _ => TransportKind::Other(kind),
            },
            url: node.member("url").text(),
            headers: pairs(node.member("headers"), &format!("{at}headers"), unknown),
            variables: variables(node, at, unknown),
        }
    }
}

fn variables(node: Node<'_>, at: &str, unknown: &mut Unknown) -> BTreeMap<String, Input> {
    let members = node.member("variables").members();
    let read = |(name, node): (&str, Node<'_>)| {
        (name.to_owned(), Input::read(node, &format!("{at}variables.{name}."), unknown, &[]))
    };
    members.into_iter().map(read).collect()
}

impl Input {
    fn read(node: Node<'_>, at: &str, unknown: &mut Unknown, besides: &[&str]) -> Self {
        let known: Vec<&str> = INPUT.iter().chain(besides).copied().collect();
        unknown.look(node, at, &known);
        let format = node.member("format").text();
        Self {
            description: node.member("description").text().unwrap_or_default(),
            required: node.member("isRequired").is_true(),
            secret: node.member("isSecret").is_true(),
            format: format.map(|word| Format::read(&word)),
            value: node.member("value").text(),
            default: node.member("default").text(),
            placeholder: node.member("placeholder").text(),
            choices: node.member("choices").list().filter_map(Node::text).collect(),
            variables: variables(node, at, unknown),
        }
    }
}

impl Format {
    /// Words that no schema has are read by what they mean; what means nothing is text.
    fn read(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "number" | "integer" | "int" | "float" => Self::Number,
            "boolean" | "bool" => Self::Boolean,
            "filepath" | "path" | "file" | "directory" => Self::Path,
            _ => Self::Text,
        }
    }
}

impl Argument {
    fn read(node: Node<'_>, at: &str, unknown: &mut Unknown) -> Self {
        let named = node.member("type").text().is_none_or(|kind| kind != "positional");
        Self {
            name: node.member("name").text().filter(|_| named),
            hint: node.member("valueHint").text(),
            repeated: node.member("isRepeated").is_true(),
            input: Input::read(node, at, unknown, &["type", "name", "valueHint", "isRepeated"]),
        }
    }
}

/// Whether it is an address that a browser opens.
pub(crate) fn is_web(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty()) && !url.contains(char::is_whitespace)
}

const SERVER: &[&str] = &[
    "$schema",
    "_meta",
    "description",
    "icons",
    "id",
    "name",
    "packages",
    "remotes",
    "repository",
    "status",
    "title",
    "version",
    "versionDetail",
    "websiteUrl",
];
const PACKAGE: &[&str] = &[
    "environmentVariables",
    "fileSha256",
    "identifier",
    "name",
    "packageArguments",
    "registryBaseUrl",
    "registryName",
    "registryType",
    "runtimeArguments",
    "runtimeHint",
    "transport",
    "version",
];
const INPUT: &[&str] = &[
    "choices",
    "default",
    "description",
    "format",
    "isRequired",
    "isSecret",
    "placeholder",
    "value",
    "variables",
];
