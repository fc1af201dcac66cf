//! What the service answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Call, Context};
use contracts::common::Empty;
use contracts::data::{DataEndClient, ThrottleRequest};
use contracts::transfer::transfer_record::State;
use contracts::transfer::{
    DataEndRecord, Endpoint, EnrollRequest, EnrollResponse, SetThrottleRequest, StartRequest,
    Transfer, TransferPlan, TransferRecord, TransferRef,
};
use contracts::{ObjectRef, Status, names};
use kit::records::{Change, Decision, Stored};
use kit::service::Parts;
use kit::world::World;
use tokio::sync::broadcast::Receiver;

use crate::core::checks::{
    check_rate, check_room, check_share, check_source, direction, endpoint, file_name,
};
use crate::core::state;
use crate::driver::Driver;
use crate::store::Store;
use crate::{Config, authority};

/// How long who asks after a transfer may have its end waited for.
const GET_WAIT_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Api {
    store: Store,
    driver: Arc<Driver>,
    config: Config,
    world: World,
    caller: Arc<dyn Call>,
}

/// A request that may be done.
struct Prepared {
    plan: TransferPlan,
    source: Endpoint,
    target: Endpoint,
    group_id: String,
}

/// Waits until a transfer has ended, or until so much has changed that one has to look.
async fn ended(id: &str, mut changes: Receiver<Arc<Change<TransferRecord>>>) {
    let goes_on = |change: &Change<TransferRecord>| {
        let after = change.after.as_ref();
        change.id != id || after.is_some_and(|record| !record.state().is_final())
    };
    while changes.recv().await.is_ok_and(|change| goes_on(&change)) {}
}

impl Api {
    pub(crate) fn new(parts: &Parts<Config>, store: Store, driver: Arc<Driver>) -> Self {
        Self {
            store,
            driver,
            config: parts.config.clone(),
            world: parts.world.clone(),
            caller: Arc::clone(&parts.caller),
        }
    }

    fn data_end(&self, host_id: &str) -> DataEndClient {
        DataEndClient::new(Arc::clone(&self.caller), host_id)
    }

    /// Everything that can be wrong is said before anything is changed.
    async fn prepare(&self, context: &Context, request: &StartRequest) -> Result<Prepared, Status> {
        let source = endpoint("source", request.source.as_ref())?;
        let target = endpoint("target", request.target.as_ref())?;
        check_rate(request.bytes_per_sec)?;
        if source == target {
            return Err(
                Status::invalid("target", "The file would be copied onto itself.")
                    .action("Choose another name or datastore."),
            );
        }
        let (from, to) = (
            self.store.host(&source.host_id)?,
            self.store.host(&target.host_id)?,
        );
        let (from_end, to_end) = (self.store.data_end(&from)?, self.store.data_end(&to)?);
        let direction = direction(&from, &from_end, &to, &to_end)?;
        self.refuse_second(&target, &request.transfer_id)?;
        let file = source.file.clone().unwrap_or_default();
        let facts = self.data_end(&from.id).look(context, &file).await?;
        check_source(request, &source, &facts)?;
        let folder = target.file.clone().unwrap_or_default().datastore;
        match self.store.share(&to, &folder)? {
            Some(share) => check_share(&share)?,
            None => check_room(&to, &target, &facts)?,
        }
        Ok(Prepared {
            plan: TransferPlan {
                size_bytes: facts.size_bytes,
                allocated_bytes: facts.allocated_bytes,
                encryption: self.store.encryption(&from, &to)?.into(),
                direction: direction.into(),
            },
            source,
            target,
            group_id: to.group_id,
        })
    }

    /// Two transfers never make one file.
    fn refuse_second(&self, target: &Endpoint, transfer_id: &str) -> Result<(), Status> {
        let open = self.store.open_transfers()?;
        let same = |other: &&TransferRecord| {
            other.id != transfer_id && other.target.as_ref() == Some(target)
        };
        let Some(other) = open.iter().find(same) else {
            return Ok(());
        };
        let path = file_name(target);
        let message = format!("Transfer {} is making file {path} already.", other.id);
        Err(
            Status::already_exists(ObjectRef::new("transfer", &other.id, &path), message).action(
                "Wait until that transfer has ended, or cancel it, or choose another name.",
            ),
        )
    }

