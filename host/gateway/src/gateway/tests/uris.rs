//! URIs of resources where two servers have the same ones.

use super::*;

const RESULT: &str = r#"{"content":[{"type":"resource_link","uri":"x:a"}, {"type":"resource","resource":{"uri":"y:1","text":"t"}},{"type":"text","text":"\"uri\""}],"structuredContent":{"uri":"x:a"}}"#;

/// Two servers, `a` and `b`, that offer the same; their tools answer with links.
async fn two(stages: Vec<Arc<dyn Stage>>) -> World {
    let site = Site::start(|seen| match seen.rpc().as_str() {
        "prompts/get" => Reply::result(
            &seen,
            r#"{"messages":[{"role":"user","content":{"type":"resource_link","uri":"x:a"}}]}"#,
        ),
        "resources/read" => {
            let uri = seen.body.as_ref().and_then(|body| body.pointer("/params/uri")).unwrap();
            let contents = format!(r#"{{"contents":[{{"uri":{}}},{{"uri":"x:b"}}]}}"#, uri.as_str());
            Reply::result(&seen, &contents)
        }
        _ => modern(&seen, &|seen| Reply::result(seen, RESULT)),
    })
    .await;
    let one = generation(&site, 9, stages);
    let named = |name: &str| {
        let server = (*one.servers[0]).clone();
        Arc::new(Server { name: ServerName::new(name).unwrap(), ..server })
    };
    let servers = vec![named("a"), named("b")];
    World::of(site, Generation { servers, ..one }).await
}

async fn called(world: &World, tool: &str) -> String {
    text(world.ask("tools/call", &format!(r#"{{"name":"{tool}"}}"#)).await)
}

#[tokio::test]
async fn links_of_tools_lead_back_to_their_server() {
    let world = two(Vec::new()).await;
    assert_eq!(called(&world, "a__a").await, RESULT.replacen("y:1", "wasmgate://a/y:1", 1));
    let expected = RESULT.replacen("x:a", "wasmgate://b/x:a", 1).replacen("y:1", "wasmgate://b/y:1", 1);
    assert_eq!(called(&world, "b__a").await, expected);
    let read = text(world.ask("resources/read", r#"{"uri":"wasmgate://b/y:1"}"#).await);
    assert_eq!(read, r#"{"contents":[{"uri":"wasmgate://b/y:1"},{"uri":"wasmgate://b/x:b"}]}"#);
    let body = world.site.of("resources/read").pop().unwrap().body.unwrap();
    assert_eq!(body.pointer("/params/uri"), Some(Json::of("y:1")));
    assert_eq!(
        text(world.ask("resources/read", r#"{"uri":"x:a"}"#).await),
        r#"{"contents":[{"uri":"x:a"},{"uri":"x:b"}]}"#
    );
}

#[tokio::test]
async fn a_server_alone_is_left_as_it_is_and_leads_to_no_other() {
    let world = two(Vec::new()).await;
    let alone = |params: &str, method: &str| Request {
        view: View::One(ServerName::new("b").unwrap()),
        ..request(method, params).0
    };
    let called = world.gateway.request(alone(r#"{"name":"a"}"#, "tools/call")).await;
    assert_eq!(text(called), RESULT);
    // Not the way to another server that it is in the merged view: the server is asked for what it does not have.
    let read = world.gateway.request(alone(r#"{"uri":"wasmgate://a/x:a"}"#, "resources/read")).await;
    assert!(text(read).contains(r#""uri":"wasmgate://a/x:a""#));
    for reference in
        [r#"{"type":"ref/resource","uri":"z:{never}"}"#, r#"{"type":"ref/prompt","name":"never"}"#]
    {
        let params = format!(r#"{{"ref":{reference},"argument":{{"name":"n","value":""}}}}"#);
        let completed = text(world.gateway.request(alone(&params, "completion/complete")).await);
        assert!(completed.contains(&params), "what is not listed, too: {completed}");
    }
}

#[tokio::test]
async fn templates_of_two_servers_expand_to_their_own() {
    let world = two(Vec::new()).await;
    let templates = text(world.ask("resources/templates/list", "{}").await);
    assert!(templates.contains(r#""uriTemplate":"wasmgate://b/x:open/{id}""#), "{templates}");
    let params = |uri: &str| {
        let reference = format!(r#"{{"type":"ref/resource","uri":"{uri}"}}"#);
        format!(r#"{{"ref":{reference},"argument":{{"name":"id","value":"1"}}}}"#)
    };
    let completed = text(world.ask("completion/complete", &params("wasmgate://b/x:open/{id}")).await);
    assert!(completed.contains(r#""uri":"x:open/{id}""#), "{completed}");
    world.ask("resources/read", r#"{"uri":"wasmgate://b/x:open/7%2F8"}"#).await.unwrap();
    let body = world.site.of("resources/read").pop().unwrap().body.unwrap();
    assert_eq!(body.pointer("/params/uri"), Some(Json::of("x:open/7%2F8")));
}

#[tokio::test]
async fn links_have_the_names_that_filters_give() {
    let changes: &[_] = &[("x:a", Some("x:first")), ("wasmgate://b/x:a", Some("x:second"))];
    let world = two(vec![renames("resources/list", changes)]).await;
    assert!(called(&world, "a__a").await.contains(r#""uri":"x:first"}, "#));
    assert!(called(&world, "b__a").await.contains(r#""uri":"x:second"}, "#));
    let read = text(world.ask("resources/read", r#"{"uri":"x:second"}"#).await);
    assert!(read.contains(r#"{"uri":"x:second"}"#), "{read}");
}
