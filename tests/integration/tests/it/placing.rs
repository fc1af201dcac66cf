//! Placement on real parts: as people ask it, and killed between a claim and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contracts::placement::HostClaims;
use contracts::records::Record;
use contracts::subjects;
use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Fleet, bare_vm};
use crate::invariants;
use crate::log::Log;
use crate::site::{Plan, Site};
use crate::typed::{commands_of, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_manual_answer_and_a_contradiction_is_refused() {
    let fleet = Fleet::start(2).await;
    let client = &fleet.client;
    client
        .done("POST", "/api/v1/vms", bare_vm("web-01", false))
        .await;
    let home = client.vm("web-01").await.unwrap()["host_id"].clone();
    let mut told = String::new();
    for command in commands_of("placement.md") {
        told += &run(client, &command.replace("h7", "host-2"));
    }
    for wanted in ["host-1", "host-2", "webs apart", "50"] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let rules = client.get("/api/v1/placement/rules").await.unwrap();
    assert_eq!(rules["rules"][0]["name"], "webs apart", "{rules:#}");

    let together =
        json!({"name": "webs together", "bond": "together", "vm_tag": "app=web", "level": "rack"});
    let refused = client
        .send("POST", "/api/v1/placement/rules", Some(together))
        .await
        .unwrap();
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(
        refused.body.to_string().contains("webs apart"),
        "{refused:?}"
    );

    // A rule counts for the next machine.
    let away =
        json!({"name": "not at home", "bond": "not_on", "vm_tag": "app=db", "hosts": [home]});
    let made = client
        .send("POST", "/api/v1/placement/rules", Some(away))
        .await
        .unwrap();
    assert_eq!(made.status, 201, "{made:?}");
    let mut other = bare_vm("db-01", false);
    other["tags"] = json!({"app": "db"});
    client.done("POST", "/api/v1/vms", other).await;
    assert_ne!(client.vm("db-01").await.unwrap()["host_id"], home);
    assert!(run(client, "placement rule remove 'not at home'").contains("not at home"));
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_expected_to_use_what_it_used() {
    let often = ("MUSTER_AGENT__SAMPLES_INTERVAL_SECS", "1");
    let often = [(often.0.to_owned(), often.1.to_owned())];
    let fleet = Fleet::start_in(1, &often).await;
    let client = &fleet.client;
    client
        .done("POST", "/api/v1/vms", bare_vm("web-01", true))
        .await;
    let rate = async |expected: Value| {
        let mut asked = json!({"vm": "web-01", "expected_cpu_percent": expected});
        asked["placing"] =
            json!({"expected_disk_io_per_sec": expected, "expected_network_mbit": expected});
        let answer = client.send("POST", "/api/v1/placement/rate", Some(asked));
        answer.await.unwrap().body
    };
    let learnt = eventually("the machine to be measured", async || {
        let rated = rate(Value::Null).await;
        rated["learnt"]["cpu_percent"].as_f64()
    })
    .await
    .unwrap();
    assert!((0.0..=100.0).contains(&learnt), "{learnt}");
    let told = run(client, "placement rate --vm web-01");
    assert!(told.contains("Expected by what it used"), "{told}");
    // What is said counts.
    let rated = rate(json!(50.0)).await;
    assert!(
        rated["learnt"].is_null() && rated["ratings"][0]["stars"].is_number(),
        "{rated:#}"
    );
    invariants::hold(&fleet).await;
}

/// From the moment that a claim was written its writer hears nothing more: not even that.
fn deafen_at_a_claim(site: &Site) -> Arc<AtomicBool> {
    let log = subjects::bucket_stream(HostClaims::BUCKET);
    let taken = format!("\"stream\":\"{log}\"").into_bytes();
    let is_written = Arc::new(AtomicBool::new(false));
    let written = Arc::clone(&is_written);
    site.line.as_ref().unwrap().lose(move |message| {
        if message.windows(taken.len()).any(|part| part == taken) {
            written.store(true, Ordering::SeqCst);
        }
        written.load(Ordering::SeqCst)
    });
    is_written
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_between_claim_and_answer_leaves_no_claim() {
    let mut site = Site::build(Plan {
        on_a_line: Some("placement"),
        ..Plan::default()
    })
    .await;
    let client = site.client();
    let is_claimed = deafen_at_a_claim(&site);
    let job = client
        .submit("POST", "/api/v1/vms", bare_vm("web-01", false))
        .await
        .unwrap();
    eventually("the claim to be written", async || {
        is_claimed.load(Ordering::SeqCst).then_some(())
    })
    .await
    .unwrap();
    for name in ["placement-0", "placement-1"] {
        site.service(name).kill();
    }
    let log = Log::open(&site.fleet.bus).await;
    let claims = log.bucket::<HostClaims>().await.unwrap();
    let claimed: Vec<_> = claims.values().flat_map(|(_, host)| &host.claims).collect();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    assert_eq!(claimed[0].job_id, job);

    site.line.as_ref().unwrap().lose(|_| false);
    for name in ["placement-0", "placement-1"] {
        site.service(name).restart();
    }
    let ended = client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let vm = client.vm("web-01").await.unwrap();
    assert!(
        claims.contains_key(vm["host_id"].as_str().unwrap()),
        "{vm:#}"
    );
    client.done("DELETE", "/api/v1/vms/web-01", json!({})).await;
    invariants::hold(&site.fleet).await;
}
