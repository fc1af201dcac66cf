//! A typed call through kit beside a bare request of async-nats to the same server, in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contracts::Status;
use contracts::call::{Call, Context, Revisions};
use contracts::common::Empty;
use contracts::placement::{
    PlaceRequest, PlaceResponse, Placement, PlacementClient, PlacementServer, RateRequest,
    RateResponse, ReleaseRequest,
};
use futures::StreamExt;
use kit::bus::Bus;
use kit::bus::nats::NatsBus;
use kit::rpc::{Caller, Gate, serve};
use support::NatsServer;

use crate::table::{Report, Samples, micros, ratio};

const ROUNDS: usize = 5_000;

struct Nothing;

#[async_trait]
impl Placement for Nothing {
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

#[async_trait]
impl Gate for Nothing {
    async fn wait_for(&self, _: &Revisions, _: Duration) -> bool {
        true
    }
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let nats = NatsServer::start().await?;
    let server: Arc<dyn Bus> = Arc::new(NatsBus::connect("server", &nats.bus_config()).await?);
    let _serving = serve(
        &server,
        Arc::new(Nothing),
        "placement",
        Arc::new(PlacementServer(Arc::new(Nothing))),
    )
    .await?;
    let client: Arc<dyn Bus> = Arc::new(NatsBus::connect("client", &nats.bus_config()).await?);
    let caller: Arc<dyn Call> = Caller::new(client);
    let placement = PlacementClient::new(caller);

    let echo = async_nats::connect(nats.url()).await?;
    let mut requests = echo.subscribe("bare").await?;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                let _ = echo.publish(reply, request.payload).await;
            }
        }
    });
    let bare = async_nats::connect(nats.url()).await?;

    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS + 500 {
        let started = Instant::now();
        bare.request("bare", "".into()).await?;
        let bare_took = started.elapsed();
        let started = Instant::now();
        placement
            .rate(&Context::new("bench"), &RateRequest::default())
            .await?;
        // The first ones warm caches up.
        if round >= 500 {
            theirs.push(bare_took);
            ours.push(started.elapsed());
        }
    }
    let mut report = Report::new(
        "A typed call beside a bare request (aims: median 1.3, p99 2)",
        &["", "median", "p99"],
    );
    let quantiles = |samples: &mut Samples| (samples.quantile(0.5), samples.quantile(0.99));
    let ((our_median, our_p99), (median, p99)) = (quantiles(&mut ours), quantiles(&mut theirs));
    report.row([
        "bare async-nats request".to_owned(),
        micros(median),
        micros(p99),
    ]);
    report.row([
        "typed call through kit".to_owned(),
        micros(our_median),
        micros(our_p99),
    ]);
    report.row([
        "ratio".to_owned(),
        ratio(our_median.as_secs_f64(), median.as_secs_f64()),
        ratio(our_p99.as_secs_f64(), p99.as_secs_f64()),
    ]);
    Ok(report)
}
