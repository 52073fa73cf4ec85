//! Interceptors as their authors make them: projects of `plugin new` and the examples of `examples`, built with
//! each language's own tools, tried with `plugin test`, and run in a gateway.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;
use wasmgate_tests::catalog::good;
use wasmgate_tests::gateway::{Ended, wasmgate};
use wasmgate_tests::{build, gateway, peers, require};

/// What a slow machine with a debug build keeps to.
const BUDGET: [&str; 4] = ["--cpu", "2s", "--wall", "30s"];

/// A directory for one test, gone at its end.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let home = std::env::temp_dir().join(format!("wasmgate-languages-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a temporary directory");
        Self(home)
    }

    /// A project of `plugin new`.
    async fn project(&self, name: &str, lang: &str, kind: &str) -> PathBuf {
        let path = self.0.join(name);
        let at = path.to_str().expect("UTF-8");
        ok(&wasmgate(&["plugin", "new", name, "--lang", lang, "--kind", kind, "--path", at], &[]).await);
        path
    }

    /// An example, with the contract where it looks for it.
    fn example(&self, name: &str) -> PathBuf {
        copy(&build::root().join("wit"), &self.0.join("wit"));
        let path = self.0.join("examples").join(name);
        copy(&build::root().join("examples").join(name), &path);
        path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true if entry.file_name() != "node_modules" => copy(&entry.path(), &target),
            true => {}
            false => {
                std::fs::copy(entry.path(), target).expect("a file");
            }
        }
    }
}

#[track_caller]
fn ok(ended: &Ended) -> &str {
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.stdout, ended.stderr);
    &ended.stdout
}

/// Runs a build tool in a project, with `tools` first on its path.
async fn tool(project: &Path, tools: &Path, line: &[&str], env: &[(&str, &Path)]) {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(project).env("PATH", format!("{}:{path}", tools.display()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_") && !name.starts_with("CARGO_HOME")) {
            command.env_remove(name);
        }
    }
    command.envs(env.iter().copied()).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = command.output().await.expect("the tool runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{line:?}:\n{}{}", said(&output.stdout), said(&output.stderr));
}

async fn build_js(project: &Path) -> PathBuf {
    let modules = peers::node().await.expect("checked with require! before");
    tool(project, &modules.join(".bin"), &["npm", "run", "--silent", "build"], &[]).await;
    component(project)
}

async fn build_python(project: &Path) -> PathBuf {
    let bin = peers::python().await.expect("checked with require! before");
    tool(project, &bin, &["sh", "build.sh"], &[]).await;
    component(project)
}

/// With the versions of this workspace, so that nothing is downloaded, and one target directory for all projects.
async fn build_rust(project: &Path, name: &str) -> PathBuf {
    std::fs::copy(build::root().join("Cargo.lock"), project.join("Cargo.lock")).expect("the lock file");
    let target = build::target_dir().join("scaffolds");
    let line = ["cargo", "build", "--quiet", "--release", "--target", "wasm32-wasip2"];
    tool(project, Path::new("."), &line, &[("CARGO_TARGET_DIR", &target)]).await;
    let built = target.join("wasm32-wasip2/release").join(format!("{}.wasm", name.replace('-', "_")));
    let own = project.join("component.wasm");
    std::fs::copy(built, &own).expect("the component");
    own
}

fn component(project: &Path) -> PathBuf {
    let files = std::fs::read_dir(project).expect("a directory").flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|e| e == "wasm")).expect("a component")
}

