//! What the webhooks service answers.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::webhooks::{
    CreateRequest, Created, DeadLettersResponse, EnableRequest, ListResponse, Listed,
    RedeliverResponse, TestResponse, Webhook, WebhookRef, Webhooks,
};
use contracts::{Status, rest};
use kit::records::Decision;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::{Duration, Instant};

use crate::Config;
use crate::core::{message, webhook};
use crate::send::{Letter, Sender};
use crate::store::Desk;

/// How long dead letters are sent again in one call: with the last one below the call's own 60 s.
const REDELIVERY_TIME: Duration = Duration::from_secs(30);

pub(crate) struct Api {
    desk: Desk,
    sender: Arc<Sender>,
    config: Config,
}

impl Api {
    pub(crate) fn new(desk: Desk, sender: Arc<Sender>, config: Config) -> Self {
        Self {
            desk,
            sender,
            config,
        }
    }

    fn all(&self) -> Result<Vec<Webhook>, Status> {
        let stored = self.desk.webhooks.list()?.into_iter();
        Ok(stored.map(|stored| stored.value).collect())
    }

    fn listed(&self, webhook: Webhook) -> Result<Listed, Status> {
        Ok(Listed {
            state: Some(self.desk.state(&webhook.id)?),
            dead_letters: self.desk.dead_letters(&webhook.id)?.len() as u64,
            webhook: Some(webhook::without_secret(webhook)),
        })
    }
}

fn new_secret() -> Result<Vec<u8>, Status> {
    let mut secret = vec![0; message::SECRET_BYTES];
    let filled = SystemRandom::new().fill(&mut secret);
    filled.map_err(|_| Status::internal("The system gives no randomness for a secret."))?;
    Ok(secret)
}

#[async_trait]
impl Webhooks for Api {
    async fn create(&self, context: &Context, request: CreateRequest) -> Result<Created, Status> {
        webhook::check(&request, self.config.reach())?;
        webhook::check_room(&request.name, &self.all()?)?;
        let stream = self.desk.stream().await;
        let stream = stream.map_err(|error| {
            Status::unavailable(format!("The events cannot be read now: {error}."))
                .action("Try again in a moment.")
        })?;
        let secret = new_secret()?;
        let webhook = Webhook {
            id: self.desk.world.new_id(),
            name: request.name,
            url: request.url,
            kinds: request.kinds,
            verbs: request.verbs,
            group_id: request.group_id,
            enabled: true,
            secret: secret.clone(),
            created_ms: self.desk.world.now_ms(),
            created_by: context.principal.clone(),
            after_sequence: stream.map_or(0, |stream| stream.last_sequence),
        };
        let record = webhook.clone();
        self.desk
            .webhooks
            .update(context, &webhook.id, |_| {
                Ok(Decision::Put(record.clone(), ()))
            })
            .await?;
        Ok(Created {
            webhook: Some(webhook::without_secret(webhook)),
            secret: message::shown(&secret),
        })
    }

    async fn list(&self, _context: &Context, _request: Empty) -> Result<ListResponse, Status> {
        let mut webhooks = self.all()?;
        webhooks.sort_by(|a, b| a.name.cmp(&b.name));
        let listed = webhooks.into_iter().map(|webhook| self.listed(webhook));
        Ok(ListResponse {
            webhooks: listed.collect::<Result<_, Status>>()?,
        })
    }

    async fn remove(&self, context: &Context, request: WebhookRef) -> Result<Empty, Status> {
        let webhook = self.desk.webhook(&request.id)?;
        self.desk.remove(context, &webhook.id).await?;
        Ok(Empty {})
    }

    async fn enable(&self, context: &Context, request: EnableRequest) -> Result<Webhook, Status> {
        let id = self.desk.webhook(&request.id)?.id;
        let changed = self.desk.webhooks.update(context, &id, |current| {
            let Some(current) = current else {
                return Ok(Decision::Keep(None));
            };
            let webhook = Webhook {
                enabled: request.enabled,
                ..current.value.clone()
            };
            Ok(Decision::Put(webhook.clone(), Some(webhook)))
        });
        match changed.await? {
            Some(webhook) => Ok(webhook::without_secret(webhook)),
            None => Err(self.desk.webhook(&id).err().unwrap_or_default()),
        }
    }

    async fn test(&self, _context: &Context, request: WebhookRef) -> Result<TestResponse, Status> {
        let webhook = self.desk.webhook(&request.id)?.value;
        let event = rest::Event::new(
            0,
            contracts::common::Event {
                kind: "webhook".to_owned(),
                id: webhook.id.clone(),
                name: webhook.name.clone(),
                verb: "test".to_owned(),
                time_ms: self.desk.world.now_ms(),
                ..contracts::common::Event::default()
            },
        );
        let letter = Letter {
            id: message::id(&self.desk.world.new_id()),
            body: Bytes::from(message::body(event)),
        };
        let sent = self
            .sender
            .send(&webhook.url, &webhook.secret, &letter)
            .await;
        Ok(TestResponse {
            taken: sent.is_ok(),
            problem: sent
                .err()
                .map(|problem| problem.to_string())
                .unwrap_or_default(),
        })
    }

    async fn dead_letters(
        &self,
        _context: &Context,
        request: WebhookRef,
    ) -> Result<DeadLettersResponse, Status> {
        let webhook = self.desk.webhook(&request.id)?;
        let letters = self.desk.dead_letters(&webhook.id)?.into_iter();
        Ok(DeadLettersResponse {
            dead_letters: letters.map(|letter| letter.value).collect(),
        })
    }

    async fn redeliver(
        &self,
        _context: &Context,
        request: WebhookRef,
    ) -> Result<RedeliverResponse, Status> {
        let webhook = self.desk.webhook(&request.id)?.value;
        let letters = self.desk.dead_letters(&webhook.id)?;
        let mut answer = RedeliverResponse {
            left: letters.len() as u64,
            ..RedeliverResponse::default()
        };
        let begun = Instant::now();
        for dead in letters {
            if begun.elapsed() > REDELIVERY_TIME {
                answer.problem = "There was no time for the rest.".to_owned();
                break;
            }
            let letter = Letter {
                id: dead.value.message_id,
                body: Bytes::from(dead.value.body),
            };
            if let Err(problem) = self
                .sender
                .send(&webhook.url, &webhook.secret, &letter)
                .await
            {
                answer.problem = problem.to_string();
                break;
            }
            self.desk.forget(&dead.id).await?;
            answer.delivered += 1;
            answer.left -= 1;
        }
        Ok(answer)
    }
}
