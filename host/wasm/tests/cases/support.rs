//! What the tests of plugins share: one engine, the fixture guests, and exchanges to run them on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::guests;
use bytes::Bytes;
use wasmgate_core::json::Json;
use wasmgate_core::name::ServerName;
use wasmgate_core::pipeline::{Exchange, Operation, Phase, Stage, StageAnswer, StageError};
use wasmgate_wasm::{
    Engine, EngineSettings, Grants, Interceptor, Isolation, Limits, LoadError, Plugin, Settings, builtin,
};

/// One engine for the whole test binary, as in the gateway. Compiled guests are kept between runs.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
        Engine::new(EngineSettings { cache: Some(cache), ..EngineSettings::default() }).unwrap()
    })
}

/// The component of a fixture guest, built on first use.
pub(crate) fn guest(name: &str) -> Bytes {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
        guests::build(root, below, &["guest-hostile", "guest-editor", "guest-capable", "guest-source"])
            .unwrap()
    });
    std::fs::read(built.join(guests::file_name(&format!("guest-{name}")))).unwrap().into()
}

/// Settings with this configuration, fresh memory for each call, and a CPU budget that a slow machine keeps to.
pub(crate) fn settings(config: &str) -> Settings {
    let limits =
        Limits { cpu: Duration::from_millis(200), wall: Duration::from_secs(20), ..Limits::default() };
    let isolation = Some(Isolation::PerCall);
    Settings { config: Json::parse(config.to_owned()).unwrap(), limits, isolation, ..Settings::default() }
}

/// A fixture guest told to do `what`.
pub(crate) async fn told(name: &str, what: &str) -> Arc<Interceptor> {
    load(name, settings(&format!("{{\"do\":\"{what}\"}}"))).await.unwrap()
}

/// A fixture guest.
pub(crate) async fn load(name: &str, settings: Settings) -> Result<Arc<Interceptor>, LoadError> {
    let loaded = Plugin::load(engine(), name, guest(name), settings).await?;
    Ok(loaded.interceptors.into_iter().next().unwrap())
}

/// The first role of a bundled plugin, with everything it asks for granted.
pub(crate) async fn bundled(name: &str, settings: Settings) -> Arc<Interceptor> {
    try_bundled(name, settings).await.unwrap()
}

/// The same, or why not.
pub(crate) async fn try_bundled(name: &str, settings: Settings) -> Result<Arc<Interceptor>, LoadError> {
    let grants = Grants { clock: true, ..Grants::default() };
    let settings = Settings { grants, ..settings };
    let loaded = Plugin::load(engine(), name, builtin(name).unwrap(), settings).await?;
    Ok(loaded.interceptors.into_iter().next().unwrap())
}

/// A call of tool `read` on server `files`.
pub(crate) fn exchange() -> Exchange {
    Exchange::new(operation())
}

/// The same, without the rest of an exchange.
pub(crate) fn operation() -> Operation {
    Operation {
        id: "r1".into(),
        event: "tools/call".into(),
        server: Some(ServerName::new("files").unwrap()),
        subject: Some("read".into()),
        principal: "alice".into(),
        session: None,
        version: "2025-11-25",
        initiator: wasmgate_core::pipeline::Party::Client,
    }
}

/// One run in the request phase on a fresh exchange.
pub(crate) async fn run(stage: &Arc<Interceptor>, payload: &str) -> Result<StageAnswer, StageError> {
    run_in(stage, &exchange(), Phase::Request, payload).await
}

/// One run.
pub(crate) async fn run_in(
    stage: &Arc<Interceptor>,
    exchange: &Exchange,
    phase: Phase,
    payload: &str,
) -> Result<StageAnswer, StageError> {
    stage.run(exchange, phase, &Json::parse(payload.to_owned()).unwrap()).await
}

/// The answer in few words: `error at /pointer: message`, `changed to {..}`, or what failed.
pub(crate) fn words(answer: &Result<StageAnswer, StageError>) -> String {
    match answer {
        Ok(StageAnswer::Findings(findings)) => {
            let words = findings.iter().map(|f| format!("{:?} at {:?}: {}", f.severity, f.path, f.message));
            words.collect::<Vec<_>>().join("; ")
        }
        Ok(StageAnswer::Unchanged) => "unchanged".into(),
        Ok(StageAnswer::Changed(json)) => format!("changed to {}", json.as_str()),
        Ok(StageAnswer::Answer(json)) => format!("answers {}", json.as_str()),
        Err(error) => error.to_string(),
    }
}
