//! `wasmgate plugin inspect`: what a component is, sees and wants, before it is trusted with anything.

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use wasmgate_wasm::{Claims, HookLine, Inspection, Want};

use super::super::args::ConfigFile;
use super::super::{Failed, output};
use super::component;

/// Say what a component is, sees and wants. Nothing of it runs but `describe`, without any capability.
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The component: a file, `builtin:NAME` or `oci://REFERENCE`.
    #[arg(value_name = "FILE|builtin:NAME|oci://REFERENCE")]
    component: String,
    /// How to print it.
    #[arg(long, default_value = "text")]
    format: Format,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failed> {
        let bytes = component::bytes(&self.component, &self.config)?;
        let seen = component::block_on(async {
            let engine = component::engine(None)?;
            wasmgate_wasm::inspect(&engine, bytes)
                .await
                .map_err(|error| Failed::Work(format!("{} {}", self.component, component::chain(&error))))
        })?;
        match self.format {
            Format::Json => output::print_json(&as_json(&seen)),
            Format::Text => output::print(&as_text(&self.component, &seen)),
        }
        Ok(())
    }
}

/// A hook, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hook<'a> {
    role: &'static str,
    events: &'a [String],
    phases: Vec<&'static str>,
    servers: &'a [String],
    subjects: &'a [String],
    payload: bool,
}

