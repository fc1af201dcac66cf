//! Handles on metrics, each of one that `contracts::telemetry` names. While no endpoint is set, using one costs a look
//! at whether there is one.

use std::sync::OnceLock;
use std::time::Duration;

use contracts::telemetry::{Metric, MetricKind};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{self, Meter};

/// Of every histogram, in seconds: calls take a fraction of a millisecond, jobs minutes.
const BOUNDARIES_SECS: [f64; 18] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 300.0,
];

static METER: OnceLock<Meter> = OnceLock::new();

pub(super) fn turn_on(meter: Meter) {
    // It is done once in a process.
    let _ = METER.set(meter);
}

/// Whether traces and metrics are sent. What is costly to measure is only measured then.
pub fn is_on() -> bool {
    METER.get().is_some()
}

/// A metric that only grows.
pub struct Counter(Instrument<metrics::Counter<u64>>);

/// A metric of how often which value was seen, in seconds.
pub struct Histogram(Instrument<metrics::Histogram<f64>>);

/// A metric of how something is now.
pub struct Gauge(Instrument<metrics::Gauge<u64>>);

/// The same, told by what is added and taken away.
pub struct Level(Instrument<metrics::UpDownCounter<i64>>);

struct Instrument<T> {
    metric: &'static Metric,
    made: OnceLock<T>,
}

impl<T> Instrument<T> {
    /// The kind is looked at when the program is compiled, handles being statics.
    const fn new(metric: &'static Metric, kind: MetricKind) -> Self {
        assert!(metric.kind as u8 == kind as u8, "a metric of another kind");
        Self {
            metric,
            made: OnceLock::new(),
        }
    }

    /// Does something with the instrument, if there is somebody to send to.
    fn with(
        &self,
        attributes: &[(&'static str, &str)],
        make: impl FnOnce(&Meter, &'static Metric) -> T,
        act: impl FnOnce(&T, &[KeyValue]),
    ) {
        let Some(meter) = METER.get() else {
            return;
        };
        let instrument = self.made.get_or_init(|| make(meter, self.metric));
        act(instrument, &key_values(self.metric, attributes));
    }
}

fn key_values(metric: &Metric, attributes: &[(&'static str, &str)]) -> Vec<KeyValue> {
    debug_assert!(
        attributes
            .iter()
            .all(|(key, _)| metric.attributes.contains(key)),
        "{} has other attributes than it was declared with: {attributes:?}",
        metric.name
    );
    let pair = |(key, value): &(&'static str, &str)| KeyValue::new(*key, (*value).to_owned());
    attributes.iter().map(pair).collect()
}

impl Counter {
    pub const fn new(metric: &'static Metric) -> Self {
        Self(Instrument::new(metric, MetricKind::Counter))
    }

    pub fn add(&self, count: u64, attributes: &[(&'static str, &str)]) {
        let make = |meter: &Meter, metric: &'static Metric| {
            let builder = meter.u64_counter(metric.name);
            builder
                .with_unit(metric.unit)
                .with_description(metric.meaning)
                .build()
        };
        self.0
            .with(attributes, make, |counter, keys| counter.add(count, keys));
    }
}

impl Histogram {
    pub const fn new(metric: &'static Metric) -> Self {
        Self(Instrument::new(metric, MetricKind::Histogram))
    }

    pub fn record(&self, duration: Duration, attributes: &[(&'static str, &str)]) {
        let make = |meter: &Meter, metric: &'static Metric| {
            let builder = meter.f64_histogram(metric.name);
            let builder = builder.with_boundaries(BOUNDARIES_SECS.to_vec());
            builder
                .with_unit(metric.unit)
                .with_description(metric.meaning)
                .build()
        };
        let secs = duration.as_secs_f64();
        self.0.with(attributes, make, |histogram, keys| {
            histogram.record(secs, keys)
        });
    }
}

impl Gauge {
    pub const fn new(metric: &'static Metric) -> Self {
        Self(Instrument::new(metric, MetricKind::Gauge))
    }

    pub fn set(&self, value: u64, attributes: &[(&'static str, &str)]) {
        let make = |meter: &Meter, metric: &'static Metric| {
            let builder = meter.u64_gauge(metric.name);
            builder
                .with_unit(metric.unit)
                .with_description(metric.meaning)
                .build()
        };
        self.0
            .with(attributes, make, |gauge, keys| gauge.record(value, keys));
    }
}

impl Level {
    pub const fn new(metric: &'static Metric) -> Self {
        Self(Instrument::new(metric, MetricKind::Level))
    }

    pub fn change(&self, by: i64, attributes: &[(&'static str, &str)]) {
        let make = |meter: &Meter, metric: &'static Metric| {
            let builder = meter.i64_up_down_counter(metric.name);
            builder
                .with_unit(metric.unit)
                .with_description(metric.meaning)
                .build()
        };
        self.0
            .with(attributes, make, |level, keys| level.add(by, keys));
    }
}

/// Takes value and attributes of one object.
pub type Told<'a> = &'a mut dyn FnMut(f64, &[(&'static str, &str)]);

/// A metric of what many objects are like now, asked for when metrics are sent: an object that is not told of then is not
/// sent any more.
pub struct Readings {
    metric: &'static Metric,
    made: OnceLock<metrics::ObservableGauge<f64>>,
}

impl Readings {
    pub const fn new(metric: &'static Metric) -> Self {
        assert!(
            metric.kind as u8 == MetricKind::Gauge as u8,
            "a metric of another kind"
        );
        Self {
            metric,
            made: OnceLock::new(),
        }
    }

    /// From now on `read` is asked, and tells value and attributes of each object.
    pub fn tell(&self, read: impl Fn(Told<'_>) + Send + Sync + 'static) {
        let (Some(meter), metric) = (METER.get(), self.metric) else {
            return;
        };
        self.made.get_or_init(|| {
            let builder = meter.f64_observable_gauge(metric.name);
            let observe = move |observer: &dyn metrics::AsyncInstrument<f64>| {
                read(&mut |value, attributes| {
                    observer.observe(value, &key_values(metric, attributes));
                });
            };
            builder
                .with_unit(metric.unit)
                .with_description(metric.meaning)
                .with_callback(observe)
                .build()
        });
    }
}
