//! One program that keeps records: an owner or a mirror, with a folder of its own, that dies and comes back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use contracts::inventory::Vm;
use kit::bus::Bus;
use kit::records::{Mirror, Records, Store};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::watch;
use crate::bus::{Server, SimBus};
use crate::world::World;

/// The kit's name of the file in a store's folder.
const STORE_FILE: &str = "records.redb";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Owner,
    Mirror,
}

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Orderly,
    Crash,
    CrashAndLoseFolder,
}

pub(super) struct Program {
    pub(super) name: String,
    pub(super) role: Role,
    folder: PathBuf,
    world: World,
    server: Arc<Server>,
    life: Mutex<Option<Life>>,
}

/// From a start to an end.
struct Life {
    bus: SimBus,
    stop: CancellationToken,
    tasks: Vec<AbortHandle>,
    store: Weak<Store>,
    /// Set when the view has caught up.
    ready: Option<Ready>,
}

#[derive(Clone)]
pub(super) struct Ready {
    pub(super) store: Arc<Store>,
    pub(super) view: Mirror<Vm>,
    /// Of an owner.
    pub(super) records: Option<Records<Vm>>,
}

impl Program {
    pub(super) fn new(
        name: String,
        role: Role,
        folder: &Path,
        world: &World,
        server: &Arc<Server>,
    ) -> Arc<Self> {
        Arc::new(Self {
            folder: folder.join(&name),
            name,
            role,
            world: world.clone(),
            server: Arc::clone(server),
            life: Mutex::default(),
        })
    }

    fn life<T>(&self, with: impl FnOnce(&mut Option<Life>) -> T) -> T {
        with(&mut self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_running(&self) -> bool {
        self.life(|life| life.is_some())
    }

    pub(super) fn ready(&self) -> Option<Ready> {
        self.life(|life| life.as_ref().and_then(|life| life.ready.clone()))
    }

    pub(super) fn bus(&self) -> Option<SimBus> {
        self.life(|life| life.as_ref().map(|life| life.bus.clone()))
    }

    /// The revision that the view reflects, 0 while it is not known.
    pub(super) fn revision(&self) -> u64 {
        self.ready().map_or(0, |ready| ready.view.revision())
    }

    pub(super) fn start(self: &Arc<Self>) {
        if self.is_running() {
            return;
        }
        self.world.tell(&self.name, "starts");
        let bus = self.server.connect(&self.name);
        let stop = CancellationToken::new();
        let on: Arc<dyn Bus> = Arc::new(bus.clone());
        let store = Store::open(&self.folder, on, &self.world.kit(), stop.clone());
        let store = match store {
            Ok(store) => store,
            Err(error) => {
                let said = format!("{}: the store does not open: {error}", self.name);
                return self.world.violation(said);
            }
        };
        self.life(|life| {
            *life = Some(Life {
                bus,
                stop,
                tasks: Vec::new(),
                store: Arc::downgrade(&store),
                ready: None,
            });
        });
        self.run(Arc::clone(self).follow(store));
    }

    /// Runs a part of this program: it ends with it.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(work).abort_handle();
        self.life(|life| {
            if let Some(life) = life {
                life.tasks.retain(|task| !task.is_finished());
                life.tasks.push(task);
            }
        });
    }

    async fn follow(self: Arc<Self>, store: Arc<Store>) {
        let (view, records) = match self.role {
            Role::Owner => {
                let records = store.own::<Vm>().await.expect("nothing fails yet");
                (Mirror::clone(&records), Some(records))
            }
            Role::Mirror => {
                let view = store.mirror::<Vm>().await.expect("nothing fails yet");
                (view, None)
            }
        };
        let said = format!("has caught up at revision {}", view.revision());
        self.world.tell(&self.name, said);
        let changes = view.changes();
        let (world, server, name) = (self.world.clone(), &self.server, self.name.clone());
        self.run(watch::changes(world, Arc::clone(server), name, changes));
        let ready = Ready {
            store,
            view,
            records,
        };
        self.life(|life| {
            if let Some(life) = life {
                life.ready = Some(ready);
            }
        });
    }

    pub(super) async fn end(&self, end: End) {
        let Some(life) = self.life(Option::take) else {
            if end == End::CrashAndLoseFolder && self.folder.exists() {
                std::fs::remove_dir_all(&self.folder).expect("to lose the folder");
            }
            return;
        };
        self.world.tell(&self.name, format!("ends: {end:?}"));
        // Before anything can still be written: this is what a killed process leaves.
        let (file, left) = (self.folder.join(STORE_FILE), self.folder.join("left"));
        if end == End::Crash {
            std::fs::copy(&file, &left).expect("to copy the store");
        }
        for task in &life.tasks {
            task.abort();
        }
        life.bus.close();
        life.stop.cancel();
        let Life { store, ready, .. } = life;
        drop(ready);
        self.closed(&store).await;
        match end {
            End::Orderly => {}
            End::Crash => std::fs::rename(&left, &file).expect("to put the store back"),
            End::CrashAndLoseFolder => std::fs::remove_dir_all(&self.folder).expect("to lose it"),
        }
    }

    /// Waits until nothing holds the store any more.
    async fn closed(&self, store: &Weak<Store>) {
        for _ in 0..1_000 {
            if store.strong_count() == 0 {
                return;
            }
            self.world.pass(Duration::from_millis(1)).await;
        }
        let said = format!("{}: something goes on after the end", self.name);
        self.world.violation(said);
    }
}
