//! One transfer, from where it is to its end.

use std::time::Duration;

use contracts::call::Context;
use contracts::data::fetch_status::State as Fetch;
use contracts::data::{
    DataEndClient, DiscardRequest, FetchRef, FetchRequest, FetchStatus, PushRequest, SignedTicket,
    ThrottleRequest, Ticket,
};
use contracts::jobs::Progress;
use contracts::transfer::transfer_record::{Direction, State};
use contracts::transfer::{Endpoint, TransferRecord};
use contracts::{Code, Status, subjects};
use kit::bus::Message;
use prost::Message as _;
use tokio::time::Instant;

use super::{Driver, WRITE_INTERVAL, is_open};
use crate::authority;
use crate::core::pace::{self, Pace};
use crate::core::{queue, state};

/// Between two looks at a transfer.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// After something that did not work but may later.
const PAUSE: Duration = Duration::from_secs(1);

/// What is remembered of a transfer while it is driven.
struct Ride {
    pace: Pace,
    looked: Instant,
    written: Instant,
    /// When it last made headway.
    moved: Instant,
    done: u64,
}

/// From which end the next try is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    SameWay,
    /// If that can be.
    OtherWay,
}

impl Ride {
    fn new(record: &TransferRecord) -> Self {
        let now = Instant::now();
        Self {
            pace: Pace::from(record.bytes_done),
            looked: now,
            written: now,
            moved: now,
            done: record.bytes_done,
        }
    }
}

impl Driver {
    /// Until the transfer has ended, or another instance has it.
    pub(super) async fn drive(&self, id: &str) {
        let mut ride = None;
        loop {
            let pause = match self.take(id).await {
                Ok(Some(record)) if is_open(&record) => {
                    let ride = ride.get_or_insert_with(|| Ride::new(&record));
                    self.step(&record, ride).await
                }
                Ok(_) => return,
                Err(error) => Err(error),
            };
            let pause = pause.unwrap_or_else(|error| {
                tracing::warn!(transfer = id, %error, "a transfer is not seen to; it is tried again");
                PAUSE
            });
            tokio::time::sleep(pause).await;
        }
    }

    /// Does what is next, and says how long to wait then.
    async fn step(&self, record: &TransferRecord, ride: &mut Ride) -> Result<Duration, Status> {
        match record.state() {
            State::Queued => self.begin(record, ride).await,
            State::Running => self.look_after(record, ride).await,
            State::Retrying => {
                self.write(record, |r| r.set_state(State::Running)).await?;
                Ok(Duration::ZERO)
            }
            State::Cancelling => self.discard(record).await,
            _ => Ok(PAUSE),
        }
    }

    async fn begin(&self, record: &TransferRecord, ride: &mut Ride) -> Result<Duration, Status> {
        let open = self.store.open_transfers()?;
        match queue::may_begin(record, &open, self.config.transfers_per_host) {
            Ok(()) => {
                let now_ms = self.world.now_ms();
                self.write(record, |r| state::begin(r, now_ms)).await?;
                ride.moved = Instant::now();
                Ok(Duration::ZERO)
            }
            Err(full) => {
                let host = self.store.host(&full.host_id);
                let name = host.map_or(full.host_id, |host| host.name);
                let message = format!("Waits: host {name} takes part in {} others.", full.running);
                self.tell(record, &message, &Pace::default()).await;
                self.keep(record, ride).await?;
                Ok(POLL_INTERVAL)
            }
        }
    }

    /// Shows other instances that this one is there.
    async fn keep(&self, record: &TransferRecord, ride: &mut Ride) -> Result<(), Status> {
        if ride.written.elapsed() >= WRITE_INTERVAL {
            ride.written = Instant::now();
            self.write(record, |_| {}).await?;
        }
        Ok(())
    }

