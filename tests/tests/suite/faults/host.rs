//! Faults of plugins, of the configuration and of the machine (F38 to F41). How the gateway ends is in `drain`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::home::Home;
use wasmgate_tests::registry::{self, Fault, Registry};
use wasmgate_tests::signing::{Key, Shelf};
use wasmgate_tests::{Gateway, Legacy, Running, build, gateway, missing, process, require, soon};

use crate::reload::{Load, change, exchange, in_force, rejected, started, yaml};

// F38: hostile plugins

/// What the plugin does when it is told to, at most four of them in a row: the fifth failure opens the circuit.
const HOSTILE: [&[&str]; 4] = [
    &["overrun", "exit", "spin", "spin-in-host"],
    &["grow", "recurse", "doze", "stale"],
    &["huge-text", "flood-findings", "flood-log-million"],
    &["bad-note", "huge-note", "fail"],
];

/// A gateway whose calls of `fx` pass the hostile plugin and whose calls of `other` do not.
async fn beside_a_hostile_one(gateway: Gateway, from: &str, more: &str) -> Running {
    let fixture = build::fixture();
    let server = |name: &str| format!("  {name}: {{process: [{}, server, --stdio]}}\n", fixture.display());
    let text = format!(
        "servers:\n{}{}plugins:\n  hostile: {{use: '{from}', when: {{servers: [fx]}}, limits: {{wall: 300ms}}{more}}}\n",
        server("fx"),
        server("other"),
    );
    let gw = gateway.config(&text).start().await;
    gw.ready(["fx", "other"]).await;
    gw
}

/// A call during which the plugin does this.
async fn told(client: &Legacy, what: &str) -> Value {
    client.request("tools/call", json!({"name": "text", "arguments": {"text": "fine"}, "do": what})).await
}

fn is_fine(answer: &Value) -> bool {
    answer["result"]["content"][0]["text"] == "fine"
}

/// Each of these harms its own call, at its end and not at the client's patience, and nothing else.
async fn harm_only_their_own_call(gateway: Gateway, from: &str, whats: &[&str]) -> String {
    let gw = beside_a_hostile_one(gateway, from, "").await;
    let (client, other) = (gw.alone("fx").await, gw.alone("other").await);
    for what in whats {
        let calls = async {
            for _ in 0..3 {
                assert!(is_fine(&told(&other, "pass").await));
            }
        };
        let (answer, ()) = tokio::join!(soon(what, told(&client, what)), calls);
        assert_eq!(answer["error"]["data"]["code"], "plugin_failed", "{what}: {answer}");
        assert_eq!(answer["error"]["data"]["plugin"], "hostile", "{what}: {answer}");
        assert!(is_fine(&told(&client, "pass").await), "{what}: the next call is right");
    }
    gw.stop().await.stderr
}

#[tokio::test]
async fn f38_a_plugin_traps_loops_hoards_floods_or_talks_nonsense() {
    let hostile = build::hostile();
    for whats in HOSTILE {
        let log = harm_only_their_own_call(gateway(), hostile.to_str().expect("UTF-8"), whats).await;
        assert!(log.matches("again and again").count() < 1000, "a flooded log");
        assert!(log.lines().all(|line| !line.contains('\u{1b}')), "escapes of a plugin reached the log");
    }
}

#[tokio::test]
async fn f38_a_plugin_writes_to_where_nobody_reads() {
    let hostile = build::hostile();
    let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), "").await;
    let client = gw.alone("fx").await;
    assert!(is_fine(&told(&client, "flood-output").await), "that alone is no failure");
    assert!(is_fine(&told(&client, "flood-log").await));
    let log = gw.stop().await.stderr;
    assert!(log.matches("again and again").count() < 1000, "a flooded log");
}

#[tokio::test]
async fn f38_a_plugin_of_a_registry_does_the_same() {
    require!(registry::there());
    let (registry, home) = (registry::registry().await, Home::new());
    let reference = registry.reference("acme/hostile:1");
    home.line(&["plugin", "push", build::hostile().to_str().expect("UTF-8"), &reference]).await;
    for whats in HOSTILE {
        harm_only_their_own_call(gateway(), &format!("oci://{reference}"), whats).await;
    }
}

