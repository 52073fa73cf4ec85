//! Packages of npm and PyPI: run by `npx` and `uvx` in an image that has them.
//!
//! The container is the hardened one: no rights, nothing writable but a 64 MB `/tmp` that nothing is run from. So what is
//! installed goes to a volume that is the server's own, below `/var/tmp`: that directory is for everybody to write in every
//! such image, and a new volume takes that over.

use catalog_entry::{Entry, Text};
use serde_json::json;

use crate::input::Reading;
use crate::model::{Argument, Input, Package};
use crate::{Reason, Settings, argument, endpoint, environment, oci};

/// What runs a package.
struct Runner {
    /// The program.
    program: &'static str,
    /// What always stands behind it.
    always: &'static [&'static str],
    /// The registry that needs not be named.
    home: &'static str,
    /// The flag that names another.
    registry_flag: &'static str,
    /// Flags of its own without a value.
    switches: &'static [&'static str],
    /// Flags of its own with a value.
    options: &'static [&'static str],
}

const NPX: Runner = Runner {
    program: "npx",
    always: &["--yes"],
    home: "https://registry.npmjs.org",
    registry_flag: "--registry",
    switches: &[
        "-q",
        "--quiet",
        "--prefer-online",
        "--prefer-offline",
        "--ignore-scripts",
        "--legacy-peer-deps",
    ],
    options: &["-p", "--package", "--registry", "--node-options"],
};
const UVX: Runner = Runner {
    program: "uvx",
    always: &[],
    home: "https://pypi.org",
    registry_flag: "--index-url",
    switches: &[
        "-q",
        "--quiet",
        "--refresh",
        "--isolated",
        "--native-tls",
        "--no-config",
        "--prerelease=allow",
    ],
    options: &[
        "--from",
        "--with",
        "-p",
        "--python",
        "-i",
        "--index-url",
        "--default-index",
        "--extra-index-url",
        "--index",
        "--prerelease",
        "--index-strategy",
    ],
};

/// Where the volume is.
const CACHE: &str = "/var/tmp";

/// Makes the entry one of this npm package.
pub(crate) fn npm(entry: &mut Entry, package: &Package, settings: &Settings) -> Result<(), Reason> {
    let id = &package.identifier;
    let bare = id.strip_prefix('@').unwrap_or(id);
    let fits = if id.starts_with('@') { bare.split('/').count() == 2 } else { !bare.contains('/') };
    if !fits || !bare.split('/').all(is_word) {
        return Err(Reason::new(format!("`{id}` is not the name of an npm package")));
    }
    let version = version(entry, package)?;
    let target = version.map_or_else(|| id.clone(), |version| format!("{id}@{version}"));
    let names = [id.clone(), target.clone()];
    fill(
        entry,
        package,
        &NPX,
        Wrapped { image: &settings.npm_image, from: Vec::new(), target, names: &names },
    )
}

/// Makes the entry one of this PyPI package.
pub(crate) fn pypi(entry: &mut Entry, package: &Package, settings: &Settings) -> Result<(), Reason> {
    let id = &package.identifier;
    let (bare, extras) =
        id.split_once('[').map_or((id.as_str(), None), |(bare, extras)| (bare, Some(extras)));
    let fits = |extras: &str| extras.strip_suffix(']').is_some_and(|list| list.split(',').all(is_word));
    if !is_word(bare) || !bare.ends_with(|c: char| c.is_ascii_alphanumeric()) || !extras.is_none_or(fits) {
        return Err(Reason::new(format!("`{id}` is not the name of a PyPI package")));
    }
    let version = version(entry, package)?.filter(|version| version != "latest");
    if let Some(version) = version
        .as_ref()
        .filter(|version| !version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()))
    {
        return Err(Reason::new(format!("the version `{version}` of its PyPI package is not a version")));
    }
    let exact = version.map(|version| format!("{id}=={version}"));
    let own = package.runtime_arguments.iter().any(|argument| word(argument).as_deref() == Some("--from"));
    let from = match exact.clone().or_else(|| extras.map(|_| id.clone())) {
        Some(exact) if !own => vec!["--from".to_owned(), exact],
        _ => Vec::new(),
    };
    let names = [id.clone(), bare.to_owned(), exact.unwrap_or_default()];
    fill(
        entry,
        package,
        &UVX,
        Wrapped { image: &settings.pypi_image, from, target: bare.to_owned(), names: &names },
    )
}

/// What is run in what.
struct Wrapped<'a> {
    image: &'a str,
    /// Where the program is from, as arguments.
    from: Vec<String>,
    /// The package or the program.
    target: String,
    /// What else means the target among the arguments.
    names: &'a [String],
}

