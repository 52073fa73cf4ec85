//! Interceptors that are no component of ours: what Docker's command line names, remote interceptor servers (SEP-2624),
//! and the door through which others run ours. And the guard around every stage, whatever it is made of.
//!
//! Each is a [`Stage`]; the composition root puts them among the others. Nothing here loads WebAssembly or reads
//! configuration.

mod circuit; // when a failing stage is left alone
mod door; // `interceptors/list` and `interceptor/invoke`
mod guarded; // the guard around every stage
mod outside; // what all types of the command line have in common
mod path; // places in payloads
mod post; // type `http`
mod program; // types `exec` and `docker`
mod remote; // interceptor servers of others
#[cfg(test)]
mod samples;
mod spec; // `--interceptor when:type:argument`

use std::sync::Arc;

use wasmgate_core::pipeline::Stage;

pub use door::{Visit, answer};
pub use guarded::{Figures, Guarded};
pub use remote::{Remote, RemoteError, connect};
pub use spec::{Foreign, SpecError, What, When, parse};

use crate::egress::Egress;
use crate::launch::Launcher;
use crate::shutdown::Tasks;
use outside::{Outside, Way};
use post::Post;
use program::Program;

/// What interceptors need of the world.
#[derive(Clone)]
pub struct World {
    /// Starts processes and containers.
    pub launcher: Launcher,
    /// The way out.
    pub egress: Egress,
    /// Where what outlives a call runs.
    pub tasks: Tasks,
}

/// The interceptor `foreign`, the `number`th of the command line (counted from 1), as a stage. None for a component:
/// that is a plugin like any other.
///
/// # Errors
/// [`SpecError`] when its address cannot be sent to.
pub fn stage(foreign: &Foreign, number: usize, world: &World) -> Result<Option<Arc<dyn Stage>>, SpecError> {
    let name = foreign.name(number);
    let World { launcher, egress, tasks } = world;
    let way = match &foreign.what {
        What::Exec(line) => Way::Program(Box::new(Program::shell(&name, line, launcher, tasks)?)),
        What::Docker { image, args } => {
            Way::Program(Box::new(Program::container(&name, (image, args), launcher, tasks)?))
        }
        What::Http(url) => Way::Post(Post::new(url, egress).ok_or(SpecError::Address)?),
        What::Wasm(_) => return Ok(None),
    };
    Ok(Some(Arc::new(Outside::new(foreign, number, way))))
}
