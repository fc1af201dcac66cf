//! The pages of events are up to date, and say what the code does.
//!
//! `MUSTER_UPDATE=1 cargo test -p contracts` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod definitions;
mod examples;
mod page;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use contracts::access;
use contracts::events::DESCRIBED;
use contracts::records::Record;
use contracts::subjects::{self, EVENTS, buckets};
use contracts::{inventory, jobs, library, placement, refresher, transfer, webhooks};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a file of the repository with what it should be, or writes it.
fn check_or_update(path: &str, wanted: &str) {
    let path = root().join(path);
    if std::env::var_os("MUSTER_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == wanted,
        "{} is out of date: MUSTER_UPDATE=1 cargo test -p contracts",
        path.display()
    );
}

#[test]
fn the_pages_of_events_are_up_to_date() {
    for described in &DESCRIBED {
        let path = format!("docs/events/{}.md", described.kind);
        check_or_update(&path, &page::of(described));
    }
}

#[test]
fn the_page_on_events_leads_to_every_kind() {
    let text = std::fs::read_to_string(root().join("docs/events.md")).unwrap();
    for described in &DESCRIBED {
        let link = format!("(events/{}.md)", described.kind);
        assert!(text.contains(&link), "docs/events.md has no {link}");
    }
}

fn has_events<R: Record>() -> bool {
    R::event(None, Some(&R::default())).is_some()
}

#[test]
fn every_kind_that_has_events_is_described_and_no_other() {
    let all = [
        (buckets::HOST_GROUP, has_events::<inventory::HostGroup>()),
        (buckets::HOST, has_events::<inventory::Host>()),
        (buckets::VM, has_events::<inventory::Vm>()),
        (buckets::VM_NAME, has_events::<inventory::VmName>()),
        (buckets::JOIN_TOKEN, has_events::<inventory::JoinToken>()),
        (buckets::JOB, has_events::<jobs::Job>()),
        (buckets::HOST_CLAIMS, has_events::<placement::HostClaims>()),
        (buckets::PLACEMENT_RULE, has_events::<placement::Rule>()),
        (buckets::WEBHOOK, has_events::<webhooks::Webhook>()),
        (
            buckets::WEBHOOK_STATE,
            has_events::<webhooks::WebhookState>(),
        ),
        (
            buckets::WEBHOOK_LEASE,
            has_events::<webhooks::WebhookLease>(),
        ),
        (buckets::DEAD_LETTER, has_events::<webhooks::DeadLetter>()),
        (buckets::REFRESHER, has_events::<refresher::Intervals>()),
        (buckets::TRANSFER, has_events::<transfer::TransferRecord>()),
        (
            buckets::TRANSFER_AUTHORITY,
            has_events::<transfer::Authority>(),
        ),
        (buckets::DATA_END, has_events::<transfer::DataEndRecord>()),
        (buckets::LIBRARY_SERVER, has_events::<library::Server>()),
        (buckets::LIBRARY_SHARE, has_events::<library::Share>()),
        (buckets::LIBRARY_ITEM, has_events::<library::Item>()),
        (buckets::TEMPLATE, has_events::<library::Template>()),
        (
            buckets::HARDWARE_PROFILE,
            has_events::<library::HardwareProfile>(),
        ),
        (
            buckets::GUEST_PROFILE,
            has_events::<library::GuestProfile>(),
        ),
        (
            buckets::GUEST_USER_DATA,
            has_events::<library::StoredUserData>(),
        ),
    ];
    let known: BTreeSet<&str> = buckets::OWNERS.iter().map(|(bucket, _)| *bucket).collect();
    let asked: BTreeSet<&str> = all.iter().map(|(bucket, _)| *bucket).collect();
    assert_eq!(
        known, asked,
        "a bucket is new: say here whether it has events"
    );
    let with: BTreeSet<&str> = all
        .iter()
        .filter(|(_, has)| *has)
        .map(|(b, _)| *b)
        .collect();
    let described: BTreeSet<&str> = DESCRIBED.iter().map(|d| d.kind).collect();
    assert_eq!(with, described);
}

#[test]
fn every_verb_is_shown_by_a_change_that_has_it() {
    for described in &DESCRIBED {
        let shown: BTreeSet<String> = examples::of(described.kind).map(|e| e.verb).collect();
        let listed: BTreeSet<String> = described.verbs.iter().map(|v| v.name.to_owned()).collect();
        assert_eq!(shown, listed, "{}", described.kind);
    }
}

#[test]
fn a_subscriber_reads_events_and_does_nothing_else() {
    let access = access::of(access::SUBSCRIBER);
    let may = |subject: &str| access::covers(&access.publish, subject);
    assert!(may(&format!("$JS.API.STREAM.INFO.{EVENTS}")));
    assert!(may(&format!("$JS.API.CONSUMER.CREATE.{EVENTS}.x")));
    assert!(may(&format!("$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.x")));
    assert!(!may(&format!("$JS.API.CONSUMER.DELETE.{EVENTS}.x")));
    for verb in ["CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE"] {
        assert!(!may(&format!("$JS.API.STREAM.{verb}.{EVENTS}")), "{verb}");
    }
    for (bucket, _) in buckets::OWNERS {
        assert!(!may(&subjects::record(bucket, "x")));
        assert!(!may(&format!(
            "$JS.API.CONSUMER.CREATE.{}.x",
            subjects::bucket_stream(bucket)
        )));
    }
    for service in contracts::services() {
        for method in service.methods {
            let call = subjects::call(&service.subject_of_host("h"), method.name);
            assert!(!may(&call) && !access::covers(&access.subscribe, &call));
        }
    }
    assert!(!may(&subjects::event("g", "vm", "x", "created")));
    assert_eq!(
        access.subscribe,
        [format!("{}.>", access::inbox(access::SUBSCRIBER))]
    );
}
