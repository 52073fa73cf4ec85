//! Extensions (`capabilities.extensions`, since 2025-11-25) and `experimental` capabilities: which ones the gateway carries.
//!
//! A server alone keeps its names and gets what we do not know, so any extension works there. Where several servers appear
//! as one, an extension works when the gateway knows whose a name in it is: [`CARRIED`]. Every other one is neither
//! advertised nor declared there, and its methods are unknown.

use std::collections::HashSet;

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::MODERN;
pub(super) use wasmgate_core::mcp::extension::TASKS;
use wasmgate_core::mcp::extension::UI;

use super::{CallError, ClientFacts, View};
use crate::upstream::Offer;

/// Extensions that work in the merged view: whose a task is the gateway knows by its id (ext-tasks, SEP-2663), and the page that
/// a tool names is a resource (ext-apps, SEP-1865).
const CARRIED: [&str; 2] = [TASKS, UI];

/// A client's capabilities as servers are told of them, as far as extensions go.
pub fn declared(capabilities: Json, view: &View, version: &str) -> Json {
    let [extensions, experimental] = capabilities.pick(["extensions", "experimental"]);
    if extensions.is_none() && experimental.is_none() {
        return capabilities;
    }
    let carried = extensions.as_ref().map(|all| carried(all, view, is_modern(version)));
    let experimental = experimental.filter(|_| is_alone(view));
    capabilities.with_members(&[("extensions", carried.as_ref()), ("experimental", experimental.as_ref())])
}

/// The extensions and experimental capabilities that servers offer together. Of one that several offer, the first one's
/// settings are told.
pub(super) fn offered<'a>(view: &View, offers: impl Iterator<Item = &'a Offer>) -> [Option<Json>; 2] {
    let mut all = [Named::default(), Named::default()];
    for offer in offers {
        let [extensions, experimental] = offer.capabilities.pick(["extensions", "experimental"]);
        let extensions = extensions.map(|all| carried(&all, view, is_modern(&offer.version)));
        let experimental = experimental.filter(|_| is_alone(view));
        for (all, more) in all.iter_mut().zip([extensions, experimental]) {
            for (id, settings) in more.and_then(|more| more.members()).unwrap_or_default() {
                all.add(id, settings);
            }
        }
    }
    all.map(|all| (!all.members.is_empty()).then(|| object(&all.members)))
}

/// Members by name, in order; the first one of a name counts.
#[derive(Default)]
struct Named {
    names: HashSet<String>,
    members: Vec<(String, Json)>,
}

impl Named {
    fn add(&mut self, name: String, value: Json) {
        if self.names.insert(name.clone()) {
            self.members.push((name, value));
        }
    }
}

fn object(members: &[(String, Json)]) -> Json {
    Json::object(members.iter().map(|(name, value)| (name.as_str(), value)))
}

/// The gateway's capabilities as a client of before 2026-07-28 is told of them: the extension for tasks speaks of results
/// that it could not read.
pub fn told_to_legacy(capabilities: &Json) -> Json {
    let Some(extensions) = capabilities.member("extensions") else { return capabilities.clone() };
    let rest = extensions.without_member(TASKS);
    let is_empty = rest.members().is_some_and(|members| members.is_empty());
    capabilities.with_members(&[("extensions", (!is_empty).then_some(&rest))])
}

/// Whether a server offers an extension in a way that we carry.
pub(super) fn offers(offer: &Offer, id: &str) -> bool {
    let extensions = offer.capabilities.member("extensions");
    is_modern(&offer.version) && extensions.is_some_and(|all| all.member(id).is_some())
}

/// Whether a client declared an extension on this request.
pub(super) fn declares(client: &ClientFacts, id: &str) -> bool {
    client.capabilities.member("extensions").is_some_and(|all| all.member(id).is_some())
}

/// What a client is told that did not declare an extension it would have to know.
pub(super) fn missing(id: &str) -> CallError {
    let extensions = ObjectWriter::new().member(id, &Json::empty_object()).finish();
    CallError::MissingCapability(ObjectWriter::new().member("extensions", &extensions).finish())
}

