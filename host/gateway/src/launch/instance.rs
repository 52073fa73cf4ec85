//! A started server as its user sees it, and the end the owning task holds.
//!
//! The user may take the channel, wait for the end, and ask for the end. Everything else (signals, reaping, removal)
//! happens in the task that owns the child or container, so that it also happens when the user vanishes.

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Censor, Channel};
use crate::shutdown::Tasks;

/// How a server ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// Exit code, when it exited by itself. A container's is always known; above 128 it usually means a signal.
    pub code: Option<i64>,
    /// Signal that ended it; for a container as far as its exit code tells.
    pub signal: Option<i32>,
    /// The kernel killed it for memory.
    pub out_of_memory: bool,
    /// Its last lines on stderr, control characters neutralised, at most 4 KiB.
    pub last_stderr: String,
}

/// A started server. Dropping it stops the server in the background; prefer [`Instance::stop`].
pub struct Instance {
    channel: Option<Channel>,
    censor: Censor,
    stop: oneshot::Sender<Duration>,
    ended: watch::Receiver<Option<Exit>>,
}

impl Instance {
    /// The channel, once.
    pub fn take_channel(&mut self) -> Option<Channel> {
        self.channel.take()
    }

    /// What nobody is to read in what it says.
    pub fn censor(&self) -> Censor {
        self.censor.clone()
    }

    /// Resolves when the server has ended, and says how. May be called again; safe to drop half-way.
    pub async fn ended(&mut self) -> Exit {
        // An error means that the owning task is gone without a word; nothing better is known then.
        self.ended.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone()).unwrap_or_default()
    }

    /// Closes stdin, waits `grace`, then SIGTERM, waits `grace`, then SIGKILL; the container is removed.
    pub async fn stop(mut self, grace: Duration) -> Exit {
        // A closed receiver means it has ended already.
        let (unused, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.stop, unused).send(grace);
        self.ended().await
    }

    /// A pair: what the user gets, and what the owning task keeps.
    pub(super) fn pair(channel: Channel, censor: Censor, tasks: &Tasks) -> (Self, Owner) {
        let (stop, asked) = oneshot::channel();
        let (exit, ended) = watch::channel(None);
        let owner = Owner { asked, stopping: tasks.stopping(), exit };
        (Self { channel: Some(channel), censor, stop, ended }, owner)
    }
}

/// The owning task's end of an [`Instance`].
pub(super) struct Owner {
    asked: oneshot::Receiver<Duration>,
    stopping: CancellationToken,
    exit: watch::Sender<Option<Exit>>,
}

impl Owner {
    /// Resolves when the server is to be stopped: asked for, dropped, or because the process ends. The value is how
    /// long each step of stopping may take.
    pub(super) async fn asked_to_stop(&mut self) -> Duration {
        tokio::select! {
            grace = &mut self.asked => grace.unwrap_or(ABANDONED_GRACE),
            () = self.stopping.cancelled() => ABANDONED_GRACE,
        }
    }

    /// Tells whoever waits how it ended.
    pub(super) fn ended(self, exit: Exit) {
        self.exit.send_replace(Some(exit));
    }
}

/// Grace of each step of stopping when nobody is left to say how long.
pub(super) const ABANDONED_GRACE: Duration = Duration::from_secs(2);
