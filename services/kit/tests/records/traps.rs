//! The traps of JetStream that were measured, and what records make of each.

use kit::bus::{Append, Expect, LogKind, LogSpec, Message, append_surely, headers};
use kit::service::refuse_unsynced;
use support::{NatsCluster, NatsOptions};

use super::log::{all_events, jetstream};
use super::*;

fn append(id: &str, message_id: &str, expected: u64) -> Append {
    let subject = subjects::record("vm", id);
    Append {
        log: subjects::bucket_stream("vm"),
        expect: Some(Expect {
            filter: subject.clone(),
            sequence: expected,
        }),
        subject,
        message: Message::new("x").header(headers::MESSAGE_ID, message_id),
        lifetime: None,
    }
}

fn bucket() -> LogSpec {
    LogSpec {
        name: subjects::bucket_stream("vm"),
        subject: subjects::all_records("vm"),
        kind: LogKind::Bucket,
        first_sequence: 1,
    }
}

async fn connect(nats: &NatsServer) -> Arc<dyn Bus> {
    Arc::new(NatsBus::connect("test", &nats.bus_config()).await.unwrap())
}

/// One replica says "conflict" to a write that is sent again, three say "duplicate": both mean that it is there.
async fn sent_again_is_there_once(bus: &dyn Bus) {
    bus.ensure(&bucket()).await.unwrap();
    let entry = append("x", "m1", 0);
    let first = append_surely(bus, &entry).await.unwrap();
    let again = append_surely(bus, &entry).await.unwrap();
    assert_eq!(first, again);
    let other = append_surely(bus, &append("x", "m2", 0)).await;
    assert!(
        matches!(other, Err(kit::bus::AppendError::Conflict)),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_write_sent_again_to_one_server_is_there_once() {
    let nats = NatsServer::start().await.unwrap();
    sent_again_is_there_once(&*connect(&nats).await).await;
}

#[tokio::test]
async fn a_write_sent_again_to_three_servers_is_there_once() {
    let cluster = NatsCluster::start().await.unwrap();
    let bus = NatsBus::connect("test", &cluster.bus_config())
        .await
        .unwrap();
    eventually("the cluster to have a leader", async || {
        bus.ensure(&bucket()).await.ok()
    })
    .await
    .unwrap();
    sent_again_is_there_once(&bus).await;
}

#[tokio::test]
async fn a_write_sent_again_after_the_duplicate_window_is_there_once() {
    let nats = NatsServer::start().await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let window = Duration::from_millis(100);
    jetstream
        .create_stream(async_nats::jetstream::stream::Config {
            name: subjects::bucket_stream("vm"),
            subjects: vec![subjects::all_records("vm")],
            max_messages_per_subject: 1,
            duplicate_window: window,
            ..Default::default()
        })
        .await
        .unwrap();
    let bus = connect(&nats).await;
    let entry = append("x", "m1", 0);
    let first = append_surely(&*bus, &entry).await.unwrap();
    // The window has passed when the same id is taken again under a subject that has no expectation.
    let probe = Append {
        subject: subjects::record("vm", "probe"),
        expect: None,
        ..append("probe", "probe", 0)
    };
    let before = bus.append(&probe).await.unwrap();
    eventually("the window to pass", async || {
        (bus.append(&probe).await.unwrap() != before).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(append_surely(&*bus, &entry).await.unwrap(), first);
}

#[tokio::test]
async fn a_bus_that_does_not_sync_is_refused_unless_told_otherwise() {
    let unsynced = NatsOptions {
        sync_always: false,
        ..NatsOptions::default()
    };
    let nats = NatsServer::start_with(&unsynced).await.unwrap();
    let mut config = nats.bus_config();
    let refusal = refuse_unsynced(&config).await.unwrap_err().to_string();
    assert!(refusal.contains("sync_interval: always"), "{refusal}");
    config.monitor_urls.clear();
    assert!(refuse_unsynced(&config).await.is_err());
    config.allow_unsynced = true;
    refuse_unsynced(&config).await.unwrap();
    let synced = NatsServer::start().await.unwrap();
    refuse_unsynced(&synced.bus_config()).await.unwrap();
}

#[tokio::test]
async fn a_lost_log_is_filled_again_from_the_views_and_counts_on() {
    let mut nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (
        Instance::start(&nats, a.path()).await,
        Instance::start(&nats, b.path()).await,
    );
    for id in ["x", "y", "z"] {
        a.put(id, VmState::Running).await.unwrap();
    }
    a.delete("z").await.unwrap();
    let revision = a.vms.revision();
    assert!(b.vms.wait_for(revision, Duration::from_secs(10)).await);
    nats.kill();
    nats.lose_store().unwrap();
    nats.restart().await.unwrap();
    for instance in [&a, &b] {
        eventually("the view to follow the new log", async || {
            // Not while it is rebuilt.
            let known = instance.vms.list().ok()?.len() == 2;
            (instance.vms.revision() > revision && known).then_some(())
        })
        .await
        .unwrap();
        assert_eq!(instance.state("x"), Some(VmState::Running));
        assert_eq!(instance.state("z"), None, "a deleted record came back");
    }
    a.put("x", VmState::Stopped).await.unwrap();
    // What was put back is no news: only the change after it is. What had not been told when the log was lost may be
    // told now, under the revision that it had.
    let news = eventually("the change to be told", async || {
        let mut events = all_events(&jetstream(&nats).await, 1).await;
        events.retain(|event| event.revision > revision);
        (!events.is_empty()).then_some(events)
    })
    .await
    .unwrap();
    let news: Vec<_> = news
        .iter()
        .map(|e| (e.id.as_str(), e.verb.as_str()))
        .collect();
    assert_eq!(news, [("x", "state_changed")]);
}

#[tokio::test]
async fn a_log_made_anew_by_one_that_knows_nothing_gives_out_no_revision_again() {
    let mut nats = NatsServer::start().await.unwrap();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let before = {
        let a = Instance::start(&nats, folders[0].path()).await;
        a.put("x", VmState::Running).await.unwrap();
        a.put("y", VmState::Running).await.unwrap();
        a.vms.revision()
    };
    nats.kill();
    nats.lose_store().unwrap();
    nats.restart().await.unwrap();
    let b = Instance::start(&nats, folders[1].path()).await;
    b.put("z", VmState::Running).await.unwrap();
    assert!(b.vms.revision() > before, "{} {before}", b.vms.revision());
}

#[tokio::test]
async fn a_log_restored_from_a_backup_makes_the_view_go_back_too() {
    let mut nats = NatsServer::start().await.unwrap();
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    {
        let a = Instance::start(&nats, folder.path()).await;
        a.put("old", VmState::Running).await.unwrap();
    }
    nats.kill();
    copy_folder(&nats.store(), &backup.path().join("store"));
    nats.restart().await.unwrap();
    {
        let a = Instance::start(&nats, folder.path()).await;
        a.put("new", VmState::Running).await.unwrap();
    }
    nats.kill();
    nats.lose_store().unwrap();
    copy_folder(&backup.path().join("store"), &nats.store());
    nats.restart().await.unwrap();
    let a = Instance::start(&nats, folder.path()).await;
    assert_eq!(
        (a.state("old"), a.state("new")),
        (Some(VmState::Running), None)
    );
    a.put("new", VmState::Stopped).await.unwrap();
    assert_eq!(a.state("new"), Some(VmState::Stopped));
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_deletion_that_the_log_has_forgotten_does_not_stop_a_new_record() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = Instance::start(&nats, folder.path()).await;
    a.put("x", VmState::Running).await.unwrap();
    a.delete("x").await.unwrap();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client)
        .get_stream(subjects::bucket_stream("vm"))
        .await
        .unwrap();
    stream
        .purge()
        .filter(subjects::record("vm", "x"))
        .await
        .unwrap();
    a.put("x", VmState::Stopped).await.unwrap();
    assert_eq!(a.state("x"), Some(VmState::Stopped));
}

#[tokio::test]
async fn a_write_during_an_outage_is_there_once_when_the_bus_is_back() {
    let mut nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = Instance::start(&nats, folder.path()).await;
    a.put("x", VmState::Stopped).await.unwrap();
    nats.kill();
    let (written, restarted) = tokio::join!(a.put("x", VmState::Running), nats.restart());
    restarted.unwrap();
    written.unwrap();
    assert_eq!(a.state("x"), Some(VmState::Running));
    let verbs: Vec<_> = events(&*a.bus, 2)
        .await
        .into_iter()
        .map(|e| e.verb)
        .collect();
    assert_eq!(verbs, ["created", "state_changed"]);
}

#[tokio::test]
async fn events_of_a_writer_that_died_are_published_by_another_instance() {
    let nats = NatsServer::start().await.unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let b = Instance::start(&nats, b.path()).await;
    {
        let a = Instance::start(&nats, a.path()).await;
        // Stopped before it writes: its view, and so its publisher, never hear of the record.
        a.stop.cancel();
        let context = Context::new("tester");
        let put = a
            .vms
            .update(&context, "x", |_| Ok(Decision::Put(Vm::default(), ())));
        // The write is durable at once; only waiting for the own view is in vain.
        let wait = eventually("the record to reach the other instance", async || {
            b.state("x")
        });
        tokio::select! {
            result = put => result.unwrap(),
            state = wait => assert!(state.is_ok()),
        }
    }
    assert_eq!(events(&*b.bus, 1).await[0].id, "x");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_passed_over_and_stops_nothing() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = Instance::start(&nats, folder.path()).await;
    let mut poison = append("poison", "p", 0);
    poison.message.payload = vec![0xFF; 7].into();
    append_surely(&*a.bus, &poison).await.unwrap();
    a.put("x", VmState::Running).await.unwrap();
    assert_eq!(
        (a.state("poison"), a.state("x")),
        (None, Some(VmState::Running))
    );
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_rebuilt() {
    let nats = NatsServer::start().await.unwrap();
    let (whole, damaged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Instance::start(&nats, whole.path()).await;
    first.put("x", VmState::Running).await.unwrap();
    std::fs::write(damaged.path().join("records.redb"), b"not a store at all").unwrap();
    let a = Instance::start(&nats, damaged.path()).await;
    assert_eq!(a.state("x"), Some(VmState::Running));
    assert!(damaged.path().join("records.damaged").exists());
}

#[tokio::test]
async fn a_store_that_is_open_elsewhere_is_refused_by_name() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let a = Instance::start(&nats, folder.path()).await;
    let second = Store::open(
        folder.path(),
        Arc::clone(&a.bus),
        &World::real(),
        a.stop.clone(),
    );
    let text = second.err().unwrap().to_string();
    assert!(text.contains("in use by another process"), "{text}");
}
