//! The settings that come out of entries, as text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use secrecy::ExposeSecret as _;
use wasmgate_core::catalog::{Extras, Launch, Network, Server};
use wasmgate_core::json::Json;

use super::World;
use crate::catalog::{Grant, Grants, Listed, Origin, Resolution, file, resolve};
use crate::document::Source;

#[track_caller]
fn check(entry: &str, world: &World, expected: Expect) {
    check_from(Origin::File, entry, world, expected);
}

#[track_caller]
fn check_from(origin: Origin, entry: &str, world: &World, expected: Expect) {
    let catalog = file::read(&Source { file: "c", text: entry }, origin).unwrap();
    expected.assert_eq(&shown(&catalog, world));
}

/// As if wasmgate.yaml granted these to every server.
#[track_caller]
fn check_granted(grants: &[&str], entry: &str, world: &World, expected: Expect) {
    let mut catalog = file::read(&Source { file: "c", text: entry }, Origin::File).unwrap();
    for listed in &mut catalog.servers {
        listed.grants = Grants::Only(grants.iter().map(|grant| Grant::read(grant).unwrap()).collect());
    }
    expected.assert_eq(&shown(&catalog, world));
}

fn shown(catalog: &crate::catalog::Catalog, world: &World) -> String {
    let mut shown = String::new();
    for listed in &catalog.servers {
        match resolve(listed, &world.inputs()) {
            Resolution::Ready(server) => shown += &settings(&server),
            other => writeln!(shown, "{} {}: {}", listed.name, other.status(), other.reason()).unwrap(),
        }
    }
    shown
}

