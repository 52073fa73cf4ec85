//! The forms in which a server is offered, which one is taken, and what is said about the others.

use catalog_entry::Entry;

use crate::model::{Package, Server, Transport, TransportKind};
use crate::{Reason, Settings, oci, remote, wrapped};

/// A form that an operator can prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// An image.
    Oci,
    /// Somebody else's server.
    Remote,
    /// A package of PyPI.
    Pypi,
    /// A package of npm.
    Npm,
}

impl Preference {
    /// All of them, in the order that holds when nobody says otherwise.
    pub const ALL: [Self; 4] = [Self::Oci, Self::Remote, Self::Pypi, Self::Npm];

    /// Its word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::Remote => "remote",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
        }
    }
}

/// One form of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Candidate<'a> {
    Package(&'a Package),
    Remote(&'a Transport),
}

impl Candidate<'_> {
    pub(crate) fn is_remote(self) -> bool {
        matches!(self, Self::Remote(_))
    }

    fn preference(self) -> Option<Preference> {
        let Self::Package(package) = self else { return Some(Preference::Remote) };
        [Preference::Oci, Preference::Pypi, Preference::Npm]
            .into_iter()
            .find(|kind| kind.word() == package.kind)
    }

    /// Low is preferred: first the kind, then stdin and stdout before HTTP, and streamable HTTP before SSE.
    fn rank(self, settings: &Settings) -> (usize, usize) {
        let listed = settings.prefer.iter().chain(&Preference::ALL);
        let kind = self.preference().and_then(|own| listed.into_iter().position(|other| *other == own));
        let transport = match self {
            Self::Package(package) => &package.transport.kind,
            Self::Remote(remote) => &remote.kind,
        };
        let transport = match transport {
            TransportKind::Stdio => 0,
            TransportKind::StreamableHttp => 1,
            TransportKind::Sse => 2,
            TransportKind::Other(_) => 3,
        };
        (kind.unwrap_or(usize::MAX), transport)
    }

    fn fill(self, entry: &mut Entry, settings: &Settings) -> Result<(), Reason> {
        match (self, self.preference()) {
            (Self::Remote(remote), _) => remote::fill(entry, remote),
            (Self::Package(package), Some(Preference::Oci)) => {
                unchecked(package).and_then(|()| oci::fill(entry, package))
            }
            (Self::Package(package), Some(Preference::Pypi)) => wrapped::pypi(entry, package, settings),
            (Self::Package(package), Some(Preference::Npm)) => wrapped::npm(entry, package, settings),
            (Self::Package(package), _) => Err(Reason::new(why_not(&package.kind))),
        }
    }

    /// What it is called in notes.
    fn shown(self) -> String {
        match self {
            Self::Remote(remote) => format!("remote `{}`", remote.url.as_deref().unwrap_or_default()),
            Self::Package(package) => {
                let version =
                    package.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
                let kind = if package.kind.is_empty() { "unnamed" } else { &package.kind };
                let over = match &package.transport.kind {
                    TransportKind::Stdio | TransportKind::Other(_) => "",
                    TransportKind::StreamableHttp => " over streamable HTTP",
                    TransportKind::Sse => " over SSE",
                };
                format!("{kind} package `{}{version}`{over}", package.identifier)
            }
        }
    }
}

/// A hash of a file means nothing for an image, whose digest is in its reference.
fn unchecked(package: &Package) -> Result<(), Reason> {
    match package.sha256 {
        Some(_) => Err(Reason::new(
            "it comes with a sha256 that has to be checked, and an image is no file to check",
        )),
        None => Ok(()),
    }
}

fn why_not(kind: &str) -> String {
    match kind {
        "mcpb" => "bundles (mcpb) are not run here: they are programs for this machine, not for a container"
            .to_owned(),
        "nuget" => "packages of NuGet are not run here: no image is set up for `dnx`".to_owned(),
        "cargo" => "packages of crates.io are not run here: they would have to be compiled first".to_owned(),
        "" => "it does not say what kind of package it is".to_owned(),
        other => format!("packages of the kind `{other}` are not known here"),
    }
}

/// Takes the first form that can be run, and puts it into a copy of the entry.
pub(crate) fn choose<'s>(
    server: &'s Server,
    settings: &Settings,
    about: &Entry,
) -> Result<(Entry, Candidate<'s>), Reason> {
    let packages = server.packages.iter().map(Candidate::Package);
    let mut candidates: Vec<_> = packages.chain(server.remotes.iter().map(Candidate::Remote)).collect();
    candidates.sort_by_key(|candidate| candidate.rank(settings));
    let mut refused: Vec<(Candidate<'s>, Reason)> = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let mut entry = about.clone();
        match candidate.fill(&mut entry, settings) {
            Ok(()) => {
                for (other, reason) in &refused {
                    entry.note(format!("not taken: {}: {}", other.shown(), reason.0));
                }
                let others: Vec<_> = candidates.iter().skip(at + 1).map(|other| other.shown()).collect();
                if !others.is_empty() {
                    entry.note(format!("also offered: {}", others.join(", ")));
                }
                return Ok((entry, *candidate));
            }
            Err(reason) => refused.push((*candidate, reason)),
        }
    }
    Err(together(refused))
}

fn together(refused: Vec<(Candidate<'_>, Reason)>) -> Reason {
    let mut reasons: Vec<String> = Vec::new();
    for (candidate, Reason(reason)) in refused {
        let kind = if candidate.is_remote() { "remote" } else { "package" };
        let reason = format!("its {kind} cannot be run: {reason}");
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    match reasons.is_empty() {
        true => Reason::new("it names neither a package nor a remote, so there is nothing to run"),
        false => Reason(reasons.join("; ")),
    }
}
