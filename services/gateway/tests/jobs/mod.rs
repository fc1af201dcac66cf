//! Jobs as they go.

use contracts::host::VmState;
use contracts::jobs::{JobState, Progress};
use contracts::subjects;
use kit::bus::Message;
use prost::Message as _;
use reqwest::{Method, StatusCode};
use serde_json::json;
use support::eventually;

use crate::fleet::{Fleet, answer};
use crate::streams::Stream;

#[tokio::test]
async fn a_watched_job_shows_its_changes_and_progress_until_it_ends() {
    let fleet = Fleet::start().await;
    fleet.job("j1", JobState::Queued).await;
    let gateway = fleet.gateway("0").await;
    let mut watch = Stream::open(&gateway, "/api/v1/jobs/j1/watch", None).await;
    let first = watch.next().await.unwrap();
    assert_eq!(
        (first.event.as_str(), &first.data["state"]),
        ("job", &json!("queued"))
    );
    fleet.job("other", JobState::Failed).await;
    fleet.job("j1", JobState::Running).await;
    assert_eq!(watch.next().await.unwrap().data["state"], "running");
    let progress = Progress {
        job_id: "j1".to_owned(),
        percent: 40,
        bytes_done: 4,
        bytes_total: 10,
        ..Progress::default()
    };
    let message = Message::new(progress.encode_to_vec());
    fleet
        .bus
        .publish(&subjects::progress("j1"), message)
        .await
        .unwrap();
    let progress = watch.next().await.unwrap();
    assert_eq!(
        (progress.event.as_str(), &progress.data["percent"]),
        ("progress", &json!(40))
    );
    fleet.job("j1", JobState::Succeeded).await;
    let last = watch.next().await.unwrap();
    assert_eq!(last.data["state"], "succeeded");
    assert!(watch.next().await.is_none(), "the stream ends with the job");
    let again = gateway.ask(Method::GET, "/api/v1/jobs/j1/watch");
    let again = answer(again.header("last-event-id", last.id.unwrap())).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn who_sees_a_job_end_finds_what_it_did() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    for n in 0..30 {
        let (job, vm) = (format!("j{n}"), format!("v{n}"));
        let revision = fleet.job(&job, JobState::Running).await;
        let path = format!("/api/v1/jobs/{job}");
        let request = gateway.ask(Method::GET, &path);
        answer(request.header("muster-revision", format!("job={revision}"))).await;
        let mut watch = Stream::open(&gateway, &format!("{path}/watch"), None).await;
        fleet.vm(&vm, &vm, VmState::Running).await;
        fleet.job(&job, JobState::Succeeded).await;
        while watch.next().await.is_some() {}
        let made = gateway.get(&format!("/api/v1/vms/{vm}")).await;
        assert_eq!(made.status, StatusCode::OK);
        let ended = gateway.get(&path).await;
        assert_eq!(ended.json()["state"], "succeeded");
        assert!(ended.header("muster-revision").contains("vm="));
    }
}

#[tokio::test]
async fn a_job_is_cancelled_and_started_again() {
    let fleet = Fleet::start().await;
    fleet.job("j1", JobState::Running).await;
    let _stand_ins = fleet.stand_ins().await;
    let gateway = fleet.gateway("0").await;
    for (action, state) in [("cancel", "cancelled"), ("restart", "queued")] {
        let answer = gateway
            .post(&format!("/api/v1/jobs/j1/actions/{action}"), json!({}))
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(answer.header("location"), "/api/v1/jobs/j1");
        assert_eq!(answer.json()["state"], state);
    }
}

#[tokio::test]
async fn jobs_are_listed_the_newest_first_and_found_by_state() {
    let fleet = Fleet::start().await;
    fleet.job("j1", JobState::Running).await;
    fleet.job("j2", JobState::Failed).await;
    let gateway = fleet.gateway("0").await;
    let failed = gateway
        .get("/api/v1/jobs?filter=state:failed&fields=id,state")
        .await;
    assert_eq!(
        failed.json()["items"],
        json!([{"id": "j2", "state": "failed"}])
    );
}

#[tokio::test]
async fn a_stopping_gateway_ends_its_streams_and_answers_what_is_open() {
    let fleet = Fleet::start().await;
    fleet.job("j1", JobState::Running).await;
    let gateway = fleet.gateway("0").await;
    let mut watch = Stream::open(&gateway, "/api/v1/jobs/j1/watch", None).await;
    let mut events = Stream::open(&gateway, "/api/v1/events", None).await;
    watch.next().await.unwrap();
    let healthz = gateway.ask(Method::GET, "/healthz");
    gateway.stop().await;
    assert!(watch.next().await.is_none());
    assert!(events.next().await.is_none());
    eventually("nobody to listen any more", async || {
        let asked = healthz.try_clone().unwrap().send().await;
        asked.is_err().then_some(())
    })
    .await
    .unwrap();
}
