//! How few hosts machines need: rules beside each other on a real trace, and a plan to re-pack them.

mod replay;
mod stays;
mod trace;

use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use anyhow::Context;
use placement::core::repack;

use crate::table::Report;
use replay::Rule;
use stays::Oracle;
use trace::{Size, Trace, Vm};

/// Moves an hour that the drained replay may use.
const MOVES_AN_HOUR_MAX: usize = 300;

const RULES: [Rule; 8] = [
    Rule::FirstFit,
    Rule::BestFit,
    Rule::WorstFit,
    Rule::DotProduct,
    Rule::ours(Oracle::Nobody),
    Rule::ours(Oracle::Learned),
    Rule::ours(Oracle::Told),
    Rule::Ours {
        stays: Oracle::Nobody,
        moves_an_hour_max: MOVES_AN_HOUR_MAX,
    },
];

/// A kind of host and how many there are for the test of the first refusal: `64x256:1500` is 1,500 hosts of 64 vCPU and
/// 256 GiB; without a number that test is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    host: Size,
    count: Option<usize>,
}

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (size, count) = match text.split_once(':') {
            Some((size, count)) => (size, Some(count.parse()?)),
            None => (text, None),
        };
        let (vcpus, gib) = size
            .split_once('x')
            .context("a host is <vCPU>x<GiB>[:<number>]")?;
        let host = [
            trace::amount(vcpus.parse::<f64>()? * 100.0),
            trace::amount(gib.parse::<f64>()? * 1024.0),
        ];
        anyhow::ensure!(
            host.iter().all(|amount| *amount > 0),
            "a host has more than nothing"
        );
        Ok(Self { host, count })
    }
}

impl Shape {
    fn name(self) -> String {
        let [cpu, memory] = self.host;
        format!("{} vCPU, {} GiB", cpu / 100, memory / 1024)
    }
}

pub(crate) fn run(path: &Path, shapes: &[Shape]) -> anyhow::Result<Vec<Report>> {
    anyhow::ensure!(
        path.exists(),
        "There is no trace at {}: name one with --trace, or leave `packing` out.",
        path.display()
    );
    let trace = trace::read(path).with_context(|| format!("{} is no trace", path.display()))?;
    let mut online = Report::new(
        "Packing a trace: host-hours over the bound of the larger demand, and density at the first refusal",
        &[
            "hosts",
            "rule",
            "host-hours",
            "peak hosts",
            "moves",
            "density",
        ],
    );
    let mut again = Report::new(
        "Re-packing what runs at one moment: hosts beside the bound of the program over patterns",
        &[
            "hosts",
            "moment",
            "machines",
            "first fit",
            "Muster",
            "bound",
            "ratio",
            "time",
        ],
    );
    for shape in shapes {
        for rule in RULES {
            online.row(replayed(&trace, *shape, rule));
        }
        for share in [0.63, 1.0] {
            again.row(repacked(&trace.vms, *shape, share));
        }
    }
    Ok(vec![online, again])
}

fn replayed(trace: &Trace, shape: Shape, rule: Rule) -> [String; 6] {
    let outcome = replay::run(trace, shape.host, rule, None);
    let is_online = !matches!(
        rule,
        Rule::Ours {
            moves_an_hour_max: 1..,
            ..
        }
    );
    let count = shape.count.filter(|_| is_online);
    let density = count.and_then(|count| replay::run(trace, shape.host, rule, Some(count)).density);
    [
        shape.name(),
        rule.name(),
        format!(
            "{:.4}",
            outcome.host_secs as f64 / outcome.bound_secs.max(1) as f64
        ),
        outcome.peak_hosts.to_string(),
        outcome.moves.to_string(),
        density.map_or_else(|| "-".to_owned(), |density| format!("{density:.4}")),
    ]
}

/// What runs at a moment, given as share of the trace's time, packed anew.
fn repacked(vms: &[Vm], shape: Shape, share: f64) -> [String; 8] {
    let times = vms.first().zip(vms.last());
    let (first, last) = times.map_or((0, 0), |(a, b)| (a.from_secs, b.from_secs));
    #[allow(clippy::cast_possible_truncation)]
    let moment = first + ((last - first) as f64 * share) as i64;
    let runs = |vm: &&Vm| vm.from_secs <= moment && vm.until_secs.is_none_or(|end| end > moment);
    let running: Vec<Size> = vms.iter().filter(runs).map(|vm| vm.size).collect();
    let started = Instant::now();
    let plan = repack::plan(shape.host, &running);
    let took = started.elapsed();
    [
        shape.name(),
        format!("{moment} s"),
        running.len().to_string(),
        first_fit(shape.host, &running).to_string(),
        plan.hosts.len().to_string(),
        format!("{:.1}", plan.bound),
        format!("{:.4}", plan.hosts.len() as f64 / plan.bound.max(1.0)),
        format!("{:.2} s", took.as_secs_f64()),
    ]
}

fn first_fit(host: Size, machines: &[Size]) -> usize {
    let mut hosts: Vec<Size> = Vec::new();
    for [cpu, memory] in machines {
        let fits = |room: &&mut Size| room[0] >= *cpu && room[1] >= *memory;
        if let Some(room) = hosts.iter_mut().find(fits) {
            *room = [room[0] - cpu, room[1] - memory];
        } else if *cpu <= host[0] && *memory <= host[1] {
            hosts.push([host[0] - cpu, host[1] - memory]);
        }
    }
    hosts.len()
}
