//! The configuration: which ways are open, and what counts as a secret.

use name_pattern::{Case, matches};
use serde::Deserialize;
use wasmgate_plugin::{Config, Problem};

/// JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "allow": {
      "type": "array",
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["from", "to"],
        "properties": {"from": {"type": "string", "minLength": 1}, "to": {"type": "string", "minLength": 1}}
      }
    },
    "minLength": {"type": "integer", "minimum": 4, "maximum": 256},
    "highEntropy": {"type": "boolean"}
  }
}"#;

/// What the operator wrote.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Settings {
    allow: Vec<Way>,
    /// Bytes; what is shorter is not followed.
    pub(crate) min_length: usize,
    /// Whether strings that look random are followed too, whatever their format.
    pub(crate) high_entropy: bool,
}

/// From some servers to others, by pattern.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Way {
    from: String,
    to: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allow: Vec::new(), min_length: 8, high_entropy: false }
    }
}

impl Settings {
    /// Reads the configuration.
    pub(crate) fn read(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        if config.is_empty() {
            return Ok(Self::default());
        }
        let settings: Self = config.read()?;
        match settings.min_length {
            4..=256 => Ok(settings),
            _ => Err(vec![Problem::new("/minLength", "is not between 4 and 256")]),
        }
    }

    /// Whether what was read from one server may go to another.
    pub(crate) fn opens(&self, from: &str, to: &str) -> bool {
        let fits = |pattern: &str, server| matches(pattern, server, Case::Same);
        self.allow.iter().any(|way| fits(&way.from, from) && fits(&way.to, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        for (config, expected) in [
            ("{}", Ok(())),
            (r#"{"allow":[{"from":"a","to":"*"}],"minLength":20,"highEntropy":true}"#, Ok(())),
            (r#"{"minLength":1}"#, Err("/minLength")),
            (r#"{"allow":[{"from":"a"}]}"#, Err("")),
            (r#"{"deny":[]}"#, Err("")),
        ] {
            let read = Settings::read(Config::new(config)).map(|_| ()).map_err(|p| p[0].pointer.clone());
            assert_eq!(read, expected.map_err(str::to_owned), "{config}");
        }
    }

    #[test]
    fn the_schema_is_json() {
        serde_json::from_str::<serde_json::Value>(SCHEMA).unwrap();
    }
}
