//! Logs always; traces and metrics over OTLP when an endpoint is set.

mod metrics;
mod own;

use std::collections::HashMap;
use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global, trace};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use uuid::Uuid;

use crate::config::{LogFormat, TelemetryConfig};

pub use metrics::{Counter, Gauge, Histogram, Level, Readings, Told, is_on};
pub(crate) use own::{count_call, count_conflict, count_rebuild, note_lag, note_outbox};

/// Name of the tracer and the meter.
const SCOPE: &str = "muster";

/// Time series of one metric that are sent at most; what is beyond is sent as one. Each host and machine of the largest
/// fleet has one or two.
const SERIES_MAX: usize = 200_000;

/// Keeps exporters alive; [`Telemetry::finish`] sends what is left.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts logging, and exporting when an endpoint is set. Once in a process.
pub fn start(service: &str, config: &TelemetryConfig) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        anyhow::anyhow!("telemetry.log: {:?} is no filter: {error}.", config.log)
    })?;
    let logs = match config.format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
    };
    let registry = tracing_subscriber::registry().with(logs);
    if config.otlp_endpoint.is_empty() {
        registry.try_init()?;
        return Ok(Telemetry {
            traces: None,
            metrics: None,
        });
    }
    global::set_text_map_propagator(TraceContextPropagator::new());
    let resource = resource(service);
    let traces = tracer_provider(resource.clone(), config)?;
    let metrics = meter_provider(resource, config)?;
    // Where in the code, and on which thread, would only make every span dearer.
    let layer = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(EnvFilter::new("info"));
    registry.with(layer).try_init()?;
    metrics::turn_on(metrics.meter(SCOPE));
    Ok(Telemetry {
        traces: Some(traces),
        metrics: Some(metrics),
    })
}

/// The process. Two of one service are told apart by an id that each makes at its start.
fn resource(service: &str) -> Resource {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Resource::builder()
        .with_service_name(format!("muster-{service}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new(
            "service.instance.id",
            Uuid::now_v7().to_string(),
        ))
        .with_attribute(KeyValue::new("host.name", host.trim().to_owned()))
        .build()
}

fn tracer_provider(
    resource: Resource,
    config: &TelemetryConfig,
) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&config.otlp_endpoint)
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

fn meter_provider(
    resource: Resource,
    config: &TelemetryConfig,
) -> anyhow::Result<SdkMeterProvider> {
    let exporter = opentelemetry_otlp::MetricExporter::builder()
        .with_tonic()
        .with_endpoint(&config.otlp_endpoint)
        .build()?;
    let reader = PeriodicReader::builder(exporter)
        .with_interval(Duration::from_secs(config.metrics_interval_secs.max(1)))
        .build();
    // Only metrics of objects have more series than the default, which is 2,000.
    let view = |instrument: &Instrument| {
        let is_of_objects = instrument.kind() == InstrumentKind::ObservableGauge;
        let stream = Stream::builder().with_cardinality_limit(SERIES_MAX);
        is_of_objects.then(|| stream.build().ok()).flatten()
    };
    Ok(SdkMeterProvider::builder()
        .with_view(view)
        .with_reader(reader)
        .with_resource(resource)
        .build())
}

impl Telemetry {
    /// Sends the tail; without it the last spans of a run are lost.
    pub fn finish(self) {
        if let Some(Err(error)) = self.traces.map(|p| p.shutdown()) {
            tracing::debug!(%error, "the last traces were not sent");
        }
        if let Some(Err(error)) = self.metrics.map(|p| p.shutdown()) {
            tracing::debug!(%error, "the last metrics were not sent");
        }
    }
}

/// The W3C trace parent of the current span; `None` while traces are off.
pub fn trace_parent() -> Option<String> {
    if !is_on() {
        return None;
    }
    let context = tracing::Span::current().context();
    let mut carrier = HashMap::new();
    global::get_text_map_propagator(|p| p.inject_context(&context, &mut carrier));
    carrier.remove("traceparent")
}

/// Makes a span a child of one in another process, unless it has a parent here already.
pub fn set_parent(span: &tracing::Span, trace_parent: &str) {
    if trace_parent.is_empty() || self::trace_parent().is_some() {
        return;
    }
    let carrier = HashMap::from([("traceparent".to_owned(), trace_parent.to_owned())]);
    let parent = global::get_text_map_propagator(|p| p.extract(&carrier));
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(%error, "a span has no parent");
    }
}

/// Marks a span as one whose work failed.
pub fn set_failed(span: &tracing::Span, problem: &impl Display) {
    if is_on() {
        span.set_status(trace::Status::error(problem.to_string()));
    }
}
