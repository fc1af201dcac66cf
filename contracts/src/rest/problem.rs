//! Problem documents (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ObjectRef;
use crate::{Code, Status};

/// Why a request or a job failed: what happened to which object, and what to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:muster:problem:<code in lower case>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The code in words, the same for every problem of the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// One sentence that names the object.
    pub detail: String,
    /// The path that was asked for; absent in a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// `NOT_FOUND`, `INVALID_ARGUMENT`, ...
    pub code: String,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recommended_action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// The field of the request that is at fault, as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Names the request in the gateway's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<Status> for Problem {
    fn from(message: Status) -> Self {
        let code = message.code();
        let Status {
            code: _,
            message: detail,
            recommended_action,
            object,
            field,
        } = message;
        Self {
            type_uri: format!("urn:muster:problem:{}", code.name().to_lowercase()),
            title: title(code).to_owned(),
            status: http_status(code),
            detail,
            instance: None,
            code: code.name().to_owned(),
            recommended_action,
            object: object.map(Into::into),
            field: super::id(field),
            request_id: None,
        }
    }
}

/// The HTTP status of each code. RESOURCE_EXHAUSTED is 507, since it says that the fleet or the log has no room; the
/// gateway's own limits on a client say 429.
fn http_status(code: Code) -> u16 {
    match code {
        Code::InvalidArgument => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted | Code::Cancelled => 409,
        Code::ResourceExhausted => 507,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        // An error that says "ok" is one of our own.
        Code::Internal | Code::Ok => 500,
    }
}

fn title(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "The request is wrong",
        Code::Unauthenticated => "Not signed in",
        Code::PermissionDenied => "Not allowed",
        Code::NotFound => "Not found",
        Code::AlreadyExists => "Already there",
        Code::FailedPrecondition => "Not possible in this state",
        Code::Aborted => "Another change came first",
        Code::Cancelled => "Cancelled",
        Code::ResourceExhausted => "No room",
        Code::Unavailable => "Not available now",
        Code::DeadlineExceeded => "No answer in time",
        Code::Internal | Code::Ok => "Failed in itself",
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)?;
        if !self.recommended_action.is_empty() {
            write!(f, " {}", self.recommended_action)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_everything_it_says() {
        let status = Status::not_found(crate::ObjectRef::new("vm", "x1", "")).action("Look.");
        let problem = Problem::from(status);
        assert_eq!(
            (
                problem.status,
                problem.type_uri.as_str(),
                problem.code.as_str()
            ),
            (404, "urn:muster:problem:not_found", "NOT_FOUND")
        );
        assert_eq!(problem.detail, "There is no virtual machine x1.");
        assert_eq!(problem.recommended_action, "Look.");
        assert_eq!(problem.object.map(|o| o.id).as_deref(), Some("x1"));
    }
}
