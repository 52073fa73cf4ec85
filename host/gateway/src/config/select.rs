//! Which servers run: named on the command line, else what the file and its catalogs enable.

use std::collections::BTreeSet;

use wasmgate_core::name::ServerName;

use super::flags::ServerFlags;
use super::profiles::Profile;
use super::raw::RawEnable;
use crate::catalog::Merged;
use crate::document::{Diagnostic, Source, closest};

/// Where the diagnostic that nothing is enabled is reported.
pub(super) const NOTHING_ENABLED: &str = "servers";

/// What was asked for.
pub(super) struct Asked<'a> {
    /// The flags.
    pub(super) flags: &'a ServerFlags,
    /// The names of Docker's files, when any were given.
    pub(super) registries: Option<Vec<String>>,
    /// `enable` of the file.
    pub(super) enable: Option<&'a RawEnable>,
    /// The servers of the file itself.
    pub(super) own: &'a BTreeSet<ServerName>,
    /// The servers that the command line enables by the catalogs it names (`--oci-ref` and the like); those of a profile that
    /// is a catalog among them.
    pub(super) named: &'a [ServerName],
    /// The profile that was asked for: its servers, what the command line names, and no others.
    pub(super) profile: &'a Profile,
}

/// The servers to run, in the order they are asked for, which is the order of the merged lists; where nothing orders them
/// (`all`, a catalog's own wish, servers of the file), by name.
///
/// # Errors
/// A diagnostic for every unknown name, or one that says that nothing is enabled.
pub(super) fn select(
    asked: &Asked<'_>,
    merged: &Merged,
    source: &Source<'_>,
) -> Result<Vec<ServerName>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut chosen: Vec<ServerName> = Vec::new();
    let mut take =
        |name: &str, unknown: &dyn Fn(String, String) -> Diagnostic| match merged.servers.get_key_value(name)
        {
            Some((name, _)) => {
                chosen.push(name.clone());
            }
            None => problems.push(unknown(format!("no server is called `{name}`"), cure(name, merged))),
        };
    let nowhere = |file: &'static str| move |message, cure| Diagnostic::new(file, message, cure);
    if !asked.flags.servers.is_empty() {
        let names = asked.flags.servers.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
        names.for_each(|name| take(name, &nowhere("--servers")));
    } else if let Profile::Own { servers, .. } = asked.profile {
        for name in servers {
            take(&name.value, &|message, cure| source.at(&name.referenced, &name.value, message, cure));
        }
    } else if matches!(asked.profile, Profile::Catalog(_)) {
        // Its servers are among those the command line names.
    } else if asked.flags.enable_all {
        chosen.extend(merged.servers.keys().cloned());
    } else {
        match (&asked.registries, asked.enable) {
            (Some(names), _) => names.iter().for_each(|name| take(name, &nowhere("--registry"))),
            (None, Some(RawEnable::All)) => {
                merged.servers.keys().for_each(|name| take(name.as_str(), &nowhere("")))
            }
            (None, Some(RawEnable::Only(names))) => {
                for name in names {
                    take(&name.value, &|message, cure| {
                        source.at(&name.referenced, &name.value, message, cure)
                    });
                }
            }
            (None, None) => merged.enabled.iter().for_each(|name| take(name.as_str(), &nowhere(""))),
        }
        chosen.extend(asked.own.iter().cloned());
    }
    if asked.flags.servers.is_empty() {
        chosen.extend(asked.named.iter().cloned());
    }
    let mut seen = BTreeSet::new();
    chosen.retain(|name| seen.insert(name.clone()));
    let nothing_meant = matches!(asked.enable, Some(RawEnable::Only(names)) if names.is_empty());
    if chosen.is_empty() && problems.is_empty() && !nothing_meant {
        problems.push(nothing(merged));
    }
    if problems.is_empty() { Ok(chosen) } else { Err(problems) }
}

fn cure(name: &str, merged: &Merged) -> String {
    match closest(name, merged.servers.keys().map(ServerName::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match merged.servers.len() {
            0 => "the catalogs have no servers".to_owned(),
            few if few <= 10 => format!("there are: {}", names(merged)),
            many => format!("the catalogs have {many} servers, none of a similar name"),
        },
    }
}

fn names(merged: &Merged) -> String {
    merged.servers.keys().map(ServerName::as_str).collect::<Vec<_>>().join(", ")
}

fn nothing(merged: &Merged) -> Diagnostic {
    let message = match merged.servers.len() {
        0 => "there are no servers in the catalogs".to_owned(),
        many => format!("none of the {many} servers of the catalogs is enabled"),
    };
    let example = merged.servers.keys().next().map_or("a", |name| name.as_str());
    let cure = format!(
        "say `--servers {example}` or `--enable-all-servers`, or `enable: [{example}]` in wasmgate.yaml"
    );
    Diagnostic::new(NOTHING_ENABLED, message, cure)
}
