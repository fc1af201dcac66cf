//! Why a request failed, on its way to becoming a problem document.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contracts::rest::Problem;
use contracts::{Code, Status};

/// How long a client should wait before it asks again for what is not available now, in seconds.
const RETRY_AFTER_SECS: u16 = 1;

/// A status, with the HTTP status where that says more than the code does.
#[derive(Debug)]
pub(crate) struct Failure {
    // Boxed, since most functions here return it and nearly none do.
    status: Box<Status>,
    http: Option<StatusCode>,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            status: Box::new(status),
            http: None,
        }
    }
}

impl Failure {
    /// The same with an HTTP status of its own.
    pub(crate) fn with_http(mut self, http: StatusCode) -> Self {
        self.http = Some(http);
        self
    }

    pub(crate) fn invalid(field: &str, message: impl Into<String>, action: &str) -> Self {
        Status::invalid(field, message).action(action).into()
    }

    pub(crate) fn into_status(self) -> Status {
        *self.status
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    fn problem(self) -> (Problem, Option<u16>) {
        let retry_after = match (self.status.code(), self.http) {
            (Code::Unavailable, _) | (_, Some(StatusCode::TOO_MANY_REQUESTS)) => {
                Some(RETRY_AFTER_SECS)
            }
            _ => None,
        };
        let mut problem = Problem::from(*self.status);
        if let Some(http) = self.http {
            problem.status = http.as_u16();
        }
        (problem, retry_after)
    }
}

impl IntoResponse for Failure {
    /// The body is written by the outermost layer, which knows the request.
    fn into_response(self) -> Response {
        let (problem, retry_after) = self.problem();
        let http =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = http.into_response();
        if let Some(secs) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response.extensions_mut().insert(problem);
        response
    }
}