    async fn look_after(
        &self,
        record: &TransferRecord,
        ride: &mut Ride,
    ) -> Result<Duration, Status> {
        let asked = Instant::now();
        let status = match self.fetch_status(record).await {
            Ok(status) => status,
            // The target does not answer; that says nothing about who can dial whom.
            Err(problem) => return self.again(record, ride, problem, Next::SameWay).await,
        };
        let problem = status.problem.clone();
        match status.state() {
            Fetch::Done => {
                let now_ms = self.world.now_ms();
                self.write(record, |r| state::succeed(r, &status, now_ms))
                    .await?;
                Ok(Duration::ZERO)
            }
            Fetch::Failed => {
                let nothing = || Status::internal("The host does not say why it has stopped.");
                let problem = problem.unwrap_or_else(nothing);
                self.again(record, ride, problem, Next::OtherWay).await
            }
            Fetch::Running | Fetch::Unspecified => {
                self.note(record, ride, &status).await?;
                // The next look waits at the host; not at one of an earlier release, which answers at once.
                Ok(POLL_INTERVAL.saturating_sub(asked.elapsed()))
            }
        }
    }

    /// How the fetch stands; one that the host knows nothing of is begun, or gone on with.
    async fn fetch_status(&self, record: &TransferRecord) -> Result<FetchStatus, Status> {
        let target = self.data_end(record.target.as_ref());
        let fetch = FetchRef {
            transfer_id: record.id.clone(),
            wait_ms: u32::try_from(POLL_INTERVAL.as_millis()).unwrap_or(u32::MAX),
        };
        match target.get_fetch(&context(record), &fetch).await {
            Ok(status) if status.state() != Fetch::Failed => Ok(status),
            // This is how the last try ended, and it has been noted.
            Ok(status) if record.problem.is_none() => Ok(status),
            Err(error) if error.code() != Code::NotFound => Err(error),
            _ => self.start(record).await,
        }
    }

    /// Begins the next try, with a ticket of its own.
    async fn start(&self, record: &TransferRecord) -> Result<FetchStatus, Status> {
        let ticket = self.ticket(record).await?;
        let address = |end: &Option<Endpoint>| {
            let host = self.store.host(&end.clone().unwrap_or_default().host_id)?;
            Ok::<_, Status>(self.store.data_end(&host)?.address)
        };
        let source_address = match record.direction() {
            Direction::Push => {
                let push = PushRequest {
                    ticket: Some(ticket.clone()),
                    target_address: address(&record.target)?,
                };
                let source = self.data_end(record.source.as_ref());
                source.push(&context(record), &push).await?;
                String::new()
            }
            _ => address(&record.source)?,
        };
        let request = FetchRequest {
            ticket: Some(ticket),
            source_address,
            seeds: record.seeds.clone(),
            bytes_per_sec: record.bytes_per_sec,
        };
        let target = self.data_end(record.target.as_ref());
        let status = target.fetch(&context(record), &request).await?;
        if record.problem.is_some() {
            self.write(record, |r| r.problem = None).await?;
        }
        Ok(status)
    }

    async fn ticket(&self, record: &TransferRecord) -> Result<SignedTicket, Status> {
        let now_ms = self.world.now_ms();
        let lifetime = self.config.authority_lifetime();
        let keys = authority::keys(&self.store.authority, now_ms, lifetime).await?;
        let (source, target) = (
            record.source.clone().unwrap_or_default(),
            record.target.clone().unwrap_or_default(),
        );
        let lifetime_ms = i64::try_from(self.config.ticket_lifetime().as_millis());
        let ticket = Ticket {
            transfer_id: record.id.clone(),
            source_host_id: source.host_id,
            target_host_id: target.host_id,
            source: source.file,
            target: target.file,
            not_after_ms: now_ms.saturating_add(lifetime_ms.unwrap_or(i64::MAX)),
            encryption: record.encryption,
            ..Ticket::default()
        };
        authority::sign(authority::signing(&keys)?, &ticket)
    }

    fn data_end(&self, end: Option<&Endpoint>) -> DataEndClient {
        let host_id = end.map_or("", |end| &end.host_id);
        DataEndClient::new(self.caller.clone(), host_id)
    }

    /// It goes on.
    async fn note(
        &self,
        record: &TransferRecord,
        ride: &mut Ride,
        status: &FetchStatus,
    ) -> Result<(), Status> {
        if status.bytes_per_sec != record.bytes_per_sec {
            self.tell_throttle(record).await?;
        }
        ride.pace.note(status.bytes_done, ride.looked.elapsed());
        ride.looked = Instant::now();
        if status.bytes_done != ride.done {
            (ride.done, ride.moved) = (status.bytes_done, Instant::now());
        }
        let mut now = record.clone();
        state::note(&mut now, status, ride.pace.bytes_per_sec());
        let sentence = pace::sentence(&ride.pace, now.bytes_done, now.bytes_total);
        self.tell(&now, &sentence, &ride.pace).await;
        let is_new = now.bytes_total != record.bytes_total || now.method != record.method;
        if is_new || ride.written.elapsed() >= WRITE_INTERVAL {
            ride.written = Instant::now();
            let rate = ride.pace.bytes_per_sec();
            self.write(record, |r| state::note(r, status, rate)).await?;
        }
        Ok(())
    }

