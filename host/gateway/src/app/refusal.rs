//! Why a plugin is not loaded, in words for the operator: what is wrong, where the plugin is configured, and what to write
//! there.

use std::fmt::Write as _;

use wasmgate_wasm::{LoadError, Problem, Want};

use crate::config::PluginConfig;
use crate::document::Diagnostic;

/// The diagnostic at the plugin's place in the configuration.
pub(super) fn refusal(plugin: &PluginConfig, error: &LoadError) -> Diagnostic {
    match error {
        LoadError::Held(wants) => {
            plugin.problem("is held: it asks for more than it is granted", grants(plugin, wants))
        }
        LoadError::Configuration(problems) => plugin
            .problem("refuses its configuration", problems.iter().map(line).collect::<Vec<_>>().join("\n  ")),
        LoadError::Isolation { .. } => {
            plugin.problem(&chain(error), "`isolation` can only make it tighter: leave it out".to_owned())
        }
        LoadError::ForbiddenImport(_) => {
            let cure = "plugins get the interfaces of `wasmgate:plugin` and what language runtimes need of WASI; no files, no sockets, no environment";
            plugin.problem(&chain(error), cure.to_owned())
        }
        other => plugin.problem(&chain(other), String::new()),
    }
}

/// What must be added for the plugin to be loaded, as YAML.
fn grants(plugin: &PluginConfig, wants: &[Want]) -> String {
    let mut yaml = String::new();
    for want in wants.iter().filter(|want| !matches!(want, Want::Http(_) | Want::Secret(_))) {
        let _ = write!(yaml, "\n      {}", want.as_grant());
    }
    let origins: Vec<String> = wants.iter().filter_map(origin).collect();
    if !origins.is_empty() {
        let _ = write!(yaml, "\n      http: [{}]", origins.join(", "));
    }
    let secrets: Vec<&str> = wants.iter().filter_map(secret).collect();
    if !secrets.is_empty() {
        yaml += "\n      secrets:";
    }
    for name in secrets {
        let to =
            if origins.is_empty() { "\"https://where.it.may.go\"".to_owned() } else { origins.join(", ") };
        let _ = write!(yaml, "\n        {name}: [{to}]");
    }
    let name = &plugin.name;
    match plugin.grants {
        None => format!("to let it do that, add to `plugins.{name}`:\n    grants:{yaml}"),
        Some(_) => format!("to let it do that, add to the `grants` of `plugins.{name}`:{yaml}"),
    }
}

fn origin(want: &Want) -> Option<String> {
    match want {
        Want::Http(origin) => Some(format!("\"{origin}\"")),
        _ => None,
    }
}

fn secret(want: &Want) -> Option<&str> {
    match want {
        Want::Secret(name) => Some(name),
        _ => None,
    }
}

/// `/fields/0` is wrong: where that is in the configuration file.
fn line(problem: &Problem) -> String {
    let place = problem.pointer.replace('/', ".");
    format!("`config{place}`: {}", problem.message)
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use wasmgate_wasm::{Isolation, Origin};

    use super::*;
    use crate::config::{PluginGrants, PluginLimits, PluginMode, PluginSource, Priority, When, Written};
    use crate::document::{Place, render};

    #[track_caller]
    fn check(granted: bool, error: LoadError, expected: Expect) {
        let grants = PluginGrants {
            log: true,
            clock: false,
            random: false,
            labels: false,
            kv: None,
            http: Vec::new(),
            secrets: Vec::new(),
            find_secrets: false,
        };
        let text = "    use: ./dlp.wasm".to_owned();
        let place = Some(Place { line: 7, column: 10, text, width: 10 });
        let plugin = PluginConfig {
            name: "dlp".into(),
            from: PluginSource::File("./dlp.wasm".into()),
            config: serde_json::Value::Null,
            mode: PluginMode::Enforce,
            fail_open: None,
            priority: Priority::default(),
            when: When::default(),
            limits: PluginLimits::default(),
            isolation: None,
            grants: granted.then_some(grants),
            written: Written { file: "wasmgate.yaml".into(), place },
        };
        expected.assert_eq(&render(&refusal(&plugin, &error)));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "most of them are golden text")]
    fn what_is_wrong_is_shown_where_the_plugin_is_configured() {
        let http = |text: &str| Want::Http(Origin::parse(text).unwrap());
        let all = vec![
            Want::Secret("API_KEY".into()),
            http("https://a.example"),
            Want::Clock,
            http("https://b.example:8443"),
            Want::Kv,
        ];
        check(
            false,
            LoadError::Held(all),
            expect![[r#"
            wasmgate.yaml:7:10: plugin `dlp` is held: it asks for more than it is granted
              |
            7 |     use: ./dlp.wasm
              |          ^^^^^^^^^^
              to let it do that, add to `plugins.dlp`:
                grants:
                  clock: true
                  kv: true
                  http: ["https://a.example", "https://b.example:8443"]
                  secrets:
                    API_KEY: ["https://a.example", "https://b.example:8443"]
        "#]],
        );
        check(
            true,
            LoadError::Held(vec![Want::Secret("KEY".into()), Want::FindSecrets]),
            expect![[r#"
            wasmgate.yaml:7:10: plugin `dlp` is held: it asks for more than it is granted
              |
            7 |     use: ./dlp.wasm
              |          ^^^^^^^^^^
              to let it do that, add to the `grants` of `plugins.dlp`:
                  findSecrets: true
                  secrets:
                    KEY: ["https://where.it.may.go"]
        "#]],
        );
        let problem =
            |pointer: &str, message: &str| Problem { pointer: pointer.into(), message: message.into() };
        let problems = vec![problem("/fields/0", "must be a text"), problem("", "lacks `mode`")];
        check(
            false,
            LoadError::Configuration(problems),
            expect![[r#"
            wasmgate.yaml:7:10: plugin `dlp` refuses its configuration
              |
            7 |     use: ./dlp.wasm
              |          ^^^^^^^^^^
              `config.fields.0`: must be a text
              `config`: lacks `mode`
        "#]],
        );
        let isolation = LoadError::Isolation { asked: Isolation::Pooled, own: Isolation::PerCall };
        check(
            false,
            isolation,
            expect![[r#"
            wasmgate.yaml:7:10: plugin `dlp` cannot run pooled: it says of itself that it must run per-call
              |
            7 |     use: ./dlp.wasm
              |          ^^^^^^^^^^
              `isolation` can only make it tighter: leave it out
        "#]],
        );
        check(
            false,
            LoadError::ForbiddenImport(vec!["wasi:sockets/tcp@0.2.0".into()]),
            expect![[r#"
            wasmgate.yaml:7:10: plugin `dlp` imports what plugins may not use: wasi:sockets/tcp@0.2.0
              |
            7 |     use: ./dlp.wasm
              |          ^^^^^^^^^^
              plugins get the interfaces of `wasmgate:plugin` and what language runtimes need of WASI; no files, no sockets, no environment
        "#]],
        );
        check(
            false,
            LoadError::NotAComponent("it is empty"),
            expect![[r#"
            wasmgate.yaml:7:10: plugin `dlp` is not a WebAssembly component: it is empty
              |
            7 |     use: ./dlp.wasm
              |          ^^^^^^^^^^
        "#]],
        );
    }
}
