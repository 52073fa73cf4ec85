//! Mounts from `volumes:` of an entry: typed values out of texts, with the operator's rules for host paths.
//!
//! Only what the catalog wrote can contain the colons that separate source, target and options; a value that has one is
//! refused. Symlinks and the deny-list are checked by `launch` when the container starts: this is the lexical half.

use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;
use wasmgate_core::catalog::{Mount, MountSource};

use super::refusal::Refusal;
use super::template::{Piece, Template, Value};
use crate::document::Text;

/// Directories that need no allowance: what lies below them (not they themselves) may be mounted read-only.
pub const SHARED: &[&str] = &["/tmp", "/private/tmp", "/var/tmp"];

/// What the operator allows to be mounted, and what relative paths are relative to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binds {
    /// Roots below which host paths may be mounted, besides [`SHARED`].
    pub allow: Vec<PathBuf>,
    /// Exact host paths that may be mounted writable.
    pub allow_writable: Vec<PathBuf>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// What `./x` is relative to; absolute.
    pub base: PathBuf,
}

impl Binds {
    fn allows(&self, path: &Path) -> bool {
        let shared = SHARED.iter().any(|root| path.starts_with(root) && path != Path::new(root));
        shared || self.allow.iter().any(|root| path.starts_with(root))
    }

    /// A path as a container sees it: `~/x` and `./x` made absolute, anything else as it stands.
    pub(super) fn absolute(&self, text: &str) -> String {
        match classify(text, self) {
            Some(MountSource::Bind(path)) if !text.starts_with('/') => path.to_string_lossy().into_owned(),
            _ => text.to_owned(),
        }
    }
}

/// Mounts of an entry, and the host paths among them that the operator has not allowed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    /// All of them.
    pub mounts: Vec<Mount>,
    /// Host paths outside `binds.allow`.
    pub outside: Vec<PathBuf>,
    /// Host paths that ask for `:rw` without standing in `binds.allowWritable`.
    pub unwritable: Vec<PathBuf>,
}

/// Evaluates `volumes:`. Those that come out empty are left out.
///
/// # Errors
/// When one has no target, an unknown option, a relative target, or a colon inside a value.
pub(super) fn mounts(templates: &[Text], root: &Json, binds: &Binds) -> Result<Mounts, Refusal> {
    let mut all = Mounts::default();
    for Text(text) in templates {
        for fields in volumes(&Template::parse(text).evaluate(root), text)? {
            all.add(&fields, text, binds)?;
        }
    }
    Ok(all)
}

/// Source, target and options, split only where the catalog put a colon.
#[derive(Default)]
struct Fields(Vec<String>);

fn volumes(pieces: &[Piece], written: &str) -> Result<Vec<Fields>, Refusal> {
    if let [Piece::Value(Value::List(items))] = pieces {
        return items
            .iter()
            .filter_map(|item| one(&[Piece::Value(item.clone())], written).transpose())
            .collect();
    }
    Ok(one(pieces, written)?.into_iter().collect())
}

fn one(pieces: &[Piece], written: &str) -> Result<Option<Fields>, Refusal> {
    let mut fields = Fields(vec![String::new()]);
    for piece in pieces {
        match piece {
            Piece::Literal(text) => fields.literal(text),
            Piece::Value(Value::Mount(mount)) => {
                fields.value(&mount.source, written)?;
                fields.0.push(mount.target.clone());
                fields.0.extend(mount.option.clone());
            }
            Piece::Value(value) => fields.value(&value.to_inline_text(), written)?,
        }
    }
    Ok(fields.0.iter().any(|field| !field.is_empty()).then_some(fields))
}

impl Fields {
    fn literal(&mut self, text: &str) {
        let mut parts = text.split(':');
        self.append(parts.next().unwrap_or_default());
        self.0.extend(parts.map(str::to_owned));
    }

    fn append(&mut self, text: &str) {
        if let Some(last) = self.0.last_mut() {
            last.push_str(text);
        }
    }

