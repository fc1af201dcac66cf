//! Machines that other programs wrote down, imported on real agents: they start as they were, what is not as it says is refused
//! before there is a job, and nothing is left of what did not come to its end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Client, Fleet, guest_image};
use crate::invariants;
use crate::library::{add_share, configure, is, item, open_library};
use crate::typed::run;

fn tool(program: &str, arguments: &[&str], folder: &Path) {
    let mut command = Command::new(program);
    let ran = command.args(arguments).current_dir(folder).output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{program} {arguments:?}: {ran:?}");
}

/// The test guest's disk in another format, as `qemu-img` calls it.
fn convert(format: &str, options: &str, path: &Path) {
    let guest = guest_image();
    let path = path.to_str().unwrap();
    let arguments = [
        "convert",
        "-O",
        format,
        "-o",
        options,
        guest.to_str().unwrap(),
        path,
    ];
    tool("qemu-img", &arguments, Path::new("/"));
}

/// A descriptor of a machine with one disk and one card.
fn ovf(name: &str, file: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/rasd">
  <References><File ovf:id="file1" ovf:href="{file}"/></References>
  <DiskSection><Disk ovf:capacity="67108864" ovf:diskId="disk1" ovf:fileRef="file1"/></DiskSection>
  <VirtualSystem ovf:id="{name}">
    <AnnotationSection><Annotation>from elsewhere</Annotation></AnnotationSection>
    <VirtualHardwareSection>
      <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>128</rasd:VirtualQuantity></Item>
      <Item><rasd:HostResource>ovf:/disk/disk1</rasd:HostResource><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:Address>00:50:56:ab:00:01</rasd:Address><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>"#
    )
}

fn domain(name: &str, file: &str) -> String {
    format!(
        "<domain type='kvm'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
        <os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>
        <driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/{file}'/><target dev='vda'/></disk>
        <interface type='network'><mac address='52:54:00:ab:00:03'/></interface></devices></domain>"
    )
}

