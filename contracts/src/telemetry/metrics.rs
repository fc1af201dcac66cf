//! Every metric.

use super::{Metric, MetricKind};

pub const CALLS: Metric = Metric {
    name: "muster.calls",
    kind: MetricKind::Counter,
    unit: "{call}",
    attributes: &["side", "service", "method", "code"],
    meaning: "Calls on the bus that have ended, seen by the caller (`side`: `client`) and by who answers (`server`). \
              `code` is `OK` or the error's.",
};
pub const CALL_DURATION: Metric = Metric {
    name: "muster.call.duration",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["side", "service", "method"],
    meaning: "How long calls took.",
};
pub const RECORDS_LAG: Metric = Metric {
    name: "muster.records.lag",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["bucket", "role"],
    meaning: "From when the log took a write until an instance's view had it, of the kinds that it owns (`role`: `owner`) \
              and mirrors (`mirror`). By the clocks of two machines.",
};
pub const RECORDS_CONFLICTS: Metric = Metric {
    name: "muster.records.conflicts",
    kind: MetricKind::Counter,
    unit: "{write}",
    attributes: &["bucket"],
    meaning: "Writes that were decided again because another came first.",
};
pub const RECORDS_REBUILDS: Metric = Metric {
    name: "muster.records.rebuilds",
    kind: MetricKind::Counter,
    unit: "{view}",
    attributes: &["bucket"],
    meaning: "Views that were thrown away and rebuilt from the log.",
};
pub const RECORDS_OUTBOX: Metric = Metric {
    name: "muster.records.outbox",
    kind: MetricKind::Gauge,
    unit: "{event}",
    attributes: &["bucket"],
    meaning: "Events that this instance has yet to publish, or to see published by another.",
};
pub const JOBS_STARTED: Metric = Metric {
    name: "muster.jobs.started",
    kind: MetricKind::Counter,
    unit: "{job}",
    attributes: &["kind", "how"],
    meaning: "Jobs that a runner took: for the first time (`how`: `first`), or `again` after it had waited, was restarted, \
              or its runner had gone.",
};
pub const JOBS_FINISHED: Metric = Metric {
    name: "muster.jobs.finished",
    kind: MetricKind::Counter,
    unit: "{job}",
    attributes: &["kind", "outcome"],
    meaning: "Jobs that ended: `succeeded`, `failed`, `cancelled` or `stuck`.",
};
pub const JOB_DURATION: Metric = Metric {
    name: "muster.job.duration",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["kind", "outcome"],
    meaning: "How long jobs took that ended, from their first start.",
};
pub const STEP_DURATION: Metric = Metric {
    name: "muster.job.step.duration",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["kind", "step", "way", "outcome"],
    meaning: "How long one try of a step (`way`: `forward`) or of its undo (`back`) took. `outcome`: `done`, `failed`, \
              `busy` (another job has the object) or `stopped` (by a cancel).",
};
pub const JOBS_OPEN: Metric = Metric {
    name: "muster.jobs.open",
    kind: MetricKind::Gauge,
    unit: "{job}",
    attributes: &["state"],
    meaning: "Jobs that are not over: `queued` (the length of the queue), `waiting` for another job, `running`, `undoing`, \
              or `stuck` until a person has seen to them. Every instance tells the same of all: take the largest, not the sum.",
};
pub const AGENT_MACHINES: Metric = Metric {
    name: "muster.agent.machines",
    kind: MetricKind::Gauge,
    unit: "{machine}",
    attributes: &["state"],
    meaning: "Machines on the host.",
};
pub const AGENT_COMMANDS: Metric = Metric {
    name: "muster.agent.command.duration",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["method", "code"],
    meaning: "How long the hypervisor took for commands that change something; `code` is `OK` or the error's. A command that \
              was done before and is answered from the store is not counted.",
};
pub const AGENT_ADOPTIONS: Metric = Metric {
    name: "muster.agent.adoptions",
    kind: MetricKind::Counter,
    unit: "{machine}",
    attributes: &["state"],
    meaning: "Machines that the agent found in its datastores, at its start, and took over; by what they were doing.",
};
pub const AGENT_BACKLOG: Metric = Metric {
    name: "muster.agent.backlog",
    kind: MetricKind::Gauge,
    unit: "{change}",
    attributes: &[],
    meaning: "Changes on the host that inventory has not yet acknowledged.",
};
pub const AGENT_DATA_BYTES: Metric = Metric {
    name: "muster.agent.data.bytes",
    kind: MetricKind::Counter,
    unit: "By",
    attributes: &["direction"],
    meaning: "Content of files that went from host to host, without what is said beside it: `sent` and `received`.",
};
pub const TRANSFERS_FINISHED: Metric = Metric {
    name: "muster.transfers.finished",
    kind: MetricKind::Counter,
    unit: "{transfer}",
    attributes: &["outcome"],
    meaning: "Copies of files that ended: `succeeded`, `failed` or `cancelled`.",
};
pub const GATEWAY_REQUESTS: Metric = Metric {
    name: "muster.gateway.requests",
    kind: MetricKind::Counter,
    unit: "{request}",
    attributes: &["method", "route", "status"],
    meaning: "Requests that were answered; streams when they begin.",
};
pub const GATEWAY_DURATION: Metric = Metric {
    name: "muster.gateway.request.duration",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["method", "route"],
    meaning: "How long requests took; streams until they begin.",
};
pub const GATEWAY_STREAMS: Metric = Metric {
    name: "muster.gateway.streams",
    kind: MetricKind::Level,
    unit: "{stream}",
    attributes: &[],
    meaning: "Open streams of events and of watched jobs.",
};
pub const SAMPLES: Metric = Metric {
    name: "muster.performance.samples",
    kind: MetricKind::Counter,
    unit: "{message}",
    attributes: &["outcome"],
    meaning: "Messages with samples that the performance service has heard, one from each host a minute. `outcome`: `taken`, \
              `foreign` (machines of another host were in it), `too_many`, `unknown_host` or `unreadable`.",
};
pub const USAGE_CPU: Metric = Metric {
    name: "muster.usage.cpu",
    kind: MetricKind::Gauge,
    unit: "%",
    attributes: &["kind", "id", "host_id"],
    meaning: "CPU in use over the last minute: of a host (`kind`: `host`) and, where `performance.export_vms` is set, of a machine's \
              own virtual CPUs (`vm`). Every instance tells the same.",
};
pub const USAGE_MEMORY: Metric = Metric {
    name: "muster.usage.memory",
    kind: MetricKind::Gauge,
    unit: "By",
    attributes: &["kind", "id", "host_id"],
    meaning: "Memory in use on a host; what the process of a machine keeps resident.",
};
pub const USAGE_DISK_IO: Metric = Metric {
    name: "muster.usage.disk.io",
    kind: MetricKind::Gauge,
    unit: "By/s",
    attributes: &["kind", "id", "host_id", "direction"],
    meaning: "Bytes `read` and written (`write`) over the last minute.",
};
pub const USAGE_DISK_OPERATIONS: Metric = Metric {
    name: "muster.usage.disk.operations",
    kind: MetricKind::Gauge,
    unit: "{operation}/s",
    attributes: &["kind", "id", "host_id"],
    meaning: "Reads and writes over the last minute.",
};
pub const USAGE_DISK_USED: Metric = Metric {
    name: "muster.usage.disk.used",
    kind: MetricKind::Gauge,
    unit: "By",
    attributes: &["kind", "id", "host_id"],
    meaning: "Bytes that are taken on the datastores of a host; that the disks of a machine take there.",
};
pub const USAGE_NETWORK_IO: Metric = Metric {
    name: "muster.usage.network.io",
    kind: MetricKind::Gauge,
    unit: "By/s",
    attributes: &["kind", "id", "host_id", "direction"],
    meaning: "Bytes `received` and `sent` over the last minute. Not told of machines whose network counts nothing.",
};

