//! Golden text of the whole body: a changed default shows here, word for word.

use expect_test::{Expect, expect};
use secrecy::SecretString;
use wasmgate_core::catalog::{
    About, Deadlines, EnvVar, Extras, Instances, Launch, Protocol, Pull, Server, ToolFilter,
};

use super::*;

/// An entry that asks for nothing.
pub(in crate::launch::container) fn entry() -> Container {
    Container {
        image: "mcp/time".to_owned(),
        command: Vec::new(),
        env: Vec::new(),
        mounts: Vec::new(),
        user: None,
        network: Network::Default,
        extra_hosts: Vec::new(),
        transport: ContainerTransport::Stdio,
        memory: None,
        cpus: None,
        writable_root: false,
        pull: Pull::Missing,
        extras: Box::default(),
    }
}

/// A server around an entry.
pub(in crate::launch::container) fn server(container: Container) -> Server {
    Server {
        name: ServerName::new("time").unwrap(),
        about: About::default(),
        launch: Launch::Container(container),
        prefix: None,
        tools: ToolFilter::All,
        protocol: Protocol::Auto,
        deadlines: Deadlines::default(),
        max_in_flight: None,
        instances: Instances::default(),
        required: false,
    }
}

fn env(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: SecretString::from(value) }
}

fn body(container: &Container, mounts: Vec<Mount>) -> serde_json::Value {
    let labels = HashMap::from([("wasmgate".to_owned(), "true".to_owned())]);
    let name = ServerName::new("time").unwrap();
    let placement = Placement { server: &name, mounts, labels, limits: Limits::default() };
    let mut value = serde_json::to_value(create_body(container, placement)).unwrap();
    value.sort_all_objects();
    value
}