fn names_in(folder: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn no_parcels(fleet: &Fleet) {
    let parcels = fleet.datastore("host-1").join("parcels");
    assert_eq!(names_in(parcels), [""; 0]);
}

fn mac(vm: &Value) -> &str {
    vm["hardware"]["network_cards"][0]["mac"].as_str().unwrap()
}

fn deploy(path: &str) -> String {
    let path = path.replace('/', "%2F");
    format!("/api/v1/library/items/images%2F{path}/actions/deploy")
}

async fn refused(client: &Client, path: &str, words: &str) {
    let (at, body) = (deploy(path), json!({"name": "x"}));
    let answer = client.send("POST", &at, Some(body)).await.unwrap();
    assert_eq!(answer.status, 409, "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains(words) && detail.contains(path),
        "{words}: {detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_of_other_programs_are_imported_and_start_as_they_were() {
    let mut fleet = Fleet::start(1).await;
    let share = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    for folder in ["web", "mail", "db"] {
        fs::create_dir(share.join(folder)).unwrap();
    }
    // An OVA of a streaming VMDK, an OVF with a VHDX beside it, a domain of libvirt with a qcow2.
    let web = share.join("web");
    convert(
        "vmdk",
        "subformat=streamOptimized",
        &web.join("web-disk1.vmdk"),
    );
    fs::write(web.join("web.ovf"), ovf("web", "web-disk1.vmdk")).unwrap();
    tool(
        "tar",
        &["cf", "../web.ova", "web.ovf", "web-disk1.vmdk"],
        &web,
    );
    fs::remove_dir_all(&web).unwrap();
    convert("vhdx", "subformat=dynamic", &share.join("mail/mail.vhdx"));
    fs::write(share.join("mail/mail.ovf"), ovf("Mail server", "mail.vhdx")).unwrap();
    fs::copy(guest_image(), share.join("db/db.qcow2")).unwrap();
    fs::write(share.join("db/db.xml"), domain("db", "db.qcow2")).unwrap();
    fs::write(share.join("db/other.xml"), "<network/>").unwrap();
    add_share(&client, &share).await;
    for (path, kind) in [
        ("web.ova", "ova"),
        ("mail/mail.ovf", "ovf"),
        ("db/db.xml", "libvirt_domain"),
    ] {
        let found = item(&client, path, is("ok")).await;
        assert_eq!(found["kind"], kind, "{found:#}");
    }

    let muster = |command: &str| run(&client, command);
    let plan = muster("vm import images/web.ova --dry-run");
    assert!(plan.contains("web") && plan.contains("receive"), "{plan}");
    // By the file, and by the folder that it lies in.
    for (command, name, address) in [
        ("vm import images/web.ova", "web", "00:50:56:ab:00:01"),
        ("vm deploy images/mail", "Mail-server", ""),
        ("vm import images/db", "db", "52:54:00:ab:00:03"),
    ] {
        muster(&format!("{command} --wait-guest --wait"));
        let vm = client.vm(name).await.unwrap();
        assert_eq!(vm["guest"]["agent_responding"], true, "{vm:#}");
        assert_eq!(vm["hardware"]["memory_bytes"], 128 << 20);
        match address {
            // Another machine has the one that it had.
            "" => assert_ne!(mac(&vm), "00:50:56:ab:00:01"),
            own => assert_eq!(mac(&vm), own),
        }
        client.act(name, "turn-off").await;
        no_parcels(&fleet);
    }
    let vm = client.vm("web").await.unwrap();
    assert_eq!(vm["description"], "from elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_says_is_refused_before_there_is_a_job() {
    let mut fleet = Fleet::start(1).await;
    let share = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    convert("vmdk", "subformat=streamOptimized", &share.join("a.vmdk"));
    fs::write(share.join("out.ovf"), ovf("out", "../../../a.vmdk")).unwrap();
    fs::write(share.join("none.ovf"), ovf("none", "none.vmdk")).unwrap();
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;\">]><Envelope>&b;</Envelope>";
    fs::write(share.join("bomb.ovf"), bomb).unwrap();
    let packed = ovf("zip", "a.vmdk").replace("ovf:href", "ovf:compression=\"gzip\" ovf:href");
    fs::write(share.join("zip.ovf"), packed).unwrap();
    let huge = ovf("huge", "a.vmdk").replace("67108864", "9223372036854775807");
    fs::write(share.join("huge.ovf"), huge).unwrap();
    add_share(&client, &share).await;
    for (path, words) in [
        ("out.ovf", "../../../a.vmdk"),
        ("none.ovf", "none.vmdk"),
        ("bomb.ovf", "document type"),
        ("zip.ovf", "gzip"),
        ("huge.ovf", "a disk of 9223372036854775807 bytes"),
        ("a.vmdk", "none that can be imported"),
    ] {
        item(&client, path, is("ok")).await;
        refused(&client, path, words).await;
    }
    let jobs = client.list("jobs").await.unwrap();
    assert!(
        jobs.iter().all(|job| job["kind"] != "vm_create"),
        "{jobs:#?}"
    );
    no_parcels(&fleet);
}

/// A stand-in for `qemu-img` whose first conversion waits for ever.
struct Held {
    folder: PathBuf,
}

impl Held {
    /// Takes the place of the first agent's from its next start on.
    fn put(fleet: &Fleet) -> Self {
        let folder = fleet.folder.path().join("held");
        fs::create_dir(&folder).unwrap();
        // It runs as the user without rights.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        tool("mkfifo", &["-m", "666", "gate"], &folder);
        let at = folder.display();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = convert ] && mkdir {at}/first 2>/dev/null; then\n\
             echo $$ > {at}/pid.new && mv {at}/pid.new {at}/pid && read x < {at}/gate\nfi\n\
             exec qemu-img \"$@\"\n"
        );
        let program = folder.join("qemu-img");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        configure(fleet, &format!("qemu_img = \"{}\"", program.display()));
        Self { folder }
    }

    /// Waits until a conversion is held.
    async fn is_held(&self) {
        let pid = self.folder.join("pid");
        let held = eventually("a conversion to begin", async || pid.exists().then_some(()));
        held.await.unwrap();
    }

    /// Whether the held conversion runs.
    fn runs(&self) -> bool {
        let pid = fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
        !pid.is_empty() && Path::new("/proc").join(pid.trim()).exists()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.runs() {
            let pid = fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}

/// A fleet of one host with an OVF in its library, whose first conversion is held, and the job that has begun it.
async fn importing() -> (Fleet, Held, String) {
    let mut fleet = Fleet::start(1).await;
    let held = Held::put(&fleet);
    let share = open_library(&mut fleet).await;
    convert(
        "vpc",
        "subformat=dynamic,force_size=on",
        &share.join("web.vhd"),
    );
    fs::write(share.join("web.ovf"), ovf("web", "web.vhd")).unwrap();
    add_share(&fleet.client, &share).await;
    item(&fleet.client, "web.ovf", is("ok")).await;
    let client = fleet.client.clone();
    let job = client
        .submit_when_available("POST", &deploy("web.ovf"), json!({}))
        .await;
    held.is_held().await;
    (fleet, held, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_after_its_host_was_killed_while_it_converted() {
    let (mut fleet, held, job) = importing().await;
    fleet.agents[0].kill();
    assert!(held.runs(), "nothing was being converted");
    fleet.agents[0].restart();
    fleet.hosts_responding(1).await;
    let ended = fleet.client.job_ended(&job).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let vm = fleet.client.vm("web").await.unwrap();
    let disk = vm["hardware"]["disks"][0]["path"].as_str().unwrap();
    let guest = guest_image();
    let same = ["compare", guest.to_str().unwrap(), disk];
    tool("qemu-img", &same, Path::new("/"));
    no_parcels(&fleet);
    assert_eq!(fleet.machine_folders().len(), 1);
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_cancelled_while_it_converts_leaves_nothing() {
    let (fleet, held, job) = importing().await;
    let client = fleet.client.clone();
    let cancel = format!("/api/v1/jobs/{job}/actions/cancel");
    client.send("POST", &cancel, None).await.unwrap();
    let ended = client.job_ended(&job).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert!(client.vms().await.is_empty() && fleet.machine_folders().is_empty());
    no_parcels(&fleet);
    let ended = eventually("the conversion to end", async || {
        (!held.runs()).then_some(())
    });
    ended.await.unwrap();
    // The next one finds nothing in its way.
    client.done("POST", &deploy("web.ovf"), json!({})).await;
    invariants::hold(&fleet).await;
}
