//! What is kept of streams, for whom, and what is not.

use futures_util::FutureExt as _;

use super::*;

fn replay() -> Replay {
    Replay::new(Arc::default())
}

fn push(recording: &Recording, text: &str) {
    recording.push(text.into()).now_or_never().expect("there is room");
}

/// What a reader gets without waiting, and whether the stream is over.
fn read(reader: &mut Reader) -> (Vec<String>, bool) {
    let mut texts = Vec::new();
    loop {
        match reader.next().now_or_never() {
            Some(Some(event)) => texts.push(String::from_utf8(event.data.to_vec()).unwrap()),
            Some(None) => return (texts, true),
            None => return (texts, false),
        }
    }
}

fn next(reader: &mut Reader) -> Event {
    reader.next().now_or_never().flatten().expect("an event")
}

fn id_of(event: &Event) -> EventId {
    EventId::parse(event.id.as_deref().expect("an id")).expect("one of ours")
}

#[test]
fn an_id_names_its_stream_and_nothing_else_is_one() {
    let replay = replay();
    let (one, mut reader) = replay.answer(false);
    push(&one, "a");
    push(&one, "b");
    let (_two, mut other) = replay.answer(true);
    let ids = [id_of(&next(&mut reader)), id_of(&next(&mut reader)), id_of(&next(&mut other))];
    assert_eq!(ids.map(|id| (id.stream, id.event)), [(1, 1), (1, 2), (2, 0)]);
    let text = ids[1].to_string();
    assert_eq!(EventId::parse(&text), Some(ids[1]));
    for bad in ["", "1", "00000000-a1", "00000000-x1-1", "00000000-a1-1-1", "0-a1-1", "00000000-a01-1", "-a-"]
    {
        assert_eq!(EventId::parse(bad), None, "{bad}");
    }
    assert_eq!(EventId::parse(&text.to_uppercase()), None);
}

#[test]
fn a_primed_stream_begins_with_nothing_and_a_time_to_wait() {
    let replay = replay();
    let (recording, mut reader) = replay.answer(true);
    push(&recording, "a");
    let (first, second) = (next(&mut reader), next(&mut reader));
    assert_eq!((first.data.len(), first.retry), (0, Some(RETRY)));
    assert_eq!((&second.data[..], second.retry), (&b"a"[..], None));
}

#[test]
fn a_broken_stream_goes_on_behind_the_last_event_that_arrived() {
    let replay = replay();
    let (recording, mut reader) = replay.answer(false);
    push(&recording, "a");
    let arrived = id_of(&next(&mut reader));
    drop(reader);
    push(&recording, "b");
    let mut again = replay.resume(arrived).expect("kept");
    assert_eq!(read(&mut again), (vec!["b".into()], false));
    push(&recording, "c");
    recording.finish(Instant::now());
    assert_eq!(read(&mut again), (vec!["c".into()], true));
    drop(again);
    let mut late = replay.resume(arrived).expect("kept after the end");
    assert_eq!(read(&mut late), (vec!["b".into(), "c".into()], true));
}

#[test]
fn the_newest_connection_wins() {
    let replay = replay();
    let (recording, mut reader) = replay.answer(false);
    push(&recording, "a");
    let arrived = id_of(&next(&mut reader));
    let mut second = replay.resume(arrived).expect("kept");
    push(&recording, "b");
    assert_eq!(read(&mut reader), (vec![], true), "the older one is over");
    drop(reader);
    assert_eq!(recording.standing(), Standing::Read, "and its end is not the other's");
    assert_eq!(read(&mut second), (vec!["b".into()], false));
}

#[test]
fn what_is_not_kept_is_unknown() {
    let (replay, other) = (replay(), replay());
    let (recording, mut reader) = replay.answer(false);
    push(&recording, "a");
    let id = id_of(&next(&mut reader));
    assert!(other.resume(id).is_none(), "another session's");
    assert!(replay.resume(EventId { event: 2, ..id }).is_none(), "not yet there");
    assert!(replay.resume(EventId { event: u64::MAX, ..id }).is_none());
    assert!(replay.resume(EventId { stream: 9, ..id }).is_none());
    assert!(replay.resume(EventId { kind: Kind::News, ..id }).is_none());
    assert!(replay.resume(id).is_some());
    let end = Instant::now();
    recording.finish(end);
    replay.sweep(end + KEPT);
    assert!(replay.resume(id).is_some());
    replay.sweep(end + KEPT + Duration::from_secs(1));
    assert!(replay.resume(id).is_none(), "too old");
    assert!(replay.is_empty());
}

