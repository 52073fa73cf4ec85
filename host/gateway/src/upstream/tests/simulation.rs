//! Thousands of schedules of a pool whose servers live in memory and whose clock stands still unless everybody waits:
//! calls of several clients, cancelled ones, servers that start slowly or not at all, hang, crash and answer twice,
//! sessions that end, configurations that change, a pool that closes. After each the promises of facts are checked:
//! one outcome per call (I1), never another's (I2), no limit exceeded, no instance used by two, nothing left (I6).
//!
//! A schedule is its seed: a failure names it. `WASMGATE_SIMULATIONS=100000` runs more of them,
//! `WASMGATE_SIMULATION_SEED=<seed>` one again.

#![expect(clippy::disallowed_methods, reason = "a test waits for the tasks it spawns, or ends with them")]

mod world; // servers in memory, and what they see

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use wasmgate_core::catalog::{Deadlines, Instances, Launch, Process, Protocol, Server, Sharing};
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;

use self::world::World;
use super::at_least;
use crate::egress::Egress;
use crate::launch::{LaunchSettings, Launcher};
use crate::mailbox;
use crate::shutdown::Tasks;
use crate::upstream::dice::Dice;
use crate::upstream::pool::{Pool, Standing};
use crate::upstream::{Answer, Appetite, Ask, ClientFacts, Clients, Fault, Identity, Limits};

/// One call, and when.
struct Plan {
    at: Duration,
    principal: &'static str,
    session: Option<&'static str>,
    does: &'static str,
    /// After so long the client gives up.
    gives_up: Option<Duration>,
}

const SECOND: Duration = Duration::from_secs(1);
const DEADLINES: Deadlines = Deadlines {
    initialize: Duration::from_secs(5),
    idle: Duration::from_secs(10),
    total: Duration::from_secs(60),
};

fn server(version: usize, sharing: Sharing, dice: &Dice) -> Server {
    let process = Process {
        program: "in memory".into(),
        args: vec![version.to_string().as_str().into()],
        env: Vec::new(),
        cwd: None,
    };
    let max = 2 + dice.below(3);
    Server {
        protocol: Protocol::Legacy,
        deadlines: DEADLINES,
        max_in_flight: [None, Some(at_least(1)), Some(at_least(2))][dice.below(3)],
        instances: Instances {
            sharing,
            min: dice.below(3).min(max),
            max: at_least(max),
            idle: SECOND * (1 + dice.below(20) as u32),
        },
        ..super::server("p", Launch::Process(process))
    }
}

fn plan(dice: &Dice) -> Plan {
    const DOES: [&str; 12] = [
        "answer", "answer", "answer", "answer", "slow", "slow", "twice", "hang", "late", "crash", "oom",
        "error",
    ];
    let gives_up = dice.below(6) == 0;
    Plan {
        at: Duration::from_millis(dice.below(30_000) as u64),
        principal: ["a", "b", "c"][dice.below(3)],
        session: [None, Some("s1"), Some("s2")][dice.below(3)],
        does: DOES[dice.below(DOES.len())],
        gives_up: gives_up.then(|| Duration::from_millis(dice.below(4000) as u64)),
    }
}

fn pool(world: &Arc<World>, limits: Limits, tasks: &Tasks, seed: u64) -> Arc<Pool> {
    let launcher = Launcher::new(LaunchSettings::default(), tasks.clone());
    let identity = Identity { name: "test".into(), version: "0".into() };
    let standing = Standing { identity, clients: Clients::Many, limits };
    let mut pool = Pool::new(launcher, egress(), tasks.clone(), standing);
    pool.simulate(world.opener(), seed);
    pool
}

/// Made once: nothing goes out on it.
fn egress() -> Egress {
    static EGRESS: std::sync::OnceLock<Egress> = std::sync::OnceLock::new();
    EGRESS.get_or_init(Egress::new).clone()
}

