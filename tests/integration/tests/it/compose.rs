//! compose.yaml, checked by the compose plugin itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn config(file: &Path, password: Option<&str>, arguments: &[&str]) -> Output {
    let program = std::env::var_os("MUSTER_COMPOSE")
        .expect("MUSTER_COMPOSE is not set: run the tests with ./ops/test");
    let mut command = Command::new(program);
    command.arg("-f").arg(file).arg("config").args(arguments);
    // An .env of the person who runs the tests is none of their business.
    command
        .current_dir(std::env::temp_dir())
        .env_remove("MUSTER_BUS_PASSWORD");
    if let Some(password) = password {
        command.env("MUSTER_BUS_PASSWORD", password);
    }
    command.output().unwrap()
}

#[test]
fn compose_knows_every_service_and_publishes_to_this_machine_only() {
    let output = config(
        &root().join("compose.yaml"),
        Some("pw"),
        &["--format", "json"],
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for service in [
        "nats",
        "gateway",
        "inventory",
        "jobs",
        "placement",
        "refresher",
        "transfer",
        "performance",
        "webhooks",
        "library",
    ] {
        let service = &config["services"][service];
        assert!(
            service.is_object() && service["container_name"].is_null(),
            "{service}"
        );
        for port in service["ports"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(port["host_ip"], "127.0.0.1");
        }
    }
}

#[test]
fn compose_refuses_to_start_without_a_password() {
    let output = config(&root().join("compose.yaml"), None, &["-q"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("MUSTER_BUS_PASSWORD"));
}

#[test]
fn a_misspelt_key_would_be_seen() {
    let text = std::fs::read_to_string(root().join("compose.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    std::fs::write(&file, text.replace("ports:", "portz:")).unwrap();
    let output = config(&file, Some("pw"), &["-q"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("portz"));
}
