//! That the model's faults are what they are called.

use std::time::Duration;

use futures::StreamExt;
use kit::bus::{Append, AppendError, Bus, LogKind, LogSpec, Message, headers};
use sim::bus::{Fault, Faults, Order, Server, SimBus};
use sim::world::World;
use tokio::time::Instant;

fn spec(kind: LogKind) -> LogSpec {
    LogSpec {
        name: "log".to_owned(),
        subject: "log.>".to_owned(),
        kind,
        first_sequence: 1,
    }
}

/// A connection to a server with a log, and faults that can be switched on.
async fn bus(kind: LogKind) -> (SimBus, Faults) {
    let faults = Faults::none();
    let server = Server::new(&World::new(1), &faults, Order::ConflictFirst);
    let bus = server.connect("bus");
    bus.ensure(&spec(kind)).await.unwrap();
    (bus, faults)
}

async fn append(bus: &SimBus) -> Result<u64, AppendError> {
    let entry = Append {
        log: "log".to_owned(),
        subject: "log.x".to_owned(),
        message: Message::new("x").header(headers::MESSAGE_ID, "m1"),
        expect: None,
        lifetime: None,
    };
    bus.append(&entry).await
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_the_entry_stored() {
    let (bus, faults) = bus(LogKind::Bucket).await;
    faults.set(Fault::LostAnswer, 1.0);
    assert!(matches!(append(&bus).await, Err(AppendError::Unknown(_))));
    assert_eq!(bus.server().info("log").unwrap().last_sequence, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_leaves_nothing() {
    let (bus, faults) = bus(LogKind::Bucket).await;
    faults.set(Fault::LostRequest, 1.0);
    assert!(matches!(append(&bus).await, Err(AppendError::Unknown(_))));
    assert_eq!(bus.server().info("log").unwrap().last_sequence, 0);
    faults.stop();
    assert_eq!(append(&bus).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_arrives_twice() {
    let (bus, faults) = bus(LogKind::Bucket).await;
    faults.set(Fault::Duplicate, 1.0);
    let signals = bus.subscribe("signals.>").await.unwrap();
    bus.publish("signals.x", Message::new("x")).await.unwrap();
    assert_eq!(signals.take(2).count().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reordered_message_is_overtaken() {
    let (bus, faults) = bus(LogKind::Bucket).await;
    faults.set(Fault::Reorder, 0.5);
    let mut signals = bus.subscribe("signals.>").await.unwrap();
    for number in 0..100_u8 {
        let message = Message::new(vec![number]);
        bus.publish("signals.x", message).await.unwrap();
    }
    let mut numbers = Vec::new();
    while numbers.len() < 100 {
        numbers.push(signals.next().await.unwrap().message.payload[0]);
    }
    assert!(!numbers.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_takes_seconds() {
    let (bus, faults) = bus(LogKind::Bucket).await;
    faults.set(Fault::Delay, 1.0);
    let mut signals = bus.subscribe("signals.>").await.unwrap();
    let sent = Instant::now();
    for _ in 0..5 {
        bus.publish("signals.x", Message::new("x")).await.unwrap();
        signals.next().await.unwrap();
    }
    assert!(sent.elapsed() > Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stale_reader_gets_entries_late() {
    let (bus, faults) = bus(LogKind::Bucket).await;
    append(&bus).await.unwrap();
    faults.set(Fault::StaleRead, 1.0);
    let mut entries = bus.read("log", "log.>", 1).await.unwrap();
    let asked = Instant::now();
    entries.next().await.unwrap().unwrap();
    assert!(asked.elapsed() > Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_broken_reader_ends_with_an_error() {
    let (bus, faults) = bus(LogKind::Bucket).await;
    append(&bus).await.unwrap();
    faults.set(Fault::BrokenRead, 1.0);
    let mut entries = bus.read("log", "log.>", 1).await.unwrap();
    assert!(entries.next().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_entry_is_with_two_consumers() {
    let (bus, faults) = bus(LogKind::Queue).await;
    append(&bus).await.unwrap();
    let lease = Duration::from_secs(30);
    let mut first = bus.consume("log", lease).await.unwrap();
    let held = first.next().await.unwrap().unwrap();
    faults.set(Fault::Redelivery, 1.0);
    let mut second = bus.consume("log", lease).await.unwrap();
    let again = second.next().await.unwrap().unwrap();
    assert_eq!(again.entry().sequence, held.entry().sequence);
}
