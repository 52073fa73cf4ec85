//! placeholder
use wasmgate_plugin::{Call, Descriptor, Finding, Hook, Problem, Validator};
/// The plugin.
pub struct BlockSecrets;
impl Validator for BlockSecrets {
    fn describe() -> Descriptor {
        Descriptor::new("block-secrets", "0.1.0", "x").hook(Hook::on(&["tools/call"]).request())
    }
    fn configure(_config: &str) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }
    fn validate(&self, _call: &Call<'_>) -> Result<Vec<Finding>, String> {
        Ok(Vec::new())
    }
}
wasmgate_plugin::export_validator!(BlockSecrets);
