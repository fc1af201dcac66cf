//! What a refresh has found is told to jobs: for each object one that has ended, with what changed on it.

use contracts::call::Context;
use contracts::inventory::Host;
use contracts::jobs::{FoundChange, RecordRequest};
use contracts::records::Record;
use contracts::{ObjectRef, diff};

use super::Api;
use crate::core::lock::Held;

/// Property that says which job has an object: no change of the object.
const HOLDER: &str = "job_id";

impl Api {
    /// In which one object is written that was found to have changed: its event names the job that will tell of it.
    pub(super) fn as_found(&self, context: &Context) -> Context {
        let mut own = context.clone();
        own.job_id = self.fleet.world.new_id();
        own
    }

    /// `before` is as new where there was nothing.
    pub(super) fn change_of<R: Record + Held + Grouped>(
        &self,
        own: &Context,
        before: &R,
        after: &R,
    ) -> FoundChange {
        let mut changes = diff::changes(Some(before), Some(after));
        changes.retain(|change| change.property != HOLDER);
        FoundChange {
            job_id: own.job_id.clone(),
            target: Some(after.object()),
            group_id: after.group_id().to_owned(),
            found_ms: self.fleet.now_ms(),
            changes,
            ..FoundChange::default()
        }
    }

    /// What a refresher has found on a host.
    pub(super) async fn record_found(
        &self,
        context: &Context,
        kind: &str,
        host: &Host,
        mut found: Vec<FoundChange>,
    ) {
        for change in &mut found {
            change.message = format!("Found on host {} by refresher {kind}.", host.name);
        }
        let mut telling = Context::new("system");
        telling.job_id.clone_from(&context.job_id);
        telling.trace_parent.clone_from(&context.trace_parent);
        self.record(telling, found).await;
    }

    /// The records are written by now. If jobs cannot be told, the events of the changes are all that is left of it.
    pub(super) async fn record(&self, mut telling: Context, found: Vec<FoundChange>) {
        if found.is_empty() {
            return;
        }
        let objects: Vec<String> = found
            .iter()
            .filter_map(|change| change.target.as_ref().map(ObjectRef::describe))
            .collect();
        // Told again while no answer comes: each has its id.
        telling.idempotency_key = self.fleet.world.new_id();
        if let Err(status) = self.jobs.record(&telling, &RecordRequest { found }).await {
            tracing::warn!(?objects, %status, "what changed is not among the jobs");
        }
    }
}

/// Records that belong to a host group.
pub(super) trait Grouped {
    fn group_id(&self) -> &str;
}

impl Grouped for contracts::inventory::Vm {
    fn group_id(&self) -> &str {
        &self.group_id
    }
}

impl Grouped for Host {
    fn group_id(&self) -> &str {
        &self.group_id
    }
}
