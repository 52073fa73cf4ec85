//! `wasmgate-bench catalogs`: what it takes to import servers, to resolve catalogs, and to start from what has to be fetched.
//!
//! The peers are real where they can be: the real entries behind a stand-in of the official registry on this machine, and
//! Debian's `docker-registry`. The network between is the loopback, so what is measured is this machine's part of it.

use serde_json::Value;
use wasmgate_tests::home::Home;
use wasmgate_tests::{official, registry};

use super::Anyhow;
use super::process::say;
use super::standin::{StandIn, a_package, mapping, versions_apart};
use super::timing::{Program, cell, head};
use super::{generated, starts};

/// How often each cell is measured.
#[derive(Clone, Copy)]
pub(crate) struct Runs {
    /// What takes long.
    pub(crate) few: usize,
    /// What is quick.
    pub(crate) many: usize,
}

/// Measures everything and prints the tables.
pub(crate) async fn measure(runs: Runs) -> Anyhow<()> {
    let (program, home) = (Program::beside()?, Home::new());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = program.run(&home, &["--version"]).await?.stdout;
    say(&format!("Linux {}; {}", kernel.trim(), version.trim()));
    let entries = official::real_entries();
    one(&program, &entries, runs).await?;
    list(&program, entries.clone(), "the real list", runs).await?;
    list(&program, versions_apart(&entries), "every version a server", runs).await?;
    mapping(&entries, runs.many)?;
    resolve(&program, runs).await?;
    starts::measure(&program, &entries, runs).await
}

/// `server import` of one server.
async fn one(program: &Program, entries: &[Value], runs: Runs) -> Anyhow<()> {
    let name = a_package(entries)?;
    let official = StandIn::of(entries.to_vec()).await?;
    let url = official.latest(name);
    let import = ["server", "import", url.as_str()];
    head(&format!("`server import` of {name}"))?;
    let home = Home::new();
    cell("`wasmgate --version`", runs.many, async || program.time(&home, &["--version"]).await).await?;
    cell("empty home", runs.few, async || program.time(&Home::new(), &import).await).await?;
    program.run(&home, &import).await?;
    let forgotten = async || {
        forget(&home)?;
        program.time(&home, &import).await
    };
    cell("compiled plugins kept, nothing else", runs.many, forgotten).await?;
    cell("again", runs.many, async || program.time(&home, &import).await).await
}

/// `catalog create` of a whole registry.
async fn list(program: &Program, entries: Vec<Value>, what: &str, runs: Runs) -> Anyhow<()> {
    let official = StandIn::of(entries).await?;
    let url = official.all();
    let create = ["catalog", "create", "all.yaml", "--from", url.as_str()];
    let home = Home::new();
    program.run(&home, &create).await?;
    let paths = official.asked(0);
    program.run(&home, &create).await?;
    let again = official.asked(paths.len());
    let shown = program.run(&home, &["catalog", "show", &url, "--json"]).await?.stdout;
    let shown: Value = serde_json::from_str(&shown)?;
    let count = |of: &str| shown.get(of).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    head(&format!(
        "`catalog create`, {what}: {} servers, {} refused, {} requests, {} when it is known",
        count("servers"),
        count("refused"),
        paths.len(),
        again.len(),
    ))?;
    cell("the answers alone", runs.many, async || official.time(&paths).await).await?;
    cell("empty home", runs.few, async || program.time(&Home::new(), &create).await).await?;
    let forgotten = async || {
        forget(&home)?;
        program.time(&home, &create).await
    };
    cell("compiled plugins kept, nothing else", runs.many, forgotten).await?;
    cell("again: what changed is asked for", runs.many, async || program.time(&home, &create).await).await
}

/// `validate` of catalogs of one and of a thousand servers.
async fn resolve(program: &Program, runs: Runs) -> Anyhow<()> {
    let home = Home::new();
    head("`validate --enable-all-servers`")?;
    for servers in [1, 1_000] {
        let catalog = generated::catalog(servers);
        for (form, text) in [("json", catalog.to_string()), ("yaml", generated::yaml(&catalog))] {
            let file = home.file(&format!("generated-{servers}.{form}"), &text);
            let validate = ["validate", "--enable-all-servers", "--catalog", &file, "--json"];
            let report: Value = serde_json::from_str(&program.run(&home, &validate).await?.stdout)?;
            let lines = report.get("servers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let good = lines.iter().filter(|line| line.get("status").is_some_and(|it| it == "ok")).count();
            if good != servers {
                return Err(format!("{good} of {servers} servers can run: {:?}", lines.first()).into());
            }
            let what = format!("servers: {servers}, {form}, {:.1} KiB", text.len() as f64 / 1024.0);
            cell(&what, runs.many, async || program.time(&home, &validate).await).await?;
        }
    }
    Ok(())
}

/// Leaves nothing but compiled plugins.
fn forget(home: &Home) -> Anyhow<()> {
    let data = home.path().join(".local");
    if data.exists() {
        std::fs::remove_dir_all(data)?;
    }
    Ok(())
}

/// Whether there is a registry of artifacts on this machine; says so when there is none.
pub(crate) fn has_registry() -> bool {
    let there = registry::there();
    if let Err(missing) = &there {
        say(&format!("\nnot measured: artifacts ({missing})"));
    }
    there.is_ok()
}
