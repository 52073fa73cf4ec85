//! Reads what the configuration points at: catalogs, values, secrets, allowed tools, mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wasmgate_core::catalog::ToolFilter;
use wasmgate_core::name::ServerName;

use super::env::Environment;
use super::fetched::{Fetched, Missing, Wanted};
use super::flags::ServerFlags;
use super::profiles::{self, Profile};
use super::raw::{RawBinds, RawEgress, RawProfile};
use super::seen::Seen;
use super::signatures::{RawSignatures, Signatures};
use crate::catalog::docker::Setup;
use crate::catalog::tools::Patterns;
use crate::catalog::values::{Values, read_registry, read_tools};
use crate::catalog::{self, Binds, Catalog, Merged, Origin};
use crate::document::{Diagnostic, Source, Spanned};
use crate::egress::Exceptions;
use crate::secrets::{Secrets, Store, read_dotenv};

/// Reads files, remembers them (they are watched) and gathers what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The working directory; left out of the names of files below it.
    pub(super) here: PathBuf,
    /// The home directory, which `~/` stands for.
    pub(super) home: Option<PathBuf>,
    /// A profile that is a file or an artifact.
    pub(super) profile: Option<String>,
    /// Every file read, as opened.
    pub(super) files: Vec<PathBuf>,
    /// The same with what was in them, and the files that would have been read had they been there.
    pub(super) seen: Seen,
    /// What is wrong.
    pub(super) problems: Vec<Diagnostic>,
    /// What is odd.
    pub(super) warnings: Vec<String>,
    /// Catalogs that others have fetched.
    pub(super) fetched: Fetched,
    /// Catalogs that others have to fetch.
    pub(super) wanted: Vec<Wanted>,
    /// The servers that are enabled by the catalogs that are named.
    pub(super) enabled: Vec<ServerName>,
    /// Values that folders of Docker's came with.
    pub(super) values: Values,
    /// The tools that folders of Docker's let servers show.
    pub(super) allowed: BTreeMap<String, Vec<String>>,
    /// The largest catalog that is read, in bytes.
    pub(super) largest_catalog: u64,
}

/// A catalog's reference and where it was written.
#[derive(Clone, Copy)]
struct Named<'a> {
    reference: &'a str,
    /// Where relative paths start.
    directory: &'a Path,
    /// In the configuration file, so that a tag in it is locked.
    in_file: bool,
    /// Its servers are enabled because it is named.
    enables: bool,
}

/// Largest file read that is no catalog, in bytes.
const LARGEST: u64 = 32 << 20;

impl Reader {
    /// The text of a file, or nothing and a problem.
    pub(super) fn text(&mut self, path: &Path, cure: &str) -> Option<String> {
        self.text_within((LARGEST, ""), path, cure)
    }

