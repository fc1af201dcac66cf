//! A client that follows the stream of events, from one connection to the next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::subjects;
use futures::StreamExt;
use kit::bus::Bus;

use crate::bus::{Server, SimBus};
use crate::world::World;

/// Between tries while the stream is not there.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

pub(super) struct Subscriber {
    world: World,
    server: Arc<Server>,
    bus: SimBus,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which one of the streams it follows: a restored one begins anew.
    epoch: usize,
    /// The sequence of the last event that it got.
    last: u64,
}

impl Subscriber {
    pub(super) fn start(world: &World, server: &Arc<Server>) -> Arc<Self> {
        let subscriber = Arc::new(Self {
            world: world.clone(),
            server: Arc::clone(server),
            bus: server.connect("subscriber"),
            state: Mutex::default(),
        });
        let following = Arc::clone(&subscriber);
        tokio::spawn(async move {
            loop {
                following.follow().await;
                following.world.pass(RETRY_INTERVAL).await;
            }
        });
        subscriber
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads until the connection was lost and is back, or the reader breaks.
    async fn follow(&self) {
        let epoch = self.server.epochs(subjects::EVENTS);
        let from = self.state(|state| {
            if state.epoch != epoch {
                *state = State { epoch, last: 0 };
            }
            state.last + 1
        });
        let all = subjects::all_events();
        let Ok(mut entries) = self.bus.read(subjects::EVENTS, &all, from).await else {
            return;
        };
        while let Some(Ok(entry)) = entries.next().await {
            // Made, or restored, while the reading was asked for or since: from its beginning.
            if self.server.epochs(subjects::EVENTS) != epoch {
                return;
            }
            self.got(entry.sequence);
        }
    }

    /// Nothing comes twice, and nothing is left out but what the stream has forgotten.
    fn got(&self, sequence: u64) {
        let last = self.state(|state| std::mem::replace(&mut state.last, sequence));
        let may_be_forgotten = self.server.skips() > 0 && sequence > last;
        if sequence != last + 1 && !may_be_forgotten {
            let said = format!("the subscriber got event {sequence} after {last}");
            self.world.violation(said);
        }
    }

    /// Whether it has got everything.
    pub(super) fn is_up_to_date(&self) -> bool {
        let newest = self.server.last(subjects::EVENTS, &subjects::all_events());
        let newest = newest.ok().flatten().map_or(0, |entry| entry.sequence);
        self.state(|state| state.last >= newest)
    }
}
