//! One client of the events: catches up, then listens.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use contracts::{Status, rest, subjects};
use futures::StreamExt;
use kit::bus::{Bus, BusError, Entries};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::hub::{Hub, Item, KEPT, News, read};
use super::sse::{Gone, KEEP_ALIVE_INTERVAL, Sender, frame};
use crate::core::names::Names;
use crate::error::{Failure, Outcome};
use crate::store::Views;

/// A client this near to the shared reader subscribes: what comes while it reads the rest must fit into what is kept.
const NEAR: u64 = KEPT as u64 / 4;

/// How long the log may take to give an entry that it has.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// Where a client wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Now,
    After(u64),
}

/// Which events a client wants; what is not set takes all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) kinds: Vec<String>,
    /// With all groups below.
    pub(crate) group_id: Option<String>,
    pub(crate) id: Option<String>,
}

impl Filter {
    fn takes(&self, item: &Item, names: Option<&Names>) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&item.kind);
        let id = self.id.as_ref().is_none_or(|id| *id == item.id);
        let group = self.group_id.as_ref().is_none_or(|group| {
            let within = |names: &Names| names.is_within(&item.group_id, group);
            *group == item.group_id || names.is_some_and(within)
        });
        kind && id && group
    }
}

pub(crate) struct Client {
    pub(crate) hub: Arc<Hub>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) views: Arc<Views>,
    pub(crate) filter: Filter,
    pub(crate) out: Sender,
    pub(crate) stop: CancellationToken,
}

/// Why a stream ends.
enum Ended {
    Gone,
    /// It does not take events as fast as they come.
    TooSlow,
    Stopped,
    Log(BusError),
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// What the log has of what a client wants.
pub(crate) enum Found {
    /// Everything after this sequence.
    After(u64),
    /// Not what the client needs: the number is not one that the log has given.
    Nothing,
}

impl Client {
    /// Whether the log can continue from where the client was. Asked before the answer begins, so that a bus that
    /// is away is an error and not an empty stream.
    pub(crate) async fn find(hub: &Hub, bus: &dyn Bus, start: Start) -> Outcome<Found> {
        let Start::After(sequence) = start else {
            return Ok(Found::After(hub.head()));
        };
        let last = match bus.info(subjects::EVENTS).await {
            Ok(info) => info.last_sequence,
            Err(BusError::NoLog(_)) => 0,
            Err(error) => return Err(unreadable(&error)),
        };
        Ok(if sequence > last {
            Found::Nothing
        } else {
            Found::After(sequence)
        })
    }

    pub(crate) async fn run(self, found: Found) {
        let stop = self.stop.clone();
        let ended = tokio::select! {
            ended = self.stream(found) => ended.err(),
            () = self.out.gone() => Some(Ended::Gone),
            () = stop.cancelled() => Some(Ended::Stopped),
        };
        match ended {
            Some(Ended::TooSlow) => {
                tracing::info!("a client of the events is too slow and is cut off")
            }
            Some(Ended::Log(error)) => tracing::warn!(%error, "a client of the events is cut off"),
            Some(Ended::Gone | Ended::Stopped) | None => {}
        }
    }

    async fn stream(&self, found: Found) -> Result<(), Ended> {
        let (mut live, mut after) = match found {
            Found::After(sequence) => {
                self.out.send(opening(sequence)).await?;
                self.catch_up(sequence).await?
            }
            Found::Nothing => {
                let (live, head) = self.hub.subscribe();
                self.reset(head, "The events that would follow are not known here.")
                    .await?;
                (live, head)
            }
        };
        loop {
            tokio::select! {
                news = live.recv() => after = self.news(news, after).await?,
                () = tokio::time::sleep(KEEP_ALIVE_INTERVAL) => self.out.send(keep_alive(after)).await?,
            }
        }
    }

    /// Sends what the log has after a sequence, until the shared reader takes over.
    async fn catch_up(&self, mut after: u64) -> Result<(Receiver<News>, u64), Ended> {
        if after >= self.hub.head() {
            let (live, head) = self.hub.subscribe();
            if after >= head {
                return Ok((live, after));
            }
        }
        let mut entries = self
            .bus
            .read(subjects::EVENTS, &subjects::all_events(), after + 1)
            .await
            .map_err(Ended::Log)?;
        while after + NEAR < self.hub.head() {
            match self.next_of_log(&mut entries, after).await? {
                Some(sequence) => after = sequence,
                None => return self.too_old().await,
            }
        }
        let (live, head) = self.hub.subscribe();
        while after < head {
            match self.next_of_log(&mut entries, after).await? {
                Some(sequence) => after = sequence,
                None => return self.too_old().await,
            }
        }
        Ok((live, after))
    }

    /// Sends the next entry; `None` when entries between are no longer there.
    async fn next_of_log(&self, entries: &mut Entries, after: u64) -> Result<Option<u64>, Ended> {
        let next = tokio::time::timeout(READ_PATIENCE, entries.next()).await;
        let timed_out = || Ended::Log(BusError::TimedOut(subjects::EVENTS.to_owned()));
        let entry = next
            .map_err(|_| timed_out())?
            .ok_or_else(timed_out)?
            .map_err(Ended::Log)?;
        if entry.sequence <= after {
            return Ok(Some(after));
        }
        if entry.sequence > after + 1 {
            return Ok(None);
        }
        if let Some(item) = read(&entry) {
            self.pass(&item).await?;
        }
        Ok(Some(entry.sequence))
    }

    async fn too_old(&self) -> Result<(Receiver<News>, u64), Ended> {
        let (live, head) = self.hub.subscribe();
        self.reset(head, "The events that would follow are no longer kept.")
            .await?;
        Ok((live, head))
    }

    async fn news(&self, news: Result<News, RecvError>, after: u64) -> Result<u64, Ended> {
        match news {
            Ok(News::Event(item)) if item.sequence <= after => Ok(after),
            Ok(News::Event(item)) => {
                self.pass(&item).await?;
                Ok(item.sequence)
            }
            Ok(News::Reset(head)) => {
                self.reset(head, "The log of events was lost, or went by unread.")
                    .await?;
                Ok(head)
            }
            Err(RecvError::Lagged(_)) => Err(Ended::TooSlow),
            Err(RecvError::Closed) => Err(Ended::Stopped),
        }
    }

    async fn pass(&self, item: &Item) -> Result<(), Ended> {
        let names = match self.filter.group_id {
            Some(_) => self.views.names().ok(),
            None => None,
        };
        if self.filter.takes(item, names.as_deref()) {
            self.out.send(item.frame.clone()).await?;
        }
        Ok(())
    }

    async fn reset(&self, head: u64, reason: &str) -> Result<(), Ended> {
        let data = serde_json::json!({ "sequence": head, "reason": reason });
        self.out
            .send(frame(Some(head), rest::sse::RESET, &data))
            .await?;
        Ok(())
    }
}

/// The first bytes: the answer's head goes out, and the client has a place to come back to even before the first
/// event. An event without data is passed over by clients, but its id is kept.
fn opening(after: u64) -> Bytes {
    Bytes::from(format!("retry: 1000\nid: {after}\n\n"))
}

/// Also moves the client's place on, past events that its filter did not take.
fn keep_alive(after: u64) -> Bytes {
    Bytes::from(format!(": keep-alive\nid: {after}\n\n"))
}

fn unreadable(error: &BusError) -> Failure {
    Status::unavailable(format!("The events cannot be read now: {error}."))
        .action("Try again; check that nats-server runs.")
        .into()
}
