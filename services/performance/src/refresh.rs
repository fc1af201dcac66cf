//! Refreshes of what is used: a host of which nothing was heard lately is asked to say it.
//!
//! It says it to all who hear samples, so every instance has it, whichever asked.

use async_trait::async_trait;
use contracts::call::Context;
use contracts::host::{HostClient, SendSamplesRequest};
use contracts::refresher::{
    ListTargetsRequest, ListTargetsResponse, RefreshRequest, RefreshResponse, Refreshable,
};
use contracts::{ObjectRef, Status, names};

use crate::api::Api;
use crate::core::refresh;

#[async_trait]
impl Refreshable for Api {
    async fn list_targets(
        &self,
        _: &Context,
        request: ListTargetsRequest,
    ) -> Result<ListTargetsResponse, Status> {
        let hosts = self.measured.hosts.list()?;
        let hosts = hosts.iter().map(|host| &host.value);
        Ok(refresh::targets(hosts, &request.known_digest))
    }

    async fn refresh(
        &self,
        context: &Context,
        request: RefreshRequest,
    ) -> Result<RefreshResponse, Status> {
        refresh::check(&request.kind)?;
        names::check_id("target_id", &request.target_id)?;
        let is_asked_for = !context.job_id.is_empty();
        let minute = self.measured.minute();
        let is_fresh = self.measured.fleet().has_heard(&request.target_id, minute);
        if is_fresh && !is_asked_for {
            return Ok(refresh::response(None));
        }
        let mut asking = Context::new("system");
        asking.trace_parent.clone_from(&context.trace_parent);
        let host = HostClient::new(self.caller.clone(), &request.target_id);
        let sent = host.send_samples(&asking, &SendSamplesRequest {}).await;
        // The host did not do its part: the error is about it.
        let blamed =
            sent.map_err(|status| status.about(ObjectRef::new("host", &request.target_id, "")));
        Ok(refresh::response(Some(&blamed?)))
    }
}