#[tokio::test]
async fn f38_a_plugin_that_fails_may_be_passed_by_when_the_file_says_so() {
    let hostile = build::hostile();
    for whats in HOSTILE {
        let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), ", failOpen: true").await;
        let client = gw.alone("fx").await;
        for what in whats {
            let answer = soon(what, told(&client, what)).await;
            assert!(is_fine(&answer), "{what}: {answer}");
        }
        gw.stop().await;
    }
}

#[tokio::test]
async fn f38_a_plugin_waits_for_an_http_server_that_never_answers() {
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", silent.local_addr().expect("an address"));
    let capable = build::capable();
    let granted = format!(", grants: {{http: [{{origin: '{origin}', private: true}}]}}");
    let gw = beside_a_hostile_one(gateway(), capable.to_str().expect("UTF-8"), &granted).await;
    let (client, other) = (gw.alone("fx").await, gw.alone("other").await);
    let ask = format!("get {origin}/");
    let asking = told(&client, &ask);
    let asked = async {
        let held = silent.accept().await.expect("the plugin's request");
        assert!(is_fine(&told(&other, "pass").await), "meanwhile others are served");
        held
    };
    let (answer, _held) = tokio::join!(soon("the end of the plugin's time", asking), asked);
    // Its time is over in either case; in the last of it a plugin may decide what to make of that.
    assert!(is_fine(&answer) || answer["error"]["data"]["code"] == "plugin_failed", "{answer}");
    assert!(is_fine(&told(&client, "nothing much").await));
    gw.stop().await;
}

#[tokio::test]
async fn f38_a_plugin_fails_five_times_in_a_row() {
    let hostile = build::hostile();
    for (policy, passes) in [("", false), (", failOpen: true", true)] {
        let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), policy).await;
        let (client, other) = (gw.alone("fx").await, gw.alone("other").await);
        for _ in 0..5 {
            assert_eq!(is_fine(&told(&client, "overrun").await), passes);
        }
        // Its circuit is open: the same policy holds without it.
        assert_eq!(is_fine(&told(&client, "pass").await), passes);
        assert!(is_fine(&told(&other, "pass").await));
        let log = gw.stop().await.stderr;
        assert!(log.contains("keeps failing and is left alone"), "{log}");
    }
}

#[tokio::test]
async fn f38_four_plugins_are_hostile_at_once_and_other_calls_go_on() {
    let hostile = build::hostile();
    let gw = beside_a_hostile_one(gateway(), hostile.to_str().expect("UTF-8"), ", failOpen: true").await;
    let client = gw.alone("fx").await;
    let load = Load::on(&gw, "other").await;
    let all = ["spin", "grow", "doze", "flood-log-million"].map(|what| {
        let client = client.clone();
        tokio::spawn(async move { is_fine(&told(&client, what).await) })
    });
    for one in all {
        assert!(soon("its end", one).await.expect("no panic"));
    }
    load.end().await;
    gw.stop().await;
}

// F39: the configuration

/// In place, as careless programs do.
fn overwrite(gw: &Running, text: &str) {
    fs::write(gw.home().join("wasmgate.yaml"), text).expect("a file");
}

#[tokio::test]
async fn f39_a_file_is_written_half_and_then_whole() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    let whole = yaml(&["fx", "more"], "");
    let half = &whole[..whole.find("--stdio").expect("a server")];
    let said = rejected(&gw, "half a file", || overwrite(&gw, half)).await;
    assert!(said.contains("wasmgate.yaml:2:"), "where it ends: {said}");
    in_force(&gw, "the rest of it", || overwrite(&gw, &whole)).await;
    gw.ready(["fx", "more"]).await;
    load.end().await;
    gw.stop().await;
}

