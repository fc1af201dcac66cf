//! Images that must not run, each refused before anything changed.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use agent::hypervisor::Hypervisor;
use agent::hypervisor::qemu::Qemu;
use contracts::{Code, Status};

use crate::host::{Host, request};

async fn refusal(qemu: &Qemu, image: &str) -> Status {
    let status = qemu.check_image(image).await.expect_err(image);
    assert!(
        status.message.contains(image) || status.code() == Code::InvalidArgument,
        "{status}"
    );
    assert!(!status.recommended_action.is_empty(), "{status}");
    // What cannot be looked at cannot become a machine either, and leaves nothing.
    let mut request = request("refused");
    request.hardware.as_mut().unwrap().disks[0].image = image.to_owned();
    assert_eq!(qemu.create(request).await.unwrap_err(), status);
    assert!(qemu.machines().await.is_empty());
    status
}

fn qemu_img(arguments: &[&str]) {
    let status = Command::new("qemu-img")
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "qemu-img {arguments:?}");
}

fn overlay(images: &Path, name: &str, base: &str, format: &str) {
    let path = images.join(name);
    // -u: the base need not be there, as in an image from elsewhere.
    qemu_img(&[
        "create",
        "-q",
        "-u",
        "-f",
        "qcow2",
        "-b",
        base,
        "-F",
        format,
        path.to_str().unwrap(),
        "1M",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_image_is_described() {
    let host = Host::new(false).await;
    let qemu = host.open().await;
    let info = qemu.check_image("guest.qcow2").await.unwrap();
    assert_eq!(
        (info.format.as_str(), info.datastore.as_str()),
        ("qcow2", "ds")
    );
    assert_eq!(info.virtual_bytes, 64 << 20);
    std::fs::write(host.images().join("plain.raw"), vec![0; 4096]).unwrap();
    assert_eq!(
        qemu.check_image("ds/plain.raw").await.unwrap().format,
        "raw"
    );
    // An image on an image of the same datastore.
    overlay(&host.images(), "on-top.qcow2", "guest.qcow2", "qcow2");
    assert_eq!(
        qemu.check_image("on-top.qcow2")
            .await
            .unwrap()
            .virtual_bytes,
        1 << 20
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_is_refused() {
    let host = Host::new(false).await;
    let images = host.images();
    let qemu = host.open().await;
    assert_eq!(refusal(&qemu, "missing.qcow2").await.code(), Code::NotFound);
    assert_eq!(
        refusal(&qemu, "../vms/x").await.code(),
        Code::InvalidArgument
    );
    assert_eq!(
        refusal(&qemu, "other/guest.qcow2").await.code(),
        Code::NotFound
    );

    std::fs::write(images.join("text.qcow2"), "hello").unwrap();
    assert!(
        refusal(&qemu, "text.qcow2")
            .await
            .message
            .contains("is not an image")
    );
    std::fs::write(images.join("odd.raw"), "hello").unwrap();
    assert!(
        refusal(&qemu, "odd.raw")
            .await
            .message
            .contains("is not an image")
    );

    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        images.join("pipe.raw"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    assert!(
        refusal(&qemu, "pipe.raw")
            .await
            .message
            .contains("not a regular file")
    );
    std::fs::create_dir(images.join("folder.qcow2")).unwrap();
    assert!(
        refusal(&qemu, "folder.qcow2")
            .await
            .message
            .contains("not a regular file")
    );
    symlink("/dev/zero", images.join("device.raw")).unwrap();
    assert!(
        refusal(&qemu, "device.raw")
            .await
            .message
            .contains("leads out")
    );
    symlink("/etc/shadow", images.join("shadow.raw")).unwrap();
    assert!(
        refusal(&qemu, "shadow.raw")
            .await
            .message
            .contains("leads out")
    );

    std::fs::write(images.join("secret.raw"), vec![0; 512]).unwrap();
    std::fs::set_permissions(
        images.join("secret.raw"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    if rustix::process::geteuid().is_root() {
        assert!(
            refusal(&qemu, "secret.raw")
                .await
                .message
                .contains("cannot be read by nobody")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_cut_off_or_lies_is_refused() {
    let host = Host::new(false).await;
    let images = host.images();
    let qemu = host.open().await;
    let whole = std::fs::read(images.join("guest.qcow2")).unwrap();
    std::fs::write(images.join("half.qcow2"), &whole[..whole.len() / 2]).unwrap();
    assert!(
        refusal(&qemu, "half.qcow2")
            .await
            .message
            .contains("truncated")
    );
    std::fs::write(images.join("tail.qcow2"), &whole[..whole.len() - 70_000]).unwrap();
    assert!(
        refusal(&qemu, "tail.qcow2")
            .await
            .message
            .contains("truncated")
    );
    std::fs::write(images.join("start.qcow2"), &whole[..300]).unwrap();
    refusal(&qemu, "start.qcow2").await;

    let mut absurd = whole.clone();
    absurd[24..32].copy_from_slice(&(1u64 << 62).to_be_bytes());
    std::fs::write(images.join("absurd.qcow2"), &absurd).unwrap();
    assert!(
        refusal(&qemu, "absurd.qcow2")
            .await
            .message
            .contains("4611686018427387904 bytes")
    );

    let path = images.join("locked.qcow2");
    let secret = [
        "--object",
        "secret,id=s,data=x",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
    ];
    qemu_img(
        &[
            &["create", "-q", "-f", "qcow2"][..],
            &secret,
            &[path.to_str().unwrap(), "1M"],
        ]
        .concat(),
    );
    assert!(
        refusal(&qemu, "locked.qcow2")
            .await
            .message
            .contains("encrypted")
    );

    let data = images.join("data.raw");
    let path = images.join("external.qcow2");
    let option = format!("data_file={}", data.display());
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        &option,
        path.to_str().unwrap(),
        "1M",
    ]);
    assert!(
        refusal(&qemu, "external.qcow2")
            .await
            .message
            .contains("another file")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_image_reads_what_lies_outside() {
    let host = Host::new(false).await;
    let images = host.images();
    let qemu = host.open().await;
    let secret = host.dir.path().join("secret.raw");
    std::fs::write(&secret, vec![0; 512]).unwrap();
    overlay(&images, "shadow.qcow2", "/etc/shadow", "raw");
    assert!(
        refusal(&qemu, "shadow.qcow2")
            .await
            .message
            .contains("leads out")
    );
    overlay(&images, "outside.qcow2", secret.to_str().unwrap(), "raw");
    assert!(
        refusal(&qemu, "outside.qcow2")
            .await
            .message
            .contains("leads out")
    );
    overlay(&images, "relative.qcow2", "../../secret.raw", "raw");
    assert!(
        refusal(&qemu, "relative.qcow2")
            .await
            .message
            .contains("leads out")
    );
    // Another machine's disk is no image.
    qemu.create(request("other")).await.unwrap();
    overlay(&images, "disk.qcow2", "../vms/other/disk0.qcow2", "qcow2");
    let status = qemu.check_image("disk.qcow2").await.unwrap_err();
    assert!(status.message.contains("leads out"), "{status}");
    qemu.delete("other").await.unwrap();
    // By way of an image in between, of a link, of a protocol, and around in a circle.
    overlay(&images, "between.qcow2", "shadow.qcow2", "qcow2");
    assert!(
        refusal(&qemu, "between.qcow2")
            .await
            .message
            .contains("leads out")
    );
    symlink("/etc/shadow", images.join("link.raw")).unwrap();
    overlay(&images, "linked.qcow2", "link.raw", "raw");
    assert!(
        refusal(&qemu, "linked.qcow2")
            .await
            .message
            .contains("leads out")
    );
    overlay(&images, "net.qcow2", "nbd://127.0.0.1:1/x", "raw");
    refusal(&qemu, "net.qcow2").await;
    overlay(
        &images,
        "json.qcow2",
        "json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}",
        "raw",
    );
    refusal(&qemu, "json.qcow2").await;
    overlay(&images, "circle.qcow2", "circle.qcow2", "qcow2");
    refusal(&qemu, "circle.qcow2").await;
    // Says raw of a qcow2: its guest could then write itself a new backing file.
    overlay(&images, "liar.qcow2", "guest.qcow2", "raw");
    assert!(
        refusal(&qemu, "liar.qcow2")
            .await
            .message
            .contains("another format")
    );
}