/// What came of a call: its nonce, or a word.
async fn call(pool: Arc<Pool>, plan: &Plan, nonce: usize) -> Result<String, Fault> {
    let owner = format!("{}/{}", plan.principal, plan.session.unwrap_or("-"));
    let arguments = format!(r#"{{"nonce":"{nonce}","owner":"{owner}","does":"{}"}}"#, plan.does);
    let params = format!(r#"{{"name":"t","arguments":{arguments},"_meta":{{"progressToken":"p"}}}}"#);
    let client = ClientFacts { info: None, capabilities: Json::empty_object(), log_level: None };
    let ask = Ask {
        method: "tools/call".into(),
        params: Some(Json::parse(params).unwrap()),
        principal: plan.principal.into(),
        session: plan.session.map(Into::into),
        client: Arc::new(client),
        events: mailbox::channel(1).0,
        appetite: Appetite::default(),
    };
    match pool.ask(&ServerName::new("p").unwrap(), ask).await.map_err(|error| error.fault)? {
        Answer::Result(result) => Ok(result.member("nonce").unwrap().string().unwrap().into_owned()),
        Answer::Error(_) => Ok("error".into()),
        Answer::Asks(_) => Ok("question".into()),
        Answer::Flow(_) => Ok("flow".into()),
    }
}

/// Makes one call and says what is wrong with what came of it.
async fn client(pool: Arc<Pool>, plan: Plan, nonce: usize) -> Option<String> {
    sleep(plan.at).await;
    let began = Instant::now();
    let calling = call(pool, &plan, nonce);
    let outcome = match plan.gives_up {
        Some(after) => match timeout(after, calling).await {
            Ok(outcome) => outcome,
            Err(_) => return None,
        },
        None => calling.await,
    };
    let took = began.elapsed();
    if took > DEADLINES.total + DEADLINES.initialize + SECOND {
        return Some(format!("call {nonce} took {took:?}"));
    }
    match outcome {
        Ok(answer) if answer == nonce.to_string() || (plan.does == "error" && answer == "error") => None,
        Ok(answer) => Some(format!("call {nonce} ({}) was answered with {answer}", plan.does)),
        Err(_) => None,
    }
}

/// Runs one schedule; what was wrong.
async fn schedule(seed: u64) -> Vec<String> {
    let dice = Dice::of(seed);
    let sharing =
        [Sharing::Shared, Sharing::PerPrincipal, Sharing::PerSession, Sharing::PerCall][dice.below(4)];
    let limits = Limits {
        in_flight: at_least(1 + dice.below(6)),
        in_flight_per_server: at_least(1 + dice.below(6)),
        ..Limits::default()
    };
    let world = World::new(seed, sharing, limits.clone());
    let tasks = Tasks::new();
    let pool = pool(&world, limits, &tasks, seed);
    let first = server(0, sharing, &dice);
    pool.apply(vec![Arc::new(first.clone())]);
    let calls = 5 + dice.below(25);
    let clients: Vec<JoinHandle<Option<String>>> =
        (0..calls).map(|nonce| tokio::spawn(client(Arc::clone(&pool), plan(&dice), nonce))).collect();
    let mut version = 0;
    for _ in 0..dice.below(6) {
        sleep(Duration::from_millis(dice.below(8000) as u64)).await;
        match dice.below(4) {
            0 => pool.session_over("s1"),
            1 => {
                version += 1;
                pool.apply(vec![Arc::new(server(version, sharing, &dice))]);
            }
            2 => {
                let idle = SECOND * (1 + dice.below(9) as u32);
                let now = (*pool.status()[0].server).clone();
                pool.apply(vec![Arc::new(Server { instances: Instances { idle, ..now.instances }, ..now })]);
            }
            _ => pool.want_log_level("debug"),
        }
    }
    let closes_early = dice.below(8) == 0;
    if closes_early {
        pool.close().await;
    }
    let mut wrong = Vec::new();
    for client in clients {
        match timeout(SECOND * 200, client).await {
            Ok(outcome) => wrong.extend(outcome.unwrap_or_else(|panic| Some(panic.to_string()))),
            Err(_) => wrong.push("a call has no outcome".into()),
        }
    }
    pool.close().await;
    let left = tasks.finish(SECOND).await;
    if !left.is_empty() || tasks.panics() > 0 {
        wrong.push(format!("left: {left:?}, panics: {}", tasks.panics()));
    }
    wrong.extend(world.wrong());
    wrong
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

#[expect(clippy::disallowed_methods, reason = "read by this test alone")]
fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().expect(variable))
}

#[test]
fn whatever_happens_the_promises_hold() {
    let seeds = match asked("WASMGATE_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("WASMGATE_SIMULATIONS").unwrap_or(SCHEDULES),
    };
    for seed in seeds {
        let wrong = run(schedule(seed));
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    }
}

/// A server that takes one call at a time, and answers after a second.
fn busy() -> Server {
    let one = Some(at_least(1));
    let instances = super::shared(1);
    let server = server(0, Sharing::Shared, &Dice::of(0));
    let deadlines = Deadlines { total: SECOND * 6000, ..DEADLINES };
    Server { max_in_flight: one, instances, deadlines, ..server }
}

fn polite(principal: &'static str) -> Plan {
    Plan { at: Duration::ZERO, principal, session: None, does: "second", gives_up: None }
}

#[test]
fn a_thousand_calls_of_one_delay_anothers_by_a_turn() {
    run(async {
        let world = World::new(1, Sharing::Shared, Limits::default());
        world.behave();
        let tasks = Tasks::new();
        let pool = pool(&world, Limits::default(), &tasks, 1);
        pool.apply(vec![Arc::new(busy())]);
        let abusive: Vec<_> = (0..1000)
            .map(|nonce| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { call(pool, &polite("a"), nonce).await })
            })
            .collect();
        sleep(SECOND * 5).await;
        let began = Instant::now();
        for nonce in 2000..2003 {
            assert_eq!(call(Arc::clone(&pool), &polite("b"), nonce).await.unwrap(), nonce.to_string());
        }
        // The rest of one that runs, one turn of the other's, and its own.
        assert!(began.elapsed() <= SECOND * 9, "{:?} for three calls of a second", began.elapsed());
        // And no more than so many wait.
        let more = (3000..3100).map(|nonce| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { call(pool, &polite("a"), nonce).await })
        });
        let more: Vec<_> = more.collect();
        tokio::task::yield_now().await;
        let refused =
            futures_util::future::join_all(more.into_iter().map(async |call| {
                matches!(timeout(Duration::ZERO, call).await, Ok(Ok(Err(Fault::Busy(_)))))
            }))
            .await;
        assert!(refused.iter().any(|refused| *refused), "the line is bounded");
        abusive.iter().for_each(JoinHandle::abort);
        pool.close().await;
        assert_eq!(world.wrong(), Vec::<String>::new());
    });
}

