//! One instance of a real service, with a folder of its own, that dies and comes back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kit::bus::Bus;
use kit::config::{Common, Section};
use kit::rpc::Caller;
use kit::service::Parts;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bus::{Death, Server, SimBus};
use crate::world::World;

/// The kit's name of the file in a store's folder.
const STORE_FILE: &str = "records.redb";

/// An orderly end may take as long as a service lets running work finish, and that work's calls.
const ORDERLY_PATIENCE: Duration = Duration::from_secs(90);

/// Which service, with its settings.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Inventory(inventory::Config),
    Placement(placement::Config),
    Jobs(jobs::Config),
}

/// How an instance dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folder {
    Kept,
    Lost,
}

pub(super) struct Program {
    pub(super) name: String,
    kind: Kind,
    folder: PathBuf,
    world: World,
    server: Arc<Server>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often it was started: each life has a folder of its own, since what is left of the one before may still have
    /// its store open.
    lives: u64,
    life: Option<Life>,
    /// What a life left to the next.
    left: Option<PathBuf>,
}

/// From a start to an end.
struct Life {
    bus: SimBus,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    folder: PathBuf,
}

impl Program {
    pub(super) fn new(
        name: String,
        kind: Kind,
        folder: &Path,
        world: &World,
        server: &Arc<Server>,
    ) -> Arc<Self> {
        Arc::new(Self {
            folder: folder.join(&name),
            name,
            kind,
            world: world.clone(),
            server: Arc::clone(server),
            state: Mutex::default(),
        })
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn bus(&self) -> Option<SimBus> {
        self.state(|state| state.life.as_ref().map(|life| life.bus.clone()))
    }

    pub(super) fn start(&self) {
        let number = self.state(|state| {
            state.lives += u64::from(state.life.is_none());
            state.life.is_none().then_some(state.lives)
        });
        let Some(number) = number else { return };
        self.world.tell(&self.name, "starts");
        let folder = self.folder.join(number.to_string());
        let bus = self.server.connect(&self.name);
        let stop = CancellationToken::new();
        let running = match &self.kind {
            Kind::Inventory(config) => {
                let parts = self.parts(config, &folder, &bus, &stop);
                tokio::spawn(inventory::run(parts))
            }
            Kind::Placement(config) => {
                let parts = self.parts(config, &folder, &bus, &stop);
                tokio::spawn(placement::run(parts))
            }
            Kind::Jobs(config) => {
                let parts = self.parts(config, &folder, &bus, &stop);
                tokio::spawn(jobs::run(parts))
            }
        };
        let life = Life {
            bus,
            stop,
            running,
            folder,
        };
        self.state(|state| state.life = Some(life));
    }

    /// What the service lives with, its store as the life before left it.
    fn parts<S: Section + Clone>(
        &self,
        config: &S,
        folder: &Path,
        bus: &SimBus,
        stop: &CancellationToken,
    ) -> Parts<S> {
        let on: Arc<dyn Bus> = Arc::new(bus.clone());
        let parts = Parts {
            config: config.clone(),
            common: Common {
                data_dir: folder.to_owned(),
                instance: self.name.clone(),
                ..Common::default()
            },
            caller: Caller::named(S::NAME, Arc::clone(&on)),
            bus: on,
            world: self.world.kit(),
            stop: stop.clone(),
        };
        if let Some(left) = self.state(|state| state.left.take()) {
            std::fs::create_dir_all(parts.folder()).expect("to make a folder");
            std::fs::rename(left, parts.folder().join(STORE_FILE)).expect("to hand a store on");
        }
        parts
    }

    /// Does not die at a message any more.
    pub(super) fn live_on(&self) {
        if let Some(bus) = self.bus() {
            bus.live_on();
        }
    }

    /// Dies at one of its next messages, and comes back after a while.
    pub(super) async fn die_at(self: Arc<Self>, message: u64, death: Death, away: Duration) {
        let Some(bus) = self.bus() else { return };
        // An error: it ended otherwise before.
        if bus.die_at(message, death).await.is_ok() {
            self.die(Folder::Kept);
            self.world.pass(away).await;
            self.start();
        }
    }

    /// Nothing that it does from here on reaches anybody. What is left of it in this process ends by itself.
    pub(super) fn die(&self, folder: Folder) {
        let Some(life) = self.state(|state| state.life.take()) else {
            return;
        };
        self.world
            .tell(&self.name, format!("dies; folder {folder:?}"));
        life.bus.close();
        self.leave(&life, folder);
        life.stop.cancel();
    }

    /// Ends in order.
    pub(super) async fn stop(&self) {
        let Some(mut life) = self.state(|state| state.life.take()) else {
            return;
        };
        self.world.tell(&self.name, "is stopped");
        life.stop.cancel();
        match tokio::time::timeout(ORDERLY_PATIENCE, &mut life.running).await {
            Ok(Ok(Ok(()))) => {}
            Ok(end) => self
                .world
                .violation(format!("{} ended with {end:?}", self.name)),
            Err(_) => {
                let said = format!("{} does not end when it is told to", self.name);
                self.world.violation(said);
            }
        }
        life.bus.close();
        self.leave(&life, Folder::Kept);
    }

    /// Puts the store where the next life finds it: as it is on the disk now.
    fn leave(&self, life: &Life, folder: Folder) {
        let store = store_in(&life.folder);
        if let (Folder::Kept, Some(store)) = (folder, store) {
            let left = self.folder.join("left");
            std::fs::copy(store, &left).expect("to copy the store");
            self.state(|state| state.left = Some(left));
        }
        // What still has it open keeps it until it ends.
        if life.folder.exists() {
            std::fs::remove_dir_all(&life.folder).expect("to remove a folder");
        }
    }

    /// A service that ends without being told to has failed.
    pub(super) fn check_alive(&self) {
        let ended = self.state(|state| {
            let ended = |life: &&mut Life| life.running.is_finished() && !life.bus.is_closed();
            state.life.as_mut().filter(ended).is_some()
        });
        if ended {
            let said = format!("{} ended by itself", self.name);
            self.world.violation(said);
        }
    }
}

fn store_in(folder: &Path) -> Option<PathBuf> {
    let inner = std::fs::read_dir(folder).ok()?.next()?.ok()?.path();
    Some(inner.join(STORE_FILE)).filter(|store| store.exists())
}
