//! The target's side of a transfer: has the file from the source, or from this host itself, and makes it whole.
//!
//! A fetch is a thread of its own, with one more for each connection. It goes on when the transfer service or the whole
//! centre is away, and ends by itself: done, or failed with what came kept for the next try.
//!
//! Reading order: `prepare` (what there is to fetch), `seeds` and `parts` (what of it is here: whole chunks, then blocks),
//! `stream` (the rest), `target` (the file that is made).

mod aligned;
mod folder;
mod local;
mod parts;
mod prepare;
mod seeds;
mod stream;
mod target;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use contracts::data::fetch_status::State;
use contracts::data::{FetchRequest, FetchStatus, FileRef, Hello, SignedTicket, Ticket};
use contracts::{ObjectRef, Status};

use self::prepare::{open, prepare, whole};
use self::stream::Broken;
use self::target::Target;
use self::work::Work;
use super::throttle::Throttle;
use super::wire::{Connection, Handle, is_distrust};
use super::{Shared, dial, limits};

pub(super) use self::folder::discard;

pub(super) struct Fetch {
    pub(super) ticket: Ticket,
    signed: SignedTicket,
    source_address: String,
    seeds: Vec<FileRef>,
    pub(super) throttle: Throttle,
    status: Mutex<FetchStatus>,
    done: AtomicU64,
    reused: AtomicU64,
    received: AtomicU64,
    damaged: AtomicU32,
    stopped: AtomicBool,
    ended: Condvar,
    /// When something last came.
    came: Mutex<Instant>,
    /// Connections that the source has dialled, for a source that cannot be dialled.
    pushed: Mutex<Receiver<Connection>>,
    push: Mutex<Sender<Connection>>,
    /// Ends the connections of a fetch that is stopped.
    handles: Mutex<HashMap<u64, Handle>>,
    dialled: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fetch {
    pub(super) fn new(ticket: Ticket, request: FetchRequest) -> Self {
        let (push, pushed) = mpsc::channel();
        Self {
            status: Mutex::new(FetchStatus {
                transfer_id: ticket.transfer_id.clone(),
                state: State::Running.into(),
                method: "network".to_owned(),
                ..FetchStatus::default()
            }),
            ticket,
            signed: request.ticket.unwrap_or_default(),
            source_address: request.source_address,
            seeds: request.seeds,
            throttle: Throttle::new(request.bytes_per_sec),
            done: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            received: AtomicU64::new(0),
            damaged: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            ended: Condvar::new(),
            came: Mutex::new(Instant::now()),
            pushed: Mutex::new(pushed),
            push: Mutex::new(push),
            handles: Mutex::default(),
            dialled: AtomicU64::new(0),
        }
    }

    pub(super) fn status(&self) -> FetchStatus {
        let status = locked(&self.status).clone();
        let bytes_done = self.done.load(Ordering::Relaxed);
        FetchStatus {
            bytes_done: bytes_done.min(status.bytes_total),
            bytes_reused: self.reused.load(Ordering::Relaxed),
            bytes_received: self.received.load(Ordering::Relaxed),
            bytes_per_sec: self.throttle.get(),
            ..status
        }
    }

    pub(super) fn state(&self) -> State {
        locked(&self.status).state()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Ends the fetch soon, wherever it waits.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        locked(&self.handles).values().for_each(Handle::end);
    }

    /// Waits until the fetch has ended and let go of its files, but not longer than that.
    pub(super) fn wait_for_end(&self, wait: Duration) {
        let status = locked(&self.status);
        let runs = |status: &mut FetchStatus| status.state() == State::Running;
        drop(self.ended.wait_timeout_while(status, wait, runs));
    }

    /// Takes a connection that the source has dialled.
    pub(super) fn take(&self, connection: Connection) {
        // The receiver lives as long as the fetch.
        let _ = locked(&self.push).send(connection);
    }

    fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn count_done(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
        *locked(&self.came) = Instant::now();
    }

    fn count_reused(&self, bytes: usize) {
        self.reused.fetch_add(bytes as u64, Ordering::Relaxed);
        self.count_done(bytes);
    }

    fn begins(&self, size_bytes: u64, bytes_total: u64) {
        let mut status = locked(&self.status);
        (status.size_bytes, status.bytes_total) = (size_bytes, bytes_total);
    }

    fn has(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    fn set_content_hash(&self, hash: &[u8]) {
        locked(&self.status).content_hash = hash.to_vec();
    }

    fn set_method(&self, method: &str) {
        method.clone_into(&mut locked(&self.status).method);
    }

    /// Does all of it, and notes how it ended.
    pub(super) fn run(&self, shared: &Shared) {
        let is_local = self.ticket.source_host_id == self.ticket.target_host_id;
        let ended = match is_local {
            true => local::run(shared, self),
            false => self.over_network(shared),
        };
        let mut status = locked(&self.status);
        match ended {
            Ok(()) => status.set_state(State::Done),
            Err(problem) => {
                tracing::info!(transfer = self.ticket.transfer_id, %problem, "a fetch has ended before its end");
                status.problem = Some(problem);
                status.set_state(State::Failed);
            }
        }
        self.ended.notify_all();
    }

    fn over_network(&self, shared: &Shared) -> Result<(), Status> {
        // What is wrong here is said before anybody is dialled.
        folder::check(&shared.roots, &shared.remembered, &self.ticket)?;
        let mut opened = None;
        let prepared = self.on_a_connection(shared, |connection| {
            prepare(shared, self, connection, &mut opened)
        })?;
        let Some((target, work)) = prepared else {
            return Ok(());
        };
        self.stream_all(shared, &target, &work)?;
        let expected = target.expected();
        let theirs = self.on_a_connection(shared, |connection| {
            open(self, connection, expected)?;
            whole(self, connection)
        })?;
        let ours = target.whole()?;
        if ours.as_slice() != theirs {
            return Err(self.differs());
        }
        target.finish(&shared.remembered, &ours)?;
        self.set_content_hash(&ours);
        Ok(())
    }

    /// Fetches what is missing over several connections. The first one that cannot go on ends all.
    fn stream_all(&self, shared: &Shared, target: &Target, work: &Work) -> Result<(), Status> {
        let failure = Mutex::new(None);
        let run = |connection: &mut Connection| {
            open(self, connection, target.expected())?;
            stream::run(shared, self, target, work, connection)
        };
        let stream = || {
            if let Err(problem) = self.on_a_connection(shared, run) {
                locked(&failure).get_or_insert(problem);
                self.stop();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..limits::STREAMS {
                scope.spawn(stream);
            }
        });
        match locked(&failure).take() {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// Does something on a connection to the source, and again on another one as long as these break.
    fn on_a_connection<T>(
        &self,
        shared: &Shared,
        mut act: impl FnMut(&mut Connection) -> Result<T, Broken>,
    ) -> Result<T, Status> {
        let since = Instant::now();
        loop {
            if self.is_stopped() {
                return Err(Status::unavailable("The fetch was stopped.").action("Start it again."));
            }
            let why = match self.connect(shared) {
                Ok(mut connection) => match self.lent(&mut connection, &mut act) {
                    Ok(value) => return Ok(value),
                    Err(Broken::Ends(problem)) => return Err(problem),
                    Err(Broken::Damaged(index)) => {
                        self.note_damage(index)?;
                        continue;
                    }
                    Err(Broken::Line(error)) if is_distrust(&error) => {
                        return Err(self.unreachable(&error.to_string()));
                    }
                    Err(Broken::Line(error)) => error.to_string(),
                },
                Err(error) => {
                    let word = format!("{error:#}");
                    if error.root_cause().downcast_ref().is_some_and(is_distrust) {
                        return Err(self.unreachable(&word));
                    }
                    word
                }
            };
            let quiet = since.elapsed().min(locked(&self.came).elapsed());
            if quiet > limits::FETCH_PATIENCE {
                return Err(self.unreachable(&why));
            }
            tracing::debug!(
                transfer = self.ticket.transfer_id,
                why,
                "a connection to the source broke"
            );
            std::thread::park_timeout(limits::REDIAL_INTERVAL);
        }
    }

    /// Acts on a connection that can be ended meanwhile.
    fn lent<T>(
        &self,
        connection: &mut Connection,
        act: &mut impl FnMut(&mut Connection) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let number = self.dialled.fetch_add(1, Ordering::Relaxed);
        locked(&self.handles).insert(number, connection.handle()?);
        let outcome = act(connection);
        locked(&self.handles).remove(&number);
        outcome
    }

    fn connect(&self, shared: &Shared) -> anyhow::Result<Connection> {
        if self.source_address.is_empty() {
            let pushed = locked(&self.pushed);
            let dialled = pushed.recv_timeout(limits::REDIAL_INTERVAL);
            return dialled.map_err(|_| anyhow::anyhow!("the source has not dialled"));
        }
        let encryption = self.ticket.encryption();
        let source = &self.ticket.source_host_id;
        let mut connection = dial::dial(shared, &self.source_address, source, encryption)?;
        let hello = Hello {
            ticket: Some(self.signed.clone()),
            is_source: false,
        };
        connection.send(&hello, &[])?;
        connection.set_timeout(limits::ANSWER_TIMEOUT)?;
        Ok(connection)
    }

    fn note_damage(&self, index: u64) -> Result<(), Status> {
        let times = self.damaged.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(
            transfer = self.ticket.transfer_id,
            index,
            "a chunk has arrived damaged"
        );
        if times < limits::DAMAGED_MAX {
            return Ok(());
        }
        Err(Status::unavailable(format!(
            "{times} chunks of {} have arrived damaged.",
            self.what()
        ))
        .action("Look for a faulty network card or memory, then start the transfer again."))
    }

    fn what(&self) -> String {
        let file = self.ticket.target.clone().unwrap_or_default();
        format!("file {}/{}", file.datastore, file.path)
    }

    fn differs(&self) -> Status {
        Status::internal(format!(
            "What has come of {} is not what was sent.",
            self.what()
        ))
        .action("Cancel the transfer and start it again; look for faulty memory on both hosts.")
    }

    fn unreachable(&self, why: &str) -> Status {
        let source = &self.ticket.source_host_id;
        let message = format!(
            "The data end of the source of {} cannot be used: {why}.",
            self.what()
        );
        Status::unavailable(message)
            .about(ObjectRef::new("host", source, ""))
            .action("See that its agent runs and that its data port can be reached.")
    }
}
