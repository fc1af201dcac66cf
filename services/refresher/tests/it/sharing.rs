//! Instances that share the targets, lose each other, and take over.

use contracts::Code;
use contracts::Status;
use contracts::refresher::{Outcome, RefreshNowRequest, RefreshNowResponse, Trigger};
use support::eventually;

use crate::harness::{Fleet, context, kind, target};

fn hosts(count: usize) -> Vec<contracts::refresher::Target> {
    let ids = (0..count).map(|n| format!("host-{n:03}"));
    ids.map(|id| target(&id, &["light"])).collect()
}

async fn refresh(
    fleet: &Fleet,
    target: &str,
    kinds: &[&str],
) -> Result<RefreshNowResponse, Status> {
    let request = RefreshNowRequest {
        target_id: target.to_owned(),
        object_kind: "host".to_owned(),
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        ..RefreshNowRequest::default()
    };
    let mut context = context();
    context.job_id = "j1".to_owned();
    fleet.client.refresh(&context, &request).await
}

#[tokio::test]
async fn two_instances_refresh_every_target_in_turn_and_each_knows_what_the_other_did() {
    let fleet = Fleet::start(vec![kind("light", 2)], hosts(40)).await;
    let a = fleet.instance("a").await;
    let b = fleet.instance("b").await;
    fleet.until_known("light", 40).await;
    fleet.until_refreshed("light", 3).await;
    // Whichever instance answers.
    for _ in 0..4 {
        let known = eventually("all to be told", async || {
            let known = fleet.refreshed().await;
            (known.len() == 40).then_some(known)
        });
        let known = known.await.unwrap();
        assert!(known.iter().all(|r| r.outcome() == Outcome::Unchanged
            && r.trigger() == Trigger::Schedule
            && r.bytes == 18
            && r.succeeded_ms == r.time_ms));
    }
    // One is killed: the other does the whole.
    a.kill();
    let done = fleet
        .played
        .with(|subject| subject.refreshed.values().max().copied());
    fleet.until_refreshed("light", done.unwrap() + 2).await;
    b.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_is_done_at_once_in_the_name_of_its_job_and_a_failure_is_told() {
    let fleet = Fleet::start(
        vec![kind("light", 3_600), kind("heavy", 3_600)],
        vec![target("h1", &["light", "heavy"]), target("h2", &["light"])],
    )
    .await;
    let a = fleet.instance("a").await;
    fleet.until_known("light", 2).await;
    let done = refresh(&fleet, "h1", &[]).await.unwrap().refreshed;
    let kinds: Vec<&str> = done.iter().map(|r| r.kind.as_str()).collect();
    assert_eq!(kinds, ["heavy", "light"]);
    assert!(
        done.iter()
            .all(|r| r.trigger() == Trigger::Manual && r.error.is_empty())
    );
    let jobs = fleet.played.with(|subject| subject.asked.clone());
    assert!(jobs.iter().all(|(_, job_id)| job_id == "j1"));

    fleet
        .played
        .with(|subject| subject.broken.push("h2".to_owned()));
    let failed = refresh(&fleet, "h2", &["light"])
        .await
        .unwrap()
        .refreshed
        .remove(0);
    assert_eq!(failed.outcome(), Outcome::Failed);
    assert_eq!(failed.error, "The host does not answer.");
    // A failure holds back what is due, not what somebody asks for.
    fleet.played.with(|subject| subject.broken.clear());
    let again = refresh(&fleet, "h2", &["light"])
        .await
        .unwrap()
        .refreshed
        .remove(0);
    assert_eq!(again.outcome(), Outcome::Unchanged);

    let nobody = refresh(&fleet, "h9", &[]).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable);
    let unknown = refresh(&fleet, "h1", &["tips"]).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    a.stop().await;
}