/// `plugin test` on the project's own cases.
async fn tested(component: &Path) {
    let path = component.to_str().expect("UTF-8");
    let cases = component.with_file_name("tests");
    let args = ["plugin", "test", path, cases.to_str().expect("UTF-8")];
    // Compiling an interpreter takes longer than anything else here, so this waits for as long as it takes.
    let mut command = Command::new(build::wasmgate());
    command
        .args([&args[..], &BUDGET].concat())
        .envs(cache())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.expect("wasmgate runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ended = Ended { status: output.status, stdout: said(&output.stdout), stderr: said(&output.stderr) };
    assert!(ok(&ended).contains(" passed, 0 failed"), "{}", ended.stdout);
}

/// Compiled components are shared with the gateways of the suite.
fn cache() -> [(&'static str, &'static str); 1] {
    static CACHE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let path = CACHE
        .get_or_init(|| build::wasmgate().with_file_name("suite-cache").to_str().expect("UTF-8").to_owned());
    [("XDG_CACHE_HOME", path)]
}

/// A configuration with one plugin, and time enough for a debug build.
fn configured(component: &Path, config: &str) -> String {
    format!(
        "plugins:\n  mine:\n    use: {}\n    config: {config}\n    limits: {{ cpu: 2s, wall: 30s }}\n",
        component.display()
    )
}

#[tokio::test]
async fn a_rust_project_builds_tests_and_refuses() {
    let home = Home::new("rust");
    let project = home.project("no-phrases", "rust", "validator").await;
    let component = build_rust(&project, "no-phrases").await;
    tested(&component).await;
    let target = build::target_dir().join("scaffolds");
    tool(&project, Path::new("."), &["cargo", "test", "--quiet"], &[("CARGO_TARGET_DIR", &target)]).await;

    let gw =
        gateway().catalog(good("fx")).config(&configured(&component, "{ phrases: [launch] }")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let refused = client.call_fails("echo", json!({"text": "launch it"})).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    assert!(refused.to_string().contains("contains a forbidden phrase"), "{refused}");
    assert_eq!(client.call("text", json!({"text": "lunch"})).await["content"][0]["text"], "lunch");
    gw.stop().await;
}

#[tokio::test]
async fn rust_projects_of_every_kind_build() {
    let home = Home::new("rust-kinds");
    for kind in ["mutator", "list-filter", "catalog-source"] {
        let project = home.project(&format!("a-{kind}"), "rust", kind).await;
        tested(&build_rust(&project, &format!("a-{kind}")).await).await;
    }
}

#[tokio::test]
async fn javascript_projects_of_every_kind_build_and_one_refuses() {
    require!(peers::node().await);
    let home = Home::new("js");
    for kind in ["mutator", "list-filter"] {
        let project = home.project(&format!("a-{kind}"), "js", kind).await;
        tested(&build_js(&project).await).await;
    }
    let project = home.project("no-phrases", "js", "validator").await;
    let component = build_js(&project).await;
    tested(&component).await;

    let gw =
        gateway().catalog(good("fx")).config(&configured(&component, "{ phrases: [launch] }")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let refused = client.call_fails("echo", json!({"text": "launch it"})).await;
    assert_eq!(refused["data"]["code"], "refused", "{refused}");
    assert_eq!(client.call("text", json!({"text": "lunch"})).await["content"][0]["text"], "lunch");
    gw.stop().await;
}

#[tokio::test]
async fn a_python_project_builds_tests_and_changes_a_result() {
    require!(peers::python().await);
    let home = Home::new("python");
    let project = home.project("mask", "python", "mutator").await;
    let component = build_python(&project).await;
    tested(&component).await;

    let gw = gateway().catalog(good("fx")).config(&configured(&component, "{ words: [plan] }")).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    let changed = client.call("text", json!({"text": "the plan is this"})).await;
    assert_eq!(changed["content"][0]["text"], "the *** is this", "{changed}");
    gw.stop().await;
}

#[tokio::test]
async fn the_rust_example_keeps_its_promises() {
    let home = Home::new("rust-example");
    let target = build::target_dir().join("scaffolds");
    let line = [
        "cargo",
        "build",
        "--quiet",
        "--locked",
        "--release",
        "--target",
        "wasm32-wasip2",
        "-p",
        "path-guard",
        "--lib",
    ];
    tool(build::root(), Path::new("."), &line, &[("CARGO_TARGET_DIR", &target)]).await;
    let example = home.example("rust-path-guard");
    let component = example.join("path-guard.wasm");
    std::fs::copy(target.join("wasm32-wasip2/release/path_guard.wasm"), &component).expect("the component");
    tested(&component).await;
}

#[tokio::test]
async fn the_javascript_example_keeps_its_promises() {
    require!(peers::node().await);
    let home = Home::new("js-example");
    tested(&build_js(&home.example("js-sql-guard")).await).await;
}

#[tokio::test]
async fn the_python_example_keeps_its_promises() {
    require!(peers::python().await);
    let home = Home::new("python-example");
    tested(&build_python(&home.example("python-html-to-text")).await).await;
}

#[test]
fn the_examples_use_what_new_projects_get() {
    let read = |path: &str| std::fs::read_to_string(build::root().join(path)).expect("a file");
    let templates = "host/gateway/templates/plugin";
    assert_eq!(read("examples/js-sql-guard/src/wasmgate.js"), read(&format!("{templates}/js/wasmgate.js")));
    assert_eq!(
        read("examples/python-html-to-text/src/wasmgate.py"),
        read(&format!("{templates}/python/wasmgate.py"))
    );
    // One version of each compiler: in the suite, in new projects and in the examples.
    let peers: Value = serde_json::from_str(&read("tests/peers/package.json")).expect("JSON");
    let pin = format!("\"componentize-qjs\": {}", peers["dependencies"]["componentize-qjs"]);
    for file in [&format!("{templates}/js/package.json"), "examples/js-sql-guard/package.json"] {
        assert!(read(file).contains(&pin), "{file} does not pin {pin}");
    }
    let pin = read(&format!("{templates}/python/requirements.txt"));
    for file in ["tests/peers/requirements.txt", "examples/python-html-to-text/requirements.txt"] {
        assert!(read(file).contains(pin.trim()), "{file} does not pin {pin}");
    }
}

#[tokio::test]
async fn what_a_gateway_recorded_is_what_plugin_test_runs() {
    let recording = Home::new("record");
    let directory = recording.0.join("calls");
    let at = directory.to_str().expect("UTF-8");
    let gw = gateway().catalog(good("fx")).arg("--record").arg(at).start().await;
    gw.ready(["fx"]).await;
    let client = gw.alone("fx").await;
    client.call("text", json!({"text": "remember me"})).await;
    gw.stop().await;

    let test = ["plugin", "test", "builtin:block-secrets", at];
    let ended = wasmgate(&[&test[..], &BUDGET].concat(), &cache()).await;
    assert_eq!(ended.status.code(), Some(1), "nothing is expected of a recording yet: {}", ended.stdout);
    assert!(ended.stdout.contains("--update"), "{}", ended.stdout);
    ok(&wasmgate(&[&test[..], &BUDGET, &["--update"]].concat(), &cache()).await);
    ok(&wasmgate(&[&test[..], &BUDGET].concat(), &cache()).await);

    let mut files: Vec<_> =
        std::fs::read_dir(&directory).expect("a directory").flatten().map(|e| e.path()).collect();
    files.sort();
    let calls = files.iter().filter(|path| path.to_str().is_some_and(|path| path.contains("tools-call")));
    let calls: Vec<Value> = calls
        .map(|path| serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON"))
        .collect();
    let [request, response] = calls.as_slice() else { panic!("a request and its answer: {files:?}") };
    assert_eq!(request["payload"]["arguments"]["text"], "remember me", "{request}");
    assert_eq!((&request["server"], &request["subject"]), (&json!("fx"), &json!("text")), "{request}");
    assert_eq!(response["payload"]["content"][0]["text"], "remember me", "{response}");
    assert_eq!(request["expected"]["verdict"], "valid", "{request}");
    let known = &request["attributes"];
    assert!(known["tool.input-schema"].is_object() && known["client.name"].is_string(), "{request}");
}

#[tokio::test]
async fn inspect_says_what_a_component_wants() {
    let ended = wasmgate(&["plugin", "inspect", "builtin:log-calls", "--format", "json"], &cache()).await;
    let seen: Value = serde_json::from_str(ok(&ended)).expect("JSON");
    assert_eq!((&seen["name"], &seen["grants"]["clock"]), (&json!("log-calls"), &json!(true)), "{seen}");
    assert_eq!(seen["hooks"][0]["phases"], json!(["request", "response"]), "{seen}");
    let ended = wasmgate(&["plugin", "inspect", "builtin:log-calls"], &cache()).await;
    assert!(ok(&ended).contains("    grants:\n        clock: true"), "{}", ended.stdout);

    let home = Home::new("inspect");
    let text = home.0.join("text.wasm");
    std::fs::write(&text, "(component)").expect("a file");
    let ended = wasmgate(&["plugin", "inspect", text.to_str().expect("UTF-8")], &cache()).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not a WebAssembly component"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_case_that_is_not_met_fails_and_says_where() {
    let home = Home::new("case");
    let case = home.0.join("case.json");
    let text = r#"{"event":"tools/call","phase":"request","payload":{"name":"x","arguments":{}},"expected":{"verdict":"invalid"}}"#;
    std::fs::write(&case, text).expect("a file");
    let args = ["plugin", "test", "builtin:block-secrets", case.to_str().expect("UTF-8")];
    let ended = wasmgate(&[&args[..], &BUDGET].concat(), &cache()).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(
        ended.stdout.contains(r#"verdict: expected invalid, got {"verdict":"valid"}"#),
        "{}",
        ended.stdout
    );
    assert_eq!(std::fs::read_to_string(&case).expect("a file"), text, "without --update nothing is written");
}
