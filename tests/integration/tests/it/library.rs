//! The library on a real agent, with two of every service: files that come, go, move and are not what they say; a share that
//! is not there any more.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Client, Fleet, guest_image};
use crate::invariants;
use crate::site::{Plan, Site};

pub const SHARES: &str = "/api/v1/library/shares";

/// Another line in the first agent's own section, from its next start on.
pub fn configure(fleet: &Fleet, line: &str) {
    let config = fleet.folder.path().join("host-1.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("[agent]\n", &format!("[agent]\n{line}\n")),
    )
    .unwrap();
}

/// Gives the first agent the role library beside that of a host, and its server and one share to the library.
pub async fn open_library(fleet: &mut Fleet) -> PathBuf {
    configure(fleet, "roles = [\"host\", \"library\"]");
    let share = fleet.folder.path().join("host-1/library/images");
    fs::create_dir_all(share.join("deep/er")).unwrap();
    fleet.agents[0].restart();
    let client = &fleet.client;
    eventually("the server to be in the library", async || {
        let body = json!({"server": "host-1"});
        let answer = client
            .send("POST", "/api/v1/library/servers", Some(body))
            .await;
        (answer.ok()?.status == 204).then_some(())
    })
    .await
    .unwrap();
    share
}

/// The instance that is asked may not know yet of a server that was added at the other.
pub async fn add_share(client: &Client, path: &Path) -> Value {
    let answer = eventually("the server to be known to whoever is asked", async || {
        let body = json!({"server": "host-1", "path": path});
        let answer = client.send("POST", SHARES, Some(body)).await.unwrap();
        (answer.status != 404).then_some(answer)
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body
}

pub async fn items(client: &Client) -> Vec<Value> {
    let page = client.get("/api/v1/library/items?limit=1000").await;
    let page = page.unwrap_or_default();
    page["items"].as_array().cloned().unwrap_or_default()
}

/// The item at a path, once it is as wanted.
pub async fn item(client: &Client, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = eventually("the item to be as wanted", async || {
        let mut items = items(client).await.into_iter();
        items.find(|item| item["path"] == path && wanted(item))
    });
    match found.await {
        Ok(item) => item,
        Err(error) => panic!("{error}: {path}: {:#?}", items(client).await),
    }
}

async fn share(client: &Client) -> Value {
    client.get(SHARES).await.unwrap()["items"][0].clone()
}

/// Looks at the share afresh, and waits until that is done.
pub async fn refresh(client: &Client) -> Value {
    let path = format!("{SHARES}/images/actions/refresh");
    let mut look = String::new();
    let found = eventually("the share to be refreshed", async || {
        let path = format!("{path}{look}");
        let answer = client.send("POST", &path, None).await.ok()?;
        if answer.status == 202 {
            assert_eq!(answer.body["in_work"], true, "{answer:?}");
            look = format!("?look={}", answer.body["look"].as_str().unwrap());
        }
        (answer.status == 200).then_some(answer.body)
    });
    found.await.unwrap()
}

pub fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |item| item["status"] == status
}

fn qemu_img(arguments: &[&str], folder: &Path) {
    let mut command = Command::new("qemu-img");
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_keep_what_people_said_of_them_wherever_they_go() {
    let mut site = Site::build(Plan::default()).await;
    let folder = open_library(&mut site.fleet).await;
    let client = site.client();
    fs::copy(guest_image(), folder.join("deep/er/guest.qcow2")).unwrap();
    fs::write(folder.join("setup.sh"), "true\n").unwrap();
    fs::write(folder.join("notes.txt"), "not for the library\n").unwrap();
    let made = add_share(&client, &folder).await;
    assert_eq!(made["name"], "images");

    let disk = item(&client, "deep/er/guest.qcow2", is("ok")).await;
    assert_eq!(
        (&disk["kind"], &disk["format"]),
        (&json!("virtual_disk"), &json!("qcow2"))
    );
    assert!(disk["virtual_bytes"].as_u64().unwrap() > disk["file_bytes"].as_u64().unwrap() / 2);
    assert_eq!(disk["identity"], "attribute");
    item(&client, "setup.sh", is("ok")).await;
    assert_eq!(items(&client).await.len(), 2);

    // The kernel tells of what is new and of what moves.
    let id = disk["id"].as_str().unwrap();
    let path = format!("/api/v1/library/items/{id}");
    let words = json!({"owner": "ann", "family": "guest", "release": "1", "set_tags": {"a": "b"}});
    let said = client.send("PATCH", &path, Some(words)).await.unwrap();
    assert_eq!(said.body["family"], "guest", "{said:?}");
    fs::rename(
        folder.join("deep/er/guest.qcow2"),
        folder.join("moved.qcow2"),
    )
    .unwrap();
    let moved = item(&client, "moved.qcow2", is("ok")).await;
    assert_eq!(
        (moved["id"].as_str(), moved["owner"].as_str()),
        (Some(id), Some("ann"))
    );

    // A copy with its attributes is another file.
    let copied = Command::new("cp")
        .args(["-a", "moved.qcow2", "copy.qcow2"])
        .current_dir(&folder)
        .status();
    assert!(copied.unwrap().success());
    let copy = item(&client, "copy.qcow2", is("ok")).await;
    assert_ne!(copy["id"].as_str(), Some(id));

    // Gone and back.
    fs::rename(
        folder.join("moved.qcow2"),
        folder.parent().unwrap().join("away"),
    )
    .unwrap();
    item(&client, "moved.qcow2", is("missing")).await;
    fs::rename(
        folder.parent().unwrap().join("away"),
        folder.join("back.qcow2"),
    )
    .unwrap();
    let back = item(&client, "back.qcow2", is("ok")).await;
    assert_eq!(
        (back["id"].as_str(), back["release"].as_str()),
        (Some(id), Some("1"))
    );
    let disabled = client
        .send("PATCH", &path, Some(json!({"disabled": true})))
        .await;
    assert_eq!(disabled.unwrap().body["status"], "disabled");

    // The share as a whole: its items are missing as long as it is, and no record of theirs is touched.
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).unwrap();
    item(&client, "back.qcow2", is("missing")).await;
    assert!(
        share(&client).await["problem"]
            .as_str()
            .unwrap()
            .contains("cannot be reached")
    );
    fs::rename(&aside, &folder).unwrap();
    refresh(&client).await;
    item(&client, "back.qcow2", is("disabled")).await;

    // An agent that was killed looks at nothing twice, and finds what happened meanwhile.
    site.fleet.agents[0].kill();
    fs::remove_file(folder.join("copy.qcow2")).unwrap();
    site.fleet.agents[0].restart();
    item(&client, "copy.qcow2", is("missing")).await;
    assert_eq!(items(&client).await.len(), 3);
    let gone = client.send("DELETE", &path, None).await.unwrap();
    assert_eq!(gone.status, 409, "{gone:?}");

    let removed = client
        .send("DELETE", &format!("{SHARES}/images"), None)
        .await
        .unwrap();
    assert_eq!(removed.status, 204, "{removed:?}");
    eventually("its items to be forgotten", async || {
        items(&client).await.is_empty().then_some(())
    })
    .await
    .unwrap();
    assert!(folder.join("back.qcow2").exists());
    site.nothing_was_refused();
    invariants::hold(&site.fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_it_says_is_passed_over_by_name_and_harms_nothing() {
    let mut fleet = Fleet::start(1).await;
    let of_host = fleet.folder.path().join("host-1");
    configure(&fleet, &format!("library_folders = [{of_host:?}]"));
    let folder = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    fs::write(folder.join("good.iso"), "x").unwrap();
    make_bad_files(&folder);
    let secret = fleet.folder.path().join("host-1/secret.qcow2");
    qemu_img(
        &["create", "-f", "qcow2", secret.to_str().unwrap(), "1M"],
        &folder,
    );
    let backing = [
        "create",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        secret.to_str().unwrap(),
        "outside.qcow2",
    ];
    qemu_img(&backing, &folder);
    qemu_img(&["create", "-f", "qcow2", "base.qcow2", "1M"], &folder);
    qemu_img(
        &[
            "create",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            "../base.qcow2",
            "deep/over.qcow2",
        ],
        &folder,
    );
    for (format, name) in [
        ("vpc", "old.vhd"),
        ("vhdx", "new.vhdx"),
        ("vmdk", "other.vmdk"),
    ] {
        qemu_img(&["create", "-f", format, name, "2M"], &folder);
    }
    // Elsewhere than the agent allows.
    let refused = async |path: &Path, reason: &str| {
        let body = json!({"server": "host-1", "path": path, "name": "bad"});
        let answer = client.send("POST", SHARES, Some(body)).await.unwrap();
        assert_eq!(answer.status, 400, "{path:?}: {answer:?}");
        let told = answer.body.to_string();
        assert!(
            told.contains(reason) && told.contains("library_folders"),
            "{told}"
        );
    };
    refused(Path::new("/etc"), "may not be a share").await;
    refused(Path::new("relative"), "no absolute path").await;
    refused(Path::new("/nowhere"), "cannot be reached").await;
    // Where machines' disks are.
    let images = fleet.datastore("host-1").join("images");
    refused(&images, "disks of machines").await;
    refused(&of_host, "disks of machines").await;
    add_share(&client, &folder).await;
    let twice = json!({"server": "host-1", "path": folder.join("deep"), "name": "deep"});
    let twice = client.send("POST", SHARES, Some(twice)).await.unwrap();
    assert_eq!(twice.status, 409, "{twice:?}");

    item(&client, "good.iso", is("ok")).await;
    let over = item(&client, "deep/over.qcow2", is("ok")).await;
    assert_eq!(over["backing_path"], "base.qcow2");
    for (name, format) in [
        ("old.vhd", "vhd"),
        ("new.vhdx", "vhdx"),
        ("other.vmdk", "vmdk"),
    ] {
        let disk = item(&client, name, is("ok")).await;
        assert_eq!(
            (
                disk["format"].as_str(),
                disk["virtual_bytes"].as_u64() >= Some(2 << 20)
            ),
            (Some(format), true)
        );
    }
    refresh(&client).await;
    let share = share(&client).await;
    let skipped = share["skipped"].as_array().unwrap();
    for (path, reason) in [
        ("bomb.qcow2", "says that its disk has"),
        ("evil.ova", "leads out of it"),
        ("fake.qcow2", "is none"),
        ("loop", "is a link"),
        ("outside.qcow2", "outside of the share"),
        ("pieces.vmdk", "names other files"),
        ("pipe.iso", "is a pipe"),
        ("strange.iso", "not UTF-8"),
        ("twin.iso", "another name"),
        ("plain.yaml", "no answer file"),
    ] {
        let has = |file: &&Value| {
            let shown = file["path"].as_str().unwrap().replace('\u{fffd}', "");
            shown == path && file["reason"].as_str().unwrap().contains(reason)
        };
        assert!(
            skipped.iter().any(|file| has(&file)),
            "{path}: {skipped:#?}"
        );
    }
    assert_eq!(items(&client).await.len(), 6, "{:#?}", items(&client).await);
    assert_eq!(share["skipped_count"], 10, "{skipped:#?}");
}

fn make_bad_files(folder: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    symlink(folder, folder.join("loop")).unwrap();
    fs::hard_link(folder.join("good.iso"), folder.join("twin.iso")).unwrap();
    fs::write(
        folder.join(std::ffi::OsStr::from_bytes(b"strange\xff.iso")),
        "x",
    )
    .unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(folder.join("pipe.iso"))
            .status()
            .unwrap()
            .success()
    );
    fs::write(folder.join("fake.qcow2"), vec![1; 4096]).unwrap();
    fs::write(folder.join("plain.yaml"), "a: b\n").unwrap();
    fs::write(
        folder.join("pieces.vmdk"),
        "# Disk DescriptorFile\nRW 1 FLAT \"/etc/shadow\" 0\n",
    )
    .unwrap();
    // A disk of 4 EiB.
    let mut header = vec![0_u8; 4096];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    header[20..24].copy_from_slice(&16_u32.to_be_bytes());
    header[24..32].copy_from_slice(&(1_u64 << 62).to_be_bytes());
    header[100..104].copy_from_slice(&104_u32.to_be_bytes());
    fs::write(folder.join("bomb.qcow2"), header).unwrap();
    write_evil_ova(&folder.join("evil.ova"));
}

/// An archive with one empty member that leads up.
fn write_evil_ova(path: &Path) {
    let mut header = [0_u8; 512];
    header[..9].copy_from_slice(b"../escape");
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(b"00000000000\0");
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.resize(512 * 3, 0);
    fs::write(path, archive).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_attributes_files_are_recognised_by_their_content() {
    let mut fleet = Fleet::start(1).await;
    configure(&fleet, "library_attributes = false");
    let folder = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    fs::write(folder.join("one.iso"), "one").unwrap();
    let large = File::create(folder.join("two.raw")).unwrap();
    large.set_len(1 << 20).unwrap();
    add_share(&client, &folder).await;
    let one = item(&client, "one.iso", is("ok")).await;
    assert_eq!(one["identity"], "content");
    item(&client, "two.raw", is("ok")).await;
    fs::rename(folder.join("one.iso"), folder.join("deep/1.iso")).unwrap();
    let renamed = item(&client, "deep/1.iso", is("ok")).await;
    assert_eq!(renamed["id"], one["id"]);
    assert_eq!(items(&client).await.len(), 2);
}
