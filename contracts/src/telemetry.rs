//! What Muster tells of itself over OTLP: every metric and every span that there is. Who watches a Muster (dashboards,
//! alerts) and the programs must agree on these names; `docs/telemetry.md` is made from them.

mod metrics;
mod spans;

pub use metrics::*;
pub use spans::*;

/// One metric.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    /// As UCUM has it: `s`, or what is counted in braces.
    pub unit: &'static str,
    pub attributes: &'static [&'static str],
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from the start of the process.
    Counter,
    /// How often which value was seen.
    Histogram,
    /// As it is now.
    Gauge,
    /// As it is now, a sum over processes.
    Level,
}

impl MetricKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Gauge => "gauge",
            Self::Level => "up-down counter",
        }
    }
}

/// One kind of span.
#[derive(Debug)]
pub struct Span {
    /// What the code calls it.
    pub id: &'static str,
    /// Its name, with the parts that vary in angle brackets.
    pub name: &'static str,
    pub kind: SpanKind,
    pub attributes: &'static [&'static str],
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    Server,
    Client,
    Internal,
}

impl SpanKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Internal => "internal",
        }
    }
}

/// Of every span: which service it is of. One process may be several (`musterd`), so the resource does not say.
pub const SERVICE: &str = "muster.service";
