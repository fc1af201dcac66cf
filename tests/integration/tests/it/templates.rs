//! Machines from templates on real agents: the image travels from a share to the host once, and the guest is what its
//! profile says, as the guest itself tells.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Client, Fleet, guest_image};
use crate::guest::Console;
use crate::invariants;
use crate::library::{add_share, is, item, open_library, refresh};
use crate::typed::run;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleQ ann@example.org";

/// What nobody but the guest is told.
const SCRIPT: &str = "#!/bin/sh\necho sesame > /root/told\n";

const VMS: &str = "/api/v1/vms";

pub async fn made(client: &Client, path: &str, body: Value) -> Value {
    let answer = client.send("POST", path, Some(body)).await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body
}

/// A share of host-1 with the guest's image, profiles, and a template of them.
async fn template(fleet: &mut Fleet) {
    let folder = open_library(fleet).await;
    let client = fleet.client.clone();
    fs::copy(guest_image(), folder.join("guest.qcow2")).unwrap();
    add_share(&client, &folder).await;
    item(&client, "guest.qcow2", is("ok")).await;
    let small = json!({
        "name": "small", "vcpus": 1, "memory_bytes": 128 << 20, "networks": ["user"],
        "boot_order": ["disk"],
    });
    made(&client, "/api/v1/hardware-profiles", small).await;
    let web = json!({
        "name": "web", "host_name": "{name}.example.org", "ssh_keys": [KEY], "user_data": SCRIPT,
    });
    made(&client, "/api/v1/guest-profiles", web).await;
    let guest = json!({
        "name": "guest", "disks": [{"image": "images/guest.qcow2"}], "hardware_profile": "small",
        "guest_profile": "web", "tags": {"os": "tiny"},
    });
    let template = made(&client, "/api/v1/templates", guest).await;
    assert_eq!(
        (&template["status"], &template["problem"]),
        (&json!("ok"), &Value::Null)
    );
}

fn of_template(name: &str, host: &str) -> Value {
    json!({"name": name, "template": "guest", "host": host})
}

pub fn said(job: &Value, step: &str) -> String {
    let steps = job["steps"].as_array().unwrap();
    let step = steps.iter().find(|s| s["name"] == step).unwrap();
    step["message"].as_str().unwrap().to_owned()
}

