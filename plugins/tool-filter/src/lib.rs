//! Decides what clients see of the lists of tools, prompts and resources: allows, denies, renames and describes by name.
//!
//! It changes lists only. That what it hides cannot be called, and that what it renames is called by the new name, is the
//! gateway's doing.

mod config;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wasmgate_plugin::{
    Change, Config, Descriptor, Hook, Interceptor, Isolation, Item, Operation, Problem, log,
};

use crate::config::{Names, Written};

/// The plugin, as configured.
pub struct ToolFilter(Written);

impl Interceptor for ToolFilter {
    fn describe() -> Descriptor {
        Descriptor::new(
            "tool-filter",
            env!("CARGO_PKG_VERSION"),
            "Allows, denies, renames and describes tools, prompts and resources by name.",
        )
        .hook(Hook::filter(&["tools/list", "prompts/list", "resources/list", "resources/templates/list"]))
        .config_schema(config::SCHEMA)
        // Nothing of a message stays in its memory, and a fresh instance costs more than most messages do.
        .isolation(Isolation::Pooled)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        Written::read(config).map(Self)
    }

    fn hooks(&self) -> Option<Vec<Hook>> {
        Some(self.0.hooks())
    }

    fn filter(&self, operation: &Operation, items: &[Item]) -> Result<Vec<(usize, Change)>, String> {
        let are_resources = operation.event.starts_with("resources/");
        let names = |item| named(item, are_resources);
        let shown: Vec<bool> = items.iter().map(|item| self.0.shows(&item.server, &names(item))).collect();
        // A resource's name is its URI, and that is what it is.
        let new_names = match are_resources {
            true => BTreeMap::new(),
            false => {
                self.new_names(items.iter().zip(&shown).filter_map(|(item, shown)| shown.then_some(item)))
            }
        };
        let mut changes = Vec::new();
        for (index, (item, shown)) in items.iter().zip(&shown).enumerate() {
            if !shown {
                changes.push((index, Change::Hide));
            } else if let Some(patch) = self.patch(item, &names(item), &new_names)? {
                changes.push((index, Change::Patch(patch)));
            }
        }
        Ok(changes)
    }
}

wasmgate_plugin::export!(ToolFilter);

fn named(item: &Item, is_resource: bool) -> Names<'_> {
    if is_resource { Names::of_uri(&item.name) } else { Names::of(&item.server, &item.name) }
}

/// What changes in an item, as a merge patch.
#[derive(Serialize)]
struct Patch<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

