//! A server of wasmgate.yaml: one of its own, or options laid over a server of a catalog.

use wasmgate_core::name::ServerName;

use super::raw::{RawProcess, RawRemote, RawServer};
use crate::catalog::{
    Entry, ExtrasEntry, From, Grant, Grants, Limits, Listed, Merged, Options, Origin, ProcessEntry, Refusal,
    RemoteEntry, SecretEntry, said,
};
use crate::document::{Diagnostic, Source, Spanned, closest};

/// Adds a server of the file to the catalogs' servers.
///
/// # Errors
/// When its name cannot be one, or it says more or less than one way to start it.
pub(super) fn add(
    name: &str,
    raw: Spanned<RawServer>,
    merged: &mut Merged,
    source: &Source<'_>,
) -> Result<ServerName, Diagnostic> {
    let spot = raw.referenced;
    let at =
        |message: String, cure: String| source.at(&spot, "", format!("server `{name}`: {message}"), cure);
    let server = ServerName::new(name).map_err(|bad| at(bad.to_string(), String::new()))?;
    let raw = raw.value;
    let ways = [raw.image.is_some(), raw.process.is_some(), raw.remote.is_some(), raw.url.is_some()];
    let ways = ways.into_iter().filter(|given| *given).count();
    if ways > 1 {
        let cure = "keep one of `image`, `process`, `remote` and `url`".to_owned();
        return Err(at("says more than one way to start it".to_owned(), cure));
    }
    let grants = grants(name, &raw.grants, source)?;
    let tools = raw.tools.clone();
    let options = options(&raw);
    let own = entry(raw);
    if ways == 0 {
        let before = merged.servers.get_mut(&server);
        let Some(before) = before else {
            let near = closest(name, merged.servers.keys().map(ServerName::as_str));
            let near = near.map(|near| format!(", or did you mean `{near}`?")).unwrap_or_default();
            let message = "no catalog has it, and nothing says how to start it".to_owned();
            return Err(at(message, format!("add `image`, `process`, `remote` or `url`{near}")));
        };
        before.grants.extend(grants.into_iter().chain(said(&options)));
        overlay(before, own, options, tools);
    } else {
        let entry = Entry { options, ..own };
        if merged.servers.contains_key(&server) {
            merged
                .warnings
                .push(format!("server `{name}` of {} takes the place of a catalog's", source.file));
        }
        let listed = Listed {
            name: server.clone(),
            origin: Origin::Inline,
            entry: Ok::<_, Refusal>(Box::new(entry)),
            tools,
            values: serde_json::Map::new(),
            grants: Grants::All,
            document: std::sync::Arc::default(),
        };
        merged.servers.insert(server.clone(), listed);
    }
    Ok(server)
}

/// The grants of a server, read.
///
/// # Errors
/// At the first that is none.
fn grants(server: &str, written: &[Spanned<String>], source: &Source<'_>) -> Result<Vec<Grant>, Diagnostic> {
    let read = |grant: &Spanned<String>| {
        Grant::read(&grant.value).map_err(|cure| {
            let message = format!("server `{server}`: `{}` is not a grant", grant.value);
            source.at(&grant.referenced, &grant.value, message, cure)
        })
    };
    written.iter().map(read).collect()
}

fn overlay(listed: &mut Listed, own: Entry, options: Options, tools: Option<Vec<String>>) {
    listed.tools = tools.or_else(|| listed.tools.take());
    if let Ok(entry) = &mut listed.entry {
        entry.options = std::mem::take(&mut entry.options).overlaid(options);
        entry.env.0.extend(own.env.0);
        entry.secrets.extend(own.secrets);
        entry.title = own.title.or_else(|| entry.title.take());
        entry.description = own.description.or_else(|| entry.description.take());
    }
}

fn entry(raw: RawServer) -> Entry {
    let url = raw.url.map(|url| RemoteEntry { url, ..RemoteEntry::default() });
    let remote = raw.remote.map(|RawRemote { url, urls, transport, headers }| RemoteEntry {
        url,
        urls,
        transport_type: transport,
        headers,
    });
    let process = raw.process.map(|RawProcess { command, cwd, env }| ProcessEntry { command, cwd, env });
    let secret = |secret: super::raw::RawSecret| SecretEntry {
        name: secret.name,
        env: secret.env,
        required: secret.required,
        description: secret.description,
    };
    Entry {
        title: raw.title,
        description: raw.description,
        from: From { image: raw.image, remote: remote.or(url), sse_endpoint: None, process },
        env: raw.env,
        secrets: raw.secrets.into_iter().map(secret).collect(),
        ..Entry::default()
    }
}

fn options(raw: &RawServer) -> Options {
    Options {
        command: raw.command.clone(),
        volumes: raw.volumes.clone(),
        extra_hosts: raw.extra_hosts.clone(),
        user: raw.user.clone(),
        disable_network: raw.disable_network,
        allow_hosts: raw.allow_hosts.clone(),
        hosts_named: raw.allow_hosts.is_some(),
        long_lived: raw.long_lived,
        prefix: raw.prefix.clone(),
        transport: raw.transport,
        port: raw.port,
        path: raw.path.clone(),
        limits: Limits {
            memory: raw.memory,
            cpus: raw.cpus,
            writable_root: raw.writable_root,
            pull: raw.pull,
            protocol: raw.protocol,
            deadlines: raw.deadlines,
            max_in_flight: raw.max_in_flight,
            instances: raw.instances,
            required: raw.required,
        },
        extras: ExtrasEntry {
            workdir: raw.workdir.clone(),
            entrypoint: raw.entrypoint.clone(),
            network: raw.network,
            privileged: raw.privileged,
            cap_add: raw.cap_add.clone(),
            devices: raw.devices.clone(),
            shm_size: raw.shm_size,
            tmpfs: raw.tmpfs.clone(),
        },
    }
}