#[test]
fn a_hundred_first_calls_start_one_instance() {
    for (sharing, expected) in
        [(Sharing::Shared, 1), (Sharing::PerPrincipal, 1), (Sharing::PerSession, 2), (Sharing::PerCall, 5)]
    {
        run(async {
            let world = World::new(2, sharing, Limits::default());
            world.behave();
            let tasks = Tasks::new();
            let pool = pool(&world, Limits::default(), &tasks, 2);
            let instances = Instances { sharing, min: 1, max: at_least(5), idle: SECOND * 60 };
            pool.apply(vec![Arc::new(Server { max_in_flight: None, instances, ..busy() })]);
            let calls = (0..100).map(|nonce| call(Arc::clone(&pool), CALL, nonce));
            let answers = futures_util::future::join_all(calls).await;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            sleep(SECOND * 5).await;
            // One that a session has is followed by a spare for the next; calls of their own run as many at once as may.
            match sharing {
                Sharing::PerCall => assert!(world.started() >= 100 && world.most_at_once() == expected),
                _ => assert_eq!(world.started(), expected, "{sharing:?}"),
            }
            pool.close().await;
            assert_eq!(world.wrong(), Vec::<String>::new());
        });
    }
}

const CALL: &Plan =
    &Plan { at: Duration::ZERO, principal: "a", session: Some("s1"), does: "second", gives_up: None };

#[test]
fn progress_keeps_a_call_alive_but_not_past_its_end() {
    run(async {
        let world = World::new(5, Sharing::Shared, Limits::default());
        world.behave();
        let tasks = Tasks::new();
        let pool = pool(&world, Limits::default(), &tasks, 5);
        pool.apply(vec![Arc::new(Server { deadlines: DEADLINES, ..busy() })]);
        let took = async |does, nonce| {
            let began = Instant::now();
            let outcome = call(Arc::clone(&pool), &Plan { does, ..polite("a") }, nonce).await;
            (outcome.unwrap_err(), began.elapsed().as_secs())
        };
        assert_eq!(call(Arc::clone(&pool), &polite("a"), 1).await.unwrap(), "1");
        assert_eq!(took("hang", 2).await, (Fault::Timeout(10), 10));
        assert_eq!(took("progress", 3).await, (Fault::Timeout(60), 60));
        // What it waited for its turn counts.
        let (first, second) = tokio::join!(took("progress", 4), took("progress", 5));
        assert_eq!(first, (Fault::Timeout(60), 60));
        assert_eq!((second.1, matches!(second.0, Fault::Busy(_) | Fault::Timeout(60))), (60, true));
        pool.close().await;
        assert_eq!(world.wrong(), Vec::<String>::new());
    });
}

#[test]
fn a_server_that_need_not_run_sleeps_and_wakes_with_its_lists_known() {
    run(async {
        let world = World::new(3, Sharing::PerPrincipal, Limits::default());
        world.behave();
        let tasks = Tasks::new();
        let pool = pool(&world, Limits::default(), &tasks, 3);
        let instances =
            Instances { sharing: Sharing::PerPrincipal, min: 0, max: at_least(4), idle: SECOND * 30 };
        pool.apply(vec![Arc::new(Server { instances, ..busy() })]);
        sleep(SECOND * 60).await;
        assert_eq!((world.started(), world.alive()), (1, 0));
        let status = pool.status().remove(0);
        assert!(status.offer.is_some() && status.state == crate::upstream::State::Ready);
        assert!(call(Arc::clone(&pool), CALL, 1).await.is_ok());
        assert!(call(Arc::clone(&pool), CALL, 2).await.is_ok());
        assert_eq!((world.started(), world.alive()), (2, 1));
        sleep(SECOND * 60).await;
        assert_eq!(world.alive(), 0);
        pool.close().await;
        assert_eq!(world.wrong(), Vec::<String>::new());
    });
}

