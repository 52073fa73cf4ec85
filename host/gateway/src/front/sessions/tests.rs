//! Sessions that are found, forgotten, brought back and ended.

use std::time::Duration;

use wasmgate_core::jsonrpc::Id;

use super::super::session::tests::{agreed, caller};
use super::*;
use crate::gateway::View;

fn sessions(most: usize, each: usize) -> Sessions {
    let idle = Duration::from_secs(300);
    let limits = Limits { sessions: most, sessions_per_principal: each, idle, ..Limits::default() };
    Sessions::new(limits, |_| {})
}

fn open(sessions: &Sessions, principal: &str, now: Instant) -> Result<Arc<Session>, Refusal> {
    sessions.open(Caller { principal: principal.into(), view: View::All }, now)
}

/// A session whose client came back, and the id it knows it by.
fn opened(sessions: &Sessions, principal: &str, now: Instant) -> (Arc<Session>, Arc<str>) {
    let session = open(sessions, principal, now).unwrap();
    session.agree(agreed("2025-11-25"), Revisions::default()).unwrap();
    session.touch(now);
    let id = sessions.seal(&session, &key(), NOW).unwrap();
    (session, id)
}

fn key() -> Sealer {
    Sealer::new([7; 32])
}

fn visit(caller: &Caller, now: Instant) -> Visit<'_> {
    Visit { caller, now, seconds: NOW }
}

const NOW: u64 = 1_000_000;

