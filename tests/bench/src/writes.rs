//! Writes of records beside bare compare-and-set puts with the same durability, in turn, with one writer and sixteen.

use std::sync::Arc;
use std::time::Instant;

use contracts::call::Context;
use contracts::inventory::Vm;
use contracts::placement::HostClaims;
use futures::future::try_join_all;
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::records::{Decision, Records, Store};
use kit::world::World;
use prost::Message;
use support::NatsServer;
use tokio_util::sync::CancellationToken;

use crate::table::{Report, ratio};

const WRITES: usize = 2_000;
const ROUNDS: usize = 5;

fn vm(number: usize) -> Vm {
    Vm {
        name: format!("vm-{number}"),
        description: "x".repeat(400),
        pid: u32::try_from(number).unwrap_or_default(),
        ..Vm::default()
    }
}

/// A compare-and-set put.
async fn put(
    jetstream: &async_nats::jetstream::Context,
    subject: String,
    number: usize,
    expected: u64,
) -> anyhow::Result<u64> {
    let message = async_nats::jetstream::message::PublishMessage::build()
        .payload(vm(number).encode_to_vec().into())
        .expected_last_subject_sequence(expected)
        .outbound_message(subject);
    let sent = jetstream.publish_with_headers(
        message.subject,
        message.headers.unwrap_or_default(),
        message.payload,
    );
    Ok(sent.await?.await?.sequence)
}

/// What a write is made of on the bare bus.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    Put,
    /// And then an event in another stream: a record that is replaced has been told of.
    PutAndTell,
}

/// Each writer writes its own record again and again, expecting its last revision.
async fn bare(
    jetstream: &async_nats::jetstream::Context,
    what: Bare,
    writers: usize,
    round: usize,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let name = match what {
        Bare::Put => "once",
        Bare::PutAndTell => "twice",
    };
    let work = (0..writers).map(|writer| async move {
        let key = format!("{name}-{round}-{writers}-{writer}");
        let (mut revision, mut told) = (0, 0);
        for number in 0..WRITES / writers {
            revision = put(jetstream, format!("bare.{key}"), number, revision).await?;
            if what == Bare::PutAndTell {
                told = put(jetstream, format!("told.{key}"), number, told).await?;
            }
        }
        anyhow::Ok(())
    });
    try_join_all(work).await?;
    Ok(rate(started))
}

async fn records<R: contracts::records::Record>(
    records: &Records<R>,
    make: fn(usize) -> R,
    writers: usize,
    round: usize,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let work = (0..writers).map(|writer| async move {
        let context = Context::new("bench");
        let id = format!("{round}-{writers}-{writer}");
        for number in 0..WRITES / writers {
            records
                .update(&context, &id, |_| Ok(Decision::Put(make(number), ())))
                .await?;
        }
        anyhow::Ok(())
    });
    try_join_all(work).await?;
    Ok(rate(started))
}

#[allow(clippy::cast_precision_loss)]
fn rate(started: Instant) -> f64 {
    WRITES as f64 / started.elapsed().as_secs_f64()
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let nats = NatsServer::start().await?;
    let client = async_nats::connect(nats.url()).await?;
    let jetstream = async_nats::jetstream::new(client);
    for (name, kept) in [("bare", 1), ("told", -1)] {
        jetstream
            .create_stream(async_nats::jetstream::stream::Config {
                name: name.to_uppercase(),
                subjects: vec![format!("{name}.>")],
                max_messages_per_subject: kept,
                ..Default::default()
            })
            .await?;
    }
    let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("bench", &nats.bus_config()).await?);
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), bus, &World::real(), CancellationToken::new())?;
    let silent = store.own::<HostClaims>().await?;
    let vms = store.own::<Vm>().await?;
    let claims: fn(usize) -> HostClaims = |number| HostClaims {
        claims: vec![contracts::placement::Claim {
            vm_id: "x".repeat(400),
            vcpus: u32::try_from(number).unwrap_or_default(),
            ..Default::default()
        }],
        ..Default::default()
    };

    let mut report = Report::new(
        "Writes of records beside bare compare-and-set puts, a second, best of 5 (aim: 0.7)",
        &["writers", "a write", "bare JetStream", "records", "ratio"],
    );
    for writers in [1, 16] {
        let (mut once, mut twice, mut ours, mut told) = <(f64, f64, f64, f64)>::default();
        for round in 0..ROUNDS {
            once = once.max(bare(&jetstream, Bare::Put, writers, round).await?);
            ours = ours.max(records(&silent, claims, writers, round).await?);
            twice = twice.max(bare(&jetstream, Bare::PutAndTell, writers, round).await?);
            told = told.max(records(&vms, vm, writers, round).await?);
        }
        for (what, ours, theirs) in [
            ("a put", ours, once),
            ("with its event, beside a put", told, once),
            ("with its event, beside a put and an event", told, twice),
        ] {
            report.row([
                writers.to_string(),
                what.to_owned(),
                format!("{theirs:.0}"),
                format!("{ours:.0}"),
                ratio(ours, theirs),
            ]);
        }
    }
    Ok(report)
}
