//! Ends, cuts, damage and changes on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::Code;
use contracts::data::Encryption;
use support::proxy::Proxy;

use super::*;

const SIZE: u64 = 24 * MIB;

fn large(site: &Site) -> File {
    site.make("a.raw", SIZE, &(0..24).collect::<Vec<_>>(), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_goes_on_where_it_was_after_either_end_was_started_again() {
    let authority = Authority::new();
    let (mut from, mut to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    large(&from);
    let signed = authority.sign(&ticket("t1", &from, &to, "a.raw"));
    let request = pull(signed.clone(), from.port());
    to.end()
        .fetch(FetchRequest {
            bytes_per_sec: WALKING,
            ..request
        })
        .unwrap();
    let first = hold_midway(to.end(), "t1", 6 * MIB).await;
    to.end = None;
    assert_eq!(to.names(), [".a.raw.journal", ".a.raw.part"]);
    to.start(&authority);
    let request = pull(signed.clone(), from.port());
    to.end()
        .fetch(FetchRequest {
            bytes_per_sec: WALKING,
            ..request
        })
        .unwrap();
    let second = hold_midway(to.end(), "t1", 14 * MIB).await;
    // The source: the fetch goes on by itself when it is back.
    from.end = None;
    from.start(&authority);
    to.end().throttle(&contracts::data::ThrottleRequest {
        transfer_id: "t1".to_owned(),
        bytes_per_sec: 0,
    });
    let third = done(to.end(), "t1").await;
    assert!(second.bytes_done < third.bytes_done);
    let received = first.bytes_received + third.bytes_received;
    assert!(received <= SIZE + 2 * IN_FLIGHT + TALK, "{received}");
    assert!(to.read("a.raw") == from.read("a.raw"));
    // Asked for again by a service that has forgotten how it ended.
    to.end = None;
    to.start(&authority);
    let signed = authority.sign(&ticket("t1", &from, &to, "a.raw"));
    to.end().fetch(pull(signed, from.port())).unwrap();
    let again = done(to.end(), "t1").await;
    assert_eq!(again.content_hash, third.content_hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_the_system_only_what_is_really_there_counts() {
    let authority = Authority::new();
    let (from, mut to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    large(&from);
    let signed = authority.sign(&ticket("t1", &from, &to, "a.raw"));
    let request = pull(signed.clone(), from.port());
    to.end()
        .fetch(FetchRequest {
            bytes_per_sec: WALKING,
            ..request
        })
        .unwrap();
    hold_midway(to.end(), "t1", 6 * MIB).await;
    to.end = None;
    // A journal of another start of the system, and a chunk that did not reach the disk.
    let journal = to.path(".a.raw.journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot_id = boot_id.trim().as_bytes();
    let at = bytes
        .windows(boot_id.len())
        .position(|w| w == boot_id)
        .unwrap();
    bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
    std::fs::write(&journal, bytes).unwrap();
    let part = File::options()
        .write(true)
        .open(to.path(".a.raw.part"))
        .unwrap();
    part.write_all_at(&[7; 5000], MIB).unwrap();
    to.start(&authority);
    to.end().fetch(pull(signed, from.port())).unwrap();
    let status = done(to.end(), "t1").await;
    assert!(to.read("a.raw") == from.read("a.raw"));
    // The others were not fetched again.
    assert!(status.bytes_received <= SIZE - 5 * MIB + TALK, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_again_and_again_costs_what_was_on_it() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    large(&from);
    let line = Proxy::start_raw(from.port()).await.unwrap();
    let signed = authority.sign(&ticket("t1", &from, &to, "a.raw"));
    let request = pull(signed, line.port);
    to.end()
        .fetch(FetchRequest {
            bytes_per_sec: WALKING,
            ..request
        })
        .unwrap();
    let cuts = 4;
    for number in 1..=cuts {
        until(to.end(), "t1", |s| s.bytes_done >= number * 4 * MIB).await;
        line.cut();
    }
    let status = done(to.end(), "t1").await;
    assert!(
        status.bytes_received <= SIZE + cuts * IN_FLIGHT + TALK,
        "{status:?}"
    );
    assert!(to.read("a.raw") == from.read("a.raw"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_arrives_damaged_is_fetched_again_and_not_for_ever() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    large(&from);
    let line = Proxy::start_raw(from.port()).await.unwrap();
    let damaged = Arc::new(AtomicU64::new(0));
    let limit = Arc::new(AtomicU64::new(1));
    let (count, most) = (Arc::clone(&damaged), Arc::clone(&limit));
    // Full pieces are of a payload; of such an early one it is seen at once.
    line.lose(move |bytes| {
        let is_payload = bytes.len() >= 16 * 1024;
        is_payload && count.fetch_add(1, Ordering::SeqCst) < most.load(Ordering::SeqCst)
    });
    // Encryption would see it first.
    let plain = |id: &str, name: &str| {
        let ticket = Ticket {
            target: Some(image(name)),
            encryption: Encryption::Plain.into(),
            ..ticket(id, &from, &to, "a.raw")
        };
        // Without what the other copy has.
        let seeds = vec![image("none")];
        let request = pull(authority.sign(&ticket), line.port);
        to.end().fetch(FetchRequest { seeds, ..request }).unwrap();
    };
    plain("t1", "once.raw");
    done(to.end(), "t1").await;
    assert!(to.read("once.raw") == from.read("a.raw"));
    limit.store(u64::MAX, Ordering::SeqCst);
    plain("t2", "ever.raw");
    let problem = failed(to.end(), "t2").await;
    assert!(problem.message.contains("damaged"), "{problem}");
    assert!(!to.path("ever.raw").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_on_the_way_is_noticed() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    let file = large(&from);
    let signed = authority.sign(&ticket("t1", &from, &to, "a.raw"));
    let request = pull(signed.clone(), from.port());
    to.end()
        .fetch(FetchRequest {
            bytes_per_sec: WALKING,
            ..request
        })
        .unwrap();
    hold_midway(to.end(), "t1", 4 * MIB).await;
    file.write_all_at(b"changed", 20 * MIB).unwrap();
    to.end().throttle(&contracts::data::ThrottleRequest {
        transfer_id: "t1".to_owned(),
        bytes_per_sec: 0,
    });
    let problem = failed(to.end(), "t1").await;
    assert_eq!(problem.code(), Code::FailedPrecondition, "{problem}");
    assert!(problem.message.contains("was changed"), "{problem}");
    // Half of one file and half of another are never put together.
    to.end().fetch(pull(signed, from.port())).unwrap();
    let problem = failed(to.end(), "t1").await;
    assert!(problem.message.contains("was changed"), "{problem}");
    assert!(!to.path("a.raw").exists());
}
