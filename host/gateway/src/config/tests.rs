//! Whole configurations, good and bad, as golden text.

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
        "plugins: {redact: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'oci://y'}, y: {grants: {}}}\n",
        expect![[r#"
        wasmgate.yaml:1:48: no plugin `block-secret` is bundled
          |
        1 | plugins: {redact: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'oci://y'}, y: {grants: {}}}
          |                                                ^^^^^^^^^^^^^^^^^^^^^^
          did you mean `builtin:block-secrets`?
        wasmgate.yaml:1:25: no plugin `redact` is bundled
          |
        1 | plugins: {redact: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'oci://y'}, y: {grants: {}}}
          |                         ^^^^^^^
          bundled are: block-secrets, log-calls, rate-limit, tool-filter
        wasmgate.yaml:1:82: plugin `x`: `oci://y` cannot be fetched yet
          |
        1 | plugins: {redact: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'oci://y'}, y: {grants: {}}}
          |                                                                                  ^^^^^^^^^
          download the component and write `use: ./file.wasm`
        wasmgate.yaml:1:106: plugin `y`: `grants` is not available yet
          |
        1 | plugins: {redact: {use: builtin}, block: {use: 'builtin:block-secret'}, x: {use: 'oci://y'}, y: {grants: {}}}
          |                                                                                                          ^
          remove it: plugins have no capability beyond reading and changing messages, and logging
    "#]],
    );
    check(
        "secrets: [keyring, 'file:./none.env']\nbinds: {allow: [relative]}\npageSize: 0\n",
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
        https://example.com/c.yaml: catalogs cannot be read over `https` yet
          download it and name the file
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
    assert_eq!(modes, [("block-secrets", PluginMode::Enforce), ("log-calls", PluginMode::Off)]);
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
              "reason": "set the secret `github.token=...` in a file of `secrets`, or the variable `GH`"
            },
            {
              "name": "slack",
              "status": "needs-config",
              "reason": "set `config.slack.team_id` in wasmgate.yaml"
            },
            {
              "name": "time",
              "status": "ok",
              "reason": ""
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
