//! Hosts that make themselves known, and the tokens that let them in.

use std::time::Duration;

use contracts::call::Context;
use contracts::inventory::{
    CreateJoinTokenRequest, Host, JoinToken, JoinTokenSecret, RegisterRequest, RegisterResponse,
};
use contracts::jobs::{HostAdd, Job, JobParams, JobState, SubmitRequest, job_params};
use contracts::{Status, names};
use kit::records::Decision;
use uuid::Uuid;

use super::Api;
use crate::core::{registration, token};

/// How long jobs may take to accept a host. Less than an agent waits for its registration.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(5);

const WAITS_FOR_APPROVAL: &str = "This host waits for an administrator's approval. Approve it, or set a join token at the agent.";

impl Api {
    pub(super) async fn register_host(
        &self,
        context: &Context,
        request: RegisterRequest,
    ) -> Result<RegisterResponse, Status> {
        registration::check(&request)?;
        let now_ms = self.fleet.now_ms();
        let known = self.fleet.hosts.get(&request.host_id)?;
        let is_known = known.is_some_and(|host| registration::is_approved(&host.value));
        let invited = if is_known || request.join_token.is_empty() {
            None
        } else {
            Some(self.check_token(&request.join_token, now_ms).await?)
        };
        let host = self
            .fleet
            .hosts
            .update(context, &request.host_id, |current| {
                registration::register(current.map(|c| &c.value), &request, now_ms)
            })
            .await?;
        let approved = registration::is_approved(&host);
        let message = match invited {
            _ if approved => String::new(),
            None => WAITS_FOR_APPROVAL.to_owned(),
            Some(token) => self.ask_for_approval(context, &host, &token).await,
        };
        Ok(RegisterResponse { approved, message })
    }

    /// From the log itself: the token may have been made a moment ago at another instance.
    async fn check_token(&self, shown: &str, now_ms: i64) -> Result<JoinToken, Status> {
        let (id, secret) = token::split(shown)?;
        let kept = self.fleet.latest::<JoinToken>(id).await?.value;
        token::verify(kept.as_ref(), secret, now_ms)?;
        Ok(kept.unwrap_or_default())
    }

    /// Submits the job that approves the host; answers what the agent should log. The agent registers again until it is
    /// approved, so what does not work now is tried again then, and the key makes it one job however often.
    async fn ask_for_approval(&self, context: &Context, host: &Host, token: &JoinToken) -> String {
        let mut system = Context::new("system").with_timeout(SUBMIT_PATIENCE);
        system.idempotency_key = format!("host_add-{}-{}", host.id, host.created_ms);
        system.trace_parent.clone_from(&context.trace_parent);
        system.saw_all(&context.seen());
        let add = HostAdd {
            host_id: host.id.clone(),
            group_id: token.group_id.clone(),
        };
        let request = SubmitRequest {
            params: Some(JobParams {
                kind: Some(job_params::Kind::HostAdd(add)),
            }),
            ..SubmitRequest::default()
        };
        match self.jobs.submit(&system, &request).await {
            Ok(answer) => progress_of(&answer.job.unwrap_or_default()),
            Err(status) => {
                tracing::warn!(host = host.id, %status, "the job that adds the host was not submitted");
                format!(
                    "The job that adds this host could not be submitted; it is tried again. {status}"
                )
            }
        }
    }

    pub(super) async fn make_join_token(
        &self,
        context: &Context,
        request: CreateJoinTokenRequest,
    ) -> Result<JoinTokenSecret, Status> {
        let now_ms = self.fleet.now_ms();
        let expires_ms = token::expiry_ms(request.lifetime_secs, now_ms)?;
        let group_id = self.known_group(&request.group_id)?;
        let id = Uuid::new_v4().simple().to_string();
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let record = JoinToken {
            id: id.clone(),
            hash: token::hash(&secret),
            group_id: group_id.to_owned(),
            expires_ms,
            created_ms: now_ms,
            created_by: names::shorten(&context.principal),
        };
        self.fleet
            .tokens
            .update(context, &id, |_| Ok(Decision::Put(record.clone(), ())))
            .await?;
        Ok(JoinTokenSecret {
            token: format!("{id}.{secret}"),
            expires_ms,
        })
    }
}

fn progress_of(job: &Job) -> String {
    match job.state() {
        JobState::Failed | JobState::Cancelled | JobState::Stuck => format!(
            "Job {} that adds this host has ended without success: {}. Restart the job, or approve the host by hand.",
            job.id,
            job.problem
                .as_ref()
                .map_or("no reason is known", |p| p.message.as_str()),
        ),
        _ => format!("Job {} adds this host.", job.id),
    }
}
