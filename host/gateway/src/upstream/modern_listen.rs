//! What one `subscriptions/listen` of ours asks a server of 2026-07-28 for, and how much of it the server took on (basic,
//! patterns, Subscriptions; `taskIds` comes with the tasks extension). When to open one is decided in [`super::slot`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use wasmgate_core::json::{Json, ObjectWriter};
use wasmgate_core::mcp::{extension, meta};

use super::correlator::Patience;
use super::incoming::Kinds;
use super::{ClientFacts, Topic};

/// What is listened for. A listen's filter cannot be changed: another filter is another listen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Lists whose changes are to be told.
    pub(super) kinds: Kinds,
    /// Resources and tasks whose changes are to be told.
    pub(super) topics: BTreeSet<Topic>,
}

impl Filter {
    /// Whether it asks for nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.kinds == Kinds::default() && self.topics.is_empty()
    }

    /// The params of the request.
    pub(super) fn params(&self) -> Json {
        let yes = Json::of(&true);
        let mut notifications = ObjectWriter::new();
        for (kind, flag, _) in LISTS {
            if self.kinds.has(kind) {
                notifications = notifications.member(flag, &yes);
            }
        }
        for (key, names) in [(RESOURCES, self.named(resource)), (TASKS, self.named(task))] {
            if !names.is_empty() {
                notifications = notifications.member(key, &Json::array(&names));
            }
        }
        ObjectWriter::new().member("notifications", &notifications.finish()).finish()
    }

    /// What the server took on of it, by the params of its acknowledgement. What it took on unasked does not count.
    pub(super) fn taken(&self, acknowledgement: &Json) -> Self {
        let notifications = acknowledgement.member("notifications").unwrap_or_else(Json::null);
        let is_on = |flag: &str| notifications.member(flag).and_then(|on| on.boolean()) == Some(true);
        let kinds = LISTS.into_iter().filter(|(kind, flag, _)| self.kinds.has(*kind) && is_on(flag));
        let kinds = kinds.fold(0, |bits, (kind, ..)| bits | kind.bits());
        let names = |key: &str| -> BTreeSet<String> {
            let names = notifications.member(key).and_then(|names| names.elements()).unwrap_or_default();
            names.iter().filter_map(|name| name.string().map(std::borrow::Cow::into_owned)).collect()
        };
        let (resources, tasks) = (names(RESOURCES), names(TASKS));
        let is_taken = |topic: &Topic| match topic {
            Topic::Resource(uri) => resources.contains(&**uri),
            Topic::Task(id) => tasks.contains(&**id),
        };
        let topics = self.topics.iter().filter(|topic| is_taken(topic)).cloned().collect();
        Self { kinds: Kinds::of(kinds), topics }
    }

    /// Who asks: only those who know tasks are told of them (tasks extension, capabilities of each request).
    pub(super) fn asker(&self, info: Json) -> ClientFacts {
        let mut capabilities = Json::empty_object();
        if self.topics.iter().any(|topic| task(topic).is_some()) {
            let extension = ObjectWriter::new().member(extension::TASKS, &Json::empty_object()).finish();
            capabilities = ObjectWriter::new().member("extensions", &extension).finish();
        }
        ClientFacts { info: Some(info), capabilities, log_level: None }
    }

    fn named(&self, name: fn(&Topic) -> Option<&str>) -> Vec<Json> {
        self.topics.iter().filter_map(name).map(Json::of).collect()
    }
}

/// The lists whose changes a server says it tells of.
pub(super) fn told_lists(capabilities: &Json) -> Kinds {
    let tells = |capability: &str| {
        let told = capabilities.member(capability).and_then(|list| list.member("listChanged"));
        told.and_then(|told| told.boolean()) == Some(true)
    };
    let told = LISTS.into_iter().filter(|(.., capability)| tells(capability));
    Kinds::of(told.fold(0, |bits, (kind, ..)| bits | kind.bits()))
}

/// Which listen a notification came on, when it says so.
pub(super) fn subscription_id(params: &Json) -> Option<u64> {
    params.member("_meta")?.member(meta::SUBSCRIPTION_ID)?.as_str().parse().ok()
}

/// Params of a notification without the id of the listen they came on: that is between the server and us.
pub(super) fn unstamped(params: Json) -> Json {
    let Some(meta) = params.member("_meta").filter(|meta| meta.member(meta::SUBSCRIPTION_ID).is_some())
    else {
        return params;
    };
    let meta = meta.without_member(meta::SUBSCRIPTION_ID);
    match meta.members().is_some_and(|members| members.is_empty()) {
        true => params.without_member("_meta"),
        false => params.with_member("_meta", &meta),
    }
}

