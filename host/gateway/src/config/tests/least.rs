//! `catalogs/docker-least.yaml` says of every entry of the sample of Docker's catalog the least it needs, and how sure that
//! is. The sample lies beside the project when it is there.

use super::*;

const WRITTEN: &str = include_str!("../../../../../catalogs/docker-least.yaml");

/// Where the sample lies, if it is there.
fn sample() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("WASMGATE_DATA").map_or(beside, PathBuf::from).join("docker/catalog.yaml");
    let is_there = path.is_file();
    assert!(is_there || std::env::var_os("WASMGATE_REQUIRE_ALL").is_none(), "there is no {}", path.display());
    is_there.then_some(path)
}

/// Names, settings and remarks, as written.
fn lines() -> Vec<(&'static str, &'static str, &'static str)> {
    let entries = WRITTEN.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let parts = |line: &'static str| {
        let (written, remark) = line.split_once(" # ").expect("every line has its reason");
        let (name, settings) = written.trim().split_once(": ").expect("a name and settings");
        (name, settings, remark)
    };
    entries.map(parts).collect()
}

#[test]
fn every_line_says_how_sure_it_is() {
    for (name, settings, remark) in lines() {
        let (sure, why) = remark.split_once(": ").unwrap_or((remark, ""));
        assert!(["entry", "vendor", "guess", "open"].contains(&sure), "{name}: {remark}");
        let is_open = settings == "{network: default}";
        assert_eq!(is_open, sure == "open", "{name}: what is open says so: {settings} # {remark}");
        assert!(!is_open || !why.is_empty(), "{name}: why is it open?");
        assert!(
            settings != "{}" || why.starts_with("runs at "),
            "{name}: only remotes have nothing to narrow"
        );
    }
}

#[test]
fn every_entry_of_the_sample_catalog_states_the_least_it_needs() {
    let Some(catalog) = sample() else { return eprintln!("not checked: set WASMGATE_DATA") };
    let dir = Dir::new(&[("wasmgate.yaml", WRITTEN)]);
    let before = ServerFlags { catalogs: vec![catalog.display().to_string()], ..ServerFlags::default() };
    let flags = Flags { servers: before, ..Flags::default() };
    let report = validate_in(None, &flags, dir.environment());
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let mut named: Vec<_> = lines().into_iter().map(|(name, ..)| name).collect();
    named.sort_unstable();
    let mut listed: Vec<_> = report.servers.iter().map(|line| line.name.as_str()).collect();
    listed.sort_unstable();
    assert_eq!(named, listed, "a line for each entry, and none for anything else");
    let takes = |line: &crate::catalog::report::Line| {
        let takes = if line.takes.is_empty() { "-".to_owned() } else { line.takes.join("; ") };
        format!("{}: {takes}\n", line.name)
    };
    let effective: String = report.servers.iter().map(takes).collect();
    expect_test::expect_file!["least.txt"].assert_eq(&effective);
    let refused: Vec<_> = report.servers.iter().filter(|line| line.status == "refused").collect();
    assert!(refused.is_empty(), "a rule that cannot be: {refused:?}");
}

#[test]
fn what_a_line_says_is_what_its_container_gets() {
    let Some(catalog) = sample() else { return eprintln!("not checked: set WASMGATE_DATA") };
    let dir = Dir::new(&[("wasmgate.yaml", WRITTEN)]);
    let flags = |name: &str| Flags {
        servers: ServerFlags {
            catalogs: vec![catalog.display().to_string()],
            servers: vec![name.to_owned()],
            ..ServerFlags::default()
        },
        ..Flags::default()
    };
    for (name, expected) in [
        ("time", expect!["None"]),
        (
            "youtube_transcript",
            expect![[
                r#"Hosts(AllowedHosts { rules: [HostRule { host: Name("www.youtube.com"), port: 443, carries: Tls }], author: Operator })"#
            ]],
        ),
        ("fetch", expect!["Default"]),
    ] {
        let config = load_in(None, &flags(name), dir.environment()).expect("it can be read");
        let names: Vec<_> = config.servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, [name], "a line enables nothing");
        let Launch::Container(container) = &config.servers[0].launch else { panic!("{name} is a container") };
        expected.assert_eq(&format!("{:?}", container.network));
    }
}
