//! Containers and networks nobody looks after: what dead gateways left, and at the very end what this one did.
//!
//! Volumes stay: they are a server's, not a gateway's, and what lies in them is wanted at the next start.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::Containers;
use super::run::remove;
use crate::launch::LaunchError;
use crate::launch::identity::{BOOT, MARK, Ownership, started};

impl Containers {
    /// Removes the containers of gateways that are certainly dead, and says how many.
    pub(in crate::launch) async fn sweep(&self) -> Result<usize, LaunchError> {
        let docker = self.engine.connect().await?;
        let mut removed = 0;
        for container in self.listed(&docker, format!("{MARK}=true")).await? {
            let labels = container.labels.unwrap_or_default();
            let running = container.state == Some(ContainerSummaryStateEnum::RUNNING);
            let orphan = self.identity.judge(&labels, running, started) == Ownership::Orphan;
            if let Some(id) = container.id.filter(|_| orphan) {
                removed += usize::from(remove(&docker, &id).await);
            }
        }
        self.networks.sweep(&docker).await;
        Ok(removed)
    }

    /// Removes every container and network of this run of the gateway, and says how many there still were.
    pub(in crate::launch) async fn remove_own(&self) -> Result<usize, LaunchError> {
        // No engine was ever needed: nothing was ever created.
        let Some(docker) = self.engine.connected() else { return Ok(0) };
        let mut removed = 0;
        for container in self.listed(&docker, format!("{BOOT}={}", self.identity.boot())).await? {
            if let Some(id) = container.id {
                removed += usize::from(remove(&docker, &id).await);
            }
        }
        self.networks.remove_own(&docker).await;
        Ok(removed)
    }

    async fn listed(&self, docker: &Docker, label: String) -> Result<Vec<ContainerSummary>, LaunchError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = docker.list_containers(Some(options)).await;
        listed.map_err(|error| self.engine.failed("list its containers", error))
    }
}
