//! Machines that are stored in the library and brought back, on real agents: as they were, under other names, over killed
//! processes, and with nothing left of what did not come to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Client, Fleet, small_vm};
use crate::invariants;
use crate::library::{add_share, is, item, items, open_library};
use crate::typed::run;

const VMS: &str = "/api/v1/vms";
const MIB: u64 = 1 << 20;

/// Slow enough to be caught on the way.
const WALKING: u64 = 12 * MIB;
/// So slow that it stands.
const STANDING: u64 = 64 << 10;

fn qemu_io(path: &Path, command: &str) -> String {
    let mut tool = Command::new("qemu-io");
    let ran = tool.args(["-f", "qcow2", "-c", command]).arg(path).output();
    String::from_utf8(ran.unwrap().stdout).unwrap()
}

fn disk(vm: &Value) -> PathBuf {
    vm["hardware"]["disks"][0]["path"].as_str().unwrap().into()
}

/// What the machine's firmware has noted.
fn variables(vm: &Value) -> PathBuf {
    disk(vm).with_file_name("firmware.vars")
}

/// The machine with a sign in its disk beyond what its guest uses.
fn sign(vm: &Value) {
    qemu_io(&disk(vm), "write -P 7 60M 64k");
}

fn is_signed(vm: &Value) -> bool {
    !qemu_io(&disk(vm), "read -P 7 60M 64k").contains("verification failed")
}

