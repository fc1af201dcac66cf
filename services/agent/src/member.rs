//! One host in the fleet: served, registered, reported, measured. The agent is the member of the host it runs on; a program that
//! stands for many hosts has one for each.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Call, Revisions};
use contracts::host::{HOST, HostServer};
use kit::bus::{Bus, BusError};
use tokio_util::sync::CancellationToken;

use crate::hypervisor::Hypervisor;
use crate::operations::Operations;
use crate::reporter::Reporter;
use crate::samples::Sampler;
use crate::store::Identity;
use crate::{api, heartbeat};

/// What a host needs to take part.
pub struct Member {
    pub bus: Arc<dyn Bus>,
    pub caller: Arc<dyn Call>,
    pub identity: Identity,
    /// Name of the host in the fleet.
    pub name: String,
    /// Lets the host join without a person's approval.
    pub join_token: String,
    pub operations: Arc<Operations>,
    /// How often it says what it and its machines use.
    pub samples_interval: Duration,
}

impl Member {
    /// Says that the host is alive, until it is dropped. It begins before anything else does: a host that takes long to
    /// look at its machines is not dead.
    pub fn beat(&self, every: Duration) -> Beating {
        let beating = heartbeat::run(Arc::clone(&self.bus), self.identity.clone(), every);
        Beating(tokio::spawn(beating))
    }

    /// Serves the host contract, reports and says what is used, until it is told to stop and every request that was taken
    /// is answered. Machines run on.
    pub async fn run(
        self,
        hypervisor: Arc<dyn Hypervisor>,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let untold = Arc::new(AtomicUsize::new(0));
        let sampler = Sampler::new(
            Arc::clone(&self.bus),
            self.identity.clone(),
            Arc::clone(&hypervisor),
            self.samples_interval,
        );
        let sampler = Arc::new(sampler);
        let api = api::Api::new(
            Arc::clone(&hypervisor),
            self.operations,
            Arc::clone(&sampler),
            self.identity.generation,
            Arc::clone(&untold),
        );
        let subject = HOST.subject_of_host(&self.identity.host_id);
        let server = Arc::new(HostServer(Arc::new(api)));
        let serving = kit::rpc::serve(&self.bus, Arc::new(NoRecords), &subject, server).await?;
        tracing::info!(
            id = self.identity.host_id,
            generation = self.identity.generation,
            "the agent is ready"
        );
        let sampling = tokio::spawn(async move { sampler.run().await });
        let reporter = Reporter::new(
            self.caller,
            hypervisor,
            self.identity,
            self.name,
            self.join_token,
            untold,
        );
        stop.run_until_cancelled(reporter.run()).await;
        serving.stop().await;
        sampling.abort();
        Ok(())
    }
}

/// Heartbeats that go on until this is dropped.
pub struct Beating(tokio::task::JoinHandle<()>);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The agent keeps no records that a caller could have seen newer.
pub(crate) struct NoRecords;

#[async_trait]
impl kit::rpc::Gate for NoRecords {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}
