//! Reading logs and working off queues, as a client sees it.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use kit::bus::{BusError, Deliveries, Delivery, Entries, LogEntry};

use super::faults::Fault;
use super::{SimBus, broken};

/// Entries of a queue that a consumer is sent ahead: their leases run while they wait.
const FETCHED_AHEAD: u64 = 16;

/// How late a reader that is late gets its entries.
const STALE_MAX: Duration = Duration::from_secs(15);

const TRAVEL_MAX: Duration = Duration::from_millis(3);

/// A client's reading of a log, from one connection to the next.
struct Reading {
    bus: SimBus,
    /// Connections before this one.
    returns: u64,
    log: String,
    what: What,
    arrived: VecDeque<LogEntry>,
    is_broken: bool,
}

enum What {
    Log { filter: String, next: u64 },
    Queue { lease: Duration },
}

impl SimBus {
    fn reading(&self, log: &str, what: What) -> Reading {
        Reading {
            bus: self.clone(),
            returns: self.link.returns(),
            log: log.to_owned(),
            what,
            arrived: VecDeque::new(),
            is_broken: false,
        }
    }

    pub(super) async fn read_on_model(
        &self,
        log: &str,
        filter: &str,
        from: u64,
    ) -> Result<Entries, BusError> {
        self.must_be_there(log).await?;
        let filter = filter.to_owned();
        let reading = self.reading(log, What::Log { filter, next: from });
        Ok(futures::stream::unfold(reading, |mut reading| async move {
            let entry = reading.next().await?;
            Some((entry, reading))
        })
        .boxed())
    }

    pub(super) async fn consume_on_model(
        &self,
        log: &str,
        lease: Duration,
    ) -> Result<Deliveries, BusError> {
        self.must_be_there(log).await?;
        let reading = self.reading(log, What::Queue { lease });
        Ok(futures::stream::unfold(reading, |mut reading| async move {
            let entry = reading.next().await?;
            let delivery = entry.map(|entry| {
                let (bus, log) = (reading.bus.clone(), reading.log.clone());
                let What::Queue { lease } = reading.what else {
                    unreachable!("a log has no deliveries")
                };
                Box::new(SimDelivery {
                    bus,
                    log,
                    lease,
                    entry,
                }) as Box<dyn Delivery>
            });
            Some((delivery, reading))
        })
        .boxed())
    }

    async fn must_be_there(&self, log: &str) -> Result<(), BusError> {
        let name = log.to_owned();
        let there = self.ask(log, move |server| server.info(&name)).await?;
        there
            .map(|_| ())
            .map_err(|_| broken(log, "it is not there"))
    }
}

impl Reading {
    /// `None` when the connection was lost and is back.
    async fn next(&mut self) -> Option<Result<LogEntry, BusError>> {
        let link = std::sync::Arc::clone(&self.bus.link);
        let returns = self.returns;
        tokio::select! {
            biased;
            () = link.returned_after(returns) => None,
            entry = self.next_on_connection() => Some(entry),
        }
    }

    async fn next_on_connection(&mut self) -> Result<LogEntry, BusError> {
        loop {
            if let Some(entry) = self.arrived.pop_front() {
                return Ok(entry);
            }
            if self.is_broken {
                return std::future::pending().await;
            }
            let server = std::sync::Arc::clone(&self.bus.server);
            let changed = server.changed.notified();
            let fetched = self.fetch();
            if fetched.is_empty() {
                self.wait(changed).await;
                continue;
            }
            self.travel().await?;
            self.arrived = fetched;
        }
    }

    /// Waits until something changed, or a lease ends.
    async fn wait(&self, changed: impl Future<Output = ()>) {
        let server = &self.bus.server;
        let next_free = server.log(&self.log, |log, now_ms| {
            log.holds.next_free_ms(now_ms).map(|at| at - now_ms)
        });
        let in_ms = next_free
            .ok()
            .flatten()
            .and_then(|ms| u64::try_from(ms).ok());
        let in_ms = Duration::from_millis(in_ms.unwrap_or(u64::from(u32::MAX)));
        tokio::select! {
            biased;
            () = changed => {}
            () = server.world.pass(in_ms) => {}
        }
    }

