//! Disks of the library in other formats, as people ask for them, on a real agent that is killed on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{eventually, is_alive};

use crate::fleet::{Fleet, guest_image};
use crate::library::{add_share, configure, is, item, open_library};
use crate::typed::run;

const ITEMS: &str = "/api/v1/library/items";

fn qemu_img(arguments: &[&str], folder: &Path) {
    let mut command = Command::new("qemu-img");
    let ran = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_from_elsewhere_is_converted_and_what_cannot_be_is_refused() {
    let mut fleet = Fleet::start(1).await;
    let folder = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    let guest = guest_image();
    let guest = guest.to_str().unwrap();
    qemu_img(&["convert", "-O", "vmdk", guest, "guest.vmdk"], &folder);
    fs::write(folder.join("setup.sh"), "true\n").unwrap();
    add_share(&client, &folder).await;
    item(&client, "guest.vmdk", is("ok")).await;
    item(&client, "setup.sh", is("ok")).await;

    let muster = |command: &str| run(&client, command);
    let plan = muster("library item convert images/guest.vmdk --format qcow2 --dry-run");
    assert!(plan.contains("convert"), "{plan}");
    muster("library item convert images/guest.vmdk --format qcow2 --wait");
    let made = item(&client, "guest.qcow2", is("ok")).await;
    assert_eq!(made["format"], "qcow2", "{made:#}");
    qemu_img(&["compare", guest, "guest.qcow2"], &folder);

    let refused = async |item: &str, body: Value, status: u16, words: &str| {
        let path = format!("{ITEMS}/images%2F{item}/actions/convert");
        let answer = client.send("POST", &path, Some(body)).await.unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{words}: {detail}");
    };
    let to = |format: &str| json!({"format": format});
    refused("guest.vmdk", to("qcow2"), 409, "There is a file").await;
    refused("guest.vmdk", to("vmdk"), 409, "guest.vmdk").await;
    refused("guest.vmdk", to("iso"), 400, "is no format").await;
    refused("setup.sh", to("raw"), 409, "is no virtual disk").await;
    refused("none.vmdk", to("raw"), 404, "none.vmdk").await;
    let out = json!({"format": "raw", "path": "../out.raw"});
    refused("guest.vmdk", out, 400, "cannot be the path").await;

    // kill -9 of the server: the job goes on when it is back, and nothing but the disk is left.
    let path = format!("{ITEMS}/images%2Fguest.qcow2/actions/convert");
    let body = json!({"format": "vhdx", "path": "deep/guest.vhdx"});
    let job = client.submit("POST", &path, body).await.unwrap();
    fleet.agents[0].kill();
    fleet.agents[0].restart();
    fleet.hosts_responding(1).await;
    let ended = client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    item(&client, "deep/guest.vhdx", is("ok")).await;
    qemu_img(&["compare", guest, "deep/guest.vhdx"], &folder);
    let entries = fs::read_dir(folder.join("deep")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let hidden: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// `qemu-img` on storage that lets a conversion wait until somebody says so.
const SLOW: &str = r#"#!/bin/sh
if [ "$1" = convert ]; then
    echo $$ >>"$folder/conversions"
    while [ ! -e "$folder/go" ]; do
        [ -d "$folder" ] || exit 1
        sleep 0.01
    done
fi
exec qemu-img "$@"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_ends_with_the_agent_that_is_killed_and_is_begun_anew_by_the_next() {
    let mut fleet = Fleet::start(1).await;
    let slow = tempfile::tempdir().unwrap();
    let (folder, program) = (slow.path(), slow.path().join("qemu-img"));
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(&program, SLOW.replace("$folder", folder.to_str().unwrap())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    configure(&fleet, &format!("qemu_img = {program:?}"));
    let share = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    fs::copy(guest_image(), share.join("guest.qcow2")).unwrap();
    add_share(&client, &share).await;
    item(&client, "guest.qcow2", is("ok")).await;
    let begun = || -> Vec<u32> {
        let told = fs::read_to_string(folder.join("conversions")).unwrap_or_default();
        told.lines().map(|line| line.parse().unwrap()).collect()
    };

    let path = format!("{ITEMS}/images%2Fguest.qcow2/actions/convert");
    let job = client.submit("POST", &path, json!({"format": "raw"})).await;
    let job = job.unwrap();
    let first = eventually("the conversion to begin", async || begun().pop());
    let first = first.await.unwrap();
    assert!(is_alive(first));
    fleet.agents[0].kill();
    let gone = eventually("the conversion to end with its agent", async || {
        (!is_alive(first)).then_some(())
    });
    gone.await.unwrap();

    fleet.agents[0].restart();
    let second = eventually("the conversion to begin anew", async || {
        begun().pop().filter(|last| *last != first)
    });
    second.await.unwrap();
    fs::write(folder.join("go"), "").unwrap();
    let ended = client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(begun().len(), 2);
    let guest = guest_image();
    qemu_img(&["compare", guest.to_str().unwrap(), "guest.raw"], &share);
}
