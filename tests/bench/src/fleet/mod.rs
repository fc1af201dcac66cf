//! A simulated fleet of the size that Muster is made for: how long it takes to be known, what it costs while it lives,
//! how quickly its changes and lists come to clients.

mod fanout;
mod site;

use std::time::{Duration, Instant};

use simfleet::measure::latency::Listener;
use simfleet::measure::usage::Meter;
use simfleet::measure::{lists, milliseconds};
use simfleet::{Churn, Config, Fleet};

use crate::table::Report;
use site::Site;

/// How long the fleet may take to join; what is wanted is 30 s.
const JOIN_PATIENCE: Duration = Duration::from_secs(600);

/// How long cost and latency are measured: half a pass of the most frequent refresher at least.
const LIFE: Duration = Duration::from_secs(60);

/// A pass of the light refresher of virtual machines, the most frequent, is this long.
const PASS: Duration = Duration::from_secs(120);

const PAGES: usize = 1_000;
const PAGES_RATE: u32 = 200;

/// What has to pass for the changes alone, and the part of a core that it takes: 450 records a minute with their events.
const FLOOR_BYTES_PER_SEC: f64 = 55_000.0;
const FLOOR_OF_CORE: f64 = 0.01;

/// Hosts, and machines on each, of the fleets whose costs are put side by side.
const GROWTH: [usize; 4] = [250, 500, 1_000, 2_500];
const VMS_PER_HOST: usize = 18;

/// The whole of it, for one size.
pub(crate) async fn run(hosts: usize, vms: usize) -> anyhow::Result<Vec<Report>> {
    let mut report = Report::new("A simulated fleet", &["what", "measured", "aim"]);
    let mut row = |what: &str, measured: String, aim: &str| {
        report.row([what.to_owned(), measured, aim.to_owned()]);
    };
    row("hosts, machines", format!("{hosts}, {vms}"), "2500, 45000");
    let mut site = Site::start().await?;
    let (fleet, took) = joined(&site, hosts, vms).await?;
    row("until all were known", seconds(took), "30 s");
    let known = Instant::now();
    site.told().await?;
    row(
        "after that, until all was told",
        seconds(known.elapsed()),
        "",
    );

    let life = live(&site, &fleet, vms).await?;
    for (name, part) in &life.parts {
        row(&format!("{name}, of a core"), percent(*part), "");
    }
    let together: f64 = life.parts.iter().map(|(_, part)| part).sum();
    row("both, of a core", percent(together), "10 %");
    row(
        "the same, times the floor",
        format!("{:.1}", together / FLOOR_OF_CORE),
        "",
    );
    row(
        "bytes into nats-server a second, times the floor",
        format!(
            "{:.0} kB, {:.1}",
            life.bytes_per_sec / 1e3,
            life.bytes_per_sec / FLOOR_BYTES_PER_SEC
        ),
        "",
    );
    for (name, bytes) in memory(&site)? {
        let aim = if name == "musterd" { "600 MB" } else { "" };
        row(
            &format!("{name}, memory"),
            format!("{} MB", bytes / 1_000_000),
            aim,
        );
    }
    row(
        "change on a host to event at a client, p50",
        life.events.shown(50),
        "10 ms",
    );
    row("the same, p99", life.events.shown(99), "100 ms");
    row("changes that were timed", life.events.len().to_string(), "");

    // A list is put in order when it is asked for again.
    let first = lists::pages(&site.muster, 1, 2).await?;
    row(
        "page of a list that nobody has asked for, the slower of two",
        first.shown(100),
        "",
    );
    let pages = lists::pages(&site.muster, PAGES_RATE, PAGES).await?;
    row(
        "page of 100, sorted and filtered, 200 a second, p50",
        pages.shown(50),
        "2 ms",
    );
    row("the same, p99", pages.shown(99), "10 ms");
    let asked = Instant::now();
    let bytes = lists::whole(&site.muster).await?;
    let megabytes = format!(
        "{} ({} MB)",
        milliseconds(asked.elapsed()),
        bytes / 1_000_000
    );
    row("the whole list, to its last byte", megabytes, "250 ms");
    let fanout = fanout::run(&site, &fleet).await?;
    fleet.stop().await;

    let took = site.restart(hosts as u64, vms as u64).await?;
    row(
        "whole picture after a restart from the stores",
        seconds(took),
        "5 s",
    );
    site.end().await?;
    Ok(vec![report, fanout])
}

