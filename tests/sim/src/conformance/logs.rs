//! Logs: appends, expectations, message ids, reading.

use std::time::Duration;

use contracts::limits::MESSAGE_BYTES_MAX;
use kit::bus::{Append, AppendError, BusError, Entries, LogKind, LogSpec, Message, headers};
use support::eventually;

use super::{Stage, bucket, entry, expecting, is_silent, next, spec, stream, text};
use crate::bus::Order;

/// Sequence and text of the next entry.
async fn read(entries: &mut Entries) -> (u64, String) {
    let entry = next(entries).await.unwrap();
    (entry.sequence, text(&entry.message))
}

pub async fn a_log_that_is_not_there_is_said_to_be_missing(stage: &Stage) {
    let info = stage.bus.info("b").await;
    assert!(matches!(info, Err(BusError::NoLog(_))), "{info:?}");
    let last = stage.bus.last("b", "b.>").await;
    assert!(matches!(last, Err(BusError::NoLog(_))), "{last:?}");
    assert!(stage.bus.read("b", "b.>", 1).await.is_err());
    let lease = Duration::from_secs(30);
    assert!(stage.bus.consume("b", lease).await.is_err());
    let append = stage.bus.append(&entry("b.x", "m1")).await;
    assert!(matches!(append, Err(AppendError::Unknown(_))), "{append:?}");
}

pub async fn a_log_is_made_once_and_keeps_its_identity(stage: &Stage) {
    let made = stage.bus.ensure(&spec("b", LogKind::Bucket)).await.unwrap();
    assert_eq!(made.last_sequence, 0);
    let again = stage.other.ensure(&spec("b", LogKind::Bucket)).await;
    assert_eq!(again.unwrap().created, made.created);
    let info = stage.other.info("b").await.unwrap();
    assert_eq!(info.created, made.created);
    assert!(info.now_ms >= made.now_ms);
}

pub async fn a_log_that_is_there_is_taken_whatever_its_first_number(stage: &Stage) {
    bucket(stage).await;
    let spec = LogSpec {
        first_sequence: 77,
        ..spec("b", LogKind::Bucket)
    };
    assert_eq!(stage.other.ensure(&spec).await.unwrap().last_sequence, 0);
}

pub async fn two_that_make_a_log_at_once_get_the_same(stage: &Stage) {
    let from = |first_sequence| LogSpec {
        first_sequence,
        ..spec("b", LogKind::Bucket)
    };
    let (low, high) = (from(1_000), from(2_000));
    let (one, other) = tokio::join!(stage.bus.ensure(&low), stage.other.ensure(&high));
    assert_eq!(one.unwrap().created, other.unwrap().created);
}

pub async fn a_log_starts_to_count_where_it_is_told(stage: &Stage) {
    let spec = LogSpec {
        first_sequence: 1_000,
        ..spec("b", LogKind::Bucket)
    };
    assert_eq!(stage.bus.ensure(&spec).await.unwrap().last_sequence, 999);
    assert_eq!(stage.bus.append(&entry("b.x", "m1")).await.unwrap(), 1_000);
}

pub async fn appends_are_counted_and_dated(stage: &Stage) {
    bucket(stage).await;
    for (index, id) in ["m1", "m2", "m3"].iter().enumerate() {
        let sequence = stage.bus.append(&entry("b.x", id)).await.unwrap();
        assert_eq!(sequence, index as u64 + 1);
    }
    let (info, last) = (
        stage.bus.info("b").await.unwrap(),
        stage.bus.last("b", "b.x").await,
    );
    assert_eq!(info.last_sequence, 3);
    let age_ms = info.now_ms - last.unwrap().unwrap().time_ms;
    assert!((-1..60_000).contains(&age_ms), "{age_ms}");
}

pub async fn an_entry_comes_back_whole(stage: &Stage) {
    bucket(stage).await;
    let mut written = entry("b.x", "m1");
    written.message = written.message.header("Color", "blue, or: green");
    written.message.payload = vec![0, 255, 13, 10].into();
    stage.bus.append(&written).await.unwrap();
    let last = stage.bus.last("b", "b.x").await.unwrap().unwrap();
    let mut entries = stage.bus.read("b", "b.>", 1).await.unwrap();
    for found in [last, next(&mut entries).await.unwrap()] {
        assert_eq!((found.subject.as_str(), found.sequence), ("b.x", 1));
        assert_eq!(found.message, written.message);
    }
}

