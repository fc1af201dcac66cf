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

/// Each writer writes its own record again and again, expecting its last revision.
async fn bare(
    jetstream: &async_nats::jetstream::Context,
    writers: usize,
    round: usize,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let work = (0..writers).map(|writer| async move {
        let mut revision = 0;
        for number in 0..WRITES / writers {
            let message = async_nats::jetstream::message::PublishMessage::build()
                .payload(vm(number).encode_to_vec().into())
                .expected_last_subject_sequence(revision)
                .outbound_message(format!("bare.{round}-{writers}-{writer}"));
            let sent = jetstream.publish_with_headers(
                message.subject,
                message.headers.unwrap_or_default(),
                message.payload,
            );
            revision = sent.await?.await?.sequence;
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
    jetstream
        .create_stream(async_nats::jetstream::stream::Config {
            name: "BARE".to_owned(),
            subjects: vec!["bare.>".to_owned()],
            max_messages_per_subject: 1,
            ..Default::default()
        })
        .await?;
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
        &[
            "writers",
            "bare JetStream",
            "records",
            "ratio",
            "records with events",
            "ratio",
        ],
    );
    for writers in [1, 16] {
        let (mut theirs, mut ours, mut with_events) = (0.0_f64, 0.0_f64, 0.0_f64);
        for round in 0..ROUNDS {
            theirs = theirs.max(bare(&jetstream, writers, round).await?);
            ours = ours.max(records(&silent, claims, writers, round).await?);
            with_events = with_events.max(records(&vms, vm, writers, round).await?);
        }
        report.row([
            writers.to_string(),
            format!("{theirs:.0}"),
            format!("{ours:.0}"),
            ratio(ours, theirs),
            format!("{with_events:.0}"),
            ratio(with_events, theirs),
        ]);
    }
    Ok(report)
}
