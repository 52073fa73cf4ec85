//! Entries of Docker's type `poci`: tools without a server, each call one container.
//!
//! The templates of such a container see the arguments of the call. A list that stands alone (`{{args|into}}`) is as many
//! arguments as it has elements, whatever they say: passing options to the program is what these tools are for, and the
//! program is alone in its container. Everywhere else a value stays what [`super::argv`] makes of it: one argument.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use wasmgate_core::catalog::{Argument, Container, ContainerTool, ContainerTransport, Extras, Network};
use wasmgate_core::json::Json;

use super::argv::{arguments, listed};
use super::container::{plain_image, plain_user};
use super::grants::Wants;
use super::mount::mounts;
use super::scope::Scope;
use super::{Binds, Entry, Grants, Refusal, Resolution, extras};
use crate::document::Text;

/// One of `tools:`.
#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    annotations: Option<Value>,
    /// JSON Schema of its arguments.
    #[serde(default)]
    parameters: Option<Value>,
    container: Option<Run>,
}

/// `container:` of a tool.
#[derive(Debug, Clone, Deserialize)]
struct Run {
    image: String,
    #[serde(default)]
    command: Vec<Text>,
    #[serde(default)]
    volumes: Vec<Text>,
    #[serde(default)]
    user: Option<Text>,
}

/// The tools of an entry.
///
/// # Errors
/// A refusal that names the tool.
pub(super) fn build(
    entry: &Entry,
    scope: &Scope<'_>,
    binds: &Binds,
) -> Result<Vec<ContainerTool>, Resolution> {
    let (_, env) = scope.environment(&[&entry.env])?;
    let mut wants = Wants::default();
    let place = extras::read(&entry.options, scope, &mut wants)?;
    wants.settle(scope.server.as_str(), scope.grants)?;
    let tools: Result<Vec<_>, Refusal> = entry
        .tools
        .iter()
        .map(|written| {
            let tool: Tool = serde_json::from_value(written.clone())
                .map_err(|error| Refusal::new(format!("one of its `tools` cannot be read: {error}")))?;
            let refused = |why: &str| Refusal::new(format!("its tool `{}` {why}", tool.name));
            let run = tool.container.clone().ok_or_else(|| refused("has no `container`"))?;
            plain_image(&run.image).map_err(|refusal| refused(&format!("cannot be run: {refusal}")))?;
            Ok(ContainerTool {
                name: tool.name.clone(),
                definition: Json::of(&definition(tool)),
                written: format!("{written} {:?} {place:?}", entry.options.limits),
                env: env.clone(),
                prepare: prepare(run, entry, place.clone(), binds),
            })
        })
        .collect();
    Ok(tools?)
}

fn definition(tool: Tool) -> Value {
    let mut schema = tool.parameters.filter(Value::is_object).unwrap_or_else(|| json!({}));
    if let Some(schema) = schema.as_object_mut() {
        schema.entry("type").or_insert_with(|| json!("object"));
    }
    let mut definition = json!({ "name": tool.name, "inputSchema": schema });
    if let Some(definition) = definition.as_object_mut() {
        definition.extend(tool.description.map(|text| ("description".to_owned(), Value::from(text))));
        definition.extend(tool.annotations.map(|annotations| ("annotations".to_owned(), annotations)));
    }
    definition
}

fn prepare(
    run: Run,
    entry: &Entry,
    (network, extras): (Network, Extras),
    binds: &Binds,
) -> wasmgate_core::catalog::Prepare {
    let binds = binds.clone();
    let limits = entry.options.limits.clone();
    Arc::new(move |given: &Json| {
        let root: Value = given.deserialize().map_err(|error| error.to_string())?;
        let volumes = mounts(&run.volumes, &root, &binds).map_err(|refusal| refusal.to_string())?;
        let mut wants = Wants::default();
        wants.mounts(volumes.outside, volumes.unwritable);
        wants.settle("", &Grants::All).map_err(|halt| halt.reason())?;
        Ok(Container {
            image: run.image.clone(),
            command: command(&run.command, &root, &binds).map_err(|halt| halt.reason())?,
            env: Vec::new(),
            mounts: volumes.mounts,
            user: plain_user(run.user.as_ref().map(|user| user.0.clone()).unwrap_or_default())
                .map_err(|refusal| refusal.to_string())?,
            network: network.clone(),
            extra_hosts: Vec::new(),
            transport: ContainerTransport::Stdio,
            memory: limits.memory.map(|memory| memory.0),
            cpus: limits.cpus,
            writable_root: limits.writable_root.unwrap_or_default(),
            pull: limits.pull.map_or_else(Default::default, Into::into),
            extras: Box::new(extras.clone()),
        })
    })
}

fn command(templates: &[Text], root: &Value, binds: &Binds) -> Result<Vec<Argument>, Resolution> {
    let no_variables =
        |name: &str| Err(Refusal::new(format!("`${name}` means nothing in the command of a tool")).into());
    let mut argv = Vec::new();
    for template in templates {
        let some = match listed(&template.0, root)? {
            Some(elements) => elements.into_iter().map(Argument::Plain).collect(),
            None => arguments(std::slice::from_ref(template), root, &no_variables, binds)?,
        };
        // What the call left out is one empty text, and no argument.
        if !matches!(some.as_slice(), [one] if one.expose().is_empty()) {
            argv.extend(some);
        }
    }
    Ok(argv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(templates: &[&str], root: Value, expected: &[&str]) {
        let templates: Vec<_> = templates.iter().map(|text| Text((*text).to_owned())).collect();
        let argv = command(&templates, &root, &Binds::default()).unwrap();
        assert_eq!(argv.iter().map(Argument::expose).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_list_alone_is_its_elements_and_a_text_is_one_argument() {
        check(&["{{args|into}}"], json!({"args": ["-s", "https://x/ y", 5]}), &["-s", "https://x/ y", "5"]);
        check(&["-q", "{{url}}"], json!({"url": "https://x/ -o /etc"}), &["-q", "https://x/ -o /etc"]);
        check(&["{{args|into}}"], json!({}), &[]);
    }

    #[test]
    fn a_text_starts_no_option() {
        let refused = command(&[Text("{{url}}".into())], &json!({"url": "--config=/x"}), &Binds::default());
        assert!(refused.unwrap_err().reason().contains("would become an option"));
    }
}
