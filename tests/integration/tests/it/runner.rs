//! The only process that runs jobs is killed at each step boundary of a create; and an undo that cannot be done.

use std::sync::atomic::Ordering;

use contracts::inventory::Vm;
use contracts::jobs::Job;
use prost::Message;
use serde_json::{Value, json};
use support::eventually;

use crate::deaf::{deafen_at, step_of};
use crate::fleet::{bare_vm, signal};
use crate::invariants;
use crate::log::Log;
use crate::site::{Plan, Site};

/// The steps of a create that starts the machine.
const STEPS: [&str; 8] = [
    "record", "place", "assign", "disks", "report", "start", "claim", "release",
];

fn plan(jobs: &'static str) -> Plan {
    Plan {
        instances: 1,
        on_a_line: Some("jobs"),
        jobs,
        ..Plan::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_runner_is_killed_at_each_step_of_a_create() {
    let mut site = Site::build(plan("lease_secs = 1")).await;
    let client = site.client();
    let log = Log::open(&site.fleet.bus).await;
    for step in 0..=STEPS.len() {
        let name = format!("step-{step}");
        let is_reached = deafen_at(&site, step);
        // The answer may be lost with its service: the key makes it one job.
        let asked = client.clone();
        let body = bare_vm(&name, true);
        let submitted =
            tokio::spawn(async move { asked.submit("POST", "/api/v1/vms", body).await });
        eventually("the step to be reached", async || {
            is_reached.load(Ordering::SeqCst).then_some(())
        })
        .await
        .unwrap();
        site.service("jobs-0").kill();
        let held = log.bucket::<Job>().await.unwrap().into_values();
        let held = held.map(|(_, job)| job).max_by_key(|job| job.created_ms);
        assert_eq!(step_of(&held.unwrap()), Some(step), "killed elsewhere");
        site.line.as_ref().unwrap().lose(|_| false);
        site.service("jobs-0").restart();
        let job = client.job_ended(&submitted.await.unwrap().unwrap()).await;
        assert_eq!(job["state"], "succeeded", "{job:#}");
        let steps: Vec<&Value> = job["steps"].as_array().unwrap().iter().collect();
        assert!(steps.iter().map(|s| &s["name"]).eq(STEPS.iter()));
        done_once(&site, &log, &job).await;
    }
    invariants::hold(&site.fleet).await;
}

/// The machine was made once and started once.
async fn done_once(site: &Site, log: &Log, job: &Value) {
    let id = job["target"]["id"].as_str().unwrap();
    let events = log.events().await.unwrap().into_iter();
    let of_vm = events.filter(|(_, event)| event.id == id);
    let verbs: Vec<String> = of_vm
        .clone()
        .map(|(_, event)| event.verb)
        .filter(|verb| verb == "created")
        .collect();
    assert_eq!(verbs.len(), 1, "made more than once");
    let mut processes: Vec<u32> = of_vm
        .filter_map(|(_, event)| Some(Vm::decode(event.after).ok()?.pid))
        .filter(|process| *process != 0)
        .collect();
    processes.dedup();
    assert_eq!(processes.len(), 1, "started more than once: {processes:?}");
    let running = site.fleet.qemu_by_machine();
    let running: Vec<u32> = running
        .iter()
        .filter(|(vm, _)| vm == id)
        .map(|(_, process)| *process)
        .collect();
    assert_eq!(running, processes);
}

/// A create that has started its machine and waits for a guest that never answers.
async fn waiting_create(site: &Site, name: &str) -> String {
    let client = site.client();
    let mut body = bare_vm(name, true);
    body["wait_for_guest"] = json!(true);
    let job = client.submit("POST", "/api/v1/vms", body).await.unwrap();
    let path = format!("/api/v1/jobs/{job}");
    eventually("the job to wait for the guest", async || {
        let job = client.get(&path).await.ok()?;
        let steps = job["steps"].as_array()?;
        let waits = |s: &Value| s["name"] == "guest" && s["state"] == "running";
        steps.iter().any(waits).then_some(())
    })
    .await
    .unwrap();
    job
}

async fn cancel(site: &Site, job: &str) {
    let path = format!("/api/v1/jobs/{job}/actions/cancel");
    let client = site.client();
    client.submit("POST", &path, json!({})).await.unwrap();
    let path = format!("/api/v1/jobs/{job}");
    eventually("the job to turn back", async || {
        let job = client.get(&path).await.ok()?;
        ["undoing", "stuck"]
            .contains(&job["state"].as_str()?)
            .then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_waits_for_a_host_that_stands_still() {
    let site = Site::build(plan("")).await;
    let job = waiting_create(&site, "frozen").await;
    let agent = site.fleet.agents[0].id();
    signal(agent, "STOP");
    cancel(&site, &job).await;
    assert_eq!(site.fleet.qemu_processes().len(), 1, "nobody can stop it");
    signal(agent, "CONT");
    let ended = site.client().job_ended(&job).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    site.fleet.nothing_is_left().await;
    invariants::hold(&site.fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_cannot_be_done_is_for_a_person_and_goes_on_when_told() {
    let mut site = Site::build(plan("undo_attempts_max = 3")).await;
    let job = waiting_create(&site, "torn").await;
    site.fleet.agents[0].kill();
    cancel(&site, &job).await;
    let client = site.client();
    let stuck = client.job_ended(&job).await;
    assert_eq!(stuck["state"], "stuck", "{stuck:#}");
    let action = stuck["problem"]["recommended_action"].as_str().unwrap();
    assert!(action.contains("restart the job"), "{stuck:#}");
    // What could not be undone is all still there, and taken.
    assert_eq!(client.vm("torn").await.unwrap()["job_id"], job.as_str());
    let path = "/api/v1/vms/torn/actions/turn-off?if_busy=refuse";
    let refused = client.send("POST", path, Some(json!({}))).await.unwrap();
    assert_eq!(refused.status, 409, "{refused:?}");
    invariants::hold(&site.fleet).await;

    site.fleet.agents[0].restart();
    // Told too early, before the agent serves, it is stuck once more.
    let path = format!("/api/v1/jobs/{job}/actions/restart");
    eventually("the job to be undone", async || {
        if let Err(refused) = client.submit("POST", &path, json!({})).await {
            // The other gateway may still have shown it as it was before it was told.
            let refused = refused.to_string();
            assert!(refused.contains("has not ended yet"), "{refused}");
        }
        (client.job_ended(&job).await["state"] == "cancelled").then_some(())
    })
    .await
    .unwrap();
    site.fleet.nothing_is_left().await;
    invariants::hold(&site.fleet).await;
}
