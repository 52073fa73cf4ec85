//! What `wit/` looks like from the host, generated. The worlds here are the host's own cut: all imports once, each
//! exported interface alone, so that the types exist once however many worlds plugins may choose from.

/// The interfaces the host serves, and the shared types.
pub(crate) mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package wasmgate:host; world imports {
            include wasmgate:plugin/capabilities@0.1.0;
            import wasmgate:plugin/edits@0.1.0;
        }",
        world: "wasmgate:host/imports",
        imports: {
            "wasmgate:plugin/http@0.1.0.fetch": async | trappable,
            default: trappable,
        },
    });
}

/// The interface every plugin exports.
pub(crate) mod describes {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package wasmgate:host; world describes { export wasmgate:plugin/plugin@0.1.0; }",
        world: "wasmgate:host/describes",
        exports: { default: async },
        with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
    });
}

/// What a validator exports.
pub(crate) mod validates {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package wasmgate:host; world validates { export wasmgate:plugin/validator@0.1.0; }",
        world: "wasmgate:host/validates",
        exports: { default: async },
        with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
    });
}

/// What a mutator exports.
pub(crate) mod mutates {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package wasmgate:host; world mutates { export wasmgate:plugin/mutator@0.1.0; }",
        world: "wasmgate:host/mutates",
        exports: { default: async },
        with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
    });
}

/// What a list filter exports.
pub(crate) mod filters {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package wasmgate:host; world filters { export wasmgate:plugin/list-filter@0.1.0; }",
        world: "wasmgate:host/filters",
        exports: { default: async },
        with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
    });
}

/// What a catalog source exports.
pub(crate) mod sources {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "package wasmgate:host; world sources { export wasmgate:plugin/source@0.1.0; }",
        world: "wasmgate:host/sources",
        exports: { default: async },
        with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
    });
}

pub(crate) use imports::wasmgate::plugin::{
    clock, config, edits, http, kv, labels, log, messages, random, secrets, types,
};

pub(crate) use describes::exports::wasmgate::plugin::plugin;
pub(crate) use filters::exports::wasmgate::plugin::list_filter;
pub(crate) use mutates::exports::wasmgate::plugin::mutator;
pub(crate) use sources::exports::wasmgate::plugin::source;
