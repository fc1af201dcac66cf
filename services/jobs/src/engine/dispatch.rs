//! Taking jobs from the queue, as many at a time as there are runners.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kit::bus::{BusError, Delivery};
use tokio::sync::Semaphore;

use super::{Engine, runner};
use contracts::subjects::RUNS;

/// Before the queue is consumed again after an error.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// A job for which no runner is free comes back after this time, at the longest twice: soon enough for a person who looks
/// on, seldom enough that ten thousand of them are no load. It must be let go of at once, since its lease runs.
const FULL_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until the engine stops.
pub(super) async fn run(engine: Arc<Engine>) {
    let slots = Arc::new(Semaphore::new(engine.config.runners_max));
    while !engine.stop.is_cancelled() {
        if let Err(error) = consume(&engine, &slots).await {
            tracing::warn!(%error, "jobs are not taken now; trying again");
            tokio::select! {
                biased;
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                () = engine.stop.cancelled() => {}
            }
        }
    }
}

async fn consume(engine: &Arc<Engine>, slots: &Arc<Semaphore>) -> Result<(), BusError> {
    engine.ensure_queue().await?;
    let mut deliveries = engine.bus.consume(RUNS, engine.config.lease()).await?;
    loop {
        let delivery = tokio::select! {
           biased;
            () = engine.stop.cancelled() => return Ok(()),
            delivery = deliveries.next() => delivery,
        };
        match delivery.transpose()? {
            Some(delivery) => hand_over(engine, slots, delivery),
            None => return Ok(()),
        }
    }
}

fn hand_over(engine: &Arc<Engine>, slots: &Arc<Semaphore>, delivery: Box<dyn Delivery>) {
    let slot = Arc::clone(slots).try_acquire_owned();
    let engine = Arc::clone(engine);
    let tasks = engine.tasks.clone();
    tasks.spawn(async move {
        match slot {
            Ok(_slot) => runner::run(&engine, delivery).await,
            Err(_) => give_back(&engine, &*delivery).await,
        }
    });
}

async fn give_back(engine: &Engine, delivery: &dyn Delivery) {
    let share = engine.random() % u64::try_from(FULL_INTERVAL.as_millis()).unwrap_or(1);
    let after = FULL_INTERVAL + Duration::from_millis(share);
    if let Err(error) = delivery.give_back(after).await {
        tracing::debug!(%error, "an entry comes back when its lease ends");
    }
}

impl Engine {
    /// Random bits from the handed-in source of ids.
    pub(super) fn random(&self) -> u64 {
        // The upper two bits of this half are fixed in every id; the rest is drawn.
        self.world.ids.next().as_u64_pair().1 & (u64::MAX >> 2)
    }
}