#[track_caller]
fn check(container: &Container, mounts: Vec<Mount>, expected: &Expect) {
    expected.assert_eq(&serde_json::to_string_pretty(&body(container, mounts)).unwrap());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one golden text")]
fn an_entry_that_asks_for_nothing_gets_the_hardened_profile() {
    check(
        &entry(),
        Vec::new(),
        &expect![[r#"
            {
              "AttachStderr": true,
              "AttachStdin": true,
              "AttachStdout": true,
              "Env": [],
              "HostConfig": {
                "AutoRemove": false,
                "CapAdd": [],
                "CapDrop": [
                  "ALL"
                ],
                "CgroupnsMode": "private",
                "Init": true,
                "IpcMode": "private",
                "LogConfig": {
                  "Type": "none"
                },
                "Memory": 536870912,
                "MemorySwap": 536870912,
                "NanoCpus": 1000000000,
                "NetworkMode": "none",
                "OomScoreAdj": 500,
                "PidsLimit": 128,
                "Privileged": false,
                "ReadonlyRootfs": true,
                "RestartPolicy": {
                  "Name": "no"
                },
                "SecurityOpt": [
                  "no-new-privileges:true"
                ],
                "ShmSize": 16777216,
                "Tmpfs": {
                  "/tmp": "rw,noexec,nosuid,nodev,size=64m"
                },
                "Ulimits": [
                  {
                    "Hard": 1024,
                    "Name": "nofile",
                    "Soft": 1024
                  },
                  {
                    "Hard": 0,
                    "Name": "core",
                    "Soft": 0
                  }
                ]
              },
              "Image": "mcp/time",
              "Labels": {
                "wasmgate": "true",
                "wasmgate.definition": "sha256:e6c7e6ca7e1518ac1e90c86485a590121ebaeb2d0f2f809fca62f28d23036962",
                "wasmgate.server": "time"
              },
              "OpenStdin": true,
              "StdinOnce": true,
              "Tty": false,
              "User": "65532:65532"
            }"#]],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one golden text")]
fn an_entry_that_asks_gets_what_it_asks_and_nothing_else() {
    let mut asks = entry();
    asks.command = vec!["serve".into(), "--privileged".into()];
    asks.env = vec![env("TOKEN", "s3cret")];
    asks.user = Some("0".to_owned());
    asks.extra_hosts = vec!["db:10.0.0.9".to_owned()];
    asks.transport = ContainerTransport::StreamableHttp { port: 8080, path: "/mcp".to_owned() };
    asks.memory = Some(1 << 30);
    asks.cpus = Some(2.5);
    asks.writable_root = true;
    let mount = Mount { target: Some("/tmp".to_owned()), source: Some("v".to_owned()), ..Mount::default() };
    check(
        &asks,
        vec![mount],
        &expect![[r#"
            {
              "AttachStderr": true,
              "AttachStdin": false,
              "AttachStdout": true,
              "Cmd": [
                "serve",
                "--privileged"
              ],
              "Env": [
                "TOKEN=s3cret"
              ],
              "ExposedPorts": {
                "8080/tcp": {}
              },
              "HostConfig": {
                "AutoRemove": false,
                "CapAdd": [],
                "CapDrop": [
                  "ALL"
                ],
                "CgroupnsMode": "private",
                "ExtraHosts": [
                  "db:10.0.0.9"
                ],
                "Init": true,
                "IpcMode": "private",
                "LogConfig": {
                  "Type": "none"
                },
                "Memory": 1073741824,
                "MemorySwap": 1073741824,
                "Mounts": [
                  {
                    "Source": "v",
                    "Target": "/tmp"
                  }
                ],
                "NanoCpus": 2500000000,
                "NetworkMode": "none",
                "OomScoreAdj": 500,
                "PidsLimit": 128,
                "PortBindings": {
                  "8080/tcp": [
                    {
                      "HostIp": "127.0.0.1",
                      "HostPort": ""
                    }
                  ]
                },
                "Privileged": false,
                "ReadonlyRootfs": false,
                "RestartPolicy": {
                  "Name": "no"
                },
                "SecurityOpt": [
                  "no-new-privileges:true"
                ],
                "ShmSize": 16777216,
                "Ulimits": [
                  {
                    "Hard": 1024,
                    "Name": "nofile",
                    "Soft": 1024
                  },
                  {
                    "Hard": 0,
                    "Name": "core",
                    "Soft": 0
                  }
                ]
              },
              "Image": "mcp/time",
              "Labels": {
                "wasmgate": "true",
                "wasmgate.definition": "sha256:c3f6969eb2b4f52532d38e8d68610a75c26c24c171f4682b46d49066a46bc7ae",
                "wasmgate.server": "time"
              },
              "OpenStdin": false,
              "StdinOnce": false,
              "Tty": false,
              "User": "0"
            }"#]],
    );
}

#[test]
fn without_a_network_there_are_no_hosts_either() {
    let mut isolated = entry();
    isolated.network = Network::None;
    isolated.extra_hosts = vec!["db:10.0.0.9".to_owned()];
    let body = body(&isolated, Vec::new());
    assert_eq!(body["HostConfig"]["NetworkMode"], "none");
    assert_eq!(body["HostConfig"]["ExtraHosts"], serde_json::Value::Null);
}

#[test]
fn the_definition_changes_with_the_settings_and_not_with_secrets() {
    let definition = |change: fn(&mut Container)| {
        let mut container = entry();
        container.env = vec![env("TOKEN", "one")];
        change(&mut container);
        body(&container, Vec::new())["Labels"][DEFINITION].as_str().unwrap().to_owned()
    };
    let plain = definition(|_| {});
    assert!(plain.starts_with("sha256:") && plain.len() == 71);
    assert_eq!(plain, definition(|_| {}));
    assert_eq!(plain, definition(|c| c.env = vec![env("TOKEN", "two=2")]));
    assert_ne!(plain, definition(|c| c.env = vec![env("OTHER", "one")]));
    assert_ne!(plain, definition(|c| c.image = "mcp/time:2".to_owned()));
    assert_ne!(plain, definition(|c| c.writable_root = true));
}

#[test]
fn what_was_granted_takes_effect_and_nothing_else_does() {
    let plain = body(&entry(), Vec::new());
    let mut asks = entry();
    asks.network = Network::Host;
    asks.transport = ContainerTransport::StreamableHttp { port: 8080, path: "/mcp".to_owned() };
    asks.command = vec!["--key".into(), Argument::Secret("s3cret".into())];
    *asks.extras = Extras {
        entrypoint: vec!["/bin/serve".to_owned(), "now".to_owned()],
        workdir: Some("/srv".to_owned()),
        shm_size: Some(1 << 30),
        tmpfs: vec!["/run".to_owned()],
        privileged: true,
        capabilities: vec!["NET_ADMIN".to_owned()],
        devices: vec![Device {
            host: "/dev/snd".to_owned(),
            container: "/dev/audio".to_owned(),
            access: "rw".to_owned(),
        }],
    };
    let asked = body(&asks, Vec::new());
    let mut changes = String::new();
    for (at, values) in
        [("", (&plain, &asked)), ("HostConfig.", (&plain["HostConfig"], &asked["HostConfig"]))]
    {
        let (plain, asked) = (values.0.as_object().unwrap(), values.1.as_object().unwrap());
        assert!(plain.keys().all(|key| asked.contains_key(key)), "nothing is taken away");
        for (key, value) in asked.iter().filter(|(key, value)| plain.get(*key) != Some(value)) {
            if !["HostConfig", "Labels"].contains(&key.as_str()) {
                writeln!(changes, "{at}{key}: {value}").unwrap();
            }
        }
    }
    expect![[r#"
        AttachStdin: false
        Cmd: ["--key","s3cret"]
        Entrypoint: ["/bin/serve","now"]
        OpenStdin: false
        StdinOnce: false
        WorkingDir: "/srv"
        HostConfig.CapAdd: ["NET_ADMIN"]
        HostConfig.Devices: [{"CgroupPermissions":"rw","PathInContainer":"/dev/audio","PathOnHost":"/dev/snd"}]
        HostConfig.NetworkMode: "host"
        HostConfig.Privileged: true
        HostConfig.ShmSize: 1073741824
        HostConfig.Tmpfs: {"/run":"rw,noexec,nosuid,nodev,size=64m,uid=65532,gid=65532","/tmp":"rw,noexec,nosuid,nodev,size=64m"}
    "#]].assert_eq(&changes);
    let definition = |key: &str| {
        let mut asks = asks.clone();
        asks.command = vec!["--key".into(), Argument::Secret(key.into())];
        body(&asks, Vec::new())["Labels"][DEFINITION].clone()
    };
    assert_eq!(definition("s3cret"), definition("other"), "a hash of a short secret tells the secret");
}
