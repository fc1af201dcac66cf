//! One client's connection to the server: two pipes that keep order, and outages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::faults::{Fault, Faults};
use crate::world::World;

/// How long a message takes when nothing is wrong.
const TRAVEL_MAX: Duration = Duration::from_millis(3);

/// How long one that is delayed takes: also longer than anybody waits for an acknowledgement.
const DELAY_MAX: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_down: bool,
    is_closed: bool,
    /// How often the connection was lost.
    cuts: u64,
    /// How often it came back.
    returns: u64,
}

/// Where in the sending of a message its client dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The message is not sent.
    Before,
    /// It is on its way, and its answer reaches nobody.
    After,
}

/// A message at which the client dies.
struct Trap {
    /// Messages that it still sends before.
    left: u64,
    death: Death,
    sprung: oneshot::Sender<()>,
}

type Work = Box<dyn FnOnce() + Send>;

struct Parcel {
    due: Instant,
    /// Cuts until it was sent; `None`: it was kept until there is a connection.
    sent_after: Option<u64>,
    work: Work,
}

pub(super) struct Link {
    pub(super) name: String,
    world: World,
    faults: Faults,
    state: Mutex<State>,
    trap: Mutex<Option<Trap>>,
    pub(super) changed: Notify,
    out: mpsc::UnboundedSender<Parcel>,
    back: mpsc::UnboundedSender<Parcel>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// A client keeps what it sends while there is no connection.
    Out,
    /// A server does not.
    Back,
}

impl Link {
    pub(super) fn open(name: &str, world: World, faults: Faults) -> Arc<Self> {
        let ((out, to_server), (back, to_client)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let link = Arc::new(Self {
            name: name.to_owned(),
            world,
            faults,
            state: Mutex::default(),
            trap: Mutex::default(),
            changed: Notify::new(),
            out,
            back,
        });
        tokio::spawn(carry(Arc::clone(&link), Direction::Out, to_server));
        tokio::spawn(carry(Arc::clone(&link), Direction::Back, to_client));
        link
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    pub(super) fn is_up(&self) -> bool {
        let state = self.state();
        !state.is_down && !state.is_closed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    pub(super) fn cuts(&self) -> u64 {
        self.state().cuts
    }

    pub(super) fn returns(&self) -> u64 {
        self.state().returns
    }

    pub(super) fn cut(&self) {
        self.change(|state| {
            if !state.is_down {
                state.is_down = true;
                state.cuts += 1;
            }
        });
    }

    pub(super) fn come_back(&self) {
        self.change(|state| {
            if state.is_down {
                state.is_down = false;
                state.returns += 1;
            }
        });
    }

    /// The client is no more. What it had sent may still arrive.
    pub(super) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    /// Comes back when the connection was lost and is there again.
    pub(super) async fn returned_after(&self, returns: u64) {
        loop {
            let changed = self.changed.notified();
            let state = self.state();
            if state.returns > returns || state.is_closed {
                return;
            }
            changed.await;
        }
    }

    /// The client dies at a message that it will send; the receiver then hears of it.
    pub(super) fn die_at(&self, message: u64, death: Death) -> oneshot::Receiver<()> {
        let (sprung, heard) = oneshot::channel();
        let trap = Trap {
            left: message,
            death,
            sprung,
        };
        *self.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(trap);
        heard
    }

    /// Takes the trap away.
    pub(super) fn live_on(&self) {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        *trap = None;
    }

    /// Counts a message; at the one that the trap is set at, how the client dies.
    fn spring(&self) -> Option<Death> {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        let set = trap.as_mut()?;
        if let Some(left) = set.left.checked_sub(1) {
            set.left = left;
            return None;
        }
        let Trap { death, sprung, .. } = trap.take()?;
        self.world
            .tell(&self.name, format!("dies at a message: {death:?}"));
        // An error: it was ended otherwise.
        let _ = sprung.send(());
        Some(death)
    }

    /// To the server. The dead send nothing.
    pub(super) fn send(&self, work: impl FnOnce() + Send + 'static) {
        if self.is_closed() {
            return;
        }
        match self.spring() {
            None => self.send_out(work),
            Some(Death::Before) => self.close(),
            Some(Death::After) => {
                self.send_out(work);
                self.close();
            }
        }
    }

    fn send_out(&self, work: impl FnOnce() + Send + 'static) {
        if !self
            .world
            .draw(|c| c.happens(self.faults.rate(Fault::LostRequest)))
        {
            self.put(&self.out, Box::new(work));
        } else {
            self.world
                .tell(&self.name, "a message to the server is lost");
        }
    }

    /// To the client.
    pub(super) fn send_back(&self, work: impl FnOnce() + Send + 'static) {
        if !self
            .world
            .draw(|c| c.happens(self.faults.rate(Fault::LostAnswer)))
        {
            self.put(&self.back, Box::new(work));
        } else {
            self.world
                .tell(&self.name, "a message to the client is lost");
        }
    }

    fn put(&self, pipe: &mpsc::UnboundedSender<Parcel>, work: Work) {
        let state = self.state();
        let (travel, overtaken) = self.world.draw(|chance| {
            let delayed = chance.happens(self.faults.rate(Fault::Delay));
            let longest = if delayed { DELAY_MAX } else { TRAVEL_MAX };
            let travel = chance.duration(Duration::ZERO, longest);
            (travel, chance.happens(self.faults.rate(Fault::Reorder)))
        });
        if overtaken && !state.is_down {
            let world = self.world.clone();
            tokio::spawn(async move {
                world.pass(travel * 4).await;
                work();
            });
            return;
        }
        // An error: the run is over.
        let _ = pipe.send(Parcel {
            due: Instant::now() + travel,
            sent_after: (!state.is_down).then_some(state.cuts),
            work,
        });
    }

    async fn until_up(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.state().is_down {
                return;
            }
            changed.await;
        }
    }

    /// Whether a parcel arrives. One that was on its way when the connection was lost may be sent again by its client.
    fn survives(&self, parcel: &Parcel, direction: Direction) -> bool {
        let state = self.state();
        match parcel.sent_after {
            Some(cuts) if cuts == state.cuts => true,
            _ if direction == Direction::Back || state.is_closed => false,
            Some(_) => self.world.draw(|c| c.happens(0.5)),
            None => true,
        }
    }
}

async fn carry(link: Arc<Link>, direction: Direction, mut pipe: mpsc::UnboundedReceiver<Parcel>) {
    while let Some(parcel) = pipe.recv().await {
        tokio::time::sleep_until(parcel.due).await;
        if direction == Direction::Out && parcel.sent_after != Some(link.cuts()) {
            link.until_up().await;
        }
        if link.survives(&parcel, direction) {
            (parcel.work)();
        }
    }
}
