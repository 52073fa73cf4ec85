//! A client's whole conversation with each demo server, as lines of JSON.

use expect_test::{Expect, expect};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::*;

/// Sends the requests one after the other; shows each answer, and the notifications before it, in short.
fn talk(name: &str, requests: &[(&str, Json)]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (client, server) = tokio::io::duplex(1 << 16);
    let (server_in, server_out) = tokio::io::split(server);
    let (client_in, mut client_out) = tokio::io::split(client);
    let conversation = async move {
        let mut lines = BufReader::new(client_in).lines();
        let mut shown = String::new();
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        for (id, (method, params)) in std::iter::once(&("initialize", hello)).chain(requests).enumerate() {
            let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            client_out.write_all(format!("{request}\n").as_bytes()).await.unwrap();
            loop {
                let line: Json = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
                if id > 0 {
                    shown += &format!("{}\n", short(line.clone()));
                }
                if line["id"] == json!(id) {
                    break;
                }
            }
            if id == 0 {
                client_out
                    .write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")
                    .await
                    .unwrap();
            }
        }
        client_out.shutdown().await.unwrap();
        shown
    };
    let (ended, shown) =
        runtime.block_on(async { tokio::join!(serve_over(name, server_in, server_out), conversation) });
    ended.unwrap();
    shown
}

/// Names instead of whole definitions, and no base64.
fn short(mut line: Json) -> Json {
    if let Some(error) = line.get("error") {
        return json!({ "error": error["code"] });
    }
    if line.get("method").is_some() {
        return json!({ "method": line["method"], "params": line["params"] });
    }
    let result = line["result"].as_object_mut().unwrap();
    for list in ["tools", "prompts", "resources", "resourceTemplates"] {
        if let Some(items) = result.get_mut(list) {
            let name = |item: &Json| json!([item["name"], item.get("outputSchema").is_some()]);
            *items = items.as_array().unwrap().iter().map(name).collect();
        }
    }
    for content in result.get_mut("content").and_then(Json::as_array_mut).into_iter().flatten() {
        if let Some(data) = content.get_mut("data") {
            *data = data.as_str().unwrap().get(..8).unwrap().into();
        }
    }
    line["result"].clone()
}

#[track_caller]
fn check(name: &str, requests: &[(&str, Json)], expected: Expect) {
    expected.assert_eq(&talk(name, requests));
}

fn call(tool: &str, arguments: Json) -> (&'static str, Json) {
    ("tools/call", json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}}))
}

