//! Turns an implementation of the trait into a component: the macro, and (only in a component) the generated bindings with
//! the one place where their types become the ones of this crate.

/// Makes a component of an [`Interceptor`](crate::Interceptor). Does nothing in a native build.
#[macro_export]
#[rustfmt::skip]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            ::std::thread_local! {
                static CONFIGURED: ::std::cell::RefCell<Option<$plugin>> = const { ::std::cell::RefCell::new(None) };
            }

            fn configured<T>(work: impl FnOnce(&$plugin) -> Result<T, String>) -> Result<T, String> {
                CONFIGURED.with_borrow(|plugin| match plugin {
                    Some(plugin) => work(plugin),
                    None => Err(String::from("not configured")),
                })
            }

            impl $crate::guest::PluginGuest for Exported {
                fn describe() -> $crate::guest::RawDescriptor {
                    <$plugin as $crate::Interceptor>::describe().into()
                }

                fn configure(config: String) -> Result<Option<Vec<$crate::guest::RawHook>>, Vec<$crate::guest::RawProblem>> {
                    let (plugin, hooks) = $crate::guest::configure::<$plugin>(&config)?;
                    CONFIGURED.set(Some(plugin));
                    Ok(hooks)
                }
            }

            impl $crate::guest::ValidatorGuest for Exported {
                fn validate(op: $crate::guest::RawOperation) -> Result<Vec<$crate::guest::RawFinding>, String> {
                    configured(|plugin| $crate::guest::validate(plugin, op))
                }
            }

            impl $crate::guest::MutatorGuest for Exported {
                fn mutate(op: $crate::guest::RawOperation) -> Result<$crate::guest::RawOutcome, String> {
                    configured(|plugin| $crate::guest::mutate(plugin, op))
                }
            }

            impl $crate::guest::ListFilterGuest for Exported {
                fn filter(
                    op: $crate::guest::RawOperation,
                    items: Vec<$crate::guest::RawItem>,
                ) -> Result<Vec<(u32, $crate::guest::RawChange)>, String> {
                    configured(|plugin| $crate::guest::filter(plugin, op, items))
                }
            }

            $crate::guest::exports::export!(Exported with_types_in $crate::guest::exports);
            $crate::guest::roles::export!(Exported with_types_in $crate::guest::roles);
        };
    };
}

/// Makes a component of a [`Source`](crate::Source). Does nothing in a native build.
#[macro_export]
#[rustfmt::skip]
macro_rules! export_source {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            ::std::thread_local! {
                static CONFIGURED: ::std::cell::RefCell<Option<$plugin>> = const { ::std::cell::RefCell::new(None) };
            }

            impl $crate::guest::PluginGuest for Exported {
                fn describe() -> $crate::guest::RawDescriptor {
                    <$plugin as $crate::Source>::describe().into()
                }

                fn configure(config: String) -> Result<Option<Vec<$crate::guest::RawHook>>, Vec<$crate::guest::RawProblem>> {
                    let plugin = $crate::guest::configure_source::<$plugin>(&config)?;
                    CONFIGURED.set(Some(plugin));
                    Ok(None)
                }
            }

            impl $crate::guest::SourceGuest for Exported {
                fn claims() -> Vec<String> {
                    CONFIGURED.with_borrow(|plugin| plugin.as_ref().map($crate::Source::claims).unwrap_or_default())
                }

                fn fetch(request: $crate::guest::RawRequest) -> Result<$crate::guest::RawPage, $crate::guest::RawFailure> {
                    CONFIGURED.with_borrow(|plugin| $crate::guest::fetch(plugin.as_ref(), request))
                }
            }

            $crate::guest::exports::export!(Exported with_types_in $crate::guest::exports);
            $crate::guest::sources::export!(Exported with_types_in $crate::guest::sources);
        };
    };
}