    /// Likewise, of at most so many bytes, and what says so.
    fn text_within(&mut self, (most, key): (u64, &str), path: &Path, cure: &str) -> Option<String> {
        self.files.push(path.to_owned());
        let size = std::fs::metadata(path).map(|data| data.len());
        let text = match size {
            Ok(size) if size > most => Err(format!("has {size} bytes, and {most} are the most{key}")),
            Ok(_) => std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}")),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        match &text {
            Ok(text) => self.seen.read(path, text.as_bytes()),
            Err(_) => self.seen.unusable(path),
        }
        text.map_err(|message| self.problems.push(Diagnostic::new(self.label(path), message, cure))).ok()
    }

    /// A file's name as people wrote it, where that can be told.
    pub(super) fn label(&self, path: &Path) -> String {
        let shown: PathBuf = path.strip_prefix(&self.here).unwrap_or(path).components().collect();
        shown.display().to_string()
    }

    fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn parsed<T>(&mut self, path: &Path, read: impl Fn(&Source<'_>) -> Result<T, Diagnostic>) -> Option<T> {
        let text = self.text(path, "check the path")?;
        let file = self.label(path);
        self.keep(read(&Source { file: &file, text: &text }))
    }

    /// One catalog by its reference.
    fn catalog(&mut self, named: Named<'_>) -> Option<Catalog> {
        let reference = named.reference;
        if reference == "builtin:demo" {
            return self.demo();
        }
        if is_file(reference) {
            let path = self.path(reference, named.directory);
            let most = (self.largest_catalog, " (`limits.documents.catalog`)");
            let text = self.text_within(most, &path, "check the path")?;
            let file = self.label(&path);
            return self.keep(catalog::file::read(&Source { file: &file, text: &text }, Origin::File));
        }
        match self.fetched.of(reference).cloned() {
            Some(Ok(supply)) => self.keep(supply.catalog(reference)),
            Some(Err(Missing { message, cure, .. })) => {
                self.problems.push(Diagnostic::new(reference, message, cure));
                None
            }
            None => {
                let (reference, locked) = (reference.to_owned(), named.in_file);
                self.wanted.push(Wanted { reference, locked });
                None
            }
        }
    }

    /// The profile that was asked for; a catalog among them is read with the others.
    pub(super) fn profile(
        &mut self,
        flags: &ServerFlags,
        own: &mut BTreeMap<String, Spanned<RawProfile>>,
    ) -> Profile {
        let here = self.here.clone();
        let found = profiles::find(flags.profile.as_deref(), own, |file| here.join(file).exists());
        let found = self.keep(found).unwrap_or_default();
        if let Profile::Catalog(reference) = &found {
            self.profile = Some(reference.clone());
        }
        found
    }

    /// A path as written: `~/` is the home directory.
    fn path(&self, written: &str, directory: &Path) -> PathBuf {
        match (written.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => directory.join(written),
        }
    }

    fn demo(&mut self) -> Option<Catalog> {
        let source = Source { file: "builtin:demo", text: catalog::DEMO };
        self.keep(catalog::file::read(&source, Origin::File))
    }

    /// The catalogs, merged: the flags' in place of the file's, the demo when there are none and the file has no servers.
    pub(super) fn catalogs(
        &mut self,
        file: &[Spanned<String>],
        flags: &ServerFlags,
        (beside, here): (&Path, &Path),
        own_servers: bool,
    ) -> Merged {
        let of_file = |reference| Named { reference, directory: beside, in_file: true, enables: false };
        let of_flag = |reference| Named { reference, directory: here, in_file: false, enables: false };
        let enabling = |reference| Named { enables: true, ..of_flag(reference) };
        let mut named: Vec<Named<'_>> = if flags.catalogs.is_empty() {
            file.iter().map(|reference| of_file(reference.value.as_str())).collect()
        } else {
            flags.catalogs.iter().map(|reference| of_flag(reference)).collect()
        };
        named.extend(flags.additional_catalogs.iter().map(|reference| of_flag(reference)));
        let oci: Vec<String> = flags.oci_refs.iter().map(|reference| with_scheme(reference)).collect();
        named.extend(oci.iter().map(|reference| enabling(reference)));
        let names: Vec<String> =
            flags.mcp_registries.iter().map(|reference| with_registry(reference)).collect();
        named.extend(names.iter().map(|reference| enabling(reference)));
        let profile = self.profile.clone();
        named.extend(profile.as_deref().map(enabling));
        if named.is_empty() && !own_servers {
            named.push(of_flag("builtin:demo"));
        }
        let mut read = Vec::with_capacity(named.len());
        for named in named {
            let path = self.path(named.reference, named.directory);
            if is_file(named.reference) && path.is_dir() {
                read.extend(self.folder(&path).into_iter().flat_map(|setup| self.taken(setup)));
                continue;
            }
            let Some(catalog) = self.catalog(named) else { continue };
            if named.enables {
                self.enabled.extend(catalog.servers.iter().map(|listed| listed.name.clone()));
            }
            read.push((named.reference.to_owned(), catalog));
        }
        catalog::merge(read)
    }

    /// Takes what a folder says and gives its catalogs.
    fn taken(&mut self, setup: Setup) -> Vec<(String, Catalog)> {
        self.enabled.extend(setup.enabled.iter().filter_map(|name| ServerName::new(name).ok()));
        self.values.extend(setup.values);
        self.allowed.extend(setup.tools);
        setup.catalogs
    }

    /// The values of the folders, the file's over them, and Docker's files over those.
    pub(super) fn values(&mut self, own: Values, flags: &ServerFlags, here: &Path) -> Values {
        let mut values = std::mem::take(&mut self.values);
        values.extend(own);
        for path in &flags.values {
            if let Some(later) = self.parsed(&here.join(path), Values::read) {
                values.extend(later);
            }
        }
        values
    }

    /// The names in Docker's files of enabled servers; nothing when none is given.
    pub(super) fn registries(&mut self, flags: &ServerFlags, here: &Path) -> Option<Vec<String>> {
        let read = |path: &PathBuf| self.parsed(&here.join(path), read_registry);
        (!flags.registries.is_empty()).then(|| flags.registries.iter().filter_map(read).flatten().collect())
    }

    /// The tools each server may show.
    pub(super) fn tools(&mut self, flags: &ServerFlags, here: &Path) -> Tools {
        let patterns = Patterns::new(flags.tools.iter().map(String::as_str));
        if !patterns.is_empty() {
            return Tools::Patterns(patterns);
        }
        let read = |path: &PathBuf| self.parsed(&here.join(path), read_tools);
        let lists: Vec<_> = flags.tools_files.iter().filter_map(read).flatten().collect();
        Tools::Lists(std::mem::take(&mut self.allowed).into_iter().chain(lists).collect())
    }

    /// The secret sources of the file.
    pub(super) fn secrets(
        &mut self,
        names: &[Spanned<String>],
        beside: &Path,
        environment: &Environment,
        source: &Source<'_>,
    ) -> Secrets {
        let store = |name: &Spanned<String>| match name.value.split_once(':') {
            None if name.value == "env" => Some(Store::Environment(environment.variables.clone())),
            Some(("file", path)) => self.dotenv(&beside.join(path)),
            _ => {
                let message = format!("`{}` is not a source of secrets", name.value);
                let cure = "use `env` or `file:./path`".to_owned();
                self.problems.push(source.at(&name.referenced, &name.value, message, cure));
                None
            }
        };
        Secrets::new(names.iter().filter_map(store).collect())
    }

    /// Docker's search path: files that are not there are passed over, but not all of them.
    pub(super) fn search_path(&mut self, names: &[String], environment: &Environment) -> Secrets {
        let mut stores = Vec::new();
        let mut absent = Vec::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            let path = environment.directory.join(name);
            if name == "env" {
                stores.push(Store::Environment(environment.variables.clone()));
            } else if name == "docker-desktop" {
                self.warnings.push(
                    "`docker-desktop` in `--secrets`: its secrets stay inside Docker Desktop, so the environment is asked"
                        .to_owned(),
                );
                stores.push(Store::Environment(environment.variables.clone()));
            } else if path.is_file() {
                stores.extend(self.dotenv(&path));
            } else {
                self.seen.unusable(&path);
                absent.push(name.as_str());
            }
        }
        if stores.is_empty() && !absent.is_empty() && self.problems.is_empty() {
            let message = format!("none of the files of `--secrets` is there: {}", absent.join(", "));
            self.problems.push(Diagnostic::new("command line", message, "check the paths, or use `env`"));
        }
        Secrets::new(stores)
    }

    fn dotenv(&mut self, path: &Path) -> Option<Store> {
        let text = self.text(path, "create it with lines `NAME=VALUE`, or leave it out of `secrets`")?;
        let label = self.label(path);
        let read = read_dotenv(&label, &text);
        self.keep(read).map(|lines| Store::File { label, lines })
    }

    /// Which artifacts need whose signature.
    pub(super) fn signatures(
        &mut self,
        raw: RawSignatures,
        beside: &Path,
        source: &Source<'_>,
    ) -> Option<Signatures> {
        let mut problems = Vec::new();
        let mut text = |path: &str| self.text(&beside.join(path), "check the path");
        let read = raw.read(source, &mut text, &mut problems);
        self.problems.extend(problems);
        // A file that cannot be read is a problem as well.
        read.filter(|_| self.problems.is_empty())
    }

    /// Which host paths may be mounted.
    pub(super) fn binds(&mut self, raw: &RawBinds, environment: &Environment, source: &Source<'_>) -> Binds {
        let mut binds = Binds {
            allow: environment.bind_allow.clone(),
            allow_writable: environment.bind_allow_writable.clone(),
            home: environment.home.clone(),
            base: environment.directory.clone(),
        };
        for (list, target) in
            [(&raw.allow, &mut binds.allow), (&raw.allow_writable, &mut binds.allow_writable)]
        {
            for path in list {
                match absolute(&path.value, environment.home.as_deref()) {
                    Some(path) => target.push(path),
                    None => {
                        let message = format!("`{}` is not an absolute path", path.value);
                        let cure = "write the whole path, or one that starts with `~/`".to_owned();
                        self.problems.push(source.at(&path.referenced, &path.value, message, cure));
                    }
                }
            }
        }
        binds
    }

    /// `egress:`.
    pub(super) fn exceptions(&mut self, raw: &RawEgress, source: &Source<'_>) -> Exceptions {
        let rules = raw.allow.iter().map(|rule| rule.value.as_str());
        Exceptions::read(rules).unwrap_or_else(|at| {
            if let Some(rule) = raw.allow.get(at) {
                let message = format!("`{}` is neither an address nor a network nor a host", rule.value);
                let cure = "write `10.0.0.0/8`, `10.1.2.3`, `registry.internal` or `registry.internal:5000`"
                    .to_owned();
                self.problems.push(source.at(&rule.referenced, &rule.value, message, cure));
            }
            Exceptions::default()
        })
    }
}

