//! Placements with a durable claim over the bus, beside the bare compare-and-set puts that the same server takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::call::Context;
use contracts::host::{Datastore, HostFacts};
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::inventory::{Host, HostGroup, Vm};
use contracts::placement::{HostClaims, PlaceRequest, PlacementClient, RateRequest, Requirements};
use contracts::records::Record;
use contracts::subjects;
use futures::StreamExt;
use futures::future::try_join_all;
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::config::Common;
use kit::records::{Decision, Records, Store};
use kit::rpc::Caller;
use kit::service::Parts;
use kit::world::World;
use prost::Message as _;
use support::NatsServer;
use tokio_util::sync::CancellationToken;

use crate::table::{Report, Samples, ratio};

const HOSTS: usize = 5_000;
const CALLERS: usize = 32;
const PLACEMENTS: usize = 12_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sizes of machines that are asked for in turn.
const SIZES: [(u32, u64); 4] = [(1, 1_792), (2, 3_584), (1, 768), (4, 7_168)];

fn host(number: usize) -> Host {
    let used = (number as u64 * 7_919) % 96;
    Host {
        id: format!("h{number:05}"),
        name: format!("host-{number:05}"),
        group_id: "all-hosts".to_owned(),
        approval: Approval::Approved.into(),
        status: HostStatus::Responding.into(),
        facts: Some(HostFacts {
            cpus: 64,
            memory_bytes: 256 * GIB,
            memory_used_bytes: (150 + used) * GIB,
            #[allow(clippy::cast_precision_loss)]
            cpu_used_percent: used as f64 / 2.0,
            datastores: vec![Datastore {
                name: "ds1".to_owned(),
                capacity_bytes: 1 << 44,
                free_bytes: 1 << 43,
                ..Datastore::default()
            }],
            ..HostFacts::default()
        }),
        ..Host::default()
    }
}

/// Inventory's records, written by the bench.
struct Fleet {
    nats: NatsServer,
    bus: Arc<dyn Bus>,
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Fleet {
    async fn start() -> anyhow::Result<Self> {
        let nats = NatsServer::start().await?;
        let bus: Arc<dyn Bus> = Arc::new(NatsBus::connect("bench", &nats.bus_config()).await?);
        let folder = tempfile::tempdir()?;
        let stop = CancellationToken::new();
        let own = folder.path().join("bench");
        let store = Store::open(&own, Arc::clone(&bus), &World::real(), stop.clone())?;
        let _groups: Records<HostGroup> = store.own().await?;
        let _vms: Records<Vm> = store.own().await?;
        let hosts: Records<Host> = store.own().await?;
        let put = |number: usize| {
            let hosts = hosts.clone();
            async move {
                let host = host(number);
                let id = host.id.clone();
                let decide = |_: Option<&_>| Ok(Decision::Put(host.clone(), ()));
                hosts.update(&Context::new("bench"), &id, decide).await
            }
        };
        let mut puts = futures::stream::iter(0..HOSTS)
            .map(put)
            .buffer_unordered(128);
        while let Some(result) = puts.next().await {
            result?;
        }
        Ok(Self {
            nats,
            bus,
            folder,
            stop,
        })
    }

    async fn start_placement(&self, name: &str) -> anyhow::Result<()> {
        let common = Common {
            data_dir: self.folder.path().to_owned(),
            instance: name.to_owned(),
            bus: self.nats.bus_config(),
            ..Common::default()
        };
        let config = placement::Config::default();
        let (parts, _) = Parts::connect(config, common, self.stop.clone()).await?;
        tokio::spawn(placement::run(parts));
        Ok(())
    }

    /// Claims in the log, summed by hand: hosts that have more promised than there is room for, and claims in all.
    async fn count(&self) -> anyhow::Result<(usize, usize)> {
        let log = subjects::bucket_stream(HostClaims::BUCKET);
        let (mut overfull, mut claims) = (0, 0);
        for number in 0..HOSTS {
            let host = host(number);
            let subject = subjects::record(HostClaims::BUCKET, &host.id);
            let Some(entry) = self.bus.last(&log, &subject).await? else {
                continue;
            };
            let record = HostClaims::decode(entry.message.payload)?;
            let facts = host.facts.unwrap_or_default();
            let promised: u64 = record.claims.iter().map(|c| c.memory_bytes).sum();
            let kept = 512 * MIB;
            claims += record.claims.len();
            overfull += usize::from(facts.memory_used_bytes + promised + kept > facts.memory_bytes);
        }
        Ok((overfull, claims))
    }
}

/// What one round of placements came to.
struct Round {
    rate: f64,
    took: Samples,
}

async fn place(fleet: &Fleet, round: usize) -> anyhow::Result<Round> {
    let client = PlacementClient::new(Caller::new(Arc::clone(&fleet.bus)));
    // The first answer comes when the service has read the fleet.
    let started = Instant::now();
    while client
        .place(&Context::new("bench"), &request(round, usize::MAX))
        .await
        .is_err()
    {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(120),
            "placement does not start"
        );
    }
    let started = Instant::now();
    let work = (0..CALLERS).map(|caller| {
        let client = client.clone();
        async move {
            let mut took = Vec::new();
            for number in (caller..PLACEMENTS).step_by(CALLERS) {
                let asked = Instant::now();
                client
                    .place(&Context::new("bench"), &request(round, number))
                    .await?;
                took.push(asked.elapsed());
            }
            anyhow::Ok(took)
        }
    });
    let took = try_join_all(work).await?;
    let secs = started.elapsed().as_secs_f64();
    let mut samples = Samples::default();
    took.into_iter()
        .flatten()
        .for_each(|took| samples.push(took));
    #[allow(clippy::cast_precision_loss)]
    let rate = PLACEMENTS as f64 / secs;
    Ok(Round {
        rate,
        took: samples,
    })
}

