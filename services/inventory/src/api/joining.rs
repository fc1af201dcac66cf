//! Hosts that make themselves known, and the tokens that let them in.

use std::time::Duration;

use contracts::call::Context;
use contracts::inventory::{
    CreateJoinTokenRequest, Host, JoinToken, JoinTokenSecret, RegisterRequest, RegisterResponse,
};
use contracts::{Code, Status, names};
use kit::records::Decision;
use uuid::Uuid;

use super::intake::AskTimes;
use super::{Api, millis};
use crate::core::registration::{self, Invitation, Registered};
use crate::core::token;

/// How long jobs may take to note that a host has joined. Less than an agent waits for its registration.
const RECORD_PATIENCE: Duration = Duration::from_secs(5);

/// Kind of job that lets a host in when an administrator asks for it.
const JOIN_KIND: &str = "host_add";

const WAITS_FOR_APPROVAL: &str = "This host waits for an administrator's approval. Approve it, or set a join token at the agent.";

/// Between two asks of any hosts that wait. An ask costs well under a millisecond.
const ASK_SPACING: Duration = Duration::from_millis(20);

/// When a host that waits asks again, if few do.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(2);

/// The longest that a host hears of its approval late.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(60);

pub(super) fn ask_times() -> AskTimes {
    AskTimes::within(ASK_AGAIN_MIN, ASK_AGAIN_MAX)
}

impl Api {
    pub(super) async fn register_host(
        &self,
        context: &Context,
        request: RegisterRequest,
    ) -> Result<RegisterResponse, Status> {
        registration::check(&request)?;
        let known = self.fleet.hosts.get(&request.host_id)?;
        let known = known.map(|host| host.value);
        if known.as_ref().is_some_and(registration::is_approved) || request.join_token.is_empty() {
            let registered = self.write_host(context, &request, None).await?;
            return Ok(self.answer(&registered.host, WAITS_FOR_APPROVAL.to_owned()));
        }
        let token = self.check_token(&request.join_token).await?;
        let group_id = match self.invited_group(&token).await {
            Err(status) if status.code() == Code::NotFound => {
                let registered = self.write_host(context, &request, None).await?;
                let word =
                    format!("The host group of the join token is gone. {WAITS_FOR_APPROVAL}");
                return Ok(self.answer(&registered.host, word));
            }
            other => other?,
        };
        let holder = known.map(|host| host.job_id).unwrap_or_default();
        let is_held = !holder.is_empty() && self.fleet.is_open(&holder).await?;
        let invitation = Invitation {
            group_id: &group_id,
            past_job: if is_held { "" } else { &holder },
        };
        let own = self.as_found(context);
        let registered = self.write_host(&own, &request, Some(&invitation)).await?;
        if registered.has_joined() {
            self.welcome(&own, &registered, &token).await;
        }
        let holder = &registered.host.job_id;
        let word = format!("Job {holder} has this host; it joins when the job is over.");
        Ok(self.answer(&registered.host, word))
    }

    fn answer(&self, host: &Host, why_not: String) -> RegisterResponse {
        if registration::is_approved(host) {
            return RegisterResponse {
                approved: true,
                ..RegisterResponse::default()
            };
        }
        RegisterResponse {
            approved: false,
            message: why_not,
            retry_after_ms: millis(self.ask_times.next(self.fleet.now_ms(), ASK_SPACING)),
        }
    }

    async fn write_host(
        &self,
        context: &Context,
        request: &RegisterRequest,
        invitation: Option<&Invitation<'_>>,
    ) -> Result<Registered, Status> {
        let now_ms = self.fleet.now_ms();
        let decide = |current: Option<&kit::records::Stored<Host>>| {
            registration::register(current.map(|c| &c.value), request, invitation, now_ms)
        };
        let hosts = &self.fleet.hosts;
        hosts.update(context, &request.host_id, decide).await
    }

    /// From the log itself: the token may have been made a moment ago at another instance.
    async fn check_token(&self, shown: &str) -> Result<JoinToken, Status> {
        let (id, secret) = token::split(shown)?;
        let kept = self.fleet.latest::<JoinToken>(id).await?.value;
        token::verify(kept.as_ref(), secret, self.fleet.now_ms())?;
        Ok(kept.unwrap_or_default())
    }

    /// The group may have been made a moment ago at another instance, too.
    async fn invited_group(&self, token: &JoinToken) -> Result<String, Status> {
        match self.known_group(&token.group_id) {
            Err(status) if status.code() == Code::NotFound => {
                self.fleet.catch_up(&self.fleet.groups).await?;
                self.known_group(&token.group_id).map(str::to_owned)
            }
            other => other.map(str::to_owned),
        }
    }

    /// What is left to do for a host that has just joined.
    async fn welcome(&self, own: &Context, registered: &Registered, token: &JoinToken) {
        let host = &registered.host;
        if let Err(status) = self.settle(own, host).await {
            tracing::warn!(host = host.id, %status, "the host has joined outside of its group");
        }
        let before = registered.before.clone().unwrap_or_default();
        let mut joined = self.change_of(own, &before, host);
        JOIN_KIND.clone_into(&mut joined.kind);
        joined.owner.clone_from(&token.created_by);
        joined.message = format!("Host {} joined with token {}.", host.name, token.id);
        let mut telling = Context::new("system").with_timeout(RECORD_PATIENCE);
        telling.trace_parent.clone_from(&own.trace_parent);
        self.record(telling, vec![joined]).await;
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
