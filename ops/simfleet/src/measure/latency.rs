//! From a change on a host to its event at a client.

use std::collections::HashMap;
use std::time::Duration;

use contracts::rest::VmState;
use futures::StreamExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Times;
use super::stream::{Sse, events};
use crate::fleet::Fleet;
use crate::muster::Muster;

/// Listens to events of machines and times those of changes that the fleet made itself.
pub struct Listener {
    stop: CancellationToken,
    listening: JoinHandle<Vec<Duration>>,
}

impl Listener {
    pub async fn start(muster: &Muster, fleet: &Fleet) -> anyhow::Result<Self> {
        let mut events = events(muster, "kind=vm", None).await?;
        let mut happened = fleet.happened();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let listening = tokio::spawn(async move {
            let mut made: HashMap<String, (VmState, Instant)> = HashMap::new();
            let mut times = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    news = happened.recv() => match news {
                        Ok(news) => if let Some(state) = news.state {
                            made.insert(news.vm_id, (state.into(), news.at));
                        },
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return times,
                    },
                    Some(Ok(sse)) = events.next() => times.extend(elapsed(&sse, &mut made)),
                    () = stopped.cancelled() => return times,
                    else => return times,
                }
            }
        });
        Ok(Self { stop, listening })
    }

    pub async fn stop(self) -> anyhow::Result<Times> {
        self.stop.cancel();
        Ok(Times::new(self.listening.await?))
    }
}

/// How long ago the change was made that an event tells of, if we made it.
fn elapsed(sse: &Sse, made: &mut HashMap<String, (VmState, Instant)>) -> Option<Duration> {
    let now = Instant::now();
    let event = sse.event().ok()?;
    let (state, at) = *made.get(&event.id)?;
    let told = event.changes.iter().find(|c| c.property == "state")?;
    // An earlier change of the machine tells nothing of the last.
    if told.new != state.word() {
        return None;
    }
    made.remove(&event.id);
    Some(now - at)
}
