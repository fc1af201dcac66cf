//! What Muster tells of itself arrives at a real receiver: one change as one trace, and the metrics under their names.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use contracts::telemetry::{METRICS, Metric, MetricKind, SPANS};
use support::eventually;

use crate::fleet::{Fleet, bare_vm, small_vm};
use crate::process::{program, signal};
use crate::receiver::{Receiver, Span};

/// The spans of the trace that a request began.
fn trace_of(spans: &[Span], request: &str) -> Vec<Span> {
    let root = spans.iter().find(|span| span.name == request);
    let of_it = |span: &&Span| root.is_some_and(|root| span.trace == root.trace);
    spans.iter().filter(of_it).cloned().collect()
}

/// Spans whose parent is in no span of their trace.
fn orphans(spans: &[Span]) -> Vec<&Span> {
    let there: BTreeSet<(&str, &str)> = spans
        .iter()
        .map(|span| (span.trace.as_str(), span.id.as_str()))
        .collect();
    let is_one = |span: &&Span| {
        !span.parent.is_empty() && !there.contains(&(span.trace.as_str(), span.parent.as_str()))
    };
    spans.iter().filter(is_one).collect()
}

/// The spans below a chain of spans, each a child of the one before: `<name> <KIND> <service>`.
fn below<'a>(trace: &'a [Span], chain: &[&str]) -> Vec<&'a Span> {
    let told = |span: &Span| format!("{} {} {}", span.name, span.kind, span.service());
    let mut found: Vec<&Span> = trace.iter().filter(|span| told(span) == chain[0]).collect();
    for link in &chain[1..] {
        let ids: Vec<&str> = found.iter().map(|span| span.id.as_str()).collect();
        let child = |span: &&Span| ids.contains(&span.parent.as_str()) && told(span) == *link;
        found = trace.iter().filter(child).collect();
    }
    found
}

fn tree(trace: &[Span], parent: &str, depth: usize) -> String {
    let children = trace.iter().filter(|span| span.parent == parent);
    children
        .map(|span| {
            let (indent, rest) = ("  ".repeat(depth), tree(trace, &span.id, depth + 1));
            let (name, kind, service) = (&span.name, &span.kind, span.service());
            format!(
                "{indent}{name} {kind} {service} ({})\n{rest}",
                span.program()
            )
        })
        .collect()
}

/// The way from the request to a step.
const TO_THE_JOB: [&str; 4] = [
    "POST /api/v1/vms SERVER gateway",
    "Jobs.Submit CLIENT gateway",
    "Jobs.Submit SERVER jobs",
    "job vm_create INTERNAL jobs",
];

/// What is below the submission, and below a step.
const CHAINS: [&[&str]; 7] = [
    &[
        "Placement.Rate CLIENT jobs",
        "Placement.Rate SERVER placement",
    ],
    &[
        "Host.CheckImage CLIENT jobs",
        "Host.CheckImage SERVER agent",
        "run qemu-img INTERNAL agent",
    ],
    &[
        "step record INTERNAL jobs",
        "Inventory.CreateVm CLIENT jobs",
        "Inventory.CreateVm SERVER inventory",
    ],
    &[
        "step place INTERNAL jobs",
        "Placement.Place CLIENT jobs",
        "Placement.Place SERVER placement",
    ],
    &[
        "step disks INTERNAL jobs",
        "Host.CreateVm CLIENT jobs",
        "Host.CreateVm SERVER agent",
        "work CreateVm INTERNAL agent",
        "run qemu-img INTERNAL agent",
    ],
    &[
        "step start INTERNAL jobs",
        "Host.StartVm CLIENT jobs",
        "Host.StartVm SERVER agent",
        "work StartVm INTERNAL agent",
        "qemu start INTERNAL agent",
    ],
    &[
        "step release INTERNAL jobs",
        "Inventory.Release CLIENT jobs",
        "Inventory.Release SERVER inventory",
    ],
];

/// The first chain of a create that is not in the trace.
fn missing(trace: &[Span]) -> Option<Vec<&'static str>> {
    let whole = |chain: &&'static [&'static str]| {
        let is_of_a_step = chain.first().is_some_and(|link| link.starts_with("step "));
        let start = if is_of_a_step {
            &TO_THE_JOB[..]
        } else {
            &TO_THE_JOB[..3]
        };
        [start, chain].concat()
    };
    let mut chains = CHAINS.iter().map(whole);
    chains.find(|chain| below(trace, chain).is_empty())
}

