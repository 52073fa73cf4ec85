//! Refuses calls that come too fast: token buckets per principal, server and tool, in the gateway's memory.
//!
//! Every rule that counts a call must have a token for it; where one has not, none is taken of the others.

mod bucket;
mod rule;

use wasmgate_plugin::kv::{self, Scope};
use wasmgate_plugin::{Call, Config, Descriptor, Finding, Hook, Interceptor, Isolation, Problem, clock, log};

use crate::bucket::{Empty, Rate, Taken};
use crate::rule::Rule;

/// The plugin, as configured.
pub struct RateLimit(Vec<Rule>);

/// How often a bucket is tried that others take from at the same moment.
const TRIES: usize = 64;

impl Interceptor for RateLimit {
    fn describe() -> Descriptor {
        Descriptor::new(
            "rate-limit",
            env!("CARGO_PKG_VERSION"),
            "Refuses calls that come too fast, per principal, server and tool.",
        )
        .hook(Hook::validate(&["*"]).request().without_payload())
        .config_schema(rule::SCHEMA)
        .wants(&["kv", "clock"])
        // Nothing of a call stays in its memory.
        .isolation(Isolation::Pooled)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        rule::rules(config).map(Self)
    }

    fn hooks(&self) -> Option<Vec<Hook>> {
        Some(self.0.iter().map(Rule::hook).collect())
    }

    fn validate(&self, call: &Call<'_>) -> Result<Vec<Finding>, String> {
        let operation = call.operation();
        let counting = self.0.iter().filter(|rule| rule.counts(operation));
        let mut buckets: Vec<_> =
            counting.map(|rule| Bucket { rate: rule.rate, key: rule.key(operation) }).collect();
        // Two rules that are the same share a bucket, and a call is one call.
        buckets.sort_by(|one, other| one.key.cmp(&other.key));
        buckets.dedup_by(|one, other| one.key == other.key);
        let Err(Empty(wait_ms)) = take_all(&buckets)? else { return Ok(Vec::new()) };
        log::count("limited", 1);
        let seconds = wait_ms.div_ceil(1000).max(1);
        Ok(vec![Finding::error(format!("rate limit exceeded: try again in {seconds} s"))])
    }
}

wasmgate_plugin::export!(RateLimit);

/// One bucket in the store.
struct Bucket {
    rate: Rate,
    key: String,
}

/// Takes one token of each, or none.
fn take_all(buckets: &[Bucket]) -> Result<Result<(), Empty>, String> {
    // First only look: a refused call must not cost the others anything, not even for a moment.
    let now = clock::monotonic_ms();
    let mut longest = None;
    for bucket in buckets {
        if let Err(Empty(wait)) = bucket.rate.take(bucket.full_at()?.0, now) {
            longest = longest.max(Some(wait));
        }
    }
    if let Some(wait) = longest {
        return Ok(Err(Empty(wait)));
    }
    for (index, bucket) in buckets.iter().enumerate() {
        // Somebody else was quicker.
        if let Err(empty) = bucket.take()? {
            for taken in buckets.iter().take(index) {
                taken.give_back()?;
            }
            return Ok(Err(empty));
        }
    }
    Ok(Ok(()))
}

impl Bucket {
    /// When it is full again, and the bytes that say so.
    fn full_at(&self) -> Result<(u128, Option<Vec<u8>>), String> {
        let bytes = kv::get(Scope::Global, &self.key)?;
        let full_at = bytes.as_deref().and_then(|bytes| bytes.try_into().ok()).map(u128::from_le_bytes);
        Ok((full_at.unwrap_or_default(), bytes))
    }

    fn take(&self) -> Result<Result<(), Empty>, String> {
        self.change(|full_at, now| self.rate.take(full_at, now))
    }

    fn give_back(&self) -> Result<(), String> {
        let back = self.change(|full_at, now| Ok::<_, Empty>(self.rate.give_back(full_at, now)))?;
        back.map_err(|_| "a token could not be given back".to_owned())
    }

