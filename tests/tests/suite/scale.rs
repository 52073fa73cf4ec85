//! Many servers, many tools, many sessions: lists are whole and in order, a change is told once, and memory keeps to what is
//! stated in docs/configuration.md. Bounds of memory are twice what was measured in a debug build, and some: they are there to
//! fail when something doubles. Nothing here measures time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use wasmgate_tests::catalog::Catalog;
use wasmgate_tests::hostile::{Heard, Hostile, Step, events, hostile};
use wasmgate_tests::mcp::{Modern, names, result, with_meta};
use wasmgate_tests::{Gateway, Legacy, Running, gateway, process, soon};

const SERVERS: usize = 200;
const TOOLS: usize = 25;

/// One process that is many servers: which one is in a header. A call of any tool makes that server exchange its last tool.
async fn crowd(tools: usize) -> Hostile {
    let changes = Arc::new((0..2 * SERVERS).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
    hostile(move |heard, _| {
        let number: usize = heard.header("x-server").and_then(|number| number.parse().ok())?;
        match heard.kind() {
            "initialize" => Some(heard.result(&json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "one of many", "version": "1"},
            }))),
            "tools/list" => {
                let changed = changes[number].load(Ordering::SeqCst);
                let last = format!("tool_{}_v{changed}", tools - 1);
                let names = (0..tools - 1).map(|tool| format!("tool_{tool}")).chain([last]);
                Some(
                    heard
                        .result(&json!({"tools": names.map(|name| tool(number, &name)).collect::<Vec<_>>()})),
                )
            }
            "tools/call" => {
                changes[number].fetch_add(1, Ordering::SeqCst);
                Some(changed(heard))
            }
            _ => None,
        }
    })
    .await
}

fn tool(server: usize, name: &str) -> Value {
    json!({
        "name": name,
        "description": format!("Tool `{name}` of server {server}, with as many words as a tool usually has: {}", "word ".repeat(40)),
        "inputSchema": {"type": "object", "properties": {"path": {"type": "string", "description": "A path"}}, "required": ["path"]},
    })
}

/// A result, and before it the news.
fn changed(heard: &Heard) -> Vec<Step> {
    let news = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let done = json!({"jsonrpc": "2.0", "id": heard.body["id"], "result": {"content": []}});
    vec![events(), Step::Say(format!("data: {news}\n\ndata: {done}\n\n").into_bytes()), Step::Close]
}

/// A gateway before so many of them, `pageSize` items a page. Without the bundled plugins, which would be the most of it.
fn before(crowd: &Hostile, servers: usize, page: usize) -> Gateway {
    let entry = |number: usize| {
        json!({"type": "remote", "remote": {
            "url": crowd.url(), "transport_type": "streamable-http", "headers": {"X-Server": number.to_string()},
        }})
    };
    let catalog =
        (0..servers).fold(Catalog::new(), |all, number| all.entry(&format!("s{number:03}"), entry(number)));
    gateway().catalog(catalog.text()).arg("--enable-all-servers").config(&format!(
        "pageSize: {page}\nplugins: {{log-calls: {{mode: off}}, block-secrets: {{mode: off}}}}\n"
    ))
}

