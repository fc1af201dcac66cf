//! What the engine tells of itself over OTLP: spans and metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::jobs::{Job, JobState};
use contracts::records::indexes;
use contracts::telemetry::{JOB_DURATION, JOBS_FINISHED, JOBS_OPEN, JOBS_STARTED, STEP_DURATION};
use contracts::{Status, rest};
use kit::config::Section;
use kit::telemetry::{self, Counter, Gauge, Histogram};
use tokio::sync::broadcast::error::RecvError;
use tracing::Span;

use super::Engine;
use super::work::{Effect, Fail};
use crate::config::Config;
use crate::kinds::table::Way;

static STARTED: Counter = Counter::new(&JOBS_STARTED);
static FINISHED: Counter = Counter::new(&JOBS_FINISHED);
static JOB_TOOK: Histogram = Histogram::new(&JOB_DURATION);
static STEP_TOOK: Histogram = Histogram::new(&STEP_DURATION);
static OPEN: Gauge = Gauge::new(&JOBS_OPEN);

const OPEN_STATES: [JobState; 5] = [
    JobState::Queued,
    JobState::Waiting,
    JobState::Running,
    JobState::Undoing,
    JobState::Stuck,
];

/// A runner's work on a job, in the trace of its submission, whoever had the job before.
pub(super) fn job_span(job: &Job) -> Span {
    let span = tracing::info_span!(
        "job",
        otel.name = format!("job {}", job.kind),
        muster.service = Config::NAME,
        job_id = job.id,
    );
    telemetry::set_parent(&span, &job.trace_parent);
    span
}

/// One try of a step.
pub(super) fn step_span(job: &Job, step: &str, way: Way) -> Span {
    tracing::info_span!(
        "step",
        otel.name = format!("step {step}"),
        muster.service = Config::NAME,
        job_id = job.id,
        way = ?way,
    )
}

/// A runner has taken a job.
pub(super) fn note_start(job: &Job) {
    let how = if job.epoch == 1 { "first" } else { "again" };
    STARTED.add(1, &[("kind", &job.kind), ("how", how)]);
}

/// A job was just written; counts it when that was its end.
pub(crate) fn note_end(job: &Job) {
    if !job.state().is_final() {
        return;
    }
    let outcome = rest::JobState::from(job.state()).word();
    let attributes = [("kind", job.kind.as_str()), ("outcome", outcome)];
    FINISHED.add(1, &attributes);
    if job.started_ms != 0 {
        let took = u64::try_from(job.ended_ms - job.started_ms).unwrap_or(0);
        JOB_TOOK.record(Duration::from_millis(took), &attributes);
    }
}

/// A try of a step has come to its end.
pub(super) fn note_step(
    job: &Job,
    step: &str,
    way: Way,
    outcome: &Result<Effect, Fail>,
    took: Duration,
) {
    let way = match way {
        Way::Forward => "forward",
        Way::Back => "back",
    };
    let outcome = match outcome {
        Ok(_) => "done",
        Err(Fail::Problem(_)) => "failed",
        Err(Fail::Busy(_)) => "busy",
        Err(Fail::Stopped) => "stopped",
    };
    let attributes = [
        ("kind", job.kind.as_str()),
        ("step", step),
        ("way", way),
        ("outcome", outcome),
    ];
    STEP_TOOK.record(took, &attributes);
}

/// Keeps count of the jobs that are not over, until the engine stops.
pub(super) async fn count_open(engine: Arc<Engine>) {
    if !telemetry::is_on() {
        return;
    }
    let mut changes = engine.records.changes();
    let mut jobs = engine.not_over().unwrap_or_default();
    loop {
        tell(&jobs);
        let change = tokio::select! {
            biased;
            () = engine.stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(change) => {
                let state = change.after.as_ref().map(|job| job.state());
                match state.filter(|state| state.keeps_object()) {
                    Some(state) => jobs.insert(change.id.clone(), state),
                    None => jobs.remove(&change.id),
                };
            }
            Err(RecvError::Lagged(_)) => jobs = engine.not_over().unwrap_or_default(),
            Err(RecvError::Closed) => return,
        }
    }
}

fn tell(jobs: &HashMap<String, JobState>) {
    for state in OPEN_STATES {
        let count = jobs.values().filter(|s| **s == state).count();
        let word = rest::JobState::from(state).word();
        OPEN.set(count.try_into().unwrap_or(u64::MAX), &[("state", word)]);
    }
}

impl Engine {
    fn not_over(&self) -> Result<HashMap<String, JobState>, Status> {
        let mut jobs = self.records.find(indexes::PHASE, "open")?;
        let ended = self.records.find(indexes::PHASE, "ended")?;
        jobs.extend(ended.into_iter().filter(|s| s.value.state().keeps_object()));
        Ok(jobs.into_iter().map(|s| (s.id, s.value.state())).collect())
    }
}
