//! Every span.

use super::{SERVICE, Span, SpanKind};

pub const SPANS: [Span; 8] = [
    Span {
        id: "http",
        name: "<METHOD> <route>",
        kind: SpanKind::Server,
        attributes: &[
            SERVICE,
            "http.request.method",
            "http.route",
            "http.response.status_code",
            "request_id",
        ],
        meaning: "A request to the gateway; the root, unless the client sent a `traceparent`. A stream ends it with its head.",
    },
    Span {
        id: "call",
        name: "<Service>.<Method>",
        kind: SpanKind::Client,
        attributes: &[SERVICE, "rpc.service", "rpc.method"],
        meaning: "A call, from the caller's side: until the answer is there, or the time is over.",
    },
    Span {
        id: "serve",
        name: "<Service>.<Method>",
        kind: SpanKind::Server,
        attributes: &[SERVICE, "rpc.service", "rpc.method"],
        meaning: "The same call, from the side of who answers.",
    },
    Span {
        id: "job",
        name: "job <kind>",
        kind: SpanKind::Internal,
        attributes: &[SERVICE, "job_id"],
        meaning: "A runner's work on a job; below the call that submitted it. A job that is resumed, restarted or has waited \
                  has one for each runner that had it, all in the trace of its submission.",
    },
    Span {
        id: "step",
        name: "step <step>",
        kind: SpanKind::Internal,
        attributes: &[SERVICE, "job_id", "way"],
        meaning: "One try of a step (`way`: `Forward`), or of its undo (`Back`).",
    },
    Span {
        id: "work",
        name: "work <Method>",
        kind: SpanKind::Internal,
        attributes: &[SERVICE],
        meaning: "A host's work on a command. It goes on when its caller has given up, and may so end after the call.",
    },
    Span {
        id: "qemu",
        name: "qemu <action>",
        kind: SpanKind::Internal,
        attributes: &[SERVICE, "vm_id"],
        meaning: "What is done to a machine's QEMU: for `start` from the launch of the process until the guest runs.",
    },
    Span {
        id: "tool",
        name: "run <program>",
        kind: SpanKind::Internal,
        attributes: &[SERVICE],
        meaning: "A helper program on a host, as `qemu-img`.",
    },
];