/// Whether a name is one that the page of telemetry has: what varies is one word, or a path.
fn is_listed(span: &Span) -> bool {
    SPANS.iter().any(|listed| {
        let fits = match listed.name.split_once('<') {
            Some(("", _)) if listed.name.contains('.') => span.name.contains('.'),
            Some(("", _)) => span.name.contains(" /") || span.name.ends_with(" unknown"),
            Some((fixed, _)) => span.name.starts_with(fixed),
            None => span.name == listed.name,
        };
        let known = |key: &String| listed.attributes.contains(&key.as_str());
        let kind = listed.kind.name().to_uppercase();
        fits && kind == span.kind && span.attributes.keys().all(known)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_is_one_trace_from_the_request_to_qemu() {
    let receiver = Receiver::start().await;
    let mut fleet = Fleet::start_in(1, &receiver.environment()).await;
    let vm = small_vm("traced", true, false);
    let job = fleet.client.done("POST", "/api/v1/vms", vm).await;
    let trace = || trace_of(&receiver.spans(), "POST /api/v1/vms");
    eventually("the trace to arrive", async || {
        missing(&trace()).is_none().then_some(())
    })
    .await
    .unwrap_or_else(|error| {
        panic!(
            "{error}: {:#?}\n{}",
            missing(&trace()),
            tree(&trace(), "", 0)
        )
    });
    // They send what is left when they end.
    fleet.agents[0].terminate();
    fleet.musterd.as_mut().unwrap().terminate();

    let trace = trace();
    let shown = tree(&trace, "", 0);
    let roots = trace.iter().filter(|span| span.parent.is_empty());
    assert_eq!(roots.count(), 1, "{trace:#?}");
    let everything = receiver.spans();
    assert_eq!(orphans(&everything).len(), 0, "{:#?}", orphans(&everything));
    for step in job["steps"].as_array().unwrap() {
        let step = format!("step {} INTERNAL jobs", step["name"].as_str().unwrap());
        let tries = below(&trace, &[&TO_THE_JOB[..], &[step.as_str()]].concat());
        assert_eq!(tries.len(), 1, "{step} in\n{shown}");
    }
    for span in &everything {
        assert!(is_listed(span), "{span:#?} is not in docs/telemetry.md");
    }
    for span in &trace {
        assert!(!span.failed, "{span:#?}");
        let of_the_host = span.service() == "agent";
        let program = if of_the_host {
            "muster-agent"
        } else {
            "muster-musterd"
        };
        assert_eq!(span.program(), program, "{span:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_another_runner_takes_over_stays_in_its_trace() {
    let receiver = Receiver::start().await;
    let mut fleet = Fleet::start_in(1, &receiver.environment()).await;
    let vm = small_vm("resumed", true, true);
    let job = fleet
        .client
        .submit("POST", "/api/v1/vms", vm)
        .await
        .unwrap();
    // The guest is not there before its host goes on, so the job cannot end.
    signal(fleet.agents[0].id(), "STOP");
    let first = eventually("the submission to be received", async || {
        let spans = receiver.spans();
        let submission = below(&spans, &TO_THE_JOB[..3]);
        submission.first().map(|span| (*span).clone())
    })
    .await
    .unwrap();
    fleet.musterd.as_mut().unwrap().restart();
    fleet.ready().await;
    signal(fleet.agents[0].id(), "CONT");
    let job = fleet.client.job_ended(&job).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");

    let second = eventually("the job's span of the second runner", async || {
        let spans = receiver.spans();
        let runs = below(&spans, &TO_THE_JOB);
        runs.last().map(|span| (*span).clone())
    })
    .await
    .unwrap();
    assert_eq!((&second.trace, &second.parent), (&first.trace, &first.id));
    let instance = |span: &Span| span.resource["service.instance.id"].clone();
    assert_ne!(instance(&second), instance(&first), "another process");
    let spans = receiver.spans();
    let steps = spans.iter().filter(|span| span.parent == second.id);
    let steps: Vec<&str> = steps.map(|span| span.name.as_str()).collect();
    assert!(steps.contains(&"step release"), "{steps:?}");
}

/// What a run in which all goes well, and without webhooks, has no reason to count, and what a host without a network card
/// cannot.
const RARE: [&str; 7] = [
    "muster.records.conflicts",
    "muster.records.rebuilds",
    "muster.agent.data.bytes",
    "muster.usage.network.io",
    "muster.webhooks.deliveries",
    "muster.placement.drift",
    "muster.placement.retries",
];

fn kind_on_the_wire(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter | MetricKind::Level => "Sum",
        MetricKind::Histogram => "Histogram",
        MetricKind::Gauge => "Gauge",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_arrives_as_the_page_has_it() {
    let receiver = Receiver::start().await;
    let mut environment = receiver.environment();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    environment.push(pair("MUSTER_AGENT__SAMPLES_INTERVAL_SECS", "1"));
    environment.push(pair("MUSTER_PERFORMANCE__EXPORT_VMS", "true"));
    let mut fleet = Fleet::start_in(1, &environment).await;
    let events = fleet.client.events("", None).await;
    let vm = small_vm("measured", true, false);
    fleet.client.done("POST", "/api/v1/vms", vm).await;
    let copy = serde_json::json!({
        "source_host": "host-1", "source_image": "local/guest.qcow2", "host": "host-1", "file": "copy.qcow2",
    });
    fleet
        .client
        .done("POST", "/api/v1/images/actions/copy", copy)
        .await;
    // Nothing is due for a refresh within the test's patience.
    let refresh = "/api/v1/vms/measured/actions/refresh";
    fleet
        .client
        .done("POST", refresh, serde_json::json!({}))
        .await;
    // So that it finds a machine when it starts. One that ends in order sends what is left.
    fleet.agents[0].terminate();
    fleet.agents[0].restart();

    let documented: BTreeMap<&str, &Metric> = METRICS.iter().map(|m| (m.name, *m)).collect();
    let wanted: BTreeSet<&str> = documented.keys().copied().collect();
    let rare = BTreeSet::from(RARE);
    let missing = || {
        let there = receiver.metrics();
        let missing = wanted.iter().filter(|name| !there.contains_key(**name));
        let missing: BTreeSet<&str> = missing.copied().collect();
        missing.difference(&rare).copied().collect::<Vec<&str>>()
    };
    eventually("every metric to arrive", async || {
        missing().is_empty().then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {:?} have not", missing()));
    drop(events);

    for (name, metric) in receiver.metrics() {
        let Some(page) = documented.get(name.as_str()) else {
            panic!("{name} is not in docs/telemetry.md");
        };
        assert_eq!(metric.unit, page.unit, "{name}");
        assert_eq!(metric.kind, kind_on_the_wire(page.kind), "{name}");
        let keys: BTreeSet<&str> = page.attributes.iter().copied().collect();
        for point in &metric.points {
            let told: BTreeSet<&str> = point.keys().map(String::as_str).collect();
            assert_eq!(told, keys, "{name}");
        }
    }
    let points: [(&str, &[(&str, &str)]); 6] = [
        ("muster.agent.adoptions", &[("state", "running")]),
        (
            "muster.jobs.finished",
            &[("kind", "vm_create"), ("outcome", "succeeded")],
        ),
        (
            "muster.calls",
            &[("side", "server"), ("method", "StartVm"), ("code", "OK")],
        ),
        (
            "muster.gateway.requests",
            &[
                ("route", "/api/v1/vms"),
                ("method", "POST"),
                ("status", "202"),
            ],
        ),
        ("muster.usage.cpu", &[("kind", "host")]),
        (
            "muster.usage.disk.io",
            &[("kind", "vm"), ("direction", "read")],
        ),
    ];
    // A metric arrives with what was counted until then; each of these points comes when it is counted.
    for (name, pairs) in points {
        let fits = |point: &BTreeMap<String, String>| {
            pairs
                .iter()
                .all(|(key, value)| point.get(*key).is_some_and(|v| v == value))
        };
        eventually(&format!("{name} with {pairs:?}"), async || {
            let there = receiver.metrics();
            there[name].points.iter().any(fits).then_some(())
        })
        .await
        .unwrap();
    }
}

/// Names of a process's threads.
fn threads(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    names.map(|name| name.unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_runs_that_would_send_and_logs_are_json_if_wanted() {
    let json = ("MUSTER_TELEMETRY__FORMAT".to_owned(), "json".to_owned());
    let fleet = Fleet::start_in(0, &[json]).await;
    let threads = threads(fleet.musterd.as_ref().unwrap().id());
    assert!(
        !threads.iter().any(|name| name.starts_with("OpenTelemetry")),
        "{threads:?}"
    );
    let log = std::fs::read_to_string(fleet.folder.path().join("musterd.log")).unwrap();
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            entry["level"].is_string() && entry["fields"]["message"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn the_configuration_that_is_printed_says_where_traces_and_metrics_go() {
    let printed = Command::new(program("musterd"))
        .arg("--print-config")
        .env("MUSTER_TELEMETRY__OTLP_ENDPOINT", "http://collector:4317")
        .env("MUSTER_TELEMETRY__METRICS_INTERVAL_SECS", "7")
        .output()
        .unwrap();
    let printed: toml::Table = toml::from_str(&String::from_utf8(printed.stdout).unwrap()).unwrap();
    let telemetry = &printed["telemetry"];
    assert_eq!(
        telemetry["otlp_endpoint"].as_str(),
        Some("http://collector:4317")
    );
    assert_eq!(telemetry["metrics_interval_secs"].as_integer(), Some(7));
    assert_eq!(telemetry["format"].as_str(), Some("text"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_goes_away_holds_up_nothing() {
    let receiver = Receiver::start().await;
    let mut fleet = Fleet::start_in(1, &receiver.environment()).await;
    drop(receiver);
    let vm = bare_vm("unseen", true);
    fleet.client.done("POST", "/api/v1/vms", vm).await;
    assert!(fleet.agents[0].terminate().success());
    assert!(fleet.musterd.as_mut().unwrap().terminate().success());
}
