//! What an entry takes beyond the default isolation, in the words of its keys: for whoever decides whether to run it. Read
//! from the entry as written, so that it can be said before any value or secret is there.

use serde_json::Value as Json;

use super::entry::{Entry, NetworkEntry, Options};
use crate::document::Text;

/// One phrase for each; nothing for what is no container.
pub(super) fn relaxations(entry: &Entry) -> Vec<String> {
    let present = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let remote = entry.from.remote.is_some() || present(&entry.from.sse_endpoint);
    if remote || !(present(&entry.from.image) || entry.is_poci()) {
        return Vec::new();
    }
    let options = &entry.options;
    let mut found = vec![network(options)];
    found.extend(user("user", options.user.as_ref().map(|user| user.0.as_str())));
    found.extend(listed("mounts", options.volumes.as_deref().unwrap_or_default()));
    for tool in &entry.tools {
        let Some(container) = tool.get("container").filter(|_| entry.is_poci()) else { continue };
        found.extend(user("user", container.get("user").and_then(Json::as_str)));
        let volumes = container.get("volumes").and_then(Json::as_array).into_iter().flatten();
        let volumes: Vec<Text> = volumes.filter_map(|one| Some(Text(one.as_str()?.to_owned()))).collect();
        found.extend(listed("mounts", &volumes));
    }
    found.extend(more(options));
    found.retain(|phrase| !phrase.is_empty());
    let mut unique = Vec::with_capacity(found.len());
    for phrase in found {
        if !unique.contains(&phrase) {
            unique.push(phrase);
        }
    }
    unique
}

fn network(options: &Options) -> String {
    let hosts = options.allow_hosts.as_deref().unwrap_or_default();
    match options.extras.network {
        Some(NetworkEntry::Host) => "this machine's own network".to_owned(),
        Some(NetworkEntry::None) => String::new(),
        _ if options.disable_network == Some(true) => String::new(),
        _ if !hosts.is_empty() => listed("hosts", hosts).unwrap_or_default(),
        _ => "network".to_owned(),
    }
}

fn user(key: &str, user: Option<&str>) -> Option<String> {
    user.filter(|user| !user.is_empty()).map(|user| format!("{key} {user}"))
}

fn more(options: &Options) -> Vec<String> {
    let (limits, extras) = (&options.limits, &options.extras);
    let mut found = Vec::new();
    found.extend((limits.writable_root == Some(true)).then(|| "writable root".to_owned()));
    found.extend(limits.memory.map(|memory| format!("memory {} MiB", memory.0 >> 20)));
    found.extend(limits.cpus.map(|cpus| format!("{cpus} CPUs")));
    found.extend(extras.shm_size.map(|size| format!("/dev/shm {} MiB", size.0 >> 20)));
    found.extend(listed("memory files", extras.tmpfs.as_deref().unwrap_or_default()));
    found.extend((extras.privileged == Some(true)).then(|| "all privileges".to_owned()));
    found.extend(listed("capabilities", extras.cap_add.as_deref().unwrap_or_default()));
    found.extend(listed("devices", extras.devices.as_deref().unwrap_or_default()));
    found
}

fn listed(what: &str, items: &[Text]) -> Option<String> {
    let items: Vec<&str> = items.iter().map(|item| item.0.as_str()).filter(|item| !item.is_empty()).collect();
    (!items.is_empty()).then(|| format!("{what} {}", items.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: Json, expected: &str) {
        assert_eq!(relaxations(&Entry::read(&entry).unwrap()).join("; "), expected, "{entry}");
    }

    #[test]
    fn an_entry_takes_what_it_says() {
        use serde_json::json;
        check(json!({"image": "x"}), "network");
        check(json!({"image": "x", "disableNetwork": true}), "");
        check(json!({"image": "x", "network": "none", "allowHosts": ["a.b"]}), "");
        check(json!({"image": "x", "allowHosts": ["a.b", "c.d:80/http"]}), "hosts a.b, c.d:80/http");
        check(json!({"image": "x", "network": "host"}), "this machine's own network");
        check(json!({"remote": {"url": "https://a.b/"}}), "");
        check(json!({"process": {"command": ["x"]}}), "");
        check(
            json!({"image": "x", "disableNetwork": true, "user": "0", "volumes": ["{{x.paths|volume|into}}"], "writableRoot": true, "memory": "1GiB",
                "cpus": 2, "shmSize": "64m", "tmpfs": ["/run"], "privileged": true, "capAdd": ["NET_ADMIN"], "devices": ["/dev/snd"]}),
            "user 0; mounts {{x.paths|volume|into}}; writable root; memory 1024 MiB; 2 CPUs; /dev/shm 64 MiB; memory files /run; all privileges; \
             capabilities NET_ADMIN; devices /dev/snd",
        );
        let tool = |volume: &str| json!({"name": "t", "container": {"image": "x", "volumes": [volume], "user": "0"}});
        check(
            json!({"type": "poci", "tools": [tool("/a:/a"), tool("/b:/b")]}),
            "network; user 0; mounts /a:/a; mounts /b:/b",
        );
    }

    #[test]
    fn every_entry_of_the_sample_catalog_says_what_it_takes() {
        let Some((_, catalog)) = crate::catalog::tests::sample::sample() else { return };
        let mut lines = String::new();
        for listed in &catalog.servers {
            let found = relaxations(listed.entry.as_ref().unwrap());
            lines += &format!(
                "{}: {}\n",
                listed.name,
                if found.is_empty() { "-".to_owned() } else { found.join("; ") }
            );
        }
        expect_test::expect_file!["tests/relaxed.txt"].assert_eq(&lines);
    }
}
