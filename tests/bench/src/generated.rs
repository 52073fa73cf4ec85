//! Catalogs of as many servers as one wants, in JSON and in YAML: half containers with configuration, half remotes.

use serde_json::{Map, Value, json};

/// A catalog of `servers` servers, all of which can run as they are.
pub(crate) fn catalog(servers: usize) -> Value {
    let registry: Map<String, Value> = (0..servers)
        .map(|number| {
            let name = format!("server-{number}");
            let entry = if number % 2 == 0 { container(&name) } else { remote(&name) };
            (name, entry)
        })
        .collect();
    json!({"version": 3, "name": "generated", "registry": registry})
}

fn container(name: &str) -> Value {
    json!({
        "type": "server",
        "title": format!("Server {name}"),
        "description": "Forecasts, observations and warnings of the weather service, by station and by region",
        "image": format!("docker.io/acme/{name}:1.0.0"),
        "command": ["serve", format!("{{{{{name}.region|option:--region|into}}}}")],
        "env": [
            {"name": "UNITS", "value": "metric"},
            {"name": "REGION", "value": format!("{{{{{name}.region}}}}")},
        ],
        "config": [{
            "name": name,
            "description": "Where and how",
            "type": "object",
            "properties": {
                "region": {"type": "string", "enum": ["eu", "us"], "default": "eu", "description": "Region"},
                "stations": {"type": "array", "items": {"type": "string"}, "description": "Stations"},
            },
        }],
        "secrets": [{"name": format!("{name}.key"), "env": "API_KEY", "required": false, "description": "Key"}],
    })
}

fn remote(name: &str) -> Value {
    json!({
        "type": "remote",
        "title": format!("Server {name}"),
        "description": "Issues, pull requests and reviews of the code host, for people and for programs",
        "remote": {
            "url": format!("https://{name}.example.com/mcp"),
            "transport_type": "streamable-http",
            "headers": {"X-Client": "wasmgate"},
        },
    })
}

/// A document as people write YAML: in blocks, strings quoted.
pub(crate) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                text.push_str(&format!("\n{indent}{name}:"));
                block(member, depth + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&format!("\n{indent}-"));
                block(item, depth + 1, text);
            }
        }
        scalar => text.push_str(&format!(" {scalar}")),
    }
}
