//! Submitting: once for each key, planned without a trace.

use contracts::Code;
use contracts::call::Context;
use contracts::jobs::job_params::Kind;
use contracts::jobs::{JobState, SubmitRequest};
use futures::future::join_all;
use jobs::probe::Verdict;

use crate::cases::{CASES, CLONE, create};
use crate::fleet::list;
use crate::harness::{House, assert_state, request};

fn keyed(house: &House, key: &str) -> Context {
    let mut context = house.alice();
    key.clone_into(&mut context.idempotency_key);
    context
}

#[tokio::test]
async fn a_request_sent_again_with_its_key_is_the_same_job() {
    let house = House::build().await;
    let request = request(Kind::VmCreate(create("web")));
    let first = house.ask(&keyed(&house, "k1"), &request).await.unwrap();
    let again = house.ask(&keyed(&house, "k1"), &request).await.unwrap();
    let (first_job, again_job) = (first.job.unwrap(), again.job.unwrap());
    assert_eq!((first.existed, again.existed), (false, true));
    assert_eq!(first_job.id, again_job.id);
    house.script.plan(&first_job.id, |_| Verdict::GoOn);
    assert_state(
        &house.end_of(&first_job.id).await,
        JobState::Succeeded,
        "create",
    );
    // Also when the name that it asks for is taken by itself.
    let late = house.ask(&keyed(&house, "k1"), &request).await.unwrap();
    assert_state(&late.job.unwrap(), JobState::Succeeded, "late");
    assert_eq!(list(&house.fleet.vms).len(), 1);
}

#[tokio::test]
async fn many_at_once_with_one_key_are_one_job() {
    let house = House::build().await;
    let request = request(Kind::VmCreate(create("web")));
    let answers =
        join_all((0..20).map(async |_| house.ask(&keyed(&house, "k1"), &request).await.unwrap()))
            .await;
    let mut ids: Vec<String> = answers.iter().map(|a| a.job.clone().unwrap().id).collect();
    assert_eq!(answers.iter().filter(|a| !a.existed).count(), 1);
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused() {
    let house = House::build().await;
    house
        .ask(
            &keyed(&house, "k1"),
            &request(Kind::VmCreate(create("web"))),
        )
        .await
        .unwrap();
    let other = request(Kind::VmCreate(create("db")));
    let refusal = house.ask(&keyed(&house, "k1"), &other).await.unwrap_err();
    assert_eq!(refusal.code(), Code::AlreadyExists);
    let mut bob = keyed(&house, "k1");
    "bob".clone_into(&mut bob.principal);
    assert!(
        !house.ask(&bob, &other).await.unwrap().existed,
        "keys are each principal's own"
    );
}

#[tokio::test]
async fn a_dry_run_of_every_kind_shows_the_steps_and_leaves_no_trace() {
    let house = House::build().await;
    for case in &CASES {
        let name = format!("{}-dry", case.title());
        let kind = case.prepare(&house.fleet, &name).await;
        let before = house.fleet.picture(&name);
        let request = SubmitRequest {
            dry_run: true,
            ..request(kind)
        };
        let answer = house.ask(&house.alice(), &request).await.unwrap();
        let plan = answer.plan.unwrap();
        let steps: Vec<&str> = plan.steps.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            (steps.as_slice(), answer.job),
            (case.steps, None),
            "{}",
            case.kind
        );
        assert!(plan.steps.iter().all(|s| !s.description.is_empty()));
        let undoable: Vec<&str> = plan
            .steps
            .iter()
            .filter(|s| s.can_be_undone)
            .map(|s| s.name.as_str())
            .collect();
        assert_eq!(undoable, case.undoable, "{}", case.kind);
        assert_eq!(house.fleet.picture(&name), before, "{}", case.kind);
        if case.kind == "vm_create" {
            // A clone is made beside the machine that it is of.
            let rated = if case.way == CLONE { 1 } else { 2 };
            assert_eq!((plan.host_id.as_str(), plan.ratings.len()), ("h1", rated));
            assert!(plan.changes.iter().any(|change| change.property == "name"));
        }
    }
    assert_eq!(list(&house.jobs), []);
}
