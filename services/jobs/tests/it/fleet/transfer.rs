//! Transfers that leave files that can be seen. They end at once, unless they are held.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::transfer::transfer_record::State;
use contracts::transfer::{
    EnrollRequest, EnrollResponse, SetThrottleRequest, StartRequest, Transfer, TransferPlan,
    TransferRecord, TransferRef,
};
use contracts::{ObjectRef, Status};

#[derive(Default)]
pub(crate) struct FakeTransfer {
    /// By their ids; one that was cancelled is gone.
    transfers: Mutex<BTreeMap<String, TransferRecord>>,
    /// Those that are under way go no further.
    pub(crate) hold: AtomicBool,
}

fn path(record: &TransferRecord) -> String {
    let file = record.target.clone().unwrap_or_default().file;
    file.unwrap_or_default().path
}

fn source_path(record: &TransferRecord) -> String {
    let file = record.source.clone().unwrap_or_default().file;
    file.unwrap_or_default().path
}

impl FakeTransfer {
    fn records(&self) -> Vec<TransferRecord> {
        let mut transfers = self.transfers.lock().unwrap();
        if !self.hold.load(Ordering::SeqCst) {
            let all = transfers.values_mut();
            all.for_each(|record| record.set_state(State::Succeeded));
        }
        transfers.values().cloned().collect()
    }

    /// Files of jobs that have them for themselves, and how many jobs want one that is shared.
    pub(crate) fn files_named(&self, name: &str) -> Vec<String> {
        let all = self.records().into_iter();
        all.filter(|record| path(record).contains(name) || source_path(record).contains(name))
            .filter_map(|record| {
                let own = record.waiting_job_ids.is_empty() && !path(&record).contains("library-");
                match (own, record.waiting_job_ids.len()) {
                    (true, _) => Some(format!("file {:?}", record.target)),
                    (false, 0) => None,
                    (false, count) => Some(format!("{} is wanted by {count}", path(&record))),
                }
            })
            .collect()
    }

    /// How often a file was begun to be fetched to a host.
    pub(crate) fn times_fetched(&self, host_id: &str, file: &str) -> usize {
        let all = self.records().into_iter();
        let to_host =
            |record: &TransferRecord| record.target.clone().unwrap_or_default().host_id == host_id;
        all.filter(|record| path(record).ends_with(file) && to_host(record))
            .count()
    }

    /// How many jobs want a file now.
    pub(crate) fn waiting(&self, file: &str) -> usize {
        let all = self.records().into_iter();
        let of_file = all.filter(|record| path(record).ends_with(file));
        of_file.map(|record| record.waiting_job_ids.len()).sum()
    }

    pub(crate) fn has(&self, host_id: &str, file: &str) -> bool {
        let is_whole = |record: &TransferRecord| record.state() == State::Succeeded;
        let mut all = self.records().into_iter().filter(is_whole);
        all.any(|record| {
            let target = record.target.clone().unwrap_or_default();
            target.host_id == host_id && path(&record).ends_with(file)
        })
    }
}

#[async_trait]
impl Transfer for FakeTransfer {
    async fn enroll(&self, _: &Context, _: EnrollRequest) -> Result<EnrollResponse, Status> {
        panic!("jobs enroll nobody")
    }

    async fn plan(&self, _: &Context, _: StartRequest) -> Result<TransferPlan, Status> {
        Ok(TransferPlan {
            allocated_bytes: 5,
            ..TransferPlan::default()
        })
    }

    async fn start(&self, _: &Context, request: StartRequest) -> Result<TransferRecord, Status> {
        let record = TransferRecord {
            id: request.transfer_id.clone(),
            state: State::Running.into(),
            source: request.source,
            target: request.target,
            method: "network".to_owned(),
            ..TransferRecord::default()
        };
        let mut transfers = self.transfers.lock().unwrap();
        let record = transfers
            .entry(request.transfer_id.clone())
            .or_insert(record);
        let waiting = &mut record.waiting_job_ids;
        if request.shared && !waiting.contains(&request.job_id) {
            waiting.push(request.job_id);
        }
        Ok(record.clone())
    }

    async fn get(&self, _: &Context, request: TransferRef) -> Result<TransferRecord, Status> {
        let id = &request.transfer_id;
        let found = self.records().into_iter().find(|record| record.id == *id);
        found.ok_or_else(|| Status::not_found(ObjectRef::new("transfer", id, "")))
    }

    async fn cancel(&self, _: &Context, request: TransferRef) -> Result<TransferRecord, Status> {
        let mut transfers = self.transfers.lock().unwrap();
        let job_id = &request.job_id;
        let stays = transfers
            .get_mut(&request.transfer_id)
            .is_some_and(|record| {
                record.waiting_job_ids.retain(|id| id != job_id);
                let is_whole = record.state() == State::Succeeded;
                !job_id.is_empty() && (is_whole || !record.waiting_job_ids.is_empty())
            });
        if !stays {
            transfers.remove(&request.transfer_id);
        }
        Ok(TransferRecord {
            id: request.transfer_id,
            state: State::Cancelled.into(),
            ..TransferRecord::default()
        })
    }

    async fn set_throttle(&self, _: &Context, _: SetThrottleRequest) -> Result<Empty, Status> {
        panic!("jobs set no throttle")
    }
}
