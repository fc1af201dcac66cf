//! What a person can get wrong is refused with a code, the object's name and what to do, before anything changed.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use crate::fleet::{Answer, Fleet, small_vm};

/// Asks for a machine with something changed, and insists on a refusal of this kind.
async fn refused(
    fleet: &Fleet,
    change: impl FnOnce(&mut Value),
    status: u16,
    code: &str,
) -> Answer {
    let mut body = small_vm("wrong", false, false);
    change(&mut body);
    let answer = fleet
        .client
        .send("POST", "/api/v1/vms", Some(body.clone()))
        .await
        .unwrap();
    assert_eq!(answer.status, status, "{body} {answer:?}");
    assert_eq!(answer.body["code"], code, "{body} {answer:?}");
    assert!(!answer.body["detail"].as_str().unwrap().is_empty());
    let action = answer.body["recommended_action"]
        .as_str()
        .unwrap_or_default();
    assert!(!action.is_empty(), "no word on what to do: {answer:?}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_machines_are_refused_and_nothing_is_left() {
    let fleet = Fleet::start(1).await;
    let invalid = "INVALID_ARGUMENT";
    refused(&fleet, |b| b["vcpus"] = json!(0), 400, invalid).await;
    refused(&fleet, |b| b["vcpus"] = json!("two"), 400, invalid).await;
    refused(&fleet, |b| b["vcpus"] = json!(100_000), 400, invalid).await;
    refused(&fleet, |b| b["memory_bytes"] = json!(0), 400, invalid).await;
    refused(&fleet, |b| b["name"] = json!("a/b"), 400, invalid).await;
    refused(&fleet, |b| b["name"] = json!(""), 400, invalid).await;
    refused(&fleet, |b| b["colour"] = json!("red"), 400, invalid).await;
    refused(
        &fleet,
        |b| b["disks"][0]["size_bytes"] = json!(-5),
        400,
        invalid,
    )
    .await;
    let answer = refused(
        &fleet,
        |b| b["memory_bytes"] = json!(8_u64 << 40),
        507,
        "RESOURCE_EXHAUSTED",
    )
    .await;
    assert!(
        answer.body["detail"].as_str().unwrap().contains("host-1"),
        "{answer:?}"
    );
    refused(&fleet, |b| b["host"] = json!("nowhere"), 404, "NOT_FOUND").await;
    fleet.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_images_are_refused_and_the_hosts_own_files_stay_secret() {
    let fleet = Fleet::start(1).await;
    let images = fleet.datastore("host-1").join("images");
    let guest = images.join("guest.qcow2");
    let backing = |name: &str, file: &str, format: &str| {
        let made = Command::new("qemu-img")
            .args([
                "create", "-q", "-u", "-f", "qcow2", "-b", file, "-F", format,
            ])
            .arg(images.join(name))
            .arg("64M")
            .status()
            .unwrap();
        assert!(made.success());
    };
    backing("shadow.qcow2", "/etc/shadow", "raw");
    backing(
        "relative.qcow2",
        "../../../../../../../../../../etc/shadow",
        "raw",
    );
    std::fs::write(images.join("text.qcow2"), "this is not an image").unwrap();
    let bytes = std::fs::read(&guest).unwrap();
    std::fs::write(images.join("short.qcow2"), &bytes[..bytes.len() / 2]).unwrap();
    symlink("/etc/shadow", images.join("link.raw")).unwrap();
    std::fs::create_dir(images.join("folder.qcow2")).unwrap();
    for image in [
        "shadow.qcow2",
        "relative.qcow2",
        "text.qcow2",
        "short.qcow2",
        "link.raw",
        "folder.qcow2",
        "missing.qcow2",
        "../images/guest.qcow2",
        "/etc/shadow",
    ] {
        let mut body = small_vm("wrong", false, false);
        body["disks"][0]["image"] = json!(image);
        let answer = fleet
            .client
            .send("POST", "/api/v1/vms", Some(body))
            .await
            .unwrap();
        assert!((400..500).contains(&answer.status), "{image}: {answer:?}");
        let text = answer.body.to_string();
        assert!(
            text.contains(image.rsplit('/').next().unwrap()),
            "{image} is not named: {text}"
        );
        assert!(
            !answer.body["recommended_action"]
                .as_str()
                .unwrap_or_default()
                .is_empty(),
            "{image}: {text}"
        );
    }
    fleet.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_state_forbids_is_refused_by_name() {
    let fleet = Fleet::start(1).await;
    let client = &fleet.client;
    client
        .done("POST", "/api/v1/vms", small_vm("still", false, false))
        .await;
    for action in ["pause", "resume", "reset", "shutdown", "save", "turn-off"] {
        let path = format!("/api/v1/vms/still/actions/{action}");
        let answer = client.send("POST", &path, Some(json!({}))).await.unwrap();
        assert_eq!(answer.status, 409, "{action}: {answer:?}");
        assert!(
            answer.body["detail"].as_str().unwrap().contains("still"),
            "{answer:?}"
        );
    }
    let again = client
        .send("POST", "/api/v1/vms", Some(small_vm("still", false, false)))
        .await
        .unwrap();
    assert_eq!(
        (again.status, again.body["code"].as_str().unwrap()),
        (409, "ALREADY_EXISTS")
    );
    let unknown = client
        .send("POST", "/api/v1/vms/nobody/actions/start", Some(json!({})))
        .await
        .unwrap();
    assert_eq!(unknown.status, 404);

    // Two deletes at once: both are jobs or one is refused, and the machine is gone once.
    let delete = || client.send("DELETE", "/api/v1/vms/still", None);
    let (one, two) = tokio::join!(delete(), delete());
    for answer in [one.unwrap(), two.unwrap()] {
        assert!([202, 404, 409].contains(&answer.status), "{answer:?}");
        if answer.status == 202 {
            client.job_ended(answer.body["id"].as_str().unwrap()).await;
        }
    }
    fleet.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_ten_megabytes_is_refused() {
    let fleet = Fleet::start(0).await;
    let body = json!({"name": "x".repeat(10 << 20), "memory_bytes": 1 << 30});
    let answer = fleet.client.send("POST", "/api/v1/vms", Some(body)).await;
    // The server may close the connection while the client still sends; either way it is no 5xx and nothing is there.
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 413, "{:?}", answer.status);
    }
    fleet.nothing_is_left().await;
}
