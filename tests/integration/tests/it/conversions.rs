//! Disks of the library in other formats, as people ask for them, on a real agent that is killed on the way.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::fleet::{Fleet, guest_image};
use crate::library::{add_share, is, item, open_library};
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
