//! The records of inventory, and the three things that a single record's compare-and-set does not give: a look at the
//! log itself where the view may be behind, a write that counts only if the whole tree of groups is unchanged, and
//! whether a job may still act.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contracts::call::Context;
use contracts::inventory::{Host, HostGroup, JoinToken, Vm, VmName};
use contracts::jobs::Job;
use contracts::names::ROOT_GROUP_ID;
use contracts::records::Record;
use contracts::{Code, Status, subjects};
use kit::bus::{
    Append, AppendError, Bus, BusError, Expect, LogEntry, Message, append_surely, headers,
};
use kit::records::table::{self, Table};
use kit::records::{Decision, Mirror, Records, Store};
use kit::rpc::Gate;
use kit::service::Parts;
use kit::world::World;

use crate::Config;
use crate::core::tree::{self, Tree};

/// How long a view may take to reach what the log has. A view that is later is the operator's business.
const VIEW_PATIENCE: Duration = Duration::from_secs(8);

/// How often a change of the tree is decided again. Each time another change of it got through.
const TREE_CONFLICTS_MAX: u32 = 64;

/// Markers of deleted groups go after this time, as those of all records.
const TOMBSTONE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Everything that inventory knows.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) groups: Records<HostGroup>,
    pub(crate) hosts: Records<Host>,
    /// The same in memory, for what is asked of them many times a second.
    pub(crate) all_hosts: Arc<Table<Host>>,
    pub(crate) vms: Records<Vm>,
    pub(crate) names: Records<VmName>,
    pub(crate) tokens: Records<JoinToken>,
    pub(crate) world: World,
    /// Empty until the jobs service has made its bucket: inventory does not wait for it to start.
    jobs: Arc<OnceLock<Mirror<Job>>>,
    bus: Arc<dyn Bus>,
}

/// A record as the log has it now.
pub(crate) struct Latest<R> {
    pub(crate) value: Option<R>,
    /// When the log took it; 0 when it has nothing under the id.
    pub(crate) time_ms: i64,
}