fn request(round: usize, number: usize) -> PlaceRequest {
    let (vcpus, memory_mib) = SIZES
        .get(number % SIZES.len())
        .copied()
        .unwrap_or((1, 1_024));
    PlaceRequest {
        vm_id: format!("v-{round}-{number}"),
        job_id: format!("j-{round}-{number}"),
        rate: Some(RateRequest {
            requirements: Some(Requirements {
                vcpus,
                memory_bytes: memory_mib * MIB,
                disk_bytes: 20 * GIB,
                ..Requirements::default()
            }),
            ..RateRequest::default()
        }),
    }
}

/// The same number of puts of a record of the same size, each expecting that nobody else has written it.
async fn bare(nats: &NatsServer, round: usize) -> anyhow::Result<f64> {
    let client = async_nats::connect(nats.url()).await?;
    let jetstream = async_nats::jetstream::new(client);
    jetstream
        .get_or_create_stream(async_nats::jetstream::stream::Config {
            name: "BARE".to_owned(),
            subjects: vec!["bare.>".to_owned()],
            max_messages_per_subject: 1,
            ..Default::default()
        })
        .await?;
    let started = Instant::now();
    let work = (0..CALLERS).map(|caller| {
        let jetstream = jetstream.clone();
        async move {
            let mut revisions: HashMap<usize, u64> = HashMap::new();
            for number in (caller..PLACEMENTS).step_by(CALLERS) {
                let key = number % HOSTS;
                let message = async_nats::jetstream::message::PublishMessage::build()
                    .payload(vec![0; 160].into())
                    .expected_last_subject_sequence(revisions.get(&key).copied().unwrap_or(0))
                    .outbound_message(format!("bare.{round}-{caller}-{key}"));
                let sent = jetstream.publish_with_headers(
                    message.subject,
                    message.headers.unwrap_or_default(),
                    message.payload,
                );
                revisions.insert(key, sent.await?.await?.sequence);
            }
            anyhow::Ok(())
        }
    });
    try_join_all(work).await?;
    #[allow(clippy::cast_precision_loss)]
    Ok(PLACEMENTS as f64 / started.elapsed().as_secs_f64())
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let fleet = Fleet::start().await?;
    let mut report = Report::new(
        "Placements with a durable claim, 32 callers, 5,000 hosts (aims: 2,000 a second, p50 5 ms, p99 30 ms, none overfull)",
        &[
            "instances",
            "placements a second",
            "p50",
            "p99",
            "bare puts a second",
            "share",
            "overfull hosts",
            "claims",
        ],
    );
    for (index, name) in ["a", "b"].into_iter().enumerate() {
        fleet.start_placement(name).await?;
        let bare = bare(&fleet.nats, index).await?;
        let mut round = place(&fleet, index).await?;
        let (overfull, claims) = fleet.count().await?;
        report.row([
            (index + 1).to_string(),
            format!("{:.0}", round.rate),
            millis(round.took.quantile(0.5)),
            millis(round.took.quantile(0.99)),
            format!("{bare:.0}"),
            ratio(round.rate, bare),
            overfull.to_string(),
            claims.to_string(),
        ]);
    }
    fleet.stop.cancel();
    Ok(report)
}
