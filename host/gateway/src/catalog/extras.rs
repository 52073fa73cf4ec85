//! What few containers ask for: entry point, working directory, memory file systems, the machine's network, privileges,
//! capabilities, devices. Typed here, so that none of it can carry an option; what needs the operator's word is noted.

use wasmgate_core::catalog::{AllowedHosts, Author, Device, Extras, HostRule, Network};

use super::entry::NetworkEntry;
use super::grants::{Grant, Wants, capability, device_path};
use super::scope::Scope;
use super::{Options, Refusal};

/// Reads them, and notes in `wants` what needs a grant.
///
/// # Errors
/// A refusal that names the key.
pub(super) fn read(
    options: &Options,
    scope: &Scope<'_>,
    wants: &mut Wants,
) -> Result<(Network, Extras), Refusal> {
    let entry = &options.extras;
    let texts = |list: &Option<Vec<crate::document::Text>>, key: &str| {
        list.iter().flatten().map(|text| scope.public_text(&text.0, key)).collect::<Result<Vec<_>, _>>()
    };
    let present = |texts: Vec<String>| texts.into_iter().filter(|text| !text.is_empty());
    let entrypoint = texts(&entry.entrypoint, "entrypoint")?;
    if entrypoint.iter().any(|word| word.contains('\0')) {
        return Err(Refusal::new("its `entrypoint` contains a NUL character"));
    }
    let workdir = entry.workdir.as_ref().map(|text| scope.public_text(&text.0, "workdir")).transpose()?;
    let workdir = workdir.filter(|path| !path.is_empty()).map(|path| place(path, "workdir")).transpose()?;
    let tmpfs = present(texts(&entry.tmpfs, "tmpfs")?).map(|path| place(path, "tmpfs"));
    let capabilities = present(texts(&entry.cap_add, "capAdd")?).map(|text| {
        capability(&text)
            .ok_or_else(|| Refusal::new(format!("`{text}` in its `capAdd` is not a capability's name")))
    });
    let extras = Extras {
        entrypoint,
        workdir,
        shm_size: entry.shm_size.map(|size| size.0),
        tmpfs: tmpfs.collect::<Result<_, _>>()?,
        privileged: entry.privileged == Some(true),
        capabilities: capabilities.collect::<Result<_, _>>()?,
        devices: present(texts(&entry.devices, "devices")?)
            .map(|text| device(&text))
            .collect::<Result<_, _>>()?,
    };
    let network = network(options, scope)?;
    wants.grants.extend((network == Network::Host).then_some(Grant::HostNetwork));
    wants.grants.extend(extras.privileged.then_some(Grant::Privileged));
    wants.grants.extend(extras.capabilities.iter().cloned().map(Grant::Capability));
    wants.grants.extend(extras.devices.iter().map(|device| Grant::Device(device.host.clone())));
    Ok((network, extras))
}

/// What an entry of the operator's grants by saying it, templates aside.
pub(crate) fn said(options: &Options) -> Vec<Grant> {
    let entry = &options.extras;
    let mut grants = Vec::new();
    grants.extend((entry.network == Some(NetworkEntry::Host)).then_some(Grant::HostNetwork));
    grants.extend((entry.privileged == Some(true)).then_some(Grant::Privileged));
    grants
        .extend(entry.cap_add.iter().flatten().filter_map(|text| capability(&text.0)).map(Grant::Capability));
    let devices = entry.devices.iter().flatten().filter_map(|text| device(&text.0).ok());
    grants.extend(devices.map(|device| Grant::Device(device.host)));
    grants.extend(options.command.is_some().then_some(Grant::SecretArguments));
    grants
}

fn network(options: &Options, scope: &Scope<'_>) -> Result<Network, Refusal> {
    let hosts = hosts(options, scope)?;
    match (options.extras.network, options.disable_network == Some(true)) {
        (None | Some(NetworkEntry::None), true) | (Some(NetworkEntry::None), false) => Ok(Network::None),
        (Some(_), true) => Err(Refusal::new("its `network` and its `disableNetwork` contradict each other")),
        (Some(NetworkEntry::Host), false) if hosts.is_some() => {
            Err(Refusal::new("its `network` and its `allowHosts` contradict each other"))
        }
        (Some(NetworkEntry::Host), false) => Ok(Network::Host),
        (Some(NetworkEntry::Default) | None, false) => Ok(hosts.map_or(Network::Default, Network::Hosts)),
    }
}

/// None when the entry names none.
fn hosts(options: &Options, scope: &Scope<'_>) -> Result<Option<AllowedHosts>, Refusal> {
    let mut rules = Vec::new();
    for text in options.allow_hosts.iter().flatten() {
        let text = scope.public_text(&text.0, "allowHosts")?;
        let text = text.trim();
        if !text.is_empty() {
            let bad = |why| Refusal::new(format!("`{text}` in its `allowHosts` {why}"));
            rules.push(HostRule::read(text).map_err(bad)?);
        }
    }
    let written = options.allow_hosts.as_ref().is_some_and(|rules| !rules.is_empty());
    // A catalog on this machine has most likely been downloaded: naming it does not open this machine to it.
    let author = if options.hosts_named { Author::Operator } else { Author::Catalog };
    // A rule that came out empty allows nothing; it does not open the network.
    Ok(written.then_some(AllowedHosts { rules, author }))
}

/// A place in the container.
fn place(path: String, key: &str) -> Result<String, Refusal> {
    let plain = path.starts_with('/')
        && !path.contains(':')
        && !path.contains(char::is_control)
        && path.split('/').all(|step| step != "..");
    if plain {
        Ok(path)
    } else {
        Err(Refusal::new(format!("`{path}` in its `{key}` is not a plain absolute path")))
    }
}

/// `/dev/x[:/dev/y][:rwm]`, as `docker run --device` has it.
fn device(text: &str) -> Result<Device, Refusal> {
    let refused = || {
        Refusal::new(format!(
            "`{text}` in its `devices` is not `/dev/...`, `/dev/...:/dev/...` or `/dev/...:/dev/...:rwm`"
        ))
    };
    let access = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, access) = match *parts.as_slice() {
        [host] => (host, host, "rwm"),
        [host, how] if access(how) => (host, host, how),
        [host, container] => (host, container, "rwm"),
        [host, container, how] if access(how) => (host, container, how),
        _ => return Err(refused()),
    };
    let host = device_path(host).ok_or_else(refused)?;
    let container = device_path(container).ok_or_else(refused)?;
    Ok(Device { host, container, access: access.to_owned() })
}
