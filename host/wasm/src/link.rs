//! What a component may import and what it finds there: one linker a world, made once an engine.
//!
//! An import is served, or the component is refused by the name of the import. Unknown imports are never stubbed: a stub
//! for one version of an interface would hide the compatible one that is served.

use wasmtime::component::types::ComponentExtern;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiView as _, p2};

use crate::bindings::{self, types};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::guest::Guest;

/// A component whose imports are resolved and whose exports are known.
pub(crate) struct Linked {
    pub(crate) pre: wasmtime::component::InstancePre<Guest>,
    pub(crate) describes: bindings::describes::DescribesIndices,
    pub(crate) role: Role,
}

/// Which world the component implements.
pub(crate) enum Role {
    Validator(bindings::validates::ValidatesIndices),
    Mutator(bindings::mutates::MutatesIndices),
}

/// Package prefixes of WASI 0.2 that are served: what the runtimes of ordinary languages import. Filesystem calls find no
/// directory. Sockets are not served.
const WASI: [&str; 5] = ["wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/", "wasi:filesystem/"];

/// Our own interfaces that every plugin may import, and the ones that only mutators may.
const FOR_ALL: [&str; 4] =
    ["wasmgate:plugin/types", "wasmgate:plugin/clock", "wasmgate:plugin/log", "wasmgate:plugin/messages"];
const FOR_MUTATORS: [&str; 1] = ["wasmgate:plugin/edits"];

/// What a component must export: the first always, and one of the others.
const PLUGIN: &str = "wasmgate:plugin/plugin";
const VALIDATOR: &str = "wasmgate:plugin/validator";
const MUTATOR: &str = "wasmgate:plugin/mutator";
const OWN_VERSION: &str = "0.1.";
const WASI_VERSION: &str = "0.2.";

/// Finds out which world a component implements and resolves its imports.
pub(crate) fn link(engine: &Engine, component: &Component) -> Result<Linked, LoadError> {
    let ty = component.component_type();
    let exports: Vec<_> = ty.exports(&engine.inner.wasmtime).map(|(name, _)| name.to_owned()).collect();
    let is_mutator = match (exports_own(&exports, VALIDATOR), exports_own(&exports, MUTATOR)) {
        _ if !exports_own(&exports, PLUGIN) => return Err(wrong_world(&exports)),
        (true, false) => false,
        (false, true) => true,
        _ => return Err(wrong_world(&exports)),
    };
    let imports = ty.imports(&engine.inner.wasmtime);
    let forbidden: Vec<_> = imports
        .filter(|(name, what)| !may_import(name, what, is_mutator))
        .map(|(name, _)| name.to_owned())
        .collect();
    if !forbidden.is_empty() {
        return Err(LoadError::ForbiddenImport(forbidden));
    }
    let misfit = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
    let linker = if is_mutator { &engine.inner.mutators } else { &engine.inner.validators };
    let pre = linker.instantiate_pre(component).map_err(misfit)?;
    let describes = bindings::describes::DescribesIndices::new(&pre).map_err(misfit)?;
    let role = if is_mutator {
        Role::Mutator(bindings::mutates::MutatesIndices::new(&pre).map_err(misfit)?)
    } else {
        Role::Validator(bindings::validates::ValidatesIndices::new(&pre).map_err(misfit)?)
    };
    Ok(Linked { pre, describes, role })
}

/// What validators find.
pub(crate) fn validators(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    add_own(&mut linker)?;
    add_wasi(&mut linker)?;
    Ok(linker)
}

/// What mutators find.
pub(crate) fn mutators(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = validators(engine)?;
    bindings::edits::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

fn add_own(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::clock::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::messages::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl types::Host for Guest {}

/// The asynchronous variants: the synchronous ones block the worker thread and panic inside the runtime.
fn add_wasi(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    p2::bindings::io::error::add_to_linker::<_, HasTable>(linker, |guest| guest.ctx().table)?;
    p2::bindings::io::poll::add_to_linker::<_, HasTable>(linker, |guest| guest.ctx().table)?;
    p2::bindings::io::streams::add_to_linker::<_, HasTable>(linker, |guest| guest.ctx().table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Guest::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, Guest::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, |guest| guest.ctx().ctx.random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, |guest| guest.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |guest| guest.ctx().ctx.random())?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)
}

/// Access to the table of streams and pollables alone.
struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

fn may_import(name: &str, what: &ComponentExtern<'_>, is_mutator: bool) -> bool {
    let Some((interface, version)) = name.split_once('@') else {
        // A bare type of the world itself is no capability.
        return matches!(what.ty, wasmtime::component::types::ComponentItem::Type(_));
    };
    if WASI.iter().any(|package| interface.starts_with(package)) {
        return version.starts_with(WASI_VERSION);
    }
    let ours = FOR_ALL.contains(&interface) || (is_mutator && FOR_MUTATORS.contains(&interface));
    ours && version.starts_with(OWN_VERSION)
}

fn exports_own(exports: &[String], interface: &str) -> bool {
    exports.iter().any(|export| {
        export
            .split_once('@')
            .is_some_and(|(name, version)| name == interface && version.starts_with(OWN_VERSION))
    })
}

fn wrong_world(exports: &[String]) -> LoadError {
    let missing = match (
        exports_own(exports, PLUGIN),
        exports_own(exports, VALIDATOR),
        exports_own(exports, MUTATOR),
    ) {
        (_, true, true) => format!("both `{VALIDATOR}` and `{MUTATOR}`, where one is allowed"),
        (false, false, false) => format!("no `{PLUGIN}`, and neither `{VALIDATOR}` nor `{MUTATOR}`"),
        (true, ..) => format!("neither `{VALIDATOR}` nor `{MUTATOR}`"),
        (false, ..) => format!("no `{PLUGIN}`"),
    };
    let found = match exports {
        [] => "nothing".to_owned(),
        some => crate::text::printable(&some.join(", "), 300),
    };
    LoadError::WrongWorld(format!(
        "{missing} in version {OWN_VERSION}x, it exports {found}; the worlds are `validating-interceptor` and `mutating-interceptor`"
    ))
}
