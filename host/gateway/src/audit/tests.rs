//! The log as its readers find it: chained, complete, and mended after whatever happened to its file.

use std::path::Path;

use futures_util::FutureExt as _;

use super::*;

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wasmgate-audit-{}-{name}", std::process::id()));
    let _absent = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn entry(name: &str) -> Entry {
    Entry { name: Some(name.to_owned()), method: Some("tools/call".into()), ..Entry::default() }
}

const OK: Outcome = Outcome { kind: "ok", code: None };

fn settings(file: &Path) -> Settings {
    Settings { file: file.to_owned(), on_failure: OnFailure::Refuse, queue: QUEUE }
}

/// Writes these names through a log of its own, to its end.
async fn written(file: &Path, names: &[&str]) {
    let tasks = Tasks::new();
    let audit = Audit::open(settings(file), &tasks).unwrap();
    for name in names {
        audit.begin(entry(name)).await.unwrap().end(OK);
    }
    assert!(tasks.finish(Duration::from_secs(5)).await.is_empty());
}

fn lines(text: &str) -> impl Iterator<Item = &[u8]> {
    text.lines().map(str::as_bytes)
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart_and_a_torn_line() {
    let here = directory("restart");
    let file = here.join("audit.jsonl");
    written(&file, &["a", "b"]).await;
    let half = format!("{}{{\"seq\":2,\"pre", read(&file));
    std::fs::write(&file, half).unwrap();
    written(&file, &["c"]).await;
    let text = read(&file);
    assert_eq!(verify(lines(&text)).unwrap().last, Some(2));
    assert_eq!(text.lines().count(), 3);
    std::fs::write(&file, "something else\n").unwrap();
    assert!(matches!(Audit::open(settings(&file), &Tasks::new()), Err(OpenError::Unusable { .. })));
    std::fs::remove_dir_all(here).unwrap();
}

#[tokio::test]
async fn whatever_is_done_to_a_line_is_found_there() {
    let here = directory("tamper");
    let file = here.join("audit.jsonl");
    written(&file, &["a", "b", "c", "d"]).await;
    let text = read(&file);
    let all: Vec<&str> = text.lines().collect();
    let check = |lines: &[&str], expected: Result<u64, u64>| {
        let got = verify(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(got.map(|found| found.lines).map_err(|broken| broken.line), expected, "{lines:?}");
    };
    let changed = all[1].replace("\"b\"", "\"x\"");
    check(&all, Ok(4));
    check(&all[2..], Ok(2));
    check(&[all[0], &changed, all[2]], Err(3));
    check(&[all[0], all[2], all[3]], Err(2));
    check(&[all[0], all[2], all[1]], Err(2));
    check(&[all[0], all[0]], Err(2));
    check(&[all[0], "", all[1]], Err(2));
    std::fs::remove_dir_all(here).unwrap();
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_followed_by_another() {
    let here = directory("moved");
    let file = here.join("audit.jsonl");
    let tasks = Tasks::new();
    let audit = Audit::open(settings(&file), &tasks).unwrap();
    audit.begin(entry("a")).await.unwrap().end(OK);
    while read(&file).is_empty() {
        tokio::task::yield_now().await;
    }
    let old = here.join("audit.jsonl.1");
    std::fs::rename(&file, &old).unwrap();
    audit.begin(entry("b")).await.unwrap().end(OK);
    drop(audit.begin(entry("given up")).await.unwrap());
    tasks.finish(Duration::from_secs(5)).await;
    let both = format!("{}{}", read(&old), read(&file));
    assert_eq!(verify(lines(&both)).unwrap().lines, 3);
    assert!(read(&file).contains(r#""outcome":"cancelled""#));
    std::fs::remove_dir_all(here).unwrap();
}

#[tokio::test]
async fn a_file_has_one_writer() {
    let here = directory("held");
    let file = here.join("audit.jsonl");
    let tasks = Tasks::new();
    let audit = Audit::open(settings(&file), &tasks).unwrap();
    let refused = Audit::open(settings(&file), &Tasks::new()).err().unwrap();
    assert!(matches!(refused, OpenError::Held { .. }), "{refused}");
    assert!(refused.to_string().contains("a file of its own"), "{refused}");
    audit.begin(entry("a")).await.unwrap().end(OK);
    tasks.finish(Duration::from_secs(5)).await;
    written(&file, &["b"]).await;
    assert_eq!(verify(lines(&read(&file))).unwrap().lines, 2);
    std::fs::remove_dir_all(here).unwrap();
}

#[tokio::test]
async fn a_file_that_another_writes_is_not_gone_on_with() {
    let here = directory("taken");
    let file = here.join("audit.jsonl");
    let (tasks, others) = (Tasks::new(), Tasks::new());
    let audit = Audit::open(settings(&file), &tasks).unwrap();
    std::fs::rename(&file, here.join("audit.jsonl.1")).unwrap();
    let other = Audit::open(settings(&file), &others).unwrap();
    audit.begin(entry("a")).await.unwrap().end(OK);
    while !audit.is_broken.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    assert!(audit.begin(entry("b")).await.is_err());
    other.begin(entry("c")).await.unwrap().end(OK);
    others.finish(Duration::from_secs(5)).await;
    tasks.finish(Duration::from_secs(5)).await;
    verify(lines(&read(&file))).unwrap();
    std::fs::remove_dir_all(here).unwrap();
}

#[tokio::test]
async fn the_chain_goes_on_in_another_file_after_a_restart() {
    let here = directory("rotated");
    let (file, old, head) = (here.join("log"), here.join("log.1"), here.join("log.head"));
    written(&file, &["a", "b"]).await;
    std::fs::rename(&file, &old).unwrap();
    written(&file, &["c"]).await;
    let both = format!("{}{}", read(&old), read(&file));
    assert_eq!(verify(lines(&both)).unwrap().last, Some(2));
    // What the log says itself counts, whatever is beside it.
    std::fs::write(&head, r#"{"next":7,"previous":""}"#).unwrap();
    written(&file, &["d"]).await;
    let both = format!("{}{}", read(&old), read(&file));
    assert_eq!(verify(lines(&both)).unwrap().last, Some(3));
    std::fs::write(&head, r#"{"next":7"#).unwrap();
    std::fs::remove_file(&file).unwrap();
    written(&file, &["e"]).await;
    assert_eq!(verify(lines(&read(&file))).unwrap().last, Some(0), "without a head it begins anew");
    std::fs::remove_dir_all(here).unwrap();
}

#[tokio::test]
async fn requests_wait_when_the_queue_is_full() {
    let (audit, mut written) = Audit::over(NonZeroUsize::new(3).unwrap(), OnFailure::Refuse);
    for name in ["a", "b", "c"] {
        audit.begin(entry(name)).now_or_never().expect("there is room").unwrap().end(OK);
    }
    let mut fourth = std::pin::pin!(audit.begin(entry("d")));
    assert!(fourth.as_mut().now_or_never().is_none(), "it waits");
    audit.denied(entry("refused"), "limit_exceeded");
    assert_eq!(written.recv().await.unwrap().entry.name.as_deref(), Some("a"));
    fourth.await.unwrap().end(OK);
    for name in ["b", "c", "d"] {
        assert_eq!(written.recv().await.unwrap().entry.name.as_deref(), Some(name));
    }
    audit.denied(entry("refused again"), "limit_exceeded");
    assert_eq!(written.recv().await.unwrap().lost, 1, "what found no room is counted");
}

#[test]
fn refusals_are_noted_up_to_a_rate_and_counted_beyond() {
    let start = Instant::now();
    let mut refusals = Refusals::new(start);
    let stranger = Entry::default();
    let known = Entry { principal: Some("bearer".into()), ..Entry::default() };
    let noted = (0..150).filter(|_| refusals.of(&stranger).admit(start).is_some()).count();
    assert_eq!(noted, 100);
    assert_eq!(refusals.of(&known).admit(start), Some(0), "strangers do not crowd out the others");
    assert_eq!(refusals.of(&stranger).admit(start + SECOND), Some(50));
    assert_eq!(refusals.of(&stranger).admit(start + SECOND), Some(0));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_refuses_or_counts() {
    for (on_failure, served) in [(OnFailure::Refuse, false), (OnFailure::Continue, true)] {
        let here = directory("full");
        let file = here.join("audit.jsonl");
        let tasks = Tasks::new();
        let audit = Audit::open(Settings { on_failure, ..settings(&file) }, &tasks).unwrap();
        // A directory in the file's place can be neither written nor opened.
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        audit.begin(entry("lost")).await.unwrap().end(OK);
        while !audit.is_broken.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        assert_eq!(audit.begin(entry("meanwhile")).await.is_ok(), served);
        std::fs::remove_dir(&file).unwrap();
        while audit.is_broken.load(Ordering::Relaxed) {
            if served {
                audit.begin(entry("later")).await.unwrap().end(OK);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tasks.finish(Duration::from_secs(5)).await;
        let text = read(&file);
        verify(lines(&text)).unwrap();
        assert_eq!(text.contains(r#""name":"lost""#), !served, "{text}");
        assert_eq!(text.contains(r#""lost":"#), served, "{text}");
        std::fs::remove_dir_all(here).unwrap();
    }
}