    async fn update(
        &self,
        context: &Context,
        id: &str,
        mut change: impl FnMut(&mut TransferRecord) + Send,
    ) -> Result<Option<TransferRecord>, Status> {
        let decide = |current: Option<&Stored<TransferRecord>>| {
            let Some(current) = current else {
                return Ok(Decision::Keep(None));
            };
            let mut record = current.value.clone();
            change(&mut record);
            Ok(match record == current.value {
                true => Decision::Keep(Some(record)),
                false => Decision::Put(record.clone(), Some(record)),
            })
        };
        self.store.transfers.update(context, id, decide).await
    }

    async fn throttle_transfer(
        &self,
        context: &Context,
        id: &str,
        rate: u64,
    ) -> Result<(), Status> {
        let changed = self
            .update(context, id, |record| record.bytes_per_sec = rate)
            .await?;
        let unknown = || Status::not_found(ObjectRef::new("transfer", id, ""));
        let record = changed.ok_or_else(unknown)?;
        if record.state() == State::Running {
            let host_id = record.target.unwrap_or_default().host_id;
            self.tell_throttle(context, &host_id, id, rate).await?;
        }
        Ok(())
    }

    async fn throttle_host(&self, context: &Context, id: &str, rate: u64) -> Result<(), Status> {
        let host = self.store.host(id)?;
        self.store.data_end(&host)?;
        let decide = |current: Option<&Stored<DataEndRecord>>| {
            let mut record = current.map(|c| c.value.clone()).unwrap_or_default();
            record.bytes_per_sec = rate;
            Ok(Decision::Put(record, ()))
        };
        self.store.data_ends.update(context, id, decide).await?;
        self.tell_throttle(context, id, "", rate).await
    }

    async fn throttle_job(&self, context: &Context, id: &str, rate: u64) -> Result<(), Status> {
        let open = self.store.open_transfers()?;
        let is_of_job = |record: &&TransferRecord| {
            record.job_id == id || record.waiting_job_ids.iter().any(|job_id| job_id == id)
        };
        let of_job: Vec<_> = open.iter().filter(is_of_job).collect();
        if of_job.is_empty() {
            let message = format!("No file of job {} is travelling now.", names::shorten(id));
            return Err(Status::precondition(message)
                .about(ObjectRef::new("job", id, ""))
                .action("List the jobs that run."));
        }
        for record in of_job {
            self.throttle_transfer(context, &record.id, rate).await?;
        }
        Ok(())
    }

    async fn tell_throttle(
        &self,
        context: &Context,
        host_id: &str,
        transfer_id: &str,
        bytes_per_sec: u64,
    ) -> Result<(), Status> {
        let request = ThrottleRequest {
            transfer_id: transfer_id.to_owned(),
            bytes_per_sec,
        };
        self.data_end(host_id).throttle(context, &request).await?;
        Ok(())
    }
}

#[async_trait]
impl Transfer for Api {
    async fn enroll(
        &self,
        context: &Context,
        request: EnrollRequest,
    ) -> Result<EnrollResponse, Status> {
        names::check_id("host_id", &request.host_id)?;
        self.store.host(&request.host_id)?;
        let now_ms = self.world.now_ms();
        let lifetime = self.config.certificate_lifetime();
        let keys = authority::keys(
            &self.store.authority,
            now_ms,
            self.config.authority_lifetime(),
        )
        .await?;
        let key = authority::signing(&keys)?;
        let (host_id, public) = (&request.host_id, &request.public_key);
        let certificate = authority::certify(key, host_id, public, now_ms, lifetime)?;
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let decide = |current: Option<&Stored<DataEndRecord>>| {
            let mut record = current.map(|c| c.value.clone()).unwrap_or_default();
            record.address.clone_from(&request.address);
            record.enrolled_ms = now_ms;
            record.certificate_until_ms = now_ms.saturating_add(lifetime_ms);
            let bytes_per_sec = record.bytes_per_sec;
            Ok(Decision::Put(record, bytes_per_sec))
        };
        let bytes_per_sec = self
            .store
            .data_ends
            .update(context, host_id, decide)
            .await?;
        Ok(EnrollResponse {
            certificate,
            authorities: keys.keys.iter().map(|k| k.certificate.clone()).collect(),
            ticket_keys: keys
                .keys
                .iter()
                .map(|k| k.ticket_public_key.clone())
                .collect(),
            renew_after_secs: lifetime.as_secs() / 2,
            bytes_per_sec,
        })
    }

    async fn plan(&self, context: &Context, request: StartRequest) -> Result<TransferPlan, Status> {
        Ok(self.prepare(context, &request).await?.plan)
    }