/// The generated bindings of `wit/` and their conversions. Used by the macros only.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[allow(missing_docs, reason = "generated, and hidden; the WIT files document it")]
pub mod guest {
    use crate::log::Level;
    use crate::secrets::Sighting;
    use crate::{
        Call, Change, Config, Descriptor, Draft, Edit, Edits, Finding, Hook, Interceptor, Isolation, Item,
        Leaf, Operation, Outcome, Payload, Phase, Problem, Refusal, Role, Severity, Source, source,
    };

    #[allow(unsafe_code, reason = "generated")]
    pub mod imports {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world imports {
                include wasmgate:plugin/capabilities@0.1.0;
                import wasmgate:plugin/edits@0.1.0;
            }",
            world: "wasmgate:guest/imports",
            generate_all,
        });
    }

    #[allow(unsafe_code, reason = "generated")]
    pub mod exports {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world exports { export wasmgate:plugin/plugin@0.1.0; }",
            world: "wasmgate:guest/exports",
            with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
            pub_export_macro: true,
            export_macro_name: "export",
        });
    }

    #[allow(unsafe_code, reason = "generated")]
    pub mod roles {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world roles {
                export wasmgate:plugin/validator@0.1.0;
                export wasmgate:plugin/mutator@0.1.0;
                export wasmgate:plugin/list-filter@0.1.0;
            }",
            world: "wasmgate:guest/roles",
            with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
            pub_export_macro: true,
            export_macro_name: "export",
        });
    }

    #[allow(unsafe_code, reason = "generated")]
    pub mod sources {
        wit_bindgen::generate!({
            path: "../../wit",
            inline: "package wasmgate:guest; world sources { export wasmgate:plugin/source@0.1.0; }",
            world: "wasmgate:guest/sources",
            with: { "wasmgate:plugin/types@0.1.0": super::imports::wasmgate::plugin::types },
            pub_export_macro: true,
            export_macro_name: "export",
        });
    }

    pub use exports::exports::wasmgate::plugin::plugin::{
        Descriptor as RawDescriptor, Guest as PluginGuest, Hook as RawHook, Isolation as RawIsolation,
        Problem as RawProblem, Role as RawRole,
    };
    pub use imports::wasmgate::plugin::types::{
        Finding as RawFinding, Operation as RawOperation, Phase as RawPhase, Refusal as RawRefusal,
        Severity as RawSeverity,
    };
    pub use roles::exports::wasmgate::plugin::list_filter::{
        Change as RawChange, Guest as ListFilterGuest, Item as RawItem,
    };
    pub use roles::exports::wasmgate::plugin::mutator::{Guest as MutatorGuest, Outcome as RawOutcome};
    pub use roles::exports::wasmgate::plugin::validator::Guest as ValidatorGuest;
    pub use sources::exports::wasmgate::plugin::source::{
        Failure as RawFailure, Guest as SourceGuest, Page as RawPage, Refused as RawRefused,
        Request as RawRequest, Server as RawServer,
    };

    pub(crate) use imports::wasmgate::plugin::{clock, http, kv, labels, random, secrets};
    use imports::wasmgate::plugin::{edits, log as host_log, messages};

    pub fn configure<I: Interceptor>(config: &str) -> Result<(I, Option<Vec<RawHook>>), Vec<RawProblem>> {
        let plugin = I::configure(Config::new(config)).map_err(problems)?;
        let hooks = plugin.hooks().map(|hooks| hooks.into_iter().map(Into::into).collect());
        Ok((plugin, hooks))
    }

    pub fn validate<I: Interceptor>(plugin: &I, op: RawOperation) -> Result<Vec<RawFinding>, String> {
        let payload = HostPayload(op.message);
        let findings = plugin.validate(&Call::new(&op.into(), &payload))?;
        Ok(findings.into_iter().map(Into::into).collect())
    }

    pub fn mutate<I: Interceptor>(plugin: &I, op: RawOperation) -> Result<RawOutcome, String> {
        let payload = HostPayload(op.message);
        Ok(match plugin.mutate(&Draft::new(&op.into(), &payload))? {
            Outcome::Unchanged => RawOutcome::Unchanged,
            Outcome::Changed => RawOutcome::Changed,
            Outcome::Answer(result) => RawOutcome::Answer(result),
        })
    }

    pub fn filter<I: Interceptor>(
        plugin: &I,
        op: RawOperation,
        items: Vec<RawItem>,
    ) -> Result<Vec<(u32, RawChange)>, String> {
        let item = |raw: RawItem| Item {
            name: raw.name,
            server: raw.server,
            description: raw.description,
            item: raw.item,
        };
        let items: Vec<_> = items.into_iter().map(item).collect();
        let changes = plugin.filter(&op.into(), &items)?;
        let change = |(index, change): (usize, Change)| {
            let index = u32::try_from(index).map_err(|_| "an item that is not there".to_owned())?;
            Ok(match change {
                Change::Hide => (index, RawChange::Hide),
                Change::Patch(patch) => (index, RawChange::Patch(patch)),
            })
        };
        changes.into_iter().map(change).collect()
    }

    pub fn configure_source<S: Source>(config: &str) -> Result<S, Vec<RawProblem>> {
        S::configure(Config::new(config)).map_err(problems)
    }

    pub fn fetch<S: Source>(plugin: Option<&S>, request: RawRequest) -> Result<RawPage, RawFailure> {
        let plugin = plugin.ok_or_else(|| RawFailure::Failed(String::from("not configured")))?;
        let request = source::Request {
            reference: request.reference,
            cursor: request.cursor,
            since: request.since,
            validator: request.validator,
            limit: request.limit,
        };
        plugin.fetch(&request).map(Into::into).map_err(Into::into)
    }

    impl From<source::Page> for RawPage {
        fn from(own: source::Page) -> Self {
            let server = |s: source::Server| RawServer {
                name: s.name,
                version: s.version,
                document: s.document,
                provenance: s.provenance,
                notes: s.notes,
            };
            let refused =
                |r: source::Refused| RawRefused { name: r.name, version: r.version, reason: r.reason };
            Self {
                servers: own.servers.into_iter().map(server).collect(),
                refused: own.refused.into_iter().map(refused).collect(),
                removed: own.removed,
                partial: own.partial,
                next: own.next,
                validator: own.validator,
            }
        }
    }

    impl From<source::Failure> for RawFailure {
        fn from(own: source::Failure) -> Self {
            use source::Failure as F;
            match own {
                F::NotModified => Self::NotModified,
                F::NotFound(words) => Self::NotFound(words),
                F::Unsupported(words) => Self::Unsupported(words),
                F::Unauthorized(words) => Self::Unauthorized(words),
                F::RetryAfterMs(ms) => Self::RetryAfterMs(ms),
                F::Invalid(words) => Self::Invalid(words),
                F::Failed(words) => Self::Failed(words),
            }
        }
    }

    impl From<RawRefusal> for Refusal {
        fn from(raw: RawRefusal) -> Self {
            match raw {
                RawRefusal::Denied(what) => Self::Denied(what),
                RawRefusal::Exceeded(what) => Self::Exceeded(what),
                RawRefusal::Failed(what) => Self::Failed(what),
            }
        }
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

        fn known_secrets(&self, under: &str) -> Result<Vec<Sighting>, Refusal> {
            let sighting = |raw: secrets::Sighting| Sighting {
                pointer: raw.pointer,
                secret: raw.secret,
                range: raw.start as usize..raw.end as usize,
            };
            Ok(secrets::find(self.0, under)?.into_iter().map(sighting).collect())
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
            Self { path: finding.path, message: finding.message, severity, suggestion: finding.suggestion }
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
                wants: own.wants,
                min_protocol: own.min_protocol,
                max_protocol: own.max_protocol,
                extra: String::from("{}"),
            }
        }
    }

    impl From<Hook> for RawHook {
        fn from(own: Hook) -> Self {
            Self {
                role: match own.role {
                    Role::Validate => RawRole::Validate,
                    Role::Mutate => RawRole::Mutate,
                    Role::Filter => RawRole::Filter,
                },
                payload: own.payload,
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
