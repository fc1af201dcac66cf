//! Taking a request apart; whatever is wrong with it is said by name.

use std::error::Error;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use contracts::Status;
use contracts::call::{Context, Revisions, format_revisions, parse_revisions};
use contracts::names::shorten;
use contracts::rest::headers;
use serde::de::DeserializeOwned;

use super::{App, Ready, layers};
use crate::error::{Failure, Outcome};
use crate::events::Hub;
use crate::store::Views;

/// Who asks until there is sign-in.
pub(super) const PRINCIPAL: &str = "local";

/// Longest idempotency key.
const KEY_CHARS_MAX: usize = 128;

/// A request of the fleet: made when the views have seen what the client has.
pub(super) struct Asked {
    pub(super) app: Arc<App>,
    pub(super) views: Arc<Views>,
    pub(super) hub: Arc<Hub>,
    pub(super) context: Context,
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Outcome<Self> {
        let Ready { views, hub } = app.ready()?;
        let context = context(&parts.headers)?;
        views.wait_for(&context.seen()).await?;
        Ok(Self {
            app: Arc::clone(app),
            views: Arc::clone(views),
            hub: Arc::clone(hub),
            context,
        })
    }
}

fn context(headers: &HeaderMap) -> Outcome<Context> {
    let mut context = Context::new(PRINCIPAL);
    context.idempotency_key = idempotency_key(headers)?;
    context.trace_parent =
        kit::telemetry::trace_parent().unwrap_or_else(|| layers::trace_parent(headers).to_owned());
    if let Some(seen) = layers::text(headers, headers::REVISION) {
        context.saw_all(&parse_revisions(seen));
    }
    Ok(context)
}

fn idempotency_key(headers: &HeaderMap) -> Outcome<String> {
    let Some(key) = headers.get(headers::IDEMPOTENCY_KEY) else {
        return Ok(String::new());
    };
    let is_one = |key: &&str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(known)
    };
    let key = key.to_str().ok().filter(is_one);
    key.map(str::to_owned).ok_or_else(|| {
        Failure::invalid(
            headers::IDEMPOTENCY_KEY,
            "The idempotency key cannot be one.",
            "Use 1 to 128 letters, digits and -_.: (a UUID is well suited).",
        )
    })
}

/// An answer with the revisions that it reflects.
pub(super) struct Reflecting<T>(pub(super) Revisions, pub(super) T);

impl<T: IntoResponse> IntoResponse for Reflecting<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        if let Ok(value) = HeaderValue::from_str(&format_revisions(&self.0)) {
            response.headers_mut().insert(headers::REVISION, value);
        }
        response
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Outcome<Self> {
        let Json(body) = <Json<T> as FromRequest<_>>::from_request(request, app)
            .await
            .map_err(wrong_body)?;
        Ok(Self(body))
    }
}

/// A JSON body, as [`Body`] reads it.
pub(crate) fn parse_body<T: DeserializeOwned>(body: &[u8]) -> Outcome<T> {
    let Json(body) = Json::from_bytes(body).map_err(wrong_body)?;
    Ok(body)
}

/// A JSON body that may be left out.
pub(super) struct MaybeBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for MaybeBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Outcome<Self> {
        let body = <Json<T> as OptionalFromRequest<_>>::from_request(request, app)
            .await
            .map_err(wrong_body)?;
        Ok(Self(body.map(|Json(body)| body).unwrap_or_default()))
    }
}

fn wrong_body(rejection: JsonRejection) -> Failure {
    let http = rejection.status();
    let status = match &rejection {
        JsonRejection::JsonDataError(error) => wrong_value("body", &cause(error)),
        JsonRejection::JsonSyntaxError(error) => {
            Status::invalid("", format!("The body is not JSON: {}.", cause(error)))
                .action("Send one JSON object.")
        }
        JsonRejection::MissingJsonContentType(_) => {
            Status::invalid("content-type", "The body is not said to be JSON.")
                .action("Send it with Content-Type: application/json.")
        }
        _ if http == StatusCode::PAYLOAD_TOO_LARGE => {
            Status::invalid("", "The body is too large.").action("Send less at a time.")
        }
        other => Status::invalid("", format!("The body could not be read: {}.", cause(other)))
            .action("Send it again."),
    };
    let failure = Failure::from(status);
    match http {
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::PAYLOAD_TOO_LARGE => {
            failure.with_http(http)
        }
        // Also where axum says 422: one code, one HTTP status.
        _ => failure,
    }
}

/// The innermost error that still says all: where it is, and what is wrong.
fn cause(error: &(dyn Error + 'static)) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// What serde says of a value, as `disks[0].size_bytes: invalid type: string "x", expected u64 at line 1 column 9`.
fn wrong_value(what: &str, text: &str) -> Status {
    let (path, said) = text
        .split_once(": ")
        .filter(|(path, _)| !path.contains(' '))
        .unwrap_or(("", text));
    let named = ["unknown field `", "missing field `"]
        .into_iter()
        .find_map(|start| said.strip_prefix(start)?.split('`').next());
    let field = match named {
        None => path.trim_start_matches('.').to_owned(),
        Some(name) if path.is_empty() || path == "." || path.ends_with(name) => {
            path.rsplit_once(name)
                .map_or("", |(above, _)| above)
                .to_owned()
                + name
        }
        Some(name) => format!("{path}.{name}"),
    };
    Status::invalid(
        field,
        format!("The {what} is wrong: {}.", shorten_long(text)),
    )
    .action("See /api/v1/openapi.json for what it takes.")
}

/// A list of expected fields may be long; a value that was sent may be longer.
fn shorten_long(text: &str) -> String {
    const CHARS_SHOWN: usize = 500;
    text.chars().take(CHARS_SHOWN).collect()
}

/// Parameters in the query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Outcome<Self> {
        axum::extract::Query::<T>::from_request_parts(parts, app)
            .await
            .map(|query| Self(query.0))
            .map_err(|rejection| wrong_value("query", &cause(&rejection)).into())
    }
}

/// Parts of the path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Outcome<Self> {
        axum::extract::Path::<T>::from_request_parts(parts, app)
            .await
            .map(|path| Self(path.0))
            .map_err(|rejection| {
                let message = format!("The path is wrong: {}.", shorten(&rejection.body_text()));
                Failure::invalid("", message, "Percent-encode names in UTF-8.")
            })
    }
}
