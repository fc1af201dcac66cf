//! Bytes that nobody meant: as requests, as headers, as records, as events. Everything else goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::inventory::Vm;
use contracts::placement::{
    PlaceRequest, PlaceResponse, Placement, PlacementClient, PlacementServer, RateRequest,
    RateResponse, ReleaseRequest,
};
use contracts::{Status, subjects};
use futures::StreamExt;
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, headers};
use kit::records::{Decision, Records, Store};
use kit::rpc::{Caller, Server, serve};
use kit::world::World;
use prost::Message as _;
use support::dice::Dice;
use support::{NatsServer, eventually};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

/// Bounded by number, and by time on a slow machine.
const REQUESTS: u64 = 4_000;
const ENTRIES: u64 = 1_000;
const TIME_MAX: Duration = Duration::from_secs(5);

/// A service that answers whatever it understands.
struct Answers;

#[async_trait]
impl Placement for Answers {
    async fn rate(&self, _: &Context, _: RateRequest) -> Result<RateResponse, Status> {
        Ok(RateResponse::default())
    }

    async fn place(&self, _: &Context, _: PlaceRequest) -> Result<PlaceResponse, Status> {
        Ok(PlaceResponse::default())
    }

    async fn release(&self, _: &Context, _: ReleaseRequest) -> Result<Empty, Status> {
        Ok(Empty {})
    }
}

struct Service {
    vms: Records<Vm>,
    client: PlacementClient,
    _server: Server,
    stop: CancellationToken,
}

impl Service {
    async fn start(nats: &NatsServer, folder: &Path) -> Self {
        let bus = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
        let bus: Arc<dyn Bus> = Arc::new(bus);
        let stop = CancellationToken::new();
        let store = Store::open(folder, Arc::clone(&bus), &World::real(), stop.clone()).unwrap();
        let vms = store.own::<Vm>().await.unwrap();
        let placement = Arc::new(PlacementServer(Arc::new(Answers)));
        let server = serve(&bus, store, "placement", placement).await.unwrap();
        Self {
            client: PlacementClient::new(Caller::new(bus)),
            vms,
            _server: server,
            stop,
        }
    }

