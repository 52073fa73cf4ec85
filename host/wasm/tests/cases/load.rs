//! What is refused when a plugin is loaded, in which words, and what the operator's settings do.

use crate::support::{engine, exchange, guest, load, run, settings, words};
use expect_test::{Expect, expect};
use wasmgate_core::pipeline::{Kind, Mode, Stage as _};
use wasmgate_wasm::{
    BUILT_IN, Engine, EngineSettings, Grants, Limits, MAX_COMPONENT_BYTES, MAX_MEMORY_BYTES, Plugin, Settings,
};
use wasmgate_wasm::{When, builtin};

/// Loads bytes that must be refused.
async fn refused(bytes: Vec<u8>, expected: Expect) {
    let error = Plugin::load(engine(), "broken", bytes, Settings::default()).await.unwrap_err();
    expected.assert_eq(&error.to_string());
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn what_is_not_a_component() {
    refused(b"(component)".to_vec(), expect!["is not a WebAssembly component: it is text (if it is the text format, turn it into binary with `wasm-tools parse`)"]).await;
    refused(wat("(module)"), expect!["is not a WebAssembly component: it is a core module (build it for wasm32-wasip2, or wrap it with `wasm-tools component new`)"]).await;
    refused(Vec::new(), expect!["is not a WebAssembly component: it is empty"]).await;
    let mut cut_off = guest("hostile").to_vec();
    cut_off.truncate(999);
    refused(cut_off, expect!["could not be compiled"]).await;
    refused(
        vec![0; MAX_COMPONENT_BYTES + 1],
        expect!["is too large: 134217729 bytes, at most 134217728 are loaded"],
    )
    .await;
}

#[tokio::test]
async fn precompiled_code_is_never_loaded() {
    let precompiled = wasmtime::Engine::default().precompile_component(&wat("(component)")).unwrap();
    refused(
        precompiled,
        expect!["is not a WebAssembly component: it is native or precompiled code, which is never loaded"],
    )
    .await;
}

#[tokio::test]
async fn a_wrong_world_is_named() {
    refused(wat("(component)"), expect!["exports no world that wasmgate runs: no `wasmgate:plugin/plugin` in version 0.1.x, it exports nothing; the worlds are `validating-interceptor`, `mutating-interceptor`, `list-filtering-interceptor`, `interceptor` and `catalog-source`"]).await;
    let command = r#"(component
        (instance $run)
        (export "wasi:cli/run@0.2.0" (instance $run))
        (export "wasmgate:plugin/plugin@0.1.0" (instance $run)))"#;
    refused(wat(command), expect!["exports no world that wasmgate runs: none of `wasmgate:plugin/validator`, `wasmgate:plugin/mutator`, `wasmgate:plugin/list-filter` and `wasmgate:plugin/source` in version 0.1.x, it exports wasi:cli/run@0.2.0, wasmgate:plugin/plugin@0.1.0; the worlds are `validating-interceptor`, `mutating-interceptor`, `list-filtering-interceptor`, `interceptor` and `catalog-source`"]).await;
    let both = r#"(component
        (instance $i)
        (export "wasmgate:plugin/plugin@0.1.0" (instance $i))
        (export "wasmgate:plugin/validator@0.1.0" (instance $i))
        (export "wasmgate:plugin/mutator@0.1.0" (instance $i)))"#;
    refused(wat(both), expect!["does not fit the interfaces of this version: instance export `wasmgate:plugin/plugin@0.1.0` does not have export `describe`"]).await;
    let future = r#"(component (instance $i) (export "wasmgate:plugin/plugin@0.2.0" (instance $i)))"#;
    refused(wat(future), expect!["exports no world that wasmgate runs: no `wasmgate:plugin/plugin` in version 0.1.x, it exports wasmgate:plugin/plugin@0.2.0; the worlds are `validating-interceptor`, `mutating-interceptor`, `list-filtering-interceptor`, `interceptor` and `catalog-source`"]).await;
}

/// A component that looks like a validator and imports `imports`.
fn importing(imports: &[&str]) -> Vec<u8> {
    let imports: String = imports.iter().map(|name| format!("(import \"{name}\" (instance))\n")).collect();
    wat(&format!(
        r#"(component {imports}
            (instance $i)
            (export "wasmgate:plugin/plugin@0.1.0" (instance $i))
            (export "wasmgate:plugin/validator@0.1.0" (instance $i)))"#
    ))
}

#[tokio::test]
async fn a_forbidden_import_is_named() {
    let imports = [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:sockets/tcp@0.3.0",
        "wasi:io/poll@0.2.0",
        "acme:things/door@1.0.0",
        "wasi:clocks/wall-clock@0.3.0",
    ];
    refused(importing(&imports), expect!["imports what plugins may not use: wasi:http/outgoing-handler@0.2.0, wasi:sockets/tcp@0.3.0, acme:things/door@1.0.0, wasi:clocks/wall-clock@0.3.0"]).await;
    refused(
        importing(&["wasmgate:plugin/edits@0.1.0"]),
        expect!["does not fit the interfaces of this version: instance export `wasmgate:plugin/plugin@0.1.0` does not have export `describe`"],
    )
    .await;
    refused(
        importing(&["wasmgate:plugin/http@0.1.0"]),
        expect!["does not fit the interfaces of this version: instance export `wasmgate:plugin/plugin@0.1.0` does not have export `describe`"],
    )
    .await;
}

