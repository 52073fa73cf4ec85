//! Faults of the configuration (F39): what is broken changes nothing and is said, and what is right again counts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, good};
use wasmgate_tests::{Running, build, gateway, process, soon};

use crate::reload::{Load, change, exchange, in_force, rejected, started, yaml};

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
        // The watcher may have said only now what the signal of the change before had said already.
        let name = format!("s{number}");
        soon("the change in force", async {
            while !gw.states().await["servers"].to_string().contains(&name) {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        })
        .await;
        gw.reaches(&name, &["ready"]).await;
    }
    // A signal alone, when nothing has changed, changes nothing.
    let before = gw.processes();
    in_force(&gw, "a signal", || process::signal(gw.pid, Signal::HUP)).await;
    assert_eq!(gw.processes(), before);
    load.end().await;
    gw.stop().await;
}
