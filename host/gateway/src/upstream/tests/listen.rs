//! What servers of 2026-07-28 say outside calls: one listen for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use wasmgate_core::catalog::{Launch, Remote, RemoteTransport, Server};
use wasmgate_core::name::ServerName;

use super::site::{Reply, Rest, Seen, Site, push};
use super::{names, pool, until};
use crate::upstream::pool::Pool;
use crate::upstream::{Answer, Fault, Topic};

/// A listen as the server sees it: what it asks for, its id, and the stream it is answered on.
struct Listen {
    filter: String,
    id: String,
    stream: Rest,
}

impl Listen {
    fn of(seen: &Seen, stream: Rest) -> Self {
        let filter = seen.body.as_ref().unwrap().pointer("/params/notifications").unwrap();
        Self { filter: filter.as_str().to_owned(), id: seen.id(), stream }
    }

    /// Says something on the stream, stamped as it must be.
    fn say(&self, method: &str, params: &str) {
        let stamp = format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{}}}"#, self.id);
        let params = if params.is_empty() { stamp } else { format!("{params},{stamp}") };
        let message = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#);
        push(&self.stream, format!("data: {message}\n\n"));
    }

    fn acknowledge(&self, filter: &str) {
        self.say("notifications/subscriptions/acknowledged", &format!(r#""notifications":{filter}"#));
    }
}

fn remote(site: &Site) -> Server {
    let remote = Remote {
        urls: vec![site.url.clone().into()],
        transport: RemoteTransport::StreamableHttp,
        headers: Vec::new(),
        private_allowed: true,
    };
    super::server("p", Launch::Remote(remote))
}

/// A server that lists another tool each time it is asked, and answers listens like this.
async fn site(listen: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Site {
    let lists = AtomicUsize::new(0);
    Site::start(move |seen| match seen.rpc().as_str() {
        "server/discover" => Reply::result(
            &seen,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],
                "capabilities":{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true}}}"#,
        ),
        "tools/list" => {
            let n = lists.fetch_add(1, Ordering::SeqCst);
            Reply::result(&seen, &format!(r#"{{"resultType":"complete","tools":[{{"name":"t{n}"}}]}}"#))
        }
        "subscriptions/listen" => listen(&seen),
        _ => Reply::error(&seen, 404, -32601),
    })
    .await
}

/// A server whose listens are answered by the test.
async fn open_site() -> (Site, mpsc::UnboundedReceiver<Listen>) {
    let (to, listens) = mpsc::unbounded_channel();
    let site = site(move |seen| {
        let (reply, stream) = Reply::events();
        to.send(Listen::of(seen, stream)).unwrap();
        reply
    })
    .await;
    (site, listens)
}

fn resource(uri: &str) -> Topic {
    Topic::Resource(uri.into())
}

async fn wait_for(pool: &Pool, topic: Topic) -> Result<Answer, Fault> {
    pool.wait_for(&ServerName::new("p").unwrap(), &topic).await.map_err(|error| error.fault)
}

#[track_caller]
fn refusal(answer: Result<Answer, Fault>) -> String {
    let Ok(Answer::Error(error)) = answer else { panic!("{answer:?}") };
    error.as_str().to_owned()
}

const LISTS: &str = r#"{"toolsListChanged":true}"#;

#[tokio::test]
async fn a_changed_list_is_read_anew() {
    let (site, mut listens) = open_site().await;
    let pool = pool(vec![remote(&site)]);
    let listen = listens.recv().await.unwrap();
    assert_eq!(listen.filter, LISTS, "only what the server says it tells of");
    listen.acknowledge(LISTS);
    until(&pool, |status| status.offer.is_some() && names(status) == ["t0"]).await;
    listen.say("notifications/tools/list_changed", "");
    until(&pool, |status| names(status) == ["t1"]).await;
    let request = &site.of("subscriptions/listen")[0];
    assert_eq!(request.header("mcp-method"), Some("subscriptions/listen"));
    pool.close().await;
    listen.stream.closed().await;
}

#[tokio::test]
async fn what_is_waited_for_is_a_new_listen_before_the_old_one_ends() {
    let (site, mut listens) = open_site().await;
    let pool = pool(vec![remote(&site)]);
    let mut updates = pool.updates();
    let first = listens.recv().await.unwrap();
    first.acknowledge(LISTS);
    let (one, two, task, second) = tokio::join!(
        wait_for(&pool, resource("a:1")),
        wait_for(&pool, resource("a:2")),
        wait_for(&pool, Topic::Task("job".into())),
        async {
            let second = listens.recv().await.unwrap();
            assert_eq!(
                second.filter,
                r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1","a:2"],"taskIds":["job"]}"#
            );
            assert!(!first.stream.is_closed(), "nothing may be lost in between");
            first.say("notifications/resources/updated", r#""uri":"a:0""#);
            second.acknowledge(
                r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1"],"taskIds":["job"]}"#,
            );
            second
        },
    );
    assert!(matches!(one, Ok(Answer::Result(_))) && matches!(task, Ok(Answer::Result(_))));
    assert!(refusal(two).contains("did not agree to say when this changes"));
    first.stream.closed().await;
    assert_eq!(updates.recv().await.unwrap().params.as_str(), r#"{"uri":"a:0"}"#);
    second.say("notifications/resources/updated", r#""uri":"a:1""#);
    second.say("notifications/tasks", r#""taskId":"job""#);
    let (resource_update, task_update) = (updates.recv().await.unwrap(), updates.recv().await.unwrap());
    assert_eq!(
        (resource_update.method, resource_update.params.as_str()),
        ("notifications/resources/updated", r#"{"uri":"a:1"}"#)
    );
    assert_eq!(
        (task_update.method, task_update.params.as_str()),
        ("notifications/tasks", r#"{"taskId":"job"}"#)
    );
    // Who else waits costs nothing; when nobody does any more, the server is not asked to say so any more.
    assert!(matches!(wait_for(&pool, resource("a:1")).await, Ok(Answer::Result(_))));
    let server = ServerName::new("p").unwrap();
    pool.unsubscribe(&server, resource("a:1"));
    pool.unsubscribe(&server, Topic::Task("job".into()));
    let third = listens.recv().await.unwrap();
    assert_eq!(third.filter, r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#);
    pool.close().await;
}

#[tokio::test]
async fn after_a_break_nothing_is_taken_for_granted() {
    let (site, mut listens) = open_site().await;
    let pool = pool(vec![remote(&site)]);
    let mut updates = pool.updates();
    listens.recv().await.unwrap().acknowledge(LISTS);
    let asked = r#"{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#;
    let again = listens.recv().await.unwrap();
    assert_eq!(again.filter, LISTS, "the first one was dropped right after its acknowledgement");
    again.acknowledge(LISTS);
    let (one, listen) = tokio::join!(wait_for(&pool, resource("a:1")), async {
        let listen = listens.recv().await.unwrap();
        listen.acknowledge(asked);
        listen
    });
    one.unwrap();
    let before = site.of("tools/list").len();
    drop(listen);
    let listen = listens.recv().await.unwrap();
    assert_eq!(listen.filter, asked);
    listen.acknowledge(asked);
    assert_eq!(updates.recv().await.unwrap().params.as_str(), r#"{"uri":"a:1"}"#);
    site.wait_for("tools/list", before + 1).await;
    pool.close().await;
}

#[tokio::test]
async fn a_server_without_listens_is_asked_once() {
    let site = site(|seen| Reply::error(seen, 404, -32601)).await;
    let pool = pool(vec![remote(&site)]);
    for uri in ["a:1", "a:2"] {
        assert!(refusal(wait_for(&pool, resource(uri)).await).contains("takes no subscriptions"));
    }
    assert_eq!(site.of("subscriptions/listen").len(), 1);
    pool.close().await;
}

#[tokio::test]
async fn one_bad_name_does_not_spoil_the_others() {
    let site = site(|seen| {
        let (reply, stream) = Reply::events();
        let listen = Listen::of(seen, stream);
        if listen.filter.contains("bad") {
            return Reply::error(seen, 400, -32602);
        }
        listen.acknowledge(&listen.filter);
        // Kept open until the other side closes it.
        #[expect(clippy::disallowed_methods, reason = "ends with the stream")]
        tokio::spawn(async move { listen.stream.closed().await });
        reply
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    let (one, bad, two) = tokio::join!(
        wait_for(&pool, resource("a:1")),
        wait_for(&pool, resource("bad:1")),
        wait_for(&pool, resource("c:1")),
    );
    assert!(matches!(one, Ok(Answer::Result(_))) && matches!(two, Ok(Answer::Result(_))));
    assert!(refusal(bad).contains("-32602"), "in the server's own words");
    pool.close().await;
}

#[tokio::test]
async fn lines_of_json_are_a_stream_too() {
    let (to, mut streams) = mpsc::unbounded_channel();
    let site = site(move |_| {
        let (reply, stream) = Reply::lines();
        to.send(stream).unwrap();
        reply
    })
    .await;
    let pool = pool(vec![remote(&site)]);
    let stream = streams.recv().await.unwrap();
    push(&stream, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",");
    push(&stream, "\"params\":{\"notifications\":{\"toolsListChanged\":true}}}\n");
    until(&pool, |status| status.offer.is_some() && names(status) == ["t0"]).await;
    push(&stream, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n");
    until(&pool, |status| names(status) == ["t1"]).await;
    pool.close().await;
}

#[tokio::test]
async fn who_stops_waiting_early_leaves_nothing_behind() {
    let (site, mut listens) = open_site().await;
    let pool = pool(vec![remote(&site)]);
    listens.recv().await.unwrap().acknowledge(LISTS);
    let again = listens.recv().await.unwrap();
    again.acknowledge(LISTS);
    let waiting = {
        let pool = Arc::clone(&pool);
        #[expect(clippy::disallowed_methods, reason = "aborted below")]
        tokio::spawn(async move { wait_for(&pool, resource("a:1")).await })
    };
    let asked = listens.recv().await.unwrap();
    assert!(asked.filter.contains("a:1"));
    waiting.abort();
    asked.acknowledge(&asked.filter);
    assert_eq!(listens.recv().await.unwrap().filter, LISTS);
    pool.close().await;
}

#[tokio::test]
async fn who_comes_back_at_once_is_served_by_the_listen_there_is() {
    let (site, mut listens) = open_site().await;
    let pool = pool(vec![remote(&site)]);
    // The first serves the lists; it may be there twice, see above.
    let (answer, _streams) = tokio::join!(wait_for(&pool, resource("a:1")), async {
        let mut streams = Vec::new();
        loop {
            let listen = listens.recv().await.unwrap();
            listen.acknowledge(&listen.filter);
            let is_the_one = listen.filter.contains("a:1");
            streams.push(listen);
            if is_the_one {
                return streams;
            }
        }
    });
    assert!(matches!(answer, Ok(Answer::Result(_))));
    pool.unsubscribe(&ServerName::new("p").unwrap(), resource("a:1"));
    assert!(matches!(wait_for(&pool, resource("a:1")).await, Ok(Answer::Result(_))));
    pool.close().await;
}
