//! Real children of `/bin/sh`: what they see, how they end, and that nothing stays behind.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use wasmgate_core::catalog::EnvVar;

use super::*;
use crate::launch::{Input, Output};

const PATIENT: Duration = Duration::from_secs(20);

fn process(script: &str) -> Process {
    let args = vec!["-c".to_owned(), script.to_owned()];
    Process {
        program: "sh".to_owned(),
        args: args.into_iter().map(Into::into).collect(),
        env: Vec::new(),
        cwd: None,
    }
}

fn processes(tasks: &Tasks) -> Processes {
    let all =
        [("PATH", "/usr/bin:/bin"), ("HOME", "/nowhere"), ("LANG", "C"), ("AWS_SECRET_ACCESS_KEY", "leaked")];
    let environment = all.map(|(name, value)| (name.into(), value.into())).into();
    let settings = LaunchSettings { environment, ..LaunchSettings::default() };
    let identity = Arc::new(Identity::of(&settings.gateway));
    Processes::new(&settings, identity, tasks.clone())
}

fn start(process: &Process, tasks: &Tasks) -> Result<Instance, LaunchError> {
    processes(tasks).start(&ServerName::new("s").unwrap(), process)
}

fn stdio(instance: &mut Instance) -> (Input, Lines<BufReader<Output>>) {
    let Some(Channel::Stdio { input, output }) = instance.take_channel() else { panic!("no pipes") };
    (input, BufReader::new(output).lines())
}

async fn line(lines: &mut Lines<BufReader<Output>>) -> String {
    lines.next_line().await.unwrap().unwrap()
}

/// Waits until a process is gone: not there, or a zombie that waits for somebody else's parent.
async fn gone(pid: &str) {
    let stat = format!("/proc/{pid}/stat");
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn it_answers_and_ends_when_stdin_closes() {
    let tasks = Tasks::new();
    let mut instance = start(&process("cat; echo bye >&2; exit 3"), &tasks).unwrap();
    let (mut input, mut lines) = stdio(&mut instance);
    assert!(instance.take_channel().is_none());
    input.write_all(b"{}\n").await.unwrap();
    assert_eq!(line(&mut lines).await, "{}");
    drop(input);
    let exit = instance.ended().await;
    assert_eq!((exit.code, exit.signal, exit.last_stderr.as_str()), (Some(3), None, "bye"));
    assert_eq!(instance.ended().await, exit);
    assert!(tasks.finish(PATIENT).await.is_empty());
}

#[tokio::test]
async fn the_environment_is_clean() {
    let tasks = Tasks::new();
    let mut process = process("pwd; exec env");
    process.cwd = Some("/".into());
    process.env = vec![EnvVar { name: "TOKEN".into(), value: "t0ken".into() }];
    let mut instance = start(&process, &tasks).unwrap();
    let Some(Channel::Stdio { mut output, .. }) = instance.take_channel() else { panic!("no pipes") };
    let mut said = String::new();
    output.read_to_string(&mut said).await.unwrap();
    let mut said: Vec<&str> =
        said.lines().filter(|l| !l.starts_with("_=") && !l.starts_with("SHLVL=")).collect();
    said.retain(|l| !l.starts_with("WASMGATE_OWNER="));
    said[1..].sort_unstable();
    assert_eq!(said, ["/", "HOME=/nowhere", "LANG=C", "PATH=/usr/bin:/bin", "PWD=/", "TOKEN=t0ken"]);
}

#[tokio::test]
async fn stop_closes_stdin_first_even_while_the_user_holds_it() {
    let tasks = Tasks::new();
    let mut instance = start(&process("trap 'exit 9' TERM; read x; exit 4"), &tasks).unwrap();
    let (_input, _lines) = stdio(&mut instance);
    assert_eq!(instance.stop(PATIENT).await.code, Some(4));
}

#[tokio::test]
async fn stop_goes_on_to_term_and_to_kill() {
    let tasks = Tasks::new();
    let grace = Duration::from_millis(100);
    let polite = "trap 'echo terminated >&2; exit 7' TERM; echo up; while :; do sleep 0.01; done";
    let mut instance = start(&process(polite), &tasks).unwrap();
    let (_input, mut lines) = stdio(&mut instance);
    line(&mut lines).await;
    let exit = instance.stop(PATIENT.min(grace * 20)).await;
    assert!(exit.code == Some(7) && exit.last_stderr.contains("terminated"), "{exit:?}");

    let mut instance =
        start(&process("trap '' TERM; echo up; while :; do sleep 0.01; done"), &tasks).unwrap();
    let (_input, mut lines) = stdio(&mut instance);
    line(&mut lines).await;
    let exit = instance.stop(grace).await;
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
}

#[tokio::test]
async fn grandchildren_end_with_the_child() {
    let tasks = Tasks::new();
    let stubborn = "trap '' TERM; sleep 1000 & echo $!; ";
    for (script, stop) in [("read x", true), ("exit 1", false), ("kill -9 $$", false)] {
        let mut instance = start(&process(&format!("{stubborn}{script}")), &tasks).unwrap();
        let (_input, mut lines) = stdio(&mut instance);
        let grandchild = line(&mut lines).await;
        if stop {
            instance.stop(Duration::from_millis(100)).await;
        } else {
            instance.ended().await;
        }
        gone(&grandchild).await;
    }
}

#[tokio::test]
async fn what_left_the_group_ends_too() {
    let tasks = Tasks::new();
    // A daemon, one that ignores all there is to ignore, and one that did away with its environment.
    let daemon = "setsid sh -c 'sleep 1000 & echo $!'; ";
    let stubborn = "setsid sh -c 'trap \"\" TERM HUP; echo $$; while :; do sleep 0.02; done' & ";
    let unmarked = "env -i PATH=$PATH setsid sh -c 'echo $$; exec sleep 1000' & ";
    for (script, then, stop) in [
        (daemon, "read x", true),
        (daemon, "exit 1", false),
        (stubborn, "read x", true),
        (stubborn, "read x; exit 1", false),
        (unmarked, "read x", true),
    ] {
        let mut instance = start(&process(&format!("{script}{then}")), &tasks).unwrap();
        let (input, mut lines) = stdio(&mut instance);
        let stray = line(&mut lines).await;
        if stop {
            instance.stop(Duration::from_millis(100)).await;
            let stat = std::fs::read_to_string(format!("/proc/{stray}/stat"));
            assert!(
                stat.is_err() || stat.unwrap().contains(") Z "),
                "{script}: it is gone when the stop is over"
            );
        } else {
            drop(input);
            instance.ended().await;
            gone(&stray).await;
        }
    }
    assert!(tasks.finish(PATIENT).await.is_empty());
}

#[tokio::test]
async fn what_a_dead_gateway_left_is_swept_and_nothing_else() {
    let tasks = Tasks::new();
    let sleeper = |mark: &str| {
        let mut command = Command::new("sleep");
        command.arg("1000").env(family::VARIABLE, mark).kill_on_drop(true).spawn().unwrap()
    };
    let processes = processes(&tasks);
    let ours = processes.identity.mark(0);
    let alive = format!("{:016x}{}", 7, &ours[16..]);
    let dead = alive.replacen(&format!(" {} ", std::process::id()), " 4194304 ", 1);
    assert_ne!(dead, alive);
    let (mut alive, mut dead) = (sleeper(&alive), sleeper(&dead));
    assert!(processes.sweep().await >= 1, "this one, and what other dead gateways left");
    assert_eq!(dead.wait().await.unwrap().signal(), Some(15));
    assert!(alive.try_wait().unwrap().is_none(), "its gateway lives");
}

#[tokio::test]
async fn a_dropped_instance_is_ended_and_reaped() {
    let tasks = Tasks::new();
    let mut instance = start(&process("echo $$; cat"), &tasks).unwrap();
    let (input, mut lines) = stdio(&mut instance);
    let pid = line(&mut lines).await;
    drop(instance);
    assert_eq!(lines.next_line().await.unwrap(), None, "stdin was closed for it");
    drop(input);
    assert!(tasks.finish(PATIENT).await.is_empty());
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "not even a zombie");
}

