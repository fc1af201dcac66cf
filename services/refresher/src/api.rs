//! What the refresher answers.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::refresher::{
    Intervals, KindState, ListKindsRequest, ListKindsResponse, ListRefreshedRequest,
    RefreshNowRequest, RefreshNowResponse, RefreshedBatch, Refresher, SetIntervalRequest,
};
use contracts::{ObjectRef, Status, names};
use kit::records::{Decision, Stored};
use tokio::sync::oneshot;

use crate::core::intervals;
use crate::core::plan::line::Key;
use crate::shared::{Shared, Waiter};
use crate::store::Settings;

pub(crate) struct Api {
    shared: Arc<Shared>,
    settings: Settings,
}

impl Api {
    pub(crate) fn new(shared: Arc<Shared>, settings: Settings) -> Self {
        Self { shared, settings }
    }

    /// Puts one refresh into the line.
    fn ask(
        &self,
        context: &Context,
        key: Key,
    ) -> Result<oneshot::Receiver<contracts::refresher::Refreshed>, Status> {
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter {
            job_id: context.job_id.clone(),
            trace_parent: context.trace_parent.clone(),
            reply,
        };
        // First, so that it is not begun without.
        self.shared.wait_for(key.clone(), waiter);
        let now_ms = self.shared.now_ms();
        self.shared.plan().ask(key, now_ms)?;
        Ok(answer)
    }
}

#[async_trait]
impl Refresher for Api {
    async fn refresh(
        &self,
        context: &Context,
        request: RefreshNowRequest,
    ) -> Result<RefreshNowResponse, Status> {
        names::check_id("target_id", &request.target_id)?;
        if !request.object_id.is_empty() {
            names::check_id("object_id", &request.object_id)?;
        }
        let (target_id, object_kind) = (&request.target_id, &request.object_kind);
        let kinds = self
            .shared
            .plan()
            .kinds_for(target_id, object_kind, &request.kinds)?;
        let mut answers = Vec::new();
        for kind in kinds {
            let key = Key {
                kind,
                target_id: target_id.clone(),
                object_id: request.object_id.clone(),
            };
            answers.push(self.ask(context, key)?);
        }
        self.shared.wake.notify_one();
        let mut refreshed = Vec::new();
        for answer in answers {
            refreshed.push(answer.await.map_err(|_| gone(&request))?);
        }
        Ok(RefreshNowResponse { refreshed })
    }

    async fn set_interval(
        &self,
        context: &Context,
        request: SetIntervalRequest,
    ) -> Result<Intervals, Status> {
        {
            let plan = self.shared.plan();
            intervals::check(plan.kind(&request.kind)?, &request)?;
        }
        let group_id = &request.group_id;
        if !group_id.is_empty() && self.settings.groups.get(group_id)?.is_none() {
            return Err(Status::not_found(ObjectRef::new(
                "host_group",
                group_id,
                "",
            )));
        }
        let decide = |current: Option<&Stored<Intervals>>| {
            let current = current.map(|c| c.value.clone());
            let before = current.clone().unwrap_or_default();
            let after = intervals::changed(&before, &request)?;
            Ok(if current.as_ref() == Some(&after) {
                Decision::Keep(after)
            } else {
                Decision::Put(after.clone(), after)
            })
        };
        let records = &self.settings.intervals;
        records.update(context, &request.kind, decide).await
    }

    async fn list_kinds(
        &self,
        _: &Context,
        _: ListKindsRequest,
    ) -> Result<ListKindsResponse, Status> {
        let (plan, now_ms) = (self.shared.plan(), self.shared.now_ms());
        let counts = plan.counts(now_ms);
        let sums = self.shared.ledger().sums();
        let state = |(kind, service, is_served): (&contracts::refresher::Kind, &str, bool)| {
            let count = counts.get(&kind.name).copied().unwrap_or_default();
            let sum = sums.get(&kind.name).copied().unwrap_or_default();
            KindState {
                kind: Some(kind.clone()),
                service: service.to_owned(),
                is_served,
                intervals: plan.intervals(&kind.name).cloned(),
                targets: count.targets,
                off: count.off,
                passed_over: count.passed_over,
                failing: sum.failing,
                bytes: sum.bytes,
            }
        };
        Ok(ListKindsResponse {
            kinds: plan.kinds(now_ms).map(state).collect(),
        })
    }

    async fn list_refreshed(
        &self,
        _: &Context,
        request: ListRefreshedRequest,
    ) -> Result<RefreshedBatch, Status> {
        Ok(self.shared.ledger().page(&request.next))
    }
}

/// Only a stop of the service drops what waits.
fn gone(request: &RefreshNowRequest) -> Status {
    let object = ObjectRef::new(&request.object_kind, &request.target_id, "");
    let message = format!("The refresh of {} was not done.", object.describe());
    Status::unavailable(message).action("Try again.")
}
