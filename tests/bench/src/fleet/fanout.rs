//! One event to a thousand clients of the gateway, beside a thousand bare subscribers of the bus in the same run.

use std::time::Duration;

use anyhow::ensure;
use contracts::subjects;
use futures::StreamExt;
use futures::future::try_join_all;
use kit::config::BusConfig;
use simfleet::measure::stream::events;
use simfleet::measure::{Times, milliseconds};
use simfleet::{Churn, Fleet};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Site;
use crate::table::Report;

const CLIENTS: usize = 1_000;
const EVENTS: usize = 40;

/// Slow enough that one event is out before the next comes.
const CHURN: Churn = Churn {
    changes_per_minute: 120,
};

/// When a client had an event, by the event's sequence (of a bare subscriber its number).
type Seen = Vec<(u64, Instant)>;

pub(crate) async fn run(site: &Site, fleet: &Fleet) -> anyhow::Result<Report> {
    let bus = site.bus("admin")?;
    let (ready, mut is_ready) = mpsc::channel(2 * CLIENTS);
    let sse: Vec<JoinHandle<anyhow::Result<Seen>>> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(site.muster.clone(), ready.clone())))
        .collect();
    for _ in 0..CLIENTS {
        is_ready.recv().await;
    }
    let bare: Vec<JoinHandle<anyhow::Result<Seen>>> = (0..CLIENTS)
        .map(|_| tokio::spawn(subscriber(bus.clone(), ready.clone())))
        .collect();
    for _ in 0..CLIENTS {
        is_ready.recv().await;
    }
    fleet.set_churn(CHURN);
    let sse = all(sse).await?;
    let bare = all(bare).await?;
    fleet.set_churn(Churn::default());
    prove(&sse)?;
    let first = first_receipts(&[&sse, &bare]);
    let mut report = Report::new(
        "One event to 1,000 clients, from the first of all that has it (aim: p99 under 50 ms)",
        &["", "p50", "p99", "last of all"],
    );
    for (name, seen) in [("SSE of the gateway", sse), ("bare NATS subscribers", bare)] {
        let times = spread(&seen, &first);
        report.row([
            name.to_owned(),
            times.shown(50),
            times.shown(99),
            times.percentile(100).map_or_else(String::new, milliseconds),
        ]);
    }
    Ok(report)
}

async fn all(clients: Vec<JoinHandle<anyhow::Result<Seen>>>) -> anyhow::Result<Vec<Seen>> {
    let seen = try_join_all(clients).await?;
    seen.into_iter().collect()
}

/// Reads events of machines until it has enough.
async fn client(muster: simfleet::muster::Muster, ready: mpsc::Sender<()>) -> anyhow::Result<Seen> {
    let mut events = events(&muster, "", None).await?;
    ready.send(()).await?;
    let mut seen = Vec::with_capacity(EVENTS);
    while seen.len() < EVENTS {
        let Some(sse) = events.next().await else {
            break;
        };
        let sse = sse?;
        if let (Some(id), false) = (sse.id, sse.event.is_empty()) {
            seen.push((id, Instant::now()));
        }
    }
    Ok(seen)
}

async fn subscriber(bus: BusConfig, ready: mpsc::Sender<()>) -> anyhow::Result<Seen> {
    let client = async_nats::ConnectOptions::new()
        .user_and_password(bus.user, bus.password)
        .connect(bus.url)
        .await?;
    let mut messages = client.subscribe(subjects::all_events()).await?;
    client.flush().await?;
    ready.send(()).await?;
    let mut seen = Vec::with_capacity(EVENTS);
    while seen.len() < EVENTS && messages.next().await.is_some() {
        seen.push((seen.len() as u64, Instant::now()));
    }
    Ok(seen)
}

/// Each client has the same events, one after the other, and none is left out.
fn prove(clients: &[Seen]) -> anyhow::Result<()> {
    let sequence = |seen: &Seen| seen.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let first = clients.first().map(sequence).unwrap_or_default();
    let has_gap = first.windows(2).any(|pair| match pair {
        [a, b] => *b != *a + 1,
        _ => false,
    });
    ensure!(
        first.len() == EVENTS && !has_gap,
        "a client missed events: {first:?}"
    );
    for seen in clients {
        ensure!(
            sequence(seen) == first,
            "a client has other events than the first"
        );
    }
    Ok(())
}

/// When each event was had by anybody: both kinds of clients listened before the first came.
fn first_receipts(groups: &[&Vec<Seen>]) -> Vec<Option<Instant>> {
    let of_number = |number: usize| {
        let all = groups.iter().flat_map(|clients| clients.iter());
        all.filter_map(|seen| seen.get(number))
            .map(|(_, at)| *at)
            .min()
    };
    (0..EVENTS).map(of_number).collect()
}

fn spread(clients: &[Seen], first: &[Option<Instant>]) -> Times {
    let since = |seen: &Seen| -> Vec<Duration> {
        let both = seen.iter().zip(first);
        both.filter_map(|((_, at), first)| Some(*at - (*first)?))
            .collect()
    };
    Times::new(clients.iter().flat_map(since).collect())
}