/// A listen is not answered before it ends. Even so it is opened anew after some time.
pub(super) fn patience(now: Instant) -> Patience {
    Patience::of(LONGEST, now)
}

fn resource(topic: &Topic) -> Option<&str> {
    if let Topic::Resource(uri) = topic { Some(uri) } else { None }
}

fn task(topic: &Topic) -> Option<&str> {
    if let Topic::Task(id) = topic { Some(id) } else { None }
}

/// A list, its flag in a filter, and the capability that holds its `listChanged`.
const LISTS: [(Kinds, &str, &str); 3] = [
    (Kinds::TOOLS, "toolsListChanged", "tools"),
    (Kinds::PROMPTS, "promptsListChanged", "prompts"),
    (Kinds::RESOURCES, "resourcesListChanged", "resources"),
];
const RESOURCES: &str = "resourceSubscriptions";
const TASKS: &str = "taskIds";
const LONGEST: Duration = Duration::from_secs(30 * 86400);

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn filter(kinds: u8, resources: &[&str], tasks: &[&str]) -> Filter {
        let resources = resources.iter().map(|uri| Topic::Resource((*uri).into()));
        let tasks = tasks.iter().map(|id| Topic::Task((*id).into()));
        Filter { kinds: Kinds::of(kinds), topics: resources.chain(tasks).collect() }
    }

    #[test]
    fn a_filter_asks_for_what_is_wanted_and_no_more() {
        let check = |filter: Filter, expected: &str| assert_eq!(filter.params().as_str(), expected);
        check(filter(0, &[], &[]), r#"{"notifications":{}}"#);
        check(
            filter(5, &[], &[]),
            r#"{"notifications":{"toolsListChanged":true,"resourcesListChanged":true}}"#,
        );
        check(
            filter(2, &["b:\"", "a:1"], &["t"]),
            r#"{"notifications":{"promptsListChanged":true,"resourceSubscriptions":["a:1","b:\""],"taskIds":["t"]}}"#,
        );
    }

    #[test]
    fn what_was_not_asked_for_or_not_taken_on_does_not_count() {
        let asked = filter(3, &["a:1", "a:2"], &["t"]);
        let check = |acknowledgement: &str, expected: Filter| {
            assert_eq!(asked.taken(&json(acknowledgement)), expected, "{acknowledgement}");
        };
        check(&format!(r#"{{"notifications":{}}}"#, r#"{"toolsListChanged":true}"#), filter(1, &[], &[]));
        check(
            r#"{"notifications":{"toolsListChanged":false,"resourcesListChanged":true,"resourceSubscriptions":["a:2","z"],"taskIds":["t"]}}"#,
            filter(0, &["a:2"], &["t"]),
        );
        check(r#"{"notifications":{"resourceSubscriptions":"a:1"}}"#, filter(0, &[], &[]));
        check("{}", filter(0, &[], &[]));
    }

    #[test]
    fn lists_are_told_of_where_the_server_says_so() {
        let told = |text: &str| told_lists(&json(text)).bits();
        assert_eq!(told(r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true}}"#), 1);
        assert_eq!(told(r#"{"prompts":{"listChanged":true},"resources":{"listChanged":true}}"#), 6);
        assert_eq!(told(r#"{"tools":{"listChanged":"yes"}}"#), 0);
    }

    #[test]
    fn clients_never_see_the_id_of_our_listen() {
        let check = |params: &str, expected: &str| assert_eq!(unstamped(json(params)).as_str(), expected);
        check(r#"{"uri":"a:1","_meta":{"io.modelcontextprotocol/subscriptionId":7}}"#, r#"{"uri":"a:1"}"#);
        check(
            r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":7,"x":1},"uri":"a:1"}"#,
            r#"{"_meta":{"x":1},"uri":"a:1"}"#,
        );
        check(r#"{"uri":"a:1","_meta":{}}"#, r#"{"uri":"a:1","_meta":{}}"#);
    }

    #[test]
    fn only_who_waits_for_tasks_knows_tasks() {
        let asker = |filter: Filter| filter.asker(json("{}")).capabilities.as_str().to_owned();
        assert_eq!(asker(filter(7, &["a:1"], &[])), "{}");
        assert_eq!(asker(filter(0, &[], &["t"])), r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#);
    }
}
