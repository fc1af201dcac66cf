//! How a command ends when it does not go well: what is said, and the exit code.

use std::fmt::Write as _;
use std::time::Duration;

use contracts::rest::{Job, JobState, Problem};

use crate::output::{human, job_title};

/// Exit codes, as the help lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    JobFailed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Unreachable = 5,
    TimedOut = 6,
    Denied = 7,
    Internal = 8,
    Interrupted = 130,
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong in a way that only shows once it is put together.
    Usage(String),
    /// Muster answered with a problem document.
    Problem(Box<Problem>),
    /// Nobody answers at the address.
    Unreachable {
        server: String,
        reason: String,
    },
    /// A change was sent and the answer never came, however often it was asked for.
    OutcomeUnknown {
        server: String,
        reason: String,
    },
    /// The job ended otherwise than well.
    Job(Box<Job>),
    /// The job goes on, but nobody waits for it any more.
    TimedOut {
        job: Box<Job>,
        after: Duration,
    },
    Interrupted {
        job_ids: Vec<String>,
    },
    /// Several objects were named; the failures are told already.
    Told(Exit),
    /// The answer is none that this program understands.
    Unexpected(String),
    /// A file or the terminal refused.
    Local(String),
    /// Who read the output has gone; there is nothing more to say, and nobody to say it to.
    OutputClosed,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Problem(problem) => exit_of_problem(problem),
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } => Exit::Unreachable,
            Self::Job(_) => Exit::JobFailed,
            Self::TimedOut { .. } => Exit::TimedOut,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Told(exit) => *exit,
            Self::Unexpected(_) | Self::Local(_) => Exit::Internal,
            Self::OutputClosed => Exit::Done,
        }
    }

    /// The lines for the error output: what happened, then what to do. Empty when there is nothing to say.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Usage(message) | Self::Unexpected(message) | Self::Local(message) => {
                message.clone()
            }
            Self::Problem(problem) => describe_problem(problem),
            Self::Unreachable { server, reason } => format!(
                "Muster does not answer at {server}: {reason}.\n  next: check that it runs there; \
                 name another address with --server or MUSTER_SERVER"
            ),
            Self::OutcomeUnknown { server, reason } => format!(
                "The connection to Muster at {server} was lost: {reason}. The change may have been made.\n  \
                 next: look with `muster job list` before asking again"
            ),
            Self::Job(job) => describe_job(job),
            Self::TimedOut { job, after } => format!(
                "Job {}, {}, did not end within {}; it goes on.\n{}",
                job.id,
                job_title(job),
                human::duration(*after),
                how_to_go_on(&job.id)
            ),
            Self::Interrupted { job_ids } => describe_interrupted(job_ids),
            Self::Told(_) | Self::OutputClosed => String::new(),
        }
    }
}

fn exit_of_problem(problem: &Problem) -> Exit {
    match problem.code.as_str() {
        // Too much at a time says nothing against the request itself.
        _ if problem.status == 429 => Exit::Unreachable,
        "INVALID_ARGUMENT" => Exit::Usage,
        "NOT_FOUND" => Exit::NotFound,
        "ALREADY_EXISTS"
        | "FAILED_PRECONDITION"
        | "ABORTED"
        | "CANCELLED"
        | "RESOURCE_EXHAUSTED" => Exit::Refused,
        "UNAVAILABLE" | "DEADLINE_EXCEEDED" => Exit::Unreachable,
        "PERMISSION_DENIED" | "UNAUTHENTICATED" => Exit::Denied,
        _ => exit_of_status(problem.status),
    }
}

/// For an answer of something between us and the gateway, which knows no codes of ours.
fn exit_of_status(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 | 412 | 507 => Exit::Refused,
        429 | 502..=504 => Exit::Unreachable,
        400..=499 => Exit::Usage,
        _ => Exit::Internal,
    }
}

