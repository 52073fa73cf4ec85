//! Notifications on their way to the one call they belong to. A call that does not fetch them never makes anyone wait.

use std::collections::VecDeque;

use wasmgate_core::json::Json;
use wasmgate_core::mcp::method;

use super::Event;
use crate::mailbox::{self, NotTaken};

/// The sending end of one call's events.
#[derive(Debug)]
pub(super) struct Outlet {
    /// None while the call waits for its client: then everything is kept.
    to: Option<mailbox::Sender<Event>>,
    /// The latest progress that found the queue full.
    held: Option<Event>,
    kept: VecDeque<Event>,
}

impl Outlet {
    /// For a call that fetches from the other end of `to`.
    pub(super) fn new(to: mailbox::Sender<Event>) -> Self {
        Self { to: Some(to), held: None, kept: VecDeque::new() }
    }

    /// Progress, under the client's own token. When the queue is full the latest waits and the ones before are dropped.
    pub(super) fn progress(&mut self, params: &Json, token: &Json) {
        let params = params.with_member("progressToken", token);
        self.held = self.offer(Event { method: "notifications/progress".into(), params });
    }

    /// Progress of a server that says too much: only the latest waits, until there is room again.
    pub(super) fn hold_progress(&mut self, params: &Json, token: &Json) {
        let params = params.with_member("progressToken", token);
        self.held = Some(Event { method: "notifications/progress".into(), params });
    }

    /// A log message, or that a URL was visited. Dropped when the queue is full.
    pub(super) fn aside(&mut self, method: &str, params: Json) {
        self.offer_held();
        let _ = self.offer(Event { method: method.into(), params });
    }

    /// The server has begun to tell what this listen asked for.
    pub(super) fn acknowledged(&mut self, params: Json) {
        let _ = self.offer(Event { method: method::ACKNOWLEDGED.into(), params });
    }

    /// The answer is next: the latest progress goes before it, however full the queue is.
    pub(super) fn flush(&mut self) {
        if let (Some(event), Some(to)) = (self.held.take(), &self.to) {
            let _ = to.send_last(event);
        }
    }

    fn offer_held(&mut self) {
        self.held = self.held.take().and_then(|event| self.offer(event));
    }

    /// The call waits for its client: what comes meanwhile is kept, the oldest of too much dropped.
    pub(super) fn park(&mut self) {
        self.offer_held();
        self.to = None;
        if let Some(event) = self.held.take() {
            self.keep(event);
        }
    }

    /// The call goes on, and its client fetches from the other end of `to`.
    pub(super) fn resume(&mut self, to: mailbox::Sender<Event>) {
        self.to = Some(to);
        for event in std::mem::take(&mut self.kept) {
            let is_progress = &*event.method == "notifications/progress";
            self.held = self.offer(event).filter(|_| is_progress).or_else(|| self.held.take());
        }
    }

    /// Gives the event back when the queue is full.
    fn offer(&mut self, event: Event) -> Option<Event> {
        let Some(to) = &self.to else {
            self.keep(event);
            return None;
        };
        match to.try_send(event) {
            Err(NotTaken::Full(event)) => Some(event),
            Ok(()) | Err(NotTaken::Closed(_)) => None,
        }
    }

    fn keep(&mut self, event: Event) {
        if event.params.bytes().len() > MAX_KEPT_BYTES {
            return;
        }
        self.kept.push_back(Event { params: event.params.detached(), ..event });
        let size =
            |kept: &VecDeque<Event>| kept.iter().map(|event| event.params.bytes().len()).sum::<usize>();
        while self.kept.len() > MAX_KEPT || size(&self.kept) > MAX_KEPT_BYTES {
            self.kept.pop_front();
        }
    }
}

/// So many events wait for a call to go on, and so many bytes of them.
const MAX_KEPT: usize = 64;
const MAX_KEPT_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_progress_survives_a_full_queue() {
        let (to, mut events) = mailbox::channel(1);
        let mut outlet = Outlet::new(to);
        for step in 1..=4 {
            let params = Json::parse(format!(r#"{{"progressToken":9,"progress":{step}}}"#)).unwrap();
            outlet.progress(&params, &Json::of("t"));
        }
        // The reader has not come to take the first one yet.
        outlet.flush();
        outlet.flush();
        let mut next = || events.try_recv().map(|event| event.params.as_str().to_owned());
        assert_eq!(next().unwrap(), r#"{"progressToken":"t","progress":1}"#);
        assert_eq!(next().unwrap(), r#"{"progressToken":"t","progress":4}"#);
        assert!(next().is_none());
    }

    #[test]
    fn what_comes_while_the_client_is_asked_is_kept_within_bounds() {
        let (to, mut events) = mailbox::channel(1);
        let mut outlet = Outlet::new(to);
        let progress = |outlet: &mut Outlet, step: usize| {
            let params = Json::parse(format!(r#"{{"progressToken":9,"progress":{step}}}"#)).unwrap();
            outlet.progress(&params, &Json::of("t"));
        };
        progress(&mut outlet, 1);
        progress(&mut outlet, 2);
        outlet.park();
        for step in 3..=70 {
            progress(&mut outlet, step);
        }
        outlet.aside(method::MESSAGE, Json::of(&"x".repeat(MAX_KEPT_BYTES)));
        outlet.aside(method::MESSAGE, Json::of("last"));
        progress(&mut outlet, 71);
        assert_eq!(outlet.kept.len(), MAX_KEPT);
        assert!(events.try_recv().unwrap().params.as_str().ends_with(r#""progress":1}"#));
        assert!(events.try_recv().is_none(), "nobody fetches meanwhile");
        let (to, mut events) = mailbox::channel(MAX_KEPT);
        outlet.resume(to);
        let mut next = || events.try_recv().map(|event| event.params.as_str().to_owned());
        for step in 9..=70 {
            assert_eq!(next().unwrap(), format!(r#"{{"progressToken":"t","progress":{step}}}"#));
        }
        assert_eq!(next().unwrap(), "\"last\"");
        assert_eq!(next().unwrap(), r#"{"progressToken":"t","progress":71}"#);
        assert!(next().is_none());
    }
}
