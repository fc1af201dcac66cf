//! The server: logs, subscriptions, connections, a clock; and what an operator or a disaster does to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kit::bus::{Append, BusError, LogEntry, LogInfo, LogSpec, headers};
use tokio::sync::Notify;

use super::faults::Faults;
use super::history::{Epoch, History};
use super::link::Link;
use super::log::{Log, NotTaken, Order};
use super::signals::Subscriptions;
use super::{SimBus, broken};
use crate::world::World;

/// Entries that a reader is sent at a time.
const READ_BATCH: usize = 500;

pub struct Server {
    pub(super) world: World,
    pub(super) faults: Faults,
    order: Order,
    state: Mutex<State>,
    /// An entry came, went or became free.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    logs: BTreeMap<String, Log>,
    /// How many logs were ever made.
    made: u64,
    links: Vec<Weak<Link>>,
    is_down: bool,
    /// What was added to the clock, and how often.
    skipped_ms: i64,
    skips: usize,
    subscriptions: Subscriptions,
    history: History,
}

impl Server {
    pub fn new(world: &World, faults: &Faults, order: Order) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            faults: faults.clone(),
            order,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// A new connection, which is up when the server is.
    pub fn connect(self: &Arc<Self>, name: &str) -> SimBus {
        let link = Link::open(name, self.world.clone(), self.faults.clone());
        let mut state = self.lock();
        if state.is_down {
            link.cut();
        }
        state.links.retain(|link| link.strong_count() > 0);
        state.links.push(Arc::downgrade(&link));
        SimBus::new(Arc::clone(self), link)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now_ms(&self) -> i64 {
        self.world.now_ms() + self.lock().skipped_ms
    }

    pub(super) fn subscriptions<T>(&self, with: impl FnOnce(&mut Subscriptions) -> T) -> T {
        with(&mut self.lock().subscriptions)
    }

    /// Works on a log as it is now.
    pub(super) fn log<T>(
        &self,
        name: &str,
        with: impl FnOnce(&mut Log, i64) -> T,
    ) -> Result<T, BusError> {
        let now_ms = self.now_ms();
        let mut state = self.lock();
        let log = state.logs.get_mut(name);
        let log = log.ok_or_else(|| BusError::NoLog(name.to_owned()))?;
        log.expire(now_ms);
        Ok(with(log, now_ms))
    }

    pub(super) fn make(&self, spec: &LogSpec) -> Result<(), BusError> {
        let now_ms = self.now_ms();
        let mut state = self.lock();
        if let Some(log) = state.logs.get(&spec.name) {
            let same = log.first_sequence() == spec.first_sequence.max(1);
            let text = "the name is in use with another configuration";
            return if same {
                Ok(())
            } else {
                Err(broken(&spec.name, text))
            };
        }
        state.made += 1;
        let created = format!("{now_ms}-{}", state.made);
        self.world.tell(
            "server",
            format!("log {} is made, from {}", spec.name, spec.first_sequence),
        );
        state.history.begin(&spec.name, &created, Vec::new());
        state
            .logs
            .insert(spec.name.clone(), Log::new(spec, created));
        Ok(())
    }

    pub fn info(&self, log: &str) -> Result<LogInfo, BusError> {
        self.log(log, |log, now_ms| log.info(now_ms))
    }

    pub fn last(&self, log: &str, filter: &str) -> Result<Option<LogEntry>, BusError> {
        self.log(log, |log, _| log.last(filter).cloned())
    }

    /// `None`: no log takes the subject.
    pub(super) fn append(&self, append: &Append) -> Option<Result<u64, NotTaken>> {
        let name = {
            let state = self.lock();
            let log = state
                .logs
                .iter()
                .find(|(_, log)| log.takes(&append.subject));
            log?.0.clone()
        };
        let (order, id) = (self.order, append.message.get(headers::MESSAGE_ID));
        let (outcome, stored) = self
            .log(&name, |log, now_ms| {
                let before = log.info(now_ms).last_sequence;
                let outcome = log.append(append, order, now_ms);
                let is_new = |sequence: &u64| *sequence > before;
                let stored = outcome
                    .ok()
                    .filter(is_new)
                    .and_then(|sequence| log.entry(sequence).cloned());
                (outcome, stored)
            })
            .ok()?;
        let said = format!("{} {}: {outcome:?}", append.subject, id.unwrap_or("-"));
        self.world.tell("server", said);
        if let Some(entry) = stored {
            self.lock().history.take(&name, entry);
        }
        self.changed.notify_waiters();
        Some(outcome)
    }

    /// What a log ever took.
    pub fn history(&self, log: &str) -> Vec<Epoch> {
        self.lock().history.of(log)
    }

    /// How often a log was made or restored.
    pub fn epochs(&self, log: &str) -> usize {
        self.lock().history.epochs(log)
    }

    /// Entries of a log as they are stored now; none of a log that is not there.
    pub fn entries(&self, log: &str, filter: &str, from: u64) -> Vec<LogEntry> {
        self.log(log, |log, _| {
            log.from(filter, from).take(READ_BATCH).cloned().collect()
        })
        .unwrap_or_default()
    }

    /// How often the clock was put forward.
    pub fn skips(&self) -> usize {
        self.lock().skips
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.lock().links.iter().filter_map(Weak::upgrade).collect()
    }

    /// Cuts one connection for a while.
    pub async fn cut(&self, bus: &SimBus, duration: Duration) {
        self.world.tell(
            &bus.link.name,
            format!("connection is lost for {duration:?}"),
        );
        bus.link.cut();
        self.world.pass(duration).await;
        if !self.lock().is_down {
            self.world.tell(&bus.link.name, "connection is back");
            bus.link.come_back();
        }
        self.changed.notify_waiters();
    }

    /// Stops the server, does what `while_down` does to it, and starts it again.
    pub async fn restart(&self, duration: Duration, while_down: impl FnOnce(&Self)) {
        self.stop();
        while_down(self);
        self.world.pass(duration).await;
        self.start();
    }

    pub fn stop(&self) {
        self.world.tell("server", "down");
        self.lock().is_down = true;
        self.links().iter().for_each(|link| link.cut());
    }

    pub fn start(&self) {
        self.world.tell("server", "up again");
        self.lock().logs.values_mut().for_each(Log::forget_ids);
        self.lock().is_down = false;
        self.links().iter().for_each(|link| link.come_back());
        self.changed.notify_waiters();
    }

    pub fn lose_log(&self, name: &str) {
        self.world.tell("server", format!("log {name} is lost"));
        self.lock().logs.remove(name);
    }

    /// A backup of a log.
    pub fn copy_log(&self, name: &str) -> Option<Backup> {
        let log = self.lock().logs.get(name)?.clone();
        Some(Backup(name.to_owned(), log))
    }

    pub fn restore_log(&self, backup: &Backup) {
        let Backup(name, log) = backup;
        self.world.tell(
            "server",
            format!(
                "log {name} is restored as it was at {}",
                log.info(0).last_sequence
            ),
        );
        let beginning = log.from(">", 1).cloned().collect();
        let mut state = self.lock();
        state.history.begin(name, &log.info(0).created, beginning);
        state.logs.insert(name.clone(), log.clone());
    }

    /// Puts the server's clock forward: what was to expire meanwhile has expired.
    pub fn skip(&self, duration: Duration) {
        self.world.tell("server", format!("{duration:?} pass"));
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let mut state = self.lock();
        state.skipped_ms += millis;
        state.skips += 1;
        drop(state);
        self.changed.notify_waiters();
    }
}

/// A log as it once was.
#[derive(Clone)]
pub struct Backup(String, Log);
