//! What a component may import and what it finds there: one linker, made once an engine.
//!
//! An import is served, or the component is refused by the name of the import. Unknown imports are never stubbed: a stub
//! for one version of an interface would hide the compatible one that is served.

use wasmtime::component::types::ComponentExtern;
use wasmtime::component::{Component, HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiView as _, p2};

use crate::bindings::{self, types};
use crate::engine::Engine;
use crate::error::LoadError;
use crate::guest::Guest;
use crate::hooks::Role;

/// A component whose imports are resolved and whose exports are known.
pub(crate) struct Linked {
    pub(crate) pre: wasmtime::component::InstancePre<Guest>,
    pub(crate) describes: bindings::describes::DescribesIndices,
    pub(crate) validates: Option<bindings::validates::ValidatesIndices>,
    pub(crate) mutates: Option<bindings::mutates::MutatesIndices>,
    pub(crate) filters: Option<bindings::filters::FiltersIndices>,
    pub(crate) sources: Option<bindings::sources::SourcesIndices>,
}

impl Linked {
    /// Whether it exports what a role calls.
    pub(crate) fn has(&self, role: Role) -> bool {
        match role {
            Role::Validate => self.validates.is_some(),
            Role::Mutate => self.mutates.is_some(),
            Role::Filter => self.filters.is_some(),
        }
    }
}

/// Package prefixes of WASI 0.2 that are served: what the runtimes of ordinary languages import. Filesystem calls find no
/// directory. Sockets are here because Python components import them whether they use them or not; none can be made.
/// `wasi:http` is not: requests go through our own `http`, whole and checked.
const WASI: [&str; 6] =
    ["wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/", "wasi:filesystem/", "wasi:sockets/"];

/// Our own interfaces.
const OWN: [&str; 11] = [
    "wasmgate:plugin/types",
    "wasmgate:plugin/clock",
    "wasmgate:plugin/config",
    "wasmgate:plugin/edits",
    "wasmgate:plugin/http",
    "wasmgate:plugin/kv",
    "wasmgate:plugin/labels",
    "wasmgate:plugin/log",
    "wasmgate:plugin/messages",
    "wasmgate:plugin/random",
    "wasmgate:plugin/secrets",
];

/// What a component must export: the first always, and at least one of the others.
const PLUGIN: &str = "wasmgate:plugin/plugin";
const VALIDATOR: &str = "wasmgate:plugin/validator";
const MUTATOR: &str = "wasmgate:plugin/mutator";
const LIST_FILTER: &str = "wasmgate:plugin/list-filter";
const SOURCE: &str = "wasmgate:plugin/source";
const OWN_VERSION: &str = "0.1.";
const WASI_VERSION: &str = "0.2.";

/// Finds out what a component exports and resolves its imports.
pub(crate) fn link(engine: &Engine, component: &Component) -> Result<Linked, LoadError> {
    let ty = component.component_type();
    let exports: Vec<_> = ty.exports(&engine.inner.wasmtime).map(|(name, _)| name.to_owned()).collect();
    let [plugin, validator, mutator, filter, source] =
        [PLUGIN, VALIDATOR, MUTATOR, LIST_FILTER, SOURCE].map(|interface| exports_own(&exports, interface));
    if !plugin || !(validator || mutator || filter || source) {
        return Err(wrong_world(plugin, &exports));
    }
    let imports = ty.imports(&engine.inner.wasmtime);
    let forbidden: Vec<_> =
        imports.filter(|(name, what)| !may_import(name, what)).map(|(name, _)| name.to_owned()).collect();
    if !forbidden.is_empty() {
        return Err(LoadError::ForbiddenImport(forbidden));
    }
    let misfit = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
    let pre = engine.inner.linker.instantiate_pre(component).map_err(misfit)?;
    let describes = bindings::describes::DescribesIndices::new(&pre).map_err(misfit)?;
    let validates = validator.then(|| bindings::validates::ValidatesIndices::new(&pre)).transpose();
    let mutates = mutator.then(|| bindings::mutates::MutatesIndices::new(&pre)).transpose();
    let filters = filter.then(|| bindings::filters::FiltersIndices::new(&pre)).transpose();
    let sources = source.then(|| bindings::sources::SourcesIndices::new(&pre)).transpose();
    Ok(Linked {
        describes,
        validates: validates.map_err(misfit)?,
        mutates: mutates.map_err(misfit)?,
        filters: filters.map_err(misfit)?,
        sources: sources.map_err(misfit)?,
        pre,
    })
}

/// What every plugin finds.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    add_own(&mut linker)?;
    add_wasi(&mut linker)?;
    Ok(linker)
}

