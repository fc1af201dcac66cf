//! A server that goes away and comes back, with what it had stored or without.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kit::bus::{AppendError, BusError, LogInfo, Message};
use support::eventually;

use super::{Stage, bucket, entry, expecting, next, queue, stream, text};

/// Reads on until the stream ends.
async fn ends<T>(stream: &mut BoxStream<'static, T>) {
    let end = async { while stream.next().await.is_some() {} };
    tokio::time::timeout(support::PATIENCE, end)
        .await
        .expect("the stream to end");
}

async fn info_when_back(stage: &Stage, log: &str) -> Result<LogInfo, BusError> {
    eventually("the server to answer", async || {
        match stage.bus.info(log).await {
            Err(BusError::Broken { .. }) => None,
            answer => Some(answer),
        }
    })
    .await
    .unwrap()
}

pub async fn readers_end_when_the_connection_was_lost_and_is_back(stage: &Stage) {
    bucket(stage).await;
    queue(stage).await;
    stage.bus.append(&entry("b.x", "m1")).await.unwrap();
    let mut entries = stage.bus.read("b", "b.>", 1).await.unwrap();
    let lease = Duration::from_secs(30);
    let mut deliveries = stage.bus.consume("q", lease).await.unwrap();
    next(&mut entries).await.unwrap();
    stage.hands.stop().await;
    stage.hands.start().await;
    ends(&mut entries).await;
    ends(&mut deliveries).await;
}

pub async fn a_subscription_lives_on_after_an_outage(stage: &Stage) {
    let mut signals = stage.bus.subscribe("signals.>").await.unwrap();
    stage.hands.stop().await;
    stage.hands.start().await;
    eventually("a signal to come", async || {
        let sent = stage
            .other
            .publish("signals.x", Message::new("hello"))
            .await;
        let wait = tokio::time::timeout(Duration::from_millis(100), signals.next());
        sent.ok()?;
        wait.await.ok().flatten()
    })
    .await
    .unwrap();
}

pub async fn a_log_is_the_same_after_an_outage(stage: &Stage) {
    bucket(stage).await;
    stage.bus.append(&entry("b.x", "m1")).await.unwrap();
    let before = stage.bus.info("b").await.unwrap();
    stage.hands.stop().await;
    stage.hands.start().await;
    let after = info_when_back(stage, "b").await.unwrap();
    assert_eq!((after.created, after.last_sequence), (before.created, 1));
    let again = stage.bus.append(&entry("b.x", "m1")).await;
    assert_eq!(again.unwrap(), 1, "the message id is still known");
}

pub async fn a_restart_forgets_the_message_ids_of_replaced_entries(stage: &Stage) {
    bucket(stage).await;
    for id in ["m1", "m2"] {
        stage.bus.append(&entry("b.x", id)).await.unwrap();
    }
    stage.hands.stop().await;
    stage.hands.start().await;
    info_when_back(stage, "b").await.unwrap();
    assert_eq!(stage.bus.append(&entry("b.x", "m2")).await.unwrap(), 2);
    assert_eq!(stage.bus.append(&entry("b.x", "m1")).await.unwrap(), 3);
}

pub async fn an_append_during_an_outage_is_unknown_or_done_but_never_refused(stage: &Stage) {
    stream(stage).await;
    stage.hands.stop().await;
    let append = entry("s.x", "m1");
    let (outcome, ()) = tokio::join!(stage.bus.append(&append), stage.hands.start());
    assert!(
        matches!(outcome, Ok(1) | Err(AppendError::Unknown(_))),
        "{outcome:?}"
    );
    info_when_back(stage, "s").await.unwrap();
    assert_eq!(stage.bus.append(&append).await.unwrap(), 1);
}

pub async fn what_is_asked_during_an_outage_fails_without_saying_that_logs_are_missing(
    stage: &Stage,
) {
    bucket(stage).await;
    stage.hands.stop().await;
    let (info, last) = tokio::join!(stage.bus.info("b"), stage.bus.last("b", "b.>"));
    assert!(matches!(info, Err(BusError::Broken { .. })), "{info:?}");
    assert!(matches!(last, Err(BusError::Broken { .. })), "{last:?}");
    let append = stage.bus.append(&entry("b.x", "m1")).await;
    assert!(matches!(append, Err(AppendError::Unknown(_))), "{append:?}");
    stage.hands.start().await;
}

pub async fn a_lost_log_is_missing_and_another_when_it_is_made_again(stage: &Stage) {
    bucket(stage).await;
    stage.bus.append(&entry("b.x", "m1")).await.unwrap();
    let before = stage.bus.info("b").await.unwrap();
    stage.hands.stop().await;
    stage.hands.lose_everything().await;
    stage.hands.start().await;
    let missing = info_when_back(stage, "b").await;
    assert!(matches!(missing, Err(BusError::NoLog(_))), "{missing:?}");
    bucket(stage).await;
    let after = stage.bus.info("b").await.unwrap();
    assert_ne!(after.created, before.created);
    let anew = stage.bus.append(&expecting("b.x", "m1", "b.x", 0)).await;
    assert_eq!(anew.unwrap(), 1);
    let last = stage.bus.last("b", "b.x").await.unwrap().unwrap();
    assert_eq!(text(&last.message), "m1");
}

pub async fn an_entry_that_was_held_during_an_outage_is_delivered_again(stage: &Stage) {
    queue(stage).await;
    stage.bus.append(&entry("q.x", "m1")).await.unwrap();
    let lease = Duration::from_secs(1);
    let mut deliveries = stage.bus.consume("q", lease).await.unwrap();
    let held = next(&mut deliveries).await.unwrap();
    stage.hands.stop().await;
    stage.hands.start().await;
    ends(&mut deliveries).await;
    info_when_back(stage, "q").await.unwrap();
    let mut deliveries = stage.bus.consume("q", lease).await.unwrap();
    let again = next(&mut deliveries).await.unwrap();
    assert_eq!(again.entry().sequence, held.entry().sequence);
}
