//! `instances:` of a server: who shares a running instance, how many run, and for how long.

use std::fmt;
use std::num::NonZeroUsize;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use wasmgate_core::catalog::{Instances, Launch, Sharing};

use super::refusal::Refusal;
use crate::document::units::{AtOnce, Span};

/// `instances:` as written: a policy, or a policy and numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct InstancesEntry {
    /// Who shares one.
    pub policy: Option<Policy>,
    /// How many are kept running whether or not anybody calls.
    pub min: Option<u32>,
    /// How many may run at once.
    pub max: Option<AtOnce>,
    /// How long an unused one is kept.
    pub idle: Option<Span>,
}

/// Who shares an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Everybody.
    Shared,
    /// All clients of one principal.
    PerPrincipal,
    /// The calls of one session.
    PerSession,
    /// Nobody.
    PerCall,
}

impl From<Policy> for Sharing {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Shared => Self::Shared,
            Policy::PerPrincipal => Self::PerPrincipal,
            Policy::PerSession => Self::PerSession,
            Policy::PerCall => Self::PerCall,
        }
    }
}

impl<'de> Deserialize<'de> for InstancesEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Full {
            policy: Option<Policy>,
            min: Option<u32>,
            max: Option<AtOnce>,
            idle: Option<Span>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = InstancesEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`shared`, `per-principal`, `per-session`, `per-call`, or `{policy, min, max, idle}`",
                )
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<InstancesEntry, E> {
                let policy = Policy::deserialize(de::value::StrDeserializer::new(word))?;
                Ok(InstancesEntry { policy: Some(policy), ..InstancesEntry::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InstancesEntry, A::Error> {
                let Full { policy, min, max, idle } =
                    Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(InstancesEntry { policy, min, max, idle })
            }
        }
        from.deserialize_any(Either)
    }
}

/// What an entry says of its instances, with what it leaves out. `longLived` is another word for `per-session`.
///
/// # Errors
/// [`Refusal`] when the numbers cannot all hold.
pub(super) fn build(
    entry: InstancesEntry,
    long_lived: Option<bool>,
    launch: &Launch,
) -> Result<Instances, Refusal> {
    let usual = Instances::default();
    let sharing = match (entry.policy, long_lived) {
        (Some(policy), _) => policy.into(),
        (None, Some(true)) => Sharing::PerSession,
        (None, _) => usual.sharing,
    };
    let max = match (entry.max, sharing) {
        (Some(max), _) => max.0,
        (None, Sharing::Shared) => NonZeroUsize::new(addresses(launch)).unwrap_or(NonZeroUsize::MIN),
        (None, _) => usual.max,
    };
    let min = entry.min.map_or(usual.min, |min| usize::try_from(min).unwrap_or(usize::MAX));
    if max.get() > MOST {
        return Err(Refusal::new(format!("its `instances.max` is {max}; {MOST} is the most")));
    }
    if min > max.get() {
        return Err(Refusal::new(format!("its `instances.min` is {min} and its `instances.max` {max}")));
    }
    if sharing == Sharing::PerCall && max.get() == 1 {
        return Err(Refusal::new(
            "its `instances.max` is 1, and `per-call` needs 2 or more: one of them reads the lists",
        ));
    }
    Ok(Instances { sharing, min, max, idle: entry.idle.map_or(usual.idle, |span| span.0) })
}

fn addresses(launch: &Launch) -> usize {
    match launch {
        Launch::Remote(remote) => remote.urls.len(),
        Launch::Container(_) | Launch::Process(_) | Launch::Tools(_) => 1,
    }
}

/// The most instances of one server.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use wasmgate_core::catalog::Process;

    #[track_caller]
    fn check(written: &str, long_lived: Option<bool>, expected: &str) {
        let entry: InstancesEntry = serde_json::from_str(written).unwrap();
        let process = Process { program: "p".into(), args: Vec::new(), env: Vec::new(), cwd: None };
        let built = match build(entry, long_lived, &Launch::Process(process)) {
            Ok(Instances { sharing, min, max, idle }) => {
                format!("{sharing:?} {min}-{max} {}s", idle.as_secs())
            }
            Err(refusal) => refusal.0,
        };
        assert_eq!(built, expected);
    }

    #[test]
    fn a_policy_says_the_rest() {
        check("{}", None, "PerPrincipal 1-16 300s");
        check("{}", Some(true), "PerSession 1-16 300s");
        check(r#""shared""#, Some(true), "Shared 1-1 300s");
        check(r#""per-call""#, None, "PerCall 1-16 300s");
        check(r#"{"policy":"shared","max":4,"min":0,"idle":"1m"}"#, None, "Shared 0-4 60s");
        check(r#"{"max":3}"#, Some(true), "PerSession 1-3 300s");
    }

    #[test]
    fn numbers_that_cannot_hold_are_refused() {
        check(r#"{"min":4,"max":3}"#, None, "its `instances.min` is 4 and its `instances.max` 3");
        check(r#"{"max":257}"#, None, "its `instances.max` is 257; 256 is the most");
        check(
            r#"{"policy":"per-call","max":1}"#,
            None,
            "its `instances.max` is 1, and `per-call` needs 2 or more: one of them reads the lists",
        );
    }

    #[test]
    fn other_words_are_refused() {
        for bad in [r#""per-user""#, "3", r#"{"policy":"shared","most":2}"#, r#"{"max":0}"#, r#"{"min":-1}"#]
        {
            assert!(serde_json::from_str::<InstancesEntry>(bad).is_err(), "{bad}");
        }
    }
}