#[tokio::test]
async fn f39_a_file_is_truncated_emptied_or_cannot_be_read() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    let path = gw.home().join("wasmgate.yaml");
    let before = gw.processes();
    rejected(&gw, "a truncated file", || overwrite(&gw, "servers:\n  fx: {process: [")).await;
    rejected(&gw, "an empty file", || overwrite(&gw, "")).await;
    rejected(&gw, "no text", || fs::write(&path, [0xff, 0xfe, 0x00]).expect("a file")).await;
    rejected(&gw, "a directory in its place", || {
        fs::remove_file(&path).expect("it was there");
        fs::create_dir(&path).expect("a directory");
    })
    .await;
    let back = || exchange(&path, yaml(&["fx"], ""));
    in_force(&gw, "the file as it was", || {
        fs::remove_dir(&path).expect("it was there");
        back();
    })
    .await;
    rejected(&gw, "a link to nothing", || {
        fs::remove_file(&path).expect("it was there");
        symlink("nowhere", &path).expect("a link");
    })
    .await;
    assert_eq!(gw.processes(), before, "the server never noticed");
    in_force(&gw, "the file as it was", back).await;
    assert_eq!(gw.processes(), before, "nor did it then");
    load.end().await;
    gw.stop().await;
}

#[tokio::test]
async fn f39_a_link_is_swapped_to_something_broken_and_back() {
    let gateway = gateway();
    let home = gateway.home().to_owned();
    for (version, text) in
        [("v1", yaml(&["fx"], "")), ("v2", "servers: [\n".into()), ("v3", yaml(&["fx", "more"], ""))]
    {
        fs::create_dir(home.join(version)).expect("a directory");
        fs::write(home.join(version).join("wasmgate.yaml"), text).expect("a file");
    }
    symlink("v1", home.join("..data")).expect("a link");
    symlink("..data/wasmgate.yaml", home.join("linked.yaml")).expect("a link");
    let swap = |version: &str| {
        symlink(version, home.join("..new")).expect("a link");
        fs::rename(home.join("..new"), home.join("..data")).expect("a rename");
    };
    let path = home.join("linked.yaml");
    let gw = gateway.arg("--config").arg(path.to_str().expect("UTF-8")).start().await;
    gw.ready(["fx"]).await;
    rejected(&gw, "a broken version", || swap("v2")).await;
    in_force(&gw, "a better one", || swap("v3")).await;
    gw.ready(["fx", "more"]).await;
    gw.stop().await;
}

#[tokio::test]
async fn f39_a_file_is_written_fifty_times_a_second() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for number in 0..100 {
        tick.tick().await;
        // Every second one is broken.
        let text = yaml(&["fx", &format!("s{number}")], "");
        change(&gw, if number % 2 == 0 { &text } else { "servers: [" });
    }
    change(&gw, &yaml(&["fx", "last"], ""));
    soon("the last one", async {
        while !gw.states().await.to_string().contains("\"last\"") {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    })
    .await;
    gw.ready(["fx", "last"]).await;
    load.end().await;
    let names: Vec<Value> =
        gw.states().await["servers"].as_array().expect("servers").iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["fx", "last"], "the last one wins");
    let log = gw.stop().await.stderr;
    let looks = log.matches("is in force").count() + log.matches("stays in force").count();
    assert!(looks <= 20, "{looks} reloads for 101 writes");
}

#[tokio::test]
async fn f39_a_catalog_turns_invalid() {
    let gateway = gateway();
    let file = gateway.file("c.yaml", &good("fx").text());
    let gw = gateway.config("catalogs: [c.yaml]\nenable: all\n").start().await;
    gw.ready(["fx"]).await;
    let load = Load::on(&gw, "fx").await;
    let before = gw.processes();
    for broken in ["{\"registry\": {", "registry: 7\n", "\u{0}"] {
        let said = rejected(&gw, "a broken catalog", || exchange(Path::new(&file), broken)).await;
        assert!(said.contains("c.yaml"), "{said}");
    }
    let both = Catalog::new().fixture("fx", &["server", "--stdio"]).fixture("more", &["server", "--stdio"]);
    in_force(&gw, "a catalog put right", || exchange(Path::new(&file), both.text())).await;
    gw.ready(["fx", "more"]).await;
    assert!(gw.processes().contains(&before[0]), "the server that did not change kept its process");
    load.end().await;
    gw.stop().await;
}