impl ToolFilter {
    /// Which of the shown items gets which new name. A name that another shown item has is not given away: a call must not
    /// reach a tool that it did not mean.
    fn new_names<'a>(&'a self, shown: impl Iterator<Item = &'a Item>) -> BTreeMap<&'a str, &'a str> {
        let mut renamed = BTreeMap::new();
        let mut given = BTreeSet::new();
        let items: Vec<_> = shown.collect();
        for item in &items {
            let to = named(item, false).keys().find_map(|name| self.0.rename.get(name));
            if let Some(to) = to.filter(|to| given.insert(to.as_str())) {
                renamed.insert(item.name.as_str(), to.as_str());
            }
        }
        let shown: BTreeSet<&str> = items.iter().map(|item| item.name.as_str()).collect();
        // What one gives up another may have; where one has to stay, so may others.
        loop {
            let is_taken = |to: &str| shown.contains(to) && !renamed.contains_key(to);
            let Some((from, to)) = renamed.iter().map(|(from, to)| (*from, *to)).find(|(_, to)| is_taken(to))
            else {
                return renamed;
            };
            log::warn("not renamed: the new name is taken", &[("name", from), ("new", to)]);
            renamed.remove(from);
        }
    }

    fn patch(
        &self,
        item: &Item,
        names: &Names<'_>,
        new_names: &BTreeMap<&str, &str>,
    ) -> Result<Option<String>, String> {
        let name = new_names.get(item.name.as_str()).copied();
        let description = names.keys().find_map(|name| self.0.describe.get(name)).map(String::as_str);
        if name.is_none() && description.is_none() {
            return Ok(None);
        }
        serde_json::to_string(&Patch { name, description }).map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmgate_plugin::harness;

    /// What becomes of each item: `-` hidden, its patch, or its name.
    fn filtered(config: &str, event: &str, items: &[(&str, &str)]) -> String {
        let plugin = ToolFilter::configure(Config::new(config)).unwrap();
        let json: Vec<_> = items
            .iter()
            .map(|(server, name)| {
                let key = if event.starts_with("resources/") { "uri" } else { "name" };
                (*server, format!(r#"{{"{key}":"{name}","description":"old"}}"#))
            })
            .collect();
        let json: Vec<_> = json.iter().map(|(server, item)| (*server, item.as_str())).collect();
        let mut words: Vec<_> = items.iter().map(|(_, name)| (*name).to_owned()).collect();
        for (index, change) in harness::filter(&plugin, event, &json).unwrap() {
            words[index] = match change {
                Change::Hide => "-".to_owned(),
                Change::Patch(patch) => patch,
            };
        }
        words.join(" ")
    }

    #[track_caller]
    fn check(config: &str, names: &str, expected: &str) {
        let items: Vec<_> = names.split(' ').map(|name| ("s", name)).collect();
        assert_eq!(filtered(config, "tools/list", &items), expected, "{config}");
    }

    #[test]
    fn what_is_denied_is_hidden_and_the_rest_is_left_alone() {
        check(r#"{"deny":["*delete*"]}"#, "get Delete_all put", "get - put");
        check(r#"{"allow":["get","put"]}"#, "get delete put", "get - put");
        let items = [("fs", "get"), ("web", "get2")];
        assert_eq!(filtered(r#"{"servers":{"fs":{"deny":["*"]}}}"#, "tools/list", &items), "- get2");
    }

    #[test]
    fn what_is_renamed_and_described_is_patched() {
        check(r#"{"rename":{"a":"b"}}"#, "a c", r#"{"name":"b"} c"#);
        check(r#"{"describe":{"a":"say \"x\""}}"#, "a", r#"{"description":"say \"x\""}"#);
        check(r#"{"rename":{"a":"b"},"describe":{"a":"t"}}"#, "a", r#"{"name":"b","description":"t"}"#);
        check(r#"{"rename":{"a":"b"},"deny":["a"]}"#, "a b", "- b");
    }

    #[test]
    fn a_name_that_is_taken_is_not_given_away() {
        check(r#"{"rename":{"a":"b"}}"#, "a b", "a b");
        check(r#"{"rename":{"a":"b"},"deny":["b"]}"#, "a b", r#"{"name":"b"} -"#);
        check(r#"{"rename":{"a":"b","b":"a"}}"#, "a b", r#"{"name":"b"} {"name":"a"}"#);
        check(r#"{"rename":{"a":"b","b":"c"}}"#, "a b", r#"{"name":"b"} {"name":"c"}"#);
        check(r#"{"rename":{"a":"b","b":"c"}}"#, "a b c", "a b c");
        check(r#"{"rename":{"a":"a"}}"#, "a", r#"{"name":"a"}"#);
        assert_eq!(harness::take_log().len(), 3);
    }

    #[test]
    fn what_holds_among_several_servers_holds_for_one_alone() {
        let config =
            r#"{"deny":["my_fs__rm"],"rename":{"my_fs__get":"fetch"},"describe":{"my_fs__put":"t"}}"#;
        let expected = r#"- {"name":"fetch"} {"description":"t"}"#;
        let alone = [("my.fs", "rm"), ("my.fs", "get"), ("my.fs", "put")];
        assert_eq!(filtered(config, "tools/list", &alone), expected);
        let among_others = [("my.fs", "my_fs__rm"), ("my.fs", "my_fs__get"), ("my.fs", "my_fs__put")];
        assert_eq!(filtered(config, "tools/list", &among_others), expected);
    }

    #[test]
    fn a_resource_keeps_its_address() {
        let config =
            r#"{"kinds":["resources"],"deny":["file:///etc/*"],"rename":{"a:b":"c"},"describe":{"a:b":"t"}}"#;
        let items = [("s", "file:///etc/passwd"), ("s", "a:b")];
        assert_eq!(filtered(config, "resources/list", &items), r#"- {"description":"t"}"#);
    }

    #[test]
    fn names_of_every_shape_are_survived() {
        let config = r#"{"allow":["*"],"deny":["**\u0000*","\ud83e\udd80*"],"rename":{"":"x"}}"#;
        check(config, " ä🦀 a\\u0000b 🦀", r#"{"name":"x"} ä🦀 - -"#);
    }

    #[test]
    fn the_schema_is_json() {
        serde_json::from_str::<serde_json::Value>(config::SCHEMA).unwrap();
    }
}
