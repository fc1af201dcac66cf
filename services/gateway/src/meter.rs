//! What the gateway tells of itself over OTLP: spans and metrics.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use contracts::telemetry::{GATEWAY_DURATION, GATEWAY_REQUESTS, GATEWAY_STREAMS};
use kit::config::Section;
use kit::telemetry::{Counter, Histogram, Level};
use tracing::Span;

use crate::config::Config;

static REQUESTS: Counter = Counter::new(&GATEWAY_REQUESTS);
static TOOK: Histogram = Histogram::new(&GATEWAY_DURATION);
static STREAMS: Level = Level::new(&GATEWAY_STREAMS);

/// A request's span, and what its metrics are counted under. Clients may send any word as method: what is not known is
/// one of many.
pub(crate) struct Meter {
    pub(crate) span: Span,
    method: &'static str,
    route: String,
}

impl Meter {
    pub(crate) fn begin(method: &Method, route: &str, request_id: &str) -> Self {
        let method = known(method);
        let span = tracing::info_span!(
            "http",
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            muster.service = Config::NAME,
            http.request.method = method,
            http.route = route,
            http.response.status_code = tracing::field::Empty,
            request_id,
        );
        Self {
            span,
            method,
            route: route.to_owned(),
        }
    }

    pub(crate) fn end(&self, status: StatusCode, took: Duration) {
        let (method, route) = (("method", self.method), ("route", self.route.as_str()));
        self.span
            .record("http.response.status_code", status.as_u16());
        REQUESTS.add(1, &[method, route, ("status", status.as_str())]);
        TOOK.record(took, &[method, route]);
    }
}

fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// An open stream, counted until it is dropped.
pub(crate) struct OpenStream(());

impl OpenStream {
    pub(crate) fn new() -> Self {
        STREAMS.change(1, &[]);
        Self(())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        STREAMS.change(-1, &[]);
    }
}
