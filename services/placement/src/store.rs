//! What placement knows: its claims, and the fleet as inventory has it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::inventory::{Host, HostGroup, Vm};
use contracts::placement::{Claim, HostClaims, RateRequest};
use contracts::records::{Record, indexes};
use contracts::{Status, subjects};
use kit::bus::Bus;
use kit::records::{Mirror, Records, Stored};
use kit::rpc::Gate;
use kit::service::Parts;
use kit::world::World;
use tokio::time::Instant;

use crate::Config;
use crate::core::load::Candidate;
use crate::core::reserves::{self, Groups, Reserved};
use crate::core::{claims, scope};

/// How long a view may take to reach what the log has. A view that is later is the operator's business.
const VIEW_PATIENCE: Duration = Duration::from_secs(8);

#[derive(Clone)]
pub(crate) struct Capacity {
    groups: Mirror<HostGroup>,
    hosts: Mirror<Host>,
    pub(crate) vms: Mirror<Vm>,
    pub(crate) claims: Records<HostClaims>,
    world: World,
    bus: Arc<dyn Bus>,
    claim_lifetime: Duration,
    ages: Arc<Ages>,
}

/// Since when this instance knows of each claim, by machine and job, in the time that passes here. The wall clock says
/// nothing of a claim's age: another machine's may be an hour off, and each may jump.
#[derive(Default)]
struct Ages(Mutex<HashMap<(String, String), Instant>>);

/// The hosts in scope, and the revisions of the claims that they were seen with.
pub(crate) struct Gathered {
    pub(crate) candidates: Vec<Candidate>,
    claims: BTreeMap<String, u64>,
}

impl Gathered {
    /// Revision of a host's claims; 0 when it has none.
    pub(crate) fn claims_revision(&self, host_id: &str) -> u64 {
        self.claims.get(host_id).copied().unwrap_or(0)
    }
}

impl Ages {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capacity {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Self, Arc<dyn Gate>)> {
        let store = parts.open_store()?;
        let capacity = Self {
            claims: store.own().await?,
            groups: store.mirror().await?,
            hosts: store.mirror().await?,
            vms: store.mirror().await?,
            world: parts.world.clone(),
            bus: Arc::clone(&parts.bus),
            claim_lifetime: Duration::from_secs(parts.config.claim_lifetime_secs),
            ages: Arc::default(),
        };
        Ok((capacity, store))
    }

    /// Whether a claim still counts.
    pub(crate) fn is_open(&self, claim: &Claim) -> bool {
        let key = (claim.vm_id.clone(), claim.job_id.clone());
        let since = *self.ages.lock().entry(key).or_insert_with(Instant::now);
        since.elapsed() < self.claim_lifetime
    }

    /// Forgets the ages of claims that are gone.
    pub(crate) fn forget_all_but(&self, records: &[Stored<HostClaims>]) {
        let there: HashSet<(&str, &str)> = records
            .iter()
            .flat_map(|record| &record.value.claims)
            .map(|c| (c.vm_id.as_str(), c.job_id.as_str()))
            .collect();
        let is_there =
            |(vm_id, job_id): &(String, String)| there.contains(&(vm_id.as_str(), job_id.as_str()));
        self.ages.lock().retain(|key, _| is_there(key));
    }

    /// When a claim that is made now ends by the wall clock, for people who look at it.
    pub(crate) fn claim_end_ms(&self) -> i64 {
        let lifetime_ms = i64::try_from(self.claim_lifetime.as_millis()).unwrap_or(i64::MAX);
        self.world.now_ms().saturating_add(lifetime_ms)
    }

    /// Waits until the view has every claim that the log had at the call.
    pub(crate) async fn catch_up(&self) -> Result<(), Status> {
        let bucket = HostClaims::BUCKET;
        let (log, filter) = (
            subjects::bucket_stream(bucket),
            subjects::all_records(bucket),
        );
        let newest = self.bus.last(&log, &filter).await.map_err(|error| {
            Status::unavailable(format!("The log of claims could not be read: {error}."))
                .action("Check that nats-server runs and can be reached, then try again.")
        })?;
        let revision = newest.map_or(0, |entry| entry.sequence);
        if self.claims.wait_for(revision, VIEW_PATIENCE).await {
            return Ok(());
        }
        Err(behind("claims"))
    }

    /// The hosts in scope with what they carry, as seen for placing one machine (empty: none in particular).
    pub(crate) async fn gather(
        &self,
        request: &RateRequest,
        vm_id: &str,
        defaults: Reserved,
    ) -> Result<Gathered, Status> {
        let groups: Groups = self
            .groups
            .list()?
            .into_iter()
            .map(|g| (g.id, g.value))
            .collect();
        let hosts: Vec<Host> = self.hosts.list()?.into_iter().map(|h| h.value).collect();
        scope::check(request, &groups, &hosts)?;
        let claims = self.claims.list()?;
        // A claim that was taken out because its machine was seen: see that machine too.
        let least = claims
            .iter()
            .map(|c| c.value.vm_revision)
            .max()
            .unwrap_or(0);
        if !self.vms.wait_for(least, VIEW_PATIENCE).await {
            return Err(behind("machines"));
        }
        let mut vms = self.vms_by_host(request)?;
        let mut by_host: BTreeMap<String, (u64, HostClaims)> = claims
            .into_iter()
            .map(|c| (c.id, (c.revision, c.value)))
            .collect();
        let mut gathered = Gathered {
            candidates: Vec::new(),
            claims: BTreeMap::new(),
        };
        for host in hosts
            .into_iter()
            .filter(|host| scope::holds(request, &groups, host))
        {
            let mut vms = vms.remove(&host.id).unwrap_or_default();
            let (revision, record) = by_host.remove(&host.id).unwrap_or_default();
            let mut open = record.claims;
            open.retain(|c| self.is_open(c) && !claims::is_confirmed(c, &vms) && c.vm_id != vm_id);
            vms.retain(|vm| vm.id != vm_id);
            gathered.claims.insert(host.id.clone(), revision);
            gathered.candidates.push(Candidate {
                reserved: reserves::of(&host, &groups, defaults),
                host,
                vms,
                claims: open,
            });
        }
        Ok(gathered)
    }

    fn vms_by_host(&self, request: &RateRequest) -> Result<BTreeMap<String, Vec<Vm>>, Status> {
        let vms = if request.host_id.is_empty() {
            self.vms.list()?
        } else {
            self.vms.find(indexes::HOST, &request.host_id)?
        };
        let mut by_host: BTreeMap<String, Vec<Vm>> = BTreeMap::new();
        for vm in vms {
            by_host
                .entry(vm.value.host_id.clone())
                .or_default()
                .push(vm.value);
        }
        Ok(by_host)
    }

    /// Machines on a host, and a revision of their bucket that has them.
    pub(crate) fn vms_on(&self, host_id: &str) -> Result<(Vec<Vm>, u64), Status> {
        let vms = self.vms.find(indexes::HOST, host_id)?;
        // After the reading, so that it is not older than what was read.
        let revision = self.vms.revision();
        Ok((vms.into_iter().map(|vm| vm.value).collect(), revision))
    }

    pub(crate) fn knows_host(&self, host_id: &str) -> Result<bool, Status> {
        Ok(self.hosts.get(host_id)?.is_some())
    }
}

fn behind(what: &str) -> Status {
    Status::unavailable(format!("This instance's view of {what} is behind the log."))
        .action("Try again; if it stays so, look into the service's log.")
}
