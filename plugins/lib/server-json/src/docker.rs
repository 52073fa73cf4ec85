//! Arguments of `docker run`, as keys of an entry. What has no key refuses the package: nothing is passed on unread, and
//! nothing that weakens a container is passed over.

use catalog_entry::{Entry, Image, Text};
use serde_json::json;

use crate::input::{Part, Paths, Reading, Undeclared, parts};
use crate::model::{Argument, Input, Package};
use crate::{Reason, environment};

/// What is left of the arguments for others to look at.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Arguments behind the image's name, which are the package's own.
    pub(crate) arguments: Vec<Argument>,
    /// Ports of the machine and of the container.
    pub(crate) ports: Vec<(u16, u16)>,
}

/// A value and what its variables are.
#[derive(Debug, Clone)]
struct Given {
    text: String,
    input: Input,
}

/// One step of the command line.
enum Step {
    /// A flag, and its value where it is written with it.
    Flag(String, Option<Given>),
    /// Anything else.
    Word(Given),
}

/// Takes the arguments of `docker run` into the entry.
pub(crate) fn fill(entry: &mut Entry, package: &Package, image: &Image) -> Result<Rest, Reason> {
    let mut run = Run { entry, package, rest: Rest::default() };
    let mut arguments = package.runtime_arguments.iter();
    while let Some(argument) = arguments.next() {
        match step(run.entry, argument)? {
            None => {}
            Some(Step::Word(given)) => {
                if Image::read(&given.text).is_some_and(|named| named.is_same_repository(image)) {
                    run.no_effect(&given.text);
                    break;
                }
                match given.text.as_str() {
                    "docker" | "podman" | "run" | "container" => run.no_effect(&given.text),
                    other => {
                        return Err(Reason::new(format!(
                            "`{other}` among its docker arguments is neither a flag nor its image"
                        )));
                    }
                }
            }
            Some(Step::Flag(flag, mut given)) => {
                if given.is_none() && takes_value(&flag) {
                    given = following(&mut arguments);
                }
                run.flag(&flag, given, argument)?;
            }
        }
    }
    run.rest.arguments = arguments.cloned().collect();
    Ok(run.rest)
}

/// The value of a flag that is written as the next argument.
fn following(arguments: &mut std::slice::Iter<'_, Argument>) -> Option<Given> {
    let next = arguments.as_slice().first().filter(|next| next.name.is_none())?;
    let given = value_of(next).filter(|given| !given.text.starts_with('-'))?;
    arguments.next();
    Some(given)
}

/// The value that an argument has, or that a person sets: then it is a variable of its own.
fn value_of(argument: &Argument) -> Option<Given> {
    let input = &argument.input;
    if let Some(text) = &input.value {
        return Some(Given { text: text.clone(), input: input.clone() });
    }
    let name = argument.hint.clone()?;
    let variables = [(name.clone(), input.clone())].into_iter().collect();
    Some(Given { text: format!("{{{name}}}"), input: Input { variables, ..Input::default() } })
}

fn step(entry: &mut Entry, argument: &Argument) -> Result<Option<Step>, Reason> {
    let input = &argument.input;
    let Some(name) = &argument.name else {
        let Some(given) = value_of(argument) else {
            if input.required {
                return Err(Reason::new("one of its docker arguments has neither value nor name"));
            }
            entry.note("an optional docker argument without value is left out");
            return Ok(None);
        };
        if !given.text.starts_with('-') {
            return Ok(Some(Step::Word(given)));
        }
        let (flag, value) = match given.text.split_once(char::is_whitespace) {
            Some((flag, value)) => (flag.to_owned(), Some(value.trim().to_owned())),
            None => split(&given.text),
        };
        return Ok(Some(Step::Flag(flag, value.map(|text| Given { text, input: given.input }))));
    };
    let (flag, own) = split(name);
    let value = input.value.as_deref().or(input.default.as_deref()).map(|value| {
        let repeated = value.strip_prefix(flag.as_str()).filter(|rest| rest.starts_with([' ', '=']));
        repeated.map_or(value, |rest| rest.get(1..).unwrap_or_default()).trim().to_owned()
    });
    let given = own.or(value).map(|text| Given { text, input: input.clone() });
    Ok(Some(Step::Flag(flag, given)))
}

/// `--flag=value` and `-fvalue` as flag and value.
fn split(word: &str) -> (String, Option<String>) {
    if let Some((flag, value)) =
        word.split_once('=').filter(|(flag, _)| flag.starts_with("--") || flag.len() == 2)
    {
        return (flag.to_owned(), Some(value.to_owned()));
    }
    let attached = !word.starts_with("--") && word.len() > 2 && word.get(..2).is_some_and(takes_value);
    match word.split_at_checked(2).filter(|_| attached) {
        Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
        None => (word.to_owned(), None),
    }
}

