//! Jobs and their plans.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JobState, ObjectRef, Problem, PropertyChange, Rating, StepState, id, time};
use crate::{diff, jobs};

/// A change: asked for, running or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    pub id: String,
    /// `vm_create`, `host_add`, ...
    pub kind: String,
    pub state: JobState,
    /// Who asked.
    pub owner: String,
    pub target: Option<ObjectRef>,
    pub group_id: Option<String>,
    /// What was asked, by path, as text.
    pub params: BTreeMap<String, String>,
    pub steps: Vec<Step>,
    /// 0 to 100.
    pub progress_percent: u32,
    /// What the job is doing, or waits for, in one sentence.
    pub message: String,
    /// Why it failed, was cancelled or is stuck.
    pub problem: Option<Problem>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<jiff::Timestamp>,
    pub cancel_requested: bool,
    pub cancelled_by: Option<String>,
    /// The job that started this one.
    pub parent_id: Option<String>,
    /// The job whose end this one waits for.
    pub waits_for_job_id: Option<String>,
    /// The instance that runs it.
    pub runner: Option<String>,
    /// How often a person has restarted it.
    pub restarts: u32,
    pub changes: Vec<PropertyChange>,
    /// What a placement was chosen from, best first.
    pub ratings: Vec<Rating>,
}

impl From<jobs::Job> for Job {
    fn from(message: jobs::Job) -> Self {
        let state = message.state().into();
        let jobs::Job {
            id: job_id,
            kind,
            state: _,
            owner,
            target,
            params,
            steps,
            progress_percent,
            problem,
            created_ms,
            started_ms,
            ended_ms,
            cancel_requested,
            cancelled_by,
            parent_id,
            runner,
            // Between the runners alone.
            epoch: _,
            seen: _,
            state_blob: _,
            changes,
            message,
            trace_parent: _,
            request_hash: _,
            waits_for_job_id,
            ratings,
            restarts,
            group_id,
            target_before: _,
            refuse_if_busy: _,
            // Seen in the step's own state and message.
            failed_step: _,
            // Asked for by itself: it is large.
            decision: _,
        } = message;
        Self {
            id: job_id,
            kind,
            state,
            owner,
            target: target.map(Into::into),
            group_id: id(group_id),
            params: params_by_path(params.as_ref()),
            steps: steps.into_iter().map(Into::into).collect(),
            progress_percent,
            message,
            problem: problem.map(Into::into),
            created: time(created_ms),
            started: time(started_ms),
            ended: time(ended_ms),
            cancel_requested,
            cancelled_by: id(cancelled_by),
            parent_id: id(parent_id),
            waits_for_job_id: id(waits_for_job_id),
            runner: id(runner),
            restarts,
            changes: changes.into_iter().map(Into::into).collect(),
            ratings: ratings.into_iter().map(Into::into).collect(),
        }
    }
}

/// Everything that is set, without the kind that leads every path.
fn params_by_path(params: Option<&jobs::JobParams>) -> BTreeMap<String, String> {
    diff::changes(None, params)
        .into_iter()
        .filter_map(|set| Some((set.property.split_once('.')?.1.to_owned(), set.new)))
        .collect()
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    pub name: String,
    pub state: StepState,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started: Option<jiff::Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<jiff::Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    pub message: String,
}

impl From<jobs::Step> for Step {
    fn from(step: jobs::Step) -> Self {
        let state = step.state().into();
        let jobs::Step {
            name,
            state: _,
            started_ms,
            ended_ms,
            attempts,
            message,
            // Between the runners and the hosts.
            operation: _,
            // Its message is shown; the job carries the whole of it.
            problem: _,
            undo_attempts: _,
        } = step;
        Self {
            name,
            state,
            started: time(started_ms),
            ended: time(ended_ms),
            attempts,
            message,
        }
    }
}

/// How far a running job has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    pub job_id: String,
    pub percent: u32,
    pub message: String,
    pub bytes_done: u64,
    pub bytes_total: u64,
    /// 0: not known.
    #[serde(default)]
    pub bytes_per_sec: u64,
    /// Until all bytes are there, at this rate; 0: not known.
    #[serde(default)]
    pub secs_left: u64,
}

impl From<jobs::Progress> for Progress {
    fn from(progress: jobs::Progress) -> Self {
        let jobs::Progress {
            job_id,
            percent,
            message,
            bytes_done,
            bytes_total,
            bytes_per_sec,
            secs_left,
        } = progress;
        Self {
            job_id,
            percent,
            message,
            bytes_done,
            bytes_total,
            bytes_per_sec,
            secs_left,
        }
    }
}

/// What a job would do; nothing was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    pub steps: Vec<PlannedStep>,
    pub target: Option<ObjectRef>,
    /// Host that would be chosen, for jobs that place.
    pub host_id: Option<String>,
    pub host_name: Option<String>,
    pub ratings: Vec<Rating>,
    /// Bytes to copy or move.
    pub bytes_to_move: u64,
    pub changes: Vec<PropertyChange>,
}

impl From<jobs::Plan> for Plan {
    fn from(plan: jobs::Plan) -> Self {
        let jobs::Plan {
            steps,
            target,
            host_id,
            host_name,
            ratings,
            bytes_to_move,
            changes,
        } = plan;
        Self {
            steps: steps.into_iter().map(Into::into).collect(),
            target: target.map(Into::into),
            host_id: id(host_id),
            host_name: id(host_name),
            ratings: ratings.into_iter().map(Into::into).collect(),
            bytes_to_move,
            changes: changes.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedStep {
    pub name: String,
    pub description: String,
    pub can_be_undone: bool,
}

impl From<jobs::PlannedStep> for PlannedStep {
    fn from(step: jobs::PlannedStep) -> Self {
        let jobs::PlannedStep {
            name,
            description,
            can_be_undone,
        } = step;
        Self {
            name,
            description,
            can_be_undone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Hardware;
    use crate::jobs::{JobParams, VmCreate, job_params};

    #[test]
    fn what_was_asked_is_shown_by_path() {
        let create = VmCreate {
            name: "web-01".to_owned(),
            hardware: Some(Hardware {
                vcpus: 2,
                ..Hardware::default()
            }),
            ..VmCreate::default()
        };
        let params = JobParams {
            kind: Some(job_params::Kind::VmCreate(create)),
        };
        let shown = params_by_path(Some(&params));
        assert_eq!(shown.get("name").map(String::as_str), Some("web-01"));
        assert_eq!(shown.get("hardware.vcpus").map(String::as_str), Some("2"));
    }
}
