//! What every request goes through: its name, its span, its guard, and the form of its failure.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use contracts::names::{is_token, shorten};
use contracts::rest::{Problem, headers};
use contracts::{Code, Status};
use kit::telemetry;
use tracing::Instrument;

use super::App;
use crate::core::guard::{self, Sender};
use crate::error::Failure;
use crate::meter::Meter;

/// Sent with every answer. What the gateway serves is data: no browser should run, frame, guess or keep it.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The outermost layer.
pub(super) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request_id(&app, request.headers());
    let path = request.uri().path().to_owned();
    let (meter, begun) = (meter(&request, &id), Instant::now());
    let response = async {
        let response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(meter.span.clone())
    .await;
    meter.end(response.status(), begun.elapsed());
    let problem = response.extensions().get::<Problem>();
    // What is wrong with a request is no failure of who answers it.
    if let Some(problem) = problem.filter(|problem| problem.status >= 500) {
        telemetry::set_failed(&meter.span, &problem.detail);
    }
    finish(response, &id, &path)
}

/// The client's own name for the request, if it can be one.
fn request_id(app: &App, headers: &HeaderMap) -> String {
    text(headers, headers::REQUEST_ID)
        .filter(|id| is_token(id))
        .map_or_else(|| app.world.new_id(), str::to_owned)
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn meter(request: &Request, id: &str) -> Meter {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unknown", MatchedPath::as_str);
    let meter = Meter::begin(request.method(), route, id);
    telemetry::set_parent(&meter.span, trace_parent(request.headers()));
    meter
}

/// The request's W3C trace parent; empty when there is none or it is none.
pub(super) fn trace_parent(headers: &HeaderMap) -> &str {
    let is_one = |text: &&str| {
        let parts: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        lengths == [2, 32, 16, 2]
            && parts
                .iter()
                .all(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    text(headers, "traceparent")
        .filter(is_one)
        .unwrap_or_default()
}

/// Writes the problem document of a failure, and the headers of every answer.
fn finish(mut response: Response, id: &str, path: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = with_document(response, problem, id, path);
    }
    let into = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        into.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        into.insert(headers::REQUEST_ID, id);
    }
    response
}

fn with_document(failed: Response, mut problem: Problem, id: &str, path: &str) -> Response {
    problem.instance = Some(shorten(path));
    problem.request_id = Some(id.to_owned());
    if problem.status >= 500 {
        tracing::warn!(request_id = id, path, %problem, "a request failed");
    }
    let (mut parts, _) = failed.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM);
    let mut response = Json(problem).into_response();
    *response.status_mut() = parts.status;
    response.headers_mut().extend(parts.headers);
    response
}

/// Lets in what [`guard::check`] does.
pub(super) async fn guard(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let (method, headers) = (request.method(), request.headers());
    let sender = Sender {
        changes: method != Method::GET && method != Method::HEAD,
        host: text(headers, header::HOST.as_str()),
        origin: text(headers, header::ORIGIN.as_str()),
        fetch_site: text(headers, "sec-fetch-site"),
    };
    guard::check(sender, !app.config.i_know_this_is_unprotected)
        .map_err(|status| Failure::from(*status))?;
    Ok(next.run(request).await)
}

pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    tracing::error!(panic = text, "a request failed in itself");
    Failure::from(Status::internal("The gateway failed in itself.")).into_response()
}

pub(super) async fn no_such_route(uri: Uri) -> Failure {
    let message = format!("There is nothing at {}.", shorten(uri.path()));
    Status::new(Code::NotFound, message)
        .action("See /api/v1/openapi.json for what there is.")
        .into()
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Failure {
    let message = format!("{method} is not possible at {}.", shorten(uri.path()));
    let status = Status::new(Code::InvalidArgument, message)
        .action("Use a method that the Allow header names; see /api/v1/openapi.json.");
    Failure::from(status).with_http(StatusCode::METHOD_NOT_ALLOWED)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[test]
    fn a_trace_parent_is_taken_only_if_it_is_one() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (sent, taken) in [
            (good, good),
            ("", ""),
            ("00-xyz-1-01", ""),
            (&good[1..], ""),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("traceparent"),
                HeaderValue::from_str(sent).unwrap(),
            )]);
            assert_eq!(trace_parent(&headers), taken);
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_of_the_inside() {
        let answer = finish(
            panicked(Box::new("index 7 of /etc/secret")),
            "r1",
            "/api/v1/vms",
        );
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers().get(header::CONTENT_TYPE), Some(&PROBLEM));
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem.code.as_str(), problem.status), ("INTERNAL", 500));
        assert_eq!(problem.request_id.as_deref(), Some("r1"));
        assert!(!problem.detail.contains("secret"));
    }
}
