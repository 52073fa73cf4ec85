//! What a server of an older version asks of its client in the middle of a call. No socket, no clock.
//!
//! [`Talk`] is one call as its server sees it: who waits for the answer, and which questions are open. Questions are
//! handed to the caller all at once, in place of an answer; what the server says while the caller is away is kept for it.
//! `ping` never gets that far: it is answered here.

use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmgate_core::json::Json;
use wasmgate_core::jsonrpc::{self, Id};
use wasmgate_core::mcp::{code, method};

use super::asks::{Question, Reply};
use super::{Answer, Event, Fault};
use crate::mailbox;

/// What ends a wait.
pub(super) type Outcome = Result<Said, Fault>;

/// What a server says to a call.
#[derive(Debug)]
pub(super) enum Said {
    /// Its answer.
    Answer(Answer),
    /// Its questions, where what it says next will come, and what tells when the call is over at the server.
    Questions(Vec<Question>, oneshot::Receiver<Outcome>, CancellationToken),
}

/// The replies of a client, for a call that waits for them.
pub(super) struct Resumption {
    /// By the keys of the questions.
    pub(super) replies: Vec<(String, Reply)>,
    /// Where the call's notifications go from now on.
    pub(super) events: mailbox::Sender<Event>,
}

/// One call and what it has been asked.
pub(super) struct Talk {
    caller: oneshot::Sender<Outcome>,
    is_parked: bool,
    open: Vec<Open>,
    /// How many questions there have been.
    asked: usize,
    /// How often in a row the client came back without a reply to any.
    fruitless: u32,
    /// Said when it ends, in whatever way: somebody may wait for that while nobody waits for its outcome. None before the
    /// first question.
    over: Option<(CancellationToken, DropGuard)>,
}

/// A question that the server waits for the reply to.
struct Open {
    id: Id,
    question: Question,
}

impl Talk {
    /// A call that begins, and where its outcome comes.
    pub(super) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (caller, outcome) = oneshot::channel();
        (Self { caller, is_parked: false, open: Vec::new(), asked: 0, fruitless: 0, over: None }, outcome)
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.caller.is_closed()
    }

    /// The server asks.
    ///
    /// # Errors
    /// What to answer it at once: it has asked too much.
    pub(super) fn ask(&mut self, id: Id, asked: Box<str>, params: Option<Json>) -> Result<(), Vec<u8>> {
        // A stream that is taken up again may repeat what came last.
        if self.open.iter().any(|open| open.id == id) {
            return Ok(());
        }
        let held = |open: &Open| size(open.question.params.as_ref()) + open.id.raw().len();
        let held: usize = self.open.iter().map(held).sum();
        let more = size(params.as_ref()) + id.raw().len();
        if self.asked >= MAX_QUESTIONS || held + more > MAX_HELD {
            return Err(refusal(&id, code::INTERNAL, "this call has asked too much"));
        }
        self.asked += 1;
        let key = format!("q{}", self.asked);
        let params = params.map(|params| params.detached());
        let id = id.detached();
        self.open.push(Open { id, question: Question { key, method: asked, params } });
        Ok(())
    }

    /// The server does not want to know any more. Says whether the question was one of this call.
    pub(super) fn withdraw(&mut self, id: &Id) -> bool {
        let before = self.open.len();
        self.open.retain(|open| open.id != *id);
        self.open.len() != before
    }

    /// Hands the open questions to the caller when there are any and it waits. Says whether it did. A client that comes
    /// back again and again without a reply would hold the call for ever: from some time on the call's deadlines run.
    pub(super) fn hand_out(&mut self) -> bool {
        if self.is_parked || self.open.is_empty() || self.fruitless >= MAX_FRUITLESS {
            return false;
        }
        let (next, outcome) = oneshot::channel();
        let questions = self.open.iter().map(|open| open.question.clone()).collect();
        let caller = std::mem::replace(&mut self.caller, next);
        let (over, _) = self.over.get_or_insert_with(|| {
            let over = CancellationToken::new();
            (over.clone(), over.drop_guard())
        });
        let over = over.clone();
        let _ = caller.send(Ok(Said::Questions(questions, outcome, over)));
        self.is_parked = true;
        true
    }

    /// The client has replied: what to tell the server. Replies to what is not asked any more are dropped.
    pub(super) fn resume(&mut self, replies: Vec<(String, Reply)>) -> Vec<Vec<u8>> {
        self.is_parked = false;
        let mut said = Vec::with_capacity(replies.len());
        let was_asked = !self.open.is_empty();
        for (key, reply) in replies {
            let Some(at) = self.open.iter().position(|open| open.question.key == key) else { continue };
            let id = self.open.remove(at).id;
            said.push(match reply {
                Reply::Result(result) => jsonrpc::write_result(&id, &result),
                Reply::Error(error) => jsonrpc::write_error(Some(&id), &error),
            });
        }
        self.fruitless = if was_asked && said.is_empty() { self.fruitless + 1 } else { 0 };
        said
    }

    /// The call is over: the caller is told.
    pub(super) fn finish(self, outcome: Result<Answer, Fault>) {
        let _ = self.caller.send(outcome.map(Said::Answer));
    }

    /// The call is given up: what to tell a server that still waits for replies.
    pub(super) fn give_up(&mut self) -> Vec<Vec<u8>> {
        let open = self.open.drain(..);
        open.map(|open| refusal(&open.id, code::INTERNAL, "the client has given up")).collect()
    }
}

