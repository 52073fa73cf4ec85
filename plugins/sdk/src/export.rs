//! Turns an implementation of a trait into a component: the macros, and (only in a component) the generated bindings
//! with the one place where their types become the ones of this crate.

/// Makes a component of a [`Validator`](crate::Validator). Does nothing in a native build.
#[macro_export]
#[rustfmt::skip]
macro_rules! export_validator {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::__configured!(Validator, $plugin);

            impl $crate::guest::ValidatorGuest for Exported {
                fn validate(op: $crate::guest::RawOperation) -> Result<Vec<$crate::guest::RawFinding>, String> {
                    CONFIGURED.with_borrow(|plugin| match plugin {
                        Some(plugin) => $crate::guest::validate(plugin, op),
                        None => Err(String::from("not configured")),
                    })
                }
            }

            $crate::guest::validates::export!(Exported with_types_in $crate::guest::validates);
        };
    };
}

/// Makes a component of a [`Mutator`](crate::Mutator). Does nothing in a native build.
#[macro_export]
#[rustfmt::skip]
macro_rules! export_mutator {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::__configured!(Mutator, $plugin);

            impl $crate::guest::MutatorGuest for Exported {
                fn mutate(op: $crate::guest::RawOperation) -> Result<$crate::guest::RawOutcome, String> {
                    CONFIGURED.with_borrow(|plugin| match plugin {
                        Some(plugin) => $crate::guest::mutate(plugin, op),
                        None => Err(String::from("not configured")),
                    })
                }
            }

            $crate::guest::mutates::export!(Exported with_types_in $crate::guest::mutates);
        };
    };
}