    /// Calls are answered, and what is written is seen.
    async fn goes_on(&self, id: &str) {
        let context = Context::new("tester");
        let request = RateRequest::default();
        self.client.rate(&context, &request).await.unwrap();
        let vm = Vm {
            id: id.to_owned(),
            ..Vm::default()
        };
        let put = |_: Option<&_>| Ok(Decision::Put(vm.clone(), ()));
        self.vms.update(&context, id, put).await.unwrap();
        assert_eq!(self.vms.get(id).unwrap().unwrap().value, vm);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Text that a header may hold, often nearly what is expected there.
fn text(dice: &mut Dice) -> String {
    let number = dice.roll().to_string();
    match dice.below(5) {
        0 => number,
        1 => format!("vm={number},host=x,=,{number}"),
        2 => format!("00-{number:0>32}-{number:0>16}-01"),
        3 => "-1".repeat(dice.below(50)),
        _ => {
            let length = dice.below(40);
            String::from_utf8_lossy(&dice.bytes(length)).replace(['\r', '\n'], "~")
        }
    }
}

fn some_headers(dice: &mut Dice) -> HeaderMap {
    const NAMES: [&str; 10] = [
        headers::PRINCIPAL,
        headers::JOB,
        headers::IDEMPOTENCY_KEY,
        headers::TRACE_PARENT,
        headers::REVISIONS,
        headers::STATUS,
        headers::WRITER,
        headers::REPAIRED,
        headers::INCARNATION,
        headers::REVISION,
    ];
    let mut map = HeaderMap::new();
    for _ in 0..dice.below(6) {
        map.insert(NAMES[dice.below(NAMES.len())], text(dice));
    }
    map
}

/// Half of them begin as a message of ours does.
fn payload(dice: &mut Dice) -> Vec<u8> {
    let length = dice.below(200);
    let mut bytes = dice.bytes(length);
    if dice.below(2) == 0 {
        let vm = Vm {
            name: text(dice),
            pid: dice.below(1 << 20) as u32,
            ..Vm::default()
        };
        let mut start = vm.encode_to_vec();
        start.append(&mut bytes);
        bytes = start;
    }
    bytes
}

#[tokio::test]
async fn every_request_is_answered_whatever_it_says() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(&nats, folder.path()).await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let started = Instant::now();
    let requests = (0..REQUESTS).map(async |seed| {
        let mut dice = Dice::new(seed);
        let methods = ["Rate", "Place", "Release"];
        let subject = subjects::call("placement", methods[dice.below(3)]);
        let mut headers = some_headers(&mut dice);
        // The one thing that is meant: how long the caller waits for records that never come.
        headers.insert(headers::TIMEOUT_MS, dice.below(100).to_string());
        let sent = client.request_with_headers(subject, headers, payload(&mut dice).into());
        sent.await.unwrap_or_else(|e| panic!("seed {seed}: {e}"))
    });
    let answered = futures::stream::iter(requests)
        .buffer_unordered(256)
        .take_while(|_| futures::future::ready(started.elapsed() < TIME_MAX))
        .count()
        .await;
    assert!(answered > 0);
    service.goes_on("after").await;
}

#[tokio::test]
async fn records_and_events_that_make_no_sense_stop_nothing() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(&nats, folder.path()).await;
    service.goes_on("before").await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let started = Instant::now();
    let mut last = 0;
    for seed in 0..ENTRIES {
        let mut dice = Dice::new(seed);
        let id = ["x", "x.y", "before", "-"][dice.below(4)];
        let subject = match dice.below(3) {
            0 => subjects::event("g", "host", id, "made-up"),
            _ => subjects::record("vm", id),
        };
        let is_record = subject == subjects::record("vm", id);
        let (headers, payload) = (some_headers(&mut dice), payload(&mut dice));
        let sent = jetstream.publish_with_headers(subject, headers, payload.into());
        let taken = sent.await.unwrap().await.unwrap();
        last = if is_record { taken.sequence } else { last };
        if started.elapsed() > TIME_MAX {
            break;
        }
    }
    assert!(service.vms.wait_for(last, support::PATIENCE).await);
    service.vms.list().unwrap();
    for id in ["after", "before", "x"] {
        service.goes_on(id).await;
    }
    // A view that begins anew gets over them too.
    let folder = tempfile::tempdir().unwrap();
    let second = Service::start(&nats, folder.path()).await;
    let (mut first, second) = (service.vms.list().unwrap(), second.vms.list().unwrap());
    // What was there before a record that cannot be read is known to those only who saw it.
    first.retain(|vm| second.iter().any(|other| other.id == vm.id));
    assert_eq!(first, second);
}

/// Sends a message whose headers are no headers, which no client would.
async fn send_broken(nats: &NatsServer, subject: &str) {
    let mut line = tokio::net::TcpStream::connect(("127.0.0.1", nats.port))
        .await
        .unwrap();
    let broken = b"NATS/1.0\r\n\xFF\xFEno header\r\n\r\n";
    let mut bytes = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n".to_vec();
    let size = broken.len();
    bytes.extend(format!("HPUB {subject} {size} {size}\r\n").into_bytes());
    bytes.extend(broken);
    bytes.extend(b"\r\nPING\r\n");
    line.write_all(&bytes).await.unwrap();
    let mut answer = [0; 4_096];
    let mut heard = String::new();
    while !heard.contains("PONG") {
        let count = tokio::io::AsyncReadExt::read(&mut line, &mut answer).await;
        heard.push_str(&String::from_utf8_lossy(&answer[..count.unwrap()]));
    }
}

#[tokio::test]
async fn a_request_with_broken_headers_costs_a_reconnect_at_most() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(&nats, folder.path()).await;
    send_broken(&nats, &subjects::call("placement", "Rate")).await;
    eventually("calls to be answered again", async || {
        let context = Context::new("tester").with_timeout(Duration::from_secs(1));
        let request = RateRequest::default();
        service.client.rate(&context, &request).await.ok()
    })
    .await
    .unwrap();
    service.goes_on("after").await;
}
