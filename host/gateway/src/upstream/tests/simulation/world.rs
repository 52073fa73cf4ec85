//! Servers in memory that do what a call says, or what chance says of their start; and a book of what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, split,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use wasmgate_core::catalog::{Launch, Server, Sharing};

use crate::launch::Exit;
use crate::upstream::Limits;
use crate::upstream::declared::Declared;
use crate::upstream::dice::Dice;
use crate::upstream::handshake::Failure;
use crate::upstream::link::{Ending, Link};
use crate::upstream::slot::Opener;
use crate::upstream::stdio::{Behind, Ends, Pipe};

/// All servers of a schedule.
pub(super) struct World {
    dice: Dice,
    sharing: Sharing,
    limits: Limits,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    wrong: Vec<String>,
    started: usize,
    most: usize,
    is_polite: bool,
    instances: BTreeMap<usize, Seen>,
}

/// What is known of one running instance.
struct Seen {
    /// Which definition it runs.
    version: String,
    /// Calls it has not answered.
    in_flight: usize,
    owners: BTreeSet<String>,
}

/// One instance.
struct Peer {
    world: Arc<World>,
    number: usize,
    at_once: usize,
    says: WriteHalf<DuplexStream>,
    hears: Lines<BufReader<ReadHalf<DuplexStream>>>,
    /// Answers that are due, by id; with what is said then.
    due: BTreeMap<u64, (Instant, Value, usize)>,
    /// Calls that are never answered.
    hung: BTreeSet<u64>,
}

impl World {
    pub(super) fn new(seed: u64, sharing: Sharing, limits: Limits) -> Arc<Self> {
        let dice = Dice::of(seed.wrapping_mul(31).wrapping_add(7));
        Arc::new(Self { dice, sharing, limits, book: Mutex::default() })
    }

    /// From now on every start succeeds.
    pub(super) fn behave(&self) {
        self.book().is_polite = true;
    }

    /// What was wrong, at the end of all: an instance that still runs is.
    pub(super) fn wrong(&self) -> Vec<String> {
        let book = self.book();
        let left = book.instances.keys().map(|number| format!("instance {number} still runs"));
        book.wrong.iter().cloned().chain(left).collect()
    }

    pub(super) fn started(&self) -> usize {
        self.book().started
    }

    pub(super) fn alive(&self) -> usize {
        self.book().instances.len()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.book().most
    }

    /// Opens connections to servers of this world.
    pub(super) fn opener(self: &Arc<Self>) -> Opener {
        let world = Arc::clone(self);
        Arc::new(move |shared, server, _| {
            let (world, server, tasks) = (Arc::clone(&world), server.clone(), shared.tasks.clone());
            let limits = shared.limits.clone();
            Box::pin(async move {
                let (is_polite, delay) = (world.book().is_polite, world.dice.below(1500) as u64);
                tokio::time::sleep(Duration::from_millis(delay)).await;
                if !is_polite && world.dice.below(12) == 0 {
                    return Err(Failure {
                        code: "start_failed",
                        reason: "is not there".into(),
                        stderr: None,
                    });
                }
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                let (output, input) = split(ours);
                let (hears, says) = split(theirs);
                let (end, ended) = oneshot::channel();
                let number = world.enter(&server);
                let peer = Peer {
                    world,
                    number,
                    at_once: server.max_in_flight.map_or(usize::MAX, std::num::NonZeroUsize::get),
                    says,
                    hears: BufReader::new(hears).lines(),
                    due: BTreeMap::new(),
                    hung: BTreeSet::new(),
                };
                tasks.spawn("peer", peer.live(end));
                let ends =
                    Ends { input: Box::new(input), output: Box::new(output), behind: Behind::Other(ended) };
                let pipe = Pipe::open(server.name.clone(), ends, Declared::NOTHING, &tasks, &limits);
                Ok(Link::Pipe(Arc::new(pipe)))
            })
        })
    }

    fn enter(&self, server: &Server) -> usize {
        let version = match &server.launch {
            Launch::Process(process) => format!("{:?}", process.args),
            _ => String::new(),
        };
        let mut book = self.book();
        book.started += 1;
        let number = book.started;
        let seen = Seen { version: version.clone(), in_flight: 0, owners: BTreeSet::new() };
        book.instances.insert(number, seen);
        let alive = book.instances.values().filter(|seen| seen.version == version).count();
        book.most = book.most.max(alive);
        if alive > server.instances.max.get() {
            book.wrong.push(format!("{alive} instances of {version}, {} may run", server.instances.max));
        }
        number
    }

