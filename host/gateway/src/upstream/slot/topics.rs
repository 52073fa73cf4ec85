//! Resources and tasks somebody waits for changes of: how many wait for each, and what the server said to it. Outlives the
//! connections of a server; whoever tells the server ([`super::listen`], [`super::subscribe`]) does so anew on each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use wasmgate_core::json::Json;

use crate::upstream::{Fault, Topic};

/// What is waited for at one server.
#[derive(Debug)]
pub(super) struct Topics {
    table: Mutex<BTreeMap<Topic, Entry>>,
    /// Counts changes of what is waited for and of what the server said.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entry {
    waiting: usize,
    verdict: Verdict,
}

/// What the server said to a wish to hear of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Pending,
    /// It will say so; its answer.
    Taken(Json),
    /// It will not; its error.
    Refused(Json),
    /// It did not say.
    Failed(Fault),
}

/// One that waits, until dropped.
pub(super) struct Seat {
    topics: Arc<Topics>,
    topic: Topic,
    lasts: Lasts,
}

/// How long a seat is taken.
enum Lasts {
    /// As long as the value lives.
    Dropped,
    /// Until [`Topics::stand_up`].
    StoodUp,
}

impl Default for Topics {
    fn default() -> Self {
        Self { table: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Topics {
    /// One more waits. What was refused before is asked for again.
    pub(super) fn sit_down(self: &Arc<Self>, topic: &Topic) -> Seat {
        {
            let mut table = self.table();
            let fresh = || Entry { waiting: 0, verdict: Verdict::Pending };
            let entry = table.entry(topic.clone()).or_insert_with(fresh);
            entry.waiting += 1;
            if !matches!(entry.verdict, Verdict::Taken(_)) {
                entry.verdict = Verdict::Pending;
            }
        }
        self.news();
        Seat { topics: Arc::clone(self), topic: topic.clone(), lasts: Lasts::Dropped }
    }

    /// One fewer waits. Of the last one nothing remains.
    pub(super) fn stand_up(&self, topic: &Topic) {
        {
            let mut table = self.table();
            let Some(entry) = table.get_mut(topic) else { return };
            entry.waiting -= 1;
            if entry.waiting > 0 {
                return;
            }
            table.remove(topic);
        }
        self.news();
    }

    /// What the server is to be asked for: everything waited for that it has not refused, and of that which it has not
    /// answered yet no more than `admitted`.
    pub(super) fn wanted(&self, admitted: usize) -> BTreeSet<Topic> {
        let mut room = admitted;
        let mut wanted = BTreeSet::new();
        for (topic, entry) in &*self.table() {
            let is_wanted = match entry.verdict {
                Verdict::Taken(_) => true,
                Verdict::Pending => room > 0,
                Verdict::Refused(_) | Verdict::Failed(_) => false,
            };
            if is_wanted {
                room -= usize::from(entry.verdict == Verdict::Pending);
                wanted.insert(topic.clone());
            }
        }
        wanted
    }

    /// Whether anybody waits for anything.
    pub(super) fn is_any_wanted(&self) -> bool {
        !self.table().is_empty()
    }

    /// Those among these that the server has not answered yet.
    pub(super) fn pending(&self, among: &BTreeSet<Topic>) -> Vec<Topic> {
        let table = self.table();
        let is_pending = |topic: &&Topic| table.get(topic).is_some_and(|e| e.verdict == Verdict::Pending);
        among.iter().filter(is_pending).cloned().collect()
    }

    /// The server has said this.
    pub(super) fn judge(&self, topic: &Topic, verdict: Verdict) {
        if let Some(entry) = self.table().get_mut(topic) {
            entry.verdict = verdict;
        }
        self.news();
    }

    /// A new connection knows of nothing: all are to be asked for again.
    pub(super) fn begin_again(&self) {
        for entry in self.table().values_mut() {
            entry.verdict = Verdict::Pending;
        }
        self.news();
    }

    /// Changes whenever what is waited for does, or what the server said.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn news(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<Topic, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// What the server said, once it has.
    pub(super) async fn verdict(&self) -> Verdict {
        let mut changed = self.topics.changed();
        loop {
            changed.mark_unchanged();
            let verdict = self.topics.table().get(&self.topic).map(|entry| entry.verdict.clone());
            match verdict {
                Some(verdict) if verdict != Verdict::Pending => return verdict,
                _ => drop(changed.changed().await),
            }
        }
    }

    /// The seat stays taken, until [`Topics::stand_up`].
    pub(super) fn keep(mut self) {
        self.lasts = Lasts::StoodUp;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if matches!(self.lasts, Lasts::Dropped) {
            self.topics.stand_up(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(uri: &str) -> Topic {
        Topic::Resource(uri.into())
    }

    fn taken() -> Verdict {
        Verdict::Taken(Json::empty_object())
    }

    #[track_caller]
    fn check(topics: &Topics, admitted: usize, expected: &[&str]) {
        let expected: BTreeSet<Topic> = expected.iter().map(|uri| topic(uri)).collect();
        assert_eq!(topics.wanted(admitted), expected);
    }

    #[tokio::test]
    async fn a_topic_is_wanted_as_long_as_somebody_waits() {
        let topics = Arc::new(Topics::default());
        let (first, second) = (topics.sit_down(&topic("a")), topics.sit_down(&topic("a")));
        drop(first);
        check(&topics, usize::MAX, &["a"]);
        topics.judge(&topic("a"), taken());
        assert_eq!(second.verdict().await, taken());
        second.keep();
        check(&topics, usize::MAX, &["a"]);
        topics.stand_up(&topic("a"));
        check(&topics, usize::MAX, &[]);
        topics.stand_up(&topic("a"));
        topics.judge(&topic("a"), taken());
        check(&topics, usize::MAX, &[]);
    }

    #[tokio::test]
    async fn what_is_refused_is_asked_again_by_the_next_one_and_on_the_next_connection() {
        let topics = Arc::new(Topics::default());
        let refused = Verdict::Refused(Json::empty_object());
        let first = topics.sit_down(&topic("a"));
        topics.judge(&topic("a"), refused.clone());
        assert_eq!(first.verdict().await, refused);
        check(&topics, usize::MAX, &[]);
        let _second = topics.sit_down(&topic("a"));
        check(&topics, usize::MAX, &["a"]);
        topics.judge(&topic("a"), refused);
        topics.begin_again();
        check(&topics, usize::MAX, &["a"]);
    }

    #[test]
    fn newcomers_are_admitted_few_at_a_time() {
        let topics = Arc::new(Topics::default());
        let _seats = ["c", "b", "a"].map(|uri| topics.sit_down(&topic(uri)));
        topics.judge(&topic("c"), taken());
        check(&topics, 0, &["c"]);
        check(&topics, 1, &["a", "c"]);
        check(&topics, usize::MAX, &["a", "b", "c"]);
        assert_eq!(topics.pending(&topics.wanted(1)), [topic("a")]);
    }
}
