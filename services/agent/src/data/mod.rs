//! The data end: files go from host to host over connections of their own, never over the bus.
//!
//! Works in threads that read, hash, encrypt and write, each waiting for disk and network by itself: what it does is
//! bound by processors and disks, and the agent's own tasks must never wait for it.
//!
//! Reading order: [`chunk`] (what is sent), [`slots`] (what is known of a file), `source` and `serve` (who has the
//! file), `fetch` (who wants it), then who may: [`roots`], `ticket`, `identity`, `listen`. What was `changed` meanwhile is for the
//! library to tell. docs/transfer.md tells it as a whole.

mod api;
mod changed;
mod chunk;
mod dial;
mod enroll;
mod fetch;
mod identity;
mod limits;
mod listen;
mod push;
mod remembered;
pub(crate) mod rename;
mod roots;
mod serve;
mod slots;
mod source;
mod throttle;
mod ticket;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use contracts::data::fetch_status::State;
use contracts::data::{
    DiscardRequest, FetchRequest, FetchStatus, FileFacts, FileRef, PushRequest, SignedTicket,
    ThrottleRequest, Ticket,
};
use contracts::transfer::EnrollResponse;
use contracts::{ObjectRef, Status};

use self::fetch::Fetch;
use self::identity::Identity;
use self::remembered::Remembered;
use self::throttle::Throttle;

pub use self::api::Api;
pub(crate) use self::changed::ChangedFiles;
pub(crate) use self::enroll::keep_enrolled;
pub use self::identity::Key;
pub use self::roots::Roots;
pub(crate) use self::roots::{PARCEL_ENDING, below, stamp};

/// What a data end is made of.
pub struct Settings {
    pub host_id: String,
    pub roots: Roots,
    /// For the hashes of files.
    pub folder: PathBuf,
    /// Where to listen; `None`: nowhere, and the host dials others.
    pub listen: Option<SocketAddr>,
    pub now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

/// The data end of one host. Ends when it is dropped; what was being fetched is gone on with after the next start.
pub struct DataEnd {
    shared: Arc<Shared>,
    door: Option<Door>,
}

/// Where others come in.
struct Door {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

/// What its threads share.
struct Shared {
    identity: Identity,
    roots: Roots,
    remembered: Remembered,
    /// Of the host as a whole.
    throttle: Throttle,
    serving: Serving,
    fetches: Mutex<HashMap<String, Arc<Fetch>>>,
    stopping: AtomicBool,
    now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> i64 {
        (self.now_ms)()
    }