#[tokio::test]
async fn f39_a_plugin_does_not_compile_or_does_not_want_its_configuration() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    fs::write(gw.home().join("broken.wasm"), b"\0asm\x0d\0\x01\0nonsense").expect("a file");
    fs::copy(build::hostile(), gw.home().join("hostile.wasm")).expect("a copy");
    for (plugin, says) in [
        ("{use: ./broken.wasm}", "broken"),
        ("{use: ./hostile.wasm, config: {do: refuse}}", "is refused"),
        ("{use: ./hostile.wasm, config: {do: spin-in-configure}}", "could not be configured"),
    ] {
        let text = yaml(&["fx", "more"], &format!("  broken: {plugin}\n"));
        let said = rejected(&gw, plugin, || change(&gw, &text)).await;
        assert!(said.contains("`broken`") && said.contains(says), "{plugin}: {said}");
        assert_eq!(
            gw.states().await["servers"].as_array().map(Vec::len),
            Some(1),
            "no half of it is in force"
        );
    }
    load.end().await;
    gw.stop().await;
}

#[tokio::test]
async fn f39_a_server_comes_whose_tools_are_named_like_another_s() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    let pid = gw.alone("fx").await.call("pid", json!({})).await;
    let fixture = build::fixture();
    let twin = format!("  fx__text: {{process: [{}, server, --stdio]}}\n", fixture.display());
    let text = yaml(&["fx", "zz"], "").replace("plugins:", &format!("{twin}plugins:"));
    // Whether such a name is taken or refused: what ran goes on, under its name.
    let before = gw.states().await["config"]["since"].take();
    change(&gw, &text);
    soon("a decision", async {
        while gw.states().await["config"]["since"] == before {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    })
    .await;
    let client = gw.legacy().await;
    let names = client.tool_names().await;
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(names.len(), unique.len(), "every public name means one tool");
    assert_eq!(gw.alone("fx").await.call("pid", json!({})).await, pid, "the server kept its process");
    load.end().await;
    gw.stop().await;
}

#[tokio::test]
async fn f39_a_signal_and_the_watcher_say_the_same_at_once() {
    let gw = started(&["fx"], "").await;
    let load = Load::on(&gw, "fx").await;
    for number in 0..3 {
        let text = yaml(&["fx", &format!("s{number}")], "");
        in_force(&gw, "a change", || {
            change(&gw, &text);
            process::signal(gw.pid, Signal::HUP);
        })
        .await;
        gw.reaches(&format!("s{number}"), &["ready"]).await;
    }
    // A signal alone, when nothing has changed, changes nothing.
    let before = gw.processes();
    in_force(&gw, "a signal", || process::signal(gw.pid, Signal::HUP)).await;
    assert_eq!(gw.processes(), before);
    load.end().await;
    gw.stop().await;
}

/// A registry with a plugin that hides tools, and its reference.
async fn with_a_plugin(repository: &str) -> (Registry, String) {
    let registry = registry::registry().await;
    let reference = registry.reference(&format!("{repository}:1"));
    Home::new().line(&["plugin", "push", "builtin:tool-filter", &reference]).await;
    (registry, reference)
}

fn hiding(reference: &str) -> String {
    format!("  hide: {{use: 'oci://{reference}', config: {{deny: ['*echo*']}}}}\n")
}

async fn hides(gw: &Running) -> bool {
    !gw.legacy().await.tool_names().await.iter().any(|name| name.contains("echo"))
}

#[tokio::test]
async fn f39_the_registry_is_down_when_the_file_changes() {
    require!(registry::there());
    let (registry, reference) = with_a_plugin("acme/hide").await;
    let gw = started(&["fx"], &hiding(&reference)).await;
    assert!(hides(&gw).await);
    let absent = registry.reference("acme/other:1");
    drop(registry);
    in_force(&gw, "another server", || change(&gw, &yaml(&["fx", "more"], &hiding(&reference)))).await;
    gw.ready(["fx", "more"]).await;
    assert!(hides(&gw).await, "what is here needs no registry");
    let other = yaml(&["fx"], &hiding(&absent));
    let said = rejected(&gw, "a plugin that is not here", || change(&gw, &other)).await;
    assert!(said.contains("`hide`"), "{said}");
    assert!(hides(&gw).await);
    assert_eq!(gw.state("more").await["state"], "ready", "the whole generation before stays");
    gw.stop().await;
}

