//! The main job, on real parts.

use serde_json::json;
use support::{eventually, is_alive};

use crate::fleet::{Fleet, signal, small_vm};
use crate::invariants;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_placed_booted_used_and_deleted_without_a_trace() {
    let fleet = Fleet::start(2).await;
    let client = &fleet.client;
    let job = client
        .done("POST", "/api/v1/vms", small_vm("hello-01", true, true))
        .await;
    assert!(job["ratings"].as_array().unwrap().len() == 2, "{job:#}");
    let vm = client.vm("hello-01").await.unwrap();
    assert_eq!(vm["state"], "running");
    assert_eq!(vm["guest"]["agent_responding"], true);
    let why = client
        .send("GET", "/api/v1/placement/why/hello-01", None)
        .await
        .unwrap();
    assert_eq!(why.body["host_id"], vm["host_id"], "{why:?}");
    assert_eq!(why.body["replays"], true, "{why:?}");
    let process = u32::try_from(vm["pid"].as_u64().unwrap()).unwrap();
    assert_eq!(fleet.qemu_processes(), [process]);

    let picture = client
        .send("GET", "/api/v1/vms/hello-01/screenshot", None)
        .await
        .unwrap();
    assert_eq!(picture.status, 200);
    let log = client
        .send("GET", "/api/v1/vms/hello-01/log", None)
        .await
        .unwrap();
    assert!(log.body.as_str().unwrap().contains("READY"), "{log:?}");

    for (action, state) in [
        ("pause", "paused"),
        ("resume", "running"),
        ("save", "saved"),
        ("start", "running"),
    ] {
        client
            .done(
                "POST",
                &format!("/api/v1/vms/hello-01/actions/{action}"),
                json!({}),
            )
            .await;
        assert_eq!(
            client.vm("hello-01").await.unwrap()["state"],
            state,
            "after {action}"
        );
    }
    client
        .done("POST", "/api/v1/vms/hello-01/actions/shutdown", json!({}))
        .await;
    assert_eq!(client.vm("hello-01").await.unwrap()["state"], "stopped");
    client
        .done("DELETE", "/api/v1/vms/hello-01", json!({}))
        .await;
    fleet.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_finds_its_running_machines_again() {
    let mut fleet = Fleet::start(1).await;
    fleet
        .client
        .done("POST", "/api/v1/vms", small_vm("survivor", true, true))
        .await;
    let before = fleet.client.vm("survivor").await.unwrap();
    fleet.agents[0].kill();
    assert!(is_alive(
        u32::try_from(before["pid"].as_u64().unwrap()).unwrap()
    ));
    fleet.agents[0] = fleet.start_agent("host-1");
    let after = eventually("the agent to report the machine", async || {
        let answer = fleet
            .client
            .send("GET", "/api/v1/vms/survivor/screenshot", None)
            .await
            .ok()?;
        (answer.status == 200).then_some(())?;
        fleet
            .client
            .vm("survivor")
            .await
            .filter(|vm| vm["guest"]["agent_responding"] == true)
    })
    .await
    .unwrap();
    assert_eq!(
        (&after["pid"], &after["started"]),
        (&before["pid"], &before["started"])
    );
    assert_eq!(after["state"], "running");
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_that_is_killed_is_seen_stopped_at_once_and_starts_again() {
    let fleet = Fleet::start(1).await;
    fleet
        .client
        .done("POST", "/api/v1/vms", small_vm("victim", true, false))
        .await;
    let process = fleet.qemu_processes()[0];
    signal(process, "KILL");
    let vm = eventually("the machine to be seen stopped", async || {
        fleet
            .client
            .vm("victim")
            .await
            .filter(|vm| vm["state"] == "stopped")
    })
    .await
    .unwrap();
    assert!(
        vm["state_reason"].as_str().unwrap().contains("signal 9"),
        "{vm:#}"
    );
    fleet
        .client
        .done("POST", "/api/v1/vms/victim/actions/start", json!({}))
        .await;
    assert_eq!(fleet.qemu_processes().len(), 1);
    invariants::hold(&fleet).await;
}