    async fn start(
        &self,
        context: &Context,
        request: StartRequest,
    ) -> Result<TransferRecord, Status> {
        names::check_id("transfer_id", &request.transfer_id)?;
        let id = &request.transfer_id;
        let known = self.store.transfers.get(id)?.map(|stored| stored.value);
        let going =
            known.filter(|record| !matches!(record.state(), State::Failed | State::Cancelled));
        match going {
            Some(_) if request.shared => {
                let join = |record: &mut TransferRecord| state::join(record, &request.job_id);
                if let Some(joined) = self.update(context, id, join).await? {
                    return Ok(joined);
                }
            }
            Some(record) => return Ok(record),
            None => {}
        }
        let prepared = self.prepare(context, &request).await?;
        let new = TransferRecord {
            id: id.clone(),
            state: State::Queued.into(),
            source: Some(prepared.source),
            target: Some(prepared.target),
            job_id: request.job_id.clone(),
            group_id: prepared.group_id,
            encryption: prepared.plan.encryption,
            direction: prepared.plan.direction,
            seeds: request.seeds.clone(),
            bytes_per_sec: request.bytes_per_sec,
            created_ms: self.world.now_ms(),
            size_bytes: prepared.plan.size_bytes,
            bytes_total: prepared.plan.allocated_bytes,
            driver: self.driver.name().to_owned(),
            waiting_job_ids: match request.shared {
                true => vec![request.job_id.clone()],
                false => Vec::new(),
            },
            ..TransferRecord::default()
        };
        let decide = |current: Option<&Stored<TransferRecord>>| {
            let Some(current) = current else {
                return Ok(Decision::Put(new.clone(), new.clone()));
            };
            let mut record = current.value.clone();
            state::requeue(&mut record);
            if request.shared {
                state::join(&mut record, &request.job_id);
            }
            Ok(match record == current.value {
                true => Decision::Keep(record),
                false => Decision::Put(record.clone(), record),
            })
        };
        let record = self.store.transfers.update(context, id, decide).await?;
        self.driver.look();
        Ok(record)
    }

    async fn get(&self, _: &Context, request: TransferRef) -> Result<TransferRecord, Status> {
        let id = &request.transfer_id;
        let wait = Duration::from_millis(request.wait_ms.into()).min(GET_WAIT_MAX);
        let changes = self.store.transfers.changes();
        let found = self.store.transfers.get(id)?;
        let unknown = || Status::not_found(ObjectRef::new("transfer", id, ""));
        let record = found.ok_or_else(unknown)?.value;
        if record.state().is_final() || wait.is_zero() {
            return Ok(record);
        }
        // Too late or not, the record says how it is.
        let _ = tokio::time::timeout(wait, ended(id, changes)).await;
        let now = self.store.transfers.get(id)?;
        Ok(now.map_or(record, |stored| stored.value))
    }

    async fn cancel(
        &self,
        context: &Context,
        request: TransferRef,
    ) -> Result<TransferRecord, Status> {
        let now_ms = self.world.now_ms();
        let leaver = request.job_id.as_str();
        let mut cancelled = self
            .update(context, &request.transfer_id, |record| match leaver {
                "" => state::cancel(record, now_ms),
                job_id => state::leave(record, job_id, now_ms),
            })
            .await?;
        self.driver.look();
        // For who has left it is over, whoever else waits.
        if let Some(record) = &mut cancelled
            && !leaver.is_empty()
            && state::goes_on(record)
        {
            record.set_state(State::Cancelled);
        }
        // What was never started is gone already.
        Ok(cancelled.unwrap_or_else(|| TransferRecord {
            id: request.transfer_id,
            state: State::Cancelled.into(),
            ..TransferRecord::default()
        }))
    }

    async fn set_throttle(
        &self,
        context: &Context,
        request: SetThrottleRequest,
    ) -> Result<Empty, Status> {
        check_rate(request.bytes_per_sec)?;
        let rate = request.bytes_per_sec;
        let SetThrottleRequest {
            transfer_id,
            host_id,
            job_id,
            ..
        } = &request;
        match (transfer_id.as_str(), host_id.as_str(), job_id.as_str()) {
            (transfer, "", "") => {
                names::check_id("transfer_id", transfer)?;
                self.throttle_transfer(context, transfer, rate).await?;
            }
            ("", host, "") => {
                names::check_id("host_id", host)?;
                self.throttle_host(context, host, rate).await?;
            }
            ("", "", job) => self.throttle_job(context, job, rate).await?,
            _ => {
                return Err(Status::invalid("host_id", "More than one thing is named.")
                    .action("Name a transfer, a host, or a job."));
            }
        }
        Ok(Empty {})
    }
}