pub async fn an_append_is_taken_only_on_the_entry_that_it_expects(stage: &Stage) {
    bucket(stage).await;
    let append = async |id, sequence| {
        stage
            .bus
            .append(&expecting("b.x", id, "b.x", sequence))
            .await
    };
    let early = append("m1", 1).await;
    assert!(matches!(early, Err(AppendError::Conflict)), "{early:?}");
    assert_eq!(append("m2", 0).await.unwrap(), 1);
    let late = append("m3", 0).await;
    assert!(matches!(late, Err(AppendError::Conflict)), "{late:?}");
    assert_eq!(
        append("m4", 1).await.unwrap(),
        2,
        "a conflict takes no number"
    );
    let last = stage.bus.last("b", "b.x").await.unwrap().unwrap();
    assert_eq!(text(&last.message), "m4");
}

pub async fn an_expectation_of_one_subject_does_not_mind_others(stage: &Stage) {
    bucket(stage).await;
    stage.bus.append(&entry("b.y", "m1")).await.unwrap();
    let first = stage.bus.append(&expecting("b.x", "m2", "b.x", 0)).await;
    assert_eq!(first.unwrap(), 2);
    stage.bus.append(&entry("b.y", "m3")).await.unwrap();
    let second = stage.bus.append(&expecting("b.x", "m4", "b.x", 2)).await;
    assert_eq!(second.unwrap(), 4);
}

pub async fn an_expectation_may_span_subjects(stage: &Stage) {
    stream(stage).await;
    let filter = "s.*.vm.>";
    let append = async |subject: &str, id, sequence| {
        stage
            .bus
            .append(&expecting(subject, id, filter, sequence))
            .await
    };
    assert_eq!(append("s.g.vm.x.created", "m1", 0).await.unwrap(), 1);
    let late = append("s.h.vm.y.created", "m2", 0).await;
    assert!(matches!(late, Err(AppendError::Conflict)), "{late:?}");
    stage
        .bus
        .append(&entry("s.g.host.z.created", "m3"))
        .await
        .unwrap();
    assert_eq!(append("s.h.vm.y.created", "m4", 1).await.unwrap(), 3);
    let last = stage.bus.last("s", filter).await.unwrap().unwrap();
    assert_eq!((last.sequence, text(&last.message).as_str()), (3, "m4"));
}

pub async fn a_message_id_is_taken_once(stage: &Stage) {
    stream(stage).await;
    let first = stage.bus.append(&entry("s.x", "m1")).await.unwrap();
    stage.bus.append(&entry("s.x", "m2")).await.unwrap();
    assert_eq!(
        stage.other.append(&entry("s.x", "m1")).await.unwrap(),
        first
    );
    assert_eq!(stage.bus.info("s").await.unwrap().last_sequence, 2);
}

pub async fn a_message_id_counts_although_its_entry_was_replaced(stage: &Stage) {
    bucket(stage).await;
    let first = stage.bus.append(&entry("b.x", "m1")).await.unwrap();
    stage.bus.append(&entry("b.x", "m2")).await.unwrap();
    assert_eq!(stage.bus.append(&entry("b.x", "m1")).await.unwrap(), first);
    let last = stage.bus.last("b", "b.x").await.unwrap().unwrap();
    assert_eq!(text(&last.message), "m2");
}

pub async fn an_append_sent_again_conflicts_or_is_a_duplicate_by_the_replicas(stage: &Stage) {
    bucket(stage).await;
    let append = expecting("b.x", "m1", "b.x", 0);
    let first = stage.bus.append(&append).await.unwrap();
    let again = stage.bus.append(&append).await;
    match stage.order {
        Order::ConflictFirst => assert!(matches!(again, Err(AppendError::Conflict)), "{again:?}"),
        Order::DuplicateFirst => assert_eq!(again.unwrap(), first),
    }
}

pub async fn a_refused_append_does_not_use_up_its_message_id(stage: &Stage) {
    bucket(stage).await;
    let refused = stage.bus.append(&expecting("b.x", "m1", "b.x", 7)).await;
    assert!(matches!(refused, Err(AppendError::Conflict)), "{refused:?}");
    let taken = stage.bus.append(&expecting("b.x", "m1", "b.x", 0)).await;
    assert_eq!(taken.unwrap(), 1);
}

pub async fn an_entry_with_a_lifetime_removes_itself(stage: &Stage) {
    bucket(stage).await;
    let marker = Append {
        lifetime: Some(Duration::from_secs(1)),
        ..entry("b.x", "m1")
    };
    stage.bus.append(&marker).await.unwrap();
    assert!(stage.bus.last("b", "b.x").await.unwrap().is_some());
    eventually("the entry to go", async || {
        let last = stage.bus.last("b", "b.x").await.unwrap();
        last.is_none().then_some(())
    })
    .await
    .unwrap();
    assert_eq!(stage.bus.info("b").await.unwrap().last_sequence, 1);
    let anew = stage.bus.append(&expecting("b.x", "m2", "b.x", 0)).await;
    assert_eq!(anew.unwrap(), 2);
}

