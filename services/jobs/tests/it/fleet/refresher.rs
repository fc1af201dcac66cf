//! A refresher that remembers intervals, and what it was asked to refresh.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::Context;
use contracts::refresher::{
    Interval, Intervals, Kind, KindState, ListKindsRequest, ListKindsResponse,
    ListRefreshedRequest, Outcome, RefreshNowRequest, RefreshNowResponse, Refreshed,
    RefreshedBatch, Refresher, SetIntervalRequest,
};

#[derive(Default)]
pub(crate) struct FakeRefresher {
    /// By server.
    pub(crate) intervals: Mutex<BTreeMap<String, Interval>>,
    pub(crate) asked: Mutex<Vec<RefreshNowRequest>>,
    /// Servers that do not answer.
    pub(crate) broken: Mutex<Vec<String>>,
}

impl FakeRefresher {
    pub(crate) fn intervals_of(&self, name: &str) -> Vec<String> {
        let intervals = self.intervals.lock().unwrap();
        let of = intervals
            .get(name)
            .map(|i| format!("interval {name} {i:?}"));
        of.into_iter().collect()
    }
}

#[async_trait]
impl Refresher for FakeRefresher {
    async fn refresh(
        &self,
        _: &Context,
        request: RefreshNowRequest,
    ) -> Result<RefreshNowResponse, Status> {
        self.asked.lock().unwrap().push(request.clone());
        let is_broken = self.broken.lock().unwrap().contains(&request.target_id);
        let (outcome, error) = match is_broken {
            true => (Outcome::Failed, "It does not answer."),
            false => (Outcome::Unchanged, ""),
        };
        let refreshed = Refreshed {
            kind: "vm_heavy".to_owned(),
            outcome: outcome.into(),
            error: error.to_owned(),
            bytes: 18,
            ..Refreshed::default()
        };
        Ok(RefreshNowResponse {
            refreshed: vec![refreshed],
        })
    }

    async fn set_interval(
        &self,
        _: &Context,
        request: SetIntervalRequest,
    ) -> Result<Intervals, Status> {
        let mut intervals = self.intervals.lock().unwrap();
        match request.interval {
            Some(interval) => _ = intervals.insert(request.server_id, interval),
            None => _ = intervals.remove(&request.server_id),
        }
        Ok(Intervals::default())
    }

    async fn list_kinds(
        &self,
        _: &Context,
        _: ListKindsRequest,
    ) -> Result<ListKindsResponse, Status> {
        let set = Intervals {
            servers: self.intervals.lock().unwrap().clone(),
            ..Intervals::default()
        };
        let kind = Kind {
            name: "host".to_owned(),
            ..Kind::default()
        };
        let state = KindState {
            kind: Some(kind),
            intervals: Some(set),
            ..KindState::default()
        };
        Ok(ListKindsResponse { kinds: vec![state] })
    }

    async fn list_refreshed(
        &self,
        _: &Context,
        _: ListRefreshedRequest,
    ) -> Result<RefreshedBatch, Status> {
        Ok(RefreshedBatch::default())
    }
}
