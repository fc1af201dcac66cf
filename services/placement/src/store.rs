//! What placement owns and mirrors.

use std::sync::Arc;
use std::time::Duration;

use contracts::inventory::Vm;
use contracts::placement::{HostClaims, Rule};
use contracts::records::Record;
use contracts::{Status, subjects};
use kit::bus::Bus;
use kit::records::{Mirror, Records};
use kit::rpc::Gate;
use kit::service::Parts;
use kit::world::World;

use crate::Config;
use crate::feed::Feed;
use crate::learned;
use crate::live::{Feeds, Live, Look};
use crate::writer::Writer;

/// How long a view may take to reach what the log has. A view that is later is the operator's business.
const VIEW_PATIENCE: Duration = Duration::from_secs(8);

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) claims: Records<HostClaims>,
    pub(crate) rules: Records<Rule>,
    pub(crate) live: Arc<Live>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) world: World,
    vms: Mirror<Vm>,
    bus: Arc<dyn Bus>,
}

impl Store {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Self, Arc<dyn Gate>)> {
        let store = parts.open_store()?;
        let claims: Records<HostClaims> = store.own().await?;
        let rules: Records<Rule> = store.own().await?;
        let (groups, hosts) = (store.mirror().await?, store.mirror().await?);
        let vms: Mirror<Vm> = store.mirror().await?;
        let feeds = Feeds {
            groups: Feed::new(groups),
            hosts: Feed::new(hosts),
            vms: Feed::new(vms.clone()),
            claims: Feed::new((*claims).clone()),
            rules: Feed::new((*rules).clone()),
        };
        let (config, world) = (&parts.config, parts.world.clone());
        let known = learned::load(&parts.folder());
        let live = Arc::new(Live::new(feeds, config, world, known));
        let own = Self {
            writer: Writer::new(claims.clone(), Arc::clone(&live)),
            claims,
            rules,
            live,
            world: parts.world.clone(),
            vms,
            bus: Arc::clone(&parts.bus),
        };
        Ok((own, store))
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

    /// Looks at the fleet when it shows every machine whose claim was taken out because it was seen.
    pub(crate) async fn look<T>(&self, work: impl FnOnce(&mut Look<'_>) -> T) -> Result<T, Status> {
        let mut work = Some(work);
        let mut wanted = 0;
        loop {
            let looked = self.live.look(|look| {
                wanted = look.fleet.vm_revision_wanted();
                let is_seen = look.vm_revision >= wanted;
                is_seen
                    .then(|| work.take().map(|work| work(look)))
                    .flatten()
            })?;
            if let Some(result) = looked {
                return Ok(result);
            }
            if !self.vms.wait_for(wanted, VIEW_PATIENCE).await {
                return Err(behind("machines"));
            }
        }
    }
}

fn behind(what: &str) -> Status {
    Status::unavailable(format!("This instance's view of {what} is behind the log."))
        .action("Try again; if it stays so, look into the service's log.")
}
