//! A seam for tests: every point at which a runner can be watched, made to fail or made to vanish.

use async_trait::async_trait;
use contracts::Status;

/// A place in the life of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub job_id: String,
    /// Kind of the job: "vm_create".
    pub kind: String,
    pub step: String,
    pub at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    /// The step's start is written; it has not run.
    BeforeStep,
    /// The step has run; its result is not written.
    AfterStep,
    /// As for a step.
    BeforeUndo,
    AfterUndo,
    /// Right before and after the record is written with the outcome of the step or its undo.
    BeforeWrite,
    AfterWrite,
}

/// What happens at a point.
#[derive(Clone, Debug)]
pub enum Verdict {
    GoOn,
    /// Before a step or an undo: it is done two times over, from the same state.
    Twice,
    /// Before a step or an undo: it is not done and counts as done, to see whether a test would notice.
    Skip,
    /// Around a step or an undo: it counts as failed in this way, whether it was done or not.
    Fail(Status),
    /// The runner is gone from here, as if its process had been killed.
    Vanish,
}

#[async_trait]
pub trait Probe: Send + Sync + 'static {
    async fn reach(&self, point: Point) -> Verdict;
}

/// Production: nothing happens.
pub(crate) struct Off;

#[async_trait]
impl Probe for Off {
    async fn reach(&self, _: Point) -> Verdict {
        Verdict::GoOn
    }
}
