//! Clients: each does one thing after another, through whichever program, and must see what it was told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::call::Context;
use contracts::host::VmState;
use contracts::inventory::Vm;
use contracts::records::Record;
use contracts::subjects;
use contracts::{Code, Status};
use kit::records::{Decision, Records, Stored};
use kit::rpc::Gate;

use super::ledger::{Asked, Ledger, Told, Wish};
use super::program::{Program, Ready};
use crate::bus::Server;
use crate::world::World;

/// How long a reader lets a program catch up with what it has seen.
const READ_PATIENCE: Duration = Duration::from_secs(20);

/// One client's session.
pub(super) struct Session {
    name: String,
    world: World,
    server: Arc<Server>,
    ledger: Arc<Mutex<Ledger>>,
    state: Mutex<State>,
}

struct State {
    is_busy: bool,
    /// What the client has seen, and in which epoch of the log.
    seen: (usize, Context),
    asked: u64,
}

impl Session {
    pub(super) fn new(
        name: String,
        world: &World,
        server: &Arc<Server>,
        ledger: &Arc<Mutex<Ledger>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            world: world.clone(),
            server: Arc::clone(server),
            ledger: Arc::clone(ledger),
            state: Mutex::new(State {
                is_busy: false,
                seen: (0, Context::default()),
                asked: 0,
            }),
        })
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.state(|state| state.is_busy)
    }

    fn epoch(&self) -> usize {
        self.server.epochs(&subjects::bucket_stream(Vm::BUCKET))
    }

    /// What the client has seen of the log that there is now: a lost or restored log begins anew.
    fn seen(&self) -> Context {
        let epoch = self.epoch();
        self.state(|state| {
            if state.seen.0 != epoch {
                state.seen = (epoch, Context::default());
            }
            state.seen.1.clone()
        })
    }

    /// Writes through a program, which may die over it.
    pub(super) fn write(self: &Arc<Self>, through: &Arc<Program>, id: String, wish: Wish) {
        let Some(records) = through.ready().and_then(|ready| ready.records) else {
            return;
        };
        let number = self.state(|state| {
            state.is_busy = true;
            state.asked += 1;
            state.asked
        });
        let token = format!("{}-{number}", self.name);
        self.world.tell(
            &self.name,
            format!("{token}: {wish:?} {id} through {}", through.name),
        );
        let answering = Answering {
            session: Arc::clone(self),
            token,
            id,
            wish,
            told: Told::Unknown,
            epoch: self.epoch(),
        };
        through.run(answering.ask(records));
    }

    /// Reads through a program.
    pub(super) fn read(self: &Arc<Self>, through: &Arc<Program>, id: String) {
        let Some(ready) = through.ready() else { return };
        self.state(|state| state.is_busy = true);
        let (session, name) = (Arc::clone(self), through.name.clone());
        let free = Free(Arc::clone(self));
        through.run(async move {
            session.look(&name, &ready, &id).await;
            drop(free);
        });
    }

    async fn look(&self, through: &str, ready: &Ready, id: &str) {
        let (epoch, context) = (self.epoch(), self.seen());
        let seen = context.seen_of(Vm::BUCKET);
        if !ready.store.wait_for(&context.seen(), READ_PATIENCE).await || self.epoch() != epoch {
            return;
        }
        match ready.view.get(id) {
            Ok(found) => self.check(through, id, seen, found.as_ref()),
            // Its view is being rebuilt.
            Err(error) if error.code() == Code::Unavailable => {}
            Err(error) => self
                .world
                .violation(format!("{through}: reading {id}: {error}")),
        }
    }

    /// What was found is what the log had at some revision not before the one that was seen.
    fn check(&self, through: &str, id: &str, seen: u64, found: Option<&Stored<Vm>>) {
        let subject = subjects::record(Vm::BUCKET, id);
        let mut values = vec![(0, None)];
        let history = self.server.history(&subjects::bucket_stream(Vm::BUCKET));
        for epoch in history.iter().rev() {
            let all = epoch.beginning.iter().chain(&epoch.taken);
            let of_subject = all.filter(|entry| entry.subject == subject);
            values.extend(of_subject.map(|entry| (entry.sequence, super::value_of(entry))));
            // Who has seen nothing of the present log may find what the one before had.
            if seen > 0 {
                break;
            }
        }
        let not_after = |(revision, _): &(u64, _)| *revision <= seen;
        let current = if seen > 0 {
            values.iter().rposition(not_after).unwrap_or(0)
        } else {
            0
        };
        let is_one_of = values[current..]
            .iter()
            .any(|(revision, value)| match found {
                Some(found) => *revision == found.revision && value.as_ref() == Some(&found.value),
                None => value.is_none(),
            });
        if !is_one_of {
            let found = found.map(|found| (found.revision, found.value.started_ms));
            self.world.violation(format!(
                "{through}: {} has seen revision {seen} and finds {id} as {found:?}",
                self.name
            ));
        }
    }
}

/// Frees a session, also when the program that it used dies.
struct Free(Arc<Session>);

impl Drop for Free {
    fn drop(&mut self) {
        self.0.state(|state| state.is_busy = false);
    }
}

/// A write on its way. Whatever becomes of it, the ledger says what the client was told.
struct Answering {
    session: Arc<Session>,
    token: String,
    id: String,
    wish: Wish,
    told: Told,
    /// When it was asked: a revision of a log that is lost since says nothing of the one that there is.
    epoch: usize,
}

impl Answering {
    async fn ask(mut self, records: Records<Vm>) {
        let context = Context::new(&self.token);
        match write(&records, &context, &self.id, &self.token, self.wish).await {
            Ok(true) => self.told = Told::Done(context.seen_of(Vm::BUCKET)),
            Ok(false) => self.told = Told::Nothing,
            Err(status) => self
                .session
                .world
                .tell(&self.session.name, format!("{}: {status}", self.token)),
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let session = &self.session;
        session
            .world
            .tell(&session.name, format!("{}: {:?}", self.token, self.told));
        if let Told::Done(revision) = self.told
            && session.epoch() == self.epoch
        {
            session.seen().saw(Vm::BUCKET, revision);
        }
        let asked = Asked {
            id: self.id.clone(),
            told: self.told,
            asked_in: self.epoch.saturating_sub(1),
            answered_in: session.epoch().saturating_sub(1),
        };
        let mut ledger = session
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ledger.asked.insert(self.token.clone(), asked);
        session.state(|state| state.is_busy = false);
    }
}

/// True: it was written.
async fn write(
    records: &Records<Vm>,
    context: &Context,
    id: &str,
    token: &str,
    wish: Wish,
) -> Result<bool, Status> {
    let decide = |there: Option<&Stored<Vm>>| {
        Ok(match wish {
            Wish::Create if there.is_some() => Decision::Keep(false),
            Wish::Create | Wish::Count => Decision::Put(counted(id, token, there), true),
            Wish::Delete if there.is_none() => Decision::Keep(false),
            Wish::Delete => Decision::Delete(true),
        })
    };
    records.update(context, id, decide).await
}

/// Every write counts one more since the object was made.
fn counted(id: &str, token: &str, there: Option<&Stored<Vm>>) -> Vm {
    let count = there.map_or(0, |there| there.value.started_ms) + 1;
    Vm {
        id: id.to_owned(),
        name: format!("Name-{}", count % 3),
        state: [VmState::Stopped, VmState::Running][usize::from(count % 2 == 0)].into(),
        description: token.to_owned(),
        started_ms: count,
        ..Vm::default()
    }
}
