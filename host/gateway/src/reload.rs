//! Keeps a running gateway at its configuration: when a file of it changes, the next generation is read, checked and built
//! whole beside the one in force, and swapped in. Whatever is wrong leaves the old one in force, and says so.
//!
//! Not here: what a generation is (`gateway`), how one is built (`app`), what files say (`config`).
//!
//! Read [`Reload::keep_current`] first. What triggers a look at the files is of no importance: an event of the file system, a
//! signal, or that some time has passed. What was read decides.

mod watch;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::{self, Draft, Plugins, Renewal, Supplied};
use crate::config::{Config, DocumentLimits, Limits, Listen, Read, Request, Seen};
use crate::document::{Diagnostic, render};
use crate::gateway::{ConfigState, Gateway};
use crate::launch::Launcher;
use crate::shutdown::Tasks;
use watch::Watch;

/// How long the files must be left alone before they are read.
const QUIET: Duration = Duration::from_millis(200);
/// They are read even so after this time.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often the files are looked at without any event: some file systems tell nothing.
const LOOK: Duration = Duration::from_secs(10);

/// A running gateway and what its generation was made of.
pub(crate) struct Reload {
    pub(crate) request: Request,
    /// What is in force.
    pub(crate) config: Config,
    /// Where clients come in, which a reload cannot change.
    pub(crate) listen: Listen,
    /// The files as they were last read, whatever came of it.
    pub(crate) seen: Seen,
    /// How new the catalogs are that it began with.
    pub(crate) supplied: Supplied,
    pub(crate) plugins: Plugins,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) launcher: Launcher,
    pub(crate) tasks: Tasks,
}

/// Why the next generation is not in force.
enum Rejected {
    Config(Vec<Diagnostic>),
    Build(app::StartError),
    /// The reader itself broke.
    Reading(String),
}

/// What wakes the reload up.
enum Wake {
    Stop,
    /// Somebody asked for it: whatever the files hold, and whatever was fetched.
    Asked,
    /// The files have changed.
    Changed,
    /// The files may have changed.
    Look,
}

/// What there is to wait for.
struct Waking {
    stop: CancellationToken,
    asked: Arc<Notify>,
    /// Of the files; absent with `--watch=false`.
    hint: Option<Arc<Notify>>,
}