/// Images of a host that came from the library, whole or not.
fn fetched(fleet: &Fleet, host: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(fleet.datastore(host).join("images")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let of_library = |path: &PathBuf| path.to_string_lossy().contains("library-");
    paths.filter(of_library).collect()
}

/// What every process wrote down.
fn logs(fleet: &Fleet) -> String {
    let entries = fs::read_dir(fleet.folder.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let logs = paths.filter(|path| path.extension().is_some_and(|e| e == "log"));
    logs.filter_map(|path| fs::read(path).ok())
        .map(|content| String::from_utf8_lossy(&content).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_what_the_profile_of_its_template_says() {
    let mut fleet = Fleet::start(2).await;
    template(&mut fleet).await;
    fleet.hosts_responding(2).await;
    let client = fleet.client.clone();
    let request = json!({
        "name": "web-01", "template": "guest", "host": "host-2", "start": true, "wait_for_guest": true,
    });
    let id = client.submit_when_available("POST", VMS, request).await;
    let job = client.job_ended(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert!(said(&job, "image").contains("travelled"), "{job:#}");
    assert_eq!(fetched(&fleet, "host-2").len(), 1);

    let vm = client.vm("web-01").await.unwrap();
    assert_eq!(vm["guest"]["hostname"], "web-01.example.org", "{vm:#}");
    assert_eq!(vm["tags"]["os"], "tiny");
    assert_eq!(vm["hardware"]["boot_order"], json!(["disk"]));
    let mut console = Console::open(&fleet.socket(fleet.qemu_processes()[0], "ser")).await;
    console
        .type_line("echo key=$(cut -d' ' -f2 /root/.ssh/authorized_keys)=")
        .await;
    assert_eq!(
        console.reads("key=AAAA").await,
        "C3NzaC1lZDI1NTE5AAAAIGtleQ="
    );
    console
        .type_line("until [ -s /root/told ]; do sleep 1; done; echo was=$(cat /root/told)=")
        .await;
    assert_eq!(console.reads("was=sesa").await, "me=");
    console
        .type_line("mount LABEL=CIDATA /mnt; touch /mnt/x || echo refused=$((40 + 2))=")
        .await;
    assert_eq!(console.reads("refused=42").await, "=");
    console.keep_reading();
    // Only QEMU's own user reads it at the host, and nobody else was told.
    let seed = fleet.machine_folders()[0].join("seed.img");
    let mode = fs::metadata(&seed).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    assert!(!logs(&fleet).contains("sesame"));

    // The seed is part of the machine: it starts again with it, whatever becomes of the template, and goes with it.
    let removed = client.send("DELETE", "/api/v1/templates/guest", None).await;
    assert_eq!(removed.unwrap().status, 204);
    client.act("web-01", "turn-off").await;
    fleet.agents[1].restart();
    fleet.hosts_responding(2).await;
    client.act("web-01", "start").await;
    let arguments = fleet.qemu_processes();
    assert_eq!(arguments.len(), 1);
    client
        .done("DELETE", &format!("{VMS}/web-01?force=true"), json!({}))
        .await;
    fleet.nothing_is_left().await;
    assert_eq!(
        fetched(&fleet, "host-2").len(),
        1,
        "it is there for the next"
    );
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_machines_of_a_template_fetch_its_image_once() {
    const COUNT: usize = 6;
    let mut fleet = Fleet::start(2).await;
    template(&mut fleet).await;
    fleet.hosts_responding(2).await;
    let client = fleet.client.clone();
    let first = client.submit_when_available("POST", VMS, of_template("web-1", "host-2"));
    let mut jobs = vec![first.await];
    let others = (2..=COUNT).map(async |number| {
        let request = of_template(&format!("web-{number}"), "host-2");
        client.submit("POST", VMS, request).await.unwrap()
    });
    jobs.extend(join_all(others).await);
    for id in &jobs {
        let job = client.job_ended(id).await;
        assert_eq!(job["state"], "succeeded", "{job:#}");
    }
    assert_eq!(client.vms().await.len(), COUNT);
    assert_eq!(fetched(&fleet, "host-2").len(), 1);

    // The host that has the share gets a copy of its own; of another content it is another file.
    let here = of_template("here", "host-1");
    client.done("POST", VMS, here).await;
    assert_eq!(fetched(&fleet, "host-1").len(), 1);
    let folder = fleet.folder.path().join("host-1/library/images");
    let file = folder.join("guest.qcow2");
    let before = fetched(&fleet, "host-2");
    fs::File::open(&file)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400))
        .unwrap();
    refresh(&client).await;
    item(&client, "guest.qcow2", |item| {
        let modified = item["modified"].as_str().unwrap_or_default();
        modified.starts_with("1970-01-02")
    })
    .await;
    client
        .done("POST", VMS, of_template("newer", "host-2"))
        .await;
    let after = fetched(&fleet, "host-2");
    assert_eq!(after.len(), 2, "{before:?} {after:?}");
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_template_cannot_make_is_refused_with_the_reason_before_anything_is_changed() {
    let mut fleet = Fleet::start(1).await;
    template(&mut fleet).await;
    fleet.hosts_responding(1).await;
    let client = fleet.client.clone();
    let refused = async |request: Value, status: u16, words: &str| {
        let answer = client.send("POST", VMS, Some(request)).await.unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "{words:?}: {answer:?}");
    };
    let none = json!({"name": "web", "template": "none"});
    refused(none, 404, "none").await;
    let key = json!({"name": "web", "template": "guest", "guest": {"ssh_keys": ["secret words"]}});
    refused(key, 400, "public key").await;
    let profile = json!({"name": "web", "template": "guest", "guest": {"profile": "none"}});
    refused(profile, 404, "none").await;

    let used = client
        .send("DELETE", "/api/v1/hardware-profiles/small", None)
        .await
        .unwrap();
    assert_eq!(used.status, 409, "{used:?}");
    assert!(
        used.body["detail"]
            .as_str()
            .unwrap()
            .contains("templates: guest")
    );

    let image = item(&client, "guest.qcow2", is("ok")).await;
    let path = format!("/api/v1/library/items/{}", image["id"].as_str().unwrap());
    let disabled = client.send("PATCH", &path, Some(json!({"disabled": true})));
    assert_eq!(disabled.await.unwrap().body["status"], "disabled");
    refused(
        of_template("web", "host-1"),
        409,
        "images/guest.qcow2 is disabled",
    )
    .await;
    let enabled = client.send("PATCH", &path, Some(json!({"disabled": false})));
    assert_eq!(enabled.await.unwrap().body["status"], "ok");
    fs::remove_file(
        fleet
            .folder
            .path()
            .join("host-1/library/images/guest.qcow2"),
    )
    .unwrap();
    let shown = eventually(
        "the template to say that its image is missing",
        async || {
            let shown = client.get("/api/v1/templates/guest").await.ok()?;
            (shown["status"] == "unusable").then_some(shown)
        },
    );
    let problem = shown.await.unwrap()["problem"].clone();
    assert_eq!(problem, "Image images/guest.qcow2 is missing.");
    refused(of_template("web", "host-1"), 409, "is missing").await;
    assert!(client.vms().await.is_empty() && fetched(&fleet, "host-1").is_empty());
    assert_eq!(
        client
            .list("jobs")
            .await
            .unwrap()
            .iter()
            .filter(|job| job["kind"] == "vm_create")
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_made_changed_copied_and_carried_in_files_by_the_command() {
    let mut fleet = Fleet::start(1).await;
    template(&mut fleet).await;
    let client = fleet.client.clone();
    let muster = |command: &str| run(&client, command);
    let script = fleet.folder.path().join("setup.sh");
    fs::write(&script, SCRIPT).unwrap();
    let user_data = script.display();
    muster("profile hardware create large --cpus 4 --memory 2GiB --disk 10GiB");
    muster(&format!(
        "profile guest create db --host-name {{name}}.db --user-data {user_data}"
    ));
    muster("template copy guest db");
    let edited =
        muster("template edit db --hardware-profile large --guest-profile db --tag tier=db");
    assert!(
        edited.contains("large") && edited.contains("tier=db"),
        "{edited}"
    );
    let listed = muster("template list");
    assert!(
        listed.contains("db") && listed.contains("images/guest.qcow2"),
        "{listed}"
    );
    // What may be secret is exported, and not shown.
    assert!(!muster("profile guest show db").contains("sesame"));
    let shown = client.get("/api/v1/guest-profiles/db").await.unwrap();
    for (noun, segment) in [
        ("template", "templates"),
        ("profile hardware", "hardware-profiles"),
        ("profile guest", "guest-profiles"),
    ] {
        let name = if noun == "profile hardware" {
            "large"
        } else {
            "db"
        };
        let path = format!("/api/v1/{segment}/{name}");
        let before = client.get(&path).await.unwrap();
        let file = fleet.folder.path().join(segment);
        fs::write(&file, muster(&format!("{noun} export {name}"))).unwrap();
        // As it is: nothing changes.
        muster(&format!("{noun} import {} --replace", file.display()));
        assert_eq!(client.get(&path).await.unwrap(), before, "{noun}");
    }
    assert_eq!(shown["user_data"], SCRIPT);
    let gone = muster("template delete db");
    assert!(gone.contains("forgotten"), "{gone}");
    let file = fleet.folder.path().join("templates");
    let back = muster(&format!("template import {}", file.display()));
    assert!(
        back.contains("large") && back.contains("images/guest.qcow2"),
        "{back}"
    );
    // The data end of a host that has just come is known a moment after the host.
    eventually("a plan to be made", async || {
        let path = format!("{VMS}?dry_run=true");
        let asked = client
            .send("POST", &path, Some(of_template("web", "host-1")))
            .await;
        (asked.ok()?.status == 200).then_some(())
    })
    .await
    .unwrap();
    let plan = muster("vm create web-{n} --template guest --count 2 --dry-run -o json");
    assert!(plan.contains("image") && plan.contains("host-1"), "{plan}");
    assert!(client.vms().await.is_empty());

    // 20 % of its processors are expected of a machine, unless its template says otherwise.
    let default = cpu_added(&client).await;
    let shown = muster("profile hardware edit small --expected-cpu 90");
    assert!(shown.contains("90.0 % CPU"), "{shown}");
    eventually("nine tenths to be reckoned with", async || {
        let ratio = cpu_added(&client).await / default;
        (ratio > 4.4 && ratio < 4.6).then_some(())
    })
    .await
    .unwrap();
}

/// By how much a machine of the template would raise the use of its host's processors.
async fn cpu_added(client: &Client) -> f64 {
    let path = format!("{VMS}?dry_run=true");
    let plan = client
        .send("POST", &path, Some(of_template("web", "host-1")))
        .await
        .unwrap()
        .body;
    let resources = plan["ratings"][0]["resources"].as_array().unwrap();
    let cpu = resources.iter().find(|r| r["resource"] == "cpu").unwrap();
    let percent = |name: &str| cpu[name].as_f64().unwrap();
    percent("used_percent_after") - percent("used_percent_before")
}
