//! Images of a library server on their way to a host: encrypted or not, and written to while they travel.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use support::eventually;

use crate::copies::{WALKING, fill, image};
use crate::fleet::Fleet;
use crate::invariants;
use crate::library::{add_share, is, item, open_library};
use crate::templates::{made, said};
use crate::typed::run;

const VMS: &str = "/api/v1/vms";
const SERVER: &str = "/api/v1/library/servers/host-1";

/// A template of an image of host-1. Answers with the image.
async fn template(fleet: &mut Fleet) -> PathBuf {
    let folder = open_library(fleet).await;
    let client = fleet.client.clone();
    let file = folder.join("big.raw");
    fill(&file);
    add_share(&client, &folder).await;
    item(&client, "big.raw", is("ok")).await;
    let small = json!({"name": "small", "vcpus": 1, "memory_bytes": 128 << 20});
    made(&client, "/api/v1/hardware-profiles", small).await;
    let big = json!({
        "name": "big", "disks": [{"image": "images/big.raw"}], "hardware_profile": "small",
    });
    made(&client, "/api/v1/templates", big).await;
    fleet.hosts_responding(2).await;
    file
}

fn of_template(name: &str) -> Value {
    json!({"name": name, "template": "big", "host": "host-2"})
}

async fn throttle(fleet: &Fleet, bytes_per_sec: u64) {
    let path = "/api/v1/hosts/host-2/throttle";
    eventually("the host to be throttled", async || {
        let body = json!({"bytes_per_sec": bytes_per_sec});
        let answer = fleet.client.send("PUT", path, Some(body)).await.ok()?;
        (answer.status == 204).then_some(())
    })
    .await
    .unwrap();
}

/// Makes a machine whose image has to be fetched, and answers with what was told of its way.
async fn fetched(fleet: &Fleet, name: &str) -> String {
    let client = &fleet.client;
    let id = client
        .submit_when_available("POST", VMS, of_template(name))
        .await;
    let job = client.job_ended(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    client
        .done("DELETE", &format!("{VMS}/{name}"), Value::Null)
        .await;
    let images = std::fs::read_dir(image(fleet, "host-2", "")).unwrap();
    for image in images.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        if image.starts_with("library-") {
            let body = json!({"host": "host-2", "image": format!("local/{image}")});
            client
                .done("POST", "/api/v1/images/actions/delete", body)
                .await;
        }
    }
    said(&job, "image")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_server_says_for_itself_whether_its_files_travel_encrypted() {
    let mut fleet = Fleet::start(2).await;
    template(&mut fleet).await;
    let client = fleet.client.clone();
    let says = async |how: &str| {
        let answer = client.send("PATCH", SERVER, Some(json!({"encryption": how})));
        assert_eq!(answer.await.unwrap().status, 204);
    };
    // The host that fetches does not want it plain.
    says("plain").await;
    let told = fetched(&fleet, "one").await;
    assert!(told.contains("travelled encrypted"), "{told}");
    let plain = json!({"encryption": "plain"});
    client
        .done("PATCH", "/api/v1/host-groups/all-hosts", plain)
        .await;
    let told = fetched(&fleet, "two").await;
    assert!(told.contains("travelled unencrypted"), "{told}");
    // Its own word goes before that of its group.
    run(&client, "library server update host-1 --encryption tls");
    let told = fetched(&fleet, "three").await;
    assert!(told.contains("travelled encrypted"), "{told}");
    says("inherit").await;
    let told = fetched(&fleet, "four").await;
    assert!(told.contains("travelled unencrypted"), "{told}");
    let wrong = json!({"encryption": "none"});
    let wrong = client.send("PATCH", SERVER, Some(wrong)).await.unwrap();
    assert_eq!(wrong.status, 400, "{wrong:?}");
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_written_to_while_it_travels_is_told_of_until_somebody_has_looked() {
    let mut fleet = Fleet::start(2).await;
    let file = template(&mut fleet).await;
    let client = fleet.client.clone();
    throttle(&fleet, WALKING).await;
    let id = client
        .submit_when_available("POST", VMS, of_template("web-01"))
        .await;
    eventually("the image to be on its way", async || {
        let mut files = std::fs::read_dir(image(&fleet, "host-2", "")).unwrap();
        files
            .any(|file| {
                file.unwrap()
                    .file_name()
                    .to_string_lossy()
                    .ends_with(".part")
            })
            .then_some(())
    })
    .await
    .unwrap();
    let written = File::options().write(true).open(&file).unwrap();
    written.write_all_at(b"another", 0).unwrap();
    drop(written);
    let job = client.job_ended(&id).await;
    assert_eq!(job["state"], "failed", "{job:#}");
    let why = job["problem"].to_string();
    assert!(why.contains("was changed while it was copied"), "{why}");
    let changed = item(&client, "big.raw", is("changed_in_use")).await;
    assert!(changed["changed_in_use"].is_string(), "{changed:#}");
    let listed = run(&client, "library item list --status changed_in_use");
    assert!(listed.contains("big.raw"), "{listed}");

    // The server still knows it after a restart.
    fleet.agents[0].restart();
    fleet.hosts_responding(2).await;
    item(&client, "big.raw", is("changed_in_use")).await;
    run(&client, "library item update images/big.raw --enable");
    item(&client, "big.raw", is("ok")).await;
    throttle(&fleet, 0).await;
    let told = fetched(&fleet, "web-02").await;
    assert!(told.contains("verified"), "{told}");
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stored_machine_has_of_an_image_of_the_share_does_not_travel_back() {
    let mut fleet = Fleet::start(2).await;
    template(&mut fleet).await;
    let client = fleet.client.clone();
    let made = client.submit_when_available("POST", VMS, of_template("web"));
    let made = client.job_ended(&made.await).await;
    assert_eq!(made["state"], "succeeded", "{made:#}");
    let store = json!({"share": "images", "keep": true});
    let path = format!("{VMS}/web/actions/store");
    let job = client.submit_when_available("POST", &path, store).await;
    let job = client.job_ended(&job).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let told = said(&job, "send");
    assert!(
        told.contains("1 MiB travelled encrypted, 32 MiB were"),
        "{told}"
    );
    invariants::hold(&fleet).await;
}
