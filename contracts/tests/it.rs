//! Pages and files that are made from the contracts are up to date.
//!
//! `MUSTER_UPDATE=1 cargo test -p contracts` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use contracts::access::{self, nats_authorization};
use contracts::call::Service;
use contracts::subjects::{self, buckets};
use contracts::telemetry::{METRICS, SPANS};
use contracts::{diff, services};

/// Compares a file of the repository with what it should be, or writes it.
fn check_or_update(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("MUSTER_UPDATE").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == wanted,
        "{} is out of date: MUSTER_UPDATE=1 cargo test -p contracts",
        path.display()
    );
}

/// The first sentence of a method's comment in the .proto file.
fn summary(service: &Service, method: &str) -> String {
    let descriptor = diff::pool()
        .services()
        .find(|s| s.name() == service.name)
        .unwrap();
    let wanted = descriptor.methods().find(|m| m.name() == method).unwrap();
    let file = descriptor.parent_file();
    let info = file
        .file_descriptor_proto()
        .source_code_info
        .clone()
        .unwrap();
    let location = info.location.iter().find(|l| l.path == wanted.path());
    let comment = location
        .and_then(|l| l.leading_comments.clone())
        .unwrap_or_default();
    let line = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    line.split_inclusive(". ")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn calls() -> String {
    let mut page = String::new();
    for service in services() {
        writeln!(
            page,
            "### {}, served by {}\n",
            service.name,
            access::servers_of(service).join(", ")
        )
        .unwrap();
        page.push_str("| subject | may call | deadline | what it does |\n|---|---|---|---|\n");
        for method in service.methods {
            writeln!(
                page,
                "| `{}` | {} | {} s | {} |",
                subjects::call(service.subject, method.name),
                method.callers.join(", "),
                method.timeout().as_secs(),
                summary(service, method.name),
            )
            .unwrap();
        }
        page.push('\n');
    }
    page
}

fn records() -> String {
    let mut page = String::from("| subject | owned by | mirrored by |\n|---|---|---|\n");
    for (bucket, owner) in buckets::OWNERS {
        let readers = access::readers_of(bucket).join(", ");
        writeln!(
            page,
            "| `{}` | {owner} | {readers} |",
            subjects::record(bucket, "<id>")
        )
        .unwrap();
    }
    page
}

#[test]
fn the_page_of_subjects_is_up_to_date() {
    let page = format!(
        "# Subjects\n\n\
         Made from `contracts` by its test; do not edit. What each program may publish and subscribe to \
         (`contracts/src/access.rs`) follows from these tables, and nats-server enforces it.\n\n\
         ## Calls\n\n\
         Request and reply in the NATS Services protocol, protobuf in the body. Any instance answers. \
         `nats micro ls` finds them all.\n\n{}\
         ## Records\n\n\
         JetStream key-value buckets; each has one owning service, the only one that writes.\n\n{}\n\
         ## Events, work and signals\n\n\
         | subject | kind | published by | carries |\n|---|---|---|---|\n\
         | `{}` | stream `{}` | the owner of the kind | `muster.common.v1.Event`: what happened to one record, once for each revision |\n\
         | `{}` | work queue `{}` | jobs | a job that wants a runner |\n\
         | `{}` | core | agents, every {} s | `muster.inventory.v1.Heartbeat` |\n\
         | `{}` | core | agents, every {} s | `muster.performance.v1.HostSamples` |\n\
         | `{}` | core | jobs | `muster.jobs.v1.Progress` |\n\
         | `{}` | core | who serves `Refreshable` | `muster.refresher.v1.Announcement` |\n\
         | `{}` | core | refresher, each second | `muster.refresher.v1.RefreshedBatch` |\n",
        calls(),
        records(),
        subjects::event("<group_id>", "<kind>", "<id>", "<verb>"),
        subjects::EVENTS,
        subjects::run("<job_id>"),
        subjects::RUNS,
        subjects::heartbeat("<host_id>"),
        contracts::limits::HEARTBEAT_INTERVAL.as_secs(),
        subjects::samples("<host_id>"),
        contracts::limits::SAMPLES_INTERVAL.as_secs(),
        subjects::progress("<job_id>"),
        subjects::refreshable("<service>"),
        subjects::refreshed("<instance>"),
    );
    check_or_update("docs/subjects.md", &page);
}

/// Attributes as a cell of a table.
fn list(attributes: &[&str]) -> String {
    let quoted: Vec<String> = attributes.iter().map(|a| format!("`{a}`")).collect();
    quoted.join(", ")
}

fn spans() -> String {
    let mut page = String::from("| span | kind | attributes | what it is |\n|---|---|---|---|\n");
    for span in &SPANS {
        let (kind, attributes) = (span.kind.name(), list(span.attributes));
        writeln!(
            page,
            "| `{}` | {kind} | {attributes} | {} |",
            span.name, span.meaning
        )
        .unwrap();
    }
    page
}

fn metrics() -> String {
    let mut page =
        String::from("| metric | kind | unit | attributes | what it is |\n|---|---|---|---|---|\n");
    for metric in METRICS {
        let (kind, attributes) = (metric.kind.name(), list(metric.attributes));
        writeln!(
            page,
            "| `{}` | {kind} | `{}` | {attributes} | {} |",
            metric.name, metric.unit, metric.meaning
        )
        .unwrap();
    }
    page
}

#[test]
fn the_page_of_telemetry_is_up_to_date() {
    let page = format!(
        "# Telemetry\n\n\
         The tables are made from `contracts/src/telemetry.rs` by the test of `contracts`; do not edit. Programs can only \
         make metrics that are named there, and tests see to it that each is made and that a real OTLP receiver gets \
         spans and metrics under these names. To add one: put it into that table, make its handle in the service's `meter.rs` \
         (a span: where the work is), and run `MUSTER_UPDATE=1 cargo test -p contracts`.\n\n\
         Set `telemetry.otlp_endpoint` (`http://host:4317`, OTLP over gRPC; `MUSTER_TELEMETRY__OTLP_ENDPOINT` in the \
         environment) for every service and agent, and traces and metrics are sent: metrics every \
         `telemetry.metrics_interval_secs`, spans within seconds of their end, the rest when the program stops. Where it is \
         not set nothing is measured or sent. A receiver that is away holds up nothing: what it does not take is dropped, and \
         the log says so.\n\n\
         Logs are not sent: they go to stderr, as text or (`telemetry.format = \"json\"`) one JSON object a line.\n\n\
         ## Resource\n\n\
         `service.name` is the program: `muster-gateway`, `muster-jobs`, `muster-agent`, and so on; `muster-musterd` where \
         every service is in one process. `service.instance.id` is made anew at each start. `service.version` and `host.name` \
         are what they say.\n\n\
         ## Traces\n\n\
         One change is one trace: the client's request, the calls that it makes, the job, each try of each step, and what \
         hosts do for it. The context travels in the `traceparent` header of HTTP requests and of messages on the bus, and is \
         kept in the job's record: whichever runner takes the job, now or after a crash, goes on in the same trace. A client \
         that sends a `traceparent` has Muster's spans below its own.\n\n\
         `muster.service` says of which service a span is, also inside `musterd`. A span whose work failed has the status \
         error, with the reason; of requests those that are answered with 5xx. Spans that were open in a process when it was killed are never sent: what had ended below \
         them is in the trace without its parent.\n\n\
         What agents do by themselves (starting, registering, reports) is in traces of its own, one for each call.\n\n{}\n\
         ## Metrics\n\n\
         Durations are in seconds. Counters and histograms are cumulative since the start of the process.\n\n{}",
        spans(),
        metrics(),
    );
    check_or_update("docs/telemetry.md", &page);
}

#[test]
fn the_users_of_the_bus_in_compose_are_up_to_date() {
    check_or_update("ops/nats/authorization.conf", &nats_authorization());
}

#[test]
fn every_method_says_what_it_does_and_who_may_call_it() {
    for service in services() {
        for method in service.methods {
            assert!(
                !method.callers.is_empty(),
                "{} may be called by nobody",
                method.name
            );
            assert!(
                !summary(service, method.name).is_empty(),
                "{} has no comment",
                method.name
            );
            let programs = access::PROGRAMS;
            assert!(
                method.callers.iter().all(|c| programs.contains(c)),
                "{}",
                method.name
            );
        }
    }
}

/// One that is left out is on no page, and no program may serve or call it.
#[test]
fn every_service_block_is_a_service_of_the_house() {
    let declared: BTreeSet<String> = diff::pool()
        .services()
        .map(|service| service.name().to_owned())
        .collect();
    let known: BTreeSet<String> = services()
        .iter()
        .map(|service| service.name.to_owned())
        .collect();
    assert_eq!(declared, known);
}
