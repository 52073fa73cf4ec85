//! The configuration of a client as a catalog: `mcpServers` of Claude Desktop, Cursor, Windsurf and most others, `servers`
//! of VS Code.
//!
//! A server of a client becomes an entry like any other: `command` a process, or a container where it is `docker run`;
//! `url` a remote. What the client would ask for or take from its environment (`${input:x}`, `${env:X}`) becomes a secret,
//! or a value of `config`. What has no counterpart here refuses that one server, by name.

mod comments;
mod draft;
mod run;

use serde_json::{Map, Value as Json, json};
use wasmgate_core::name::ServerName;

use super::item::Item;
use super::{Catalog, Origin, Refusal, plain_name};
use crate::document::Spanned;
pub(super) use comments::without_comments;
use draft::{Draft, Place};

/// Adds a client's servers. They are what the client runs, so all of them are meant to run.
pub(super) fn add(
    catalog: &mut Catalog,
    entries: Vec<(String, Spanned<Json>)>,
    inputs: &[Json],
    origin: Origin,
) {
    for (written, entry) in entries {
        let line = entry.referenced.line();
        if !is_client(&entry.value) {
            catalog.add(&written, Item::plain(entry.value), origin, line);
            continue;
        }
        catalog.enable_all = true;
        if is_off(&entry.value) {
            catalog.warnings.push(format!("`{written}` is left out: it is disabled"));
            continue;
        }
        let name = name(&written, catalog);
        let mut draft = Draft::new(&name, inputs);
        let read = entry_of(&entry.value, &mut draft).map(|document| draft.finish(document));
        let warnings = draft.warnings.drain(..).map(|warning| format!("server `{name}`: {warning}"));
        catalog.warnings.extend(warnings);
        catalog.add(&name, Item::new(read), origin, line);
    }
}

/// Whether a client wrote it: our own entries say how to start a server with other keys.
fn is_client(entry: &Json) -> bool {
    let ours = ["image", "remote", "process", "sseEndpoint", "tools"];
    entry.is_object() && !ours.iter().any(|key| entry.get(key).is_some_and(|way| !way.is_null()))
}

fn is_off(entry: &Json) -> bool {
    entry.get("disabled") == Some(&Json::Bool(true)) || entry.get("enabled") == Some(&Json::Bool(false))
}

fn name(written: &str, catalog: &mut Catalog) -> String {
    if ServerName::new(written).is_ok() {
        return written.to_owned();
    }
    let name = plain_name(written);
    catalog.warnings.push(format!("`{written}` is called `{name}` here"));
    name
}

fn entry_of(entry: &Json, draft: &mut Draft<'_>) -> Result<Map<String, Json>, Refusal> {
    let text = |key: &str| entry.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
    if let Some(url) = text("url").or_else(|| text("serverUrl")).or_else(|| text("httpUrl")) {
        return remote(url, entry, draft);
    }
    if entry.get("envFile").is_some() {
        draft.warnings.push("its `envFile` is not read: name that file under `secrets`".to_owned());
    }
    let mut words = match entry.get("command") {
        Some(Json::String(program)) => vec![program.clone()],
        Some(Json::Array(words)) => texts(words, "command")?,
        _ => Vec::new(),
    };
    words.extend(texts(entry.get("args").and_then(Json::as_array).map_or(&[], Vec::as_slice), "args")?);
    let env = entry.get("env").and_then(Json::as_object).cloned().unwrap_or_default();
    match words.as_slice() {
        [] => Err(Refusal::new("it says neither `command` nor `url`")),
        [program, run, args @ ..] if is_docker(program) && run == "run" => run::container(args, &env, draft),
        [program, group, run, args @ ..]
            if is_docker(program) && (group.as_str(), run.as_str()) == ("container", "run") =>
        {
            run::container(args, &env, draft)
        }
        words => process(words, entry, &env, draft),
    }
}

fn is_docker(program: &str) -> bool {
    let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
    matches!(name, "docker" | "docker.exe" | "podman" | "podman.exe")
}

fn texts(words: &[Json], key: &str) -> Result<Vec<String>, Refusal> {
    let text = |word: &Json| match word {
        Json::String(text) => Ok(text.clone()),
        Json::Number(_) | Json::Bool(_) => Ok(word.to_string()),
        _ => Err(Refusal::new(format!("its `{key}` is not a list of texts"))),
    };
    words.iter().map(text).collect()
}

fn process(
    words: &[String],
    entry: &Json,
    env: &Map<String, Json>,
    draft: &mut Draft<'_>,
) -> Result<Map<String, Json>, Refusal> {
    for (key, value) in env {
        draft.env(key, &plain(value))?;
    }
    let command = words.iter().map(|word| draft.text(word, Place::Word)).collect::<Result<Vec<_>, _>>()?;
    let mut process = json!({ "command": command });
    if let (Some(cwd), Some(process)) = (entry.get("cwd").and_then(Json::as_str), process.as_object_mut()) {
        if cwd.contains("${") {
            return Err(Refusal::new(format!("its `cwd` `{cwd}` is no plain path")));
        }
        process.insert("cwd".to_owned(), cwd.into());
    }
    Ok(Map::from_iter([("type".to_owned(), "process".into()), ("process".to_owned(), process)]))
}

fn remote(url: &str, entry: &Json, draft: &mut Draft<'_>) -> Result<Map<String, Json>, Refusal> {
    let kind =
        entry.get("type").or_else(|| entry.get("transport")).and_then(Json::as_str).unwrap_or_default();
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let transport = match kind.to_ascii_lowercase().as_str() {
        "sse" => "sse",
        "" if path.ends_with("/sse") => "sse",
        "" | "http" | "streamable-http" | "streamablehttp" | "streamable_http" => "streamable-http",
        other => {
            return Err(Refusal::new(format!("its `type` `{other}` is no transport that is known here")));
        }
    };
    let mut headers = Map::new();
    for (name, value) in entry.get("headers").and_then(Json::as_object).into_iter().flatten() {
        let value = plain(value);
        draft.look_for_token("headers", name, &value);
        headers.insert(name.clone(), draft.text(&value, Place::Word)?.into());
    }
    let url = draft.text(url, Place::Word)?;
    let remote = json!({ "url": url, "transport_type": transport, "headers": headers });
    Ok(Map::from_iter([("type".to_owned(), "remote".into()), ("remote".to_owned(), remote)]))
}

/// A value as an environment holds it.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