    fn value(&mut self, text: &str, written: &str) -> Result<(), Refusal> {
        let drive = is_windows(text);
        if self.0.len() > 2 && !text.is_empty() {
            return Err(Refusal::new(format!(
                "a value in the volume `{written}` would choose its mount options"
            )));
        }
        if drive {
            return Err(Refusal::new(format!(
                "a value in the volume `{written}` is a Windows path, which this machine does not have"
            )));
        }
        if text.contains(':') || text.contains(char::is_control) {
            return Err(Refusal::new(format!(
                "a value in the volume `{written}` contains `:` or a control character"
            )));
        }
        self.append(text);
        Ok(())
    }
}

fn is_windows(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic()) || text.starts_with(r"\\")
}

impl Mounts {
    fn add(&mut self, fields: &Fields, written: &str, binds: &Binds) -> Result<(), Refusal> {
        let refuse = |what: &str| Refusal::new(format!("the volume `{written}` {what}"));
        if is_windows(written) {
            return Err(refuse("is a Windows path, which this machine does not have"));
        }
        let (source, target, option) = match fields.0.as_slice() {
            [source, target] => (source, target, ""),
            [source, target, option] => (source, target, option.as_str()),
            [_] => return Err(refuse("names no path inside the container: write `source:target`")),
            _ => return Err(refuse("has more than `source:target:options`")),
        };
        if source.starts_with('-') {
            return Err(refuse("starts with `-`"));
        }
        let access = Access::read(option).ok_or_else(|| refuse("has an option other than `ro` and `rw`"))?;
        let from = classify(source, binds)
            .ok_or_else(|| refuse("has a source that is neither a path nor a volume's name"))?;
        let target = match classify(target, binds) {
            Some(MountSource::Bind(path)) => path.to_string_lossy().into_owned(),
            _ => return Err(refuse("has a target that is not an absolute path")),
        };
        let read_only = self.check(&from, access, binds);
        self.mounts.push(Mount { source: from, target, read_only });
        Ok(())
    }

    /// Whether the mount is read-only; notes paths the operator has not allowed.
    fn check(&mut self, from: &MountSource, access: Access, binds: &Binds) -> bool {
        let MountSource::Bind(path) = from else { return access == Access::ReadOnly };
        let writable = binds.allow_writable.contains(path);
        if !writable && !binds.allows(path) {
            self.outside.push(path.clone());
        }
        if access == Access::ReadWrite && !writable {
            self.unwritable.push(path.clone());
        }
        access == Access::ReadOnly || !writable
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Unsaid,
    ReadOnly,
    ReadWrite,
}

impl Access {
    /// Options of `docker run -v`; SELinux labels and macOS caching hints say nothing about access.
    fn read(options: &str) -> Option<Self> {
        let mut access = Self::Unsaid;
        for option in options.split(',').map(str::trim) {
            match option {
                "ro" | "readonly" => access = Self::ReadOnly,
                "rw" => access = Self::ReadWrite,
                "" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
                _ => return None,
            }
        }
        Some(access)
    }
}

/// A path (absolute, `~/...`, `./...`) made absolute and free of `..`, or a volume's name.
fn classify(text: &str, binds: &Binds) -> Option<MountSource> {
    if text.contains(char::is_control) {
        return None;
    }
    let path = if text.starts_with('/') {
        PathBuf::from(text)
    } else if text == "~" || text.starts_with("~/") {
        binds.home.as_ref()?.join(text.trim_start_matches('~').trim_start_matches('/'))
    } else if matches!(text, "." | "..") || text.starts_with("./") || text.starts_with("../") {
        binds.base.join(text)
    } else {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        return (first && rest).then(|| MountSource::Volume(text.to_owned()));
    };
    Some(MountSource::Bind(normal(&path)))
}

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binds() -> Binds {
        Binds {
            allow: vec!["/home/me".into()],
            allow_writable: vec!["/tmp/w".into()],
            home: Some("/home/me".into()),
            base: "/tmp/work".into(),
        }
    }

    fn show(template: &str, value: Json) -> String {
        let root = json!({"s": {"v": value}});
        match mounts(&[Text(template.to_owned())], &root, &binds()) {
            Err(refusal) => format!("refused: {refusal}"),
            Ok(all) => {
                let one = |mount: &Mount| {
                    let from = match &mount.source {
                        MountSource::Bind(path) => format!("bind {}", path.display()),
                        MountSource::Volume(name) => format!("volume {name}"),
                    };
                    format!("{from} -> {}{}", mount.target, if mount.read_only { " ro" } else { " rw" })
                };
                let mut lines: Vec<_> = all.mounts.iter().map(one).collect();
                lines.extend(all.outside.iter().map(|path| format!("outside {}", path.display())));
                lines.extend(all.unwritable.iter().map(|path| format!("unwritable {}", path.display())));
                lines.join("; ")
            }
        }
    }

