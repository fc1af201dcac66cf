//! Objects that jobs take.

use contracts::Code;
use contracts::inventory::Host;
use contracts::jobs::{HostTarget, JobParams, JobState, job_params::Kind};
use futures::future::join_all;

use crate::harness::{Fleet, code, context, take};

#[tokio::test]
async fn of_twenty_jobs_that_want_one_machine_one_gets_it() {
    let fleet = Fleet::start().await;
    for job in 0..20 {
        fleet
            .put_job(&format!("j{job}"), JobState::Running, None)
            .await;
    }
    fleet.add_host("h1", vec![]).await;
    let takes = (0..20).map(|job| {
        let (client, request) = (fleet.client.clone(), take("host", "h1", &format!("j{job}")));
        async move { client.take(&context(), &request).await.unwrap() }
    });
    let answers = join_all(takes).await;
    assert_eq!(answers.iter().filter(|a| a.taken).count(), 1);
    let holder = fleet.record::<Host>("h1").await.unwrap().job_id;
    for refused in answers.iter().filter(|a| !a.taken) {
        assert_eq!(refused.holder_job_id, holder);
    }
}

#[tokio::test]
async fn an_object_is_given_back_by_its_holder_only() {
    let fleet = Fleet::start().await;
    let (client, context) = (&fleet.client, context());
    fleet.put_job("j1", JobState::Running, None).await;
    fleet.add_host("h1", vec![]).await;
    for _ in 0..2 {
        assert!(
            client
                .take(&context, &take("host", "h1", "j1"))
                .await
                .unwrap()
                .taken
        );
    }
    client
        .release(&context, &take("host", "h1", "j2"))
        .await
        .unwrap();
    let other = client
        .take(&context, &take("host", "h1", "j2"))
        .await
        .unwrap();
    assert_eq!((other.taken, other.holder_job_id.as_str()), (false, "j1"));
    client
        .release(&context, &take("host", "h1", "j1"))
        .await
        .unwrap();
    assert!(
        client
            .take(&context, &take("host", "h1", "j2"))
            .await
            .unwrap()
            .taken
    );
    client
        .release(&context, &take("host", "gone", "j1"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dead_jobs_hold_is_taken_over() {
    let fleet = Fleet::start().await;
    let (client, context) = (&fleet.client, context());
    fleet.add_host("h1", vec![]).await;
    // One that never was, one that has ended, and one that still runs.
    assert!(
        client
            .take(&context, &take("host", "h1", "ghost"))
            .await
            .unwrap()
            .taken
    );
    assert!(
        client
            .take(&context, &take("host", "h1", "j1"))
            .await
            .unwrap()
            .taken
    );
    fleet.put_job("j1", JobState::Failed, None).await;
    assert!(
        client
            .take(&context, &take("host", "h1", "j2"))
            .await
            .unwrap()
            .taken
    );
    // A job that is stuck has something left to undo there.
    for state in [JobState::Undoing, JobState::Stuck] {
        fleet.put_job("j2", state, None).await;
        assert!(
            !client
                .take(&context, &take("host", "h1", "j3"))
                .await
                .unwrap()
                .taken,
            "{state:?}"
        );
    }
}

#[tokio::test]
async fn a_host_that_is_being_removed_says_so_until_it_is_given_back() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    let params = JobParams {
        kind: Some(Kind::HostRemove(HostTarget::default())),
    };
    fleet.put_job("j1", JobState::Running, Some(params)).await;
    let context = context();
    // As the job's runner would: it has seen its own job.
    context.saw("job", fleet.jobs.revision());
    fleet
        .client
        .take(&context, &take("host", "h1", "j1"))
        .await
        .unwrap();
    assert!(fleet.record::<Host>("h1").await.unwrap().removing);
    fleet
        .client
        .release(&context, &take("host", "h1", "j1"))
        .await
        .unwrap();
    assert!(!fleet.record::<Host>("h1").await.unwrap().removing);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused() {
    let fleet = Fleet::start().await;
    let taken = |kind: &'static str, id: &'static str| {
        let client = fleet.client.clone();
        async move { code(client.take(&context(), &take(kind, id, "j1")).await) }
    };
    assert_eq!(taken("host", "nobody").await, Some(Code::NotFound));
    assert_eq!(taken("job", "x").await, Some(Code::InvalidArgument));
    assert_eq!(taken("vm", "a.b").await, Some(Code::InvalidArgument));
}