/// Whoever serves what may differ from one instance to another says so to the guest: see [`crate::preset`].
fn add_own(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::clock::add_to_linker::<_, HasSelf<Guest>>(linker, Guest::beyond_clock)?;
    bindings::config::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::edits::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::http::add_to_linker::<_, HasSelf<Guest>>(linker, Guest::beyond)?;
    bindings::kv::add_to_linker::<_, HasSelf<Guest>>(linker, Guest::beyond)?;
    bindings::labels::add_to_linker::<_, HasSelf<Guest>>(linker, Guest::beyond)?;
    bindings::log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::messages::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::random::add_to_linker::<_, HasSelf<Guest>>(linker, Guest::beyond_random)?;
    bindings::secrets::add_to_linker::<_, HasSelf<Guest>>(linker, Guest::beyond)
}

impl types::Host for Guest {}

/// The asynchronous variants: the synchronous ones block the worker thread and panic inside the runtime.
fn add_wasi(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    p2::bindings::io::error::add_to_linker::<_, HasTable>(linker, |guest| guest.beyond().ctx().table)?;
    p2::bindings::io::poll::add_to_linker::<_, HasTable>(linker, |guest| guest.beyond().ctx().table)?;
    p2::bindings::io::streams::add_to_linker::<_, HasTable>(linker, |guest| guest.beyond().ctx().table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, |guest| guest.beyond_clock().clocks())?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, |guest| guest.beyond_clock().clocks())?;
    random::random::add_to_linker::<_, WasiRandom>(linker, |guest| guest.beyond_random().ctx().ctx.random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, |guest| {
        guest.beyond_random().ctx().ctx.random()
    })?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |guest| {
        guest.beyond_random().ctx().ctx.random()
    })?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, |guest| guest.beyond().filesystem())?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, |guest| guest.beyond().filesystem())?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, |guest| guest.beyond().cli())?;
    add_sockets(linker)
}

/// Sockets that cannot be made: see [`crate::imports::wasi`].
fn add_sockets(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let network = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<_, WasiSockets>(linker, &network, |guest| guest.beyond().sockets())?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, |guest| guest.beyond().sockets())?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, |guest| guest.beyond().sockets())?;
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, |guest| guest.beyond().sockets())?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(linker, |guest| guest.beyond().sockets())?;
    sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, |guest| guest.beyond().sockets())?;
    sockets::udp::add_to_linker::<_, WasiSockets>(linker, |guest| guest.beyond().sockets())
}

/// Access to the table of streams and pollables alone.
struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// What a component imports or exports, by name.
pub(crate) struct Surface {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// The names of a component's imports and exports.
pub(crate) fn surface(engine: &Engine, component: &Component) -> Surface {
    let (ty, engine) = (component.component_type(), &engine.inner.wasmtime);
    let name = |(name, _): (&str, ComponentExtern<'_>)| name.to_owned();
    Surface {
        imports: ty.imports(engine).map(name).collect(),
        exports: ty.exports(engine).map(name).collect(),
    }
}

fn may_import(name: &str, what: &ComponentExtern<'_>) -> bool {
    let Some((interface, version)) = name.split_once('@') else {
        // A bare type of the world itself is no capability.
        return matches!(what.ty, wasmtime::component::types::ComponentItem::Type(_));
    };
    if WASI.iter().any(|package| interface.starts_with(package)) {
        return version.starts_with(WASI_VERSION);
    }
    OWN.contains(&interface) && version.starts_with(OWN_VERSION)
}

fn exports_own(exports: &[String], interface: &str) -> bool {
    exports.iter().any(|export| {
        export
            .split_once('@')
            .is_some_and(|(name, version)| name == interface && version.starts_with(OWN_VERSION))
    })
}

fn wrong_world(has_plugin: bool, exports: &[String]) -> LoadError {
    let missing = match has_plugin {
        true => format!("none of `{VALIDATOR}`, `{MUTATOR}`, `{LIST_FILTER}` and `{SOURCE}`"),
        false => format!("no `{PLUGIN}`"),
    };
    LoadError::WrongWorld(format!(
        "{missing} in version {OWN_VERSION}x, it exports {}; the worlds are `validating-interceptor`, \
         `mutating-interceptor`, `list-filtering-interceptor`, `interceptor` and `catalog-source`",
        shown(exports)
    ))
}

/// What is said of a component that is to be a catalog source and is none.
pub(crate) fn no_source(engine: &Engine, component: &Component) -> LoadError {
    LoadError::WrongWorld(format!(
        "no `{SOURCE}` in version {OWN_VERSION}x, it exports {}; the world of catalog sources is `catalog-source`",
        shown(&surface(engine, component).exports)
    ))
}

fn shown(exports: &[String]) -> String {
    match exports {
        [] => "nothing".to_owned(),
        some => crate::text::printable(&some.join(", "), 300),
    }
}
