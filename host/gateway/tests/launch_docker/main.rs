//! Containers for real: what the launcher asks of an engine, seen from the engine and from inside the container.
//!
//! Needs a Docker engine. Without one every test says so and passes, unless `WASMGATE_REQUIRE_DOCKER=1`. The image is
//! made here, FROM scratch, of one static program; nothing is pulled from anywhere but this machine.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "everything here is a test, and a surprise is to end it"
)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, InspectContainerOptions, KillContainerOptions, ListContainersOptionsBuilder,
    RemoveImageOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::sync::OnceCell;
use wasmgate::launch::{BindPolicy, Channel, Input, Instance, LaunchSettings, Launcher, Output, Progress};
use wasmgate::shutdown::Tasks;
use wasmgate_core::catalog::{
    About, Container, ContainerTransport, Deadlines, EnvVar, Instances, Launch, Mount, MountSource, Network,
    Protocol, Pull, Server, ToolFilter,
};
use wasmgate_core::name::ServerName;

mod registry;

const PATIENT: Duration = Duration::from_secs(30);

/// The engine, or the reason for doing nothing.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, not the product's configuration")]
async fn docker() -> Option<Docker> {
    let docker = match Docker::connect_with_unix_defaults() {
        Ok(docker) => docker.version().await.map(|_| docker),
        Err(error) => Err(error),
    };
    if let Err(error) = &docker {
        assert!(std::env::var("WASMGATE_REQUIRE_DOCKER").is_err(), "Docker is required here: {error}");
        eprintln!("SKIPPED, nothing was tested: no Docker engine here ({error})");
    }
    docker.ok()
}

/// The test image, made once: a tar of one static program.
async fn image(docker: &Docker) -> String {
    static IMAGE: OnceCell<String> = OnceCell::const_new();
    IMAGE.get_or_init(|| build(docker)).await.clone()
}

async fn build(docker: &Docker) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/launch_docker/probe.rs");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let flags = [
        "--edition=2024",
        "-O",
        "-Cstrip=symbols",
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
    ];
    let built =
        Command::new("rustc").args(flags).arg(source).arg("-o").arg(dir.join("probe")).status().unwrap();
    assert!(built.success());
    let tar = Command::new("tar").arg("-C").arg(dir).args(["-c", "probe"]).output().unwrap();
    assert!(tar.status.success());
    // An import always makes a new image; the one before would stay without a name.
    let force = RemoveImageOptionsBuilder::default().force(true).build();
    let _ = docker.remove_image("wasmgate-test/probe:latest", Some(force), None).await;
    let options =
        CreateImageOptionsBuilder::default().from_src("-").repo("wasmgate-test/probe").tag("latest");
    let options = options.changes(vec!["ENTRYPOINT [\"/probe\"]".to_owned()]).build();
    let mut imported = docker.create_image(Some(options), Some(bollard::body_full(tar.stdout.into())), None);
    while let Some(line) = imported.next().await {
        line.unwrap();
    }
    "wasmgate-test/probe:latest".to_owned()
}

/// A launcher of its own, and the server it starts.
struct Bench {
    docker: Docker,
    tasks: Tasks,
    launcher: Launcher,
    container: Container,
    deadlines: Deadlines,
    name: &'static str,
}

impl Bench {
    async fn new(name: &'static str) -> Option<Self> {
        let docker = docker().await?;
        let container = Container {
            image: image(&docker).await,
            command: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            user: None,
            network: Network::None,
            extra_hosts: Vec::new(),
            transport: ContainerTransport::Stdio,
            memory: None,
            cpus: None,
            writable_root: false,
            pull: Pull::Never,
            extras: Box::default(),
        };
        let tasks = Tasks::new();
        let settings = LaunchSettings { gateway: "test".to_owned(), ..LaunchSettings::default() };
        let launcher = Launcher::new(settings, tasks.clone());
        Some(Self { docker, tasks, launcher, container, deadlines: Deadlines::default(), name })
    }

    fn server(&self) -> Server {
        Server {
            name: ServerName::new(self.name).unwrap(),
            about: About::default(),
            launch: Launch::Container(self.container.clone()),
            prefix: None,
            tools: ToolFilter::All,
            protocol: Protocol::Auto,
            deadlines: self.deadlines,
            max_in_flight: None,
            instances: Instances::default(),
            required: false,
        }
    }