fn describe_problem(problem: &Problem) -> String {
    let mut text = if problem.detail.is_empty() {
        format!("{}.", problem.title)
    } else {
        problem.detail.clone()
    };
    if let Some(object) = &problem.object {
        let known = [&object.name, &object.id];
        if !known.iter().any(|k| !k.is_empty() && text.contains(*k)) {
            let name = if object.name.is_empty() {
                &object.id
            } else {
                &object.name
            };
            let _ = write!(text, "\n  object: {} {name}", object.kind);
        }
    }
    if let Some(field) = problem.field.as_deref().filter(|f| !text.contains(f)) {
        let _ = write!(text, "\n  field: {field}");
    }
    if !problem.recommended_action.is_empty() {
        let _ = write!(text, "\n  next: {}", problem.recommended_action);
    }
    if let Some(request_id) = problem
        .request_id
        .as_ref()
        .filter(|_| exit_of_problem(problem) == Exit::Internal)
    {
        let _ = write!(
            text,
            "\n  request: {request_id}, as the gateway's log names it"
        );
    }
    text
}

fn describe_job(job: &Job) -> String {
    let ended = match job.state {
        JobState::Succeeded => "had succeeded before it could be cancelled",
        JobState::Cancelled => "was cancelled",
        JobState::Stuck => "is stuck, half done, and could not be undone",
        _ => "failed",
    };
    let mut text = format!("{} {ended}", job_title(job));
    match &job.problem {
        Some(problem) => {
            let _ = write!(text, ": {}", describe_problem(problem));
        }
        None => text.push('.'),
    }
    let _ = write!(text, "\n  job: {0} (muster job show {0})", job.id);
    text
}

fn describe_interrupted(job_ids: &[String]) -> String {
    let mut text = String::from("No longer waiting; what was asked for goes on.");
    for id in job_ids {
        let _ = write!(text, "\n{}", how_to_go_on(id));
    }
    text
}

fn how_to_go_on(job_id: &str) -> String {
    format!("  watch it: muster job watch {job_id}\n  stop it:  muster job cancel {job_id}")
}

#[cfg(test)]
mod tests {
    use contracts::rest::ObjectRef;

    use super::*;

    fn problem(code: &str, status: u16) -> Problem {
        Problem {
            code: code.to_owned(),
            status,
            detail: "Something about web-01.".to_owned(),
            ..Problem::default()
        }
    }

    #[test]
    fn every_code_has_its_exit() {
        for (code, exit) in [
            ("INVALID_ARGUMENT", Exit::Usage),
            ("NOT_FOUND", Exit::NotFound),
            ("ALREADY_EXISTS", Exit::Refused),
            ("FAILED_PRECONDITION", Exit::Refused),
            ("ABORTED", Exit::Refused),
            ("RESOURCE_EXHAUSTED", Exit::Refused),
            ("UNAVAILABLE", Exit::Unreachable),
            ("DEADLINE_EXCEEDED", Exit::Unreachable),
            ("PERMISSION_DENIED", Exit::Denied),
            ("UNAUTHENTICATED", Exit::Denied),
            ("INTERNAL", Exit::Internal),
        ] {
            assert_eq!(Failure::from(problem(code, 500)).exit(), exit, "{code}");
        }
        let too_much = problem("RESOURCE_EXHAUSTED", 429);
        assert_eq!(Failure::from(too_much).exit(), Exit::Unreachable);
        for (status, exit) in [
            (403, Exit::Denied),
            (413, Exit::Usage),
            (502, Exit::Unreachable),
        ] {
            assert_eq!(Failure::from(problem("", status)).exit(), exit, "{status}");
        }
    }

    #[test]
    fn a_problem_says_what_happened_to_what_and_what_to_do() {
        let mut shown = problem("INTERNAL", 500);
        shown.recommended_action = "Look at the log.".to_owned();
        shown.field = Some("memory_bytes".to_owned());
        shown.request_id = Some("r-7".to_owned());
        shown.object = Some(ObjectRef {
            kind: "vm".to_owned(),
            id: "id-1".to_owned(),
            name: "web-01".to_owned(),
        });
        assert_eq!(
            Failure::from(shown.clone()).describe(),
            "Something about web-01.\n  field: memory_bytes\n  next: Look at the log.\n  \
             request: r-7, as the gateway's log names it"
        );
        shown.detail = "It broke.".to_owned();
        assert!(
            Failure::from(shown)
                .describe()
                .contains("object: vm web-01")
        );
    }
}
