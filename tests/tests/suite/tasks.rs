//! Tasks: calls that go on after they are answered, through ids that only their client can use. And the other extensions.

use serde_json::{Value, json};
use wasmgate_tests::catalog::{Catalog, fixture, good, more};
use wasmgate_tests::mcp::{error, parsed, result};
use wasmgate_tests::{Modern, gateway, soon};

const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A client that takes tasks and can be asked.
fn taking(client: Modern) -> Modern {
    client.declaring(json!({"extensions": {TASKS: {}}, "elicitation": {}}))
}

/// The id of a task that a tool has begun.
async fn begun(client: &Modern, tool: &str, arguments: Value) -> Value {
    let task = client.call(tool, arguments).await;
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{task}");
    task["taskId"].clone()
}

/// What a task has come to, once it has this status.
async fn reaches(client: &Modern, id: &Value, status: &str) -> Value {
    soon(status, async {
        loop {
            let state = result(client.request("tasks/get", json!({"taskId": id})).await);
            assert_eq!(state["taskId"], *id);
            if state["status"] == status {
                return state;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_task_runs_asks_and_ends_under_the_id_its_client_got() {
    let gw = gateway().catalog(more("one")).catalog(more("two")).start().await;
    gw.ready(["one", "two"]).await;
    let discovered = result(gw.modern().request("server/discover", json!({})).await);
    assert_eq!(discovered["capabilities"]["extensions"][TASKS], json!({}));
    let (merged, alone) = (taking(gw.modern()), taking(Modern::new(gw.door("/servers/two/mcp"))));
    let id = begun(&merged, "two__job", json!({"asks": true})).await;
    let asks = reaches(&merged, &id, "input_required").await;
    assert_eq!(asks["inputRequests"]["who"]["method"], "elicitation/create");
    let answers = json!({"who": {"action": "accept", "content": {"name": "Ann"}}});
    // Where it was begun does not matter, and neither does where it is told.
    result(alone.request("tasks/update", json!({"taskId": id, "inputResponses": answers})).await);
    let done = reaches(&alone, &id, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "done by Ann");
    assert_eq!(done["result"]["content"][1]["uri"], "fixture://text");
    let done = reaches(&merged, &id, "completed").await;
    assert_eq!(done["result"]["content"][1]["uri"], "wasmgate://two/fixture://text");
    gw.stop().await;
}

#[tokio::test]
async fn a_task_is_cancelled_and_a_bad_id_is_nobodys() {
    let gw = gateway().catalog(more("fx")).start().await;
    gw.ready(["fx"]).await;
    let client = taking(gw.modern());
    let id = begun(&client, "job", json!({"fails": true})).await;
    result(client.request("tasks/cancel", json!({"taskId": id})).await);
    reaches(&client, &id, "cancelled").await;
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let unknown = error(client.request(method, json!({"taskId": "never", "inputResponses": {}})).await);
        assert_eq!((&unknown["code"], &unknown["data"]["code"]), (&json!(-32602), &json!("unknown_task")));
        let answer = gw.modern().ask(method, json!({"taskId": id, "inputResponses": {}})).send().await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let missing = error(wasmgate_tests::mcp::only(&answer));
        assert_eq!(missing["code"], -32021);
        assert_eq!(missing["data"]["requiredCapabilities"], json!({"extensions": {TASKS: {}}}));
    }
    let listens = json!({"notifications": {"taskIds": [id]}});
    let missing = error(gw.modern().request("subscriptions/listen", listens).await);
    assert_eq!(missing["code"], -32021);
    gw.stop().await;
}

#[tokio::test]
async fn who_listens_is_told_of_a_task_under_its_own_id() {
    let mut tells = fixture(&["tells", "--stdio"]);
    tells["protocol"] = "modern".into();
    let gw = gateway().catalog(Catalog::new().entry("fx", tells)).catalog(more("other")).start().await;
    gw.ready(["fx", "other"]).await;
    let client = taking(gw.modern());
    let id = begun(&client, "fx__job", json!({})).await;
    let polled = begun(&client, "other__job", json!({"fails": true})).await;
    let wishes = json!({"notifications": {"taskIds": [id, polled, "never"]}});
    let mut stream = client.ask("subscriptions/listen", wishes).open().await;
    let granted = parsed(&stream.event().await.expect("an acknowledgement"));
    let expected = json!({"taskIds": [id]});
    assert_eq!(granted["params"]["notifications"], expected, "what a server does not tell of is left out");
    client.call("fx__finish", json!({})).await;
    let told = parsed(&soon("a change", stream.event()).await.expect("a change"));
    assert_eq!(told["method"], "notifications/tasks");
    assert_eq!(told["params"]["taskId"], id);
    assert_eq!(told["params"]["result"]["content"][0]["text"], "done");
    assert!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].is_number(), "{told}");
    drop(stream);
    gw.stop().await;
}

#[tokio::test]
async fn those_who_take_no_tasks_are_answered_at_once() {
    let gw = gateway().catalog(more("fx")).start().await;
    gw.ready(["fx"]).await;
    let legacy = gw.legacy().await;
    assert!(legacy.initialized["capabilities"]["extensions"].get(TASKS).is_none(), "{}", legacy.initialized);
    assert_eq!(legacy.call("job", json!({})).await["content"][0]["text"], "at once");
    assert_eq!(gw.modern().call("job", json!({})).await["content"][0]["text"], "at once");
    gw.stop().await;
}

#[tokio::test]
async fn tasks_are_an_unknown_method_where_nobody_has_them() {
    let gw = gateway().catalog(good("fx")).start().await;
    gw.ready(["fx"]).await;
    let refused = error(gw.legacy().await.request("tasks/get", json!({"taskId": "t"})).await);
    assert_eq!(refused["code"], -32601, "not a method of older versions");
    let refused = taking(gw.modern()).ask("tasks/get", json!({"taskId": "t"})).send().await;
    assert_eq!(refused.status, 404, "nor of a server that has no tasks: {}", refused.text());
    gw.stop().await;
}

#[tokio::test]
async fn unknown_extensions_work_on_a_server_alone() {
    let gw = gateway().catalog(more("fx")).catalog(good("other")).start().await;
    gw.ready(["fx", "other"]).await;
    let alone = Modern::new(gw.door("/servers/fx/mcp"));
    let of = |discovered: Value| discovered["capabilities"]["extensions"].clone();
    let offered = of(result(alone.request("server/discover", json!({})).await));
    assert_eq!(offered["fixture/unknown"], json!({"a": 1}));
    let offered = of(result(gw.modern().request("server/discover", json!({})).await));
    assert_eq!(offered, json!({TASKS: {}, "io.modelcontextprotocol/ui": {}}));
    let refused = gw.modern().ask("skills/list", json!({})).send().await;
    assert_eq!(refused.status, 404, "{}", refused.text());
    gw.stop().await;
}