fn fill(entry: &mut Entry, package: &Package, runner: &Runner, wrapped: Wrapped<'_>) -> Result<(), Reason> {
    if package.sha256.is_some() {
        return Err(Reason::new(format!(
            "it comes with a sha256 that has to be checked, which `{}` cannot",
            runner.program
        )));
    }
    if let Some(hint) = package.hint.as_deref().filter(|hint| *hint != runner.program) {
        entry.note(format!("it is meant for `{hint}` and run with `{}`", runner.program));
    }
    let mut package = package.clone();
    if let Some(endpoint) = endpoint::of(&mut package)? {
        oci::serve(entry, &endpoint);
    }
    entry.set("image", wrapped.image);
    entry.push("volumes", format!("{}-cache:{CACHE}", entry.name()));
    // The first start installs.
    entry.set("deadlines", json!({ "initialize": "3m" }));
    let home = Input { value: Some(CACHE.to_owned()), ..Input::default() };
    entry.reserve(package.env.iter().map(|(name, _)| name.as_str()));
    environment::add(entry, &package.env, Reading::PACKAGE)?;
    if !package.env.iter().any(|(name, _)| name == "HOME") {
        environment::one(entry, "HOME", &home, Reading::PLAIN)?;
    }
    let runtime = Runtime::sort(entry, &package, runner, wrapped.names)?;
    for word in [runner.program].iter().chain(runner.always) {
        entry.push("command", *word);
    }
    for word in registry(&package, runner)?.into_iter().chain(wrapped.from) {
        let word = entry.argument(&Text::from(word.as_str()));
        entry.push("command", word);
    }
    argument::add(entry, &runtime.own, Reading::PACKAGE)?;
    entry.push("command", wrapped.target);
    argument::add(entry, runtime.moved.iter().chain(&package.arguments), Reading::PACKAGE)
}

/// The registry, where it is another than the usual one.
fn registry(package: &Package, runner: &Runner) -> Result<Vec<String>, Reason> {
    let Some(base) = package.base_url.as_deref() else { return Ok(Vec::new()) };
    let plain = base.trim_end_matches('/');
    if plain == runner.home {
        return Ok(Vec::new());
    }
    let rest = plain
        .strip_prefix("https://")
        .filter(|rest| !rest.is_empty() && !rest.contains(['{', '}', '$', '@']));
    let Some(rest) = rest.filter(|rest| rest.chars().all(|c| c.is_ascii_graphic())) else {
        return Err(Reason::new(format!("its registry `{base}` is not an https address")));
    };
    let index = if runner.program == "uvx" && !rest.contains('/') { "/simple" } else { "" };
    Ok(vec![runner.registry_flag.to_owned(), format!("{plain}{index}")])
}

/// Arguments of the runner, and those that are meant for the package: real entries give both as one.
#[derive(Default)]
struct Runtime {
    own: Vec<Argument>,
    moved: Vec<Argument>,
}

impl Runtime {
    fn sort(entry: &mut Entry, package: &Package, runner: &Runner, names: &[String]) -> Result<Self, Reason> {
        let mut sorted = Self::default();
        let mut arguments = package.runtime_arguments.iter();
        while let Some(argument) = arguments.next() {
            let word = word(argument).unwrap_or_default();
            let flag = word.split_once('=').map_or(word.as_str(), |(flag, _)| flag);
            if matches!(flag, "-c" | "--call") {
                return Err(Reason::new("its runtime arguments run a shell command, which is not done here"));
            }
            if matches!(word.as_str(), "-y" | "--yes") || word == runner.program {
                entry.note(format!("the runtime argument `{word}` has no effect here"));
            } else if names.contains(&word) {
                // What follows the package's name is for the package.
                break;
            } else if runner.switches.contains(&word.as_str()) || runner.options.contains(&flag) {
                sorted.own.push(argument.clone());
                let value = argument.name.is_none() && runner.options.contains(&word.as_str());
                sorted.own.extend(arguments.as_slice().first().filter(|_| value).cloned());
                if value {
                    arguments.next();
                }
            } else {
                entry.note(format!(
                    "the runtime argument `{}` is none of `{}` and given to the package",
                    shown(argument),
                    runner.program
                ));
                sorted.moved.push(argument.clone());
            }
        }
        sorted.moved.extend(arguments.cloned());
        Ok(sorted)
    }
}

/// The flag or the fixed text of an argument.
fn word(argument: &Argument) -> Option<String> {
    argument.name.clone().or_else(|| argument.input.value.clone())
}

fn shown(argument: &Argument) -> String {
    word(argument).or_else(|| argument.hint.clone()).unwrap_or_default()
}

/// The version of a package: exact, or a tag of its registry.
fn version(entry: &mut Entry, package: &Package) -> Result<Option<String>, Reason> {
    let Some(version) = package.version.as_ref() else {
        entry.note("its package has no version: whatever is newest runs");
        return Ok(None);
    };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '!');
    let wild = version.split('.').any(|part| matches!(part, "x" | "X"));
    if !version.chars().all(word) || version.starts_with('-') || wild {
        return Err(Reason::new(format!("the version `{version}` of its package is a range or no version")));
    }
    if !version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) {
        entry.note(format!("the version of its package is `{version}`, which may be another one tomorrow"));
    }
    Ok(Some(version.clone()))
}

/// A part of a package's name.
fn is_word(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '~')) && text.chars().all(word)
}
