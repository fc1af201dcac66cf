//! Machines that come and go in the datastores behind the agent's back: a definition that somebody put there or took away,
//! or wrote anew.
//!
//! It looks when it is asked to, and when the kernel says that something has changed ([`super::inotify`]). A datastore that
//! cannot be read says nothing of its machines: none of them counts as gone.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::names;

use super::Environment;
use super::datastore::Datastore;
use super::definition::Definition;
use super::machine::Machine;
use super::registry::{Registry, Word};
use crate::limits;

pub(super) struct Finder {
    registry: Arc<Registry>,
    environment: Arc<Environment>,
    /// One look at a time.
    turn: tokio::sync::Mutex<()>,
    /// What is wrong with folders that are left alone, so that each is said once.
    wrong: Mutex<HashMap<String, String>>,
}

/// Definitions in one datastore by the name of their folder; why it cannot be read where one is not.
type Seen = BTreeMap<String, io::Result<Definition>>;

impl Finder {
    pub(super) fn new(registry: Arc<Registry>, environment: Arc<Environment>) -> Self {
        Self {
            registry,
            environment,
            turn: tokio::sync::Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Takes over what is new or was written anew, and lets go of what is gone.
    pub(super) async fn look(&self) {
        let _turn = self.turn.lock().await;
        for datastore in &self.environment.datastores {
            match read_within(datastore).await {
                Ok(seen) => self.settle(datastore, seen).await,
                Err(error) => {
                    tracing::warn!(datastore = datastore.name, %error, "its machines cannot be looked at");
                }
            }
        }
    }

    async fn settle(&self, datastore: &Datastore, seen: Seen) {
        for handle in self.registry.present_on(&datastore.name) {
            let definition = &handle.machine.definition;
            match seen.get(&definition.vm_id) {
                Some(Ok(now)) if now == definition => {}
                // This agent has written it anew since we looked.
                Some(Ok(_)) if is_as_known(&handle.machine) => {}
                // It is found again below, as what it is now.
                Some(Ok(now)) if now.vm_id == definition.vm_id => {
                    self.registry.let_go(&handle, Word::Quietly).await;
                }
                // Somebody may be writing it.
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {}
                _ => self.registry.let_go(&handle, Word::Told).await,
            }
        }
        for (vm_id, definition) in seen {
            match definition {
                Ok(definition) if definition.vm_id == vm_id => {
                    self.forget_wrong(&vm_id);
                    self.registry
                        .find(self.machine(datastore, definition))
                        .await;
                }
                Ok(_) => self.say_wrong(&vm_id, "its definition is another machine's".to_owned()),
                // A folder without one is none of ours, or is just being filled.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.say_wrong(&vm_id, format!("its definition cannot be read: {error}"));
                }
            }
        }
    }

    fn machine(&self, datastore: &Datastore, definition: Definition) -> Machine {
        Machine::new(self.environment.clone(), datastore.clone(), definition)
    }

    fn say_wrong(&self, vm_id: &str, why: String) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.get(vm_id) != Some(&why) {
            tracing::error!(folder = vm_id, why, "left alone");
            wrong.insert(vm_id.to_owned(), why);
        }
    }

    fn forget_wrong(&self, vm_id: &str) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.remove(vm_id);
    }
}

fn is_as_known(machine: &Machine) -> bool {
    Definition::load(&machine.folder).is_ok_and(|now| now == machine.definition)
}

/// Storage over a network that is away hangs every look at it.
async fn read_within(datastore: &Datastore) -> io::Result<Seen> {
    let looked_at = datastore.clone();
    let look = tokio::task::spawn_blocking(move || read(&looked_at));
    match tokio::time::timeout(limits::DATASTORE_TIMEOUT, look).await {
        Ok(read) => read.map_err(io::Error::other)?,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn read(datastore: &Datastore) -> io::Result<Seen> {
    let mut seen = Seen::new();
    for entry in std::fs::read_dir(datastore.machines())? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        // Those that are being made or deleted have other names.
        if names::is_token(&name) {
            let definition = Definition::load(&datastore.folder(&name));
            seen.insert(name, definition);
        }
    }
    Ok(seen)
}