    fn change<E>(&self, change: impl Fn(u128, u64) -> Result<Taken, E>) -> Result<Result<(), E>, String> {
        for _ in 0..TRIES {
            let (full_at, expected) = self.full_at()?;
            let taken = match change(full_at, clock::monotonic_ms()) {
                Ok(taken) => taken,
                Err(no) => return Ok(Err(no)),
            };
            let value = taken.full_at.to_le_bytes();
            let ttl = Some(taken.full_in_ms.max(1));
            if kv::swap(Scope::Global, &self.key, expected.as_deref(), &value, ttl)? {
                return Ok(Ok(()));
            }
        }
        Err("the bucket is being changed all the time".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmgate_plugin::harness::Exchange;
    use wasmgate_plugin::{Operation, Phase};

    fn plugin(rules: &str) -> RateLimit {
        RateLimit::configure(Config::new(&format!("{{\"rules\":[{rules}]}}"))).unwrap()
    }

    /// One call: `principal server tool`, `-` for none. What it is told, or `ok`.
    fn call(plugin: &RateLimit, who: &str) -> String {
        let mut words = who.split(' ').map(|word| Some(word.to_owned()).filter(|word| word != "-"));
        let mut exchange = Exchange::new("tools/call");
        let mut next = || words.next().flatten();
        exchange.operation =
            Operation { principal: next(), server: next(), subject: next(), ..exchange.operation };
        let findings = exchange.validate(plugin, Phase::Request, "null").unwrap();
        findings.into_iter().map(|finding| finding.message).next().unwrap_or_else(|| "ok".to_owned())
    }

    #[track_caller]
    fn check(rules: &str, calls: &[(u64, &str, &str)]) {
        let plugin = plugin(rules);
        for (at, who, expected) in calls {
            clock::set_ms(*at);
            let told = call(&plugin, who);
            let told = told.strip_prefix("rate limit exceeded: try again in ").unwrap_or(&told);
            assert_eq!(told, *expected, "{who} at {at} under {rules}");
        }
    }

    #[test]
    fn each_principal_has_its_own_tokens() {
        let calls = [
            (0, "ann fs read", "ok"),
            (0, "ann fs write", "ok"),
            (0, "ann web get", "1 s"),
            (0, "bob fs read", "ok"),
            (0, "- fs read", "ok"),
            (1000, "ann fs read", "ok"),
            (1000, "ann fs read", "1 s"),
            (9000, "ann fs read", "ok"),
            (9000, "ann fs read", "ok"),
            (9000, "ann fs read", "1 s"),
        ];
        check(r#"{"rate":"1/s","burst":2}"#, &calls);
    }

    #[test]
    fn what_has_a_bucket_of_its_own_is_configured() {
        let minute = "60 s";
        for (per, expected) in [
            ("[]", [minute, minute, minute]),
            (r#"["server"]"#, [minute, minute, "ok"]),
            (r#"["server","tool"]"#, [minute, "ok", "ok"]),
            (r#"["principal","server"]"#, ["ok", minute, "ok"]),
            (r#"["tool"]"#, [minute, "ok", minute]),
        ] {
            let plugin = plugin(&format!(r#"{{"rate":"1/m","per":{per}}}"#));
            assert_eq!(call(&plugin, "ann fs read"), "ok");
            for (who, expected) in ["bob fs read", "ann fs write", "ann web read"].into_iter().zip(expected) {
                let told = call(&plugin, who);
                assert!(told.ends_with(expected), "{per}: {who}: {told}");
            }
        }
    }

    #[test]
    fn rules_count_only_what_they_match() {
        let rule = r#"{"rate":"1/h","match":{"servers":["f*"],"tools":["*write*"]}}"#;
        check(
            rule,
            &[
                (0, "ann fs read", "ok"),
                (0, "ann fs read", "ok"),
                (0, "ann fs overwrite_it", "ok"),
                (0, "ann web write", "ok"),
                (0, "ann fs write", "3600 s"),
                (0, "ann - -", "ok"),
            ],
        );
        let hook = plugin(rule).hooks().unwrap().remove(0);
        assert_eq!((hook.servers, hook.subjects), (vec!["f*".to_owned()], vec!["*write*".to_owned()]));
        assert_eq!(hook.events, ["tools/call"]);
        assert!(hook.request && !hook.response && !hook.payload);
    }

    #[test]
    fn a_refused_call_takes_nothing() {
        let rules = r#"{"rate":"2/s","per":[]},{"rate":"1/s","per":["tool"]}"#;
        check(
            rules,
            &[
                (0, "ann fs read", "ok"),
                (0, "ann fs read", "1 s"),
                (0, "ann fs read", "1 s"),
                (0, "ann fs write", "ok"),
                (0, "ann fs list", "1 s"),
            ],
        );
    }

    #[test]
    fn the_longest_wait_is_told() {
        check(
            r#"{"rate":"1/s"},{"rate":"1/m"}"#,
            &[(0, "ann fs read", "ok"), (0, "ann fs read", "60 s"), (30_500, "ann fs read", "30 s")],
        );
    }

    #[test]
    fn the_same_rule_twice_is_one_rule() {
        check(r#"{"rate":"1/s"},{"rate":"1/s"}"#, &[(0, "ann fs read", "ok"), (0, "ann fs read", "1 s")]);
    }

    #[test]
    fn names_cannot_be_spelt_so_that_two_share_a_bucket() {
        let rule = r#"{"rate":"1/h","per":["principal","server","tool"]}"#;
        check(
            rule,
            &[
                (0, "a bc d", "ok"),
                (0, "ab c d", "ok"),
                (0, "a b cd", "ok"),
                (0, "- abc d", "ok"),
                (0, "a bc d", "3600 s"),
            ],
        );
        let long = format!("ann fs {}", "x".repeat(1 << 20));
        check(rule, &[(0, &long, "ok"), (0, &long, "3600 s")]);
    }

    #[test]
    fn a_refusal_never_names_anybody() {
        let plugin = plugin(r#"{"rate":"1/s"}"#);
        call(&plugin, "ann.the-admin fs read");
        assert_eq!(call(&plugin, "ann.the-admin fs read"), "rate limit exceeded: try again in 1 s");
    }
}