#[tokio::test]
async fn the_drain_ends_what_nobody_stopped() {
    let tasks = Tasks::new();
    let mut instance = start(&process("cat"), &tasks).unwrap();
    let held = instance.take_channel();
    assert!(tasks.finish(PATIENT).await.is_empty());
    assert_eq!(instance.ended().await.code, Some(0));
    drop(held);
}

#[tokio::test]
async fn a_signal_and_a_flood_are_told() {
    let tasks = Tasks::new();
    let mut killed = start(&process("kill -SEGV $$"), &tasks).unwrap();
    let exit = killed.ended().await;
    assert_eq!((exit.code, exit.signal), (None, Some(11)));

    let flood = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo last words >&2";
    let mut instance = start(&process(flood), &tasks).unwrap();
    let exit = instance.ended().await;
    assert!(exit.last_stderr.ends_with("xxxlast words") && exit.last_stderr.len() <= 4096, "{exit:?}");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Process), code: &str, sentence: &str) {
        let mut wanted = process("true");
        change(&mut wanted);
        let Err(error) = start(&wanted, &Tasks::new()) else { panic!("started") };
        assert_eq!((error.code(), error.to_string().as_str()), (code, sentence));
    }
    let sentence =
        "there is no program `uvy` in the gateway's PATH: install it, or name it with its full path";
    check(|p| p.program = "uvy".into(), "program_not_found", sentence);
    check(|p| p.program = "/no/such/file".into(), "program_not_found", "there is no file /no/such/file");
    let sentence = "its working directory /no/such/dir is not a directory";
    check(|p| p.cwd = Some("/no/such/dir".into()), "start_failed", sentence);
    check(|p| p.program = "/etc/passwd".into(), "start_failed", "/etc/passwd could not be run");
}
