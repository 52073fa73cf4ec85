//! Tasks: whose they are, and what interceptors see of them.

use super::*;

/// A world whose tool begins a task, and what it says of it afterwards.
async fn world(stages: Vec<Arc<dyn Stage>>) -> World {
    World::with(9, stages, |seen: &Seen| Reply::result(seen, BEGUN)).await
}

const BEGUN: &str = r#"{"resultType":"task","taskId":"own-1","status":"working","ttlMs":60000,"x":[ 1 ]}"#;

fn declaring(method: &str, params: &str) -> Request {
    let (request, _) = request(method, params);
    let capabilities = json(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#);
    Request { client: Arc::new(ClientFacts { capabilities, ..(*request.client).clone() }), ..request }
}

fn alone() -> View {
    View::One(ServerName::new("p").unwrap())
}

async fn begun(world: &World, view: View) -> String {
    let call = Request { view, ..declaring("tools/call", r#"{"name":"a"}"#) };
    let result = world.gateway.request(call).await.unwrap();
    let id = result.member("taskId").unwrap().string().unwrap().into_owned();
    assert_eq!(result.as_str(), BEGUN.replace("own-1", &id), "every other byte stays");
    assert!(!id.contains("own") && id.len() < 200, "{id}");
    id
}

fn of(id: &str) -> String {
    format!(r#"{{"taskId":"{id}"}}"#)
}

#[tokio::test]
async fn an_id_leads_back_to_the_server_in_every_view() {
    let world = world(Vec::new()).await;
    for began in [View::All, alone()] {
        let id = begun(&world, began).await;
        for view in [View::All, alone()] {
            for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
                let asked = Request { view: view.clone(), ..declaring(method, &of(&id)) };
                let answer = text(world.gateway.request(asked).await);
                assert_eq!(answer, format!(r#"{{"method":"{method}","params":{{"taskId":"own-1"}}}}"#));
            }
        }
    }
}

#[tokio::test]
async fn an_id_is_nothing_to_others() {
    let world = world(Vec::new()).await;
    let id = begun(&world, View::All).await;
    let ask = |request: Request| world.gateway.request(request);
    for bad in ["own-1", "", &id[1..], &id.to_lowercase()] {
        let refused = ask(declaring("tasks/get", &of(bad))).await;
        assert!(matches!(refused, Err(CallError::Unknown { kind: "task", .. })), "{bad}: {refused:?}");
    }
    let bob = Request { principal: "bob".into(), ..declaring("tasks/cancel", &of(&id)) };
    assert!(matches!(ask(bob).await, Err(CallError::Unknown { kind: "task", .. })));
    let one = generation(&world.site, 9, Vec::new());
    let tools = wasmgate_core::catalog::ToolFilter::Only(["b".to_owned()].into());
    let only = Server { tools, ..(*one.servers[0]).clone() };
    world.gateway.replace(Generation { servers: vec![Arc::new(only)], ..one });
    let refused = ask(declaring("tasks/get", &of(&id))).await;
    assert!(
        matches!(refused, Err(CallError::Unknown { kind: "task", .. })),
        "a tool that is not allowed any more"
    );
    world.gateway.replace(generation(&world.site, 9, Vec::new()));
    let silent = ask(request("tasks/get", &of(&id)).0).await;
    let Err(CallError::MissingCapability(required)) = silent else { panic!("{silent:?}") };
    assert_eq!(required.as_str(), r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#);
    let legacy = Request { version: V2025_11_25, ..declaring("tasks/get", &of(&id)) };
    assert!(matches!(ask(legacy).await, Err(CallError::UnknownMethod(_))));
    for gone in ["tasks/list", "tasks/result"] {
        let asked = Request { view: alone(), ..declaring(gone, &of(&id)) };
        assert!(matches!(ask(asked).await, Err(CallError::UnknownMethod(_))), "{gone}");
    }
    let asked =
        Request { view: View::One(ServerName::new("q").unwrap()), ..declaring("tasks/get", &of(&id)) };
    assert!(matches!(ask(asked).await, Err(CallError::NotServing(_))));
}

#[tokio::test]
async fn another_gateway_with_the_same_key_serves_the_task() {
    let (one, other) = (world(Vec::new()).await, world(Vec::new()).await);
    let id = begun(&one, View::All).await;
    let answer = text(other.gateway.request(declaring("tasks/get", &of(&id))).await);
    assert_eq!(answer, r#"{"method":"tasks/get","params":{"taskId":"own-1"}}"#);
}

#[tokio::test]
async fn a_task_is_for_those_who_asked_for_tasks() {
    let world = world(Vec::new()).await;
    let plain = request("tools/call", r#"{"name":"a"}"#).0;
    assert!(matches!(world.gateway.request(plain).await, Err(CallError::MissingCapability(_))));
    let legacy = Request { version: V2025_11_25, ..declaring("tools/call", r#"{"name":"a"}"#) };
    assert!(matches!(world.gateway.request(legacy).await, Err(CallError::MissingCapability(_))));
    for (result, passes) in [
        (r#"{"resultType":"complete","content":["task"]}"#, true),
        (r#"{"resultType":"task"}"#, false),
        (r#"{"resultType":"task","taskId":7}"#, false),
        (&*format!(r#"{{"resultType":"task","taskId":"{}"}}"#, "x".repeat(3000)), false),
    ] {
        let told = result.to_owned();
        let world = World::with(9, Vec::new(), move |seen: &Seen| Reply::result(seen, &told)).await;
        let answer = world.gateway.request(declaring("tools/call", r#"{"name":"a"}"#)).await;
        assert_eq!(answer.is_ok(), passes, "{answer:?}");
    }
}

#[tokio::test]
async fn what_a_task_comes_to_passes_the_interceptors_of_its_tool() {
    let state = r#"{"resultType":"complete","taskId":"own-1","status":"completed","result":{"content":[]},"inputRequests":{"k":{"method":"elicitation/create","params":{"message":"m"}}}}"#;
    let tells = |event: &'static str| {
        mutator(event, move |exchange, phase, payload| {
            let at = if phase == Phase::Request { "in" } else { "out" };
            StageAnswer::Changed(payload.with_member(at, &Json::of(&exchange.operation.subject)))
        })
    };
    let site = Site::start(move |seen| match seen.rpc().as_str() {
        "tasks/get" => Reply::result(&seen, state),
        _ => modern(&seen, &|seen| Reply::result(seen, BEGUN)),
    })
    .await;
    let first =
        generation(&site, 9, vec![tells("tools/call"), tells("elicitation/create"), tells("tasks/get")]);
    let world = World::of(site, first).await;
    let call = world.gateway.request(declaring("tools/call", r#"{"name":"a"}"#)).await.unwrap();
    let id = call.member("taskId").unwrap().string().unwrap().into_owned();
    let got = world.gateway.request(declaring("tasks/get", &of(&id))).await.unwrap();
    let at = |place: &str| got.pointer(place).map(|value| value.as_str().to_owned()).unwrap_or_default();
    assert_eq!(at("/taskId"), format!("\"{id}\""), "the very id that was asked for");
    assert_eq!(at("/out"), "\"own-1\"", "of the task, by its server's id");
    assert_eq!(at("/result/out"), "\"a\"", "of the tool");
    assert_eq!(at("/inputRequests/k/params/in"), "null", "a question of the server");
    let blocked = generation(&world.site, 9, vec![forbids("tools/call", "content")]);
    world.gateway.replace(blocked);
    assert_eq!(text(world.gateway.request(declaring("tasks/get", &of(&id))).await), "blocked");
}

#[tokio::test]
async fn answers_to_a_task_pass_the_interceptors() {
    let marks = mutator("elicitation/create", |_, phase, payload| match phase {
        Phase::Request => StageAnswer::Unchanged,
        Phase::Response => StageAnswer::Changed(payload.with_member("seen", &Json::of(&true))),
    });
    let world = world(vec![marks]).await;
    let id = begun(&world, View::All).await;
    let params = format!(r#"{{"taskId":"{id}","inputResponses":{{"k":{{"action":"accept"}}}}}}"#);
    let sent = text(world.gateway.request(declaring("tasks/update", &params)).await);
    assert!(sent.contains(r#""inputResponses":{"k":{"action":"accept","seen":true}}"#), "{sent}");
}

/// A server that says when its task changes, on the stream given back for every listen.
async fn telling() -> (Site, mpsc::UnboundedReceiver<crate::upstream::tests::site::Rest>) {
    let (tell, streams) = mpsc::unbounded_channel();
    let site = Site::start(move |seen| match seen.rpc().as_str() {
        "subscriptions/listen" => {
            let wishes = seen.body.as_ref().and_then(|body| body.pointer("/params/notifications")).unwrap();
            let (reply, rest) = Reply::events();
            let params = format!(
                r#"{{"notifications":{},"_meta":{{"io.modelcontextprotocol/subscriptionId":{}}}}}"#,
                wishes.as_str(),
                seen.id()
            );
            push(&rest, notification("notifications/subscriptions/acknowledged", &params));
            tell.send(rest).unwrap();
            reply
        }
        _ => modern(&seen, &|seen| Reply::result(seen, BEGUN)),
    })
    .await;
    (site, streams)
}

fn notification(method: &str, params: &str) -> String {
    format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{params}}}\n\n")
}

#[tokio::test]
async fn a_change_of_a_task_is_told_under_the_id_its_client_has() {
    let (site, mut streams) = telling().await;
    let marks = mutator("tools/call", |_, phase, payload| match phase {
        Phase::Response if payload.member("content").is_some() => {
            StageAnswer::Changed(payload.with_member("seen", &Json::of(&true)))
        }
        _ => StageAnswer::Unchanged,
    });
    let one = generation(&site, 9, vec![marks]);
    let other = Server { name: ServerName::new("q").unwrap(), ..(*one.servers[0]).clone() };
    let servers = vec![Arc::clone(&one.servers[0]), Arc::new(other)];
    let world = World::of(site, Generation { servers, ..one }).await;
    let call = world.gateway.request(declaring("tools/call", r#"{"name":"q__a"}"#)).await.unwrap();
    let id = call.member("taskId").unwrap().string().unwrap().into_owned();

    let listen = declaring("subscriptions/listen", "{}");
    let mut updates = world.gateway.updates();
    let watched = world.gateway.watch_task(&listen, &id).await.unwrap();
    for bad in ["own-1", "never"] {
        let refused = world.gateway.watch_task(&listen, bad).await;
        assert!(matches!(refused, Err(CallError::Unknown { kind: "task", .. })), "{bad}");
    }
    let silent = world.gateway.watch_task(&request("subscriptions/listen", "{}").0, &id).await;
    assert!(matches!(silent, Err(CallError::MissingCapability(_))));

    let stream = streams.recv().await.unwrap();
    for task in ["own-2", "own-1"] {
        let params = format!(
            r#"{{"taskId":"{task}","status":"completed","result":{{"content":[{{"type":"resource_link","uri":"x:a"}}]}}}}"#
        );
        push(&stream, notification("notifications/tasks", &params));
    }
    let told = loop {
        let update = updates.recv().await.unwrap();
        let Some(told) = watched.told_by(&update) else { continue };
        break world.gateway.told(&update, &told, listener()).await.unwrap();
    };
    assert_eq!(told.member("taskId"), Some(Json::of(&*id)));
    assert_eq!(told.pointer("/result/seen"), Some(Json::of(&true)), "as the tool's result");
    assert_eq!(told.pointer("/result/content/0/uri"), Some(Json::of("wasmgate://q/x:a")));
}
