//! The rules that keep the house in order, as tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Rust files that are committed or about to be.
fn rust_files() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.rs",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(!listed.is_empty(), "git lists no files");
    listed
        .lines()
        .filter_map(|name| {
            Some((
                name.to_owned(),
                std::fs::read_to_string(root().join(name)).ok()?,
            ))
        })
        .collect()
}

/// Which crates of ours each crate of ours may use, tests aside.
fn allowed(name: &str) -> &'static [&'static str] {
    match name {
        "contracts" => &[],
        "kit" | "muster" | "subscriber" => &["contracts"],
        "gateway" | "inventory" | "jobs" | "placement" | "refresher" | "transfer"
        | "performance" | "webhooks" | "library" | "agent" => &["contracts", "kit"],
        "musterd" => &[
            "contracts",
            "kit",
            "gateway",
            "inventory",
            "jobs",
            "placement",
            "refresher",
            "transfer",
            "performance",
            "webhooks",
            "library",
        ],
        // Its hosts run the agent's own code.
        "simfleet" => &["contracts", "kit", "agent"],
        "support" => &["contracts", "kit", "support"],
        "integration" => &["contracts", "kit", "support", "simfleet"],
        // It measures the core of placement itself, and its service without what is around it.
        "bench" => &["contracts", "kit", "placement", "support", "simfleet"],
        // It runs them on a model of the bus.
        "sim" => &[
            "contracts",
            "kit",
            "support",
            "inventory",
            "jobs",
            "placement",
            "agent",
        ],
        // It comes in by the doors of those that read foreign bytes.
        "fuzz" => &[
            "contracts",
            "support",
            "gateway",
            "inventory",
            "jobs",
            "placement",
            "agent",
        ],
        other => panic!("{other} is new: say here what it may use"),
    }
}

#[test]
fn arrows_between_crates_run_one_way() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let is_dev = dependency["kind"].as_str() == Some("dev");
            let fine = allowed(name).contains(&used) || (is_dev && used == "support");
            assert!(!ours.contains(used) || fine, "{name} must not use {used}");
        }
    }
}

/// Libraries with one owner: only files under these paths may name them.
const OWNED: [(&str, &[&str]); 4] = [
    (
        "async_nats",
        &["services/kit/", "tests/bench/", "docs/examples/"],
    ),
    ("opentelemetry", &["services/kit/"]),
    ("figment", &["services/kit/"]),
    ("redb", &["services/kit/", "services/agent/src/store"]),
];

#[test]
fn a_library_is_named_by_its_owner_only() {
    for (file, text) in rust_files() {
        for (library, owners) in OWNED {
            let owned = owners.iter().any(|owner| file.starts_with(owner));
            let is_this_rule = file.ends_with("tidy.rs");
            let names = format!("{library}::");
            assert!(
                owned || is_this_rule || !text.contains(&names),
                "{file} names {library}"
            );
        }
    }
}

#[test]
fn subjects_are_written_in_contracts_only() {
    for (file, text) in rust_files() {
        let fine = file.starts_with("contracts/") || file.ends_with("tidy.rs");
        for literal in ["\"muster.v1", "\"$KV.", "\"$JS."] {
            assert!(
                fine || !text.contains(literal),
                "{file} has the subject literal {literal}…"
            );
        }
    }
}

/// Files that were longer than the limit when they were last looked at. They may only shrink.
const LONG_FILES: [(&str, usize); 1] = [("tests/integration/tests/it/fleet.rs", 446)];

const LINES_MAX: usize = 400;

#[test]
fn a_file_can_be_read_in_one_sitting() {
    let long: BTreeMap<&str, usize> = LONG_FILES.into();
    for (file, text) in rust_files() {
        let lines = text.lines().count();
        let most = long.get(file.as_str()).copied().unwrap_or(LINES_MAX);
        assert!(
            lines <= most,
            "{file} has {lines} lines, more than {most}: split it by what its parts are about"
        );
    }
}

#[test]
fn a_program_starts_in_a_few_lines() {
    for (file, text) in rust_files() {
        if file.starts_with("services/") && file.ends_with("/main.rs") {
            assert!(
                text.lines().count() < 40,
                "{file} is no table of contents any more"
            );
        }
    }
}

#[test]
fn nothing_is_left_undone_in_the_code() {
    for (file, text) in rust_files() {
        for word in ["todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME"] {
            assert!(
                file.ends_with("tidy.rs") || !text.contains(word),
                "{file} has {word}"
            );
        }
    }
}

#[test]
fn tests_wait_for_conditions_and_never_sleep() {
    for (file, text) in rust_files() {
        // A benchmark measures over a time; nothing fails on it.
        let measures = file.starts_with("tests/bench/");
        let is_test = !measures && (file.starts_with("tests/") || file.contains("/tests/"));
        let may = file == "tests/support/src/lib.rs" || file.ends_with("tidy.rs");
        // A stand-in that is slow because that is the case to test says so on the line.
        let sleeps = text
            .lines()
            .find(|line| line.contains("sleep(") && !line.contains("// slow on purpose"));
        assert!(
            !is_test || may || sleeps.is_none(),
            "{file} sleeps: {sleeps:?}"
        );
    }
}

/// What stands in quotes first after each mark.
fn quoted_after<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    let after = text.split(mark).skip(1);
    after.filter_map(|rest| rest.split('"').nth(1))
}

#[test]
fn every_span_in_the_code_is_on_the_page_of_telemetry() {
    let listed: BTreeSet<&str> = contracts::telemetry::SPANS.iter().map(|s| s.id).collect();
    let files = rust_files();
    let services = files
        .iter()
        .filter(|(file, _)| file.starts_with("services/"));
    let made: BTreeSet<&str> = services
        .flat_map(|(_, text)| quoted_after(text, "_span!("))
        .collect();
    assert_eq!(
        made, listed,
        "contracts/src/telemetry/spans.rs has other spans than the code"
    );
}

#[test]
fn every_metric_of_the_page_of_telemetry_is_made() {
    let files = rust_files();
    let table = files
        .iter()
        .find(|(file, _)| file == "contracts/src/telemetry/metrics.rs")
        .unwrap();
    let names = table.1.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("pub const ")?.split_once(": ")?;
        kind.starts_with("Metric ").then_some(name)
    });
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len(), contracts::telemetry::METRICS.len());
    for name in names {
        let made = format!("::new(&{name})");
        let makers = files.iter().filter(|(_, text)| text.contains(&made));
        assert_eq!(makers.count(), 1, "{name} is made in one place");
    }
}
