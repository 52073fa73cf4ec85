//! A validator that does as little as its kind can, for benchmarks: `prompts/get` is decided without the payload, `tools/call`
//! by one look into it, `resources/read` by a look at every string. Only for tests.

use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Isolation, Problem};

/// Keeps nothing.
pub struct Bench;

impl Interceptor for Bench {
    fn describe() -> Descriptor {
        Descriptor::new("bench", "1.0.0", "Does next to nothing.")
            .isolation(Isolation::Pooled)
            .hook(Hook::validate(&["prompts/get"]).request().without_payload())
            .hook(Hook::validate(&["tools/call", "resources/read"]).request())
    }

    fn configure(_config: Config<'_>) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let found = match call.operation().event.as_str() {
            "tools/call" => call.get_string("/name").as_deref() == Some("forbidden"),
            "resources/read" => call.strings("", 1).iter().any(|leaf| leaf.text == "forbidden"),
            _ => call.operation().principal.as_deref() == Some("nobody"),
        };
        Ok(if found { vec![Finding::error("is forbidden")] } else { Vec::new() })
    }
}

wasmgate_plugin::export!(Bench);