pub const REFRESHER_REFRESHES: Metric = Metric {
    name: "muster.refresher.refreshes",
    kind: MetricKind::Counter,
    unit: "{refresh}",
    attributes: &["kind", "outcome", "trigger"],
    meaning: "Refreshes that have ended: `unchanged`, `changed` or `failed`; because they were due (`trigger`: `schedule`) or \
              asked for (`manual`).",
};
pub const REFRESHER_BYTES: Metric = Metric {
    name: "muster.refresher.bytes",
    kind: MetricKind::Counter,
    unit: "By",
    attributes: &["kind"],
    meaning: "What hosts and other servers sent for refreshes.",
};
pub const REFRESHER_LATENESS: Metric = Metric {
    name: "muster.refresher.lateness",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["kind", "trigger"],
    meaning: "From when a refresh was due or asked for until it was begun.",
};
pub const REFRESHER_DURATION: Metric = Metric {
    name: "muster.refresher.duration",
    kind: MetricKind::Histogram,
    unit: "s",
    attributes: &["kind", "outcome"],
    meaning: "How long refreshes took.",
};
pub const REFRESHER_QUEUE: Metric = Metric {
    name: "muster.refresher.queue",
    kind: MetricKind::Gauge,
    unit: "{refresh}",
    attributes: &["trigger"],
    meaning: "Refreshes that wait to be begun.",
};
pub const WEBHOOK_DELIVERIES: Metric = Metric {
    name: "muster.webhooks.deliveries",
    kind: MetricKind::Counter,
    unit: "{try}",
    attributes: &["outcome"],
    meaning: "Tries to deliver an event to a webhook's endpoint: `taken`, `refused` (4xx, a redirect, an address that is not \
              allowed) or `away` (no answer, 5xx).",
};