#[tokio::test]
async fn an_export_of_the_right_name_and_the_wrong_type_is_refused() {
    refused(importing(&[]), expect!["does not fit the interfaces of this version: instance export `wasmgate:plugin/plugin@0.1.0` does not have export `describe`"]).await;
}

#[tokio::test]
async fn a_limit_that_cannot_be_given_is_refused() {
    let limits = Limits { memory: MAX_MEMORY_BYTES + 1, ..Limits::default() };
    let error = load("hostile", Settings { limits, ..Settings::default() }).await.unwrap_err();
    expect!["has a limit that cannot be given: memory is at most 536870912"].assert_eq(&error.to_string());
    let limits = Limits { memory: 64 << 10, ..Limits::default() };
    let error = load("hostile", Settings { limits, ..Settings::default() }).await.unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(
        (error.to_string().as_str(), source.as_deref()),
        ("could not describe itself", Some("exceeded its memory limit"))
    );
}

#[tokio::test]
async fn what_the_plugins_that_are_on_say_of_themselves() {
    for plugin in BUILT_IN.iter().filter(|plugin| ["block-secrets", "log-calls"].contains(&plugin.name)) {
        let grants = Grants { clock: true, ..Grants::default() };
        let settings = Settings { grants, ..Settings::default() };
        let loaded = Plugin::load(engine(), plugin.name, plugin.bytes, settings).await.unwrap();
        assert_eq!(loaded.descriptor.name, plugin.name);
        assert_eq!(loaded.descriptor.version, env!("CARGO_PKG_VERSION"));
        let info = loaded.interceptors.first().unwrap().info();
        assert_eq!((&*info.name, info.kind), (plugin.name, Kind::Validator));
        assert!(!info.hooks.is_empty());
        assert_eq!(loaded.descriptor.digest.len(), 64);
    }
    assert!(builtin("nonsense").is_none());
}

#[tokio::test]
async fn settings_override_the_plugins_own_word() {
    let own = load("editor", Settings::default()).await.unwrap();
    let info = own.info();
    assert_eq!(
        (info.priority_request, info.priority_response, info.fail_open, info.mode),
        (-5, 7, false, Mode::Enforce)
    );
    let changed = Settings {
        mode: Mode::Audit,
        fail_open: Some(true),
        priority_request: Some(1),
        priority_response: Some(2),
        ..Settings::default()
    };
    let changed = load("editor", changed).await.unwrap();
    let info = changed.info();
    assert_eq!(
        (info.priority_request, info.priority_response, info.fail_open, info.mode),
        (1, 2, true, Mode::Audit)
    );
}

#[tokio::test]
async fn a_narrowed_plugin_is_not_run() {
    let when = When { servers: vec!["billing".into()], ..When::default() };
    let narrowed = load("hostile", Settings { when, ..settings(r#"{"do":"fail"}"#) }).await.unwrap();
    assert!(
        !narrowed
            .info()
            .hooks
            .iter()
            .any(|hook| hook.wants(&exchange().operation, wasmgate_core::pipeline::Phase::Request))
    );
    assert_eq!(words(&run(&narrowed, "{}").await), "");
}

#[tokio::test]
async fn compiled_code_is_kept_and_a_changed_file_is_not_run() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cache-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let load_once = || async {
        let engine =
            Engine::new(EngineSettings { cache: Some(dir.clone()), ..EngineSettings::default() }).unwrap();
        let settings =
            Settings { isolation: Some(wasmgate_wasm::Isolation::Pooled), ..settings(r#"{"do":"count"}"#) };
        let loaded = Plugin::load(&engine, "hostile", guest("hostile"), settings).await.unwrap();
        assert_eq!(
            words(&run(loaded.interceptors.first().unwrap(), "{}").await),
            "Info at None: call 1 of this memory"
        );
    };
    load_once().await;
    let file = the_only_file(&dir);
    let good = std::fs::read(&file).unwrap();
    load_once().await;
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [good[..good.len() / 2].to_vec(), flipped] {
        std::fs::write(&file, bad).unwrap();
        load_once().await;
        // It was compiled again, and the good file put back.
        assert_eq!(std::fs::read(&file).unwrap().len(), good.len());
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The compiled file, and that nobody else can read or replace it.
fn the_only_file(dir: &std::path::Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let only = |dir: &std::path::Path| {
        let entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    };
    let of_engine = only(dir);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir), mode(&of_engine), mode(&only(&of_engine))), (0o700, 0o700, 0o600));
    only(&of_engine)
}
