//! Writing claims: one write of a host's record at a time, and whatever waits for the same host goes with the next one.
//!
//! A claim counts in this instance's fleet from the moment that it was chosen, so placements of one instance never get in
//! each other's way, and need not wait for each other. Another instance's claim shows when the record is written: it is
//! taken only in its place, and is looked at again whether everything still fits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::Status;
use contracts::call::Context;
use contracts::placement::{Claim, HostClaims};
use contracts::records::Record;
use kit::records::{Decision, Records, Stored};
use tokio::sync::oneshot;

use crate::core::choose;
use crate::core::claims::{self, Owner};
use crate::live::{Live, Look};

/// How long the fleet may take to show what a view has. It takes microseconds.
const FLEET_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Writer {
    claims: Records<HostClaims>,
    live: Arc<Live>,
    /// What waits for a host's next write; there while one is being made.
    queues: Mutex<HashMap<String, Vec<Waiting>>>,
}

enum Work {
    Claim(Claim),
    /// Of a machine and a job.
    GiveBack(String, String),
    /// Only waits its turn.
    Nothing,
}

struct Waiting {
    work: Work,
    done: oneshot::Sender<Result<Written, Status>>,
}

/// What became of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is durable, at this revision of the host's claims.
    At(u64),
    /// It does not fit any more.
    Outdated,
}

impl Writer {
    pub(crate) fn new(claims: Records<HostClaims>, live: Arc<Live>) -> Arc<Self> {
        Arc::new(Self {
            claims,
            live,
            queues: Mutex::default(),
        })
    }

    /// Writes a claim that the fleet counts as pending already.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        host_id: &str,
        claim: Claim,
    ) -> Result<Written, Status> {
        self.enqueue(host_id, Work::Claim(claim)).await
    }

    pub(crate) async fn give_back(
        self: &Arc<Self>,
        host_id: &str,
        owner: Owner<'_>,
    ) -> Result<Written, Status> {
        let (vm_id, job_id) = (owner.vm_id.to_owned(), owner.job_id.to_owned());
        self.enqueue(host_id, Work::GiveBack(vm_id, job_id)).await
    }

    /// Waits until what is being written for a host is written, or is not.
    pub(crate) async fn settle(self: &Arc<Self>, host_id: &str) -> Result<(), Status> {
        self.enqueue(host_id, Work::Nothing).await.map(drop)
    }

    /// The work goes on when the caller does not wait for it any more.
    async fn enqueue(self: &Arc<Self>, host_id: &str, work: Work) -> Result<Written, Status> {
        let (done, written) = oneshot::channel();
        let waiting = Waiting { work, done };
        let is_first = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = queues.get_mut(host_id);
            let is_first = queue.is_none();
            match queue {
                Some(queue) => queue.push(waiting),
                None => {
                    queues.insert(host_id.to_owned(), vec![waiting]);
                }
            }
            is_first
        };
        if is_first {
            tokio::spawn(Arc::clone(self).write_all(host_id.to_owned()));
        }
        let ended = || Status::unavailable("The service is stopping.").action("Try again.");
        written.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn write_all(self: Arc<Self>, host_id: String) {
        while let Some(batch) = self.next_batch(&host_id) {
            let result = self.write(&host_id, &batch).await;
            if result.is_err() {
                self.drop_pending(&host_id, &batch);
            }
            for (index, waiting) in batch.into_iter().enumerate() {
                let outcome = result.as_ref().map_err(Clone::clone).map(|written| {
                    if written.outdated.contains(&index) {
                        Written::Outdated
                    } else {
                        Written::At(written.revision)
                    }
                });
                // The caller may have given up.
                let _ = waiting.done.send(outcome);
            }
        }
    }

    fn next_batch(&self, host_id: &str) -> Option<Vec<Waiting>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = queues.get_mut(host_id).map(std::mem::take);
        let batch = batch.filter(|batch| !batch.is_empty());
        if batch.is_none() {
            queues.remove(host_id);
        }
        batch
    }

    fn drop_pending(&self, host_id: &str, batch: &[Waiting]) {
        // A view that cannot be read drops everything anyway.
        let _ = self.live.look(|look| {
            for claim in batch.iter().filter_map(Waiting::claim) {
                look.fleet.drop_pending(host_id, claim);
            }
        });
    }

    async fn write(&self, host_id: &str, batch: &[Waiting]) -> Result<Batch, Status> {
        let deadline = tokio::time::Instant::now() + FLEET_PATIENCE;
        loop {
            let context = Context::new("placement");
            let decide = |current: Option<&Stored<HostClaims>>| {
                self.live.look(|look| decide(look, host_id, batch, current))
            };
            let decided = self.claims.update(&context, host_id, decide).await?;
            match decided {
                Some(outdated) => {
                    let revision = context.seen().get(HostClaims::BUCKET).copied();
                    return Ok(Batch {
                        revision: revision.unwrap_or(0),
                        outdated,
                    });
                }
                None if tokio::time::Instant::now() < deadline => tokio::task::yield_now().await,
                None => {
                    let message = format!("What is claimed on host {host_id} cannot be seen now.");
                    return Err(Status::unavailable(message).action("Try again."));
                }
            }
        }
    }
}