fn takes_value(flag: &str) -> bool {
    VALUED.contains(&flag)
}

/// Flags with a value.
const VALUED: &[&str] = &[
    "-e",
    "--env",
    "-v",
    "--volume",
    "--mount",
    "-u",
    "--user",
    "--network",
    "--net",
    "--cap-add",
    "--cap-drop",
    "--device",
    "--entrypoint",
    "-w",
    "--workdir",
    "--add-host",
    "-m",
    "--memory",
    "--cpus",
    "--shm-size",
    "--tmpfs",
    "-p",
    "--publish",
    "--name",
    "--pull",
    "-l",
    "--label",
    "-h",
    "--hostname",
    "--security-opt",
    "--restart",
    "--log-driver",
];

/// The entry as it is made.
struct Run<'a> {
    entry: &'a mut Entry,
    package: &'a Package,
    rest: Rest,
}

impl Run<'_> {
    fn no_effect(&mut self, word: &str) {
        self.entry.note(format!("`{word}` among its docker arguments has no effect here"));
    }

    fn flag(&mut self, flag: &str, given: Option<Given>, argument: &Argument) -> Result<(), Reason> {
        if takes_value(flag) {
            return match given {
                Some(given) => self.valued(flag, &given),
                None if argument.input.required => {
                    Err(Reason::new(format!("its docker argument `{flag}` has no value")))
                }
                None => {
                    self.entry
                        .note(format!("the optional docker argument `{flag}` has no value and is left out"));
                    Ok(())
                }
            };
        }
        let on = given.as_ref().is_none_or(|given| given.text.eq_ignore_ascii_case("true"));
        let letters = flag.strip_prefix('-').filter(|rest| !rest.starts_with('-') && !rest.is_empty());
        match flag {
            "--privileged" if on => self.entry.set("privileged", true),
            "--privileged" | "--rm" | "--interactive" | "--tty" | "--detach" | "--init" | "--read-only" => {
                self.no_effect(flag)
            }
            "-P" | "--publish-all" => self.no_effect(flag),
            _ if letters.is_some_and(|letters| letters.chars().all(|c| "itd".contains(c))) => {
                self.no_effect(flag)
            }
            _ => return Err(Reason::new(format!("its docker argument `{flag}` is not known here"))),
        }
        Ok(())
    }

    fn valued(&mut self, flag: &str, given: &Given) -> Result<(), Reason> {
        match flag {
            "-e" | "--env" => self.environment(given),
            "-v" | "--volume" => self.volume(flag, &given.text, given),
            "--mount" => self.mount(given),
            "-u" | "--user" => {
                let text = PLAIN.template(self.entry, "user", &given.input, &given.text);
                let user = self.entry.plain(&text).map_err(|unfit| unwritable(flag, unfit))?;
                self.entry.set("user", user);
                Ok(())
            }
            "--name" | "--pull" | "-l" | "--label" | "-h" | "--hostname" | "--restart" | "--log-driver" => {
                self.no_effect(flag);
                Ok(())
            }
            _ => {
                let value = fixed(flag, given)?;
                self.fixed(flag, &value)
            }
        }
    }

    /// Flags whose value no person can set.
    fn fixed(&mut self, flag: &str, value: &str) -> Result<(), Reason> {
        let unknown = || Reason::new(format!("its docker argument `{flag} {value}` is not known here"));
        let literal = |entry: &Entry| entry.argument(&Text::from(value));
        match flag {
            "--network" | "--net" => match value {
                "host" | "none" => self.entry.set("network", value),
                "bridge" | "default" => self.no_effect(flag),
                _ => return Err(unknown()),
            },
            "--cap-add" => self.entry.push("capAdd", value.to_ascii_uppercase().trim_start_matches("CAP_")),
            "--cap-drop" => self.no_effect(flag),
            "--security-opt" if value.starts_with("no-new-privileges") && !value.ends_with("false") => {
                self.no_effect(flag)
            }
            "--device" => self.entry.push("devices", literal(self.entry)),
            "--entrypoint" => self.entry.set("entrypoint", json!([literal(self.entry)])),
            "-w" | "--workdir" => self.entry.set("workdir", literal(self.entry)),
            "--add-host" => self.entry.push("extraHosts", value),
            "-m" | "--memory" => self.entry.set("memory", value),
            "--cpus" => {
                let cpus =
                    value.parse::<f64>().ok().and_then(serde_json::Number::from_f64).ok_or_else(unknown)?;
                self.entry.set("cpus", cpus);
            }
            "--shm-size" => self.entry.set("shmSize", value),
            "--tmpfs" => self.tmpfs(value),
            "-p" | "--publish" => self.publish(value).ok_or_else(unknown)?,
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn environment(&mut self, given: &Given) -> Result<(), Reason> {
        let (name, value) = match given.text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (given.text.as_str(), None),
        };
        if value.is_none() && self.package.env.iter().any(|(declared, _)| declared == name) {
            self.no_effect(&format!("-e {name}"));
            return Ok(());
        }
        let input =
            Input { value: value.filter(|value| !value.is_empty()), default: None, ..given.input.clone() };
        environment::one(self.entry, name, &input, Reading::PACKAGE)
    }

    /// `source:target[:options]`; without a source, a volume that is the server's own.
    fn volume(&mut self, flag: &str, written: &str, given: &Given) -> Result<(), Reason> {
        let mut written = written.to_owned();
        for (shell, plain) in [
            ("${HOME}", "~"),
            ("$HOME", "~"),
            ("${PWD}", "."),
            ("$PWD", "."),
            ("$(pwd)", "."),
            ("${workspaceFolder}", "."),
        ] {
            written = written.replace(shell, plain);
        }
        if !written.contains(':') && written.starts_with('/') {
            let name: String =
                written.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            written = format!("{}{}:{written}", self.entry.name(), name.trim_end_matches('-'));
        }
        let text = PLAIN.template(self.entry, "volume", &given.input, &written);
        let volume = self.entry.plain(&text).map_err(|unfit| unwritable(flag, unfit))?;
        self.entry.push("volumes", volume);
        Ok(())
    }

    /// `type=bind,source=...,target=...,readonly` and its other spellings.
    fn mount(&mut self, given: &Given) -> Result<(), Reason> {
        let bad = |what: &str| Reason::new(format!("its docker argument `--mount {}` {what}", given.text));
        let (mut kind, mut source, mut target, mut options) = ("volume", "", "", "");
        for field in given.text.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').unwrap_or((field, "true"));
            match key {
                "type" => kind = value,
                "src" | "source" => source = value,
                "dst" | "destination" | "target" => target = value,
                "ro" | "readonly" if matches!(value, "true" | "1") => options = ":ro",
                "ro" | "readonly" => {}
                "tmpfs-size" | "tmpfs-mode" | "consistency" => self.no_effect(key),
                _ => return Err(bad(&format!("has the option `{key}`, which is not known here"))),
            }
        }
        match (kind, source, target) {
            (_, _, "") => Err(bad("names no target")),
            ("tmpfs", ..) => {
                let path = fixed("--mount", &Given { text: target.to_owned(), input: given.input.clone() })?;
                self.tmpfs(&path);
                Ok(())
            }
            ("bind", "", _) => Err(bad("names no source")),
            ("volume", "", _) => self.volume("--mount", target, given),
            ("bind" | "volume", ..) => self.volume("--mount", &format!("{source}:{target}{options}"), given),
            _ => Err(bad(&format!("is of the type `{kind}`, which is not known here"))),
        }
    }

    fn tmpfs(&mut self, value: &str) {
        let path = value.split_once(':').map_or(value, |(path, _)| path);
        let path = self.entry.argument(&Text::from(path));
        self.entry.push("tmpfs", path);
    }

    /// `[[address:]port:]port[/tcp]`: only HTTP needs one, and that one is the engine's to choose.
    fn publish(&mut self, value: &str) -> Option<()> {
        let numbers = value.split_once('/').map_or(value, |(numbers, _)| numbers);
        let mut ports = numbers.rsplit(':');
        let container: u16 = ports.next()?.parse().ok()?;
        let host = ports.next().and_then(|port| port.parse().ok()).unwrap_or(container);
        self.rest.ports.push((host, container));
        self.no_effect(&format!("-p {value}"));
        Some(())
    }
}

fn unwritable(flag: &str, unfit: catalog_entry::Unfit) -> Reason {
    Reason::new(format!("its docker argument `{flag}` {unfit}"))
}

/// A value that is the same for everybody.
fn fixed(flag: &str, given: &Given) -> Result<String, Reason> {
    let mut out = String::new();
    for part in parts(&given.text, &given.input.variables) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Name(name) => {
                let variable = given.input.variables.get(name);
                let known =
                    variable.and_then(|variable| variable.value.as_ref().or(variable.default.as_ref()));
                out.push_str(known.ok_or_else(|| {
                    Reason::new(format!(
                        "its docker argument `{flag}` needs `{name}`, which nobody can set for it"
                    ))
                })?);
            }
        }
    }
    Ok(out)
}

const PLAIN: Reading = Reading { undeclared: Undeclared::Text, paths: Paths::Plain };
