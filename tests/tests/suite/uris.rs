//! URIs of resources where two servers have the same ones: made unique wherever they appear, and leading back.

use serde_json::{Value, json};
use wasmgate_tests::catalog::more;
use wasmgate_tests::mcp::{error, result};
use wasmgate_tests::{Running, gateway};

/// Two servers with the same resources, templates and tools.
async fn two() -> Running {
    let gw = gateway().catalog(more("one")).catalog(more("two")).start().await;
    gw.ready(["one", "two"]).await;
    gw
}

/// The text behind a URI, and the URI it comes with.
async fn read(gw: &Running, uri: &Value) -> (Value, Value) {
    let contents =
        result(gw.modern().request("resources/read", json!({"uri": uri})).await)["contents"][0].clone();
    (contents["text"].clone(), contents["uri"].clone())
}

#[tokio::test]
async fn every_link_of_a_tool_can_be_read() {
    let gw = two().await;
    for (tool, expected) in [
        (
            "one__links",
            ["fixture://text", "fixture://items/7", "wasmgate://one/unlisted://1", "fixture://r2"],
        ),
        (
            "two__links",
            [
                "wasmgate://two/fixture://text",
                "wasmgate://two/fixture://items/7",
                "wasmgate://two/unlisted://1",
                "wasmgate://two/fixture://r2",
            ],
        ),
    ] {
        let content = gw.modern().call(tool, json!({})).await["content"].clone();
        let uris =
            [&content[1]["uri"], &content[2]["uri"], &content[3]["uri"], &content[4]["resource"]["uri"]];
        assert_eq!(uris, expected);
        let legacy = gw.legacy().await.call(tool, json!({})).await["content"].clone();
        assert_eq!(legacy, content, "the same for clients of both eras");
        for (uri, text) in [(0, "contents of text"), (1, "contents of items/7"), (3, "contents of r2")] {
            assert_eq!(read(&gw, uris[uri]).await, (json!(text), uris[uri].clone()));
        }
        let refused = error(gw.modern().request("resources/read", json!({"uri": uris[2]})).await);
        assert_eq!(refused["data"]["uri"], "unlisted://1", "the server itself was asked for it");
    }
    gw.stop().await;
}

#[tokio::test]
async fn templates_are_told_apart_in_lists_reads_and_completions() {
    let gw = two().await;
    let client = gw.modern();
    let templates =
        result(client.request("resources/templates/list", json!({})).await)["resourceTemplates"].clone();
    let uris = [&templates[0]["uriTemplate"], &templates[1]["uriTemplate"]];
    assert_eq!(uris, ["fixture://items/{id}", "wasmgate://two/fixture://items/{id}"]);
    for template in uris {
        let expanded = template.as_str().expect("a template").replace("{id}", "a%2Fb");
        assert_eq!(
            read(&gw, &expanded.clone().into()).await,
            (json!("contents of items/a%2Fb"), expanded.into())
        );
        let params = json!({"ref": {"type": "ref/resource", "uri": template}, "argument": {"name": "id", "value": "f"}});
        let completed = result(client.request("completion/complete", params).await);
        assert_eq!(completed["completion"]["values"], json!(["formal", "friendly"]));
    }
    gw.stop().await;
}

#[tokio::test]
async fn the_page_of_a_tool_is_its_own_servers() {
    let gw = two().await;
    let tools = result(gw.modern().request("tools/list", json!({})).await)["tools"].clone();
    let page = |name: &str| {
        let all = tools.as_array().into_iter().flatten();
        let meta = all.clone().find(|tool| tool["name"] == name).expect("the tool")["_meta"].clone();
        assert_eq!(meta["ui"]["resourceUri"], meta["ui/resourceUri"]);
        meta["ui"]["resourceUri"].clone()
    };
    for (tool, expected) in [
        ("one__page", "ui://wasmgate/one/ui://fixture/page"),
        ("two__page", "ui://wasmgate/two/ui://fixture/page"),
    ] {
        assert_eq!(page(tool), expected);
        assert_eq!(read(&gw, &page(tool)).await, (json!("<p>page</p>"), json!(expected)));
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_server_alone_is_no_way_to_another() {
    let gw = two().await;
    let refused = gw
        .alone("one")
        .await
        .request("resources/read", json!({"uri": "wasmgate://two/fixture://text"}))
        .await;
    assert_eq!(
        error(refused)["data"]["uri"],
        "wasmgate://two/fixture://text",
        "its own server was asked for it"
    );
    gw.stop().await;
}
