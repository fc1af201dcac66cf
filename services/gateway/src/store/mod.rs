//! The gateway's views of what other services own: host groups, hosts, virtual machines, jobs.

mod orders;
mod refreshed;
mod rendered;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::call::Revisions;
use contracts::inventory::{Host, HostGroup, Vm};
use contracts::jobs::Job;
use contracts::names::shorten;
use contracts::records::{Record, indexes};
use contracts::{Code, ObjectRef, Status, subjects};
use kit::bus::Bus;
use kit::config::Section;
use kit::records::table::{self, Snapshot, Table};
use kit::records::{Mirror, Store, Stored};
use kit::rpc::Gate;
use kit::service::Parts;

use crate::core::fields::Listed;
use crate::core::list::{ListQuery, Selected};
use crate::core::names::Names;
use crate::error::{Failure, Outcome};
use orders::Orders;
pub(crate) use refreshed::LastRefreshes;
use rendered::Rendered;
use serde_json::value::RawValue;

/// How long a client waits until the views have seen what it has.
const REVISION_PATIENCE: Duration = Duration::from_secs(10);

/// How long the end of a job waits until the views have seen what the job did.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);

/// Ids shown when a name is not clear.
const IDS_SHOWN_MAX: usize = 10;

/// One kind: its view, and all of it in memory.
pub(crate) struct Kind<R: 'static> {
    pub(crate) mirror: Mirror<R>,
    table: Arc<Table<R>>,
    orders: Orders<R>,
    rendered: Rendered<R>,
}

pub(crate) struct Views {
    store: Arc<Store>,
    bus: Arc<dyn Bus>,
    pub(crate) groups: Kind<HostGroup>,
    pub(crate) hosts: Kind<Host>,
    pub(crate) vms: Kind<Vm>,
    pub(crate) jobs: Kind<Job>,
    pub(crate) refreshed: Arc<LastRefreshes>,
    /// With the revisions of groups and hosts that they were made from.
    names: Mutex<((u64, u64), Arc<Names>)>,
}

impl<R: Record> Kind<R> {
    async fn open<S: Section>(store: &Arc<Store>, parts: &Parts<S>) -> anyhow::Result<Self> {
        let mirror = store.mirror::<R>().await?;
        let table = Arc::new(Table::new(mirror.clone()).map_err(|status| *status)?);
        tokio::spawn(table::follow(Arc::clone(&table), parts.stop.clone()));
        Ok(Self {
            mirror,
            table,
            orders: Orders::default(),
            rendered: Rendered::default(),
        })
    }

    pub(crate) fn snapshot(&self) -> Outcome<Snapshot<'_, R>> {
        self.table
            .snapshot()
            .map_err(|status| Failure::from(*status))
    }

    /// The record with this id.
    pub(crate) fn by_id(&self, id: &str) -> Outcome<Stored<R>> {
        let found = self.mirror.get(id)?;
        found.ok_or_else(|| Status::not_found(ObjectRef::new(R::BUCKET, "", &shorten(id))).into())
    }
}

impl<R: Listed> Kind<R> {
    /// A page of a list, and the revision that it reflects.
    pub(crate) async fn page(
        &self,
        query: &ListQuery,
        names: &Arc<Names>,
    ) -> Outcome<(Selected<R>, u64)> {
        self.orders.page(self, query, names).await
    }

    /// Records as clients see them.
    pub(crate) fn rendered(
        &self,
        records: &[Arc<R>],
        names: &Arc<Names>,
    ) -> Outcome<Vec<Arc<RawValue>>> {
        let texts = self.rendered.of(records, names);
        texts.map_err(|error| Status::internal(format!("A record makes no JSON: {error}.")).into())
    }

    /// The record with this id, or the one with exactly this name.
    pub(crate) fn by_id_or_name(
        &self,
        text: &str,
        name: impl Fn(&R) -> &str,
    ) -> Outcome<Stored<R>> {
        if let Some(found) = self.mirror.get(text)? {
            return Ok(found);
        }
        let mut named = self.mirror.find(indexes::NAME, &text.to_lowercase())?;
        named.retain(|stored| name(&stored.value) == text);
        match named.len() {
            0 | 1 => named.pop().ok_or_else(|| {
                Status::not_found(ObjectRef::new(R::BUCKET, "", &shorten(text))).into()
            }),
            _ => Err(ambiguous::<R>(text, &named).into()),
        }
    }
}

