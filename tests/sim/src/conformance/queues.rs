//! Work queues: one consumer at a time, leases, giving back.

use std::time::Duration;

use kit::bus::{AppendError, Bus, Deliveries, Delivery};

use super::{Stage, entry, is_silent, next, queue, text};

/// Short for a test, long for a server.
const LEASE: Duration = Duration::from_secs(1);

const LONG_LEASE: Duration = Duration::from_secs(30);

async fn consume(bus: &dyn Bus, lease: Duration) -> Deliveries {
    bus.consume("q", lease).await.unwrap()
}

async fn take(deliveries: &mut Deliveries) -> Box<dyn Delivery> {
    next(deliveries).await.unwrap()
}

pub async fn a_queue_has_one_entry_of_a_subject(stage: &Stage) {
    queue(stage).await;
    let first = stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let refused = stage.bus.append(&entry("q.x", "m2")).await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(stage.bus.append(&entry("q.x", "m1")).await.unwrap(), first);
    stage.bus.append(&entry("q.y", "m3")).await.unwrap();
}

pub async fn a_finished_entry_is_gone(stage: &Stage) {
    queue(stage).await;
    stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let mut deliveries = consume(&*stage.bus, LEASE).await;
    let delivery = take(&mut deliveries).await;
    assert_eq!(text(&delivery.entry().message), "m1");
    delivery.finish().await.unwrap();
    assert!(stage.bus.last("q", "q.x").await.unwrap().is_none());
    let again = stage.bus.append(&entry("q.x", "m2")).await;
    assert_eq!(again.unwrap(), 2);
    assert_eq!(text(&take(&mut deliveries).await.entry().message), "m2");
}

pub async fn a_message_id_counts_although_its_entry_was_finished(stage: &Stage) {
    queue(stage).await;
    let first = stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let mut deliveries = consume(&*stage.bus, LONG_LEASE).await;
    take(&mut deliveries).await.finish().await.unwrap();
    assert_eq!(stage.bus.append(&entry("q.x", "m1")).await.unwrap(), first);
    assert!(is_silent(&mut deliveries).await);
}

pub async fn an_entry_is_with_one_consumer_at_a_time(stage: &Stage) {
    queue(stage).await;
    let mut first = consume(&*stage.bus, LONG_LEASE).await;
    stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let _held = take(&mut first).await;
    let mut second = consume(&*stage.other, LONG_LEASE).await;
    assert!(is_silent(&mut second).await);
    assert!(is_silent(&mut first).await);
}

pub async fn an_entry_whose_lease_ended_is_delivered_again(stage: &Stage) {
    queue(stage).await;
    let mut first = consume(&*stage.bus, LEASE).await;
    stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let held = take(&mut first).await;
    drop(first);
    let mut second = consume(&*stage.other, LEASE).await;
    let again = take(&mut second).await;
    assert_eq!(again.entry().sequence, held.entry().sequence);
}

pub async fn an_extended_lease_does_not_end(stage: &Stage) {
    queue(stage).await;
    let mut first = consume(&*stage.bus, LEASE).await;
    stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let held = take(&mut first).await;
    let mut second = consume(&*stage.other, LEASE).await;
    for _ in 0..4 {
        held.extend().await.unwrap();
        assert!(is_silent(&mut second).await);
    }
    held.finish().await.unwrap();
    assert!(is_silent(&mut second).await);
}

pub async fn an_entry_that_was_given_back_comes_again_after_its_time(stage: &Stage) {
    queue(stage).await;
    let mut deliveries = consume(&*stage.bus, LONG_LEASE).await;
    stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let held = take(&mut deliveries).await;
    held.give_back(LEASE).await.unwrap();
    assert!(is_silent(&mut deliveries).await);
    let again = take(&mut deliveries).await;
    assert_eq!(again.entry().sequence, held.entry().sequence);
}

pub async fn an_entry_is_finished_by_who_held_it_last_or_before(stage: &Stage) {
    queue(stage).await;
    let mut first = consume(&*stage.bus, LEASE).await;
    stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let late = take(&mut first).await;
    let again = take(&mut first).await;
    late.finish().await.unwrap();
    assert!(stage.bus.last("q", "q.x").await.unwrap().is_none());
    // Finishing what is finished is no error.
    again.finish().await.unwrap();
}

pub async fn entries_are_shared_by_consumers(stage: &Stage) {
    queue(stage).await;
    let mut first = consume(&*stage.bus, LONG_LEASE).await;
    let mut second = consume(&*stage.other, LONG_LEASE).await;
    for number in 0..8 {
        let append = entry(&format!("q.x{number}"), &format!("m{number}"));
        stage.bus.append(&append).await.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let delivery = tokio::select! {
            delivery = take(&mut first) => delivery,
            delivery = take(&mut second) => delivery,
        };
        assert!(seen.insert(delivery.entry().sequence), "delivered twice");
        delivery.finish().await.unwrap();
    }
    assert!(is_silent(&mut first).await && is_silent(&mut second).await);
}

pub async fn work_waits_for_a_consumer(stage: &Stage) {
    queue(stage).await;
    for id in ["m1", "m2"] {
        stage
            .bus
            .append(&entry(&format!("q.{id}"), id))
            .await
            .unwrap();
    }
    let mut deliveries = consume(&*stage.other, LONG_LEASE).await;
    let (first, second) = (take(&mut deliveries).await, take(&mut deliveries).await);
    assert_eq!((first.entry().sequence, second.entry().sequence), (1, 2));
}
