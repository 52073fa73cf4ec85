//! A second process that does nothing but wait for the gateway's end, and then ends what the gateway could not: a gateway
//! that is killed takes no leave of the processes it started.
//!
//! It holds the other end of a pipe, which the kernel closes when the gateway ends in whatever way. Until then the gateway
//! tells it the process groups there are; everything else it finds by the mark in the environment (see `family`). It is
//! started with the first process, in a session of its own, and has neither an environment nor a terminal.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::family::{self, Member};
use super::instance::ABANDONED_GRACE;
use crate::shutdown::Tasks;

/// The gateway's end.
pub(super) struct Warden {
    /// What is run with [`ARGUMENT`]; without, there is no warden.
    program: Option<PathBuf>,
    /// The run of the gateway, with which every mark begins.
    boot: String,
    running: OnceLock<Running>,
}

struct Running {
    words: mpsc::UnboundedSender<Word>,
    /// Closed when it is gone.
    gone: watch::Receiver<()>,
}

/// What it is told.
enum Word {
    Begun(u32),
    Ended(u32),
    /// The gateway ends as it should.
    Leave,
}

/// A process group that it knows of until this is dropped.
pub(super) struct Watched {
    words: Option<mpsc::UnboundedSender<Word>>,
    group: u32,
}

impl Warden {
    pub(super) fn new(program: Option<PathBuf>, boot: &str) -> Self {
        Self { program, boot: boot.to_owned(), running: OnceLock::new() }
    }

    /// Starts it unless it runs.
    pub(super) fn call(&self, tasks: &Tasks) {
        let Some(program) = &self.program else { return };
        self.running.get_or_init(|| {
            let (words, heard) = mpsc::unbounded_channel();
            let (here, gone) = watch::channel(());
            let order = Order { program: program.clone(), boot: self.boot.clone() };
            // At once: it is there before the first process is.
            let first = order.begin();
            tasks.spawn("warden", async move {
                attend(&order, first, heard).await;
                drop(here);
            });
            Running { words, gone }
        });
    }

    /// Lets it know of a process group.
    pub(super) fn watch(&self, group: u32) -> Watched {
        let words = self.running.get().map(|running| running.words.clone());
        // A warden that is gone was complained about.
        let _ = words.as_ref().map(|words| words.send(Word::Begun(group)));
        Watched { words, group }
    }

    /// Lets it go, at the end.
    pub(super) async fn dismiss(&self) {
        let Some(running) = self.running.get() else { return };
        let _ = running.words.send(Word::Leave);
        let mut gone = running.gone.clone();
        let _ = timeout(LEAVING, gone.changed()).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.words.as_ref().map(|words| words.send(Word::Ended(self.group)));
    }
}

/// What it takes to begin one.
struct Order {
    program: PathBuf,
    boot: String,
}

impl Order {
    fn begin(&self) -> Option<Child> {
        let mut command = Command::new(&self.program);
        command.arg(ARGUMENT).arg(&self.boot).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = command.spawn();
        begun
            .inspect_err(|error| {
                tracing::warn!(%error, "no second process: servers may outlive a gateway that is killed");
            })
            .ok()
    }
}

/// What there is to know for a warden.
struct Known {
    words: mpsc::UnboundedReceiver<Word>,
    groups: BTreeSet<u32>,
}

impl Known {
    /// What comes next, as a line for it; none when there is nothing more to say.
    async fn next(&mut self) -> Option<String> {
        match self.words.recv().await {
            Some(Word::Begun(group)) => {
                self.groups.insert(group);
                Some(format!("+{group}\n"))
            }
            Some(Word::Ended(group)) => {
                self.groups.remove(&group);
                Some(format!("-{group}\n"))
            }
            Some(Word::Leave) | None => None,
        }
    }

    /// For one that knows nothing yet.
    fn so_far(&self) -> String {
        self.groups.iter().map(|group| format!("+{group}\n")).collect()
    }
}

/// Sees to it that there is one until the gateway, or this task, ends. One that is gone has a successor after a while,
/// because something on this machine may end each of them.
async fn attend(order: &Order, first: Option<Child>, words: mpsc::UnboundedReceiver<Word>) {
    let mut known = Known { words, groups: BTreeSet::new() };
    let (mut next, mut pause) = (first, AGAIN);
    loop {
        if let Some(child) = next.take() {
            match tell(child, &mut known).await {
                Told::Everything => return,
                Told::Gone(status) => {
                    tracing::warn!(status, "the second process is gone: another one is started soon");
                }
            }
        }
        let listening = async { while known.next().await.is_some() {} };
        if timeout(pause, listening).await.is_ok() {
            return;
        }
        pause = (pause * 2).min(AGAIN_AT_THE_LATEST);
        next = order.begin();
    }
}

/// How telling one ended.
enum Told {
    /// There is nothing more to say.
    Everything,
    /// It is gone, with this exit code.
    Gone(Option<i32>),
}

/// Hands on what it is told; closes the pipe at the end.
async fn tell(mut child: Child, known: &mut Known) -> Told {
    let Some(mut pipe) = child.stdin.take() else { return Told::Gone(None) };
    let mut line = known.so_far();
    loop {
        // One that is gone is noticed below.
        let _ = pipe.write_all(line.as_bytes()).await;
        line = tokio::select! {
            line = known.next() => match line {
                Some(line) => line,
                None => break,
            },
            ended = child.wait() => return Told::Gone(ended.ok().and_then(|status| status.code())),
        };
    }
    drop(pipe);
    let _ = child.wait().await;
    Told::Everything
}

/// The whole of the second process: waits until `words` end, and ends what is left of the gateway of this run.
pub fn keep(boot: &str, words: impl BufRead) {
    // A process that leads its group stays in its session; then it shares the gateway's.
    let _ = rustix::process::setsid();
    let mut groups = BTreeSet::new();
    for line in words.lines().map_while(Result::ok) {
        let Some((sign, group)) = line.split_at_checked(1) else { continue };
        match (sign, group.parse::<u32>()) {
            ("+", Ok(group)) => groups.insert(group),
            ("-", Ok(group)) => groups.remove(&group),
            _ => continue,
        };
    }
    // The numbers of groups belong to them as long as they have members: so it is members that are remembered.
    let members = family::of_groups(&groups);
    let is_ours = |mark: &str| mark.split(' ').next() == Some(boot);
    let find = || {
        let alive = members.iter().filter(|member| member.is_alive()).cloned();
        alive.chain(family::marked(0, is_ours)).collect::<BTreeSet<Member>>()
    };
    // The end of its stdin is the usual way to end a server.
    let deadline = Instant::now() + ABANDONED_GRACE;
    while Instant::now() < deadline && !find().is_empty() {
        std::thread::sleep(LOOK);
    }
    family::end(find, ABANDONED_GRACE);
}

/// What makes the program a warden.
pub const ARGUMENT: &str = "__warden";
/// How long the gateway waits for it at its own end.
const LEAVING: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// How long after the end of one another is begun; twice as long each time.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_AT_THE_LATEST: Duration = Duration::from_secs(60);
