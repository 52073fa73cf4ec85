//! Servers over HTTP+SSE of 2024-11-05.

use std::sync::{Arc, Mutex};

use wasmgate_core::catalog::{Launch, Remote, RemoteTransport, Server};

use super::site::{Reply, Rest, Site, push};
use super::{is_failed, pool, tool, until};
use crate::upstream::{Answer, Fault, State};

fn remote(site: &Site) -> Server {
    let remote = Remote {
        urls: vec![site.url.clone().into()],
        transport: RemoteTransport::Sse,
        headers: vec![("x-key".into(), "secret".to_owned().into())],
        private_allowed: true,
    };
    super::server("p", Launch::Remote(remote))
}

/// A server of the old kind; its stream can be taken away.
async fn old_server(endpoint: &'static str) -> (Site, Arc<Mutex<Option<Rest>>>) {
    let stream = Arc::new(Mutex::new(None::<Rest>));
    let held = Arc::clone(&stream);
    let site = Site::start(move |seen| {
        let answer = |result: &str| {
            let message = format!("{{\"jsonrpc\":\"2.0\",\ndata: \"id\":{},\"result\":{result}}}", seen.id());
            if let Some(rest) = &*held.lock().unwrap() {
                push(rest, format!("event: message\ndata: {message}\n\n"));
            }
        };
        match seen.rpc().as_str() {
            "GET" => {
                let (reply, rest) = Reply::events();
                push(&rest, format!("event: endpoint\ndata: {endpoint}\n\n"));
                *held.lock().unwrap() = Some(rest);
                return reply;
            }
            "initialize" => {
                answer(r#"{"protocolVersion":"2024-11-05","capabilities":{"tools":{}},"serverInfo":{}}"#)
            }
            "tools/list" => answer(r#"{"tools":[]}"#),
            "tools/call" => match seen.body.as_ref().unwrap().pointer("/params/name").unwrap().as_str() {
                "\"refused\"" => return Reply::status(413),
                "\"hang\"" => {}
                _ => answer(r#"{"ok":1}"#),
            },
            _ => {}
        }
        Reply::status(202)
    })
    .await;
    (site, stream)
}

#[tokio::test]
async fn answers_come_on_the_stream() {
    let (site, stream) = old_server("/messages?s=7").await;
    let pool = pool(vec![remote(&site)]);
    let Answer::Result(result) = tool(&pool, "p", "t").await.unwrap() else { panic!() };
    assert_eq!(result.as_str(), r#"{"ok":1}"#);
    let call = &site.of("tools/call")[0];
    assert_eq!((call.path.as_str(), call.header("x-key")), ("/messages?s=7", Some("secret")));
    assert_eq!(&*pool.status()[0].offer.as_ref().unwrap().version, "2024-11-05");

    let (hanging, refused) = tokio::join!(
        async {
            let hanging = tool(&pool, "p", "hang");
            tokio::pin!(hanging);
            tokio::select! {
                answer = &mut hanging => return answer,
                _ = site.wait_for("tools/call", 3) => {}
            }
            stream.lock().unwrap().take();
            hanging.await
        },
        tool(&pool, "p", "refused")
    );
    assert_eq!(refused.unwrap_err(), Fault::Declined("it answered HTTP 413".into()), "its own call only");
    assert_eq!(hanging.unwrap_err(), Fault::Crashed(": its event stream ended".into()));
    until(&pool, |status| status.state == State::Ready).await;
    assert!(tool(&pool, "p", "t").await.is_ok(), "a new stream is a new session");
    pool.close().await;
}

#[tokio::test]
async fn an_endpoint_elsewhere_is_refused() {
    let (site, _stream) = old_server("https://elsewhere.example/messages").await;
    let pool = pool(vec![remote(&site)]);
    let State::Failed { code, reason, .. } = until(&pool, is_failed).await.state else { panic!() };
    assert_eq!(code, "not_mcp");
    assert!(reason.contains("same origin"), "{reason}");
    pool.close().await;
}