/// The answer to a question that goes to no client, one whole message.
pub(super) fn answer(id: &Id, asked: &str, refused: i64) -> Vec<u8> {
    if asked == method::PING {
        return jsonrpc::write_result(id, &Json::empty_object());
    }
    refusal(id, refused, "this client cannot be asked that here")
}

fn refusal(id: &Id, code: i64, message: &str) -> Vec<u8> {
    jsonrpc::write_error(Some(id), &jsonrpc::error_object(code, message, None))
}

fn size(params: Option<&Json>) -> usize {
    params.map_or(0, |params| params.bytes().len())
}

/// So often in a row may a client come back without a reply to what it is asked.
const MAX_FRUITLESS: u32 = 4;
/// JSON-RPC 2.0 section 5.1.
pub(super) const METHOD_NOT_FOUND: i64 = code::METHOD_NOT_FOUND;
/// A server that has asked so much in one call is told so.
const MAX_QUESTIONS: usize = 32;
/// Bytes of questions that wait in one call.
const MAX_HELD: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.to_owned()).unwrap()
    }

    fn ask(talk: &mut Talk, n: u64) -> Result<(), Vec<u8>> {
        talk.ask(Id::number(n), method::ELICIT.into(), Some(json(r#"{"message":"?"}"#)))
    }

    #[track_caller]
    fn questions(outcome: &mut oneshot::Receiver<Outcome>) -> (Vec<String>, oneshot::Receiver<Outcome>) {
        match outcome.try_recv().unwrap().unwrap() {
            Said::Questions(questions, next, _) => (questions.into_iter().map(|q| q.key).collect(), next),
            Said::Answer(answer) => panic!("{answer:?}"),
        }
    }

    fn text(messages: Vec<Vec<u8>>) -> Vec<String> {
        messages.into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
    }

    #[test]
    fn only_ping_is_answered_here() {
        let said = |asked| String::from_utf8(answer(&Id::number(3), asked, -32601)).unwrap();
        assert_eq!(said("ping"), r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
        for asked in ["sampling/createMessage", "elicitation/create", "roots/list", "Ping", ""] {
            assert!(said(asked).contains(r#""error":{"code":-32601"#), "{asked}");
        }
    }

    #[test]
    fn the_end_of_a_call_is_told_while_its_client_is_still_asked() {
        let (mut talk, mut outcome) = Talk::new();
        ask(&mut talk, 7).unwrap();
        assert!(talk.hand_out());
        let Said::Questions(_, mut next, over) = outcome.try_recv().unwrap().unwrap() else { panic!("none") };
        // A second round is of the same call.
        talk.resume(vec![("q1".into(), Reply::Result(json("{}")))]);
        ask(&mut talk, 8).unwrap();
        assert!(talk.hand_out());
        let Said::Questions(_, mut last, again) = next.try_recv().unwrap().unwrap() else { panic!("none") };
        assert!(!over.is_cancelled() && !again.is_cancelled());
        talk.finish(Err(Fault::Timeout(1)));
        assert!(over.is_cancelled() && again.is_cancelled());
        assert!(last.try_recv().unwrap().is_err(), "and how it ended is there for whoever comes");
    }

    #[test]
    fn who_never_replies_is_not_asked_for_ever() {
        let (mut talk, mut outcome) = Talk::new();
        ask(&mut talk, 7).unwrap();
        for _ in 0..MAX_FRUITLESS {
            assert!(talk.hand_out());
            outcome = questions(&mut outcome).1;
            assert!(talk.resume(Vec::new()).is_empty());
        }
        assert!(!talk.hand_out(), "its deadlines run");
        let reply = Reply::Result(json("{}"));
        assert_eq!(talk.resume(vec![("q1".into(), reply)]).len(), 1, "a reply still counts");
        ask(&mut talk, 8).unwrap();
        assert!(talk.hand_out());
    }

    #[test]
    fn questions_are_handed_out_together_and_replied_to_by_the_servers_ids() {
        let (mut talk, mut outcome) = Talk::new();
        assert!(!talk.hand_out(), "nothing is asked");
        ask(&mut talk, 7).unwrap();
        ask(&mut talk, 8).unwrap();
        ask(&mut talk, 7).unwrap();
        assert!(talk.hand_out());
        let (keys, mut outcome) = questions(&mut outcome);
        assert_eq!(keys, ["q1", "q2"], "what is repeated is one question");
        ask(&mut talk, 9).unwrap();
        assert!(!talk.hand_out(), "its caller is away");
        let replies = vec![
            ("q2".to_owned(), Reply::Error(json(r#"{"code":-1,"message":"no"}"#))),
            ("q7".to_owned(), Reply::Result(json("{}"))),
        ];
        assert_eq!(
            text(talk.resume(replies)),
            [r#"{"jsonrpc":"2.0","id":8,"error":{"code":-1,"message":"no"}}"#]
        );
        assert!(talk.hand_out(), "what has no reply is asked again");
        let (keys, mut outcome) = questions(&mut outcome);
        assert_eq!(keys, ["q1", "q3"]);
        talk.finish(Ok(Answer::Result(json("1"))));
        assert!(matches!(outcome.try_recv().unwrap(), Ok(Said::Answer(_))), "an answer does not wait");
    }

    #[test]
    fn a_withdrawn_question_is_not_asked_and_not_answered() {
        let (mut talk, _outcome) = Talk::new();
        ask(&mut talk, 7).unwrap();
        assert!(talk.withdraw(&Id::number(7)) && !talk.withdraw(&Id::number(7)));
        assert!(!talk.hand_out());
        assert!(talk.give_up().is_empty());
    }

    #[test]
    fn a_call_that_asks_too_much_is_refused() {
        let (mut talk, outcome) = Talk::new();
        for n in 0..100 {
            let refused = ask(&mut talk, n).is_err();
            assert_eq!(refused, n >= 32, "{n}");
        }
        assert_eq!(talk.give_up().len(), 32, "none is left without an answer");
        drop(outcome);
        assert!(talk.is_abandoned());

        let (mut talk, _outcome) = Talk::new();
        let long = |n| json(&format!("{{\"message\":\"{}\"}}", "x".repeat(n)));
        talk.ask(Id::number(1), method::ELICIT.into(), Some(long(600 << 10))).unwrap();
        let refused = talk.ask(Id::number(2), method::ELICIT.into(), Some(long(600 << 10))).unwrap_err();
        assert!(String::from_utf8(refused).unwrap().contains("-32603"));
    }
}