impl<'a> Hook<'a> {
    fn of(line: &'a HookLine) -> Self {
        let phases = [("request", line.request), ("response", line.response)];
        Self {
            role: line.role,
            events: &line.events,
            phases: phases.into_iter().filter(|(_, sees)| *sees).map(|(phase, _)| phase).collect(),
            servers: &line.servers,
            subjects: &line.subjects,
            payload: line.payload,
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{} {} ({})", self.role, self.events.join(", "), self.phases.join(", "));
        for (what, patterns) in [("servers", self.servers), ("subjects", self.subjects)] {
            if !patterns.is_empty() {
                text += &format!(", {what} {}", patterns.join(", "));
            }
        }
        if !self.payload && self.role != "filter" {
            text += ", not the payload";
        }
        text
    }
}

fn as_json(seen: &Inspection) -> Value {
    let own = &seen.descriptor;
    let claims = seen.claims.as_ref().map(|claims| match claims {
        Claims::Always(patterns) => json!(patterns),
        Claims::Configured => Value::Null,
    });
    let kind = if claims.is_some() { "catalog-source" } else { "interceptor" };
    let mut members = json!({
        "name": own.name,
        "kind": kind,
        "version": own.version,
        "description": own.description,
        "digest": format!("sha256:{}", seen.digest),
        "size": seen.size,
        "hooks": own.hooks.iter().map(Hook::of).collect::<Vec<_>>(),
        "isolation": own.isolation.to_string(),
        "grants": Value::Object(grants(&own.wants)),
        "configSchema": own.config_schema.as_ref().and_then(|schema| serde_json::from_str::<Value>(schema.as_str()).ok()),
        "exports": seen.exports,
        "imports": { "wasmgate": seen.capabilities, "wasi": seen.wasi },
        "compileMs": u64::try_from(seen.compile.as_millis()).unwrap_or(u64::MAX),
    });
    if let (Some(claims), Some(members)) = (claims, members.as_object_mut()) {
        members.insert("claims".to_owned(), claims);
    }
    members
}

/// What a catalog source answers, in words.
fn claimed(claims: &Claims) -> String {
    match claims {
        Claims::Always(patterns) if patterns.is_empty() => "no reference".to_owned(),
        Claims::Always(patterns) => patterns.join(", "),
        Claims::Configured => "what its configuration says; it cannot do without one".to_owned(),
    }
}

fn as_text(from: &str, seen: &Inspection) -> String {
    let own = &seen.descriptor;
    let mut lines = vec![format!("{} {}: {}", own.name, own.version, own.description), String::new()];
    let mut line = |what: &str, text: &str| lines.push(format!("  {what:<10} {text}"));
    line("size", &format!("{} KiB, compiled in {} ms", seen.size.div_ceil(1024), seen.compile.as_millis()));
    line("digest", &format!("sha256:{}", seen.digest));
    if let Some(claims) = &seen.claims {
        line("kind", "catalog source");
        line("answers", &claimed(claims));
    } else if own.hooks.is_empty() {
        line("sees", "nothing");
    }
    for (index, hook) in own.hooks.iter().enumerate() {
        line(if index == 0 { "sees" } else { "" }, &Hook::of(hook).text());
    }
    let wants: Vec<_> = own.wants.iter().map(name).collect();
    line("wants", &if wants.is_empty() { "nothing beyond the log".to_owned() } else { wants.join(", ") });
    line("isolation", &own.isolation.to_string());
    line("exports", &short(&seen.exports));
    line("imports", &short(&seen.capabilities));
    line("", &short(&seen.wasi));
    if let Some(schema) = &own.config_schema {
        let pretty = serde_json::from_str::<Value>(schema.as_str()).ok();
        let pretty = pretty.and_then(|schema| serde_json::to_string_pretty(&schema).ok()).unwrap_or_default();
        lines.push(format!("\nIts configuration, as JSON Schema:\n\n{}", indented(&pretty)));
    }
    lines.push(format!("\nTo run it, in wasmgate.yaml:\n\n{}", indented(&configuration(from, seen))));
    lines.join("\n")
}

/// Interfaces without the package and version that all of them share.
fn short(interfaces: &[String]) -> String {
    let bare = |name: &String| {
        let name = name.split('@').next().unwrap_or_default();
        name.strip_prefix("wasmgate:plugin/").unwrap_or(name).to_owned()
    };
    match interfaces {
        [] => "nothing".to_owned(),
        some => some.iter().map(bare).collect::<Vec<_>>().join(", "),
    }
}

fn name(want: &Want) -> String {
    match want {
        Want::Clock => "clock".to_owned(),
        Want::Random => "random".to_owned(),
        Want::Kv => "kv".to_owned(),
        Want::Labels => "labels".to_owned(),
        Want::FindSecrets => "find-secrets".to_owned(),
        Want::Http(origin) => format!("http to {origin}"),
        Want::Secret(name) => format!("the secret {name}"),
    }
}

/// What is wanted, as the members of `grants:`.
fn grants(wants: &[Want]) -> serde_json::Map<String, Value> {
    let origins = wants.iter().filter_map(|want| match want {
        Want::Http(origin) => Some(Value::String(origin.to_string())),
        _ => None,
    });
    let origins: Vec<_> = origins.collect();
    let mut grants = serde_json::Map::new();
    for want in wants {
        let plain = match want {
            Want::Clock => "clock",
            Want::Random => "random",
            Want::Kv => "kv",
            Want::Labels => "labels",
            Want::FindSecrets => "findSecrets",
            Want::Http(_) => {
                grants.insert("http".to_owned(), Value::Array(origins.clone()));
                continue;
            }
            Want::Secret(name) => {
                let secrets = grants.entry("secrets").or_insert_with(|| json!({}));
                if let Some(secrets) = secrets.as_object_mut() {
                    secrets.insert(name.clone(), Value::Array(origins.clone()));
                }
                continue;
            }
        };
        grants.insert(plain.to_owned(), Value::Bool(true));
    }
    grants
}

/// The plugin's entry in a configuration file.
fn configuration(from: &str, seen: &Inspection) -> String {
    let mode = if seen.claims.is_none() { Some("    mode: audit") } else { None };
    entry(from, &seen.descriptor.name, mode, &seen.descriptor.wants)
}

fn entry(from: &str, own: &str, mode: Option<&str>, wants: &[Want]) -> String {
    let from = if from.starts_with("builtin:") || from.starts_with(['/', '.']) {
        from.to_owned()
    } else {
        format!("./{from}")
    };
    let mut lines = vec!["plugins:".to_owned(), format!("  {own}:"), format!("    use: {from}")];
    lines.extend(mode.map(str::to_owned));
    if !wants.is_empty() {
        lines.push("    grants:".to_owned());
        // JSON is YAML.
        lines.extend(grants(wants).iter().map(|(name, value)| format!("      {name}: {value}")));
    }
    lines.join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use wasmgate_wasm::Origin;

    use super::*;

    #[test]
    fn what_is_wanted_is_shown_as_it_is_granted() {
        let origin = || Origin::parse("https://dlp.example.com").unwrap();
        let wants = [Want::Kv, Want::Http(origin()), Want::Secret("KEY".to_owned())];
        expect_test::expect![[r#"
            plugins:
              dlp:
                use: ./dlp.wasm
                mode: audit
                grants:
                  kv: true
                  http: ["https://dlp.example.com"]
                  secrets: {"KEY":["https://dlp.example.com"]}"#]]
        .assert_eq(&entry("dlp.wasm", "dlp", Some("    mode: audit"), &wants));
        expect_test::expect![[r#"
            plugins:
              log-calls:
                use: builtin:log-calls
                mode: audit"#]]
        .assert_eq(&entry("builtin:log-calls", "log-calls", Some("    mode: audit"), &[]));
    }
}
