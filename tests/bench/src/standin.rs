//! The official registry's stand-in on a thread of its own, over the real entries, and what is measured without the gateway:
//! the answers alone, and the mapping alone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use wasmgate_tests::http::Ask;
use wasmgate_tests::official::{self, META, Official};

use super::Anyhow;
use super::process::say;

/// A registry that is away once this is dropped: its port is closed.
pub(crate) struct StandIn {
    runtime: Option<Runtime>,
    official: Official,
}

impl StandIn {
    /// A registry of these entries.
    pub(crate) async fn of(entries: Vec<Value>) -> Anyhow<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let official = runtime.spawn(official::registry(entries)).await?;
        Ok(Self { runtime: Some(runtime), official })
    }

    /// All of its servers.
    pub(crate) fn all(&self) -> String {
        self.official.url("/v0.1/servers")
    }

    /// One of its servers.
    pub(crate) fn latest(&self, name: &str) -> String {
        self.official.latest(name)
    }

    /// The paths it was asked for since this was last asked.
    pub(crate) fn asked(&self, before: usize) -> Vec<String> {
        self.official.entries.asked().split_off(before)
    }

    /// Asks for these paths one after another, as a floor under whoever does.
    pub(crate) async fn time(&self, paths: &[String]) -> Anyhow<Duration> {
        let since = Instant::now();
        for path in paths {
            let answer = Ask::new(self.official.address, "GET", path).send().await;
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.status).into());
            }
        }
        Ok(since.elapsed())
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Every version of every server as a server of its own, which makes about twice as many.
pub(crate) fn versions_apart(entries: &[Value]) -> Vec<Value> {
    let apart = |(number, entry): (usize, &Value)| {
        let mut entry = entry.clone();
        if let Some(server) = entry.get_mut("server").and_then(Value::as_object_mut) {
            let name = server.get("name").and_then(Value::as_str).unwrap_or_default();
            let name = format!("{name}-{number}");
            server.insert("name".to_owned(), json!(name));
        }
        let about = entry.get_mut("_meta").and_then(|meta| meta.get_mut(META));
        if let Some(about) = about.and_then(Value::as_object_mut) {
            about.insert("isLatest".to_owned(), json!(true));
        }
        entry
    };
    entries.iter().enumerate().map(apart).collect()
}

/// The name of the first server that runs as a package of its own, and can be imported.
pub(crate) fn a_package(entries: &[Value]) -> Anyhow<&str> {
    let settings = server_json::Settings::default();
    let fits = |entry: &&Value| {
        entry.pointer("/server/packages/0").is_some()
            && entry.get("_meta").and_then(|meta| meta.get(META)?.get("isLatest")) == Some(&json!(true))
            && server_json::import(entry, &settings).is_ok()
    };
    let found = entries.iter().find(fits).and_then(|entry| entry.pointer("/server/name")?.as_str());
    found.ok_or_else(|| "no entry of the dump can be imported".into())
}

/// The mapping from server.json to catalog entries as native code in this process, without WebAssembly.
pub(crate) fn mapping(entries: &[Value], rounds: usize) -> Anyhow<()> {
    let settings = server_json::Settings::default();
    let texts: Vec<String> = entries.iter().map(Value::to_string).collect();
    let (mut parsing, mut mapping) = (Vec::new(), Vec::new());
    let (mut imported, mut refused) = (0, 0);
    for _ in 0..rounds {
        let since = Instant::now();
        let parsed: Vec<Value> =
            texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
        parsing.push(since.elapsed());
        let since = Instant::now();
        let mapped: Vec<bool> =
            parsed.iter().map(|entry| server_json::import(entry, &settings).is_ok()).collect();
        mapping.push(since.elapsed());
        imported = mapped.iter().filter(|it| **it).count();
        refused = mapped.len() - imported;
    }
    let each = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let at = |index: usize| times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6);
        let count = entries.len() as f64;
        format!("min {:.1} us, median {:.1} us", at(0) / count, at(times.len() / 2) / count)
    };
    say(&format!(
        "\nnatively, an entry ({} of them, {imported} imported, {refused} refused, {rounds} rounds): parsed {}; mapped {}",
        entries.len(),
        each(&mut parsing),
        each(&mut mapping),
    ));
    Ok(())
}