/// Waits until all of them are ready.
async fn all_ready(gw: &Running) {
    soon("all servers being ready", async {
        loop {
            let states = gw.states().await;
            let servers = states["servers"].as_array().expect("a list");
            if servers.iter().all(|server| server["state"] == "ready") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// The list, once it is whole: the snapshot is a moment behind the servers.
async fn whole_list(client: &Legacy) -> (Vec<Value>, usize) {
    soon("the whole list", async {
        loop {
            match pages_of(client).await {
                Some(list) if list.0.len() == SERVERS * TOOLS => return list,
                _ => tokio::time::sleep(std::time::Duration::from_millis(25)).await,
            }
        }
    })
    .await
}

/// The tools of all pages, and how many these are; None when the list changes between two of them.
async fn pages_of(client: &Legacy) -> Option<(Vec<Value>, usize)> {
    let (mut all, mut pages, mut params) = (Vec::new(), 0, json!({}));
    loop {
        let answer = client.request("tools/list", params).await;
        let page = answer.get("result")?;
        all.extend(page["tools"].as_array().expect("tools").iter().cloned());
        pages += 1;
        match page.get("nextCursor") {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return Some((all, pages)),
        }
    }
}

fn by_name(tools: &[Value]) -> BTreeMap<&str, &Value> {
    tools.iter().map(|tool| (tool["name"].as_str().expect("a name"), tool)).collect()
}

#[tokio::test]
async fn two_hundred_servers_are_one_list_in_pages() {
    let crowd = crowd(TOOLS).await;
    let gw = before(&crowd, SERVERS, 300).start().await;
    all_ready(&gw).await;
    let client = gw.legacy().await;
    let (tools, pages) = whole_list(&client).await;
    assert_eq!(pages, (SERVERS * TOOLS).div_ceil(300));
    let own_name = |at: usize| {
        let version = if at == TOOLS - 1 { "_v0" } else { "" };
        format!("tool_{at}{version}")
    };
    let listed = names(&tools);
    let wanted: Vec<String> = (0..SERVERS)
        .flat_map(|server| (0..TOOLS).map(move |at| format!("s{server:03}__{}", own_name(at))))
        .collect();
    assert_eq!(listed, wanted, "each of them once, servers in their order and their tools in theirs");
    for (at, listed) in tools.iter().enumerate() {
        let (server, at) = (at / TOOLS, at % TOOLS);
        let mut own = tool(server, &own_name(at));
        own["name"] = listed["name"].clone();
        assert_eq!(*listed, own, "nothing but the name is the gateway's");
    }
    assert_eq!(client.list("tools/list", "tools").await.0, tools, "and the same again");
    let alone = gw.alone("s042").await.list("tools/list", "tools").await.0;
    assert_eq!(alone, (0..TOOLS).map(|at| tool(42, &own_name(at))).collect::<Vec<_>>());
    let all: usize = tools_of(&gw.modern()).await.len();
    assert_eq!(all, SERVERS * TOOLS, "in the other era, too");
    gw.stop().await;
}

/// All pages as a modern client walks them.
async fn tools_of(client: &Modern) -> BTreeSet<String> {
    let (mut all, mut params) = (BTreeSet::new(), json!({}));
    loop {
        let page = result(client.request("tools/list", params).await);
        assert_eq!(page["resultType"], "complete");
        all.extend(names(page["tools"].as_array().expect("tools")));
        match page.get("nextCursor") {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return all,
        }
    }
}

#[tokio::test]
async fn one_of_two_hundred_servers_changes() {
    let crowd = crowd(TOOLS).await;
    let gw = before(&crowd, SERVERS, 1000).start().await;
    all_ready(&gw).await;
    let client = gw.legacy().await;
    let (mut before, _) = whole_list(&client).await;
    let wishes = with_meta(json!({"notifications": {"toolsListChanged": true}}));
    let mut stream = gw.modern().ask("subscriptions/listen", wishes).open().await;
    let acknowledged = stream.event().await.expect("an open stream");
    assert!(acknowledged.contains("notifications/subscriptions/acknowledged"), "{acknowledged}");
    let mut told = 0;
    for (change, server) in [7, 123, 7].into_iter().enumerate() {
        let version = usize::from(change == 2);
        result(
            client
                .request("tools/call", json!({"name": format!("s{server:03}__tool_0"), "arguments": {}}))
                .await,
        );
        let after = loop {
            let news = soon("news of the list", stream.event()).await.expect("an open stream");
            assert!(news.contains("notifications/tools/list_changed"), "{news}");
            told += 1;
            let (after, _) = whole_list(&client).await;
            if after != before {
                break after;
            }
        };
        let (old, new) = (by_name(&before), by_name(&after));
        let gone: Vec<_> = old.keys().filter(|name| !new.contains_key(*name)).collect();
        let came: Vec<_> = new.keys().filter(|name| !old.contains_key(*name)).collect();
        assert_eq!(gone, [&format!("s{server:03}__tool_24_v{version}")]);
        assert_eq!(came, [&format!("s{server:03}__tool_24_v{}", version + 1)]);
        assert!(
            new.iter().all(|(name, tool)| old.get(name).is_none_or(|old| old == tool)),
            "the others are as they were"
        );
        before = after;
    }
    assert!(
        (3..=4).contains(&told),
        "once for each change, and perhaps for the last server that came up: {told}"
    );
    drop(stream);
    gw.stop().await;
}

/// How many bytes of memory `work` adds, beyond what the same work had added once before.
async fn growth(gw: &Running, work: impl AsyncFnOnce()) -> u64 {
    let before = process::resident(gw.pid);
    work().await;
    process::resident(gw.pid).saturating_sub(before)
}

async fn sessions(gw: &Running, count: usize) -> Vec<Legacy> {
    let mut opened = Vec::with_capacity(count);
    for _ in 0..count {
        opened.push(gw.legacy().await);
    }
    opened
}

#[tokio::test]
async fn an_idle_session_costs_as_little_as_stated() {
    let crowd = crowd(TOOLS).await;
    let gw = before(&crowd, 1, 1000).start().await;
    all_ready(&gw).await;
    // What is made once, whoever comes first.
    sessions(&gw, 200).await;
    let grown = growth(&gw, async || drop(sessions(&gw, 1000).await)).await;
    let each = grown / 1000;
    assert!(each <= SESSION, "{each} bytes a session, of which {SESSION} are stated");
    gw.stop().await;
}

#[tokio::test]
async fn a_server_and_its_tools_cost_as_little_as_stated() {
    let crowd = crowd(TOOLS).await;
    let of = async |servers: usize| {
        let gw = before(&crowd, servers, 1000).start().await;
        all_ready(&gw).await;
        // The list may still be about to change: all that counts is that it is walked.
        pages_of(&gw.legacy().await).await;
        let resident = process::resident(gw.pid);
        gw.stop().await;
        resident
    };
    let (few, many) = (of(4).await, of(204).await);
    let each = many.saturating_sub(few) / 200;
    assert!(each <= SERVER, "{each} bytes a remote server with {TOOLS} tools, of which {SERVER} are stated");
}

/// Bytes of an idle session, at most.
const SESSION: u64 = 4 << 10;
/// Bytes of a remote server with its connection and its tools, at most.
const SERVER: u64 = 80 << 10;
