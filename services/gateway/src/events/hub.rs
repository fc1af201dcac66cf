//! The one reader of the log of events, and everybody who listens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use contracts::{common, rest, subjects};
use futures::StreamExt;
use kit::bus::{Bus, BusError, LogEntry, LogInfo};
use prost::Message as _;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::sse::frame;

/// Events kept for clients that are a little behind. A client that is further behind is too slow.
pub(super) const KEPT: usize = 4_096;

/// Between tries while the log cannot be read.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How often the log's identity is looked at while nothing else gives reason to.
const IDENTITY_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// One event, ready to be sent to any client.
pub(crate) struct Item {
    pub(super) sequence: u64,
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) group_id: String,
    pub(super) frame: Bytes,
}

#[derive(Clone)]
pub(super) enum News {
    Event(Arc<Item>),
    /// The log was lost, or went on without us for longer than it keeps events. It goes on after this sequence.
    Reset(u64),
}

pub(crate) struct Hub {
    /// Sequence of the last event that was sent to the listeners; locked while sending, so that who subscribes knows
    /// exactly what comes.
    head: Mutex<u64>,
    listeners: broadcast::Sender<News>,
}

/// Where the reader is in the log.
struct Position {
    /// Creation time of the log; `None` while there is none.
    created: Option<String>,
    sequence: u64,
}

impl Position {
    fn is_of_another(&self, log: &LogInfo) -> bool {
        let same = self
            .created
            .as_ref()
            .is_none_or(|created| *created == log.created);
        !same || self.sequence > log.last_sequence
    }
}

impl Hub {
    /// Starts to read from now on.
    pub(crate) async fn start(
        bus: &Arc<dyn Bus>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, BusError> {
        let position = position(&**bus).await?;
        let hub = Arc::new(Self {
            head: Mutex::new(position.sequence),
            listeners: broadcast::channel(KEPT).0,
        });
        tokio::spawn(run(Arc::clone(&hub), Arc::clone(bus), position, stop));
        Ok(hub)
    }

    /// Sequence of the last event that listeners were sent.
    pub(crate) fn head(&self) -> u64 {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything after the sequence that comes with it.
    pub(super) fn subscribe(&self) -> (broadcast::Receiver<News>, u64) {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        (self.listeners.subscribe(), *head)
    }

    fn tell(&self, sequence: u64, news: Option<News>) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        *head = sequence;
        if let Some(news) = news {
            // Nobody listening is no error.
            let _ = self.listeners.send(news);
        }
    }
}

async fn position(bus: &dyn Bus) -> Result<Position, BusError> {
    match bus.info(subjects::EVENTS).await {
        Ok(info) => Ok(Position {
            created: Some(info.created),
            sequence: info.last_sequence,
        }),
        // It is made with the first event, which is then number 1.
        Err(BusError::NoLog(_)) => Ok(Position {
            created: None,
            sequence: 0,
        }),
        Err(error) => Err(error),
    }
}

async fn run(hub: Arc<Hub>, bus: Arc<dyn Bus>, mut at: Position, stop: CancellationToken) {
    let work = async {
        let mut said = false;
        loop {
            match follow(&hub, &*bus, &mut at).await {
                Ok(()) => {
                    said = false;
                    continue;
                }
                Err(BusError::NoLog(_)) if at.created.is_none() => {}
                Err(error) if !said => {
                    tracing::warn!(%error, "events cannot be read now; trying again");
                    said = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// Reads until the log has to be looked at again: the connection was lost and is back, or it is another log.
async fn follow(hub: &Hub, bus: &dyn Bus, at: &mut Position) -> Result<(), BusError> {
    let info = bus.info(subjects::EVENTS).await?;
    if at.is_of_another(&info) {
        tracing::error!(
            "the log of events was lost or restored; clients are told to load everything again"
        );
        at.sequence = 0;
        hub.tell(0, Some(News::Reset(0)));
    }
    at.created = Some(info.created);
    let from = at.sequence + 1;
    let mut entries = bus
        .read(subjects::EVENTS, &subjects::all_events(), from)
        .await?;
    loop {
        tokio::select! {
            entry = entries.next() => match entry {
                Some(entry) => take(hub, at, &entry?),
                None => return Ok(()),
            },
            () = tokio::time::sleep(IDENTITY_CHECK_INTERVAL) => {
                if at.is_of_another(&bus.info(subjects::EVENTS).await?) {
                    return Ok(());
                }
            }
        }
    }
}

fn take(hub: &Hub, at: &mut Position, entry: &LogEntry) {
    if entry.sequence <= at.sequence {
        return;
    }
    // A log that was just made may begin at any number.
    if at.sequence != 0 && entry.sequence > at.sequence + 1 {
        tracing::warn!(
            after = at.sequence,
            next = entry.sequence,
            "events went by unread; clients are told to load everything again"
        );
        let before = entry.sequence - 1;
        hub.tell(before, Some(News::Reset(before)));
    }
    at.sequence = entry.sequence;
    hub.tell(
        entry.sequence,
        read(entry).map(|item| News::Event(Arc::new(item))),
    );
}

/// An entry of the log as clients get it.
pub(super) fn read(entry: &LogEntry) -> Option<Item> {
    let message = match common::Event::decode(entry.message.payload.clone()) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(sequence = entry.sequence, %error, "an event cannot be read and is passed over");
            return None;
        }
    };
    let event = rest::Event::new(entry.sequence, message);
    let name = format!("{}.{}", event.kind, event.verb);
    Some(Item {
        sequence: entry.sequence,
        frame: frame(Some(entry.sequence), &name, &event),
        kind: event.kind,
        id: event.id,
        group_id: event.group_id,
    })
}
