//! One webhook's courier: takes events in the order of the stream, and goes on when one is taken or given up.

use std::time::Duration;

use bytes::Bytes;
use contracts::common::Event;
use contracts::webhooks::{DeadLetter, Webhook, WebhookState};
use contracts::{Status, rest, subjects};
use futures::StreamExt as _;
use kit::bus::{BusError, LogEntry, headers};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::core::message;
use crate::core::retry::{self, Next, Patience, Problem};
use crate::core::webhook::wants;
use crate::send::{Letter, Sender};
use crate::store::Desk;

/// Before the stream is looked at again after something did not work.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Events that are not wanted are noted as done when there are so many of them.
const UNWANTED_MAX: u64 = 500;

pub(crate) struct Courier {
    pub(crate) desk: Desk,
    pub(crate) sender: std::sync::Arc<Sender>,
    pub(crate) patience: Patience,
    pub(crate) webhook: Webhook,
    /// A delivery that is under way ends by itself, within the time that endpoints have.
    pub(crate) stop: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
enum CourierError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("{0}")]
    Record(Status),
}

impl From<Status> for CourierError {
    fn from(status: Status) -> Self {
        Self::Record(status)
    }
}

impl Courier {
    pub(crate) async fn run(self) {
        let id = &self.webhook.id;
        while !self.stop.is_cancelled() {
            if let Err(error) = self.follow().await {
                tracing::warn!(webhook = id, %error, "deliveries wait; trying again");
            }
            self.pause(RETRY_INTERVAL).await;
        }
    }

    async fn pause(&self, time: Duration) {
        self.stop
            .run_until_cancelled(tokio::time::sleep(time))
            .await;
    }

    /// Reads on from where deliveries have got, until the stream has to be looked at again.
    async fn follow(&self) -> Result<(), CourierError> {
        let Some(stream) = self.desk.stream().await? else {
            return Ok(());
        };
        let id = self.webhook.id.as_str();
        let state = self.desk.state(id)?;
        let mut done = start(&self.webhook, &state, &stream.created, stream.last_sequence);
        let (log, all) = (subjects::EVENTS, subjects::all_events());
        let mut entries = self.desk.bus.read(log, &all, done + 1).await?;
        while let Some(Some(entry)) = self.stop.run_until_cancelled(entries.next()).await {
            let entry = entry?;
            let event = Event::decode(entry.message.payload.clone()).ok();
            match event.filter(|event| wants(&self.webhook, event)) {
                Some(event) => {
                    if !self.deliver(&entry, event, &stream.created).await? {
                        return Ok(());
                    }
                    done = entry.sequence;
                }
                None if entry.sequence - done >= UNWANTED_MAX => {
                    self.note_done(entry.sequence, &stream.created, |_| {})
                        .await?;
                    done = entry.sequence;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Tries until it is taken or given up. False: stopped before.
    async fn deliver(
        &self,
        entry: &LogEntry,
        event: Event,
        stream: &str,
    ) -> Result<bool, CourierError> {
        let name = entry.message.get(headers::MESSAGE_ID).unwrap_or_default();
        let letter = Letter {
            id: message::id(name),
            body: Bytes::from(message::body(rest::Event::new(entry.sequence, event))),
        };
        let webhook = &self.webhook;
        let mut attempts = self.desk.state(&webhook.id)?.attempts;
        while !self.stop.is_cancelled() {
            attempts += 1;
            let Err(problem) = self
                .sender
                .send(&webhook.url, &webhook.secret, &letter)
                .await
            else {
                let now_ms = self.desk.world.now_ms();
                self.note_done(entry.sequence, stream, |state| {
                    state.delivered += 1;
                    state.last_delivery_ms = now_ms;
                    state.problem.clear();
                })
                .await?;
                return Ok(true);
            };
            match retry::next(&problem, attempts, &self.patience) {
                Next::GiveUp => {
                    self.give_up(entry.sequence, stream, &letter, &problem, attempts)
                        .await?;
                    return Ok(true);
                }
                Next::After(pause) => {
                    let note = |state: &mut WebhookState| {
                        state.attempts = attempts;
                        state.problem = problem.to_string();
                    };
                    self.desk.advance(&webhook.id, note).await?;
                    self.pause(pause).await;
                }
            }
        }
        Ok(false)
    }

    async fn give_up(
        &self,
        sequence: u64,
        stream: &str,
        letter: &Letter,
        problem: &Problem,
        attempts: u32,
    ) -> Result<(), CourierError> {
        let webhook = self.webhook.id.as_str();
        tracing::warn!(webhook, sequence, %problem, attempts, "an event was given up and is a dead letter now");
        let dead = DeadLetter {
            webhook_id: webhook.to_owned(),
            sequence,
            message_id: letter.id.clone(),
            body: letter.body.to_vec(),
            problem: problem.to_string(),
            attempts,
            given_up_ms: self.desk.world.now_ms(),
        };
        // First kept, then passed over: a crash between the two tries it once more.
        self.desk.bury(dead).await?;
        self.note_done(sequence, stream, |state| {
            state.given_up += 1;
            state.problem = problem.to_string();
        })
        .await
    }

    async fn note_done(
        &self,
        sequence: u64,
        stream: &str,
        more: impl Fn(&mut WebhookState) + Send + Sync,
    ) -> Result<(), CourierError> {
        let note = |state: &mut WebhookState| {
            state.sequence = sequence;
            stream.clone_into(&mut state.stream_created);
            state.attempts = 0;
            more(state);
        };
        Ok(self.desk.advance(&self.webhook.id, note).await?)
    }
}

/// After which event deliveries go on.
fn start(webhook: &Webhook, state: &WebhookState, created: &str, last: u64) -> u64 {
    let is_new = state.stream_created.is_empty();
    let (known, sequence) = match is_new {
        true => (true, webhook.after_sequence),
        false => (state.stream_created == created, state.sequence),
    };
    if known && sequence <= last {
        return sequence;
    }
    tracing::error!(
        webhook = webhook.id,
        "the stream of events was lost or restored; deliveries begin with its first event"
    );
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_go_on_where_they_were_and_begin_anew_in_a_new_stream() {
        let webhook = Webhook {
            after_sequence: 7,
            ..Webhook::default()
        };
        let at = |sequence: u64, stream: &str| WebhookState {
            sequence,
            stream_created: stream.to_owned(),
            ..WebhookState::default()
        };
        assert_eq!(start(&webhook, &at(0, ""), "now", 9), 7);
        assert_eq!(start(&webhook, &at(8, "now"), "now", 9), 8);
        assert_eq!(start(&webhook, &at(8, "before"), "now", 9), 0);
        assert_eq!(start(&webhook, &at(8, "now"), "now", 5), 0);
    }
}