#[tokio::test]
async fn f39_the_rules_for_signatures_become_stricter() {
    require!(registry::there());
    let (registry, reference) = with_a_plugin("acme/hide").await;
    let gw = started(&["fx"], &hiding(&reference)).await;
    assert!(hides(&gw).await);
    let key = Key::new();
    fs::write(gw.home().join("cosign.pub"), key.pem()).expect("a key");
    let strict = yaml(&["fx", "more"], &hiding(&reference))
        + "signatures: {rules: [{match: '*', policy: require, key: ./cosign.pub}]}\n";
    let said = rejected(&gw, "rules that nothing meets", || change(&gw, &strict)).await;
    assert!(said.contains("signature"), "{said}");
    assert!(hides(&gw).await, "the generation before stays in force, and with it its rules");
    let lock = fs::read_to_string(gw.home().join("wasmgate.lock")).expect("a lock file");
    let digest = lock.split("sha256:").nth(1).and_then(|rest| rest.get(..64)).expect("a digest");
    Shelf::new(&registry, "acme/hide").sign(&key, &format!("sha256:{digest}")).await;
    in_force(&gw, "a signature", || process::signal(gw.pid, Signal::HUP)).await;
    gw.ready(["fx", "more"]).await;
    assert!(hides(&gw).await);
    gw.stop().await;
}

// F40: the registry and the cache

/// Validates a configuration with this plugin in a home of its own.
async fn validated(home: &Home, reference: &str) -> (Option<i32>, String) {
    let text = format!("plugins: {{mine: {{use: 'oci://{reference}'}}}}\n");
    let config = home.file("wasmgate.yaml", &text);
    let ended = home.run(&["validate", "--config", &config]).await;
    (ended.status.code(), ended.stderr)
}

fn store(home: &Home) -> std::path::PathBuf {
    home.path().join(".local/share/wasmgate/oci/blobs/sha256")
}

/// The blobs in a store that are what their names say, by size: a component is larger than all else.
fn has_component(home: &Home) -> bool {
    let blobs = fs::read_dir(store(home)).into_iter().flatten().flatten();
    blobs.filter_map(|blob| blob.metadata().ok()).any(|about| about.len() > 20_000)
}

#[tokio::test]
async fn f40_a_registry_answers_with_less_something_else_or_no() {
    require!(registry::there());
    let (registry, _) = with_a_plugin("acme/plugin").await;
    type Makes = fn() -> Fault;
    let faults: [(&str, Makes); 5] = [
        ("/blobs/", || Fault::Truncated),
        ("/blobs/", || Fault::Changed),
        ("/manifests/", || Fault::Truncated),
        ("/manifests/", || Fault::Status(401, &[("WWW-Authenticate", "Basic realm=\"x\"")])),
        ("/blobs/", || Fault::Status(404, &[])),
    ];
    for (number, (where_, fault)) in faults.into_iter().enumerate() {
        let faulty =
            registry::faulty(&registry.address, move |line, _| line.contains(where_).then(fault)).await;
        let home = Home::new();
        let (code, said) = validated(&home, &faulty.reference("acme/plugin:1")).await;
        assert_eq!(code, Some(2), "{number}: {said}");
        assert!(said.contains("plugin `mine` cannot be had"), "{number}: {said}");
        assert!(!has_component(&home), "{number}: it was kept");
        assert!(!home.path().join("wasmgate.lock").exists(), "{number}: it was locked");
    }
}