struct Batch {
    revision: u64,
    /// Indexes of claims that do not fit any more.
    outdated: Vec<usize>,
}

impl Waiting {
    fn claim(&self) -> Option<&Claim> {
        match &self.work {
            Work::Claim(claim) => Some(claim),
            Work::GiveBack(..) | Work::Nothing => None,
        }
    }

    fn gives_back(&self, claim: &Claim) -> bool {
        match &self.work {
            Work::Claim(_) | Work::Nothing => false,
            Work::GiveBack(vm_id, job_id) => Owner { vm_id, job_id }.has(claim),
        }
    }
}

/// What the record becomes, with the indexes of claims that do not fit any more. `None`: the fleet does not show the record
/// yet that is to be replaced.
fn decide(
    look: &mut Look<'_>,
    host_id: &str,
    batch: &[Waiting],
    current: Option<&Stored<HostClaims>>,
) -> Decision<HostClaims, Option<Vec<usize>>> {
    let expected = current.map_or(0, |current| current.revision);
    if look.fleet.claims(host_id).0 != expected {
        return Decision::Keep(None);
    }
    // Whether a claim was given back in the same breath.
    let is_given_back = |claim: &Claim| batch.iter().any(|waiting| waiting.gives_back(claim));
    // An attempt before this one may have dropped some that fit now.
    for claim in batch.iter().filter_map(Waiting::claim) {
        look.fleet.add_pending(host_id, claim.clone());
    }
    let mut outdated = Vec::new();
    let mut added = Vec::new();
    for (index, waiting) in batch.iter().enumerate() {
        let Some(claim) = waiting.claim() else {
            continue;
        };
        if is_given_back(claim) || is_overfull(look, host_id) {
            look.fleet.drop_pending(host_id, claim);
            outdated.push(index);
        } else {
            added.push(claim.clone());
        }
    }
    let fleet = &*look.fleet;
    let current = current.map(|current| &current.value);
    let unwanted = |claim: &Claim| is_given_back(claim) || fleet.is_closed(host_id, claim);
    let guest = |vm_id: &str| fleet.guest_on(host_id, vm_id);
    let record = claims::changed(current, &added, guest, look.vm_revision, unwanted);
    if Some(&record) == current || (current.is_none() && record.claims.is_empty()) {
        Decision::Keep(Some(outdated))
    } else {
        Decision::Put(record, Some(outdated))
    }
}

fn is_overfull(look: &Look<'_>, host_id: &str) -> bool {
    look.fleet
        .slot(host_id)
        .is_none_or(|slot| choose::is_overfull(&slot.state))
}