#[test]
fn the_oldest_goes_first_when_a_stream_is_long() {
    let replay = replay();
    let (recording, mut reader) = replay.answer(false);
    push(&recording, "0");
    let first = id_of(&next(&mut reader));
    drop(reader);
    for _ in 0..STREAM_EVENTS {
        push(&recording, "x");
    }
    assert!(replay.resume(first).is_some(), "just all of it is kept");
    push(&recording, "y");
    assert!(replay.resume(first).is_none(), "one too many was said meanwhile");
    let mut rest = replay.resume(EventId { event: 2, ..first }).expect("what is kept can be had");
    assert_eq!(read(&mut rest).0.len(), STREAM_EVENTS);
}

#[test]
fn nothing_that_a_connection_waits_for_is_dropped() {
    let replay = replay();
    let (recording, mut reader) = replay.answer(false);
    let large = "x".repeat(WAITING_BYTES);
    push(&recording, &large);
    let mut waiting = Box::pin(recording.push("last".into()));
    assert!((&mut waiting).now_or_never().is_none(), "the maker waits");
    assert_eq!(next(&mut reader).data.len(), WAITING_BYTES);
    assert!((&mut waiting).now_or_never().is_some());
    // And nobody waits for a connection that is gone.
    push(&recording, &large);
    let mut waiting = Box::pin(recording.push("more".into()));
    assert!((&mut waiting).now_or_never().is_none());
    drop(reader);
    assert!(waiting.now_or_never().is_some());
}

#[test]
fn a_session_and_all_of_them_keep_only_so_much() {
    let budget = Arc::new(Budget::default());
    let one = Replay::new(Arc::clone(&budget));
    let large = "x".repeat(STREAM_BYTES / 2);
    for _ in 0..ENDED {
        let (recording, reader) = one.answer(false);
        drop(reader);
        push(&recording, &large);
        recording.finish(Instant::now());
    }
    assert!(budget.0.load(Ordering::Relaxed) <= SESSION_BYTES);
    assert_eq!(one.0.state().tapes.len(), SESSION_BYTES / large.len(), "the oldest streams went first");
    // Others have taken all there is.
    budget.0.fetch_add(ALL_BYTES, Ordering::Relaxed);
    let two = Replay::new(Arc::clone(&budget));
    let (recording, reader) = two.answer(false);
    drop(reader);
    push(&recording, "a little");
    assert_eq!(two.0.state().bytes, 8);
    push(&recording, &large);
    assert!(two.0.state().bytes <= LITTLE);
    drop((one, two, recording));
    assert_eq!(budget.0.load(Ordering::Relaxed), ALL_BYTES, "everything was given back");
}

#[test]
fn streams_that_ended_are_kept_in_a_bounded_number() {
    let replay = replay();
    for _ in 0..ENDED * 2 {
        let (recording, reader) = replay.answer(true);
        drop(reader);
        recording.finish(Instant::now());
    }
    assert_eq!(replay.0.state().tapes.len(), ENDED);
}

#[test]
fn news_go_where_they_are_read_last() {
    let replay = replay();
    let (first, reader) = replay.news(2, false).expect("room");
    let (second, other) = replay.news(2, false).expect("room");
    assert!(replay.news(2, false).is_none(), "so many at once");
    assert_eq!((first.is_chosen(), second.is_chosen()), (false, true));
    drop(other);
    assert_eq!((first.is_chosen(), second.is_chosen()), (true, false));
    drop(reader);
    assert_eq!((first.is_chosen(), second.is_chosen()), (true, false), "kept for whoever comes back");
    let (third, _reader) = replay.news(2, false).expect("room");
    assert!(third.is_chosen());
    assert_eq!(first.standing(), Standing::Gone, "nobody came back, and it made room");
    second.finish(Instant::now());
    assert_eq!(second.standing(), Standing::Gone);
}