/// What a pass of the refreshers costs as the fleet grows, nothing having changed.
pub(crate) async fn growth() -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Cost of a light pass (2 min, heartbeats included) as the fleet grows, nothing having changed",
        &[
            "hosts",
            "machines",
            "musterd and nats-server",
            "a pass",
            "a host",
        ],
    );
    let mut points = Vec::new();
    for hosts in GROWTH {
        let vms = hosts * VMS_PER_HOST;
        let mut site = Site::start().await?;
        let (fleet, _) = joined(&site, hosts, vms).await?;
        site.told().await?;
        let life = live_quietly(&site).await?;
        let part: f64 = life.iter().map(|(_, part)| part).sum();
        let pass = PASS.mul_f64(part);
        let of_host = pass.div_f64(f64::from(u32::try_from(hosts)?));
        report.row([
            hosts.to_string(),
            vms.to_string(),
            percent(part),
            format!("{:.0} ms", pass.as_secs_f64() * 1e3),
            format!("{:.0} us", of_host.as_secs_f64() * 1e6),
        ]);
        points.push((f64::from(u32::try_from(hosts)?), pass.as_secs_f64() * 1e6));
        fleet.stop().await;
        site.end().await?;
    }
    let empty = String::new;
    report.row([
        "slope".to_owned(),
        empty(),
        empty(),
        empty(),
        format!("{:.0} us", slope(&points)),
    ]);
    Ok(report)
}

/// Of the line through the points that misses them least.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let both = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>();
    both / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

async fn joined(site: &Site, hosts: usize, vms: usize) -> anyhow::Result<(Fleet, Duration)> {
    let config = Config {
        hosts,
        vms,
        join_token: site.muster.join_token().await?,
        ..Config::default()
    };
    let started = Instant::now();
    let folder = site.folder.path().join("hosts");
    let fleet = Fleet::start(&config, &site.bus("agent")?, &folder).await?;
    site.muster.has(hosts, vms, JOIN_PATIENCE).await?;
    Ok((fleet, started.elapsed()))
}

struct Life {
    parts: Vec<(String, f64)>,
    bytes_per_sec: f64,
    events: simfleet::measure::Times,
}

/// One of a hundred machines changes each minute.
async fn live(site: &Site, fleet: &Fleet, vms: usize) -> anyhow::Result<Life> {
    let listener = Listener::start(&site.muster, fleet).await?;
    let changes_per_minute = u32::try_from(vms / 100)?;
    fleet.set_churn(Churn { changes_per_minute });
    let (from, before) = (Instant::now(), site.bytes_in().await?);
    let parts = live_quietly(site).await?;
    let bytes = site.bytes_in().await?.saturating_sub(before);
    let bytes_per_sec = f64::from(u32::try_from(bytes)?) / from.elapsed().as_secs_f64();
    fleet.set_churn(Churn::default());
    Ok(Life {
        parts,
        bytes_per_sec,
        events: listener.stop().await?,
    })
}

async fn live_quietly(site: &Site) -> anyhow::Result<Vec<(String, f64)>> {
    let meter = Meter::start(&site.processes()?)?;
    let mut turn = tokio::time::interval(LIFE);
    turn.tick().await;
    turn.tick().await;
    meter.parts()
}

fn memory(site: &Site) -> anyhow::Result<Vec<(String, u64)>> {
    let processes = site.processes()?;
    let each = processes
        .into_iter()
        .map(|p| Ok((p.name.clone(), p.memory_bytes()?)));
    each.collect()
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
