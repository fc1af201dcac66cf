//! What services did by themselves, as jobs.

use contracts::call::Context;
use contracts::jobs::{FoundChange, JobState, RecordRequest};
use contracts::{Code, ObjectRef};

use crate::harness::House;

fn change(id: &str) -> FoundChange {
    FoundChange {
        job_id: id.to_owned(),
        target: Some(ObjectRef::new("host", "h1", "host-01")),
        found_ms: 5,
        ..FoundChange::default()
    }
}

#[tokio::test]
async fn what_was_found_and_what_was_done_on_somebody_s_word_are_jobs_that_have_ended() {
    let house = House::build().await;
    let joined = FoundChange {
        kind: "host_add".to_owned(),
        owner: "alice".to_owned(),
        ..change("joined")
    };
    let request = RecordRequest {
        found: vec![change("found"), joined],
    };
    for _ in 0..2 {
        house
            .client
            .record(&Context::new("system"), &request)
            .await
            .unwrap();
    }
    for (id, kind, owner) in [
        ("found", "found", "system"),
        ("joined", "host_add", "alice"),
    ] {
        let job = house.end_of(id).await;
        assert_eq!((job.kind.as_str(), job.owner.as_str()), (kind, owner));
        assert_eq!((job.state(), job.created_ms), (JobState::Succeeded, 5));
    }
}

#[tokio::test]
async fn a_kind_that_is_none_is_refused_before_anything_is_written() {
    let house = House::build().await;
    let odd = FoundChange {
        kind: "nonsense".to_owned(),
        ..change("odd")
    };
    let request = RecordRequest {
        found: vec![change("found"), odd],
    };
    let refused = house
        .client
        .record(&Context::new("system"), &request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert!(house.job("found").is_none());
}