    /// The way from the server. What is on it when the connection is lost is lost.
    async fn travel(&mut self) -> Result<(), BusError> {
        let (world, faults) = (&self.bus.server.world, &self.bus.server.faults);
        let (stale, breaks) = (
            faults.rate(Fault::StaleRead),
            faults.rate(Fault::BrokenRead),
        );
        let (time, breaks) = world.draw(|chance| {
            let longest = if chance.happens(stale) {
                STALE_MAX
            } else {
                TRAVEL_MAX
            };
            (
                chance.duration(Duration::ZERO, longest),
                chance.happens(breaks),
            )
        });
        let cuts = self.bus.link.cuts();
        world.pass(time).await;
        if self.bus.link.cuts() != cuts {
            // The stream ends when the connection is back.
            return std::future::pending().await;
        }
        if breaks {
            world.tell(
                &self.bus.link.name,
                format!("a reader of {} breaks", self.log),
            );
            self.is_broken = true;
            return Err(broken(&self.log, "the reader broke"));
        }
        Ok(())
    }

    fn fetch(&mut self) -> VecDeque<LogEntry> {
        if !self.bus.link.is_up() {
            return VecDeque::new();
        }
        match &mut self.what {
            What::Log { filter, next } => {
                let entries = self.bus.server.entries(&self.log, filter, *next);
                *next = entries.last().map_or(*next, |entry| entry.sequence + 1);
                entries.into()
            }
            What::Queue { lease } => fetch_from_queue(&self.bus, &self.log, *lease),
        }
    }
}

fn fetch_from_queue(bus: &SimBus, log: &str, lease: Duration) -> VecDeque<LogEntry> {
    let rate = bus.server.faults.rate(Fault::Redelivery);
    let (most, again) = bus
        .server
        .world
        .draw(|chance| (chance.between(1, FETCHED_AHEAD + 1), chance.happens(rate)));
    let fetched = bus.server.log(log, |log, now_ms| {
        let free = |sequence: &u64| again || log.holds.is_free(*sequence, now_ms);
        let most = usize::try_from(most).unwrap_or(1);
        let sequences: Vec<u64> = log.sequences().filter(free).take(most).collect();
        for sequence in &sequences {
            log.holds.hold(*sequence, now_ms + millis(lease));
        }
        let entries = sequences.iter().filter_map(|sequence| log.entry(*sequence));
        entries.cloned().collect()
    });
    fetched.unwrap_or_default()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

struct SimDelivery {
    bus: SimBus,
    log: String,
    lease: Duration,
    entry: LogEntry,
}

impl SimDelivery {
    /// Moves the end of the lease, if the entry is still there.
    fn hold_for(&self, duration: Duration) {
        let server = std::sync::Arc::clone(&self.bus.server);
        let (log, sequence) = (self.log.clone(), self.entry.sequence);
        self.bus.link.send(move || {
            // An error: the queue is gone, and the entry with it.
            let _ = server.log(&log, |log, now_ms| {
                if log.holds.is_held(sequence) {
                    log.holds.hold(sequence, now_ms + millis(duration));
                }
            });
            server.changed.notify_waiters();
        });
    }
}

#[async_trait]
impl Delivery for SimDelivery {
    fn entry(&self) -> &LogEntry {
        &self.entry
    }

    async fn finish(&self) -> Result<(), BusError> {
        let (log, sequence) = (self.log.clone(), self.entry.sequence);
        let finished = self.bus.ask(&self.log, move |server| {
            let removed = server.log(&log, |log, _| log.remove(sequence));
            server.changed.notify_waiters();
            removed
        });
        finished.await?
    }

    async fn extend(&self) -> Result<(), BusError> {
        self.hold_for(self.lease);
        Ok(())
    }

    async fn give_back(&self, after: Duration) -> Result<(), BusError> {
        self.hold_for(after);
        Ok(())
    }
}
