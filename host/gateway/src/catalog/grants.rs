//! What an operator lets a server have of this machine beyond the hardened default, and what an entry wants.
//!
//! Whoever writes an entry into wasmgate.yaml has granted what it says. For any other entry each wish is granted there by
//! name (`servers: {x: {grants: [hostNetwork]}}`); host paths are granted by `binds`. All that is missing is said at once.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use wasmgate_core::catalog::Argument;

use super::Resolution;
use crate::document::closest;

/// One thing an entry may want.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// The machine's own network.
    HostNetwork,
    /// All capabilities and devices.
    Privileged,
    /// A secret on its command line, where whoever may look at processes or containers reads it.
    SecretArguments,
    /// A capability, without `CAP_`.
    Capability(String),
    /// A device, by its path on the machine.
    Device(String),
}

/// What a server is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// Whatever its entry says: the operator wrote it.
    All,
    /// These.
    Only(BTreeSet<Grant>),
}

impl Default for Grants {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl Grants {
    fn allows(&self, grant: &Grant) -> bool {
        match self {
            Self::All => true,
            Self::Only(grants) => grants.contains(grant),
        }
    }

    /// Grants these too.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Grant>) {
        if let Self::Only(grants) = self {
            grants.extend(more);
        }
    }
}

impl Grant {
    /// A grant as the file spells it.
    ///
    /// # Errors
    /// What to write instead, when it is none.
    pub fn read(text: &str) -> Result<Self, String> {
        match (text, text.split_once(':')) {
            ("hostNetwork", _) => Ok(Self::HostNetwork),
            ("privileged", _) => Ok(Self::Privileged),
            ("secretArguments", _) => Ok(Self::SecretArguments),
            (_, Some(("capability", name))) => capability(name)
                .map(Self::Capability)
                .ok_or_else(|| "write a capability's name, such as `capability:NET_ADMIN`".to_owned()),
            (_, Some(("device", path))) => device_path(path)
                .map(Self::Device)
                .ok_or_else(|| "write a path below /dev, such as `device:/dev/snd`".to_owned()),
            (word, parts) => {
                let word = parts.map_or(word, |(kind, _)| kind);
                Err(match closest(word, ["hostNetwork", "privileged", "secretArguments", "capability", "device"]) {
                    Some(kind @ ("capability" | "device")) => format!("did you mean `{kind}:...`?"),
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "known here: `hostNetwork`, `privileged`, `secretArguments`, `capability:NET_ADMIN`, `device:/dev/snd`"
                        .to_owned(),
                })
            }
        }
    }

    /// After "it wants".
    fn wish(&self) -> String {
        match self {
            Self::HostNetwork => "this machine's own network".to_owned(),
            Self::Privileged => "all privileges on this machine".to_owned(),
            Self::SecretArguments => "a secret on its command line, where others can read it".to_owned(),
            Self::Capability(name) => format!("the capability `{name}`"),
            Self::Device(path) => format!("the device `{path}`"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostNetwork => f.write_str("hostNetwork"),
            Self::Privileged => f.write_str("privileged"),
            Self::SecretArguments => f.write_str("secretArguments"),
            Self::Capability(name) => write!(f, "\"capability:{name}\""),
            Self::Device(path) => write!(f, "\"device:{path}\""),
        }
    }
}

/// A capability's name in upper case and without `CAP_`; none when it cannot be one.
pub(super) fn capability(text: &str) -> Option<String> {
    let name = text.trim().to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    plain.then(|| name.to_owned())
}

/// A path below `/dev` with nothing odd in it.
pub(super) fn device_path(text: &str) -> Option<String> {
    let below = text.strip_prefix("/dev/")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
    let steps = below.split('/').all(|step| !step.is_empty() && step != "." && step != "..");
    (steps && below.bytes().all(plain)).then(|| text.to_owned())
}

/// What an entry wants.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// What is granted by name.
    pub(super) grants: BTreeSet<Grant>,
    /// Host paths outside `binds.allow`.
    outside: Vec<PathBuf>,
    /// Host paths to be written that are not in `binds.allowWritable`.
    unwritable: Vec<PathBuf>,
}

impl Wants {
    /// Notes a command line with a secret in it.
    pub(super) fn arguments(&mut self, argv: &[Argument]) {
        let secret = argv.iter().any(|word| word.secret().is_some());
        self.grants.extend(secret.then_some(Grant::SecretArguments));
    }

    /// Notes mounts that the operator has not allowed.
    pub(super) fn mounts(&mut self, outside: Vec<PathBuf>, unwritable: Vec<PathBuf>) {
        self.outside.extend(outside);
        self.unwritable.extend(unwritable);
    }

    /// # Errors
    /// [`Resolution::NeedsGrant`] with all that is not granted, and the lines of wasmgate.yaml that would grant it.
    pub(super) fn settle(mut self, server: &str, granted: &Grants) -> Result<(), Resolution> {
        self.outside.retain(|path| !self.unwritable.contains(path));
        let missing: Vec<&Grant> = self.grants.iter().filter(|grant| !granted.allows(grant)).collect();
        let mut wishes: Vec<String> = missing.iter().map(|grant| grant.wish()).collect();
        let mut keys = Vec::new();
        if !missing.is_empty() {
            let already = match granted {
                Grants::All => BTreeSet::new(),
                Grants::Only(grants) => grants.clone(),
            };
            let all: BTreeSet<&Grant> = already.iter().chain(missing).collect();
            keys.push(format!("`servers: {{{server}: {{grants: [{}]}}}}`", listed("", all.iter(), "")));
        }
        for (paths, wish, key) in
            [(&self.outside, "to mount", "allow"), (&self.unwritable, "to write to", "allowWritable")]
        {
            if !paths.is_empty() {
                let paths = || paths.iter().map(|path| path.display());
                wishes.push(format!("{wish} {}", listed("`", paths(), "`")));
                keys.push(format!("`binds.{key}: [{}]`", listed("", paths(), "")));
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        Err(Resolution::NeedsGrant {
            what: format!("it wants {}", spoken(&wishes)),
            hint: format!("set {} in wasmgate.yaml", spoken(&keys)),
        })
    }
}

fn listed<T: fmt::Display>(left: &str, items: impl Iterator<Item = T>, right: &str) -> String {
    items.map(|item| format!("{left}{item}{right}")).collect::<Vec<_>>().join(", ")
}

/// `a, b and c`.
fn spoken(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = Grant::read(text).map_or_else(|cure| cure, |grant| grant.to_string());
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn grants_are_known_words() {
        check("hostNetwork", "hostNetwork");
        check("capability:cap_net_admin", "\"capability:NET_ADMIN\"");
        check("device:/dev/bus/usb", "\"device:/dev/bus/usb\"");
        check("hostNetwrok", "did you mean `hostNetwork`?");
        check("capabilty:SYS_ADMIN", "did you mean `capability:...`?");
        check(
            "root",
            "known here: `hostNetwork`, `privileged`, `secretArguments`, `capability:NET_ADMIN`, `device:/dev/snd`",
        );
        for bad in ["device:/etc/passwd", "device:/dev/../etc/passwd", "device:/dev/"] {
            check(bad, "write a path below /dev, such as `device:/dev/snd`");
        }
        check("capability:net admin", "write a capability's name, such as `capability:NET_ADMIN`");
    }
}