/// Whether a catalog's reference is a path.
pub(super) fn is_file(reference: &str) -> bool {
    !reference.contains("://") && !reference.starts_with("data:")
}

/// `--oci-ref` takes references with and without their scheme.
fn with_scheme(reference: &str) -> String {
    match reference.contains("://") {
        true => reference.to_owned(),
        false => format!("oci://{reference}"),
    }
}

/// `--mcp-registry` takes names of the official registry as well as addresses.
fn with_registry(reference: &str) -> String {
    match is_file(reference) {
        true => format!("registry://{reference}"),
        false => reference.to_owned(),
    }
}

fn absolute(text: &str, home: Option<&Path>) -> Option<PathBuf> {
    match text.strip_prefix("~/") {
        Some(rest) => Some(home?.join(rest)),
        None => Some(PathBuf::from(text)).filter(|path| path.is_absolute()),
    }
}

/// Which tools servers may show.
#[derive(Debug)]
pub(super) enum Tools {
    /// `--tools`.
    Patterns(Patterns),
    /// Docker's files; a server that is absent may show all.
    Lists(BTreeMap<String, Vec<String>>),
}

impl Tools {
    /// What a profile lets through.
    pub(super) fn of(patterns: &[String]) -> Self {
        Self::Patterns(Patterns::new(patterns.iter().map(String::as_str)))
    }

    /// The filter of a server; `own` is what its entry says.
    pub(super) fn filter(&self, server: &str, image: Option<&str>, own: ToolFilter) -> ToolFilter {
        match self {
            Self::Patterns(patterns) => patterns.filter(server, image),
            Self::Lists(lists) => match lists.get(server) {
                Some(names) => ToolFilter::Only(names.iter().cloned().collect::<BTreeSet<_>>()),
                None => own,
            },
        }
    }
}
