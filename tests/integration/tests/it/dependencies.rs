//! What we depend on: licences that we accept, and crates that must not come in.
//!
//! Offline and from `cargo metadata`, where cargo-deny would have to be built from source on every fresh machine.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// All permissive. A licence expression needs one alternative made of these.
const ACCEPTED: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One TLS stack and crypto provider (rustls with ring), no archived YAML, one of each of the libraries that only work
/// when there is one.
const BANNED: [&str; 4] = ["openssl-sys", "aws-lc-rs", "serde_yaml", "native-tls"];
const ONLY_ONE: [&str; 5] = ["opentelemetry", "async-nats", "rustls", "prost", "redb"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// Whether one alternative of an expression is made of accepted licences.
fn is_accepted(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" OR ").any(|alternative| {
        alternative
            .split(" AND ")
            .all(|licence| ACCEPTED.contains(&licence.trim()))
    })
}

#[test]
fn every_dependency_has_a_licence_that_we_accept() {
    for package in packages().iter().filter(|p| !p["source"].is_null()) {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_accepted(licence), "{} is under {licence}", name(package));
    }
}

#[test]
fn nothing_comes_in_that_we_keep_out() {
    let packages = packages();
    let mut seen = BTreeSet::new();
    for package in &packages {
        let name = name(package);
        assert!(
            !BANNED.contains(&name),
            "{name} has come in: cargo tree -i {name}"
        );
        assert!(
            !ONLY_ONE.contains(&name) || seen.insert(name),
            "{name} is there twice: cargo tree -d"
        );
    }
}

#[test]
fn every_dependency_comes_from_the_registry() {
    for package in packages().iter().filter(|p| !p["source"].is_null()) {
        let source = package["source"].as_str().unwrap();
        assert!(
            source.starts_with("registry+"),
            "{} comes from {source}",
            name(package)
        );
    }
}
