//! Claims: nothing is ever promised twice.

use std::collections::{BTreeMap, BTreeSet};

use contracts::Code;
use contracts::host::VmState;
use futures::future::join_all;
use placement::Config;
use support::eventually;

use crate::harness::{Fleet, MIB, host, place, release, vm};

#[tokio::test]
async fn a_hundred_parallel_placements_fill_the_hosts_exactly() {
    let fleet = Fleet::start().await;
    // Room for 7 + 13 + 21 + 0 machines of 256 MiB, and a little that fits none.
    let rooms = BTreeMap::from([("h1", 7), ("h2", 13), ("h3", 21), ("h4", 0)]);
    for (id, machines) in &rooms {
        fleet.put_host(host(id, machines * 256 + 200)).await;
    }
    let answers = join_all((0..100).map(|i| {
        let (client, context) = (fleet.client.clone(), fleet.context());
        async move { client.place(&context, &place(&format!("v{i}"), 256)).await }
    }))
    .await;
    let placed: Vec<String> = answers
        .iter()
        .flatten()
        .map(|a| a.host_id.clone())
        .collect();
    assert_eq!(placed.len(), 41);
    for refused in answers.iter().filter_map(|a| a.as_ref().err()) {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    let mut machines = BTreeSet::new();
    for (id, room) in rooms {
        let claims = fleet.claims(id).await;
        let promised: u64 = claims.iter().map(|c| c.memory_bytes).sum();
        assert_eq!(promised, room * 256 * MIB, "{id}");
        assert_eq!(placed.iter().filter(|p| *p == id).count() as u64, room);
        machines.extend(claims.into_iter().map(|c| c.vm_id));
    }
    assert_eq!(machines.len(), 41);
}

#[tokio::test]
async fn placing_again_answers_the_same_host_and_claims_once() {
    let mut fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_024)).await;
    let first = fleet.place("v1", 600).await.unwrap();
    // A better host appears, and one instance goes: the answer stays.
    fleet.put_host(host("h0", 65_536)).await;
    fleet.stop_instance(0).await;
    for _ in 0..3 {
        assert_eq!(fleet.place("v1", 600).await.unwrap(), first);
    }
    assert_eq!(fleet.claims("h1").await.len(), 1);
    assert!(fleet.claims("h0").await.is_empty());
}

#[tokio::test]
async fn the_same_placement_asked_ten_times_at_once_is_one_claim() {
    let fleet = Fleet::start().await;
    for id in ["h1", "h2", "h3"] {
        fleet.put_host(host(id, 1_024)).await;
    }
    for round in 0..10 {
        let vm_id = format!("v{round}");
        let same = join_all((0..10).map(|_| fleet.place(&vm_id, 64))).await;
        let hosts: BTreeSet<String> = same.into_iter().map(Result::unwrap).collect();
        assert_eq!(hosts.len(), 1, "round {round}");
    }
    let mut claims = 0;
    for id in ["h1", "h2", "h3"] {
        claims += fleet.claims(id).await.len();
    }
    assert_eq!(claims, 10);
}

#[tokio::test]
async fn a_claim_that_is_given_back_makes_room_at_once() {
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_024)).await;
    let context = fleet.context();
    fleet
        .client
        .place(&context, &place("v1", 1_024))
        .await
        .unwrap();
    assert!(fleet.place("v2", 1_024).await.is_err());
    let strangers = release("v1", "another-job");
    fleet.client.release(&context, &strangers).await.unwrap();
    assert!(fleet.place("v2", 1_024).await.is_err());
    for _ in 0..2 {
        let own = release("v1", "job-of-v1");
        fleet.client.release(&context, &own).await.unwrap();
    }
    fleet.place("v2", 1_024).await.unwrap();
}

#[tokio::test]
async fn a_claim_counts_through_the_making_of_its_machine_and_never_twice() {
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_024)).await;
    fleet.place("v1", 512).await.unwrap();
    let job = "job-of-v1";
    // Made, not yet started, started: the machine always takes 512 of 1024 MiB.
    for state in [
        VmState::Creating,
        VmState::Stopped,
        VmState::Starting,
        VmState::Running,
    ] {
        fleet.put_vm(vm("v1", "h1", state, job, 512)).await;
        assert!(fleet.place("large", 513).await.is_err(), "{state:?}");
        let fits = fleet.place("fits", 512).await;
        assert!(fits.is_ok(), "{state:?}: {fits:?}");
        let back = release("fits", "job-of-fits");
        fleet.client.release(&fleet.context(), &back).await.unwrap();
    }
    // It runs and counts by its own record, so its claim was swept out.
    assert!(fleet.claims("h1").await.is_empty());
    fleet
        .put_vm(vm("v1", "h1", VmState::Stopped, "", 512))
        .await;
    fleet.place("large", 1_024).await.unwrap();
}

#[tokio::test]
async fn a_placement_whose_claim_was_swept_out_is_still_answered_alike() {
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_024)).await;
    fleet.put_host(host("h2", 65_536)).await;
    fleet
        .put_vm(vm("v1", "h1", VmState::Creating, "job-of-v1", 512))
        .await;
    assert_eq!(fleet.place("v1", 512).await.unwrap(), "h1");
    assert!(fleet.claims("h2").await.is_empty());
}

#[tokio::test]
async fn a_claim_of_a_job_that_died_ends_by_itself() {
    let fleet = Fleet::start_with(Config {
        claim_lifetime_secs: 1,
        ..Config::default()
    })
    .await;
    fleet.put_host(host("h1", 1_024)).await;
    fleet.place("v1", 1_024).await.unwrap();
    eventually("the claim to end", async || {
        fleet.place("v2", 1_024).await.ok()
    })
    .await
    .unwrap();
    let claims = fleet.claims("h1").await;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].vm_id, "v2");
}

#[tokio::test]
async fn a_claim_lasts_whatever_the_clocks_say() {
    const HOUR_MS: i64 = 3_600_000;
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_024)).await;
    fleet.place("v1", 1_024).await.unwrap();
    for step_ms in [HOUR_MS, -2 * HOUR_MS] {
        fleet.clock.move_by_ms(step_ms);
        // Either instance may be the one that answers.
        for _ in 0..8 {
            assert!(fleet.place("v2", 1_024).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_claim_is_refused_without_a_name_for_whose_it_is() {
    let fleet = Fleet::start().await;
    fleet.put_host(host("h1", 1_024)).await;
    for (vm_id, job_id) in [("", "j1"), ("v1", ""), ("a.b", "j1")] {
        let mut request = place("v1", 64);
        (request.vm_id, request.job_id) = (vm_id.to_owned(), job_id.to_owned());
        let refused = fleet
            .client
            .place(&fleet.context(), &request)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    assert!(fleet.claims("h1").await.is_empty());
}