impl Waking {
    async fn next(&self) -> Wake {
        let hint = async {
            match &self.hint {
                Some(hint) => drop(timeout(LOOK, hint.notified()).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => Wake::Stop,
            () = self.asked.notified() => Wake::Asked,
            () = hint => Wake::Look,
        }
    }

    /// Waits until no file has changed for a while.
    async fn quiet(&self) {
        let Some(hint) = &self.hint else { return tokio::time::sleep(QUIET).await };
        let end = Instant::now() + LONGEST_WAIT;
        while timeout(QUIET, hint.notified()).await.is_ok() && Instant::now() < end {}
    }
}

impl Reload {
    /// Reloads whenever a file has changed (unless `watched` is false) or `asked` is notified, until the process stops.
    pub(crate) async fn keep_current(mut self, watched: bool, asked: Arc<Notify>) {
        let mut watch = watched.then(Watch::new);
        let hint = watch.as_ref().map(Watch::hint);
        let waking = Waking { stop: self.tasks.stopping(), asked, hint };
        if self.supplied == Supplied::Kept && waking.stop.run_until_cancelled(self.renew()).await.is_none() {
            return;
        }
        loop {
            let changed = match watch.take() {
                None => false,
                Some(old) => {
                    // Watched first, looked at then: nothing is missed in between.
                    let Some((followed, current)) = follow(old, self.seen.clone()).await else { return };
                    watch = Some(followed);
                    !current
                }
            };
            let wake = if changed { Wake::Changed } else { waking.next().await };
            match wake {
                Wake::Stop => return,
                Wake::Look => {}
                Wake::Asked | Wake::Changed => {
                    let renewal = if matches!(wake, Wake::Asked) { Renewal::All } else { Renewal::Missing };
                    tokio::select! {
                        () = waking.stop.cancelled() => return,
                        () = self.reload(&waking, renewal) => {}
                    }
                }
            }
        }
    }

    /// Asks for the catalogs that the gateway started with as they were kept, and goes over to them if they are others.
    async fn renew(&mut self) {
        let mut request = self.request.clone();
        let supplied = app::supply(&mut request, &mut self.plugins, Renewal::All).await;
        if supplied.is_err() || request.fetched() != self.request.fetched() {
            self.request = request;
            match self.guarded_next(Renewal::Missing).await {
                Ok((config, draft)) => self.put_in_force(config, draft),
                Err(rejected) => self.reject(&rejected),
            }
        }
        self.plugins.egress().except(self.config.distribution.exceptions.clone());
        self.gateway.expect_newer(false);
    }

    /// Reads everything anew and puts it in force when it is right.
    async fn reload(&mut self, waking: &Waking, renewal: Renewal) {
        waking.quiet().await;
        let mut next = self.guarded_next(renewal).await;
        // A file that is half written is most likely whole a moment later.
        if next.is_err() || !is_current(self.seen.clone()).await {
            waking.quiet().await;
            next = self.guarded_next(renewal).await;
        }
        match next {
            Ok((config, draft)) => self.put_in_force(config, draft),
            Err(rejected) => self.reject(&rejected),
        }
        // What was tried may have been allowed more, or less.
        self.plugins.egress().except(self.config.distribution.exceptions.clone());
    }

    /// A plugin that breaks the host while it is loaded must not end all reloads to come.
    async fn guarded_next(&mut self, renewal: Renewal) -> Result<(Config, Draft), Rejected> {
        let broken = |_| Rejected::Reading("building the new configuration broke off".to_owned());
        AssertUnwindSafe(self.next(renewal)).catch_unwind().await.unwrap_or_else(|panic| Err(broken(panic)))
    }

    /// Reads and builds the next generation.
    async fn next(&mut self, renewal: Renewal) -> Result<(Config, Draft), Rejected> {
        let mut request = self.request.clone();
        app::supply(&mut request, &mut self.plugins, renewal).await.map_err(Rejected::Build)?;
        let read = tokio::task::spawn_blocking(move || {
            let read = request.read();
            (request, read)
        });
        let (request, read) = read.await.map_err(|error| Rejected::Reading(error.to_string()))?;
        self.request = request;
        let Read { config, seen } = read;
        self.seen = seen;
        let config = config.map_err(Rejected::Config)?;
        let draft = app::draft(&config, &mut self.plugins, &mut self.seen).await.map_err(Rejected::Build)?;
        Ok((config, draft))
    }

    fn put_in_force(&mut self, config: Config, draft: Draft) {
        if self.gateway.is_draining() {
            return tracing::info!("the configuration has changed: left to the next start");
        }
        let Draft { generation, plugins } = draft;
        let old = std::mem::replace(&mut self.config, config);
        self.launcher.allow(app::binds(&self.config));
        self.launcher.guard(app::guard(&self.config, &self.plugins));
        self.gateway.replace(generation);
        self.gateway.note_config(ConfigState::current());
        tell(&old, &self.config, &plugins.new);
        if self.config.listen != old.listen && self.config.listen != self.listen {
            tracing::warn!("`listen` has changed, which takes effect at the next start");
        }
        if at_start(&self.config) != at_start(&old) {
            tracing::warn!("`limits` has changed, which takes effect at the next start");
        }
        if !self.config.seals_like(&old) {
            tracing::warn!("`sealing` has changed, which takes effect at the next start");
        }
        if self.config.audit != old.audit {
            tracing::warn!("`audit` has changed, which takes effect at the next start");
        }
        self.plugins.keep(plugins);
        if app::uses_containers(&self.config) && !app::uses_containers(&old) {
            self.tasks.spawn("sweep", app::sweep(self.launcher.clone()));
        }
    }

    fn reject(&self, rejected: &Rejected) {
        let (shown, short) = match rejected {
            Rejected::Config(problems) | Rejected::Build(app::StartError::Refused(problems)) => {
                let shown: String = problems.iter().map(render).collect();
                (shown, problems.iter().map(short).collect::<Vec<_>>().join("\n"))
            }
            Rejected::Build(error) => (error.to_string(), error.to_string()),
            Rejected::Reading(error) => (error.clone(), error.clone()),
        };
        tracing::error!("the configuration is wrong; the one before stays in force\n{}", shown.trim_end());
        self.gateway.note_config(ConfigState::rejected(short));
    }
}

/// A problem without the line of the file, which may hold a secret.
fn short(problem: &Diagnostic) -> String {
    let Diagnostic { file, place, message, cure } = problem;
    let place = place.as_ref().map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
    let cure = if cure.is_empty() { String::new() } else { format!(" ({cure})") };
    format!("{file}{place}: {message}{cure}")
}

/// The limits that were handed out at the start.
fn at_start(config: &Config) -> Limits {
    Limits { documents: DocumentLimits::default(), ..config.limits.clone() }
}

/// Says what has changed, by name.
fn tell(old: &Config, new: &Config, loaded: &[String]) {
    let servers = |config: &Config| -> BTreeSet<String> {
        let lacking = config.unavailable.iter().map(|(name, _)| name.to_string());
        config.servers.iter().map(|server| server.name.to_string()).chain(lacking).collect()
    };
    let plugins = |config: &Config| -> BTreeSet<String> {
        config.plugins.iter().map(|plugin| plugin.name.clone()).collect()
    };
    let (was, is) = (servers(old), servers(new));
    let names = |names: Vec<&str>| (!names.is_empty()).then(|| names.join(", "));
    let added = names(is.difference(&was).map(String::as_str).collect());
    let removed = names(was.difference(&is).map(String::as_str).collect());
    let dropped = names(plugins(old).difference(&plugins(new)).map(String::as_str).collect());
    let loaded = names(loaded.iter().map(String::as_str).collect());
    tracing::info!(
        servers_added = added,
        servers_removed = removed,
        plugins_loaded = loaded,
        plugins_removed = dropped,
        "the new configuration is in force"
    );
    for warning in new.warnings.iter().filter(|warning| !old.warnings.contains(warning)) {
        tracing::warn!("{warning}");
    }
}

/// Watches the files and says whether they still hold what they held. Nothing when the process is ending.
async fn follow(mut watch: Watch, seen: Seen) -> Option<(Watch, bool)> {
    let look = tokio::task::spawn_blocking(move || {
        watch.follow(seen.paths());
        let current = seen.is_current();
        (watch, current)
    });
    look.await.ok()
}

async fn is_current(seen: Seen) -> bool {
    tokio::task::spawn_blocking(move || seen.is_current()).await.unwrap_or(true)
}