    #[test]
    fn literal_volumes() {
        for (written, expected) in [
            ("/tmp/a:/data", "bind /tmp/a -> /data ro"),
            ("/tmp/w:/data", "bind /tmp/w -> /data rw"),
            ("/tmp/w:/data:ro", "bind /tmp/w -> /data ro"),
            ("/tmp/a:/data:rw", "bind /tmp/a -> /data ro; unwritable /tmp/a"),
            ("/tmp/../etc:/data", "bind /etc -> /data ro; outside /etc"),
            ("/tmp:/data", "bind /tmp -> /data ro; outside /tmp"),
            ("/tmpx:/data", "bind /tmpx -> /data ro; outside /tmpx"),
            ("~/notes:/notes", "bind /home/me/notes -> /notes ro"),
            ("./x:/x", "bind /tmp/work/x -> /x ro"),
            ("cache:/var/cache", "volume cache -> /var/cache rw"),
            ("cache:/var/cache:ro,z", "volume cache -> /var/cache ro"),
        ] {
            assert_eq!(show(written, json!("")), expected, "{written}");
        }
    }

    #[test]
    fn bad_volumes_say_why() {
        for (written, expected) in [
            ("/data", "names no path inside"),
            ("a:b", "target that is not an absolute path"),
            ("a:/b:rshared", "option other than"),
            ("a:/b:ro:x", "more than"),
            ("-v:/b", "starts with `-`"),
            ("a b:/c", "neither a path nor"),
            (r"C:\x:/c/x", "Windows path"),
        ] {
            let shown = show(written, json!(""));
            assert!(shown.starts_with("refused") && shown.contains(expected), "{written}: {shown}");
        }
    }

    proptest::proptest! {
        /// Whatever a value contains: it is refused, or it is one read-only mount of itself on itself.
        #[test]
        fn a_value_is_one_mount_or_none(value in "/[a-z:,/.$\\{\\} -]{1,20}") {
            let root = json!({"s": {"v": value}});
            if let Ok(all) = mounts(&[Text("{{s.v|volume}}".to_owned())], &root, &binds()) {
                let path = normal(Path::new(&value));
                let target = path.to_string_lossy().into_owned();
                let read_only = path != Path::new("/tmp/w");
                proptest::prop_assert_eq!(all.mounts, vec![Mount { source: MountSource::Bind(path), target, read_only }]);
            } else {
                proptest::prop_assert!(value.contains(':'));
            }
        }
    }

    #[test]
    fn values_become_paths_and_nothing_else() {
        assert_eq!(
            show("{{s.v|volume|into}}", json!(["/tmp/a", "/tmp/b"])),
            "bind /tmp/a -> /tmp/a ro; bind /tmp/b -> /tmp/b ro"
        );
        assert_eq!(show("{{s.v|volume}}", json!("~/n")), "bind /home/me/n -> /home/me/n ro");
        assert_eq!(show("{{s.v|or:[]|volume|into}}", json!("")), "");
        assert_eq!(show("{{s.v|mount_as:/logs:ro}}", json!("/tmp/w")), "bind /tmp/w -> /logs ro");
        assert_eq!(show("{{s.v}}:/data", json!("/tmp/a")), "bind /tmp/a -> /data ro");
        for (template, value) in [
            ("{{s.v|volume}}", "/tmp/a:/etc:rw"),
            ("{{s.v}}:/data", "/tmp/a:/b"),
            ("{{s.v|mount_as:/logs}}", "/tmp/w:rw"),
            ("/tmp/a:/b:{{s.v}}", "rw"),
            ("{{s.v|volume}}", "--privileged"),
            ("{{s.v|volume}}", "C:\\x"),
            ("{{s.v}}", "/tmp/a:/b"),
        ] {
            let shown = show(template, json!(value));
            assert!(shown.starts_with("refused"), "{template} with {value}: {shown}");
        }
    }
}