pub const PLACEMENT_CLAIMS: Metric = Metric {
    name: "muster.placement.claims",
    kind: MetricKind::Gauge,
    unit: "{claim}",
    attributes: &[],
    meaning: "Claims on hosts that are not confirmed yet. Every instance tells the same of all: take the largest, not the sum.",
};
pub const PLACEMENT_DRIFT: Metric = Metric {
    name: "muster.placement.drift",
    kind: MetricKind::Counter,
    unit: "{claim}",
    attributes: &["reason"],
    meaning: "Claims that were found not to agree with inventory and were taken out: `expired` (nobody confirmed it, nor \
              gave it back), `elsewhere` (the machine is on another host), `no_host` (the host is gone), `twice` (the same \
              machine and job had claimed another host first).",
};
pub const PLACEMENT_RETRIES: Metric = Metric {
    name: "muster.placement.retries",
    kind: MetricKind::Counter,
    unit: "{placement}",
    attributes: &[],
    meaning: "Placements that were decided again because a claim of another instance came first.",
};

pub const METRICS: [&Metric; 36] = [
    &CALLS,
    &CALL_DURATION,
    &RECORDS_LAG,
    &RECORDS_CONFLICTS,
    &RECORDS_REBUILDS,
    &RECORDS_OUTBOX,
    &JOBS_STARTED,
    &JOBS_FINISHED,
    &JOB_DURATION,
    &STEP_DURATION,
    &JOBS_OPEN,
    &AGENT_MACHINES,
    &AGENT_COMMANDS,
    &AGENT_ADOPTIONS,
    &AGENT_BACKLOG,
    &AGENT_DATA_BYTES,
    &TRANSFERS_FINISHED,
    &GATEWAY_REQUESTS,
    &GATEWAY_DURATION,
    &GATEWAY_STREAMS,
    &REFRESHER_REFRESHES,
    &REFRESHER_BYTES,
    &REFRESHER_LATENESS,
    &REFRESHER_DURATION,
    &REFRESHER_QUEUE,
    &SAMPLES,
    &USAGE_CPU,
    &USAGE_MEMORY,
    &USAGE_DISK_IO,
    &USAGE_DISK_OPERATIONS,
    &USAGE_DISK_USED,
    &USAGE_NETWORK_IO,
    &WEBHOOK_DELIVERIES,
    &PLACEMENT_CLAIMS,
    &PLACEMENT_DRIFT,
    &PLACEMENT_RETRIES,
];
