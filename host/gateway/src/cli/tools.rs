//! `wasmgate tools`: the tools clients see, one of them in full, and a call from the shell; of a running gateway or of
//! catalogs.

use serde_json::{Map, Value};
use wasmgate_core::json::Json;

use super::args::Reached;
use super::{Failed, output};
use crate::app::{Probe, Purpose};

/// Look at tools and call one.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tools {
    /// List the tools clients see, with what each costs a model to read.
    Ls {
        #[command(flatten)]
        reached: Reached,
        /// Print the tools as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one tool: its description and schemas.
    Inspect {
        /// The tool's name, as `tools ls` shows it.
        name: String,
        #[command(flatten)]
        reached: Reached,
        /// Print the definition as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call a tool.
    Call {
        /// The tool's name, as `tools ls` shows it.
        name: String,
        /// One JSON object, or any number of `key=value` (a value is JSON where it is valid JSON, else text).
        arguments: Vec<String>,
        #[command(flatten)]
        reached: Reached,
        /// Print the whole result as JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Tools {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self {
            Self::Ls { reached, json } => reached.probe(Purpose::Look, async |probe| list(probe, json).await),
            Self::Inspect { name, reached, json } => {
                reached.probe(Purpose::Look, async |probe| inspect(probe, &name, json).await)
            }
            Self::Call { name, arguments, reached, json } => {
                let arguments = parse(&arguments).map_err(Failed::Usage)?;
                reached.probe(Purpose::Call, async |probe| call(probe, &name, &arguments, json).await)
            }
        }
    }
}

async fn list(probe: &Probe, json: bool) -> Result<(), Failed> {
    let tools = probe.tools().await.map_err(Failed::Work)?;
    if json {
        output::print_json(&tools);
        return Ok(());
    }
    let row = |tool: &Json| {
        let text = |member: &str| {
            tool.member(member).and_then(|text| text.string().map(std::borrow::Cow::into_owned))
        };
        let description = text("description").unwrap_or_default();
        let first = description.lines().next().unwrap_or_default();
        vec![text("name").unwrap_or_default(), tokens(tool).to_string(), first.chars().take(80).collect()]
    };
    let rows: Vec<_> = tools.iter().map(row).collect();
    output::print(&output::table(&["TOOL", "~TOKENS", "DESCRIPTION"], &rows));
    output::note(&format!("{} tools, about {} tokens", tools.len(), tools.iter().map(tokens).sum::<usize>()));
    Ok(())
}

/// What a definition roughly costs a model to read: four bytes a token.
fn tokens(tool: &Json) -> usize {
    tool.as_str().len().div_ceil(4)
}

async fn inspect(probe: &Probe, name: &str, json: bool) -> Result<(), Failed> {
    let tools = probe.tools().await.map_err(Failed::Work)?;
    let named =
        |tool: &&Json| tool.member("name").is_some_and(|known| known.string().as_deref() == Some(name));
    let tool = tools.iter().find(named).ok_or_else(|| {
        Failed::Work(format!(
            "no tool is named `{name}`: `wasmgate tools ls` lists the {} there are",
            tools.len()
        ))
    })?;
    if json {
        output::print_json(tool);
        return Ok(());
    }
    for (member, value) in tool.members().unwrap_or_default() {
        match value.string() {
            Some(text) => output::print(&format!("{member}: {text}")),
            None => {
                let value: Value = value.deserialize().unwrap_or_default();
                output::print(&format!(
                    "{member}: {}",
                    serde_json::to_string_pretty(&value).unwrap_or_default()
                ));
            }
        }
    }
    Ok(())
}

async fn call(probe: &Probe, name: &str, arguments: &Json, json: bool) -> Result<(), Failed> {
    let result = probe.call(name, arguments).await.map_err(Failed::Work)?;
    if json {
        output::print_json(&result);
    } else {
        for block in result.member("content").and_then(|content| content.elements()).unwrap_or_default() {
            output::print(&readable(&block));
        }
        if let Some(structured) = result.member("structuredContent") {
            output::print(structured.as_str());
        }
    }
    let failed = result.member("isError").is_some_and(|flag| flag.as_str() == "true");
    if failed { Err(Failed::Work(format!("`{name}` reports an error"))) } else { Ok(()) }
}

/// One content block for a person: texts as they are, the rest by kind and size.
fn readable(block: &Json) -> String {
    let text =
        |member: &str| block.member(member).and_then(|text| text.string().map(std::borrow::Cow::into_owned));
    match text("type").as_deref() {
        Some("text") => text("text").unwrap_or_default(),
        Some(kind @ ("image" | "audio")) => {
            let size = text("data").unwrap_or_default().len() / 4 * 3;
            format!("[{kind} {}, {size} bytes; --json shows it]", text("mimeType").unwrap_or_default())
        }
        _ => block.as_str().to_owned(),
    }
}

/// The arguments object from what stands on the command line.
fn parse(arguments: &[String]) -> Result<Json, String> {
    if let [only] = arguments
        && only.trim_start().starts_with('{')
    {
        return Json::parse(only.clone())
            .map_err(|error| format!("the arguments are not a JSON object: {error}"));
    }
    let mut object = Map::new();
    for argument in arguments {
        let (key, value) = argument
            .split_once('=')
            .ok_or_else(|| format!("`{argument}` is neither a JSON object nor `key=value`"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        object.insert(key.to_owned(), value);
    }
    Ok(Json::of(&object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_or_pairs() {
        let parsed = |words: &[&str]| {
            parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
                .map(|json| json.as_str().to_owned())
        };
        assert_eq!(parsed(&[]), Ok("{}".into()));
        assert_eq!(parsed(&[r#"{"n":1e2}"#]), Ok(r#"{"n":1e2}"#.into()));
        assert_eq!(
            parsed(&["a=1", "b=x y", "c=[true]", "d="]),
            Ok(r#"{"a":1,"b":"x y","c":[true],"d":""}"#.into())
        );
        assert!(parsed(&["{"]).is_err_and(|error| error.contains("not a JSON object")));
        assert!(parsed(&["word"]).is_err());
    }
}
