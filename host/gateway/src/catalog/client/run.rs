//! `docker run ...` of a client's configuration as a container with typed settings. A flag that is not known here refuses
//! the server: leaving it out would run something else than was asked for.

use serde_json::{Map, Value as Json};

use super::draft::{Draft, Place};
use super::plain;
use crate::catalog::Refusal;

/// The entry of `docker run ARGS`, with the environment the client gives to `docker`.
///
/// # Errors
/// A refusal that names the flag.
pub(super) fn container(
    args: &[String],
    env: &Map<String, Json>,
    draft: &mut Draft<'_>,
) -> Result<Map<String, Json>, Refusal> {
    let mut run = Run { draft, env, entry: Map::new() };
    run.entry.insert("type".to_owned(), "server".into());
    let mut words = args.iter();
    let image = loop {
        let word = words.next().ok_or_else(|| Refusal::new("its `docker run` names no image"))?;
        if !word.starts_with('-') {
            break word;
        }
        for (flag, inline) in flags(word) {
            match inline {
                _ if is_switch(&flag) => run.switch(&flag, inline)?,
                Some(value) => run.value(&flag, value)?,
                None => {
                    let value = words
                        .next()
                        .ok_or_else(|| Refusal::new(format!("its `docker run {flag}` has no value")))?;
                    run.value(&flag, value)?;
                }
            }
        }
    };
    run.entry.insert("image".to_owned(), image.as_str().into());
    for word in words {
        let word = run.draft.text(word, Place::Word)?;
        run.add("command", word);
    }
    Ok(run.entry)
}

/// A word as flags, with the values that stand in it: `--env=A=b`, `-it`, `-eA=b`.
fn flags(word: &str) -> Vec<(String, Option<&str>)> {
    if word.starts_with("--") {
        let (flag, value) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        return vec![(flag.to_owned(), value)];
    }
    let mut flags = Vec::new();
    for (at, c) in word.char_indices().skip(1) {
        let flag = format!("-{c}");
        if is_switch(&flag) {
            flags.push((flag, None));
            continue;
        }
        let rest = word.get(at + c.len_utf8()..).unwrap_or_default();
        flags.push((flag, Some(rest.trim_start_matches('=')).filter(|rest| !rest.is_empty())));
        break;
    }
    flags
}

fn is_switch(flag: &str) -> bool {
    SWITCHES.contains(&flag)
}

struct Run<'r, 'a> {
    draft: &'r mut Draft<'a>,
    env: &'r Map<String, Json>,
    entry: Map<String, Json>,
}

impl Run<'_, '_> {
    fn add(&mut self, key: &str, value: String) {
        let list = self.entry.entry(key).or_insert_with(|| Json::Array(Vec::new()));
        if let Json::Array(items) = list {
            items.push(value.into());
        }
    }

    fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.entry.insert(key.to_owned(), value.into());
    }

    /// Flags without a value. Most say what every container here has anyway.
    fn switch(&mut self, flag: &str, value: Option<&str>) -> Result<(), Refusal> {
        match (flag, value) {
            (_, Some("false")) if matches!(flag, "--privileged" | "--tty") => Ok(()),
            (_, Some(value)) if value != "true" => Err(refused(&format!("{flag}={value}"))),
            ("--privileged", _) => {
                self.set("privileged", true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn value(&mut self, flag: &str, value: &str) -> Result<(), Refusal> {
        match flag {
            "-e" | "--env" => self.variable(value),
            "-v" | "--volume" => self.setting("volumes", value),
            "--mount" => self.mount(value),
            "--tmpfs" => self.setting("tmpfs", value),
            "--device" => self.setting("devices", value),
            "--cap-add" => self.setting("capAdd", value),
            "--add-host" => self.setting("extraHosts", value),
            "-u" | "--user" => self.one("user", value),
            "-w" | "--workdir" => self.one("workdir", value),
            "-m" | "--memory" => self.one("memory", value),
            "--shm-size" => self.one("shmSize", value),
            "--entrypoint" => self.setting("entrypoint", value),
            "--pull" => self.one("pull", value),
            "--cpus" => {
                let cpus: f64 = value.parse().map_err(|_| refused(&format!("--cpus {value}")))?;
                self.set("cpus", cpus);
                Ok(())
            }
            "--network" | "--net" => match value {
                "host" | "none" | "default" => self.one("network", value),
                "bridge" => self.one("network", "default"),
                other => Err(refused(&format!("{flag} {other}"))),
            },
            // No container here has capabilities or may gain privileges.
            "--cap-drop" | "--name" | "-l" | "--label" | "--restart" => Ok(()),
            "--security-opt" if value.starts_with("no-new-privileges") => Ok(()),
            _ => Err(refused(flag)),
        }
    }

    fn setting(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        let value = self.draft.text(value, Place::Setting)?;
        self.add(key, value);
        Ok(())
    }

    fn one(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        let value = self.draft.text(value, Place::Setting)?;
        self.set(key, value);
        Ok(())
    }

    /// `A=b`, or `A`, which is handed on.
    fn variable(&mut self, written: &str) -> Result<(), Refusal> {
        match (written.split_once('='), self.env.get(written)) {
            (Some((name, value)), _) => self.draft.env(name, value),
            (None, Some(value)) => self.draft.env(written, &plain(value)),
            (None, None) => {
                self.draft.hand_on(written);
                Ok(())
            }
        }
    }

    /// `type=bind,source=/a,target=/b,readonly`.
    fn mount(&mut self, written: &str) -> Result<(), Refusal> {
        let (mut kind, mut source, mut target, mut mode) = ("volume", "", "", "");
        for part in written.split(',') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("type", value) => kind = value,
                ("source" | "src", value) => source = value,
                ("target" | "dst" | "destination", value) => target = value,
                ("readonly" | "ro", "" | "true") => mode = ":ro",
                _ => return Err(refused(&format!("--mount {part}"))),
            }
        }
        match kind {
            "bind" | "volume" if !source.is_empty() => {
                self.setting("volumes", &format!("{source}:{target}{mode}"))
            }
            "tmpfs" => self.setting("tmpfs", target),
            _ => Err(refused(&format!("--mount type={kind}"))),
        }
    }
}

fn refused(flag: &str) -> Refusal {
    Refusal::new(format!(
        "its `docker run` has `{flag}`, which has no counterpart here: write an entry with `image` instead"
    ))
}

/// Flags without a value that may be given.
const SWITCHES: [&str; 9] =
    ["-i", "--interactive", "-t", "--tty", "--rm", "--init", "--privileged", "--read-only", "--sig-proxy"];
