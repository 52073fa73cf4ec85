//! Whole configurations, good and bad, as golden text.

mod least; // the least that entries of Docker's catalog need

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;
use crate::document::render;

/// A directory that goes away with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = Self(std::env::temp_dir().join(format!("wasmgate-config-{}-{number}", std::process::id())));
        std::fs::create_dir_all(&dir.0).unwrap();
        for (name, text) in files {
            std::fs::write(dir.0.join(name), text).unwrap();
        }
        dir
    }

    fn environment(&self) -> Environment {
        let variables = [("DOCS_TOKEN", "t0ken"), ("HOME", "/home/me"), ("GH", "ghp")];
        let mut environment = Environment::new(variables.map(|(name, value)| (name.into(), value.into())));
        environment.directory.clone_from(&self.0);
        environment.executable = Some("/usr/bin/wasmgate".into());
        environment
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn shown(files: &[(&str, &str)], flags: &Flags) -> String {
    let dir = Dir::new(files);
    let text = match load_in(None, flags, dir.environment()) {
        Ok(config) => summary(&config),
        Err(problems) => problems.iter().map(render).collect(),
    };
    text.replace(&*dir.0.to_string_lossy(), "DIR")
}

fn summary(config: &Config) -> String {
    let mut out = format!("{:?}\n", config.listen.at);
    for server in &config.servers {
        let launch = match &server.launch {
            Launch::Container(container) => format!("container {} {:?}", container.image, container.memory),
            Launch::Process(process) => format!("process {} {:?}", process.program, process.args),
            Launch::Remote(remote) => format!("remote {} {} headers", remote.urls[0], remote.headers.len()),
            Launch::Tools(tools) => format!("{} tools", tools.len()),
        };
        writeln!(out, "{}: {launch} tools {:?}", server.name, server.tools).unwrap();
    }
    for (name, resolution) in &config.unavailable {
        writeln!(out, "{name}: {} {}", resolution.status(), resolution.reason()).unwrap();
    }
    for plugin in &config.plugins {
        writeln!(out, "plugin {}: {:?} {:?}", plugin.name, plugin.mode, plugin.from).unwrap();
    }
    for warning in &config.warnings {
        writeln!(out, "warning: {warning}").unwrap();
    }
    out
}

fn load_in(path: Option<&Path>, flags: &Flags, environment: Environment) -> Result<Config, Vec<Diagnostic>> {
    Request::within(path.map(Path::to_owned), flags.clone(), environment).read().config
}

fn validate_in(path: Option<&Path>, flags: &Flags, environment: Environment) -> Report {
    Request::within(path.map(Path::to_owned), flags.clone(), environment).validate(|_| Vec::new())
}

/// A wasmgate.yaml alone.
#[track_caller]
fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&shown(&[("wasmgate.yaml", yaml)], &Flags::default()));
}

#[track_caller]
fn check_with(files: &[(&str, &str)], flags: ServerFlags, expected: Expect) {
    expected.assert_eq(&shown(files, &Flags { servers: flags, ..Flags::default() }));
}

const CATALOG: &str = "registry:\n  github: {image: ghcr.io/x/github, secrets: [{name: github.token, env: GH}]}\n  slack: {image: mcp/slack, config: [{properties: {team_id: {type: string}}, required: [team_id]}]}\n  time: {image: mcp/time}\n";

