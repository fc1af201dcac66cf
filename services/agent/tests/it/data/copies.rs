//! What arrives, and what does not have to travel.

use std::time::Instant;

use contracts::data::{DiscardRequest, Encryption, ThrottleRequest};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_as_it_is_whichever_way_and_its_holes_do_not_travel() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    // Data in stripes, a block of zeros that is written, and an end within a block.
    let size = 40 * MIB + 5;
    let file = from.make("a.raw", size, &[0, 7, 8, 31, 39], 1);
    file.write_all_at(&vec![0; 1 << 20], 3 * MIB).unwrap();
    file.write_all_at(b"end", size - 3).unwrap();
    let mut hashes = Vec::new();
    for (number, encryption) in [Encryption::Tls, Encryption::Plain].into_iter().enumerate() {
        for is_push in [false, true] {
            let id = format!("t{number}{is_push}");
            let name = format!("{id}.raw");
            let signed = authority.sign(&Ticket {
                target: Some(image(&name)),
                encryption: encryption.into(),
                ..ticket(&id, &from, &to, "a.raw")
            });
            let request = match is_push {
                true => push(&signed, &from, &to),
                false => pull(signed, from.port()),
            };
            to.end()
                .fetch(FetchRequest {
                    seeds: vec![image("none")],
                    ..request
                })
                .unwrap();
            let status = done(to.end(), &id).await;
            assert!(to.read(&name) == from.read("a.raw"), "{id} is another");
            let data = 5 * MIB + 4096;
            assert!(status.bytes_received <= data + TALK, "{status:?}");
            assert!(
                to.allocated(&name) <= data + 64 * 1024,
                "{}",
                to.allocated(&name)
            );
            hashes.push(status.content_hash);
        }
    }
    assert_eq!(hashes[0].len(), 32);
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    // No unfinished file is left.
    assert!(
        to.names().iter().all(|name| !name.starts_with('.')),
        "{:?}",
        to.names()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_has_already_does_not_travel() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    let all: Vec<u64> = (0..40).collect();
    from.make("old.raw", 40 * MIB, &all, 1);
    let file = from.make("new.raw", 40 * MIB, &all, 1);
    file.write_all_at(&noise(99), 17 * MIB).unwrap();
    file.write_all_at(&noise(98), 3 * MIB).unwrap();
    let fetch = async |id: &str, name: &str, seeds: Vec<FileRef>| {
        let signed = authority.sign(&Ticket {
            source: Some(image(name)),
            target: Some(image(&format!("{id}.raw"))),
            ..ticket(id, &from, &to, name)
        });
        let request = FetchRequest {
            seeds,
            ..pull(signed, from.port())
        };
        to.end().fetch(request).unwrap();
        let status = done(to.end(), id).await;
        assert!(
            to.read(&format!("{id}.raw")) == from.read(name),
            "{id} is another"
        );
        status
    };
    let first = fetch("first", "old.raw", Vec::new()).await;
    assert_eq!(first.bytes_reused, 0);
    // The same content, found by what the host remembers.
    let base = fetch("base", "old.raw", Vec::new()).await;
    assert!(base.bytes_received < 40 * MIB / 100, "{base:?}");
    // 95 % of it in a file that is named, of which nothing is remembered.
    std::fs::copy(to.path("first.raw"), to.path("named.raw")).unwrap();
    let release = fetch("release", "new.raw", vec![image("named.raw")]).await;
    assert_eq!(release.bytes_reused, 38 * MIB);
    assert!(release.bytes_received < 40 * MIB * 6 / 100, "{release:?}");
    // A file that is another one than is remembered does no harm.
    let changed = File::options()
        .write(true)
        .open(to.path("base.raw"))
        .unwrap();
    changed.write_all_at(&noise(5), 0).unwrap();
    fetch("again", "old.raw", Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_chunks_that_are_new_only_the_blocks_travel_that_the_host_does_not_have() {
    const BLOCK: usize = 4096;
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    let all: Vec<u64> = (0..40).collect();
    from.make("old.raw", 40 * MIB, &all, 1);
    let old = from.read("old.raw");
    // In all chunks but the first a block is new, or everything lies three blocks further on, and the end within a block.
    let mut updated = old.clone();
    for block in updated.chunks_mut(BLOCK).skip(333).step_by(256) {
        block.copy_from_slice(&noise(99)[..BLOCK]);
    }
    let (start, rest) = old.split_at(1 << 20);
    let anew = [start, &noise(98)[..3 * BLOCK], rest, b"end"].concat();
    let fetch = async |id: &str, name: &str| {
        let signed = authority.sign(&Ticket {
            source: Some(image(name)),
            target: Some(image(&format!("{id}.raw"))),
            ..ticket(id, &from, &to, name)
        });
        to.end().fetch(pull(signed, from.port())).unwrap();
        let status = done(to.end(), id).await;
        assert!(
            to.read(&format!("{id}.raw")) == from.read(name),
            "{id} is another"
        );
        status
    };
    fetch("first", "old.raw").await;
    for (name, content) in [("updated", updated), ("anew", anew)] {
        std::fs::write(from.path(&format!("{name}.raw")), content).unwrap();
        let status = fetch(name, &format!("{name}.raw")).await;
        assert!(status.bytes_received < 40 * MIB * 2 / 100, "{status:?}");
        assert!(status.bytes_reused > 39 * MIB, "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_on_one_host_goes_over_no_connection() {
    let authority = Authority::new();
    let host = Site::new("h1", &authority);
    host.make("a.raw", 9 * MIB + 5, &[0, 5], 1);
    let signed = authority.sign(&Ticket {
        target: Some(image("b.raw")),
        ..ticket("t1", &host, &host, "a.raw")
    });
    host.end().fetch(pull(signed, 1)).unwrap();
    let status = done(host.end(), "t1").await;
    assert!(["reflink", "copy"].contains(&status.method.as_str()));
    assert_eq!(status.bytes_received, 0);
    assert!(host.read("a.raw") == host.read("b.raw"));
    assert!(host.allocated("b.raw") <= 2 * MIB + 64 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_hold_for_the_host_and_for_the_transfer_and_change_on_the_way() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    from.make("a.raw", 16 * MIB, &(0..16).collect::<Vec<_>>(), 1);
    let host = |bytes_per_sec| ThrottleRequest {
        transfer_id: String::new(),
        bytes_per_sec,
    };
    // The source's host lets two chunks out at once and the third after a quarter of a minute.
    from.end()
        .throttle(&host(contracts::limits::TRANSFER_RATE_MIN));
    let signed = authority.sign(&ticket("t1", &from, &to, "a.raw"));
    to.end().fetch(pull(signed, from.port())).unwrap();
    let held = hold_midway(to.end(), "t1", MIB).await;
    assert!(held.bytes_done <= 4 * MIB, "{held:?}");
    // Who asks may have the end waited for, and is not kept for ever.
    let asked = Instant::now();
    let now = to.end().status("t1", Duration::MAX).unwrap();
    assert_eq!(now.state(), State::Running);
    assert!(asked.elapsed() >= Duration::from_secs(1));
    from.end().throttle(&host(0));
    to.end().throttle(&ThrottleRequest {
        transfer_id: "t1".to_owned(),
        bytes_per_sec: 0,
    });
    done(to.end(), "t1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_is_made_by_one_transfer_and_only_that_one_removes_it() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    from.make("a.raw", 16 * MIB, &(0..16).collect::<Vec<_>>(), 1);
    let begin = |id: &str| {
        let signed = authority.sign(&ticket(id, &from, &to, "a.raw"));
        let request = pull(signed, from.port());
        to.end()
            .fetch(FetchRequest {
                bytes_per_sec: WALKING,
                ..request
            })
            .unwrap();
    };
    let discard = |id: &str| {
        let request = DiscardRequest {
            transfer_id: id.to_owned(),
            target: Some(image("a.raw")),
        };
        to.end().discard(&request).unwrap();
    };
    begin("t1");
    hold_midway(to.end(), "t1", MIB).await;
    begin("t2");
    let refused = failed(to.end(), "t2").await;
    assert!(refused.message.contains("t1 is making"), "{refused}");
    // The one that was refused takes nothing away with it.
    discard("t2");
    assert_eq!(to.names(), [".a.raw.journal", ".a.raw.part"]);
    discard("t1");
    assert!(to.names().is_empty());
    begin("t3");
    done(to.end(), "t3").await;
    begin("t4");
    let refused = failed(to.end(), "t4").await;
    assert!(refused.message.contains("already"), "{refused}");
    discard("t4");
    assert_eq!(to.names(), ["a.raw"]);
    discard("t3");
    discard("t3");
    assert!(to.names().is_empty());
}
