//! The plugins that come with the gateway: every crate of `plugins/` but the SDK, built by this crate's build script.

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// One plugin inside the binary.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// The name to configure it under.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

/// The component of this name.
pub fn builtin(name: &str) -> Option<&'static [u8]> {
    BUILT_IN.iter().find(|plugin| plugin.name == name).map(|plugin| plugin.bytes)
}