    /// It was set while the host was not listening.
    async fn tell_throttle(&self, record: &TransferRecord) -> Result<(), Status> {
        let request = ThrottleRequest {
            transfer_id: record.id.clone(),
            bytes_per_sec: record.bytes_per_sec,
        };
        let target = self.data_end(record.target.as_ref());
        target.throttle(&context(record), &request).await?;
        Ok(())
    }

    /// It does not go on: it is tried again for a while where that can help.
    async fn again(
        &self,
        record: &TransferRecord,
        ride: &mut Ride,
        problem: Status,
        next: Next,
    ) -> Result<Duration, Status> {
        if !problem.retryable() || ride.moved.elapsed() > self.config.patience() {
            let now_ms = self.world.now_ms();
            self.write(record, |r| state::fail(r, problem.clone(), now_ms))
                .await?;
            return Ok(Duration::ZERO);
        }
        let can_dial = |end: &Option<Endpoint>| {
            let id = end.clone().unwrap_or_default().host_id;
            let known = self.store.data_ends.get(&id).ok().flatten();
            known.is_some_and(|stored| !stored.value.address.is_empty())
        };
        let turns = next == Next::OtherWay;
        let can_pull = turns && can_dial(&record.source);
        let can_push = turns && can_dial(&record.target);
        tracing::info!(transfer = record.id, %problem, "a transfer is tried again");
        self.tell(
            record,
            &format!("Tried again: {}", problem.message),
            &Pace::default(),
        )
        .await;
        let written = self
            .write(record, |r| {
                state::retry(r, problem.clone(), can_push, can_pull)
            })
            .await?;
        ride.written = Instant::now();
        let retries = written.map_or(record.retries, |record| record.retries);
        Ok(state::pause(retries))
    }

    async fn discard(&self, record: &TransferRecord) -> Result<Duration, Status> {
        let target = record.target.clone().unwrap_or_default();
        let request = DiscardRequest {
            transfer_id: record.id.clone(),
            target: target.file,
        };
        let is_known = self.store.host(&target.host_id).is_ok();
        // What was on a host that is no longer in the fleet is nobody's any more.
        if is_known {
            let target = self.data_end(record.target.as_ref());
            target.discard(&context(record), &request).await?;
        }
        let now_ms = self.world.now_ms();
        self.write(record, |r| state::end(r, State::Cancelled, now_ms))
            .await?;
        Ok(Duration::ZERO)
    }

    /// Tells whoever watches the job. Nobody listening is no error.
    async fn tell(&self, record: &TransferRecord, message: &str, pace: &Pace) {
        let shared = record.waiting_job_ids.iter();
        let alone = std::iter::once(&record.job_id).filter(|_| record.waiting_job_ids.is_empty());
        for job_id in shared.chain(alone).filter(|id| !id.is_empty()) {
            self.tell_job(job_id, record, message, pace).await;
        }
    }

    async fn tell_job(&self, job_id: &str, record: &TransferRecord, message: &str, pace: &Pace) {
        let progress = Progress {
            job_id: job_id.to_owned(),
            percent: pace::percent(record.bytes_done, record.bytes_total),
            message: message.to_owned(),
            bytes_done: record.bytes_done,
            bytes_total: record.bytes_total,
            bytes_per_sec: pace.bytes_per_sec(),
            secs_left: pace.secs_left(record.bytes_total),
        };
        let message = Message::new(progress.encode_to_vec());
        let subject = subjects::progress(job_id);
        if let Err(error) = self.bus.publish(&subject, message).await {
            tracing::debug!(transfer = record.id, %error, "progress was not told");
        }
    }
}

fn context(record: &TransferRecord) -> Context {
    let mut context = Context::new("system");
    context.job_id.clone_from(&record.job_id);
    context
}