/// The part every kind of plugin shares: the configured value and the `plugin` interface.
#[doc(hidden)]
#[macro_export]
#[rustfmt::skip]
macro_rules! __configured {
    ($kind:ident, $plugin:ty) => {
        struct Exported;

        ::std::thread_local! {
            static CONFIGURED: ::std::cell::RefCell<Option<$plugin>> = const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::guest::PluginGuest for Exported {
            fn describe() -> $crate::guest::RawDescriptor {
                <$plugin as $crate::$kind>::describe().into()
            }

            fn configure(config: String) -> Result<(), Vec<$crate::guest::RawProblem>> {
                let configured = <$plugin as $crate::$kind>::configure(&config).map_err($crate::guest::problems)?;
                CONFIGURED.set(Some(configured));
                Ok(())
            }
        }

        $crate::guest::describes::export!(Exported with_types_in $crate::guest::describes);
    };
}

/// The generated bindings of `wit/` and their conversions. Used by the macros only.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[allow(missing_docs, reason = "generated, and hidden; the WIT files document it")]
pub mod guest {
    use crate::log::Level;
    use crate::{
        Call, Descriptor, Draft, Edit, Edits, Finding, Hook, Isolation, Leaf, Mutator, Operation, Outcome,
        Payload, Phase, Problem, Severity, Validator,
    };

    #[allow(unsafe_code, reason = "generated")]
    pub mod imports {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world imports {
                import wasmgate:plugin/clock@0.1.0;
                import wasmgate:plugin/log@0.1.0;
                import wasmgate:plugin/messages@0.1.0;
                import wasmgate:plugin/edits@0.1.0;
            }",
            world: "wasmgate:guest/imports",
            generate_all,
        });
    }

    #[allow(unsafe_code, reason = "generated")]
    pub mod describes {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world describes { export wasmgate:plugin/plugin@0.1.0; }",
            world: "wasmgate:guest/describes",
            with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
            pub_export_macro: true,
            export_macro_name: "export",
        });
    }

    #[allow(unsafe_code, reason = "generated")]
    pub mod validates {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world validates { export wasmgate:plugin/validator@0.1.0; }",
            world: "wasmgate:guest/validates",
            with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
            pub_export_macro: true,
            export_macro_name: "export",
        });
    }

    #[allow(unsafe_code, reason = "generated")]
    pub mod mutates {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world mutates { export wasmgate:plugin/mutator@0.1.0; }",
            world: "wasmgate:guest/mutates",
            with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
            pub_export_macro: true,
            export_macro_name: "export",
        });
    }

    pub use describes::exports::wasmgate::plugin::plugin::{
        Descriptor as RawDescriptor, Guest as PluginGuest, Hook as RawHook, Isolation as RawIsolation,
        Problem as RawProblem,
    };
    pub use imports::wasmgate::plugin::types::{
        Finding as RawFinding, Operation as RawOperation, Phase as RawPhase, Severity as RawSeverity,
    };
    pub use mutates::exports::wasmgate::plugin::mutator::{Guest as MutatorGuest, Outcome as RawOutcome};
    pub use validates::exports::wasmgate::plugin::validator::Guest as ValidatorGuest;

    use imports::wasmgate::plugin::{clock, edits, log as host_log, messages};

    pub fn validate<V: Validator>(plugin: &V, op: RawOperation) -> Result<Vec<RawFinding>, String> {
        let payload = HostPayload(op.message);
        let findings = plugin.validate(&Call::new(&op.into(), &payload))?;
        Ok(findings.into_iter().map(Into::into).collect())
    }

    pub fn mutate<M: Mutator>(plugin: &M, op: RawOperation) -> Result<RawOutcome, String> {
        let payload = HostPayload(op.message);
        Ok(match plugin.mutate(&Draft::new(&op.into(), &payload))? {
            Outcome::Unchanged => RawOutcome::Unchanged,
            Outcome::Changed => RawOutcome::Changed,
            Outcome::Answer(result) => RawOutcome::Answer(result),
        })
    }

    pub fn problems(problems: Vec<Problem>) -> Vec<RawProblem> {
        problems.into_iter().map(|p| RawProblem { pointer: p.pointer, message: p.message }).collect()
    }

    pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
        let level = match level {
            Level::Trace => host_log::Level::Trace,
            Level::Debug => host_log::Level::Debug,
            Level::Info => host_log::Level::Info,
            Level::Warn => host_log::Level::Warn,
            Level::Error => host_log::Level::Error,
        };
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        host_log::log(level, message, &fields);
    }

    pub(crate) fn monotonic_ms() -> u64 {
        clock::monotonic_ms()
    }

    pub(crate) fn count(name: &str, delta: u64) {
        host_log::count(name, delta);
    }

    /// The message under inspection, in the gateway.
    struct HostPayload(u64);

    impl Payload for HostPayload {
        fn size(&self) -> u64 {
            messages::size(self.0)
        }

        fn text(&self) -> String {
            messages::text(self.0)
        }

        fn get(&self, pointer: &str) -> Option<String> {
            messages::get(self.0, pointer)
        }

        fn get_string(&self, pointer: &str) -> Option<String> {
            messages::get_string(self.0, pointer)
        }

        fn strings(&self, under: &str, min_bytes: u32) -> Vec<Leaf> {
            let leaves = messages::strings(self.0, under, min_bytes);
            leaves.into_iter().map(|leaf| Leaf { pointer: leaf.pointer, text: leaf.text }).collect()
        }

        fn attr(&self, name: &str) -> Option<String> {
            messages::attr(self.0, name)
        }

        fn note(&self) -> Option<String> {
            messages::note(self.0)
        }

        fn put_note(&self, value: &str) {
            messages::put_note(self.0, value);
        }
    }

    impl Edits for HostPayload {
        fn apply(&self, changes: &[Edit]) -> Result<(), String> {
            let changes: Vec<_> = changes
                .iter()
                .cloned()
                .map(|change| match change {
                    Edit::Set(pointer, json) => edits::Edit::Set((pointer, json)),
                    Edit::SetString(pointer, text) => edits::Edit::SetString((pointer, text)),
                    Edit::Remove(pointer) => edits::Edit::Remove(pointer),
                })
                .collect();
            edits::apply(self.0, &changes)
        }

        fn replace(&self, value: &str) -> Result<(), String> {
            edits::replace(self.0, value)
        }
    }

    impl From<RawOperation> for Operation {
        fn from(op: RawOperation) -> Self {
            let phase = match op.phase {
                RawPhase::Request => Phase::Request,
                RawPhase::Response => Phase::Response,
            };
            Self {
                id: op.id,
                event: op.event,
                phase,
                session: op.session,
                server: op.server,
                subject: op.subject,
                principal: op.principal,
            }
        }
    }

    impl From<Finding> for RawFinding {
        fn from(finding: Finding) -> Self {
            let severity = match finding.severity {
                Severity::Info => RawSeverity::Info,
                Severity::Warn => RawSeverity::Warn,
                Severity::Error => RawSeverity::Error,
            };
            Self { path: finding.path, message: finding.message, severity }
        }
    }

    impl From<Descriptor> for RawDescriptor {
        fn from(own: Descriptor) -> Self {
            let isolation = match own.isolation {
                Isolation::PerCall => RawIsolation::PerCall,
                Isolation::PerSession => RawIsolation::PerSession,
                Isolation::Pooled => RawIsolation::Pooled,
            };
            Self {
                name: own.name,
                version: own.version,
                description: own.description,
                hooks: own.hooks.into_iter().map(Into::into).collect(),
                config_schema: own.config_schema,
                priority_request: own.priority_request,
                priority_response: own.priority_response,
                fail_open: own.fail_open,
                isolation,
                wants_http: Vec::new(),
                extra: String::from("{}"),
            }
        }
    }

    impl From<Hook> for RawHook {
        fn from(own: Hook) -> Self {
            Self {
                events: own.events,
                request: own.request,
                response: own.response,
                servers: own.servers,
                subjects: own.subjects,
                has: own.has,
            }
        }
    }
}
