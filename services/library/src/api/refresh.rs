//! Refreshes: a library server looks at a share afresh. It reports what differs before it answers, so that what was found
//! is in the records by then. A look that takes long goes on by itself, and can be asked after by its name.

use std::sync::Arc;
use std::time::Duration;

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

/// How long a look is waited for that is due, within the time that a refresh has. Then it goes on by itself.
const DUE_WAIT: Duration = Duration::from_secs(20);

/// How long people wait before they hear how far a look is.
pub(super) const ASKED_WAIT: Duration = Duration::from_secs(2);

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
        let found = self.look(context, &share, "", DUE_WAIT).await?;
        // What a look that goes on has to tell is a change too.
        let outcome = match refresh::is_changed(&found) || found.in_work {
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
    /// Has a share looked at, or asks after a look, and tells jobs what was found.
    pub(super) async fn look(
        &self,
        context: &Context,
        share: &Share,
        look: &str,
        wait: Duration,
    ) -> Result<Found, Status> {
        let found = self.ask(context, share, look, wait).await?;
        if found.in_work && look.is_empty() {
            self.follow(context, share, &found.look);
        }
        Ok(found)
    }

    /// Whoever asked may not come back, and what was found is told all the same.
    fn follow(&self, context: &Context, share: &Share, look: &str) {
        let mut own = Context::new("system");
        own.job_id.clone_from(&context.job_id);
        own.trace_parent.clone_from(&context.trace_parent);
        let (api, share, look) = (self.clone(), share.clone(), look.to_owned());
        tokio::spawn(async move {
            let following = async {
                while api.ask(&own, &share, &look, DUE_WAIT).await?.in_work {}
                Ok::<(), Status>(())
            };
            if let Some(Err(status)) = api.stop.run_until_cancelled(following).await {
                tracing::warn!(share = share.id, %status, "what a look finds may not be among the jobs");
            }
        });
    }

    async fn ask(
        &self,
        context: &Context,
        share: &Share,
        look: &str,
        wait: Duration,
    ) -> Result<Found, Status> {
        let items = self.desk.items_of(&share.id)?;
        let known = report::known(items.iter().map(Arc::as_ref));
        let request = LookRequest {
            share_id: share.id.clone(),
            digest: digest::machines(&known),
            look: look.to_owned(),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
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
            self.record(context, share, &found.look, message).await;
        }
        Ok(found)
    }

    /// The records are written by now: that jobs cannot be told is no failure.
    async fn record(&self, context: &Context, share: &Share, look: &str, message: String) {
        let mut telling = Context::new("system");
        telling.job_id.clone_from(&context.job_id);
        telling.trace_parent.clone_from(&context.trace_parent);
        // One look is one job, however many ask after it.
        let job_id = refresh::job_id(share, look);
        telling.idempotency_key.clone_from(&job_id);
        let found = FoundChange {
            job_id,
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
