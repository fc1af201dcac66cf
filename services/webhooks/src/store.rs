//! The records of webhooks.

use std::sync::Arc;

use contracts::call::Context;
use contracts::records::indexes;
use contracts::webhooks::{DeadLetter, Webhook, WebhookLease, WebhookState};
use contracts::{ObjectRef, Status, names, subjects};
use kit::bus::{Bus, BusError, LogInfo};
use kit::records::{Decision, Records, Stored};
use kit::rpc::Gate;
use kit::service::Parts;
use kit::world::World;

use crate::Config;

/// Dead letters of one webhook; of more the oldest are forgotten.
const DEAD_LETTERS_MAX: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) webhooks: Records<Webhook>,
    pub(crate) states: Records<WebhookState>,
    pub(crate) lease: Records<WebhookLease>,
    dead_letters: Records<DeadLetter>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) world: World,
}

fn system() -> Context {
    Context::new("system")
}

impl Desk {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Self, Arc<dyn Gate>)> {
        let store = parts.open_store()?;
        let desk = Self {
            webhooks: store.own().await?,
            states: store.own().await?,
            lease: store.own().await?,
            dead_letters: store.own().await?,
            bus: Arc::clone(&parts.bus),
            world: parts.world.clone(),
        };
        Ok((desk, store))
    }

    /// The stream of events as it is; `None` before the first one.
    pub(crate) async fn stream(&self) -> Result<Option<LogInfo>, BusError> {
        match self.bus.info(subjects::EVENTS).await {
            Ok(info) => Ok(Some(info)),
            Err(BusError::NoLog(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn webhook(&self, id: &str) -> Result<Stored<Webhook>, Status> {
        names::check_id("id", id)?;
        let unknown = || Status::not_found(ObjectRef::new("webhook", id, ""));
        self.webhooks.get(id)?.ok_or_else(unknown)
    }

    pub(crate) fn state(&self, id: &str) -> Result<WebhookState, Status> {
        Ok(self
            .states
            .get(id)?
            .map(|stored| stored.value)
            .unwrap_or_default())
    }

    /// Changes how far deliveries have got.
    pub(crate) async fn advance(
        &self,
        id: &str,
        change: impl Fn(&mut WebhookState) + Send + Sync,
    ) -> Result<(), Status> {
        self.states
            .update(&system(), id, |current| {
                let mut state = current.map(|c| c.value.clone()).unwrap_or_default();
                change(&mut state);
                Ok(Decision::Put(state, ()))
            })
            .await
    }

    /// Oldest first.
    pub(crate) fn dead_letters(&self, webhook_id: &str) -> Result<Vec<Stored<DeadLetter>>, Status> {
        let mut letters = self.dead_letters.find(indexes::WEBHOOK, webhook_id)?;
        letters.sort_by_key(|letter| letter.value.sequence);
        Ok(letters)
    }

    pub(crate) async fn bury(&self, letter: DeadLetter) -> Result<(), Status> {
        let there = self.dead_letters(&letter.webhook_id)?;
        let surplus = (there.len() + 1).saturating_sub(DEAD_LETTERS_MAX);
        for oldest in there.iter().take(surplus) {
            self.forget(&oldest.id).await?;
        }
        let id = format!("{}-{}", letter.webhook_id, letter.sequence);
        self.dead_letters
            .update(&system(), &id, |_| Ok(Decision::Put(letter.clone(), ())))
            .await
    }

    /// Forgets a dead letter.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), Status> {
        self.dead_letters
            .update(&system(), id, |current| {
                Ok(match current {
                    Some(_) => Decision::Delete(()),
                    None => Decision::Keep(()),
                })
            })
            .await
    }

    /// A webhook with all that belongs to it.
    pub(crate) async fn remove(&self, context: &Context, id: &str) -> Result<(), Status> {
        self.webhooks
            .update(context, id, |current| {
                Ok(match current {
                    Some(_) => Decision::Delete(()),
                    None => Decision::Keep(()),
                })
            })
            .await?;
        for letter in self.dead_letters(id)? {
            self.forget(&letter.id).await?;
        }
        self.states
            .update(context, id, |current| {
                Ok(match current {
                    Some(_) => Decision::Delete(()),
                    None => Decision::Keep(()),
                })
            })
            .await
    }
}
