//! Refreshes: a library server looks at a share afresh. It reports what differs before it answers, so that what was found
//! is in the records by then.

use async_trait::async_trait;
use contracts::call::Context;
use contracts::jobs::{FoundChange, RecordRequest};
use contracts::library::{Found, LookRequest, Share};
use contracts::refresher::{
    ListTargetsRequest, ListTargetsResponse, Outcome, RefreshRequest, RefreshResponse, Refreshable,
};
use contracts::{ObjectRef, Status, digest, names};
use prost::Message as _;

use super::Api;
use crate::core::{refresh, report};

#[async_trait]
impl Refreshable for Api {
    async fn list_targets(
        &self,
        _: &Context,
        request: ListTargetsRequest,
    ) -> Result<ListTargetsResponse, Status> {
        let shares = self.desk.all_shares()?;
        let shares = shares
            .iter()
            .map(|s| (s, self.heard.responds(&s.server_id)));
        Ok(refresh::targets(shares, &request.known_digest))
    }

    async fn refresh(
        &self,
        context: &Context,
        request: RefreshRequest,
    ) -> Result<RefreshResponse, Status> {
        if request.kind != refresh::LIBRARY {
            let message = format!("The library serves no refresher {:?}.", request.kind);
            return Err(Status::invalid("kind", message)
                .action("Update the caller or the library so that both are of one release."));
        }
        names::check_id("target_id", &request.target_id)?;
        let share = self.desk.share(&request.target_id)?;
        let found = self.look(context, &share).await?;
        let outcome = match refresh::is_changed(&found) {
            true => Outcome::Changed,
            false => Outcome::Unchanged,
        };
        Ok(RefreshResponse {
            outcome: outcome.into(),
            bytes: u64::try_from(found.encoded_len()).unwrap_or(u64::MAX),
            changed: found.new + found.changed + found.renamed + found.missing,
        })
    }
}

impl Api {
    /// Has a share looked at, and tells jobs what was found.
    pub(super) async fn look(&self, context: &Context, share: &Share) -> Result<Found, Status> {
        let items = self.desk.items_of(&share.id)?;
        let known = report::known(items.iter().map(|item| &item.value));
        let request = LookRequest {
            share_id: share.id.clone(),
            digest: digest::machines(&known),
        };
        let mut asking = Context::new("system");
        asking.trace_parent.clone_from(&context.trace_parent);
        let found = self.end(&share.server_id).look(&asking, &request).await;
        let server = self.desk.servers.get(&share.server_id)?.map(|s| s.value);
        let found = found.map_err(|status| {
            let name = server.as_ref().map_or("", |server| &server.name);
            status.about(ObjectRef::new("library_server", &share.server_id, name))
        })?;
        // The answer reflects what was reported meanwhile.
        context.saw_all(&asking.seen());
        if refresh::is_changed(&found) {
            let message = refresh::tell(share, server.as_ref(), &found);
            self.record(context, share, message).await;
        }
        Ok(found)
    }

    /// The records are written by now: that jobs cannot be told is no failure.
    async fn record(&self, context: &Context, share: &Share, message: String) {
        let mut telling = Context::new("system");
        telling.job_id.clone_from(&context.job_id);
        telling.trace_parent.clone_from(&context.trace_parent);
        // Told again while no answer comes: each has its id.
        telling.idempotency_key = self.desk.world.new_id();
        let found = FoundChange {
            job_id: self.desk.world.new_id(),
            target: Some(ObjectRef::new("library_share", &share.id, &share.name)),
            found_ms: self.desk.world.now_ms(),
            message,
            ..FoundChange::default()
        };
        let request = RecordRequest { found: vec![found] };
        if let Err(status) = self.jobs.record(&telling, &request).await {
            tracing::warn!(share = share.id, %status, "what was found is not among the jobs");
        }
    }
}
