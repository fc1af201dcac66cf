//! Transfers that end at once, and leave files that can be seen.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::transfer::transfer_record::State;
use contracts::transfer::{
    EnrollRequest, EnrollResponse, SetThrottleRequest, StartRequest, Transfer, TransferPlan,
    TransferRecord, TransferRef,
};

#[derive(Default)]
pub(crate) struct FakeTransfer {
    /// By their ids; one that was cancelled is gone.
    transfers: Mutex<BTreeMap<String, TransferRecord>>,
}

impl FakeTransfer {
    pub(crate) fn files_named(&self, name: &str) -> Vec<String> {
        let transfers = self.transfers.lock().unwrap();
        let files = transfers.values().filter_map(|t| t.target.clone()?.file);
        files
            .filter(|file| file.path.contains(name))
            .map(|file| format!("file {file:?}"))
            .collect()
    }
}

#[async_trait]
impl Transfer for FakeTransfer {
    async fn enroll(&self, _: &Context, _: EnrollRequest) -> Result<EnrollResponse, Status> {
        panic!("jobs enroll nobody")
    }

    async fn plan(&self, _: &Context, _: StartRequest) -> Result<TransferPlan, Status> {
        Ok(TransferPlan::default())
    }

    async fn start(&self, _: &Context, request: StartRequest) -> Result<TransferRecord, Status> {
        let record = TransferRecord {
            id: request.transfer_id.clone(),
            state: State::Succeeded.into(),
            target: request.target,
            method: "network".to_owned(),
            ..TransferRecord::default()
        };
        let mut transfers = self.transfers.lock().unwrap();
        Ok(transfers
            .entry(request.transfer_id)
            .or_insert(record)
            .clone())
    }

    async fn get(&self, _: &Context, request: TransferRef) -> Result<TransferRecord, Status> {
        let transfers = self.transfers.lock().unwrap();
        Ok(transfers[&request.transfer_id].clone())
    }

    async fn cancel(&self, _: &Context, request: TransferRef) -> Result<TransferRecord, Status> {
        self.transfers.lock().unwrap().remove(&request.transfer_id);
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
