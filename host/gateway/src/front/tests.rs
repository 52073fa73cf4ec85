//! A gateway without servers, for tests of what stands in front of it.

use std::sync::Arc;

use tokio::sync::watch;
use wasmgate_core::index::Naming;
use wasmgate_core::pipeline::Pipeline;

use super::Slot;
use crate::egress::Egress;
use crate::gateway::{Gateway, Generation};
use crate::launch::{LaunchSettings, Launcher};
use crate::shutdown::Tasks;
use crate::upstream::{Identity, Pool};

/// A gateway that has nothing to offer.
pub(super) fn gateway(tasks: &Tasks) -> Arc<Gateway> {
    gateway_with(Pipeline::default(), tasks)
}

/// The same with interceptors.
pub(super) fn gateway_with(pipeline: Pipeline, tasks: &Tasks) -> Arc<Gateway> {
    let launcher = Launcher::new(LaunchSettings::default(), tasks.clone());
    let identity = Identity { name: "wasmgate".into(), version: "0".into() };
    let pool = Pool::new(launcher, Egress::new(), tasks.clone(), identity.into());
    let generation = Generation {
        servers: Vec::new(),
        unavailable: Vec::new(),
        naming: Naming::default(),
        page: 100,
        pipeline,
    };
    Gateway::start(generation, pool, wasmgate_core::seal::Sealer::new([7; 32]), tasks)
}

/// A slot that is filled already.
pub(super) fn slot(tasks: &Tasks) -> Slot {
    watch::channel(Some(gateway(tasks))).1
}