/// Every setting that is not its default, secrets included: these are made up.
fn settings(server: &Server) -> String {
    let mut out = format!("{}\n", server.name);
    match &server.launch {
        Launch::Container(c) => {
            for (key, value) in [
                ("image", format!("{:?}", c.image)),
                ("command", format!("{:?}", c.command)),
                ("env", env(&c.env)),
                ("mounts", format!("{:?}", c.mounts)),
                ("user", format!("{:?}", c.user)),
                ("network", format!("{:?}", c.network)),
                ("hosts", format!("{:?}", c.extra_hosts)),
                ("transport", format!("{:?}", c.transport)),
                ("limits", format!("{:?} {:?} {:?} {:?}", c.memory, c.cpus, c.writable_root, c.pull)),
            ] {
                writeln!(out, "  {key}: {value}").unwrap();
            }
            if *c.extras != Extras::default() {
                writeln!(out, "  extras: {:?}", c.extras).unwrap();
            }
        }
        Launch::Process(p) => {
            writeln!(out, "  process: {:?} {:?} in {:?}\n  env: {}", p.program, p.args, p.cwd, env(&p.env))
                .unwrap();
        }
        Launch::Remote(r) => {
            let urls: Vec<_> = r.urls.iter().map(|url| url.expose().as_str()).collect();
            writeln!(out, "  remote: {urls:?} {:?} private {}", r.transport, r.private_allowed).unwrap();
            for (name, value) in &r.headers {
                writeln!(out, "  header: {name}: {}", value.expose_secret()).unwrap();
            }
        }
        Launch::Tools(tools) => {
            for tool in tools {
                writeln!(out, "  tool: {}", tool.definition.as_str()).unwrap();
                let call = Json::parse(r#"{"args":["-s","https://example.com/a b"]}"#.to_owned()).unwrap();
                let container = (tool.prepare)(&call).unwrap();
                writeln!(out, "  call: {} {:?} {:?}", container.image, container.command, container.network)
                    .unwrap();
            }
        }
    }
    if (server.protocol, server.deadlines, server.instances, server.required) != Default::default() {
        let Server { protocol, deadlines, instances, required, .. } = server;
        writeln!(out, "  {protocol:?} {deadlines:?} {instances:?} required {required}").unwrap();
    }
    if let Some(most) = server.max_in_flight {
        writeln!(out, "  at once: {most}").unwrap();
    }
    out
}

fn env(env: &[wasmgate_core::catalog::EnvVar]) -> String {
    env.iter()
        .map(|var| format!("{}={:?}", var.name, var.value.expose_secret()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of them are golden text")]
fn filesystem_with_paths() {
    let entry = "
registry:
  filesystem:
    image: mcp/filesystem
    command: ['{{filesystem.paths|volume-target|into}}']
    volumes: ['{{filesystem.paths|volume|into}}']
    disableNetwork: true
    config:
    - name: filesystem
      description: d
      type: object
      properties: {paths: {type: array, items: {type: string}, default: [/Users/local-test]}}
      required: [paths]
";
    check(
        entry,
        &World::new("filesystem: {paths: [/srv/a b, /srv/c]}", &[]),
        expect![[r#"
        filesystem
          image: "mcp/filesystem"
          command: ["/srv/a b", "/srv/c"]
          env: 
          mounts: [Mount { source: Bind("/srv/a b"), target: "/srv/a b", read_only: true }, Mount { source: Bind("/srv/c"), target: "/srv/c", read_only: true }]
          user: None
          network: None
          hosts: []
          transport: Stdio
          limits: None None false Missing
    "#]],
    );
    check(
        entry,
        &World::new("filesystem: {paths: /srv/one}", &[]),
        expect![[r#"
        filesystem
          image: "mcp/filesystem"
          command: ["/srv/one"]
          env: 
          mounts: [Mount { source: Bind("/srv/one"), target: "/srv/one", read_only: true }]
          user: None
          network: None
          hosts: []
          transport: Stdio
          limits: None None false Missing
    "#]],
    );
    check(
        entry,
        &World::new("", &[]),
        expect![[r#"
        filesystem needs-grant: it wants to mount `/Users/local-test`: set `binds.allow: [/Users/local-test]` in wasmgate.yaml
    "#]],
    );
    check(
        entry,
        &World::new("filesystem: {paths: ['/srv/a:/etc:rw']}", &[]),
        expect![[r#"
        filesystem refused: a value in the volume `{{filesystem.paths|volume|into}}` contains `:` or a control character
    "#]],
    );
    check(
        entry,
        &World::new("filesystem: {paths: [['/srv']]}", &[]),
        expect![[r#"
        filesystem needs-config: `config.filesystem.paths` must be a list in which every item is a text in wasmgate.yaml
    "#]],
    );
}

#[test]
fn openapi_schema_with_and_without_a_file() {
    let entry = "
registry:
  openapi-schema:
    image: mcp/openapi-schema@sha256:0000
    volumes: ['{{openapi-schema.SchemaPath|or:[]|volume|into}}']
    config: [{name: openapi-schema, properties: {SchemaPath: {type: string}}}]
";
    check(
        entry,
        &World::new("openapi-schema: {SchemaPath: /srv/api.yaml}", &[]),
        expect![[r#"
        openapi-schema
          image: "mcp/openapi-schema@sha256:0000"
          command: []
          env: 
          mounts: [Mount { source: Bind("/srv/api.yaml"), target: "/srv/api.yaml", read_only: true }]
          user: None
          network: Default
          hosts: []
          transport: Stdio
          limits: None None false Missing
    "#]],
    );
    check(
        entry,
        &World::new("", &[]),
        expect![[r#"
        openapi-schema
          image: "mcp/openapi-schema@sha256:0000"
          command: []
          env: 
          mounts: []
          user: None
          network: Default
          hosts: []
          transport: Stdio
          limits: None None false Missing
    "#]],
    );
}

#[test]
fn notion_s_header_in_a_variable() {
    let entry = r#"
registry:
  notion:
    image: mcp/notion
    secrets: [{name: notion.internal_integration_token, env: INTERNAL_INTEGRATION_TOKEN, example: ntn_****}]
    env:
    - name: OPENAPI_MCP_HEADERS
      value: '{"Authorization": "Bearer $INTERNAL_INTEGRATION_TOKEN", "Notion-Version": "2022-06-28"}'
"#;
    check(
        entry,
        &World::new("", &[("notion.internal_integration_token", "to$ken")]),
        expect![[r#"
        notion
          image: "mcp/notion"
          command: []
          env: INTERNAL_INTEGRATION_TOKEN="to$ken" OPENAPI_MCP_HEADERS="{\"Authorization\": \"Bearer to$ken\", \"Notion-Version\": \"2022-06-28\"}"
          mounts: []
          user: None
          network: Default
          hosts: []
          transport: Stdio
          limits: None None false Missing
    "#]],
    );
    check(
        entry,
        &World::new("", &[]),
        expect![[r#"
        notion needs-secret: set the secret `notion.internal_integration_token=...` in a file of `secrets`, or the variable `INTERNAL_INTEGRATION_TOKEN`
    "#]],
    );
}

#[test]
fn scalars_users_hosts_and_our_own_keys() {
    let entry = "
servers:
- name: io.github.acme.tool
  image: acme/tool
  user: '{{io_github_acme_tool.uid}}'
  command: ['{{io_github_acme_tool.port}}', '--debug={{io_github_acme_tool.debug}}', '$REGION', '{{io_github_acme_tool.none}}']
  env: [{name: REGION, value: eu}, {name: PORT, value: '{{io_github_acme_tool.port}}'}, {name: EMPTY, value: '{{io_github_acme_tool.none}}'}, {name: LIST, value: '{{io_github_acme_tool.list}}'}]
  extraHosts: ['host.docker.internal:host-gateway']
  longLived: true
  transport: streamable-http
  port: 8080
  memory: 512m
  cpus: 0.5
  writableRoot: true
  pull: never
  protocol: legacy
  deadlines: {initialize: 5s, total: 1h}
  maxInFlight: 3
  instances: {min: 0, max: 4, idle: 1m}
  required: true
";
    let values = "io.github.acme.tool: {uid: 1000, port: 8080, debug: false, list: [a, b]}";
    check(
        entry,
        &World::new(values, &[]),
        expect![[r#"
            io.github.acme.tool
              image: "acme/tool"
              command: ["8080", "--debug=false", "eu", ""]
              env: REGION="eu" PORT="8080" LIST="a,b"
              mounts: []
              user: Some("1000")
              network: Default
              hosts: ["host.docker.internal:host-gateway"]
              transport: StreamableHttp { port: 8080, path: "/mcp" }
              limits: Some(536870912) Some(0.5) true Never
              Legacy Deadlines { initialize: 5s, idle: 60s, total: 3600s } Instances { sharing: PerSession, min: 0, max: 4, idle: 60s } required true
              at once: 3
        "#]],
    );
    check(
        entry,
        &World::new("io_github_acme_tool: {uid: -u root}", &[]),
        expect![[r#"
        io.github.acme.tool refused: its `user` is not `name`, `uid` or `uid:gid`
    "#]],
    );
}

#[test]
fn a_header_without_its_optional_secret_is_not_sent() {
    let entry = "
registry:
  docs:
    remote: {url: 'https://docs.example.com', headers: {Authorization: 'Bearer ${T}', X-Key: $K, X: 'x'}}
    secrets: [{name: docs.t, env: T, required: false}, {name: docs.k, env: K, required: false}]
";
    check(
        entry,
        &World::new("", &[("docs.k", "key")]),
        expect![[r#"
            docs
              remote: ["https://docs.example.com/"] Auto private true
              header: x: x
              header: x-key: key
        "#]],
    );
}

#[test]
fn remotes() {
    let entry = "
registry:
  docs:
    remote: {transport_type: sse, url: 'https://{{docs.host|or:docs.example.com}}/v1/{{docs.team}}/sse?x=$REGION', headers: {Authorization: 'Bearer ${DOCS_TOKEN}', X-Team: '{{docs.team}}'}}
    env: []
    secrets: [{name: docs.token, env: DOCS_TOKEN}]
  old: {sseEndpoint: 'http://localhost:9000/sse'}
  odd: {remote: {url: 'https://x', transport_type: carrier-pigeon}}
  host: {remote: {url: 'https://x', headers: {Host: y}}}
  thief: {remote: {url: 'https://x', headers: {X: $OTHER_SECRET}}}
  leak: {remote: {url: 'https://x?key=$K'}, secrets: [{name: docs.token, env: K}]}
";
    let world = World::new("docs: {team: 'a/b?c'}", &[("docs.token", "t0ken"), ("OTHER_SECRET", "x")]);
    check(
        entry,
        &world,
        expect![[r#"
            docs
              remote: ["https://docs.example.com/v1/a%2Fb%3Fc/sse?x="] Sse private true
              header: authorization: Bearer t0ken
              header: x-team: a/b?c
            old
              remote: ["http://localhost:9000/sse"] Sse private true
            odd refused: its `transport_type` `carrier-pigeon` is neither `streamable-http` nor `sse`
            host refused: it cannot set a header `Host`
            thief refused: its header `X` uses `$OTHER_SECRET`, which the entry does not declare under `secrets`
            leak
              remote: ["https://x/?key=t0ken"] Auto private true
        "#]],
    );
    let split = World::new("docs: {team: a, host: 'evil.example/'}", &[("docs.token", "line\nbreak")]);
    check(
        entry,
        &split,
        expect![[r#"
            docs refused: a value in its URL `https://{{docs.host|or:docs.example.com}}/v1/{{docs.team}}/sse?x=$REGION` is not a plain host name or port
            old
              remote: ["http://localhost:9000/sse"] Sse private true
            odd refused: its `transport_type` `carrier-pigeon` is neither `streamable-http` nor `sse`
            host refused: it cannot set a header `Host`
            thief refused: its header `X` uses `$OTHER_SECRET`, which the entry does not declare under `secrets`
            leak
              remote: ["https://x/?key=line%0Abreak"] Auto private true
        "#]],
    );
    check_from(
        Origin::Elsewhere,
        "registry:\n  old: {sseEndpoint: 'http://localhost:9000/sse'}\n",
        &world,
        expect![[r#"
        old refused: its URL `http://localhost:9000/sse` is plain http, which only your own files may name
    "#]],
    );
}

#[test]
fn logins() {
    let entry = "
registry:
  remote:
    remote: {url: 'https://mcp.example.com/mcp', transport_type: http}
    oauth: {providers: [{provider: acme, secret: remote.personal_access_token, env: ACME_TOKEN}], scopes: []}
  image:
    image: acme/tool
    oauth: {providers: [{provider: acme, secret: image.token, env: ACME_TOKEN}]}
    secrets: [{name: image.key, env: ACME_TOKEN}]
";
    check(
        entry,
        &World::new("", &[]),
        expect![[r#"
        remote needs-auth: it wants an OAuth login at `acme`, which is not available yet: set an access token as the secret `remote.personal_access_token=...` in a file of `secrets`, or the variable `ACME_TOKEN`
        image needs-secret: set the secret `image.key=...` in a file of `secrets`, or the variable `ACME_TOKEN`
    "#]],
    );
    check(
        entry,
        &World::new("", &[("remote.personal_access_token", "t"), ("image.key", "k")]),
        expect![[r#"
        remote
          remote: ["https://mcp.example.com/mcp"] StreamableHttp private true
          header: authorization: Bearer t
        image
          image: "acme/tool"
          command: []
          env: ACME_TOKEN="k"
          mounts: []
          user: None
          network: Default
          hosts: []
          transport: Stdio
          limits: None None false Missing
    "#]],
    );
}

#[test]
fn processes_are_the_operator_s() {
    let entry = "
registry:
  ours: {type: process, process: {command: [wasmgate, demo-server, demo], env: {A: 1}}}
  empty: {process: {command: []}}
  flag: {process: {command: [git-server, '{{flag.repo}}']}}
";
    let world = World::new("flag: {repo: --upload-pack=x}", &[]);
    check(
        entry,
        &world,
        expect![[r#"
        ours
          process: "/usr/bin/wasmgate" ["demo-server", "demo"] in None
          env: A="1"
        empty refused: its `process.command` names no program
        flag refused: the value of `flag.repo` starts with `-` and would become an option of the server's command: change it under `config`
    "#]],
    );
    check_from(
        Origin::Elsewhere,
        "registry:\n  ours: {process: {command: [sh]}}\n",
        &world,
        expect![[r#"
        ours needs-grant: it runs a program on this machine: only your own files may: copy the entry to `servers` in wasmgate.yaml if you trust it
    "#]],
    );
}

#[test]
fn what_cannot_be_run_says_why() {
    let entry = "
registry:
  tool: {type: poci, tools: [{name: t}]}
  nothing: {title: Nothing}
  secret-in-argv: {image: x, command: ['--key=$K'], secrets: [{name: k, env: K}]}
  tainted-argv: {image: x, command: ['$L'], secrets: [{name: k, env: K}], env: [{name: L, value: 'a$K'}]}
  socket: {image: x, volumes: ['/var/run/docker.sock:/var/run/docker.sock']}
  writes: {image: x, volumes: ['/srv/data:/data:rw']}
  port: {image: x, transport: sse}
  offline: {image: x, transport: sse, port: 80, disableNetwork: true}
  flag: {image: --privileged}
  hosts: {image: x, extraHosts: ['--net=host']}
  either: {image: x, config: [{anyOf: [{required: [token]}, {required: [user, password]}]}], secrets: [{name: a.b, env: AB}]}
";
    check(
        entry,
        &World::new("", &[("k", "hunter2")]),
        expect![[r#"
            tool refused: its tool `t` has no `container`
            nothing refused: it says neither `image`, `process` nor `remote.url`, so there is nothing to start
            secret-in-argv needs-grant: it wants a secret on its command line, where others can read it: set `servers: {secret-in-argv: {grants: [secretArguments]}}` in wasmgate.yaml
            tainted-argv needs-grant: it wants a secret on its command line, where others can read it: set `servers: {tainted-argv: {grants: [secretArguments]}}` in wasmgate.yaml
            socket needs-grant: it wants to mount `/var/run/docker.sock`: set `binds.allow: [/var/run/docker.sock]` in wasmgate.yaml
            writes needs-grant: it wants to write to `/srv/data`: set `binds.allowWritable: [/srv/data]` in wasmgate.yaml
            port refused: its `transport` is HTTP, so it needs the `port` it serves on
            offline refused: its `transport` is HTTP, which `disableNetwork` makes impossible
            flag refused: `--privileged` is not an image reference
            hosts refused: `--net=host` in its `extraHosts` is not `host:address`
            either needs-config: set `config.either.token`, or `config.either.user` and `config.either.password` in wasmgate.yaml; it also needs the secret `a.b`
        "#]],
    );
}

#[test]
fn a_tool_that_is_one_container_per_call() {
    let entry = "
registry:
  curl:
    type: poci
    disableNetwork: true
    tools:
      - name: curl
        description: Run curl.
        parameters: {type: object, properties: {args: {type: array, items: {type: string}}}, required: [args]}
        container: {image: alpine/curl, command: ['{{args|into}}']}
";
    check(
        entry,
        &World::default(),
        expect![[r#"
        curl
          tool: {"name":"curl","inputSchema":{"type":"object","properties":{"args":{"type":"array","items":{"type":"string"}}},"required":["args"]},"description":"Run curl."}
          call: alpine/curl ["-s", "https://example.com/a b"] None
    "#]],
    );
}

const WISHES: &str = "
registry:
  wishes:
    image: x
    secrets: [{name: a.key, env: KEY, description: 'From the  settings page.'}]
    command: [serve, '--key=$KEY', '{{wishes.port|option:--port|into}}', '{{wishes.debug|flag:--debug|into}}']
    entrypoint: [/bin/serve]
    workdir: /srv/{{wishes.dir}}
    network: host
    privileged: true
    capAdd: [CAP_NET_ADMIN, sys_time]
    devices: ['/dev/snd', '/dev/ttyUSB0:/dev/modem:rw']
    shmSize: 1g
    tmpfs: [/run, /var/cache/x]
    volumes: ['/opt/data:/data', '/opt/out:/out:rw']
    config: [{name: wishes, properties: {port: {type: integer, default: 80}, dir: {type: string, default: app}, debug: {type: boolean}}}]
";

#[test]
fn what_needs_consent_is_all_said_at_once() {
    let world = World::new("", &[("a.key", "s3cret")]);
    check(
        WISHES,
        &world,
        expect![[r#"
        wishes needs-grant: it wants this machine's own network, all privileges on this machine, a secret on its command line, where others can read it, the capability `NET_ADMIN`, the capability `SYS_TIME`, the device `/dev/snd`, the device `/dev/ttyUSB0`, to mount `/opt/data` and to write to `/opt/out`: set `servers: {wishes: {grants: [hostNetwork, privileged, secretArguments, "capability:NET_ADMIN", "capability:SYS_TIME", "device:/dev/snd", "device:/dev/ttyUSB0"]}}`, `binds.allow: [/opt/data]` and `binds.allowWritable: [/opt/out]` in wasmgate.yaml
    "#]],
    );
    let some = &["privileged", "hostNetwork", "capability:NET_ADMIN", "device:/dev/snd"];
    check_granted(
        some,
        WISHES,
        &world,
        expect![[r#"
        wishes needs-grant: it wants a secret on its command line, where others can read it, the capability `SYS_TIME`, the device `/dev/ttyUSB0`, to mount `/opt/data` and to write to `/opt/out`: set `servers: {wishes: {grants: [hostNetwork, privileged, secretArguments, "capability:NET_ADMIN", "capability:SYS_TIME", "device:/dev/snd", "device:/dev/ttyUSB0"]}}`, `binds.allow: [/opt/data]` and `binds.allowWritable: [/opt/out]` in wasmgate.yaml
    "#]],
    );
    let all = &[
        "privileged",
        "hostNetwork",
        "capability:NET_ADMIN",
        "capability:SYS_TIME",
        "device:/dev/snd",
        "device:/dev/ttyUSB0",
        "secretArguments",
    ];
    let mut world = world;
    world.binds.allow.push("/opt/data".into());
    world.binds.allow_writable.push("/opt/out".into());
    world.values = World::new("wishes: {debug: true}", &[]).values;
    check_granted(
        all,
        WISHES,
        &world,
        expect![[r#"
        wishes
          image: "x"
          command: ["serve", [secret], "--port", "80", "--debug"]
          env: KEY="s3cret"
          mounts: [Mount { source: Bind("/opt/data"), target: "/data", read_only: true }, Mount { source: Bind("/opt/out"), target: "/out", read_only: false }]
          user: None
          network: Host
          hosts: []
          transport: Stdio
          limits: None None false Missing
          extras: Extras { entrypoint: ["/bin/serve"], workdir: Some("/srv/app"), shm_size: Some(1073741824), tmpfs: ["/run", "/var/cache/x"], privileged: true, capabilities: ["NET_ADMIN", "SYS_TIME"], devices: [Device { host: "/dev/snd", container: "/dev/snd", access: "rwm" }, Device { host: "/dev/ttyUSB0", container: "/dev/modem", access: "rw" }] }
    "#]],
    );
    check(
        WISHES,
        &World::default(),
        expect![[r#"
        wishes needs-secret: set the secret `a.key=...` in a file of `secrets`, or the variable `KEY` (From the settings page.)
    "#]],
    );
}

#[test]
fn what_few_containers_ask_for_is_typed() {
    let entry = "
registry:
  both: {image: x, disableNetwork: true, network: host}
  relative: {image: x, workdir: srv}
  options: {image: x, tmpfs: ['/run:exec']}
  device: {image: x, devices: ['/etc/passwd']}
  up: {image: x, devices: ['/dev/../etc/passwd']}
  capability: {image: x, capAdd: ['ALL --privileged']}
  secret: {image: x, secrets: [{name: a.key, env: KEY}], entrypoint: ['$KEY']}
  isolated: {image: x, network: none}
  unknown: {image: x, network: my-net}
";
    check(
        entry,
        &World::new("", &[("a.key", "s3cret")]),
        expect![[r#"
        both refused: its `network` and its `disableNetwork` contradict each other
        relative refused: `srv` in its `workdir` is not a plain absolute path
        options refused: `/run:exec` in its `tmpfs` is not a plain absolute path
        device refused: `/etc/passwd` in its `devices` is not `/dev/...`, `/dev/...:/dev/...` or `/dev/...:/dev/...:rwm`
        up refused: `/dev/../etc/passwd` in its `devices` is not `/dev/...`, `/dev/...:/dev/...` or `/dev/...:/dev/...:rwm`
        capability refused: `ALL --privileged` in its `capAdd` is not a capability's name
        secret refused: `$KEY` would put a secret into its entrypoint, where others can read it: pass it in `env` instead
        isolated
          image: "x"
          command: []
          env: 
          mounts: []
          user: None
          network: None
          hosts: []
          transport: Stdio
          limits: None None false Missing
        unknown refused: the catalog's entry at line 11 cannot be read: unknown variant `my-net`, expected one of `none`, `bridge`, `default`, `host`
    "#]],
    );
}

#[test]
fn hosts_are_named_and_nothing_else_is_reached() {
    let entry = "
registry:
  some: {image: x, allowHosts: ['api.example.com:443', '*.cdn.example', 'db.example:5432/tcp'], extraHosts: ['db.example:10.0.0.9']}
  none: {image: x, allowHosts: ['api.example.com'], disableNetwork: true}
  empty: {image: x, allowHosts: ['']}
  absent: {image: x, allowHosts: []}
  bad: {image: x, allowHosts: ['https://api.example.com/']}
  host: {image: x, allowHosts: ['api.example.com'], network: host}
";
    let catalog = file::read(&Source { file: "c", text: entry }, Origin::File).unwrap();
    let world = World::new("", &[]);
    let network = |listed: &Listed| match resolve(listed, &world.inputs()) {
        Resolution::Ready(server) => match server.launch {
            Launch::Container(container) => match container.network {
                Network::Hosts(allowed) => {
                    let rules: Vec<String> = allowed.rules.iter().map(ToString::to_string).collect();
                    format!("[{}] of the {:?}", rules.join(" "), allowed.author)
                }
                other => format!("{other:?}"),
            },
            _ => "no container".to_owned(),
        },
        other => other.reason(),
    };
    let shown: String =
        catalog.servers.iter().map(|listed| format!("{}: {}\n", listed.name, network(listed))).collect();
    expect![[r#"
        some: [api.example.com:443 *.cdn.example:443 db.example:5432/tcp] of the Catalog
        none: None
        empty: [] of the Catalog
        absent: Default
        bad: `https://api.example.com/` in its `allowHosts` has no port from 1 to 65535
        host: its `network` and its `allowHosts` contradict each other
    "#]]
    .assert_eq(&shown);
}

#[test]
fn secrets_in_arguments_and_addresses() {
    let entry = "
registry:
  box: {image: x, command: ['$KEY'], secrets: [{name: a.key, env: KEY}]}
  path: {remote: {url: 'https://mcp.example.com/s/${KEY}/mcp?t=$KEY'}, secrets: [{name: a.key, env: KEY}]}
  whole: {remote: {url: '$URL'}, secrets: [{name: a.url, env: URL}]}
  host: {remote: {url: 'https://${KEY}.example.com/'}, secrets: [{name: a.key, env: KEY}]}
  program: {process: {command: ['$KEY']}, secrets: [{name: a.key, env: KEY}]}
  process: {process: {command: [serve, --key, '$KEY']}, secrets: [{name: a.key, env: KEY}]}
";
    let world = World::new("", &[("a.key", "s3/cret"), ("a.url", "https://h.example/secret")]);
    check_granted(
        &["secretArguments"],
        entry,
        &world,
        expect![[r#"
            box
              image: "x"
              command: [[secret]]
              env: KEY="s3/cret"
              mounts: []
              user: None
              network: Default
              hosts: []
              transport: Stdio
              limits: None None false Missing
            path
              remote: ["https://mcp.example.com/s/s3%2Fcret/mcp?t=s3%2Fcret"] Auto private true
            whole
              remote: ["https://h.example/secret"] Auto private true
            host refused: `$KEY` would put a secret into the host of its URL, which is no secret
            program refused: the program of its `process.command` would be a secret
            process
              process: "serve" ["--key", [secret]] in None
              env: KEY="s3/cret"
        "#]],
    );
    let catalog = file::read(&Source { file: "c", text: entry }, Origin::File).unwrap();
    for name in ["path", "whole"] {
        let listed = catalog.servers.iter().find(|listed| listed.name.as_str() == name).unwrap();
        let Resolution::Ready(server) = resolve(listed, &world.inputs()) else { panic!("{name}") };
        let shown = format!("{server:?}");
        assert!(shown.contains("/[secret]") && !shown.contains("s3"), "{shown}");
    }
}

#[test]
fn choices_and_defaults() {
    let entry = "
registry:
  s:
    image: x
    env: [{name: MODE, value: '{{s.mode}}'}, {name: LEVEL, value: '{{s.level}}'}]
    config: [{name: s, properties: {mode: {type: string, enum: [fast, safe], default: safe}, level: {type: integer, enum: [1, 2]}, sorts: {type: array, items: {type: string, enum: [a, b]}, format: filepath}}}]
";
    check(
        entry,
        &World::new("s: {level: '2', sorts: [a]}", &[]),
        expect![[r#"
        s
          image: "x"
          command: []
          env: MODE="safe" LEVEL="2"
          mounts: []
          user: None
          network: Default
          hosts: []
          transport: Stdio
          limits: None None false Missing
    "#]],
    );
    check(
        entry,
        &World::new("s: {level: 3, mode: slow, sorts: [a, c]}", &[]),
        expect![[r#"
        s needs-config: `config.s.mode` must be one of fast, safe; `config.s.level` must be one of 1, 2; `config.s.sorts` must be a list in which every item is one of a, b in wasmgate.yaml
    "#]],
    );
}