    /// A call comes to an instance.
    fn comes(&self, number: usize, at_once: usize, arguments: &Value) {
        let mut book = self.book();
        let word = |key: &str| arguments[key].as_str().unwrap_or_default().to_owned();
        let owner = match self.sharing {
            Sharing::Shared => "everybody".to_owned(),
            Sharing::PerPrincipal => word("owner").split('/').next().unwrap_or_default().to_owned(),
            Sharing::PerSession => word("owner"),
            Sharing::PerCall => word("nonce"),
        };
        let Some(seen) = book.instances.get_mut(&number) else { return };
        seen.in_flight += 1;
        seen.owners.insert(owner);
        let (in_flight, owners, version) = (seen.in_flight, seen.owners.clone(), seen.version.clone());
        let of = |seen: &&Seen| seen.version == version;
        let server: usize = book.instances.values().filter(of).map(|seen| seen.in_flight).sum();
        let all: usize = book.instances.values().map(|seen| seen.in_flight).sum();
        let per_server =
            if at_once == usize::MAX { self.limits.in_flight_per_server.get() } else { usize::MAX };
        if in_flight > at_once || server > per_server || all > self.limits.in_flight.get() {
            book.wrong
                .push(format!("in flight: {in_flight} with {number}, {server} with it, {all} with all"));
        }
        if owners.len() > 1 {
            book.wrong.push(format!("instance {number} serves {owners:?}"));
        }
    }

    fn goes(&self, number: usize) {
        if let Some(seen) = self.book().instances.get_mut(&number) {
            seen.in_flight = seen.in_flight.saturating_sub(1);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

impl Peer {
    async fn live(mut self, end: oneshot::Sender<Ending>) {
        let ending = self.serve().await;
        self.world.book().instances.remove(&self.number);
        // A program that ends closes its pipes.
        drop(self);
        let _ = end.send(ending);
    }

    async fn serve(&mut self) -> Ending {
        loop {
            let next =
                self.due.iter().min_by_key(|(id, (at, ..))| (*at, **id)).map(|(id, (at, ..))| (*id, *at));
            let wait = async {
                match next {
                    Some((_, at)) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                line = self.hears.next_line() => {
                    let Ok(Some(line)) = line else { return Ending::exited(Exit::default()) };
                    let message: Value = serde_json::from_str(&line).unwrap();
                    if let Some(ending) = self.hear(&message).await {
                        return ending;
                    }
                }
                () = wait => if let Some((id, _)) = next {
                    self.answer(id).await;
                },
            }
        }
    }

    async fn answer(&mut self, id: u64) {
        let Some((at, message, times)) = self.due.remove(&id) else { return };
        if times == 0 {
            self.say(&message).await;
            self.due.insert(id, (at + PROGRESS, message, times));
            return;
        }
        self.world.goes(self.number);
        for _ in 0..times {
            self.say(&message).await;
        }
    }

    async fn say(&mut self, message: &Value) {
        let _ = self.says.write_all(format!("{message}\n").as_bytes()).await;
    }

    async fn hear(&mut self, message: &Value) -> Option<Ending> {
        let id = message["id"].as_u64();
        let result = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
        match message["method"].as_str()? {
            "initialize" => {
                let is_polite = self.world.book().is_polite;
                match self.world.dice.below(20) {
                    0 if !is_polite => {
                        return Some(Ending::exited(Exit { code: Some(1), ..Exit::default() }));
                    }
                    1 if !is_polite => {}
                    2 if !is_polite => {
                        let error = json!({"code": -32600, "message": "no"});
                        self.say(&json!({"jsonrpc": "2.0", "id": id, "error": error})).await;
                    }
                    _ => {
                        let info = json!({"name": "peer", "version": "1"});
                        let capabilities = json!({"tools": {}, "logging": {}});
                        self.say(&result(json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}))).await;
                    }
                }
            }
            "ping" => self.say(&result(json!({}))).await,
            "tools/list" => self.say(&result(json!({"tools": []}))).await,
            "logging/setLevel" => self.say(&result(json!({}))).await,
            "notifications/cancelled" => {
                let id = message["params"]["requestId"].as_u64()?;
                let was_due = self.due.remove(&id).is_some();
                if was_due || self.hung.remove(&id) {
                    self.world.goes(self.number);
                }
            }
            "tools/call" => {
                let token = &message["params"]["_meta"]["progressToken"];
                return self.call(id?, token, &message["params"]["arguments"]);
            }
            _ => {}
        }
        None
    }

    fn call(&mut self, id: u64, token: &Value, arguments: &Value) -> Option<Ending> {
        self.world.comes(self.number, self.at_once, arguments);
        let result = json!({"jsonrpc": "2.0", "id": id, "result": {"nonce": arguments["nonce"]}});
        let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": "no"}});
        let soon = Duration::from_millis(self.world.dice.below(50) as u64);
        let slowly = Duration::from_millis(self.world.dice.below(6000) as u64);
        let (after, message, times) = match arguments["does"].as_str()? {
            "crash" => return Some(Ending::exited(Exit { code: Some(3), ..Exit::default() })),
            "oom" => return Some(Ending::exited(Exit { out_of_memory: true, ..Exit::default() })),
            "hang" => {
                self.hung.insert(id);
                return None;
            }
            // About when the caller's patience ends.
            "late" => (Duration::from_millis(9990) + soon, result, 1),
            // Again and again.
            "progress" => {
                let params = json!({"progressToken": token, "progress": 1});
                (PROGRESS, json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}), 0)
            }
            "slow" => (slowly, result, 1),
            "second" => (Duration::from_secs(1), result, 1),
            "twice" => (soon, result, 2),
            "error" => (soon, error, 1),
            _ => (soon, result, 1),
        };
        self.due.insert(id, (Instant::now() + after, message, times));
        None
    }
}

/// How often a call that goes on says so.
const PROGRESS: Duration = Duration::from_secs(5);
