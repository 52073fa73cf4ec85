//! What ToolHive says beside server.json, in `_meta`: default arguments, permissions, status, logins. It is put into the
//! server.json itself, permissions as the arguments of `docker run` that grant them, so that they pass the same checks.

use serde_json::{Value as Json, json};
use server_json::Node;

/// What publishers add to server.json.
pub(crate) const PUBLISHER: &str = "io.modelcontextprotocol.registry/publisher-provided";
/// ToolHive's part of it.
pub(crate) const EXTENSIONS: &str = "io.github.stacklok";

/// The server with its extensions put in, and what people should know of them.
///
/// # Errors
/// What cannot be granted, as a reason to refuse the server.
pub(crate) fn applied(server: &Json) -> Result<(Json, Vec<String>), String> {
    let mut server = server.clone();
    let extensions = server.pointer_mut("/_meta").map(Json::take).unwrap_or_default();
    let extensions = extensions
        .get(PUBLISHER)
        .and_then(|publisher| publisher.get(EXTENSIONS))
        .cloned()
        .unwrap_or_default();
    let mut notes = Vec::new();
    let mut deprecated = false;
    for (form, key) in [("packages", "identifier"), ("remotes", "url")] {
        for item in server.get_mut(form).and_then(Json::as_array_mut).into_iter().flatten() {
            let extension = item.get(key).and_then(Json::as_str).and_then(|name| extensions.get(name));
            let extension = extension.map(Node::root);
            let status = extension.and_then(|extension| extension.member("status").text());
            deprecated |= status.is_some_and(|status| status.eq_ignore_ascii_case("deprecated"));
            match (form, extension) {
                ("packages", extension) => package(item, extension, &mut notes)?,
                (_, Some(extension)) => remote(extension, &mut notes),
                _ => {}
            }
        }
    }
    if let Some(members) = server.as_object_mut().filter(|_| deprecated) {
        members.insert("status".to_owned(), json!("deprecated"));
    }
    Ok((server, notes))
}

fn package(item: &mut Json, extension: Option<Node<'_>>, notes: &mut Vec<String>) -> Result<(), String> {
    let transport =
        Node::root(item).member("transport").member("type").text().unwrap_or_else(|| "stdio".to_owned());
    if Node::root(item).member("registryType").text().as_deref() != Some("oci") {
        return Ok(());
    }
    told(item, &transport);
    let Some(extension) = extension else { return Ok(()) };
    let arguments = extension.member("args").list().filter_map(Node::text);
    let arguments: Vec<Json> = arguments.map(|text| json!({ "type": "positional", "value": text })).collect();
    let own = Node::root(item).member("packageArguments").list().count();
    if own == 0 && !arguments.is_empty() {
        add(item, "packageArguments", arguments);
    }
    let permissions = permissions(extension.member("permissions"), &transport, notes)?;
    add(item, "runtimeArguments", permissions);
    Ok(())
}

/// ToolHive tells its servers how they are spoken to, and fills in the usual path.
fn told(item: &mut Json, transport: &str) {
    let url = item.pointer("/transport/url").and_then(Json::as_str).unwrap_or_default().to_owned();
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let port =
        authority.split('/').next().and_then(|host| host.rsplit_once(':')).map(|(_, port)| port.to_owned());
    let mut variables = vec![("MCP_TRANSPORT", transport.to_owned())];
    for name in ["MCP_PORT", "FASTMCP_PORT"] {
        variables.extend(
            port.clone().filter(|port| port.bytes().all(|b| b.is_ascii_digit())).map(|port| (name, port)),
        );
    }
    let known: Vec<String> = Node::root(item)
        .member("environmentVariables")
        .list()
        .filter_map(|node| node.member("name").text())
        .collect();
    let variables = variables.into_iter().filter(|(name, _)| !known.iter().any(|known| known == name));
    add(
        item,
        "environmentVariables",
        variables.map(|(name, value)| json!({ "name": name, "value": value })).collect(),
    );
    let path = if transport == "sse" { "/sse" } else { "/mcp" };
    if let Some(written) = item
        .pointer_mut("/transport/url")
        .filter(|_| !authority.is_empty() && !authority.trim_end_matches('/').contains('/'))
    {
        *written = json!(format!("{}{path}", url.trim_end_matches('/')));
    }
}

fn add(item: &mut Json, key: &str, more: Vec<Json>) {
    let Some(members) = item.as_object_mut().filter(|_| !more.is_empty()) else { return };
    let list = members.entry(key.to_owned()).or_insert_with(|| json!([]));
    match list.as_array_mut() {
        Some(list) => list.extend(more),
        None => *list = Json::Array(more),
    }
}

/// Permissions as arguments of `docker run`.
fn permissions(node: Node<'_>, transport: &str, notes: &mut Vec<String>) -> Result<Vec<Json>, String> {
    let mut arguments = Vec::new();
    let mut argument =
        |name: &str, value: Json| arguments.push(json!({ "type": "named", "name": name, "value": value }));
    for (key, access) in [("read", "ro"), ("write", "rw")] {
        for path in node.member(key).list() {
            let declared = path.text().or_else(|| path.member("path").text());
            let declared =
                declared.ok_or_else(|| format!("its `permissions.{key}` lists something that is no path"))?;
            argument("-v", json!(mount(&declared, access)?));
        }
    }
    if node.member("privileged").is_true() {
        argument("--privileged", json!("true"));
    }
    let network = node.member("network");
    match network.member("mode").text().as_deref() {
        None | Some("" | "bridge" | "default") => {}
        Some(mode) => argument("--network", json!(mode)),
    }
    let outbound = network.member("outbound");
    let hosts: Vec<String> = outbound.member("allow_host").list().filter_map(Node::text).collect();
    if outbound.is_there()
        && !outbound.member("insecure_allow_all").is_true()
        && !network.member("mode").is_there()
    {
        match (hosts.is_empty(), transport) {
            (false, _) => notes.push(format!(
                "it asks for no hosts but {}; this gateway does not hold it to that",
                hosts.join(", ")
            )),
            (true, "stdio") => argument("--network", json!("none")),
            (true, _) => notes.push(
                "it asks for no hosts at all; this gateway does not hold a server over HTTP to that"
                    .to_owned(),
            ),
        }
    }
    if network.member("inbound").is_there() {
        notes.push(
            "who may speak to it is this gateway's to decide, not its `permissions.network.inbound`"
                .to_owned(),
        );
    }
    Ok(arguments)
}

/// `/path`, `/path:/target` or `volume://name:/target`, as `docker run -v` has it.
fn mount(declared: &str, access: &str) -> Result<String, String> {
    let named = declared.strip_prefix("volume://");
    if named.is_none() && declared.contains("://") {
        return Err(format!("its permission `{declared}` is neither a path nor a volume"));
    }
    match (named, declared.contains(':')) {
        (Some(named), _) => Ok(format!("{named}:{access}")),
        (None, true) => Ok(format!("{declared}:{access}")),
        (None, false) => Ok(format!("{declared}:{declared}:{access}")),
    }
}

/// Of a remote, what is meant for ToolHive's own client.
fn remote(extension: Node<'_>, notes: &mut Vec<String>) {
    let login = extension.member("oauth_config");
    if login.is_there() {
        let at = login.any(&["issuer", "authorize_url"]).text();
        let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
        notes.push(format!("it wants a login{at}"));
    }
    let names = extension.member("env_vars").list().filter_map(|node| node.member("name").text());
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if !names.is_empty() {
        notes.push(format!("{} are for ToolHive's own client and passed over", names.join(", ")));
    }
}
