//! Clocks that are an hour off, and that jump: each process has its own, moved by libfaketime through a file. Time that
//! passes is the machine's own (the monotonic clock), as when an operator or NTP sets a clock.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use contracts::inventory::Host;
use contracts::inventory::host::Status;
use contracts::jobs::Job;
use prost::Message;
use serde_json::json;
use support::eventually;

use crate::deaf::deafen_at;
use crate::fleet::bare_vm;
use crate::invariants;
use crate::log::Log;
use crate::site::{Plan, Site};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

fn clock_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.clock"))
}

/// A clock of its own, an hour ahead or behind.
fn with_a_clock(name: &str, folder: &Path) -> Vec<(String, String)> {
    assert!(
        Path::new(LIBRARY).exists(),
        "libfaketime is not installed: run the tests with ./ops/test"
    );
    let file = clock_file(folder, name);
    std::fs::write(&file, offset(name, 0)).unwrap();
    let variables = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_CACHE_DURATION", "1"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    variables.into_iter().map(owned).collect()
}

/// Each process is an hour off one way or the other, no two of a pair alike; the next time the other way.
fn offset(name: &str, time: usize) -> &'static str {
    let names = ["inventory-0", "placement-1", "jobs-0", "gateway-1", "agent"];
    if names.contains(&name) == time.is_multiple_of(2) {
        "+3600s"
    } else {
        "-3600s"
    }
}

fn jump(site: &Site, time: usize) {
    let folder = site.fleet.folder.path();
    let names = site.services.iter().map(|p| p.name.as_str());
    for name in names.chain(["agent"]) {
        let file = clock_file(folder, name);
        // Whole or not at all: the process may be reading it.
        let new = file.with_extension("new");
        std::fs::write(&new, offset(name, time)).unwrap();
        std::fs::rename(new, file).unwrap();
    }
}

/// The life of a machine.
async fn round(site: &Site, name: &str) {
    let client = site.client();
    let body = bare_vm(name, true);
    client.done("POST", "/api/v1/vms", body).await;
    client.act(name, "pause").await;
    client.act(name, "turn-off").await;
    let path = format!("/api/v1/vms/{name}");
    client.done("DELETE", &path, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_an_hour_off_and_jumping_end_nothing_early() {
    let mut site = Site::build(Plan {
        on_a_line: Some("jobs"),
        environment: with_a_clock,
        ..Plan::default()
    })
    .await;
    for time in 0..3 {
        jump(&site, time);
        round(&site, &format!("jump-{time}")).await;
    }
    claims_last(&mut site).await;
    let log = Log::open(&site.fleet.bus).await;
    clocks_were_off(&log).await;
    let silent = log
        .events()
        .await
        .unwrap()
        .into_iter()
        .filter(|(_, event)| {
            event.kind == "host"
                && Host::decode(event.after.clone()).unwrap().status() == Status::NotResponding
        });
    assert_eq!(silent.count(), 0, "a host was taken for silent");
    invariants::hold(&site.fleet).await;
}

/// The jobs' own times show both clocks: else nothing was tried.
async fn clocks_were_off(log: &Log) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = i64::try_from(now.as_millis()).unwrap();
    let jobs = log.bucket::<Job>().await.unwrap().into_values();
    let off: Vec<i64> = jobs
        .map(|(_, job)| (job.created_ms - now_ms) / 60_000)
        .collect();
    let (ahead, behind) = (off.iter().any(|m| *m > 50), off.iter().any(|m| *m < -50));
    assert!(ahead && behind, "clocks were off by {off:?} minutes");
}

/// A claim on most of a host's memory keeps other machines out, whichever instance is asked and wherever its clock is.
async fn claims_last(site: &mut Site) {
    let client = site.client();
    let host = client.list("hosts").await.unwrap().remove(0);
    let memory_bytes = host["facts"]["memory_bytes"].as_u64().unwrap() / 2;
    let mut large = bare_vm("large", false);
    large["memory_bytes"] = json!(memory_bytes >> 20 << 20);
    // Between its claim and its place on the host's list a machine has nothing but the claim.
    let is_claimed = deafen_at(site, 2);
    let submitting = site.client();
    let asked = async move { submitting.submit("POST", "/api/v1/vms", large).await };
    let asked = tokio::spawn(asked);
    eventually("the claim to be made", async || {
        is_claimed.load(Ordering::SeqCst).then_some(())
    })
    .await
    .unwrap();
    for time in 0..2 {
        jump(site, time);
        for _ in 0..10 {
            let like_it = json!({"memory_bytes": memory_bytes});
            let path = "/api/v1/placement/rate";
            let answer = client.send("POST", path, Some(like_it)).await.unwrap();
            let refusal = &answer.body["ratings"][0]["zero_reasons"][0]["check"];
            assert_eq!(refusal, "memory", "the claim is not seen: {answer:#?}");
        }
    }
    site.line.as_ref().unwrap().lose(|_| false);
    for name in ["jobs-0", "jobs-1"] {
        site.service(name).restart();
    }
    let ended = client.job_ended(&asked.await.unwrap().unwrap()).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
}
