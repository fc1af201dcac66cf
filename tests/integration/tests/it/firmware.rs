//! What machines start with, and from what.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fleet::{Fleet, small_vm};
use crate::guest::Console;
use crate::invariants;

const VMS: &str = "/api/v1/vms";

/// What the machine's firmware has noted.
fn variables(vm: &Value) -> PathBuf {
    let disk = vm["hardware"]["disks"][0]["path"].as_str().unwrap();
    Path::new(disk).with_file_name("firmware.vars")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_uefi_boots_by_it_and_a_clone_has_what_its_firmware_has_noted() {
    let fleet = Fleet::start(1).await;
    let client = &fleet.client;
    let hosts = client.send("GET", "/api/v1/hosts/host-1", None).await;
    assert_eq!(hosts.unwrap().body["facts"]["uefi"], true);
    let mut modern = small_vm("modern", true, true);
    // UEFI takes a part of it.
    modern["memory_bytes"] = (192 << 20).into();
    modern["firmware"] = "uefi".into();
    modern["boot_order"] = json!(["disk", "network"]);
    client.done("POST", VMS, modern).await;
    let vm = client.vm("modern").await.unwrap();
    let hardware = &vm["hardware"];
    assert_eq!(hardware["firmware"], "uefi", "{vm:#}");
    assert_eq!(hardware["boot_order"], json!(["disk", "network"]));
    let mut console = Console::open(&fleet.socket(fleet.qemu_processes()[0], "ser")).await;
    console
        .type_line("echo bits=$(cat /sys/firmware/efi/fw_platform_size)=")
        .await;
    assert_eq!(console.reads("bits=6").await, "4=");
    console.keep_reading();

    client.act("modern", "turn-off").await;
    let noted = fs::read(variables(&vm)).unwrap();
    let clone = json!({"name": "second", "linked": true});
    client
        .done("POST", &format!("{VMS}/modern/actions/clone"), clone)
        .await;
    let second = client.vm("second").await.unwrap();
    assert_eq!(second["hardware"]["firmware"], "uefi");
    assert!(fs::read(variables(&second)).unwrap() == noted);
    // One that has just been made knows nothing of that.
    let mut fresh = small_vm("fresh", false, false);
    fresh["firmware"] = "uefi".into();
    client.done("POST", VMS, fresh).await;
    let fresh = client.vm("fresh").await.unwrap();
    assert!(fs::read(variables(&fresh)).unwrap() != noted);
    client
        .done("POST", VMS, small_vm("plain", false, false))
        .await;
    let plain = client.vm("plain").await.unwrap();
    assert_eq!(plain["hardware"]["firmware"], "bios");
    assert!(!variables(&plain).exists());
    invariants::hold(&fleet).await;
}