#[test]
fn an_id_is_long_random_and_plain() {
    let sessions = sessions(9, 9);
    let ids: Vec<_> = (0..3).map(|_| opened(&sessions, "a", Instant::now()).1).collect();
    assert!(ids.iter().all(|id| id.len() >= 43 && id.bytes().all(|b| b.is_ascii_graphic())));
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

#[test]
fn a_session_is_found_by_its_own_caller_only() {
    let sessions = sessions(9, 9);
    let now = Instant::now();
    let (session, id) = opened(&sessions, "alice", now);
    let find = |id: &str, caller: &Caller| sessions.find(id, Some(&key()), visit(caller, now));
    assert!(find(&id, &caller()).is_ok());
    assert!(find(&session.id, &caller()).is_err(), "its name is no id");
    let thief = Caller { principal: "bob".into(), view: View::All };
    assert!(find(&id, &thief).is_err());
    let server = wasmgate_core::name::ServerName::new("time").unwrap();
    assert!(find(&id, &Caller { view: View::One(server), ..caller() }).is_err());
    assert!(find("nope", &caller()).is_err());
    // Failed attempts leave the session to its owner.
    assert!(find(&id, &caller()).is_ok());
    sessions.close(&session);
    assert!(find(&id, &caller()).is_err(), "and ended is ended");
    assert!(session.ended.is_cancelled());
}

#[test]
fn sessions_in_memory_are_limited_for_each_and_for_all() {
    let sessions = sessions(3, 2);
    let now = Instant::now();
    let first = open(&sessions, "a", now).unwrap();
    let _second = open(&sessions, "a", now).unwrap();
    assert!(matches!(open(&sessions, "a", now), Err(Refusal::Limit(_))));
    let _third = open(&sessions, "b", now).unwrap();
    assert!(matches!(open(&sessions, "c", now), Err(Refusal::Limit(_))));
    sessions.close(&first);
    sessions.close(&first);
    assert!(open(&sessions, "a", now).is_ok());
    assert!(open(&sessions, "a", now).is_err());
}

#[test]
fn unused_sessions_make_room_and_come_back() {
    let sessions = sessions(9, 1);
    let start = Instant::now();
    let (session, id) = opened(&sessions, "alice", start);
    drop(session);
    assert!(open(&sessions, "alice", start).is_err(), "it was used this very moment");
    let later = start + PAUSE * 2;
    let second = open(&sessions, "alice", later).expect("the idle one makes room");
    sessions.close(&second);
    let back = sessions.find(&id, Some(&key()), visit(&caller(), later)).expect("it comes back");
    assert_eq!(back.agreed().unwrap().version, "2025-11-25");
}

#[test]
fn who_has_a_session_is_not_kept_out_by_those_who_open_them_and_leave() {
    let sessions = sessions(2, 2);
    let start = Instant::now();
    let (session, id) = opened(&sessions, "alice", start);
    drop(session);
    let later = start + PAUSE * 2;
    let left = || {
        let session = open(&sessions, "alice", later).unwrap();
        session.agree(agreed("2025-11-25"), Revisions::default()).unwrap();
        sessions.seal(&session, &key(), NOW).unwrap()
    };
    let others = [left(), left()];
    assert!(open(&sessions, "alice", later).is_err(), "there is no room for another new one");
    let find = |id: &str| sessions.find(id, Some(&key()), visit(&caller(), later));
    assert!(find(&id).is_ok(), "one that is used comes back all the same");
    assert_eq!(sessions.len(), 2);
    // The first of the others that is used takes the other's place, and then both are somebody's.
    assert_eq!(others.map(|id| find(&id).is_ok()), [true, false], "no session that was used is displaced");
    assert_eq!((sessions.len(), lock(&sessions.counts)["alice"]), (2, 2));
}

#[test]
fn sessions_with_a_level_make_room_when_there_is_none() {
    let sessions = sessions(9, 1);
    let start = Instant::now();
    let (wordy, id) = opened(&sessions, "alice", start);
    wordy.set_level("info", None);
    drop(wordy);
    assert!(open(&sessions, "alice", start + Duration::from_secs(60)).is_err(), "used a minute ago");
    let later = start + Duration::from_secs(301);
    let second = open(&sessions, "alice", later).expect("the idle one makes room");
    sessions.close(&second);
    assert!(
        sessions.find(&id, Some(&key()), visit(&caller(), later)).is_ok(),
        "it comes back, without its level"
    );
}

#[test]
fn a_session_in_use_ends_with_its_id() {
    let sessions = sessions(9, 9);
    let start = Instant::now();
    let (session, id) = opened(&sessions, "alice", start);
    drop(session);
    let caller = caller();
    let at = |seconds| {
        let visit = Visit { seconds, ..visit(&caller, start) };
        sessions.find(&id, Some(&key()), visit).is_ok()
    };
    assert!(at(NOW + token::LIFE));
    assert!(!at(NOW + token::LIFE + 1));
    assert!(!at(NOW), "for good");
}

#[test]
fn unused_sessions_are_forgotten_and_busy_ones_stay() {
    let sessions = sessions(9, 9);
    let start = Instant::now();
    let minute = Duration::from_secs(60);
    open(&sessions, "a", start).unwrap();
    opened(&sessions, "a", start);
    let wordy = opened(&sessions, "a", start).0;
    wordy.set_level("info", None);
    drop(wordy);
    let busy = opened(&sessions, "a", start).0;
    let streaming = opened(&sessions, "a", start).0;
    let call = busy.begin(&Id::number(1), 9).unwrap();
    let (recording, reader) = streaming.replay.answer(true);
    drop((busy, streaming));
    let sweep = |after: Duration| sessions.sweep(start + after, NOW);
    let second = Duration::from_secs(1);
    assert_eq!(sweep(minute), 0);
    assert_eq!(sweep(minute + second), 1, "whoever never came back");
    assert_eq!(sweep(5 * minute + second), 1, "whoever did not for long");
    assert_eq!(sweep(600 * minute), 0, "a log level is not in the id; calls and streams go on");
    assert_eq!(sweep(1440 * minute + second), 1, "and even that ends with the id");
    drop(reader);
    recording.finish(start + 1441 * minute);
    assert_eq!(sweep(1441 * minute), 0, "what a stream carried is kept for a while");
    assert_eq!(sweep(1447 * minute), 1);
    drop(call);
    assert_eq!(sweep(1447 * minute), 1);
    assert_eq!(sessions.len(), 0);
    assert!(lock(&sessions.counts).is_empty());
}

#[test]
fn ten_thousand_idle_sessions_cost_no_entry_and_all_come_back() {
    let sessions = sessions(10_000, 10_000);
    let start = Instant::now();
    let ids: Vec<Arc<str>> = (0..10_000).map(|_| opened(&sessions, "alice", start).1).collect();
    assert_eq!(sessions.len(), 10_000);
    assert!(open(&sessions, "alice", start).is_err());
    let later = start + Duration::from_secs(301);
    sessions.sweep(later, NOW);
    assert_eq!((sessions.len(), lock(&sessions.ended).each.len()), (0, 0), "nothing is left of them");
    assert!(lock(&sessions.counts).is_empty());
    for id in ids.iter().step_by(100) {
        assert!(sessions.find(id, Some(&key()), visit(&caller(), later)).is_ok());
    }
    assert_eq!(sessions.len(), 100, "only those that are used again");
}

#[test]
fn a_session_comes_back_under_its_key_and_nowhere_else() {
    let (here, there) = (sessions(9, 9), sessions(9, 9));
    let now = Instant::now();
    let (session, id) = opened(&here, "alice", now);
    let find =
        |sessions: &Sessions, sealer: Option<&Sealer>| sessions.find(&id, sealer, visit(&caller(), now));
    let (key, other_key) = (key(), Sealer::new([8; 32]));
    let found = find(&there, Some(&key)).expect("another replica");
    assert_eq!(found.id, session.id, "under the same name");
    assert!(Arc::ptr_eq(&found, &find(&there, Some(&key)).unwrap()), "once");
    let elsewhere = sessions(9, 9);
    assert!(find(&elsewhere, Some(&other_key)).is_err());
    assert!(find(&elsewhere, None).is_err());
    assert_eq!(elsewhere.len(), 0);
}

#[test]
fn an_ended_session_is_remembered_until_its_id_expires() {
    let sessions = sessions(9, 9);
    let now = Instant::now();
    let (session, id) = opened(&sessions, "alice", now);
    sessions.close(&session);
    let find = |seconds| sessions.find(&id, Some(&key()), Visit { caller: &caller(), now, seconds });
    sessions.sweep(now, NOW + token::LIFE);
    assert_eq!(lock(&sessions.ended).each.len(), 1);
    assert!(find(NOW + token::LIFE).is_err());
    sessions.sweep(now, NOW + token::LIFE + 1);
    assert!(lock(&sessions.ended).each.is_empty());
    assert!(find(NOW + token::LIFE + 1).is_err(), "nobody needs to remember it any more");
}

#[test]
fn no_ended_session_comes_back_however_many_were_ended() {
    let sessions = sessions(9, 9);
    let now = Instant::now();
    let (first, first_id) = opened(&sessions, "alice", now);
    sessions.close(&first);
    // Others, a second older or younger.
    let other = |seconds| {
        let session = open(&sessions, "alice", now).unwrap();
        session.agree(agreed("2025-11-25"), Revisions::default()).unwrap();
        let id = sessions.seal(&session, &key(), seconds).unwrap();
        sessions.shard(&id).remove(&id);
        sessions.uncount(&session.caller.principal);
        id
    };
    let (before, after) = (other(NOW - 1), other(NOW + 1));
    for number in 0..ENDED {
        lock(&sessions.ended).add(NOW + token::LIFE + 2, number.to_string().into());
    }
    assert_eq!(lock(&sessions.ended).each.len(), ENDED, "they are not all remembered");
    let find = |id: &str| sessions.find(id, Some(&key()), visit(&caller(), now)).is_ok();
    assert!(!find(&first_id));
    assert!(!find(&before), "nobody knows whether it was ended");
    assert!(find(&after));
}

#[test]
fn a_session_that_ends_while_it_comes_back_is_ended() {
    for _ in 0..200 {
        let sessions = sessions(9, 9);
        let now = Instant::now();
        let (session, id) = opened(&sessions, "alice", now);
        drop(session);
        sessions.forget(now + PAUSE * 2, PAUSE);
        let caller = caller();
        let find = || sessions.find(&id, Some(&key()), visit(&caller, now));
        std::thread::scope(|scope| {
            scope.spawn(|| sessions.close(&find().unwrap()));
            for _ in 0..3 {
                scope.spawn(|| drop(find()));
            }
        });
        assert!(find().is_err());
        assert_eq!((sessions.len(), lock(&sessions.counts).len()), (0, 0));
    }
}

#[test]
fn who_keeps_something_for_a_session_hears_of_its_end_and_of_nothing_less() {
    let heard: Arc<Mutex<Vec<Arc<str>>>> = Arc::default();
    let hears = Arc::clone(&heard);
    let sessions =
        Sessions::new(Limits::default(), move |session| hears.lock().unwrap().push(session.into()));
    let (start, idle) = (Instant::now(), Limits::default().idle + PAUSE);
    let expired = NOW + token::LIFE + 1;
    let mut names = Vec::new();
    for _ in 0..4 {
        let (session, id) = opened(&sessions, "alice", start);
        names.push((Arc::clone(&session.id), id));
    }
    let heard = || std::mem::take(&mut *heard.lock().unwrap());
    let found = |at: usize, seconds| {
        let alice = caller();
        let visit = Visit { caller: &alice, now: start + idle, seconds };
        sessions.find(&names[at].1, Some(&key()), visit)
    };
    // The stream of HTTP+SSE breaks, or the client says goodbye.
    sessions.close(&found(0, NOW).unwrap());
    assert_eq!(heard(), [Arc::clone(&names[0].0)]);
    assert!(found(1, NOW).is_ok() && found(2, NOW).is_ok());
    assert_eq!(sessions.sweep(start + idle, NOW), 1);
    assert_eq!(heard(), Vec::<Arc<str>>::new(), "it may come back");
    assert!(found(3, NOW).is_ok());
    assert!(found(1, expired).is_err());
    assert_eq!(heard(), [Arc::clone(&names[1].0)]);
    assert_eq!(sessions.sweep(start + idle * 3, expired), 2);
    assert_eq!(heard().len(), 2, "nobody comes back with these");
}