#[test]
fn demo_shows_every_kind_of_answer() {
    let complete =
        json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "tone", "value": "f"}});
    let requests = [
        ("tools/list", json!({})),
        call("echo", json!({"text": "é\n"})),
        call("add", json!({"a": 1, "b": 2.5})),
        call("weather", json!({"city": "Bern"})),
        call("picture", json!({})),
        call("countdown", json!({"steps": 2, "pause_ms": 0})),
        call("countdown", json!({"steps": 0})),
        call("fail", json!({})),
        ("logging/setLevel", json!({"level": "warning"})),
        call("log", json!({"message": "unheard"})),
        call("log", json!({"message": "heard", "level": "error"})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": "greet", "arguments": {"name": "Ada", "tone": "formal"}})),
        ("completion/complete", complete),
        call("nothing", json!({})),
    ];
    check(
        "demo",
        &requests,
        expect![[r#"
        {"tools":[["add",true],["countdown",false],["echo",false],["fail",false],["log",false],["picture",false],["weather",true]]}
        {"content":[{"type":"text","text":"é\n"}],"isError":false}
        {"content":[{"type":"text","text":"{\"sum\":3.5}"}],"structuredContent":{"sum":3.5},"isError":false}
        {"content":[{"type":"text","text":"{\"city\":\"Bern\",\"celsius\":4.1,\"sky\":\"snow\"}"}],"structuredContent":{"city":"Bern","celsius":4.1,"sky":"snow"},"isError":false}
        {"content":[{"type":"text","text":"A gate, 24 by 24 pixels:"},{"type":"image","data":"iVBORw0K","mimeType":"image/png"}],"isError":false}
        {"method":"notifications/progress","params":{"progressToken":"p","progress":1.0,"total":2.0,"message":"1 to go"}}
        {"method":"notifications/progress","params":{"progressToken":"p","progress":2.0,"total":2.0,"message":"0 to go"}}
        {"content":[{"type":"text","text":"counted 2 steps"}],"isError":false}
        {"error":-32602}
        {"content":[{"type":"text","text":"this tool always fails: there is nothing to mend"}],"isError":true}
        {}
        {"content":[{"type":"text","text":"not sent: the client asked for more severe messages only"}],"isError":false}
        {"method":"notifications/message","params":{"level":"error","logger":"demo","data":"heard"}}
        {"content":[{"type":"text","text":"sent"}],"isError":false}
        {"prompts":[["greet",false]]}
        {"messages":[{"role":"user","content":{"type":"text","text":"Write a formal greeting of one sentence for Ada."}}]}
        {"completion":{"values":["formal","friendly"],"total":2,"hasMore":false}}
        {"error":-32602}
    "#]],
    );
}

#[test]
fn notes_are_resources() {
    let template = json!({"ref": {"type": "ref/resource", "uri": "note:///{title}"}, "argument": {"name": "title", "value": "a"}});
    let requests = [
        ("resources/list", json!({})),
        call("write_note", json!({"title": "A b", "text": "hello"})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "note:///A%20b"})),
        ("resources/read", json!({"uri": "note:///none"})),
        ("completion/complete", template),
        ("prompts/get", json!({"name": "summarise", "arguments": {"title": "A b"}})),
        call("remove_note", json!({"title": "A b"})),
        call("remove_note", json!({"title": "A b"})),
    ];
    check(
        "notes",
        &requests,
        expect![[r#"
        {"resources":[["Welcome",false]]}
        {"method":"notifications/resources/list_changed","params":null}
        {"content":[{"type":"text","text":"written to note:///A%20b"}],"isError":false}
        {"resources":[["A b",false],["Welcome",false]]}
        {"resourceTemplates":[["note",false]]}
        {"contents":[{"uri":"note:///A%20b","mimeType":"text/plain","text":"hello"}]}
        {"error":-32002}
        {"completion":{"values":["A b"],"total":1,"hasMore":false}}
        {"messages":[{"role":"user","content":{"type":"text","text":"Summarise this note in one sentence.\n\nhello"}}]}
        {"method":"notifications/resources/list_changed","params":null}
        {"content":[{"type":"text","text":"removed"}],"isError":false}
        {"error":-32602}
    "#]],
    );
}

#[test]
fn time_converts() {
    let requests = [
        ("tools/list", json!({})),
        call("convert", json!({"time": "2026-03-01T08:30:00+02:00", "offset": "-05:00"})),
        call("now", json!({"offset": "nowhere"})),
    ];
    check(
        "time",
        &requests,
        expect![[r#"
        {"tools":[["convert",true],["now",true]]}
        {"content":[{"type":"text","text":"{\"time\":\"2026-03-01T01:30:00-05:00\",\"unix\":1772346600,\"weekday\":\"Sunday\"}"}],"structuredContent":{"time":"2026-03-01T01:30:00-05:00","unix":1772346600,"weekday":"Sunday"},"isError":false}
        {"error":-32602}
    "#]],
    );
}

#[test]
fn the_demo_catalog_names_exactly_these_servers() {
    let source = crate::document::Source { file: "demo", text: crate::catalog::DEMO };
    let catalog = crate::catalog::file::read(&source, crate::catalog::Origin::File).unwrap();
    let names: Vec<_> = catalog.servers.iter().map(|listed| listed.name.as_str()).collect();
    assert_eq!(names, NAMES);
}