fn carried(extensions: &Json, view: &View, is_modern: bool) -> Json {
    let Some(members) = extensions.members() else { return Json::empty_object() };
    let is_carried = |(id, _): &(String, Json)| match id.as_str() {
        TASKS => is_modern,
        id => is_alone(view) || CARRIED.contains(&id),
    };
    if members.iter().all(is_carried) {
        return extensions.clone();
    }
    let kept: Vec<_> = members.into_iter().filter(is_carried).collect();
    object(&kept)
}

const fn is_alone(view: &View) -> bool {
    matches!(view, View::One(_))
}

fn is_modern(version: &str) -> bool {
    MODERN.contains(&version)
}

#[cfg(test)]
mod tests {
    use wasmgate_core::mcp::{V2025_11_25, V2026_07_28};
    use wasmgate_core::name::ServerName;

    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn alone() -> View {
        View::One(ServerName::new("a").unwrap())
    }

    #[test]
    fn servers_hear_of_the_extensions_that_work() {
        let all = r#"{"sampling":{}, "extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{"z":1},"io.modelcontextprotocol/ui":{"mimeTypes":[]}},"experimental":{"e":{}}}"#;
        let check = |view: &View, version: &str, expected: &str| {
            assert_eq!(declared(json(all), view, version).as_str(), expected, "{view:?} {version}");
        };
        check(&alone(), V2026_07_28, all);
        check(
            &alone(),
            V2025_11_25,
            r#"{"sampling":{}, "extensions":{"x/y":{"z":1},"io.modelcontextprotocol/ui":{"mimeTypes":[]}},"experimental":{"e":{}}}"#,
        );
        check(
            &View::All,
            V2026_07_28,
            r#"{"sampling":{}, "extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"mimeTypes":[]}}}"#,
        );
        check(
            &View::All,
            V2025_11_25,
            r#"{"sampling":{}, "extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":[]}}}"#,
        );
        assert_eq!(
            declared(json(r#"{"extensions":7}"#), &View::All, V2026_07_28).as_str(),
            r#"{"extensions":{}}"#
        );
        assert_eq!(declared(json("{}"), &View::All, V2026_07_28).as_str(), "{}");
    }

    #[test]
    fn clients_hear_of_the_extensions_that_work() {
        let offer = |version: &str, capabilities: &str| Offer {
            version: version.into(),
            capabilities: json(capabilities),
            info: None,
            instructions: None,
            tools: Vec::new(),
            left_out: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            keepings: crate::upstream::Keepings::default(),
        };
        let old = r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"a":1},"x/y":{}}}"#;
        let new = r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"b":2}},"experimental":{"e":{}}}"#;
        let offers = [offer(V2025_11_25, old), offer(V2026_07_28, new), offer(V2026_07_28, "{}")];
        let text = |[a, b]: [Option<Json>; 2]| {
            [a, b].map(|one| one.map_or("-".to_owned(), |one| one.as_str().to_owned())).join(" ")
        };
        assert_eq!(
            text(offered(&View::All, offers.iter())),
            r#"{"io.modelcontextprotocol/ui":{"a":1},"io.modelcontextprotocol/tasks":{}} -"#
        );
        assert_eq!(
            text(offered(&alone(), offers[..1].iter())),
            r#"{"io.modelcontextprotocol/ui":{"a":1},"x/y":{}} -"#
        );
        assert_eq!(
            text(offered(&alone(), offers[1..2].iter())),
            r#"{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"b":2}} {"e":{}}"#
        );
        assert_eq!(text(offered(&alone(), offers[2..].iter())), "- -");
        for (capabilities, told) in [
            (r#"{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#, r#"{"tools":{}}"#),
            (
                r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}}"#,
                r#"{"extensions":{"x/y":{}}}"#,
            ),
            ("{}", "{}"),
        ] {
            assert_eq!(told_to_legacy(&json(capabilities)).as_str(), told);
        }
    }
}