fn ambiguous<R: Record>(name: &str, named: &[Stored<R>]) -> Status {
    let ids: Vec<&str> = named
        .iter()
        .take(IDS_SHOWN_MAX)
        .map(|s| s.id.as_str())
        .collect();
    let object = ObjectRef::new(R::BUCKET, "", name);
    let message = format!("{} objects are called {}.", named.len(), object.describe());
    Status::new(Code::FailedPrecondition, message)
        .about(object)
        .action(format!("Use one of the ids: {}.", ids.join(", ")))
}

impl Views {
    /// Ready when every view has caught up with its log; waits for buckets that are still to be made.
    pub(crate) async fn open<S: Section>(parts: &Parts<S>) -> anyhow::Result<Self> {
        let store = parts.open_store()?;
        let (groups, hosts, vms, jobs) = tokio::try_join!(
            Kind::open(&store, parts),
            Kind::open(&store, parts),
            Kind::open(&store, parts),
            Kind::open(&store, parts),
        )?;
        let refreshed = Arc::<LastRefreshes>::default();
        let (bus, caller) = (Arc::clone(&parts.bus), Arc::clone(&parts.caller));
        let following = refreshed::follow(Arc::clone(&refreshed), bus, caller);
        tokio::spawn(parts.stop.clone().run_until_cancelled_owned(following));
        Ok(Self {
            refreshed,
            store,
            bus: Arc::clone(&parts.bus),
            groups,
            hosts,
            vms,
            jobs,
            names: Mutex::default(),
        })
    }

    /// Waits until the views reflect what a client has seen.
    pub(crate) async fn wait_for(&self, seen: &Revisions) -> Outcome<()> {
        if seen.is_empty() || self.store.wait_for(seen, REVISION_PATIENCE).await {
            return Ok(());
        }
        let message = "This instance of the gateway has not yet seen what the client has.";
        let action = "Try again; leave out the Muster-Revision header to see what there is now.";
        Err(Status::unavailable(message).action(action).into())
    }

    /// What the views reflect now.
    pub(crate) fn revisions(&self) -> Revisions {
        Revisions::from([
            (HostGroup::BUCKET.to_owned(), self.groups.mirror.revision()),
            (Host::BUCKET.to_owned(), self.hosts.mirror.revision()),
            (Vm::BUCKET.to_owned(), self.vms.mirror.revision()),
            (Job::BUCKET.to_owned(), self.jobs.mirror.revision()),
        ])
    }

    /// Waits until the views reflect everything that was written before now, so that who has seen a job end also sees
    /// what it did. Gives up after a while: the end of the job is true all the same.
    pub(crate) async fn settle(&self) {
        let work = async {
            let mut newest = Revisions::new();
            for bucket in [HostGroup::BUCKET, Host::BUCKET, Vm::BUCKET] {
                let (log, all) = (
                    subjects::bucket_stream(bucket),
                    subjects::all_records(bucket),
                );
                if let Ok(Some(last)) = self.bus.last(&log, &all).await {
                    newest.insert(bucket.to_owned(), last.sequence);
                }
            }
            self.store.wait_for(&newest, SETTLE_PATIENCE).await
        };
        let settled = tokio::time::timeout(SETTLE_PATIENCE, work).await;
        if !matches!(settled, Ok(true)) {
            tracing::debug!("a job's end was shown before all that it did");
        }
    }

    /// Names of hosts and groups, made again only when one of them changed.
    pub(crate) fn names(&self) -> Outcome<Arc<Names>> {
        let (groups, hosts) = (self.groups.snapshot()?, self.hosts.snapshot()?);
        let revisions = (groups.revision, hosts.revision);
        let mut kept = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != revisions {
            let names = Names::new(
                hosts.records().map(Arc::as_ref),
                groups.records().map(Arc::as_ref),
            );
            // Most changes of hosts are of other things; what was made with the names stays of use then.
            if *kept.1 == names {
                kept.0 = revisions;
            } else {
                *kept = (revisions, Arc::new(names));
            }
        }
        Ok(Arc::clone(&kept.1))
    }
}