    async fn start(&self) -> Instance {
        self.launcher.start(&self.server(), &|_| {}).await.unwrap()
    }

    async fn refused(&self) -> (&'static str, String) {
        let error = self.launcher.start(&self.server(), &|_| {}).await.err().expect("it started");
        (error.code(), error.to_string())
    }

    /// Every container of this bench's server, dead or alive.
    async fn containers(&self) -> Vec<ContainerInspectResponse> {
        let filters = HashMap::from([("label", vec![format!("wasmgate.server={}", self.name)])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let mut found = Vec::new();
        for listed in self.docker.list_containers(Some(options)).await.unwrap() {
            let inspected =
                self.docker.inspect_container(&listed.id.unwrap(), None::<InspectContainerOptions>).await;
            // It may vanish between the list and the look.
            found.extend(inspected.ok());
        }
        found
    }

    /// Ends everything; nothing may be left of tasks or containers.
    async fn finish(self) {
        assert_eq!(self.tasks.finish(PATIENT).await, Vec::<&str>::new());
        assert_eq!(self.tasks.panics(), 0);
        assert!(self.containers().await.is_empty(), "containers left");
    }
}

/// A conversation with the probe.
struct Talk {
    input: Input,
    lines: Lines<BufReader<Output>>,
}

impl Talk {
    fn with(instance: &mut Instance) -> Self {
        let Some(Channel::Stdio { input, output }) = instance.take_channel() else { panic!("no pipes") };
        Self { input, lines: BufReader::new(output).lines() }
    }

    async fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.input.flush().await.unwrap();
    }

    async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.lines.next_line().await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn stdio_both_ways_and_the_end_of_input() {
    let Some(bench) = Bench::new("t-echo").await else { return };
    let mut instance = bench.start().await;
    let mut talk = Talk::with(&mut instance);
    assert_eq!(talk.ask("echo {\"jsonrpc\":\"2.0\"}").await, "{\"jsonrpc\":\"2.0\"}");
    assert_eq!(talk.ask("big 3000000").await.len(), 3_000_000);
    talk.say("say a \u{1b}[31mred\u{1b}[0m word").await;
    drop(talk.input);
    assert_eq!(talk.lines.next_line().await.unwrap(), None);
    let exit = instance.ended().await;
    assert_eq!((exit.code, exit.signal, exit.out_of_memory), (Some(0), None, false));
    assert_eq!(exit.last_stderr, "probe is up\na \u{fffd}[31mred\u{fffd}[0m word\nend of input");
    bench.finish().await;
}

#[tokio::test]
async fn the_engine_says_it_is_contained() {
    let Some(mut bench) = Bench::new("t-settings").await else { return };
    bench.container.env = vec![EnvVar { name: "TOKEN".into(), value: "canary-value".into() }];
    let instance = bench.start().await;
    let seen = bench.containers().await.remove(0);
    let (config, host) = (seen.config.unwrap(), seen.host_config.unwrap());
    let labels = config.labels.clone().unwrap();
    assert_eq!(config.user.as_deref(), Some("65532:65532"));
    assert_eq!((config.tty, config.open_stdin, config.stdin_once), (Some(false), Some(true), Some(true)));
    assert_eq!((host.privileged, host.readonly_rootfs, host.init), (Some(false), Some(true), Some(true)));
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges:true".to_owned()]));
    assert_eq!((host.network_mode.as_deref(), host.ipc_mode.as_deref()), (Some("none"), Some("private")));
    assert_eq!((host.memory, host.memory_swap), (Some(536_870_912), Some(536_870_912)));
    assert_eq!((host.nano_cpus, host.pids_limit), (Some(1_000_000_000), Some(128)));
    assert_eq!((host.oom_score_adj, host.shm_size), (Some(500), Some(16_777_216)));
    assert_eq!(host.cgroupns_mode.unwrap().to_string(), "private");
    assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("none"));
    assert!(host.masked_paths.unwrap().contains(&"/proc/kcore".to_owned()));
    assert!(host.readonly_paths.unwrap().contains(&"/proc/sys".to_owned()));
    for label in [
        "wasmgate",
        "wasmgate.gateway",
        "wasmgate.boot",
        "wasmgate.server",
        "wasmgate.definition",
        "wasmgate.pid",
    ] {
        assert!(labels.get(label).is_some_and(|value| !value.is_empty()), "{label}");
    }
    assert!(!format!("{labels:?} {:?} {:?}", seen.name, seen.args).contains("canary-value"));
    instance.stop(PATIENT).await;
    bench.finish().await;
}

#[tokio::test]
async fn the_container_feels_it_is_contained() {
    let Some(mut bench) = Bench::new("t-inside").await else { return };
    bench.container.env = vec![EnvVar { name: "TOKEN".into(), value: "t0ken".into() }];
    let mut instance = bench.start().await;
    let mut talk = Talk::with(&mut instance);
    let status = talk.ask("read /proc/self/status").await;
    for line in
        ["Uid:\t65532\t65532", "Gid:\t65532\t65532", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"]
    {
        assert!(status.contains(line), "{line} in {status}");
    }
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    assert!(talk.ask("write /owned").await.contains("os error"));
    assert_eq!(talk.ask("write /tmp/fine").await, "written");
    assert!(talk.ask("read /proc/mounts").await.contains(" /tmp tmpfs rw,nosuid,nodev,noexec"));
    assert!(talk.ask("dial 1.1.1.1:53").await.contains("unreachable"));
    assert!(!talk.ask("read /proc/net/dev").await.contains("eth0"));
    assert_eq!(talk.ask("env TOKEN").await, "t0ken");
    assert!(talk.ask("read /proc/self/limits").await.contains("Max open files            1024"));
    drop(talk);
    instance.stop(PATIENT).await;
    bench.finish().await;
}

#[tokio::test]
async fn every_end_is_told_apart() {
    let Some(mut bench) = Bench::new("t-ends").await else { return };

    let mut instance = bench.start().await;
    Talk::with(&mut instance).say("exit 7").await;
    let exit = instance.ended().await;
    assert_eq!((exit.code, exit.signal, exit.out_of_memory), (Some(7), None, false));

    let mut instance = bench.start().await;
    let mut talk = Talk::with(&mut instance);
    talk.ask("echo up").await;
    let victim =
        bench.containers().await.into_iter().find(|c| c.state.as_ref().unwrap().running == Some(true));
    bench.docker.kill_container(&victim.unwrap().id.unwrap(), None::<KillContainerOptions>).await.unwrap();
    let exit = instance.ended().await;
    assert_eq!((exit.signal, exit.out_of_memory), (Some(9), false), "{exit:?}");
    assert_eq!(talk.lines.next_line().await.unwrap(), None);

    bench.container.memory = Some(32 << 20);
    let mut instance = bench.start().await;
    let mut talk = Talk::with(&mut instance);
    talk.say("eat").await;
    let exit = instance.ended().await;
    assert!(exit.out_of_memory && exit.signal == Some(9), "{exit:?}");

    drop(talk);
    bench.finish().await;
}

#[tokio::test]
async fn stop_removes_what_does_not_listen() {
    let Some(bench) = Bench::new("t-stop").await else { return };
    let mut instance = bench.start().await;
    let mut talk = Talk::with(&mut instance);
    talk.ask("echo up").await;
    talk.say("hang").await;
    let exit = instance.stop(Duration::from_millis(200)).await;
    // The probe has no handler, so the signal its init passes on ends it.
    assert!(matches!(exit.signal, Some(9 | 15)), "{exit:?}");
    assert!(bench.containers().await.is_empty(), "removed before stop returns");
    drop(talk);
    bench.finish().await;
}

#[tokio::test]
async fn a_dropped_instance_and_a_dropped_start_leave_nothing() {
    let Some(bench) = Bench::new("t-drop").await else { return };
    let mut instance = bench.start().await;
    let talk = Talk::with(&mut instance);
    drop(instance);
    drop(talk);
    let server = bench.server();
    let mut start = Box::pin(bench.launcher.start(&server, &|_| {}));
    // Until the engine has one, then nobody wants it any more.
    while bench.containers().await.is_empty() {
        let _ = tokio::time::timeout(Duration::from_millis(1), &mut start).await;
    }
    drop(start);
    // No stop is asked for: what is left has to end by itself.
    while bench.tasks.running() > 0 {
        tokio::task::yield_now().await;
    }
    bench.finish().await;
}

#[tokio::test]
async fn a_container_that_serves_http_is_ready_when_started() {
    let Some(mut bench) = Bench::new("t-http").await else { return };
    bench.container.network = Network::Default;
    bench.container.transport = ContainerTransport::StreamableHttp { port: 8080, path: "/mcp".to_owned() };
    bench.container.command = ["serve", "8080", "700"].map(Into::into).into();
    let mut instance = bench.start().await;
    let Some(Channel::Http { url, .. }) = instance.take_channel() else { panic!("no url") };
    assert_eq!((url.host_str(), url.path()), (Some("127.0.0.1"), "/mcp"));
    // The first request after the start is answered: no retry here.
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).await.unwrap();
    stream.write_all(b"GET /mcp HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("GET /mcp HTTP/1.1"), "{answer}");
    let ports = bench.containers().await.remove(0).network_settings.unwrap().ports.unwrap();
    let bound = ports["8080/tcp"].as_ref().unwrap();
    assert!(bound.iter().all(|port| port.host_ip.as_deref() == Some("127.0.0.1")), "{bound:?}");
    let exit = instance.stop(PATIENT).await;
    assert_eq!(exit.last_stderr, "will serve on 8080");

    bench.container.command = ["fail", "no licence", "3"].map(Into::into).into();
    let expected = "it ended with exit code 3 before it listened: cannot go on: no licence";
    assert_eq!(bench.refused().await, ("ended_early", expected.to_owned()));

    bench.container.command = ["serve", "9999", "0"].map(Into::into).into();
    bench.deadlines.initialize = Duration::from_secs(1);
    let expected = "nothing listened on its port 8080 within 1 s: will serve on 9999";
    assert_eq!(bench.refused().await, ("not_listening", expected.to_owned()));
    bench.finish().await;
}

#[tokio::test]
async fn mounts_are_what_the_policy_says() {
    let Some(mut bench) = Bench::new("t-mounts").await else { return };
    let dir =
        std::env::temp_dir().canonicalize().unwrap().join(format!("wasmgate-mounts-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("ro")).unwrap();
    std::fs::create_dir_all(dir.join("rw")).unwrap();
    std::fs::write(dir.join("ro/hello"), "hi").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir.join("rw"), open).unwrap();
    let binds = BindPolicy { allow_writable: vec![dir.join("rw")], ..BindPolicy::default() };
    let settings = LaunchSettings { binds, ..LaunchSettings::default() };
    bench.launcher = Launcher::new(settings, bench.tasks.clone());
    let bind = |source: &Path, target: &str| Mount {
        source: MountSource::Bind(source.to_owned()),
        target: target.to_owned(),
        read_only: false,
    };
    bench.container.mounts = vec![bind(&dir.join("ro"), "/ro"), bind(&dir.join("rw"), "/rw")];
    let mut instance = bench.start().await;
    let mut talk = Talk::with(&mut instance);
    assert_eq!(talk.ask("read /ro/hello").await, "hi");
    assert!(talk.ask("write /ro/owned").await.contains("Read-only"));
    assert_eq!(talk.ask("write /rw/fine").await, "written");
    drop(talk);
    instance.stop(PATIENT).await;

    bench.container.mounts = vec![bind(Path::new("/var/run/docker.sock"), "/var/run/docker.sock")];
    assert_eq!(bench.refused().await.0, "bind_refused");
    bench.container.mounts = vec![bind(&dir.join("gone"), "/x")];
    assert_eq!(bench.refused().await.0, "bind_missing");
    std::fs::remove_dir_all(dir).unwrap();
    bench.finish().await;
}

#[tokio::test]
async fn what_the_engine_refuses_is_said_in_words() {
    let Some(mut bench) = Bench::new("t-refused").await else { return };
    bench.container.image = "wasmgate-test/absent:1".to_owned();
    let expected =
        "image wasmgate-test/absent:1 is not on this machine and its entry says `pull: never`: pull it first";
    assert_eq!(bench.refused().await, ("image_missing", expected.to_owned()));

    bench.container.image = "127.0.0.1:1/none:1".to_owned();
    bench.container.pull = Pull::Missing;
    let (code, sentence) = bench.refused().await;
    assert!(code == "registry_unreachable" && sentence.contains("connection refused"), "{sentence}");

    bench.container.image = image(&bench.docker).await;
    bench.container.user = Some("no-such-user".to_owned());
    let (code, sentence) = bench.refused().await;
    assert!(code == "start_failed" && sentence.contains("no-such-user"), "{sentence}");
    bench.finish().await;
}

#[tokio::test]
async fn one_image_is_pulled_once_and_shows_how_far_it_is() {
    let Some(mut bench) = Bench::new("t-pull").await else { return };
    let registry = registry::Registry::serve(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe")).await;
    bench.container.image = format!("{}/probe:1", registry.address());
    bench.container.pull = Pull::Missing;
    let seen = Mutex::new(Vec::new());
    let note = |progress| seen.lock().unwrap().push(progress);
    let server = bench.server();
    let (one, two) =
        tokio::join!(bench.launcher.start(&server, &note), bench.launcher.start(&server, &|_| {}));
    for started in [one, two] {
        let mut instance = started.unwrap();
        assert_eq!(Talk::with(&mut instance).ask("echo pulled").await, "pulled");
        instance.stop(PATIENT).await;
    }
    assert_eq!(registry.manifests_served(), 1, "two starts, one pull");
    let seen = seen.into_inner().unwrap();
    assert_eq!((seen.first(), seen.last()), (Some(&Progress::Pulling(None)), Some(&Progress::Starting)));

    bench.container.image = format!("{}/absent:1", registry.address());
    let (code, sentence) = bench.refused().await;
    assert_eq!(code, "image_not_found", "{sentence}");
    bench.container.image = format!("{}/private:1", registry.address());
    let (code, sentence) = bench.refused().await;
    assert_eq!(code, "image_denied", "{sentence}");
    let options = RemoveImageOptionsBuilder::default().force(true).build();
    bench.docker.remove_image(&format!("{}/probe:1", registry.address()), Some(options), None).await.unwrap();
    bench.finish().await;
}

#[tokio::test]
async fn the_sweep_takes_only_what_dead_gateways_left() {
    let Some(bench) = Bench::new("t-sweep").await else { return };
    let other = Bench::new("t-sweep-live").await.unwrap();
    let mut alive = other.start().await;
    let mut talk = Talk::with(&mut alive);

    // As a gateway would have left it: the labels of a live one, and a process that has ended since.
    let instance = bench.start().await;
    let model = bench.containers().await.remove(0);
    instance.stop(PATIENT).await;
    let dead = Command::new("true").spawn().unwrap();
    let pid = dead.id().to_string();
    dead.wait_with_output().unwrap();
    let mut labels = model.config.unwrap().labels.unwrap();
    labels.insert("wasmgate.boot".to_owned(), "an-earlier-one".to_owned());
    labels.insert("wasmgate.pid".to_owned(), pid);
    let body = bollard::models::ContainerCreateBody {
        image: Some(bench.container.image.clone()),
        labels: Some(labels),
        ..Default::default()
    };
    let none = None::<bollard::query_parameters::CreateContainerOptions>;
    bench.docker.create_container(none, body).await.unwrap();
    assert_eq!(bench.containers().await.len(), 1);

    assert!(bench.launcher.sweep().await.unwrap() >= 1);
    assert!(bench.containers().await.is_empty());
    assert_eq!(talk.ask("echo still here").await, "still here");

    // The last step of the drain takes what is still there, of this launcher and no other.
    let mut left = bench.start().await;
    assert_eq!(bench.launcher.stop_all().await.unwrap(), 1);
    assert_eq!(left.ended().await.signal, Some(9));
    assert_eq!(talk.ask("echo and here").await, "and here");
    alive.stop(PATIENT).await;
    drop(talk);
    bench.finish().await;
    other.finish().await;
}