fn mac(vm: &Value) -> String {
    vm["hardware"]["network_cards"][0]["mac"].to_string()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// That no file is on its way at any host.
fn no_parcels(fleet: &Fleet) {
    for host in 1..=fleet.agents.len() {
        let parcels = fleet.datastore(&format!("host-{host}")).join("parcels");
        assert_eq!(names_in(&parcels), [""; 0]);
    }
}

async fn refused(client: &Client, path: &str, body: Value, status: u16, words: &str) {
    let answer = client.send("POST", path, Some(body)).await.unwrap();
    assert_eq!(answer.status, status, "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{words}: {detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_stored_with_all_it_is_and_comes_back_as_it_was() {
    let mut fleet = Fleet::start(2).await;
    let share = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    add_share(&client, &share).await;
    let mut web = small_vm("web", true, false);
    web["host"] = "host-2".into();
    web["guest"] = json!({"host_name": "web.example.org"});
    web["firmware"] = "uefi".into();
    web["memory_bytes"] = (192 * MIB).into();
    web["tags"] = json!({"tier": "web"});
    web["owner"] = "ann".into();
    client.done("POST", VMS, web).await;
    let store = format!("{VMS}/web/actions/store");
    let to = |share: &str, path: &str| json!({"share": share, "path": path});
    let running = "only a stopped one can be stored";
    refused(&client, &store, to("images", "web"), 409, running).await;
    client.act("web", "turn-off").await;
    let web = client.vm("web").await.unwrap();
    sign(&web);
    let noted = fs::read(variables(&web)).unwrap();
    refused(&client, &store, to("none", "web"), 404, "none").await;
    refused(&client, &store, to("images", "deep"), 409, "deep already").await;
    refused(&client, &store, to("images", "no/web"), 409, "folder above").await;
    refused(
        &client,
        &store,
        to("images", "../web"),
        400,
        "cannot be the path",
    )
    .await;
    refused(
        &client,
        &store,
        to("images", ".web"),
        400,
        "cannot be the path",
    )
    .await;

    let muster = |command: &str| run(&client, command);
    let plan = muster("vm store web --share images --to deep/web --dry-run");
    assert!(plan.contains("send") && plan.contains("disks"), "{plan}");
    muster("vm store web --share images --keep --wait");
    assert!(client.vm("web").await.is_some(), "it was to be kept");
    muster("vm store web --share images --to deep/web --wait");
    assert!(client.vms().await.is_empty() && fleet.machine_folders().is_empty());
    no_parcels(&fleet);
    let definition = "deep/web/machine.muster.json";
    let stored = item(&client, definition, is("ok")).await;
    assert_eq!(stored["kind"], "stored_vm", "{stored:#}");
    let mut files = names_in(&share.join("deep/web"));
    files.sort();
    let all = [
        "disk0.qcow2",
        "firmware.vars",
        "machine.muster.json",
        "seed",
    ];
    assert_eq!(files, all);
    assert!(fs::read(share.join("deep/web/firmware.vars")).unwrap() == noted);
    item(&client, "deep/web/disk0.qcow2", is("ok")).await;

    // On the other host, by its own name, with its own id and addresses; its guest is told what it was told.
    muster("vm deploy images/deep/web --host host-1 --wait-guest --wait");
    let back = client.vm("web").await.unwrap();
    assert_eq!(
        (&back["id"], &back["host_name"]),
        (&web["id"], &json!("host-1"))
    );
    assert_eq!(
        (&back["owner"], &back["tags"]),
        (&json!("ann"), &web["tags"])
    );
    assert_eq!(mac(&back), mac(&web));
    assert_eq!(back["guest"]["hostname"], "web.example.org", "{back:#}");
    client.act("web", "turn-off").await;
    assert!(is_signed(&back));

    // While it is there, another of it gets a name, an id and addresses of its own.
    let deploy = "/api/v1/library/items/images%2Fdeep%2Fweb/actions/deploy";
    refused(&client, deploy, json!({}), 409, "web already").await;
    let plan = muster("vm deploy images/deep/web --name web-2 --dry-run");
    assert!(plan.contains("receive"), "{plan}");
    muster("vm deploy images/web --name web-2 --host host-2 --wait");
    let other = client.vm("web-2").await.unwrap();
    assert!(other["id"] != web["id"] && mac(&other) != mac(&web));
    assert!(is_signed(&other));

    // What is not a stored machine, and one whose files are not there.
    let none = "/api/v1/library/items/images%2Fdeep%2Fweb%2Fdisk0.qcow2/actions/deploy";
    let named = |name: &str| json!({"name": name});
    refused(&client, none, named("x"), 409, "is no stored machine").await;
    // No host knows the type of a machine that comes from a newer QEMU.
    let path = share.join(definition);
    let text = fs::read_to_string(&path).unwrap();
    let mut newer: Value = serde_json::from_str(&text).unwrap();
    newer["machine_type"] = "pc-q35-99.0".into();
    fs::write(&path, newer.to_string()).unwrap();
    refused(&client, deploy, named("x"), 409, "pc-q35-99.0").await;
    fs::write(&path, text).unwrap();
    fs::remove_file(share.join("deep/web/disk0.qcow2")).unwrap();
    refused(&client, deploy, named("x"), 404, "disk0.qcow2").await;
    fs::write(share.join(definition), "{\"version\": 9}").unwrap();
    let skipped = eventually("the definition to be passed over", async || {
        let there = items(&client).await.into_iter();
        let mut there = there.filter(|item| item["path"] == definition);
        there.all(|item| item["status"] == "missing").then_some(())
    });
    skipped.await.unwrap();
    no_parcels(&fleet);
}

/// A machine on the second host whose disk holds some MiB, and a share on the first.
async fn with_large_machine() -> (Fleet, PathBuf) {
    let mut fleet = Fleet::start(2).await;
    let share = open_library(&mut fleet).await;
    add_share(&fleet.client, &share).await;
    let mut big = small_vm("big", false, false);
    big["host"] = "host-2".into();
    big["disks"] = json!([{"size_bytes": 64 * MIB}]);
    fleet.client.done("POST", VMS, big).await;
    let big = fleet.client.vm("big").await.unwrap();
    qemu_io(&disk(&big), "write -P 7 0 32M");
    (fleet, share)
}

async fn throttle(fleet: &Fleet, host: &str, rate: u64) {
    let path = format!("/api/v1/hosts/{host}/throttle");
    eventually("the throttle to be set", async || {
        let body = json!({"bytes_per_sec": rate});
        let answer = fleet.client.send("PUT", &path, Some(body)).await.ok()?;
        (answer.status == 204).then_some(())
    })
    .await
    .unwrap();
}

/// Chunks of the disk that have come, wherever below a folder it grows.
fn arrived(folder: &Path) -> usize {
    /// Where the journal of an unfinished file has its hashes, 32 bytes for each chunk of a MiB.
    const JOURNAL_HEAD: usize = 4096;
    let hidden = names_in(folder).into_iter().map(|name| folder.join(name));
    let folders = hidden.filter(|path| path.is_dir());
    let everywhere = folders.chain([folder.to_owned()]);
    let journals = everywhere.flat_map(|folder| {
        let names = names_in(&folder).into_iter();
        let journals = names.filter(|name| name.ends_with("disk0.qcow2.journal"));
        journals.map(move |name| folder.join(name))
    });
    let counts = journals.map(|path| {
        let journal = fs::read(path).unwrap_or_default();
        let slots = journal.get(JOURNAL_HEAD..).unwrap_or_default().chunks(32);
        slots.filter(|slot| slot.iter().any(|b| *b != 0)).count()
    });
    counts.sum()
}

async fn arrived_more_than(folder: &Path, chunks: usize) {
    eventually("more of the disk to arrive", async || {
        (arrived(folder) > chunks).then_some(())
    })
    .await
    .unwrap();
}

/// Sends a change on its way whose files come into a folder, and holds it there.
async fn stopped_midway(fleet: &Fleet, path: &str, body: Value, folder: &Path) -> String {
    throttle(fleet, "host-2", WALKING).await;
    let job = fleet.client.submit_when_available("POST", path, body).await;
    arrived_more_than(folder, 4).await;
    throttle(fleet, "host-2", STANDING).await;
    job
}

async fn restart(fleet: &mut Fleet, agent: usize) {
    fleet.agents[agent].kill();
    fleet.agents[agent].restart();
    fleet.hosts_responding(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storing_and_bringing_back_go_on_after_each_process_was_killed() {
    let (mut fleet, share) = with_large_machine().await;
    let before = fleet.client.vm("big").await.unwrap();
    let store = format!("{VMS}/big/actions/store");
    let job = stopped_midway(&fleet, &store, json!({"share": "images"}), &share).await;
    // The library server, the host, and all that is above them.
    let had = arrived(&share);
    restart(&mut fleet, 0).await;
    restart(&mut fleet, 1).await;
    fleet.kill_musterd();
    fleet.start_musterd();
    fleet.ready().await;
    assert!(arrived(&share) >= had, "what had come is fetched again");
    throttle(&fleet, "host-2", 0).await;
    let ended = fleet.client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert!(fleet.client.vms().await.is_empty() && fleet.machine_folders().is_empty());
    no_parcels(&fleet);

    let deploy = "/api/v1/library/items/images%2Fbig/actions/deploy";
    let parcels = fleet.datastore("host-2").join("parcels");
    let body = json!({"host": "host-2"});
    let job = stopped_midway(&fleet, deploy, body, &parcels).await;
    restart(&mut fleet, 1).await;
    restart(&mut fleet, 0).await;
    throttle(&fleet, "host-2", 0).await;
    let ended = fleet.client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let back = fleet.client.vm("big").await.unwrap();
    assert_eq!(back["id"], before["id"]);
    let read = qemu_io(&disk(&back), "read -P 7 0 32M");
    assert!(
        read.contains("read 33554432") && !read.contains("failed"),
        "{read}"
    );
    no_parcels(&fleet);
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_full_disk_leave_the_machine_where_it_was_and_nothing_else() {
    let (fleet, share) = with_large_machine().await;
    let client = fleet.client.clone();
    let store = format!("{VMS}/big/actions/store");
    let body = json!({"share": "images"});
    let there = || {
        assert_eq!(names_in(&share), ["deep"], "something is left in the share");
        assert_eq!(fleet.machine_folders().len(), 1);
        no_parcels(&fleet);
    };
    let job = stopped_midway(&fleet, &store, body.clone(), &share).await;
    let cancel = format!("/api/v1/jobs/{job}/actions/cancel");
    client.send("POST", &cancel, None).await.unwrap();
    let ended = client.job_ended(&job).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    there();
    throttle(&fleet, "host-2", 0).await;

    // The disk of the library server fills up on the way.
    let fails = async |agent: u32, path: &str, body: Value| {
        support::limit_file_size(agent, Some(8 * MIB)).unwrap();
        let job = client.submit_when_available("POST", path, body).await;
        let ended = client.job_ended(&job).await;
        assert_eq!(ended["state"], "failed", "{ended:#}");
        assert_eq!(ended["problem"]["code"], "RESOURCE_EXHAUSTED", "{ended:#}");
        support::limit_file_size(agent, None).unwrap();
    };
    fails(fleet.agents[0].id(), &store, body.clone()).await;
    there();
    assert_eq!(client.vm("big").await.unwrap()["state"], "stopped");
    client.done("POST", &store, body).await;

    // And that of the host that it comes back to.
    let deploy = "/api/v1/library/items/images%2Fbig/actions/deploy";
    let to = json!({"host": "host-2"});
    fails(fleet.agents[1].id(), deploy, to.clone()).await;
    assert!(fleet.machine_folders().is_empty() && client.vms().await.is_empty());
    no_parcels(&fleet);
    client.done("POST", deploy, to).await;
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_made_of_a_machine_and_machines_of_it() {
    let mut fleet = Fleet::start(1).await;
    let share = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    add_share(&client, &share).await;
    // The host has just been started again.
    let golden = small_vm("golden", false, false);
    let made = client.submit_when_available("POST", VMS, golden).await;
    assert_eq!(client.job_ended(&made).await["state"], "succeeded");
    let golden = client.vm("golden").await.unwrap();
    sign(&golden);
    let muster = |command: &str| run(&client, command);
    let plan = muster("vm make-template golden web --share images --dry-run");
    assert!(plan.contains("template"), "{plan}");
    muster(
        "vm make-template golden web --share images --to deep/web --description 'for the web' --wait",
    );
    assert_eq!(names_in(&share.join("deep/web")), ["disk0.qcow2"]);
    no_parcels(&fleet);
    let template = client.get("/api/v1/templates/web").await.unwrap();
    let shown = (
        &template["status"],
        &template["hardware_profile"],
        &template["description"],
    );
    assert_eq!(
        shown,
        (&json!("ok"), &json!("web"), &json!("for the web")),
        "{template:#}"
    );
    assert_eq!(template["disks"][0]["image"], "images/deep/web/disk0.qcow2");
    let path = format!("{VMS}/golden/actions/make-template");
    let again = |name: &str| json!({"name": name, "share": "images"});
    refused(&client, &path, again("web"), 409, "template web already").await;
    refused(&client, &path, again("deep"), 409, "deep already").await;

    muster("vm create web-1 --template web --wait");
    let made = client.vm("web-1").await.unwrap();
    assert_eq!(
        made["hardware"]["memory_bytes"],
        golden["hardware"]["memory_bytes"]
    );
    assert!(is_signed(&made) && mac(&made) != mac(&golden));
    assert_eq!(client.vm("golden").await.unwrap()["state"], "stopped");
}