#[test]
fn a_server_that_runs_out_of_memory_twice_is_left_alone_until_a_reload() {
    run(async {
        let world = World::new(4, Sharing::Shared, Limits::default());
        world.behave();
        let tasks = Tasks::new();
        let pool = pool(&world, Limits::default(), &tasks, 4);
        pool.apply(vec![Arc::new(busy())]);
        let greedy = Plan { does: "oom", ..polite("a") };
        for nonce in 0..2 {
            assert!(call(Arc::clone(&pool), &greedy, nonce).await.is_err());
            sleep(SECOND * 5).await;
        }
        let state = pool.status().remove(0).state;
        let crate::upstream::State::Quarantined { reason } = state else { panic!("{state:?}") };
        assert!(reason.contains("out of memory twice within 5 minutes"), "{reason}");
        sleep(SECOND * 500).await;
        assert!(matches!(call(Arc::clone(&pool), &polite("a"), 3).await, Err(Fault::Unavailable(_))));
        assert_eq!(world.started(), 2);
        pool.apply(vec![Arc::new(busy())]);
        sleep(SECOND).await;
        assert!(call(Arc::clone(&pool), &polite("a"), 4).await.is_ok());
        pool.close().await;
    });
}

/// Sessions have instances of their own, so many at once, for a long time.
fn of_sessions(max: usize) -> Server {
    let instances =
        Instances { sharing: Sharing::PerSession, min: 0, max: at_least(max), idle: SECOND * 6000 };
    Server { max_in_flight: None, instances, ..busy() }
}

#[test]
fn a_session_that_waits_gets_the_place_of_one_that_ends() {
    run(async {
        let world = World::new(6, Sharing::PerSession, Limits::default());
        world.behave();
        let tasks = Tasks::new();
        let pool = pool(&world, Limits::default(), &tasks, 6);
        pool.apply(vec![Arc::new(of_sessions(1))]);
        assert_eq!(call(Arc::clone(&pool), CALL, 1).await.unwrap(), "1");
        let next = Plan { session: Some("s2"), ..polite("a") };
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { call(pool, &next, 2).await }
        });
        sleep(SECOND * 20).await;
        assert!(!waiting.is_finished(), "the first one keeps its own");
        pool.session_over("s1");
        let answer = timeout(SECOND * 20, waiting).await.expect("a place").unwrap();
        assert_eq!(answer.unwrap(), "2");
        pool.close().await;
        assert_eq!(world.wrong(), Vec::<String>::new());
    });
}

#[test]
fn another_session_does_not_start_what_runs_out_of_memory() {
    run(async {
        let world = World::new(7, Sharing::PerSession, Limits::default());
        world.behave();
        let tasks = Tasks::new();
        let pool = pool(&world, Limits::default(), &tasks, 7);
        pool.apply(vec![Arc::new(of_sessions(8))]);
        let plan = |session, does| Plan { session: Some(session), does, ..polite("a") };
        for (nonce, session) in ["s1", "s2", "s3"].into_iter().enumerate() {
            assert!(call(Arc::clone(&pool), &plan(session, "oom"), nonce).await.is_err());
            sleep(SECOND * 5).await;
        }
        let refused = call(Arc::clone(&pool), &plan("s4", "second"), 9).await.unwrap_err();
        assert!(matches!(&refused, Fault::Unavailable(why) if why.contains("twice")), "{refused}");
        pool.apply(vec![Arc::new(of_sessions(8))]);
        assert!(call(Arc::clone(&pool), &plan("s5", "second"), 10).await.is_ok());
        pool.close().await;
    });
}

#[test]
fn calls_that_wait_go_to_what_takes_the_place_of_their_server() {
    run(async {
        let world = World::new(8, Sharing::Shared, Limits::default());
        world.behave();
        let tasks = Tasks::new();
        let pool = pool(&world, Limits::default(), &tasks, 8);
        pool.apply(vec![Arc::new(busy())]);
        let calls: Vec<_> = (0..9)
            .map(|nonce| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { call(pool, &polite("a"), nonce).await })
            })
            .collect();
        sleep(SECOND * 4).await;
        let launch = server(1, Sharing::Shared, &Dice::of(0)).launch;
        pool.apply(vec![Arc::new(Server { launch, ..busy() })]);
        for (nonce, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().unwrap(), nonce.to_string());
        }
        pool.close().await;
        assert_eq!(world.wrong(), Vec::<String>::new());
    });
}

/// How many run with every test.
const SCHEDULES: u64 = 400;