impl Fleet {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Self, Arc<dyn Gate>)> {
        let store = parts.open_store()?;
        let hosts: Records<Host> = store.own().await?;
        let all_hosts = Arc::new(Table::new((*hosts).clone()).map_err(|status| *status)?);
        tokio::spawn(table::follow(Arc::clone(&all_hosts), parts.stop.clone()));
        let fleet = Self {
            groups: store.own().await?,
            hosts,
            all_hosts,
            vms: store.own().await?,
            names: store.own().await?,
            tokens: store.own().await?,
            world: parts.world.clone(),
            jobs: Arc::default(),
            bus: Arc::clone(&parts.bus),
        };
        tokio::spawn(follow_jobs(Arc::clone(&store), Arc::clone(&fleet.jobs)));
        fleet.make_root().await?;
        Ok((fleet, store))
    }

    async fn make_root(&self) -> Result<(), Status> {
        let now_ms = self.now_ms();
        let context = Context::new("system");
        self.groups
            .update(&context, ROOT_GROUP_ID, |there| {
                Ok(match there {
                    Some(_) => Decision::Keep(()),
                    None => Decision::Put(tree::root(now_ms), ()),
                })
            })
            .await
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.world.now_ms()
    }

    /// A job as the log has it; `None`: it does not, or there is no log of jobs.
    pub(crate) async fn latest_job(&self, job_id: &str) -> Result<Option<Job>, Status> {
        let (log, subject) = (
            subjects::bucket_stream(Job::BUCKET),
            subjects::record(Job::BUCKET, job_id),
        );
        match self.bus.last(&log, &subject).await {
            Ok(entry) => Ok(entry.as_ref().map(read::<Job>).transpose()?.flatten()),
            Err(BusError::NoLog(_)) => Ok(None),
            Err(error) => Err(unreadable(Job::BUCKET, &error)),
        }
    }

    /// Whether a job may still act, or is stuck with something left to undo. Only the log itself can say that it may not: the view may be behind a job that has
    /// just been made, or restarted.
    pub(crate) async fn is_open(&self, job_id: &str) -> Result<bool, Status> {
        let known = match self.jobs.get() {
            Some(jobs) => jobs.get(job_id)?,
            None => None,
        };
        if known.is_some_and(|job| job.value.state().keeps_object()) {
            return Ok(true);
        }
        let log = subjects::bucket_stream(Job::BUCKET);
        match self
            .bus
            .last(&log, &subjects::record(Job::BUCKET, job_id))
            .await
        {
            Ok(entry) => {
                let job = entry.as_ref().map(read::<Job>).transpose()?.flatten();
                Ok(job.is_some_and(|job| job.state().keeps_object()))
            }
            // No bucket of jobs: nobody can say that the job has ended.
            Err(BusError::NoLog(_)) => Ok(true),
            Err(error) => Err(unreadable(Job::BUCKET, &error)),
        }
    }

    /// The job as this instance's view has it.
    pub(crate) fn job(&self, job_id: &str) -> Result<Option<Job>, Status> {
        let jobs = self.jobs.get();
        let job = jobs.map_or(Ok(None), |jobs| jobs.get(job_id))?;
        Ok(job.map(|job| job.value))
    }

    /// A record from the log's leader, whatever this instance's view has.
    pub(crate) async fn latest<R: Record>(&self, id: &str) -> Result<Latest<R>, Status> {
        let entry = self.newest::<R>(&subjects::record(R::BUCKET, id)).await?;
        Ok(Latest {
            value: entry.as_ref().map(read::<R>).transpose()?.flatten(),
            time_ms: entry.map_or(0, |entry| entry.time_ms),
        })
    }

    /// Waits until the view has everything of a kind that the log had at the call. Answers how far that is.
    pub(crate) async fn catch_up<R: Record>(&self, records: &Records<R>) -> Result<u64, Status> {
        let newest = self.newest::<R>(&subjects::all_records(R::BUCKET)).await?;
        let revision = newest.map_or(0, |entry| entry.sequence);
        if records.wait_for(revision, VIEW_PATIENCE).await {
            return Ok(revision);
        }
        Err(Status::unavailable(format!(
            "This instance's view of {} is behind the log.",
            R::BUCKET
        ))
        .action("Try again; if it stays so, look into the service's log."))
    }

    async fn newest<R: Record>(&self, filter: &str) -> Result<Option<LogEntry>, Status> {
        let log = subjects::bucket_stream(R::BUCKET);
        let newest = self.bus.last(&log, filter).await;
        newest.map_err(|error| unreadable(R::BUCKET, &error))
    }

    /// Changes one group by a rule that looks at the whole tree: the write is taken only if no group at all was written
    /// since the tree was read. So of two changes that are harmless alone and harmful together (two groups of one name,
    /// each moved below the other, one made below another that is deleted) the second is decided again and refused.
    pub(crate) async fn change_tree<T>(
        &self,
        context: &Context,
        id: &str,
        decide: impl Fn(&Tree) -> Result<Decision<HostGroup, T>, Status> + Send + Sync,
    ) -> Result<T, Status> {
        for _ in 0..TREE_CONFLICTS_MAX {
            let revision = self.catch_up(&self.groups).await?;
            // In this order: a host that is in a group by now is seen by the rule.
            self.catch_up(&self.hosts).await?;
            let tree: Tree = self.groups.list()?.into_iter().map(|g| g.value).collect();
            let (group, result) = match decide(&tree)? {
                Decision::Keep(result) => {
                    context.saw(HostGroup::BUCKET, revision);
                    return Ok(result);
                }
                Decision::Put(group, result) => (Some(group), result),
                Decision::Delete(result) | Decision::Bar(result) => (None, result),
            };
            let entry = self.tree_entry(context, id, group.as_ref(), revision);
            match append_surely(&*self.bus, &entry).await {
                Ok(written) => {
                    context.saw(HostGroup::BUCKET, written);
                    self.groups.wait_for(written, VIEW_PATIENCE).await;
                    return Ok(result);
                }
                Err(AppendError::Conflict) => {}
                Err(AppendError::Unknown(error) | AppendError::Refused(error)) => {
                    return Err(unwritten(id, &error));
                }
            }
        }
        Err(Status::new(
            Code::Aborted,
            "The tree of host groups is changed by too many at once.",
        )
        .action("Try again."))
    }

    fn tree_entry(
        &self,
        context: &Context,
        id: &str,
        group: Option<&HostGroup>,
        revision: u64,
    ) -> Append {
        let bucket = HostGroup::BUCKET;
        let mut message =
            Message::new(group.map(prost::Message::encode_to_vec).unwrap_or_default())
                .header(
                    headers::MESSAGE_ID,
                    format!("{bucket}:{}", self.world.new_id()),
                )
                .header(headers::PRINCIPAL, &context.principal)
                .header(headers::JOB, &context.job_id);
        if group.is_none() {
            message = message.header(headers::OPERATION, headers::OPERATION_DELETE);
        }
        Append {
            log: subjects::bucket_stream(bucket),
            subject: subjects::record(bucket, id),
            message,
            expect: Some(Expect {
                filter: subjects::all_records(bucket),
                sequence: revision,
            }),
            lifetime: group.is_none().then_some(TOMBSTONE_LIFETIME),
        }
    }
}

async fn follow_jobs(store: Arc<Store>, jobs: Arc<OnceLock<Mirror<Job>>>) {
    match store.mirror::<Job>().await {
        // It is set once, here.
        Ok(mirror) => _ = jobs.set(mirror),
        Err(error) => tracing::error!(%error, "jobs are not followed"),
    }
}

/// The record in an entry; `None` for a deletion.
fn read<R: Record>(entry: &LogEntry) -> Result<Option<R>, Status> {
    if entry.message.get(headers::OPERATION).is_some() {
        return Ok(None);
    }
    let value = R::decode(entry.message.payload.clone());
    value
        .map(Some)
        .map_err(|error| Status::internal(format!("{} could not be read: {error}.", entry.subject)))
}

fn unreadable(bucket: &str, error: &BusError) -> Status {
    Status::unavailable(format!("The log of {bucket} could not be read: {error}."))
        .action("Check that nats-server runs and can be reached, then try again.")
}

fn unwritten(id: &str, error: &BusError) -> Status {
    Status::unavailable(format!(
        "Whether the change of host group {id} was written is not known: {error}."
    ))
    .action("Look at the group, then try again. Check that nats-server runs.")
}