#[test]
fn nothing_at_all_is_the_demo() {
    check(
        "",
        expect![[r#"
        Http(Address { host: "127.0.0.1", port: 8811 })
        demo: process /usr/bin/wasmgate ["demo-server", "demo"] tools All
        notes: process /usr/bin/wasmgate ["demo-server", "notes"] tools All
        time: process /usr/bin/wasmgate ["demo-server", "time"] tools All
        plugin block-secrets: Enforce Builtin("block-secrets")
        plugin log-calls: Enforce Builtin("log-calls")
    "#]],
    );
}

#[test]
fn the_documented_example() {
    let yaml = "
listen: { http: 127.0.0.1:9000 }
servers:
  time: { image: mcp/time, memory: 512m, tools: [now] }
  docs: { remote: { url: https://docs.example.com/mcp, headers: { Authorization: \"Bearer ${DOCS_TOKEN}\" } } }
  near: { url: http://127.0.0.1:9/mcp }
  git: { process: [git-server, --repo, /srv], env: { A: 1 } }
  locked: { url: https://x.example, required: false, env: {}, secrets: [], remote: null }
  token: { remote: { url: https://y.example, headers: { X: $NOT_THERE } } }
secrets: [env]
plugins:
  block-secrets: { use: builtin, mode: audit, limits: { memory: 16MiB, cpu: 5ms } }
  log-calls: { mode: off }
  mine: { use: ./mine.wasm, priority: { request: -10 }, when: { servers: [\"d*\"] } }
names: plain
binds: { allow: [/srv, ~/data] }
";
    check(
        yaml,
        expect![[r#"
        Http(Address { host: "127.0.0.1", port: 9000 })
        docs: remote https://docs.example.com/mcp 1 headers tools All
        git: process git-server ["--repo", "/srv"] tools All
        locked: remote https://x.example/ 0 headers tools All
        near: remote http://127.0.0.1:9/mcp 0 headers tools All
        time: container mcp/time Some(536870912) tools Only({"now"})
        token: needs-secret set the secret `NOT_THERE=...` in a file of `secrets`, or the variable `NOT_THERE`
        plugin block-secrets: Audit Builtin("block-secrets")
        plugin log-calls: Off Builtin("log-calls")
        plugin mine: Enforce File("DIR/./mine.wasm")
    "#]],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of them are golden text")]
fn slips_are_shown_with_their_cure() {
    check(
        "servers:\n  files:\n    imgae: x\n",
        expect![[r#"
        wasmgate.yaml:3:5: unknown key `imgae`
          |
        3 |     imgae: x
          |     ^^^^^
          did you mean `image`?
    "#]],
    );
    check(
        "catalog: [a.yaml]\n",
        expect![[r#"
        wasmgate.yaml:1:1: unknown key `catalog`
          |
        1 | catalog: [a.yaml]
          | ^^^^^^^
          did you mean `catalogs`?
    "#]],
    );
    check(
        "servers:\n  both: {image: a, url: https://b}\n  none: {env: {}}\n  'no name': {image: a}\n",
        expect![[r#"
        wasmgate.yaml:2:9: server `both`: says more than one way to start it
          |
        2 |   both: {image: a, url: https://b}
          |         ^
          keep one of `image`, `process`, `remote` and `url`
        wasmgate.yaml:4:14: server `no name`: `no name` cannot name a server: use 1 to 128 letters, digits, `.`, `_` or `-`, a letter or digit first
          |
        4 |   'no name': {image: a}
          |              ^
        wasmgate.yaml:3:9: server `none`: no catalog has it, and nothing says how to start it
          |
        3 |   none: {env: {}}
          |         ^
          add `image`, `process`, `remote` or `url`
    "#]],
    );
    check(
        "servers: {a: {image: x, deadlines: {idle: 5}}}\n",
        expect![[r#"
        wasmgate.yaml:1:43: `5` is not a length of time: write a number and a unit, such as `500ms`, `30s` or `2m`
          |
        1 | servers: {a: {image: x, deadlines: {idle: 5}}}
          |                                           ^
    "#]],
    );
    check(
        "servers: {a: {image: x, maxInFlight: 0}}\n",
        expect![[r#"
        wasmgate.yaml:1:38: `0` is not how many at once: write a whole number, 1 or more
          |
        1 | servers: {a: {image: x, maxInFlight: 0}}
          |                                      ^
    "#]],
    );
    check(
        "servers: {a: {image: x, instances: per-sesion}}\n",
        expect![[r#"
            wasmgate.yaml:1:25: `per-sesion` is not a choice here
              |
            1 | servers: {a: {image: x, instances: per-sesion}}
              |                         ^
              did you mean `per-session`?
        "#]],
    );
    check(
        "servers: {a: {image: x, instances: {policy: shared, most: 3}}}\n",
        expect![[r#"
            wasmgate.yaml:1:53: unknown key `most`
              |
            1 | servers: {a: {image: x, instances: {policy: shared, most: 3}}}
              |                                                     ^^^^
              known here: `policy`, `min`, `max`, `idle`
        "#]],
    );
    check(
        "servers: {a: {image: x, protocol: modren}}\n",
        expect![[r#"
        wasmgate.yaml:1:35: `modren` is not a choice here
          |
        1 | servers: {a: {image: x, protocol: modren}}
          |                                   ^^^^^^
          did you mean `modern`?
    "#]],
    );
    check(
        "servers: {a: {remote: {url: https://x, header: {}}}}\n",
        expect![[r#"
        wasmgate.yaml:1:40: unknown key `header`
          |
        1 | servers: {a: {remote: {url: https://x, header: {}}}}
          |                                        ^^^^^^
          did you mean `headers`?
    "#]],
    );
    check(
        "listen: {http: here, sse: 1}\n",
        expect![[r#"
        wasmgate.yaml: `listen` names more than one place
          keep one of `http`, `sse` and `stdio`; `http` serves `/sse` too
    "#]],
    );
    check(
        "limits: {connections: {total: 0}}\n",
        expect![[r#"
        wasmgate.yaml:1:31: `0` is not how many at once: write a whole number, 1 or more
          |
        1 | limits: {connections: {total: 0}}
          |                               ^
    "#]],
    );
    check(
        "limits: {connections: {total: 8, perAddress: 9}}\n",
        expect![[r#"
        wasmgate.yaml:1:46: `9` is too much for `limits.connections.perAddress`
          |
        1 | limits: {connections: {total: 8, perAddress: 9}}
          |                                              ^
          write at most `8`, or leave it out for `6`
    "#]],
    );
    check(
        "listen: {http: here}\n",
        expect![[r#"
        wasmgate.yaml:1:16: `here` is not an address to listen on
          |
        1 | listen: {http: here}
          |                ^^^^
          write `host:port`, such as `127.0.0.1:8811`
    "#]],
    );
    check(
        "plugins: {qqqqqq: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'ftp://y'}}\n",
        expect![[r#"
            wasmgate.yaml:1:25: no plugin `qqqqqq` is bundled
              |
            1 | plugins: {qqqqqq: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'ftp://y'}}
              |                         ^^^^^^^
              bundled are: block-secrets, cross-server-guard, invisible-text, json-schema-validator, log-calls, official-registry, pii-redactor, rate-limit, tool-filter, toolhive-registry
            wasmgate.yaml:1:48: no plugin `block-secret` is bundled
              |
            1 | plugins: {qqqqqq: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'ftp://y'}}
              |                                                ^^^^^^^^^^^^^^^^^^^^^^
              did you mean `builtin:block-secrets`?
            wasmgate.yaml:1:82: plugin `x`: `ftp://y` is nothing that a component can be fetched from
              |
            1 | plugins: {qqqqqq: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'ftp://y'}}
              |                                                                                  ^^^^^^^^^
              write `oci://host/name:tag`, or download it and write `use: ./file.wasm`
        "#]],
    );
    check(
        "secrets: [keyring, 'file:./none.env']\nbinds: {allow: [relative]}\npageSize: 0\negress: {allow: [10.0.0.0/8, 10.0.0.0/33]}\n",
        expect![[r#"
            wasmgate.yaml:1:11: `keyring` is not a source of secrets
              |
            1 | secrets: [keyring, 'file:./none.env']
              |           ^^^^^^^
              use `env` or `file:./path`
            none.env: cannot be read: No such file or directory (os error 2)
              create it with lines `NAME=VALUE`, or leave it out of `secrets`
            wasmgate.yaml:2:17: `relative` is not an absolute path
              |
            2 | binds: {allow: [relative]}
              |                 ^^^^^^^^
              write the whole path, or one that starts with `~/`
            wasmgate.yaml:4:30: `10.0.0.0/33` is neither an address nor a network nor a host
              |
            4 | egress: {allow: [10.0.0.0/8, 10.0.0.0/33]}
              |                              ^^^^^^^^^^^
              write `10.0.0.0/8`, `10.1.2.3`, `registry.internal` or `registry.internal:5000`
            wasmgate.yaml:3:11: a page needs at least one item
              |
            3 | pageSize: 0
              |           ^
        "#]],
    );
    check(
        "catalogs: [none.yaml, 'https://example.com/c.yaml']\nenable: [x]\n",
        expect![[r#"
            none.yaml: cannot be read: No such file or directory (os error 2)
              check the path
        "#]],
    );
    check(
        "enable: everything\n",
        expect![[r#"
        wasmgate.yaml:1:1: expected `all` or a list of server names, found string "everything"
          |
        1 | enable: everything
          | ^
    "#]],
    );
    check(
        "servers: {a: {image: x, volumes: ['/etc:/x'], required: true}}\n",
        expect![[r#"
        wasmgate.yaml: the required server `a` cannot be started
          it wants to mount `/etc`: set `binds.allow: [/etc]` in wasmgate.yaml
    "#]],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of them are golden text")]
fn enabling() {
    let file = |yaml| [("wasmgate.yaml", yaml), ("c.yaml", CATALOG)];
    let none = ServerFlags::default;
    check_with(
        &file("catalogs: [c.yaml]\n"),
        none(),
        expect![[r#"
        servers: none of the 3 servers of the catalogs is enabled
          say `--servers github` or `--enable-all-servers`, or `enable: [github]` in wasmgate.yaml
    "#]],
    );
    check_with(
        &file("catalogs: [c.yaml]\nenable: []\n"),
        none(),
        expect![[r#"
        Http(Address { host: "127.0.0.1", port: 8811 })
        plugin block-secrets: Enforce Builtin("block-secrets")
        plugin log-calls: Enforce Builtin("log-calls")
        warning: no server is enabled: `enable` is an empty list
    "#]],
    );
    check_with(
        &file("catalogs: [c.yaml]\nenable: [tiem]\n"),
        none(),
        expect![[r#"
        wasmgate.yaml:2:10: no server is called `tiem`
          |
        2 | enable: [tiem]
          |          ^^^^
          did you mean `time`?
    "#]],
    );
    check_with(
        &file("catalogs: [c.yaml]\nenable: all\nconfig: {slak: {a: 1}}\n"),
        none(),
        expect![[r#"
        Http(Address { host: "127.0.0.1", port: 8811 })
        github: container ghcr.io/x/github None tools All
        time: container mcp/time None tools All
        slack: needs-config set `config.slack.team_id` in wasmgate.yaml
        plugin block-secrets: Enforce Builtin("block-secrets")
        plugin log-calls: Enforce Builtin("log-calls")
        warning: `config` has values for `slak`, which no catalog has: did you mean `slack`?
    "#]],
    );
    check_with(
        &file("catalogs: [c.yaml]\nservers: {time: {memory: 1g, tools: [now]}, own: {image: x}}\n"),
        none(),
        expect![[r#"
        Http(Address { host: "127.0.0.1", port: 8811 })
        own: container x None tools All
        time: container mcp/time Some(1073741824) tools Only({"now"})
        plugin block-secrets: Enforce Builtin("block-secrets")
        plugin log-calls: Enforce Builtin("log-calls")
    "#]],
    );
    let named = ServerFlags { servers: vec!["time".into(), "gihub".into()], ..none() };
    check_with(
        &file("catalogs: [c.yaml]\n"),
        named,
        expect![[r#"
        --servers: no server is called `gihub`
          did you mean `github`?
    "#]],
    );
    let catalog = ServerFlags { catalogs: vec!["c.yaml".into()], servers: vec!["time".into()], ..none() };
    check_with(
        &file("servers: {own: {image: x}}\n"),
        catalog,
        expect![[r#"
        Http(Address { host: "127.0.0.1", port: 8811 })
        time: container mcp/time None tools All
        plugin block-secrets: Enforce Builtin("block-secrets")
        plugin log-calls: Enforce Builtin("log-calls")
    "#]],
    );
}

#[test]
fn docker_s_files() {
    let files = [
        ("c.yaml", CATALOG),
        ("d.yaml", "registry: {time: {image: mcp/time:2}}\n"),
        ("registry.yaml", "registry: {time: {ref: ''}, slack: {ref: ''}, github: {ref: ''}}\n"),
        ("config.yaml", "slack: {team_id: T1}\n"),
        ("tools.yaml", "time: [now]\nslack: []\n"),
        (".env", "# c\ngithub.token=x\n"),
    ];
    let flags = ServerFlags {
        catalogs: vec!["c.yaml".into()],
        additional_catalogs: vec!["d.yaml".into()],
        registries: vec!["registry.yaml".into()],
        values: vec!["config.yaml".into()],
        tools_files: vec!["tools.yaml".into()],
        secrets: vec!["docker-desktop".into(), "/run/secrets/none".into(), ".env".into()],
        memory: Some(crate::document::units::Memory(1 << 30)),
        ..ServerFlags::default()
    };
    check_with(
        &files,
        flags.clone(),
        expect![[r#"
            Http(Address { host: "127.0.0.1", port: 8811 })
            time: container mcp/time:2 Some(1073741824) tools Only({"now"})
            slack: container mcp/slack Some(1073741824) tools Only({})
            github: container ghcr.io/x/github Some(1073741824) tools All
            plugin block-secrets: Enforce Builtin("block-secrets")
            plugin log-calls: Enforce Builtin("log-calls")
            warning: `docker-desktop` in `--secrets`: its secrets stay inside Docker Desktop, so the environment is asked
            warning: server `time` of d.yaml takes the place of the one of c.yaml
        "#]],
    );
    let tools = ServerFlags { tools: vec!["mcp/slack:*,time:NOW".into()], ..flags.clone() };
    check_with(
        &files,
        tools,
        expect![[r#"
            Http(Address { host: "127.0.0.1", port: 8811 })
            time: container mcp/time:2 Some(1073741824) tools OnlyIgnoringCase({"mcp/slack:*", "now", "time:now"})
            slack: container mcp/slack Some(1073741824) tools All
            github: container ghcr.io/x/github Some(1073741824) tools OnlyIgnoringCase({"mcp/slack:*", "time:now"})
            plugin block-secrets: Enforce Builtin("block-secrets")
            plugin log-calls: Enforce Builtin("log-calls")
            warning: `docker-desktop` in `--secrets`: its secrets stay inside Docker Desktop, so the environment is asked
            warning: server `time` of d.yaml takes the place of the one of c.yaml
        "#]],
    );
    let missing = ServerFlags { secrets: vec!["nowhere.env".into()], ..flags };
    check_with(
        &files,
        missing,
        expect![[r#"
        command line: none of the files of `--secrets` is there: nowhere.env
          check the paths, or use `env`
    "#]],
    );
}

#[test]
fn docker_s_values_may_come_as_the_configuration() {
    let files = [
        ("c.yaml", CATALOG),
        ("config.yaml", "slack: {team_id: T1}\n"),
        ("typo.yaml", "server: {time: {image: x}}\n"),
    ];
    let dir = Dir::new(&files);
    let servers = ServerFlags {
        catalogs: vec!["c.yaml".into()],
        servers: vec!["slack".into()],
        ..ServerFlags::default()
    };
    let flags = Flags { servers, ..Flags::default() };
    let config = load_in(Some(Path::new("config.yaml")), &flags, dir.environment()).unwrap();
    assert_eq!(config.servers.len(), 1);
    let problems = load_in(Some(Path::new("typo.yaml")), &flags, dir.environment()).unwrap_err();
    assert_eq!(problems[0].message, "unknown key `server`");
    let problems = load_in(Some(Path::new("none.yaml")), &flags, dir.environment()).unwrap_err();
    assert_eq!(problems[0].cure, "check the path of `--config`");
}

#[test]
fn every_key_of_the_file_is_known_by_name() {
    let problem = Source { file: "f", text: "zzzzzz: 1\n" }.parse::<RawConfig>().unwrap_err();
    let keys: Vec<String> = raw::KEYS.iter().map(|key| format!("`{key}`")).collect();
    assert_eq!(problem.cure, format!("known here: {}", keys.join(", ")));
}

#[test]
fn a_broken_catalog_and_a_broken_secrets_file_are_both_reported() {
    let files = [
        ("wasmgate.yaml", "catalogs: [c.yaml]\nsecrets: ['file:s.env']\nenable: [x]\n"),
        ("c.yaml", "registry:\n  a: [1\n"),
        ("s.env", "hunter2\n"),
    ];
    check_with(
        &files,
        ServerFlags::default(),
        expect![[r#"
        c.yaml:2:6: unclosed bracket '['
          |
        2 |   a: [1
          |      ^
        s.env: line 1 is not `NAME=VALUE`
          write the secret's name as the catalog has it, `=`, and the value without quotes; `#` starts a comment only in the first column
    "#]],
    );
}

#[test]
fn flags_and_listening() {
    let at = |yaml: &str, listen: ListenFlags| {
        let flags = Flags { listen, ..Flags::default() };
        shown(&[("wasmgate.yaml", yaml)], &flags).lines().next().unwrap_or_default().to_owned()
    };
    let port = |port| ListenFlags { port: Some(port), ..ListenFlags::default() };
    let transport =
        |text: &str| ListenFlags { transport: Some(text.parse().unwrap()), ..ListenFlags::default() };
    assert_eq!(at("", port(1)), r#"Http(Address { host: "127.0.0.1", port: 1 })"#);
    assert_eq!(at("listen: {http: '0.0.0.0:80'}", port(1)), r#"Http(Address { host: "0.0.0.0", port: 1 })"#);
    assert_eq!(
        at("listen: {http: '[::1]:80'}", ListenFlags::default()),
        r#"Http(Address { host: "::1", port: 80 })"#
    );
    assert_eq!(
        at("listen: {http: 9000}", transport("sse")),
        r#"Sse(Address { host: "127.0.0.1", port: 9000 })"#
    );
    assert_eq!(
        at("listen: {stdio: true}", transport("streaming")),
        r#"Http(Address { host: "127.0.0.1", port: 8811 })"#
    );
    assert_eq!(at("", transport("stdio")), "Stdio");
    assert_eq!(
        at("listen: {stdio: true}", port(1)),
        "command line: `--port` and `--host` make no sense with stdio"
    );
}

#[test]
fn bundled_plugins_follow_the_flags() {
    let flags = Flags { log_calls: Some(false), block_secrets: Some(true), ..Flags::default() };
    let dir = Dir::new(&[("wasmgate.yaml", "plugins: {block-secrets: {mode: off}}\n")]);
    let config = load_in(None, &flags, dir.environment()).unwrap();
    let modes: Vec<_> = config.plugins.iter().map(|plugin| (plugin.name.as_str(), plugin.mode)).collect();
    assert_eq!(modes, [("log-calls", PluginMode::Off), ("block-secrets", PluginMode::Enforce)]);
}

#[test]
fn a_remote_is_a_plugin_with_a_token_of_its_own() {
    let yaml = "listen: {interceptors: true}\nsecrets: ['file:s.env']\nplugins:\n  far: {use: 'mcp+https://h/p', interceptor: pii, token: far.key}\n";
    let dir = Dir::new(&[("wasmgate.yaml", yaml), ("s.env", "far.key=hunter2\n")]);
    let config = load_in(None, &Flags::default(), dir.environment()).unwrap();
    let far = config.plugins.iter().find(|plugin| plugin.name == "far").unwrap();
    let (url, interceptor) = ("https://h/p".parse().unwrap(), Some("pii".to_owned()));
    assert_eq!(far.from, PluginSource::Remote { url, interceptor, token: Some("far.key".to_owned()) });
    assert!(config.tokens.contains_key("far") && config.listen.interceptors);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn sealing_keys_are_secrets_that_are_long_enough() {
    let env = format!("one={}\ntwo={}\nweak=hunter2\n", "1".repeat(32), "2".repeat(40));
    let load = |keys: &str| {
        let yaml = format!("secrets: ['file:s.env']\nsealing:\n  keys: [{keys}]\n");
        let dir = Dir::new(&[("wasmgate.yaml", &yaml), ("s.env", &env)]);
        load_in(None, &Flags::default(), dir.environment())
    };
    let (both, swapped) = (load("one, two").unwrap(), load("two, one").unwrap());
    assert_eq!(both.sealing.len(), 2);
    assert!(both.seals_like(&load("one, two").unwrap()) && !both.seals_like(&swapped));
    assert!(load("").unwrap().sealing.is_empty());
    let refused: String = load("weak, gone").unwrap_err().iter().map(render).collect();
    expect![[r#"
        wasmgate.yaml:3:10: the sealing key `weak` is too short
          |
        3 |   keys: [weak, gone]
          |          ^^^^
          make one of at least 32 characters, with `openssl rand -base64 32`
        wasmgate.yaml:3:16: the secret `gone` was not found
          |
        3 |   keys: [weak, gone]
          |                ^^^^
          set the variable `WASMGATE_SECRET_GONE`, or correct `keys`
    "#]]
    .assert_eq(&refused);
}

#[test]
fn validate_lists_every_server_and_every_broken_file() {
    let dir = Dir::new(&[("c.yaml", CATALOG), ("s.env", "oops\n")]);
    let servers = ServerFlags {
        catalogs: vec!["c.yaml".into()],
        secrets: vec!["s.env".into()],
        ..ServerFlags::default()
    };
    let report = validate_in(None, &Flags { servers, ..Flags::default() }, dir.environment());
    assert_eq!(report.exit_code(), 2);
    let json = serde_json::to_string_pretty(&report).unwrap().replace(&*dir.0.to_string_lossy(), "DIR");
    expect![[r#"
        {
          "servers": [
            {
              "name": "github",
              "status": "needs-secret",
              "reason": "set the secret `github.token=...` in a file of `secrets`, or the variable `GH`",
              "takes": [
                "network"
              ]
            },
            {
              "name": "slack",
              "status": "needs-config",
              "reason": "set `config.slack.team_id` in wasmgate.yaml",
              "takes": [
                "network"
              ]
            },
            {
              "name": "time",
              "status": "ok",
              "reason": "",
              "takes": [
                "network"
              ]
            }
          ],
          "errors": [
            {
              "file": "s.env",
              "message": "line 1 is not `NAME=VALUE`",
              "cure": "write the secret's name as the catalog has it, `=`, and the value without quotes; `#` starts a comment only in the first column"
            }
          ]
        }"#]].assert_eq(&json);
    let demo = validate_in(None, &Flags::default(), dir.environment());
    assert_eq!((demo.exit_code(), demo.servers.len()), (0, 3));
}

#[test]
fn a_file_that_is_about_to_be_written_is_no_configuration() {
    let dir = Dir::new(&[]);
    let file = dir.0.join("wasmgate.yaml");
    let mut request = Request::within(None, Flags::default(), dir.environment());
    let first = request.read();
    assert!(first.config.is_ok() && first.seen.is_current(), "no file is the demo");
    std::fs::write(&file, "catalogs: [builtin:demo]\nenable: all\n").unwrap();
    assert!(!first.seen.is_current(), "a file that was not there is waited for");
    let second = request.read();
    assert!(second.config.is_ok());
    for text in [Some(""), Some("\n"), None] {
        text.map_or_else(|| std::fs::remove_file(&file), |text| std::fs::write(&file, text)).unwrap();
        let read = request.read();
        let problems: String = read.config.unwrap_err().iter().map(render).collect();
        assert_eq!(
            problems,
            "wasmgate.yaml: is empty or gone, and was not before\n  write it anew, or start the gateway again to run without it\n"
        );
        assert!(read.seen.is_current() && !second.seen.is_current());
    }
}

/// The grants of the plugin `p`, or what is wrong with them.
#[track_caller]
fn check_grants(yaml: &str, expected: Expect) {
    let yaml = format!("secrets: [env, 'file:s.env']\nplugins:\n  p:\n    use: ./p.wasm\n{yaml}");
    let dir = Dir::new(&[("wasmgate.yaml", &yaml), ("s.env", "API_KEY=hunter2\n")]);
    let shown = match load_in(None, &Flags::default(), dir.environment()) {
        Ok(config) => {
            let plugin = config.plugins.iter().find(|plugin| plugin.name == "p").unwrap();
            format!("{:#?}\n{:?} {:?}\n", plugin.grants, plugin.isolation, plugin.priority)
        }
        Err(problems) => problems.iter().map(render).collect(),
    };
    assert!(!shown.contains("hunter2"), "{shown}");
    expected.assert_eq(&shown);
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of them are golden text")]
fn grants_are_read() {
    check_grants(
        "",
        expect![[r#"
        None
        None Priority { request: None, response: None }
    "#]],
    );
    check_grants(
        "    grants: {}\n    isolation: per-call\n    priority: -5\n",
        expect![[r#"
        Some(
            PluginGrants {
                log: true,
                clock: false,
                random: false,
                labels: false,
                kv: None,
                http: [],
                secrets: [],
                find_secrets: false,
            },
        )
        Some(PerCall) Priority { request: Some(-5), response: Some(-5) }
    "#]],
    );
    check_grants(
        r#"    grants:
      log: false
      clock: true
      random: true
      labels: true
      kv: {quota: 2MiB}
      http: ["https://dlp.example.com", {origin: "https://dlp.internal:8443", private: true}, "http://127.0.0.1:9"]
      secrets: {API_KEY: ["https://dlp.example.com"]}
      findSecrets: true
    priority: {request: 1}
"#,
        expect![[r#"
            Some(
                PluginGrants {
                    log: false,
                    clock: true,
                    random: true,
                    labels: true,
                    kv: Some(
                        KvGrant {
                            quota: 2097152,
                        },
                    ),
                    http: [
                        HttpGrant {
                            origin: Origin {
                                scheme: "https",
                                host: Domain(
                                    "dlp.example.com",
                                ),
                                port: 443,
                            },
                            private: false,
                        },
                        HttpGrant {
                            origin: Origin {
                                scheme: "https",
                                host: Domain(
                                    "dlp.internal",
                                ),
                                port: 8443,
                            },
                            private: true,
                        },
                        HttpGrant {
                            origin: Origin {
                                scheme: "http",
                                host: Ipv4(
                                    127.0.0.1,
                                ),
                                port: 9,
                            },
                            private: false,
                        },
                    ],
                    secrets: [
                        PluginSecret {
                            name: "API_KEY",
                            value: SecretBox<str>([REDACTED]),
                            origins: [
                                Origin {
                                    scheme: "https",
                                    host: Domain(
                                        "dlp.example.com",
                                    ),
                                    port: 443,
                                },
                            ],
                        },
                    ],
                    find_secrets: true,
                },
            )
            None Priority { request: Some(1), response: None }
        "#]],
    );
    check_grants(
        "    grants: {kv: true}\n    priority: {response: 7}\n",
        expect![[r#"
        Some(
            PluginGrants {
                log: true,
                clock: false,
                random: false,
                labels: false,
                kv: Some(
                    KvGrant {
                        quota: 1048576,
                    },
                ),
                http: [],
                secrets: [],
                find_secrets: false,
            },
        )
        None Priority { request: None, response: Some(7) }
    "#]],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of them are golden text")]
fn what_cannot_be_granted_is_shown() {
    check_grants(
        "    grants: {htpp: []}\n",
        expect![[r#"
        wasmgate.yaml:5:14: unknown key `htpp`
          |
        5 |     grants: {htpp: []}
          |              ^^^^
          did you mean `http`?
    "#]],
    );
    check_grants(
        r#"    grants:
      http:
        - dlp.example.com
        - https://dlp.example.com/path
        - https://user@dlp.example.com
        - ftp://dlp.example.com
        - http://intranet
        - {origin: "https://x", privat: true}
"#,
        expect![[r#"
            wasmgate.yaml:12:33: unknown key `privat`
               |
            12 |         - {origin: "https://x", privat: true}
               |                                 ^^^^^^
              did you mean `private`?
        "#]],
    );
    check_grants(
        "    grants:\n      http: ['https://a/b', 'http://intranet', 'https://u@a']\n",
        expect![[r#"
            wasmgate.yaml:6:14: plugin `p`: `https://a/b` is not an origin: it has a path (write scheme, host and perhaps port, as in `https://dlp.example.com`)
              |
            6 |       http: ['https://a/b', 'http://intranet', 'https://u@a']
              |              ^^^^^^^^^^^^^
            wasmgate.yaml:6:29: plugin `p`: plain http to `http://intranet` is not possible
              |
            6 |       http: ['https://a/b', 'http://intranet', 'https://u@a']
              |                             ^^^^^^^^^^^^^^^^^
              use https or, if it is on your own network, `{origin: "http://intranet", private: true}`
            wasmgate.yaml:6:48: plugin `p`: `https://u@a` is not an origin: it has a user name (write scheme, host and perhaps port, as in `https://dlp.example.com`)
              |
            6 |       http: ['https://a/b', 'http://intranet', 'https://u@a']
              |                                                ^^^^^^^^^^^^^
        "#]],
    );
    check_grants(
        "    grants: {kv: {quota: 10}}\n",
        expect![[r#"
        wasmgate.yaml:5:26: plugin `p`: a quota of 10 bytes is not possible
          |
        5 |     grants: {kv: {quota: 10}}
          |                          ^
          use 1KiB to 1GiB
    "#]],
    );
    check_grants(
        "    grants: {kv: 1MiB}\n",
        expect![[r#"
        wasmgate.yaml:5:14: expected `true` or `{quota: 1MiB}`, found string "1MiB"
          |
        5 |     grants: {kv: 1MiB}
          |              ^
    "#]],
    );
    check_grants(
        r#"    grants:
      http: ["https://dlp.example.com"]
      secrets:
        API_KEY: []
        OTHER: ["https://dlp.example.com"]
        api.key: ["https://elsewhere.example.com"]
"#,
        expect![[r#"
            wasmgate.yaml:8:18: plugin `p`: the secret `API_KEY` may go nowhere
              |
            8 |         API_KEY: []
              |                  ^
              name the origins: `API_KEY: ["https://api.example.com"]`
            wasmgate.yaml:9:16: plugin `p`: there is no secret `OTHER`
              |
            9 |         OTHER: ["https://dlp.example.com"]
              |                ^
              looked for: `OTHER` or `WASMGATE_SECRET_OTHER` in the environment; `OTHER=...` in s.env
            wasmgate.yaml:10:19: plugin `p`: the secret `api.key` may go to https://elsewhere.example.com, where the plugin may not
               |
            10 |         api.key: ["https://elsewhere.example.com"]
               |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              add "https://elsewhere.example.com" to `grants.http`
            wasmgate.yaml:10:18: plugin `p`: there is no secret `api.key`
               |
            10 |         api.key: ["https://elsewhere.example.com"]
               |                  ^
              looked for: `api.key` or `WASMGATE_SECRET_API_KEY` in the environment; `api.key=...` in s.env
        "#]],
    );
    check_grants(
        "    isolation: per-sesion\n",
        expect![[r#"
        wasmgate.yaml:5:16: `per-sesion` is not a choice here
          |
        5 |     isolation: per-sesion
          |                ^^^^^^^^^^
          did you mean `per-session`?
    "#]],
    );
    check_grants(
        "    priority: high\n",
        expect![[r#"
        wasmgate.yaml:5:5: expected a number or `{request: ..., response: ...}`, found string "high"
          |
        5 |     priority: high
          |     ^
    "#]],
    );
    check_grants(
        "    priority: 3000000000\n",
        expect![[r#"
        wasmgate.yaml:5:15: 3000000000 is not a priority: use -2147483648 to 2147483647
          |
        5 |     priority: 3000000000
          |               ^
    "#]],
    );
    check_grants(
        "    limits: {wall: 25h}\n",
        expect![[r#"
        wasmgate.yaml:5:20: `25h` is too long: a day (`24h`) is the most
          |
        5 |     limits: {wall: 25h}
          |                    ^
    "#]],
    );
}

#[test]
fn plugins_keep_the_order_of_the_file() {
    check(
        "plugins: {z: {use: ./z.wasm}, log-calls: {mode: off}, a: {use: ./a.wasm}}\nnames: plain\n",
        expect![[r#"
            Http(Address { host: "127.0.0.1", port: 8811 })
            demo: process /usr/bin/wasmgate ["demo-server", "demo"] tools All
            notes: process /usr/bin/wasmgate ["demo-server", "notes"] tools All
            time: process /usr/bin/wasmgate ["demo-server", "time"] tools All
            plugin block-secrets: Enforce Builtin("block-secrets")
            plugin z: Enforce File("DIR/./z.wasm")
            plugin log-calls: Off Builtin("log-calls")
            plugin a: Enforce File("DIR/./a.wasm")
        "#]],
    );
    check(
        "plugins: {z: {use: ./z.wasm}, z: {use: ./a.wasm}}\n",
        expect![[r#"
        wasmgate.yaml:1:31: the key `z` appears twice
          |
        1 | plugins: {z: {use: ./z.wasm}, z: {use: ./a.wasm}}
          |                               ^
          remove one of the two: which one counts would be a guess
    "#]],
    );
}
