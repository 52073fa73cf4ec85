//! A gateway without servers, for tests of what stands in front of it.

use std::sync::Arc;

use tokio::sync::watch;
use wasmgate_core::index::Naming;
use wasmgate_core::json::Json;
use wasmgate_core::pipeline::{
    About, Compat, Exchange, Hook, Kind, Mode, Pattern, Phase, Pipeline, Stage, StageAnswer, StageFuture,
    StageInfo,
};

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

/// The same with an interceptor that takes its time over `initialize`.
pub(super) fn slow_slot(tasks: &Tasks) -> Slot {
    let info = StageInfo {
        name: "slow".into(),
        kind: Kind::Mutator,
        about: About::default(),
        compat: Compat::default(),
        hooks: vec![Hook {
            events: vec![Pattern::new("initialize")],
            request: true,
            response: true,
            servers: Vec::new(),
            subjects: Vec::new(),
        }],
        priority_request: 0,
        priority_response: 0,
        mode: Mode::Enforce,
        fail_open: false,
    };
    let gateway = gateway_with(Pipeline::new(vec![Arc::new(Slow(info))], |_, _| ()), tasks);
    watch::channel(Some(gateway)).1
}

struct Slow(StageInfo);

impl Stage for Slow {
    fn info(&self) -> &StageInfo {
        &self.0
    }

    fn run<'a>(&'a self, _: &'a Exchange, _: Phase, _: &'a Json) -> StageFuture<'a> {
        Box::pin(async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            Ok(StageAnswer::Unchanged)
        })
    }
}
