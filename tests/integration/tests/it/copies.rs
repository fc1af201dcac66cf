//! Images copied between real agents by real jobs: `kill -9` of each side and of musterd on the way, a disk that fills
//! up, a cancel. What has come is not fetched again, and what is left over is removed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Fleet, Process};
use crate::invariants;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 32 * MIB;

/// Slow enough to be caught on the way.
pub const WALKING: u64 = 12 * MIB;
/// So slow that it stands.
const STANDING: u64 = 64 << 10;

const COPY: &str = "/api/v1/images/actions/copy";

/// Where the journal of an unfinished file has its hashes, 32 bytes for each chunk of a MiB.
const JOURNAL_HEAD: usize = 4096;

pub fn image(fleet: &Fleet, host: &str, name: &str) -> PathBuf {
    fleet.datastore(host).join("images").join(name)
}

fn make(fleet: &Fleet, host: &str, name: &str) {
    fill(&image(fleet, host, name));
}

/// An image of which nothing is the same.
pub fn fill(path: &Path) {
    let file = File::create(path).unwrap();
    for at in 0..SIZE / MIB {
        let mut bytes = vec![0; MIB as usize];
        for (index, word) in bytes.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&((at << 32) + index as u64 + 1).to_le_bytes());
        }
        file.write_all_at(&bytes, at * MIB).unwrap();
    }
}

fn copy(rate: u64) -> Value {
    json!({
        "source_host": "host-1", "source_image": "local/big.raw", "host": "host-2", "bytes_per_sec": rate,
    })
}

/// Chunks that the target has.
fn arrived(fleet: &Fleet) -> usize {
    let journal = std::fs::read(image(fleet, "host-2", ".big.raw.journal")).unwrap_or_default();
    let slots = journal.get(JOURNAL_HEAD..).unwrap_or_default();
    slots
        .chunks(32)
        .filter(|slot| slot.iter().any(|b| *b != 0))
        .count()
}

async fn arrived_more_than(fleet: &Fleet, chunks: usize) {
    eventually("more of the file to arrive", async || {
        (arrived(fleet) > chunks).then_some(())
    })
    .await
    .unwrap();
}

async fn throttle(fleet: &Fleet, job: &str, rate: u64) {
    let path = format!("/api/v1/jobs/{job}/throttle");
    eventually("the throttle to be set", async || {
        let body = json!({"bytes_per_sec": rate});
        let answer = fleet.client.send("PUT", &path, Some(body)).await.ok()?;
        (answer.status == 204).then_some(())
    })
    .await
    .unwrap();
}

/// Sends a copy on its way, and holds it there.
async fn stopped_midway(fleet: &Fleet) -> String {
    let job = fleet
        .client
        .submit_when_available("POST", COPY, copy(WALKING))
        .await;
    arrived_more_than(fleet, 4).await;
    throttle(fleet, &job, STANDING).await;
    job
}

fn same(fleet: &Fleet) {
    let read = |host: &str| std::fs::read(image(fleet, host, "big.raw")).unwrap();
    assert!(read("host-1") == read("host-2"), "the copy is another");
}

/// Names of what is unfinished or whole of the image at the target.
fn left(fleet: &Fleet) -> Vec<String> {
    let entries = std::fs::read_dir(image(fleet, "host-2", "")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("big")).collect()
}

async fn restart(fleet: &mut Fleet, agent: usize) {
    fleet.agents[agent].restart();
    fleet.hosts_responding(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_where_it_was_after_each_process_was_killed() {
    let mut fleet = Fleet::start(2).await;
    make(&fleet, "host-1", "big.raw");
    let job = stopped_midway(&fleet).await;
    // A second copy to the same place is refused before anything is changed.
    let second = fleet.client.send("POST", COPY, Some(copy(0))).await;
    let second = second.unwrap();
    assert_eq!(second.status, 409, "{second:?}");
    assert!(
        second.body["detail"].as_str().unwrap().contains("already"),
        "{second:?}"
    );

    // The target: what it had is still there when it is back, and goes on growing.
    fleet.agents[1].kill();
    let had = arrived(&fleet);
    restart(&mut fleet, 1).await;
    assert!(arrived(&fleet) >= had);
    throttle(&fleet, &job, WALKING).await;
    arrived_more_than(&fleet, had + 2).await;
    throttle(&fleet, &job, STANDING).await;

    // The source.
    fleet.agents[0].kill();
    let had = arrived(&fleet);
    restart(&mut fleet, 0).await;
    throttle(&fleet, &job, WALKING).await;
    arrived_more_than(&fleet, had + 2).await;
    throttle(&fleet, &job, STANDING).await;

    // All that is above the agents: the hosts go on without it.
    fleet.kill_musterd();
    let had = arrived(&fleet);
    fleet.start_musterd();
    fleet.ready().await;
    assert!(arrived(&fleet) >= had);
    throttle(&fleet, &job, 0).await;
    let ended = fleet.client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    same(&fleet);
    assert_eq!(left(&fleet), ["big.raw"]);
    // What had come before the last kill was not fetched again. What travelled is told in MiB, rounded up.
    let told = ended["steps"][0]["message"].as_str().unwrap();
    assert!(
        told.contains("verified") && told.contains("travelled encrypted"),
        "{told}"
    );
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_disk_that_is_full_leave_nothing_behind() {
    let mut fleet = Fleet::start(2).await;
    make(&fleet, "host-1", "big.raw");
    let job = stopped_midway(&fleet).await;
    let cancel = format!("/api/v1/jobs/{job}/actions/cancel");
    let answer = fleet.client.send("POST", &cancel, None).await.unwrap();
    assert!(answer.status < 300, "{answer:?}");
    let ended = fleet.client.job_ended(&job).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert!(left(&fleet).is_empty(), "{:?}", left(&fleet));

    let target: &mut Process = &mut fleet.agents[1];
    support::limit_file_size(target.id(), Some(8 * MIB)).unwrap();
    let job = fleet
        .client
        .submit_when_available("POST", COPY, copy(0))
        .await;
    let ended = fleet.client.job_ended(&job).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    assert_eq!(ended["problem"]["code"], "RESOURCE_EXHAUSTED", "{ended:#}");
    assert!(left(&fleet).is_empty(), "{:?}", left(&fleet));
    support::limit_file_size(fleet.agents[1].id(), None).unwrap();
    fleet.client.done("POST", COPY, copy(0)).await;
    same(&fleet);
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_say_whether_files_travel_encrypted() {
    let fleet = Fleet::start(2).await;
    make(&fleet, "host-1", "big.raw");
    let group = json!({"name": "lab"});
    fleet
        .client
        .done("POST", "/api/v1/host-groups", group)
        .await;
    let plain = json!({"encryption": "plain"});
    fleet
        .client
        .done("PATCH", "/api/v1/host-groups/lab", plain)
        .await;
    let shown = fleet.client.get("/api/v1/host-groups/lab").await.unwrap();
    assert_eq!(shown["encryption"], "plain");
    for host in ["host-1", "host-2"] {
        let path = format!("/api/v1/hosts/{host}/actions/move");
        fleet
            .client
            .done("POST", &path, json!({"group": "lab"}))
            .await;
    }
    let job = fleet
        .client
        .submit_when_available("POST", COPY, copy(0))
        .await;
    let ended = fleet.client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let told = ended["steps"][0]["message"].as_str().unwrap();
    assert!(told.contains("travelled unencrypted"), "{told}");
    same(&fleet);
}
