//! What runs on this machine: an entry's container, or its process.

use wasmgate_core::catalog::{Argument, Container, ContainerTransport, Network, Process};

use super::argv::arguments;
use super::entry::{ProcessEntry, Transport};
use super::grants::Wants;
use super::mount::mounts;
use super::scope::Scope;
use super::{Binds, Entry, Inputs, Options, Refusal, Resolution, extras};

/// The name by which an operator's process entry means this very program.
const OURSELVES: &str = "wasmgate";

/// The container an entry describes.
///
/// # Errors
/// A refusal, or the grant it needs.
pub(super) fn build(
    image: &str,
    entry: &Entry,
    scope: &Scope<'_>,
    binds: &Binds,
) -> Result<Container, Resolution> {
    plain_image(image)?;
    let options = &entry.options;
    let (scope, env) = scope.environment(&[&entry.env])?;
    let mut wants = Wants::default();
    let command = options.command.as_deref().unwrap_or_default();
    let command = arguments(command, &scope.root, &|name| scope.word(name), binds)?;
    wants.arguments(&command);
    let volumes = mounts(options.volumes.as_deref().unwrap_or_default(), &scope.root, binds)?;
    wants.mounts(volumes.outside, volumes.unwritable);
    let (network, extras) = extras::read(options, &scope, &mut wants)?;
    let transport = transport(options, &network)?;
    wants.settle(scope.server.as_str(), scope.grants)?;
    let limits = &options.limits;
    if limits.cpus.is_some_and(|cpus| !(cpus.is_finite() && cpus > 0.0)) {
        return Err(Refusal::new("its `cpus` is not a number above 0").into());
    }
    Ok(Container {
        image: image.to_owned(),
        command,
        env,
        mounts: volumes.mounts,
        user: user(options, &scope)?,
        transport,
        network,
        extra_hosts: hosts(options)?,
        memory: limits.memory.map(|memory| memory.0),
        cpus: limits.cpus,
        writable_root: limits.writable_root.unwrap_or_default(),
        pull: limits.pull.map_or_else(Default::default, Into::into),
        extras: Box::new(extras),
    })
}

/// The child process an entry describes. Only the operator may name programs.
///
/// # Errors
/// A refusal, or the grant it needs.
pub(super) fn process(
    process: &ProcessEntry,
    entry: &Entry,
    scope: &Scope<'_>,
    inputs: &Inputs<'_>,
) -> Result<Process, Resolution> {
    if !scope.origin.is_operator() {
        return Err(Resolution::NeedsGrant {
            what: "it runs a program on this machine".to_owned(),
            hint: "only your own files may: copy the entry to `servers` in wasmgate.yaml if you trust it"
                .to_owned(),
        });
    }
    let (scope, env) = scope.environment(&[&process.env, &entry.env])?;
    let argv = arguments(&process.command, &scope.root, &|name| scope.word(name), inputs.binds)?;
    let mut wants = Wants::default();
    wants.arguments(&argv);
    let mut argv = argv.into_iter();
    let program = argv.next().filter(|program| !program.expose().is_empty());
    let program = program.ok_or_else(|| Refusal::new("its `process.command` names no program"))?;
    let Argument::Plain(program) = program else {
        return Err(Refusal::new("the program of its `process.command` would be a secret").into());
    };
    wants.settle(scope.server.as_str(), scope.grants)?;
    let program = match inputs.executable {
        Some(path) if program == OURSELVES => path.to_string_lossy().into_owned(),
        _ => program,
    };
    Ok(Process { program, args: argv.collect(), env, cwd: process.cwd.clone() })
}

/// # Errors
/// When it cannot be an image reference.
pub(super) fn plain_image(image: &str) -> Result<(), Refusal> {
    match image.is_empty() || image.starts_with('-') || image.contains(char::is_whitespace) {
        true => Err(Refusal::new(format!("`{image}` is not an image reference"))),
        false => Ok(()),
    }
}

fn user(options: &Options, scope: &Scope<'_>) -> Result<Option<String>, Refusal> {
    let Some(written) = options.user.as_ref() else { return Ok(None) };
    plain_user(scope.public_text(&written.0, "user")?)
}

/// `user[:group]`, none when empty.
///
/// # Errors
/// When it is something else.
pub(super) fn plain_user(user: String) -> Result<Option<String>, Refusal> {
    if user.is_empty() {
        return Ok(None);
    }
    let plain = user.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':'));
    match plain && !user.starts_with('-') && user.matches(':').count() <= 1 {
        true => Ok(Some(user)),
        false => Err(Refusal::new("its `user` is not `name`, `uid` or `uid:gid`")),
    }
}

fn hosts(options: &Options) -> Result<Vec<String>, Refusal> {
    let given =
        options.extra_hosts.iter().flatten().map(|line| line.0.clone()).filter(|line| !line.is_empty());
    given
        .map(|line| {
            let bad =
                line.starts_with('-') || line.contains(char::is_whitespace) || !line.contains([':', '=']);
            if bad {
                Err(Refusal::new(format!("`{line}` in its `extraHosts` is not `host:address`")))
            } else {
                Ok(line)
            }
        })
        .collect()
}

fn transport(options: &Options, network: &Network) -> Result<ContainerTransport, Refusal> {
    let (kind, standard) = match options.transport.unwrap_or(Transport::Stdio) {
        Transport::Stdio => return Ok(ContainerTransport::Stdio),
        kind @ Transport::StreamableHttp => (kind, "/mcp"),
        kind @ Transport::Sse => (kind, "/sse"),
    };
    let port = options.port.filter(|port| *port > 0);
    let port =
        port.ok_or_else(|| Refusal::new("its `transport` is HTTP, so it needs the `port` it serves on"))?;
    if *network == Network::None {
        return Err(Refusal::new("its `transport` is HTTP, which `disableNetwork` makes impossible"));
    }
    let path = options.path.clone().unwrap_or_else(|| standard.to_owned());
    if !path.starts_with('/') {
        return Err(Refusal::new("its `path` does not start with `/`"));
    }
    Ok(match kind {
        Transport::Sse => ContainerTransport::Sse { port, path },
        _ => ContainerTransport::StreamableHttp { port, path },
    })
}