    fn fetches(&self) -> MutexGuard<'_, HashMap<String, Arc<Fetch>>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch_of(&self, transfer_id: &str) -> Option<Arc<Fetch>> {
        self.fetches().get(transfer_id).cloned()
    }
}

impl DataEnd {
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            identity: Identity::new(&settings.host_id),
            roots: settings.roots,
            remembered: Remembered::open(settings.folder)
                .context("the folder for the hashes of files cannot be used")?,
            throttle: Throttle::new(0),
            serving: Serving::default(),
            fetches: Mutex::default(),
            stopping: AtomicBool::new(false),
            now_ms: settings.now_ms,
        });
        let door = settings.listen.map(|address| open_door(&shared, address));
        Ok(Self {
            door: door.transpose()?,
            shared,
        })
    }

    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.door.as_ref().map(|door| door.address)
    }

    /// Takes over what an enrollment gave.
    pub fn enrolled(&self, key: &Key, answer: &EnrollResponse) -> anyhow::Result<()> {
        self.shared.throttle.set(answer.bytes_per_sec);
        self.shared.identity.renew(key, answer)
    }

    /// What a file is that is to be copied.
    pub fn look(&self, file: &FileRef) -> Result<FileFacts, Status> {
        let opened = self.shared.roots.open(file)?;
        let metadata = opened.metadata();
        let metadata = metadata.map_err(|e| roots::failed(file, "looked at", &e))?;
        Ok(roots::facts(&metadata))
    }

    /// A ticket that this host may act on. The service that gives it signs for it too.
    fn ticket(&self, signed: Option<&SignedTicket>) -> Result<Ticket, Status> {
        let keys = self.shared.identity.ticket_keys();
        let keys = keys.map_err(|e| Status::unavailable(format!("{e}.")).action("Try again."))?;
        ticket::read(&keys, signed, self.shared.now_ms())
    }

    /// Begins a fetch, or joins the one that runs.
    pub fn fetch(&self, request: FetchRequest) -> Result<FetchStatus, Status> {
        let ticket = self.ticket(request.ticket.as_ref())?;
        if ticket.target_host_id != self.shared.identity.host_id {
            return Err(ticket::refused(
                "The ticket is for a fetch by another host.",
            ));
        }
        ticket::check_whole(&ticket)?;
        let mut fetches = self.shared.fetches();
        let known = fetches.get(&ticket.transfer_id);
        if let Some(fetch) = known.filter(|fetch| fetch.state() != State::Failed) {
            return Ok(fetch.status());
        }
        let running = fetches.values().filter(|f| f.state() == State::Running);
        if running.count() >= limits::TRANSFERS_AT_A_TIME {
            let message = format!(
                "This host fetches {} files already.",
                limits::TRANSFERS_AT_A_TIME
            );
            return Err(Status::unavailable(message).action("It is tried again by itself."));
        }
        forget_ended(&mut fetches);
        let fetch = Arc::new(Fetch::new(ticket, request));
        let (shared, running) = (Arc::clone(&self.shared), Arc::clone(&fetch));
        let thread = std::thread::Builder::new().name("data-fetch".to_owned());
        let spawned = thread.spawn(move || running.run(&shared));
        spawned.map_err(|e| Status::unavailable(format!("No thread for a fetch: {e}.")))?;
        fetches.insert(fetch.ticket.transfer_id.clone(), Arc::clone(&fetch));
        Ok(fetch.status())
    }

    /// How a fetch of this run of the agent stands. One that goes on is waited for so long.
    pub fn status(&self, transfer_id: &str, wait: Duration) -> Result<FetchStatus, Status> {
        let fetch = self.shared.fetch_of(transfer_id);
        let unknown = || Status::not_found(ObjectRef::new("fetch", transfer_id, ""));
        let fetch = fetch.ok_or_else(unknown)?;
        fetch.wait_for_end(wait.min(limits::STATUS_WAIT_MAX));
        Ok(fetch.status())
    }

    /// Serves a file to a target that this host dials.
    pub fn push(&self, request: &PushRequest) -> Result<(), Status> {
        let ticket = self.ticket(request.ticket.as_ref())?;
        if ticket.source_host_id != self.shared.identity.host_id {
            return Err(ticket::refused("The ticket is for a file of another host."));
        }
        push::start(&self.shared, &ticket, request);
        Ok(())
    }

    /// Stops a fetch and removes what it has made. Waits until it has stopped.
    pub fn discard(&self, request: &DiscardRequest) -> Result<(), Status> {
        let fetch = self.shared.fetch_of(&request.transfer_id);
        if let Some(fetch) = fetch {
            fetch.stop();
            fetch.wait_for_end(Duration::MAX);
        }
        let name = request.target.clone().unwrap_or_default();
        let (roots, remembered) = (&self.shared.roots, &self.shared.remembered);
        fetch::discard(roots, remembered, &request.transfer_id, &name)?;
        self.shared.fetches().remove(&request.transfer_id);
        Ok(())
    }

    /// Which shares of the library others may read from now on: folders by id.
    pub(crate) fn set_shares(&self, shares: BTreeMap<String, PathBuf>) {
        self.shared.roots.set_shares(shares);
    }

    /// Files of shares that were changed while others read them.
    pub(crate) fn changed_files(&self) -> Arc<ChangedFiles> {
        self.shared.roots.changed_files()
    }

    /// How fast a transfer, or the host, may go from now on.
    pub fn throttle(&self, request: &ThrottleRequest) {
        match self.shared.fetch_of(&request.transfer_id) {
            Some(fetch) => fetch.throttle.set(request.bytes_per_sec),
            None if request.transfer_id.is_empty() => {
                self.shared.throttle.set(request.bytes_per_sec);
            }
            // It has ended.
            None => {}
        }
    }
}

impl Drop for DataEnd {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let fetches: Vec<_> = self.shared.fetches().values().cloned().collect();
        fetches.iter().for_each(|fetch| fetch.stop());
        // Each lets go of its files, which the next start goes on with.
        fetches
            .iter()
            .for_each(|fetch| fetch.wait_for_end(Duration::MAX));
        if let Some(door) = self.door.take() {
            // Wakes it, so that it sees that it is closed.
            let woken = TcpStream::connect_timeout(&door.address, limits::DIAL_TIMEOUT);
            // One that cannot be woken is not waited for.
            let _ = woken.map(|_| door.thread.join());
        }
    }
}

fn open_door(shared: &Arc<Shared>, address: SocketAddr) -> anyhow::Result<Door> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("the data end cannot listen on {address}; set data_listen"))?;
    let address = listener.local_addr()?;
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("data-door".to_owned());
    Ok(Door {
        address,
        thread: thread.spawn(move || listen::run(&shared, &listener))?,
    })
}

/// Fetches that ended are told of until there are many.
fn forget_ended(fetches: &mut HashMap<String, Arc<Fetch>>) {
    if fetches.len() >= limits::ENDED_REMEMBERED {
        fetches.retain(|_, fetch| fetch.state() == State::Running);
    }
}

/// Transfers that are served, with their connections.
#[derive(Default)]
struct Serving(Arc<Mutex<HashMap<String, usize>>>);

/// One connection's place among them.
struct ServingPlace {
    serving: Arc<Mutex<HashMap<String, usize>>>,
    transfer_id: String,
}

impl Serving {
    /// `None`: too many are served already.
    fn enter(&self, transfer_id: &str) -> Option<ServingPlace> {
        let mut serving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !serving.contains_key(transfer_id);
        if is_new && serving.len() >= limits::TRANSFERS_AT_A_TIME {
            return None;
        }
        *serving.entry(transfer_id.to_owned()).or_default() += 1;
        Some(ServingPlace {
            serving: Arc::clone(&self.0),
            transfer_id: transfer_id.to_owned(),
        })
    }
}

impl Drop for ServingPlace {
    fn drop(&mut self) {
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = serving.get_mut(&self.transfer_id) {
            *count -= 1;
            if *count == 0 {
                serving.remove(&self.transfer_id);
            }
        }
    }
}
