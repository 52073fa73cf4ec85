//! Notifications on their way to the one call they belong to. A call that does not fetch them never makes anyone wait.

use tokio::sync::mpsc;
use wasmgate_core::json::Json;
use wasmgate_core::mcp::method;

use super::Event;

/// The sending end of one call's events.
#[derive(Debug)]
pub(super) struct Outlet {
    to: mpsc::Sender<Event>,
    /// The latest progress that found the queue full.
    held: Option<Event>,
}

impl Outlet {
    /// For a call that fetches from the other end of `to`.
    pub(super) fn new(to: mpsc::Sender<Event>) -> Self {
        Self { to, held: None }
    }

    /// Progress, under the client's own token. When the queue is full the latest waits and the ones before are dropped.
    pub(super) fn progress(&mut self, params: &Json, token: &Json) {
        let params = params.with_member("progressToken", token);
        self.held = self.offer(Event { method: "notifications/progress".into(), params });
    }

    /// A log message. Dropped when the queue is full.
    pub(super) fn log(&mut self, params: Json) {
        self.flush();
        let _ = self.offer(Event { method: "notifications/message".into(), params });
    }

    /// The server has begun to tell what this listen asked for.
    pub(super) fn acknowledged(&mut self, params: Json) {
        let _ = self.offer(Event { method: method::ACKNOWLEDGED.into(), params });
    }

    /// The answer is next: the latest progress goes before it.
    pub(super) fn flush(&mut self) {
        self.held = self.held.take().and_then(|event| self.offer(event));
    }

    /// Gives the event back when the queue is full.
    fn offer(&self, event: Event) -> Option<Event> {
        match self.to.try_send(event) {
            Err(mpsc::error::TrySendError::Full(event)) => Some(event),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_progress_survives_a_full_queue() {
        let (to, mut events) = mpsc::channel(1);
        let mut outlet = Outlet::new(to);
        for step in 1..=4 {
            let params = Json::parse(format!(r#"{{"progressToken":9,"progress":{step}}}"#)).unwrap();
            outlet.progress(&params, &Json::of("t"));
        }
        let mut next = || events.try_recv().map(|event| event.params.as_str().to_owned());
        assert_eq!(next().unwrap(), r#"{"progressToken":"t","progress":1}"#);
        outlet.flush();
        assert_eq!(next().unwrap(), r#"{"progressToken":"t","progress":4}"#);
        outlet.flush();
        assert!(next().is_err());
    }
}