pub async fn only_buckets_take_lifetimes(stage: &Stage) {
    stream(stage).await;
    let marker = Append {
        lifetime: Some(Duration::from_secs(1)),
        ..entry("s.x", "m1")
    };
    let refused = stage.bus.append(&marker).await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );
}

pub async fn what_is_too_large_is_refused(stage: &Stage) {
    bucket(stage).await;
    let mut large = entry("b.x", "m1");
    large.message.payload = vec![0; MESSAGE_BYTES_MAX + 1].into();
    let refused = stage.bus.append(&large).await;
    let too_large = matches!(
        refused,
        Err(AppendError::Refused(BusError::TooLarge { .. }))
    );
    assert!(too_large, "{refused:?}");
}

pub async fn the_last_of_a_filter_is_the_newest_of_all(stage: &Stage) {
    bucket(stage).await;
    assert!(stage.bus.last("b", "b.>").await.unwrap().is_none());
    for (subject, id) in [("b.x", "m1"), ("b.y", "m2"), ("b.x", "m3")] {
        stage.bus.append(&entry(subject, id)).await.unwrap();
    }
    let last = async |filter| {
        stage
            .other
            .last("b", filter)
            .await
            .unwrap()
            .unwrap()
            .sequence
    };
    assert_eq!(
        (last("b.>").await, last("b.x").await, last("b.y").await),
        (3, 3, 2)
    );
}

pub async fn a_reader_of_a_bucket_gets_the_last_of_each_and_then_what_comes(stage: &Stage) {
    bucket(stage).await;
    for (subject, id) in [("b.x", "m1"), ("b.y", "m2"), ("b.x", "m3")] {
        stage.bus.append(&entry(subject, id)).await.unwrap();
    }
    let mut entries = stage.other.read("b", "b.>", 1).await.unwrap();
    assert_eq!(read(&mut entries).await, (2, "m2".to_owned()));
    assert_eq!(read(&mut entries).await, (3, "m3".to_owned()));
    stage.bus.append(&entry("b.y", "m4")).await.unwrap();
    assert_eq!(read(&mut entries).await, (4, "m4".to_owned()));
    assert!(is_silent(&mut entries).await);
}

pub async fn a_reader_of_a_stream_gets_every_entry_from_its_place_on(stage: &Stage) {
    stream(stage).await;
    for id in ["m1", "m2", "m3", "m4"] {
        stage.bus.append(&entry("s.x", id)).await.unwrap();
    }
    let mut entries = stage.bus.read("s", "s.>", 2).await.unwrap();
    for expected in 2..=4 {
        assert_eq!(read(&mut entries).await.0, expected);
    }
}

pub async fn a_reader_gets_what_its_filter_says(stage: &Stage) {
    stream(stage).await;
    for (subject, id) in [("s.g.vm.x", "m1"), ("s.g.host.y", "m2"), ("s.h.vm.z", "m3")] {
        stage.bus.append(&entry(subject, id)).await.unwrap();
    }
    let mut entries = stage.bus.read("s", "s.*.vm.>", 1).await.unwrap();
    assert_eq!(read(&mut entries).await.0, 1);
    assert_eq!(read(&mut entries).await.0, 3);
    assert!(is_silent(&mut entries).await);
}

pub async fn a_reader_may_wait_for_numbers_to_come(stage: &Stage) {
    bucket(stage).await;
    let mut entries = stage.bus.read("b", "b.>", 3).await.unwrap();
    for id in ["m1", "m2", "m3"] {
        stage.bus.append(&entry("b.x", id)).await.unwrap();
    }
    assert_eq!(read(&mut entries).await, (3, "m3".to_owned()));
}

pub async fn a_deletion_is_an_entry_like_any_other(stage: &Stage) {
    bucket(stage).await;
    stage.bus.append(&entry("b.x", "m1")).await.unwrap();
    let mut deletion = expecting("b.x", "m2", "b.x", 1);
    deletion.message = Message::default()
        .header(headers::MESSAGE_ID, "m2")
        .header(headers::OPERATION, headers::OPERATION_DELETE);
    deletion.lifetime = Some(Duration::from_secs(3600));
    assert_eq!(stage.bus.append(&deletion).await.unwrap(), 2);
    let mut entries = stage.bus.read("b", "b.>", 1).await.unwrap();
    let found = next(&mut entries).await.unwrap();
    assert_eq!(
        found.message.get(headers::OPERATION),
        Some(headers::OPERATION_DELETE)
    );
    let unaware = stage.bus.append(&expecting("b.x", "m3", "b.x", 0)).await;
    assert!(matches!(unaware, Err(AppendError::Conflict)), "{unaware:?}");
}
