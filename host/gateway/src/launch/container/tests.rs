//! Places and names an entry chooses, checked before the engine hears of them.

use std::path::PathBuf;

use expect_test::expect;

use std::sync::Arc;

use super::*;

#[test]
fn targets_are_places_in_the_container() {
    for good in ["/data", "/a/b", "/tmp", "/home/user/.config", "/process", "/etc/x"] {
        assert!(check_target(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "/",
        "//",
        "/.",
        "data",
        "./data",
        "/a/../..",
        "/..",
        "/proc",
        "/proc/x",
        "/sys",
        "//dev/shm",
        "/./proc",
        "/a\0",
    ] {
        let error = check_target(bad).unwrap_err();
        assert_eq!(error.code(), "mount_invalid", "{bad}");
    }
}

#[test]
fn volumes_are_of_one_server() {
    let name = |server: &str, volume: &str| volume_name(&ServerName::new(server).unwrap(), volume);
    assert_eq!(name("memory", "claude").unwrap(), name("memory", "claude").unwrap());
    assert!(name("memory", "claude").unwrap().starts_with("wasmgate-memory-claude-"));
    assert_ne!(name("a", "b-c").unwrap(), name("a-b", "c").unwrap());
    for bad in ["", "-v", ".x", "a/b", "a:b", "a b", "é", &"a".repeat(101)] {
        assert_eq!(name("s", bad).unwrap_err().code(), "mount_invalid", "{bad}");
    }
}

#[test]
fn mounts_are_typed_and_nothing_of_them_becomes_an_option() {
    let server = ServerName::new("files").unwrap();
    let binds = BindPolicy { allow: vec!["/usr".into()], ..BindPolicy::default() };
    let mounted = |source: MountSource, target: &str| {
        let mount = catalog::Mount { source, target: target.to_owned(), read_only: false };
        typed(&binds, &server, &mount).map(|mount| serde_json::to_string_pretty(&mount).unwrap())
    };
    expect![[r#"
        {
          "Target": "/data:rw,volume-driver=x",
          "Source": "/usr/share",
          "Type": "bind",
          "ReadOnly": true,
          "BindOptions": {
            "Propagation": "rprivate",
            "NonRecursive": true
          }
        }"#]]
    .assert_eq(&mounted(MountSource::Bind("/usr/share".into()), "/data:rw,volume-driver=x").unwrap());
    expect![[r#"
        {
          "ReadOnly": false,
          "Source": "wasmgate-files-cache-268ce8f8",
          "Target": "/cache",
          "Type": "volume",
          "VolumeOptions": {
            "Labels": {
              "wasmgate": "true",
              "wasmgate.server": "files"
            }
          }
        }"#]]
    .assert_eq(&{
        let text = mounted(MountSource::Volume("cache".to_owned()), "/cache").unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value.sort_all_objects();
        serde_json::to_string_pretty(&value).unwrap()
    });
    assert_eq!(mounted(MountSource::Bind(PathBuf::from("/etc")), "/x").unwrap_err().code(), "bind_refused");
}

#[tokio::test]
async fn what_can_never_start_says_so_before_the_engine_is_asked() {
    let tasks = Tasks::new();
    let nowhere = Some("unix:///nonexistent/docker.sock".to_owned());
    let containers = |docker_host| {
        let settings = LaunchSettings { docker_host, ..LaunchSettings::default() };
        let identity = Arc::new(Identity::of(&settings.gateway));
        Containers::new(settings, identity, tasks.clone())
    };
    let refused = async |host: Option<String>, change: fn(&mut Container)| {
        let mut container = create::tests::entry();
        change(&mut container);
        let server = create::tests::server(container.clone());
        let started = containers(host).start(&server, &container, &|_| {}).await;
        let error = started.err().unwrap();
        format!("{}: {error}", error.code())
    };
    let cases = [
        refused(nowhere.clone(), |c| c.image = "../x".to_owned()).await,
        refused(nowhere.clone(), |c| {
            let source = MountSource::Bind("/var/run/docker.sock".into());
            c.mounts = vec![catalog::Mount { source, target: "/x".to_owned(), read_only: true }];
        })
        .await,
        refused(nowhere.clone(), |c| {
            c.network = Network::None;
            c.transport = ContainerTransport::Sse { port: 80, path: "/sse".to_owned() };
        })
        .await,
        refused(nowhere.clone(), |_| {}).await,
        refused(Some("tcp://10.0.0.1:2375".to_owned()), |_| {}).await,
    ];
    expect![[r#"
        image_invalid: `../x` is not an image reference
        bind_refused: /var/run/docker.sock may not be mounted: whoever holds the container engine's socket is root on this machine
        start_failed: a container that serves HTTP needs a network, and its entry disables it
        docker_unavailable: Docker is not reachable at /nonexistent/docker.sock: start Docker, or set DOCKER_HOST to where it listens; servers that are processes or remotes work without it
        docker_unavailable: DOCKER_HOST is `tcp://10.0.0.1:2375`, but only unix:// sockets are supported"#]].assert_eq(&cases.join("\n"));
}
