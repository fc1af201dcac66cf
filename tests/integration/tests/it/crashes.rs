//! `kill -9` of each process in the middle of a create: the picture is true again within 10 s of its return, the job
//! finishes or is undone, nothing runs twice, nothing is left over.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{eventually, is_alive};

use crate::fleet::{Fleet, signal, small_vm};
use crate::invariants;

/// What the issue allows from the return of the process to a true picture.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// Starts a create and comes back while it runs: when QEMU is there.
async fn create_until_qemu_runs(fleet: &Fleet) -> (String, u32) {
    let id = fleet
        .client
        .submit("POST", "/api/v1/vms", small_vm("torn", true, true))
        .await
        .unwrap();
    let process = eventually("QEMU to run", async || {
        fleet.qemu_processes().first().copied()
    })
    .await
    .unwrap();
    (id, process)
}

/// The job ended one way or the other, and what is there agrees with it.
async fn settled(fleet: &Fleet, job: &str, back: Instant) {
    fleet.ready().await;
    fleet.hosts_responding(fleet.agents.len()).await;
    eventually("the job to go on", async || {
        let job = fleet
            .client
            .get(&format!("/api/v1/jobs/{job}"))
            .await
            .ok()?;
        let steps = job["steps"].as_array()?.clone();
        let moving = |s: &Value| s["state"] == "running" || s["state"] == "undoing";
        let ended = ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str()?);
        (ended || steps.iter().any(moving)).then_some(())
    })
    .await
    .unwrap();
    let took = back.elapsed();
    assert!(
        took < RECOVERY_MAX,
        "the picture was true again only after {took:?}"
    );
    let ended = fleet.client.job_ended(job).await;
    match ended["state"].as_str().unwrap() {
        "succeeded" => {
            let vm = fleet.client.vm("torn").await.unwrap();
            assert_eq!(vm["state"], "running", "{vm:#}");
            assert_eq!(fleet.qemu_processes().len(), 1, "it runs twice");
            fleet
                .client
                .done("DELETE", "/api/v1/vms/torn?force=true", json!({}))
                .await;
        }
        "failed" => {}
        _ => panic!("{ended:#}"),
    }
    fleet.nothing_is_left().await;
    invariants::hold(fleet).await;
    // Nothing is held: the name and the capacity can be used again.
    fleet
        .client
        .done("POST", "/api/v1/vms", small_vm("torn", false, false))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn musterd_killed_in_the_middle_of_a_create() {
    let mut fleet = Fleet::start(1).await;
    let (job, qemu) = create_until_qemu_runs(&fleet).await;
    fleet.kill_musterd();
    assert!(is_alive(qemu), "the machine must outlive the manager");
    let back = Instant::now();
    fleet.start_musterd();
    settled(&fleet, &job, back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_server_killed_in_the_middle_of_a_create() {
    let fleet = Fleet::start(1).await;
    let (job, _) = create_until_qemu_runs(&fleet).await;
    let old = fleet.nats_process();
    signal(old, "KILL");
    eventually("another nats-server to run", async || {
        (fleet.nats_process() != old).then_some(())
    })
    .await
    .unwrap();
    settled(&fleet, &job, Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_in_the_middle_of_a_create() {
    let mut fleet = Fleet::start(1).await;
    let (job, qemu) = create_until_qemu_runs(&fleet).await;
    fleet.agents[0].kill();
    assert!(is_alive(qemu), "the machine must outlive its agent");
    let back = Instant::now();
    fleet.agents[0] = fleet.start_agent("host-1");
    settled(&fleet, &job, back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_killed_in_the_middle_of_a_create() {
    let fleet = Fleet::start(1).await;
    let (job, qemu) = create_until_qemu_runs(&fleet).await;
    signal(qemu, "KILL");
    settled(&fleet, &job, Instant::now()).await;
}
