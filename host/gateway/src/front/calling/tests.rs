//! Order, filtering and ends of calls, without a gateway.

use std::task::Waker;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::oneshot;

use super::*;
use crate::mailbox;
use crate::woken::Wakes;

fn event(method: &str, params: &str) -> Event {
    Event { method: method.into(), params: Json::parse(params.to_owned()).unwrap() }
}

fn progress(n: u32) -> Event {
    event(method::PROGRESS, &format!(r#"{{"progressToken":1,"progress":{n}}}"#))
}

/// A call that `work` answers, with the sending end of its notifications.
fn calling(
    wants: Wants,
    work: impl Future<Output = Reply> + Send + 'static,
) -> (mailbox::Sender<Event>, Calling) {
    let (sender, events) = channel(&wants);
    let future = Box::pin(async move { Come::Reply(work.await) });
    let appetite = Appetite::default();
    (sender, Calling { future, appetite, events, said: None, wants, state: State::Running, outlives: None })
}

fn text(part: Part) -> String {
    let message = match part {
        Part::Event(message) => message,
        Part::Reply(reply) => reply.message.unwrap_or_default(),
        Part::Flow(_) => panic!("nobody asked for a flow"),
    };
    String::from_utf8(message).unwrap()
}

fn answer() -> Reply {
    Reply::message(b"answer".to_vec())
}

#[test]
fn notifications_come_before_the_answer_even_when_sent_with_it() {
    let wants = Wants::Progress;
    let (sender, events) = channel(&wants);
    let last = sender.clone();
    let work = async move {
        last.try_send(progress(2)).unwrap();
        answer()
    };
    let future = Box::pin(work);
    let future = Box::pin(async move { Come::Reply(future.await) });
    let appetite = Appetite::default();
    let mut call =
        Calling { future, appetite, events, said: None, wants, state: State::Running, outlives: None };
    sender.try_send(progress(1)).unwrap();
    let parts: Vec<String> = call.by_ref().map(text).collect().now_or_never().unwrap();
    assert_eq!(
        parts,
        [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":2}}"#,
            "answer",
        ]
    );
    assert!(call.next().now_or_never().unwrap().is_none());
}

#[test]
fn a_task_is_woken_for_what_others_say_and_not_for_what_its_own_call_does() {
    let (go, on) = oneshot::channel::<()>();
    let wants = Wants::Progress;
    let (sender, events) = channel(&wants);
    let (asks, said) = mailbox::channel::<Vec<u8>>(1);
    let others = sender.clone();
    let future = Box::pin(async move {
        sender.try_send(progress(1)).unwrap();
        on.await.unwrap();
        sender.try_send(progress(3)).unwrap();
        drop((sender, asks));
        Come::Reply(answer())
    });
    let (appetite, said) = (Appetite::default(), Some(said));
    let mut call = Calling { future, appetite, events, said, wants, state: State::Running, outlives: None };
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut next = || {
        let next = call.poll_next_unpin(&mut Context::from_waker(&waker));
        let said = next.map(|part| part.map(text).unwrap_or_default());
        // The place of its number in a notification of progress.
        (said.map(|said| said.chars().rev().nth(2).unwrap_or_default()), wakes.count())
    };
    assert_eq!(next(), (Poll::Ready('1'), 0));
    assert_eq!(next(), (Poll::Pending, 0));
    others.try_send(progress(2)).unwrap();
    assert_eq!(next(), (Poll::Ready('2'), 1));
    assert_eq!(next(), (Poll::Pending, 1));
    drop(others);
    go.send(()).unwrap();
    assert_eq!(next(), (Poll::Ready('3'), 2));
    // Of "answer".
    assert_eq!(next(), (Poll::Ready('w'), 2));
}

#[test]
fn clients_get_the_notifications_they_want() {
    let message = |level: &str| event(method::MESSAGE, &format!(r#"{{"level":"{level}","data":0}}"#));
    let log = |wanted: &str| Wants::Logs(Some(wanted.into()));
    for (wants, sent, expected) in [
        (Wants::Progress, progress(1), true),
        (Wants::Progress, message("emergency"), false),
        (Wants::Logs(None), message("debug"), true),
        (log("warning"), message("info"), false),
        (log("warning"), message("warning"), true),
        (log("warning"), progress(1), true),
        (log("warning"), event(method::MESSAGE, "{}"), true),
        (Wants::Nothing, progress(1), false),
    ] {
        assert_eq!(wants.takes(&sent), expected, "{wants:?} {sent:?}");
    }
}

#[test]
fn only_those_who_can_be_asked_hear_that_a_url_was_visited() {
    let heard = |said: Option<mailbox::Receiver<Vec<u8>>>| {
        let (sender, mut call) = calling(Wants::Progress, async { answer() });
        sender.try_send(event(method::ELICITED, r#"{"elicitationId":"1"}"#)).unwrap();
        call.said = said;
        call.map(text).collect::<Vec<_>>().now_or_never().unwrap().len() == 2
    };
    assert!(heard(Some(mailbox::channel(1).1)));
    assert!(!heard(None));
}

#[test]
fn a_call_nobody_listens_to_has_no_channel() {
    let (sender, call) = calling(Wants::Nothing, async { answer() });
    assert!(call.events.is_none());
    assert!(sender.try_send(progress(1)).is_err());
    assert_eq!(call.map(text).collect::<Vec<_>>().now_or_never().unwrap(), ["answer"]);
}

#[test]
fn dropping_a_call_drops_its_work() {
    let (held, mut gone) = oneshot::channel::<()>();
    let (_sender, mut call) = calling(Wants::Progress, async move {
        let _held = held;
        std::future::pending().await
    });
    assert!(call.next().now_or_never().is_none());
    assert!(gone.try_recv() == Err(oneshot::error::TryRecvError::Empty));
    drop(call);
    assert!(gone.try_recv() == Err(oneshot::error::TryRecvError::Closed));
}

#[tokio::test]
async fn a_call_that_outlives_its_client_ends_on_its_own() {
    let tasks = Tasks::new();
    let (go, gone) = oneshot::channel::<()>();
    let (done, is_done) = oneshot::channel();
    let (_sender, call) = calling(Wants::Progress, async move {
        gone.await.unwrap();
        done.send(()).unwrap();
        answer()
    });
    let mut call = call.outliving(&tasks);
    assert!(call.next().now_or_never().is_none());
    drop(call);
    go.send(()).unwrap();
    is_done.await.unwrap();
}

#[test]
fn request_ids_are_unique() {
    let ids: std::collections::HashSet<_> = (0..100).map(|_| next_id()).collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn outcomes_are_worded_for_their_wire() {
    let worded = |wire, outcome| {
        let (method, request) = (method::TOOLS_CALL.into(), "r".into());
        let reply = reply(&To { wire, id: Id::number(1), method, request }, outcome);
        (reply.status, String::from_utf8(reply.message.unwrap()).unwrap())
    };
    let result = || Json::parse(r#"{"content":[]}"#).unwrap();
    let (status, modern) = worded(Wire::Modern, Ok(result()));
    assert!(status == 200 && modern.contains(r#""resultType":"complete""#));
    let plain = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#.to_owned();
    assert_eq!(worded(Wire::Legacy, Ok(result())), (200, plain));
    let unknown = || Err(CallError::UnknownMethod("x".into()));
    assert_eq!(worded(Wire::Modern, unknown()).0, 404);
    assert_eq!(worded(Wire::Legacy, unknown()).0, 200);
    let asks = Json::parse(r#"{"resultType":"input_required"}"#).unwrap();
    assert!(worded(Wire::Legacy, Ok(asks.clone())).1.contains(r#""code":"input_required""#));
    assert!(worded(Wire::Modern, Ok(asks)).1.contains(r#""result":{"_meta""#));
}