#[tokio::test]
async fn f40_a_registry_is_down_or_silent_at_a_start() {
    require!(registry::there());
    let (registry, _) = with_a_plugin("acme/plugin").await;
    // What passes once is refused the next time: a registry that went silent under the same name.
    let silent = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_silent = std::sync::Arc::clone(&silent);
    let faulty = registry::faulty(&registry.address, move |_, _| {
        is_silent.load(std::sync::atomic::Ordering::SeqCst).then_some(Fault::Silence)
    })
    .await;
    let (home, reference) = (Home::new(), faulty.reference("acme/plugin:1"));
    assert_eq!(validated(&home, &reference).await.0, Some(0));
    silent.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = faulty.asked();
    assert_eq!(validated(&home, &reference).await.0, Some(0), "what is locked and here is not asked for");
    assert_eq!(faulty.asked(), before);
    drop(registry);
    assert_eq!(validated(&home, &reference).await.0, Some(0));
}

#[tokio::test]
async fn f40_an_index_has_nothing_for_us() {
    require!(registry::there());
    let registry = registry::registry().await;
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": []}).to_string();
    let address = registry.address.parse().expect("an address");
    let put = wasmgate_tests::http::Ask::new(address, "PUT", "/v2/acme/index/manifests/1");
    let put = put.header("content-type", kind).body(index).send().await;
    assert_eq!(put.status, 201, "{}", put.text());
    let home = Home::new();
    let (code, said) = validated(&home, &registry.reference("acme/index:1")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("plugin `mine`"), "{said}");
}

#[tokio::test]
async fn f40_bytes_in_the_cache_are_not_what_they_were() {
    require!(registry::there());
    let (registry, reference) = with_a_plugin("acme/plugin").await;
    let home = Home::new();
    assert_eq!(validated(&home, &reference).await.0, Some(0));
    let spoil = || {
        for blob in fs::read_dir(store(&home)).expect("blobs").flatten() {
            let mut bytes = fs::read(blob.path()).expect("a blob");
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
            fs::write(blob.path(), bytes).expect("a blob");
        }
    };
    spoil();
    assert_eq!(validated(&home, &reference).await.0, Some(0), "they are fetched again");
    spoil();
    drop(registry);
    let (code, said) = validated(&home, &reference).await;
    assert_eq!(code, Some(2), "and never run: {said}");
}

/// A file system of its own, as small or as read-only as a test needs it; needs root.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(home: &Home, options: &str) -> Result<Self, String> {
        let dir = home.path().join("mounted");
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let mut command = std::process::Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&dir).output();
        let mounted = mounted.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
        if mounted.status.success() {
            Ok(Self(dir))
        } else {
            Err(format!("a file system cannot be mounted: {said}"))
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn f40_the_disk_of_the_cache_is_full_or_read_only() {
    require!(registry::there());
    let (_registry, reference) = with_a_plugin("acme/hide").await;
    for options in ["size=32k", "ro"] {
        let home = Home::new();
        let mounted = match Mounted::new(&home, options) {
            Ok(mounted) => mounted,
            Err(reason) => {
                assert!(missing("f40_the_disk_of_the_cache_is_full_or_read_only", Err(reason)));
                return;
            }
        };
        let data = mounted.0.to_str().expect("UTF-8").to_owned();
        let gate = gateway().config(&yaml(&["fx"], &hiding(&reference))).env("XDG_DATA_HOME", &data);
        // Compiled plugins are not kept either.
        let gw = gate.env("XDG_CACHE_HOME", &data).start().await;
        gw.ready(["fx"]).await;
        assert!(hides(&gw).await, "{options}: it is served from memory");
        let log = gw.stop().await.stderr;
        assert!(log.contains("store"), "{options}: it is said: {log}");
    }
}

#[tokio::test]
async fn f40_two_gateways_share_a_cache() {
    require!(registry::there());
    let (_registry, reference) = with_a_plugin("acme/hide").await;
    let home = Home::new();
    let data = home.path().join("data");
    let one = || {
        let data = data.to_str().expect("UTF-8").to_owned();
        let gate = gateway().config(&yaml(&["fx"], &hiding(&reference)));
        gate.env("XDG_DATA_HOME", &data).env("XDG_CACHE_HOME", &data).start()
    };
    let (first, second) = tokio::join!(one(), one());
    for gw in [first, second] {
        gw.ready(["fx"]).await;
        assert!(hides(&gw).await);
        gw.stop().await;
    }
    let temporary = walk(&data).into_iter().filter(|path| path.contains(".tmp")).count();
    assert_eq!(temporary, 0, "nothing half written is left");
}

fn walk(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

// F41: the clock

/// What makes a program see another time of day, and the same passing of time: `CLOCK_REALTIME` and nothing else.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    const char *path = getenv("CLOCK_SHIFT");
    if (clock != CLOCK_REALTIME || done || !path) return done;
    char text[32] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) { if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text); close(file); }
    return done;
}
"#;

