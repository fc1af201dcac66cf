//! Webhooks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{id, time};
use crate::webhooks;

/// Events as signed HTTP requests to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    pub id: String,
    pub name: String,
    pub url: String,
    /// Kinds whose events are delivered; empty: all.
    pub kinds: Vec<String>,
    /// Verbs whose events are delivered; empty: all.
    pub verbs: Vec<String>,
    /// Only events of this host group.
    pub group_id: Option<String>,
    pub enabled: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    pub created_by: String,
    /// Events that were delivered until now.
    pub delivered: u64,
    /// Events that were given up until now.
    pub given_up: u64,
    /// Events that were given up and are kept.
    pub dead_letters: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_delivery: Option<jiff::Timestamp>,
    /// Why the last try did not work; empty when it did.
    pub problem: String,
    /// How often the next event was tried in vain.
    pub attempts: u32,
}

impl From<webhooks::Listed> for Webhook {
    fn from(message: webhooks::Listed) -> Self {
        let webhooks::Listed {
            webhook,
            state,
            dead_letters,
        } = message;
        let webhooks::Webhook {
            id: webhook_id,
            name,
            url,
            kinds,
            verbs,
            group_id,
            enabled,
            // It never leaves the service.
            secret: _,
            created_ms,
            created_by,
            // Of the service's own concern.
            after_sequence: _,
        } = webhook.unwrap_or_default();
        let webhooks::WebhookState {
            sequence: _,
            stream_created: _,
            delivered,
            given_up,
            problem,
            attempts,
            last_delivery_ms,
        } = state.unwrap_or_default();
        Self {
            id: webhook_id,
            name,
            url,
            kinds,
            verbs,
            group_id: id(group_id),
            enabled,
            created: time(created_ms),
            created_by,
            delivered,
            given_up,
            dead_letters,
            last_delivery: time(last_delivery_ms),
            problem,
            attempts,
        }
    }
}

impl From<webhooks::Webhook> for Webhook {
    fn from(webhook: webhooks::Webhook) -> Self {
        Self::from(webhooks::Listed {
            webhook: Some(webhook),
            ..webhooks::Listed::default()
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    pub items: Vec<Webhook>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    pub name: String,
    /// http or https.
    pub url: String,
    /// `vm`, `host`, `host_group`, `job`; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// `created`, `updated`, `state_changed`, `moved`, `deleted`; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// Only events of this host group, by id or name; those of groups below it are not among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWebhook {
    pub enabled: bool,
}

/// A webhook that was just made, with its secret, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewWebhook {
    pub webhook: Webhook,
    /// `whsec_` and the secret in base64.
    pub secret: String,
}

impl From<webhooks::Created> for NewWebhook {
    fn from(message: webhooks::Created) -> Self {
        let webhooks::Created { webhook, secret } = message;
        Self {
            webhook: webhook.unwrap_or_default().into(),
            secret,
        }
    }
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookTest {
    pub taken: bool,
    /// Why not.
    pub problem: String,
}

impl From<webhooks::TestResponse> for WebhookTest {
    fn from(message: webhooks::TestResponse) -> Self {
        let webhooks::TestResponse { taken, problem } = message;
        Self { taken, problem }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterList {
    pub items: Vec<DeadLetter>,
}

impl From<webhooks::DeadLettersResponse> for DeadLetterList {
    fn from(message: webhooks::DeadLettersResponse) -> Self {
        let webhooks::DeadLettersResponse { dead_letters } = message;
        Self {
            items: dead_letters.into_iter().map(Into::into).collect(),
        }
    }
}

/// An event that an endpoint did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Place of the event in the stream.
    pub sequence: u64,
    /// As in the header `webhook-id`.
    pub message_id: String,
    /// The JSON that was sent.
    pub body: String,
    pub problem: String,
    pub attempts: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub given_up: Option<jiff::Timestamp>,
}

impl From<webhooks::DeadLetter> for DeadLetter {
    fn from(message: webhooks::DeadLetter) -> Self {
        let webhooks::DeadLetter {
            webhook_id: _,
            sequence,
            message_id,
            body,
            problem,
            attempts,
            given_up_ms,
        } = message;
        Self {
            sequence,
            message_id,
            body: String::from_utf8_lossy(&body).into_owned(),
            problem,
            attempts,
            given_up: time(given_up_ms),
        }
    }
}

/// What came of sending dead letters again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Redelivery {
    pub delivered: u64,
    pub left: u64,
    /// Why the rest was not taken.
    pub problem: String,
}

impl From<webhooks::RedeliverResponse> for Redelivery {
    fn from(message: webhooks::RedeliverResponse) -> Self {
        let webhooks::RedeliverResponse {
            delivered,
            left,
            problem,
        } = message;
        Self {
            delivered,
            left,
            problem,
        }
    }
}
