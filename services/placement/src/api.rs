//! What placement answers.

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::host::VmState;
use contracts::placement::{
    Claim, HostClaims, PlaceRequest, PlaceResponse, Placement, RateRequest, RateResponse, Rating,
    ReleaseRequest, Requirements,
};
use contracts::{Code, Status, names};
use kit::records::{Decision, Stored};
use tokio::sync::Mutex;

use crate::Config;
use crate::core::claims::{self, Owner};
use crate::core::{rate, requirements, summary};
use crate::store::{Capacity, Gathered};

/// How often a placement is decided again because another claim came first. Only other instances compete, one each.
const CONFLICTS_MAX: u32 = 64;

pub(crate) struct Api {
    capacity: Capacity,
    config: Config,
    /// Placements of one instance take turns: all want the same best host, and would only undo each other's decisions.
    turn: Mutex<()>,
}

/// What an attempt to claim came to.
enum Claimed {
    Yes,
    /// The host's claims changed since it was chosen.
    Outdated,
}

impl Api {
    pub(crate) fn new(capacity: Capacity, config: Config) -> Self {
        Self {
            capacity,
            config,
            turn: Mutex::new(()),
        }
    }

    async fn gather(&self, request: &RateRequest, vm_id: &str) -> Result<Gathered, Status> {
        if !request.group_id.is_empty() {
            names::check_id("group_id", &request.group_id)?;
        }
        if !request.host_id.is_empty() {
            names::check_id("host_id", &request.host_id)?;
        }
        self.capacity
            .gather(request, vm_id, self.config.reserves())
            .await
    }

    fn rate_all(&self, gathered: &Gathered, needs: &Requirements) -> Vec<Rating> {
        rate::rate_all(
            &gathered.candidates,
            needs,
            self.config.expected_cpu_percent,
        )
    }

    /// Where the machine was placed by the same job already.
    fn placed(&self, owner: Owner<'_>) -> Result<Option<String>, Status> {
        if let Some(host_id) = self.claimed(owner)? {
            return Ok(Some(host_id));
        }
        // Its claim may have been confirmed and swept out.
        let vm = self.capacity.vms.get(owner.vm_id)?.map(|vm| vm.value);
        let is_ours = |vm: &contracts::inventory::Vm| {
            vm.job_id == owner.job_id && vm.state() == VmState::Creating && !vm.host_id.is_empty()
        };
        Ok(vm.filter(is_ours).map(|vm| vm.host_id))
    }

    /// The host that has the machine's open claim.
    fn claimed(&self, owner: Owner<'_>) -> Result<Option<String>, Status> {
        let mut records = self.capacity.claims.list()?.into_iter();
        let has = |record: &Stored<HostClaims>| {
            let mut claims = record.value.claims.iter();
            claims.any(|c| owner.has(c) && self.capacity.is_open(c))
        };
        Ok(records.find(has).map(|record| record.id))
    }

    async fn claim(
        &self,
        context: &Context,
        host_id: &str,
        revision: u64,
        owner: Owner<'_>,
        needs: &Requirements,
    ) -> Result<Claimed, Status> {
        let expires_ms = self.capacity.claim_end_ms();
        let (vms, vm_revision) = self.capacity.vms_on(host_id)?;
        let decide = |current: Option<&Stored<HostClaims>>| {
            if current.map_or(0, |c| c.revision) != revision {
                return Ok(Decision::Keep(Claimed::Outdated));
            }
            let claim = claims::new(owner, needs, expires_ms);
            let current = current.map(|c| &c.value);
            let is_open = |c: &Claim| self.capacity.is_open(c);
            let record = claims::with(current, claim, &vms, vm_revision, is_open);
            Ok(Decision::Put(record, Claimed::Yes))
        };
        self.capacity.claims.update(context, host_id, decide).await
    }

    /// Chooses and claims, once. `None`: another claim came first.
    async fn try_place(
        &self,
        context: &Context,
        owner: Owner<'_>,
        request: &RateRequest,
        needs: &Requirements,
    ) -> Result<Option<PlaceResponse>, Status> {
        self.capacity.catch_up().await?;
        let gathered = self.gather(request, owner.vm_id).await?;
        let ratings = self.rate_all(&gathered, needs);
        if let Some(host_id) = self.placed(owner)? {
            return Ok(Some(PlaceResponse { host_id, ratings }));
        }
        let Some(best) = rate::best(&ratings) else {
            return Err(summary::nowhere(&ratings));
        };
        let host_id = best.host_id.clone();
        let revision = gathered.claims_revision(&host_id);
        let claimed = self
            .claim(context, &host_id, revision, owner, needs)
            .await?;
        Ok(match claimed {
            Claimed::Yes => Some(PlaceResponse { host_id, ratings }),
            Claimed::Outdated => None,
        })
    }

    async fn give_back(
        &self,
        context: &Context,
        host_id: &str,
        owner: Owner<'_>,
    ) -> Result<(), Status> {
        let (vms, vm_revision) = self.capacity.vms_on(host_id)?;
        let decide = |current: Option<&Stored<HostClaims>>| {
            let Some(current) = current else {
                return Ok(Decision::Keep(()));
            };
            let unwanted = |c: &Claim| owner.has(c) || !self.capacity.is_open(c);
            let record = claims::without(Some(&current.value), &vms, vm_revision, unwanted);
            Ok(if record == current.value {
                Decision::Keep(())
            } else {
                Decision::Put(record, ())
            })
        };
        self.capacity.claims.update(context, host_id, decide).await
    }
}

#[async_trait]
impl Placement for Api {
    async fn rate(&self, _context: &Context, request: RateRequest) -> Result<RateResponse, Status> {
        let needs = requirements::check(request.requirements.as_ref())?;
        let gathered = self.gather(&request, "").await?;
        Ok(RateResponse {
            ratings: self.rate_all(&gathered, needs),
        })
    }

    async fn place(
        &self,
        context: &Context,
        request: PlaceRequest,
    ) -> Result<PlaceResponse, Status> {
        let owner = owner(&request.vm_id, &request.job_id)?;
        let scope = request.rate.clone().unwrap_or_default();
        let needs = requirements::check(scope.requirements.as_ref())?;
        let _turn = self.turn.lock().await;
        for _ in 0..CONFLICTS_MAX {
            if let Some(answer) = self.try_place(context, owner, &scope, needs).await? {
                return Ok(answer);
            }
        }
        Err(
            Status::new(Code::Aborted, "Too many machines are being placed at once.")
                .action("Try again."),
        )
    }

    async fn release(&self, context: &Context, request: ReleaseRequest) -> Result<Empty, Status> {
        let owner = owner(&request.vm_id, &request.job_id)?;
        self.capacity.catch_up().await?;
        for record in self.capacity.claims.list()? {
            if record.value.claims.iter().any(|claim| owner.has(claim)) {
                self.give_back(context, &record.id, owner).await?;
            }
        }
        Ok(Empty {})
    }
}

fn owner<'a>(vm_id: &'a str, job_id: &'a str) -> Result<Owner<'a>, Status> {
    names::check_id("vm_id", vm_id)?;
    names::check_id("job_id", job_id)?;
    Ok(Owner { vm_id, job_id })
}