/// A gateway whose time of day the file moves, in seconds.
async fn on_a_clock_of_its_own(gateway: Gateway) -> Result<(Running, std::path::PathBuf), String> {
    let source = gateway.file("shift.c", SHIFT);
    let (library, shift) = (gateway.home().join("shift.so"), gateway.file("shift", "0"));
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let compiled = compiler.output().map_err(|error| format!("no C compiler: {error}"))?;
    if !compiled.status.success() {
        return Err(String::from_utf8_lossy(&compiled.stderr).into_owned());
    }
    let gw = gateway
        .catalog(good("fx"))
        .env("LD_PRELOAD", library.to_str().expect("UTF-8"))
        .env("CLOCK_SHIFT", &shift)
        .start()
        .await;
    gw.ready(["fx"]).await;
    Ok((gw, shift.into()))
}

/// What the gateway takes for the time, to the hour, after it was told to look.
async fn hour(gw: &Running) -> String {
    in_force(gw, "a reload", || process::signal(gw.pid, Signal::HUP)).await;
    gw.states().await["config"]["since"].as_str().expect("a time")[..13].to_owned()
}

#[tokio::test]
async fn f41_the_clock_jumps_an_hour_forth_and_back() {
    let (gw, shift) = match on_a_clock_of_its_own(gateway()).await {
        Ok(there) => there,
        Err(reason) => {
            assert!(missing("f41_the_clock_jumps_an_hour_forth_and_back", Err(reason)));
            return;
        }
    };
    let client = gw.alone("fx").await;
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.call("progress", json!({"steps": 2})).await }
    });
    let slow = tokio::spawn({
        let client = client.clone();
        async move {
            let call = r#"{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"slow"}}"#;
            client.post(call).send().await
        }
    });
    client.call("wait_started", json!({"count": 1})).await;
    let now = hour(&gw).await;
    for seconds in ["3600", "-3600", "7200", "0"] {
        exchange(&shift, seconds);
        assert_eq!(hour(&gw).await == now, seconds == "0", "{seconds}: the clock was moved");
        assert_eq!(client.call("text", json!({"text": seconds})).await["content"][0]["text"], seconds);
        gw.alone("fx").await.call("text", json!({})).await;
        assert_eq!(gw.state("fx").await["state"], "ready", "{seconds}");
        assert!(!held.is_finished() && !slow.is_finished(), "{seconds}: no deadline has passed");
    }
    client.call("release", json!({})).await;
    assert_eq!(soon("its end", held).await.expect("no panic")["content"][0]["text"], "done");
    client.notify("notifications/cancelled", json!({"requestId": "slow"})).await;
    soon("its end", slow).await.expect("no panic");
    gw.stop().await;
}

#[tokio::test]
async fn f41_a_session_that_is_over_by_the_clock_is_not_taken() {
    let (gw, shift) = match on_a_clock_of_its_own(gateway()).await {
        Ok(there) => there,
        Err(reason) => {
            assert!(missing("f41_a_session_that_is_over_by_the_clock_is_not_taken", Err(reason)));
            return;
        }
    };
    let (client, second) = (gw.alone("fx").await, gw.alone("fx").await);
    let ask = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"text"}}"#;
    exchange(&shift, (23 * 3600).to_string());
    assert_eq!(client.post(ask).send().await.status, 200, "an hour before its end");
    exchange(&shift, (25 * 3600).to_string());
    assert_eq!(client.post(ask).send().await.status, 404, "an hour after it");
    // Back again: what was ended stays ended, what was not asked for meanwhile goes on.
    exchange(&shift, "0");
    assert_eq!(client.post(ask).send().await.status, 404);
    assert_eq!(second.post(ask).send().await.status, 200);
    gw.stop().await;
}
