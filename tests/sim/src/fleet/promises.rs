//! What must be true of every job, whatever happened: checked against all that its log ever took.

use contracts::jobs::step::State as StepState;
use contracts::jobs::{Job, JobState};

use super::Site;
use super::history::{self, Version, Versions};
use super::ledger::Told;
use crate::world::World;

pub(super) fn check(site: &Site) {
    let all = history::of::<Job>(&site.server);
    for (id, versions) in &all {
        is_made_once(&site.world, id, versions);
        for pair in versions.windows(2) {
            if let Some(reason) = breach(&pair[0], &pair[1], &taker(versions, &pair[1])) {
                let said = format!("job {id}: {reason}");
                site.world.violation(said);
            }
        }
        for version in versions {
            says_what_to_do(&site.world, version);
        }
    }
    for (key, asked) in &site.ledger().asked {
        is_what_its_client_was_told(&site.world, &all, key, &asked.told);
    }
    site.world.tell("plan", format!("{} jobs", all.len()));
}

fn is_made_once(world: &World, id: &str, versions: &[Version<Job>]) {
    let made = versions.iter().filter(|version| version.is_first).count();
    let deleted = versions.iter().any(|version| version.value.is_none());
    if made != 1 || deleted {
        world.violation(format!(
            "job {id} was made {made} times, deleted: {deleted}"
        ));
    }
}

/// The process that took the job with the epoch that it has in a version.
fn taker(versions: &[Version<Job>], at: &Version<Job>) -> String {
    let epoch = |version: &Version<Job>| version.value.as_ref().map_or(0, |job| job.epoch);
    let first = versions.iter().find(|version| epoch(version) == epoch(at));
    first.map_or(String::new(), |first| first.writer.clone())
}

/// Why a version may not come after another.
fn breach(before: &Version<Job>, after: &Version<Job>, taker: &str) -> Option<String> {
    let (old, new) = (before.value.as_ref()?, after.value.as_ref()?);
    if new.epoch < old.epoch || new.restarts < old.restarts {
        return Some(format!(
            "epoch {} and restart {} after {} and {}",
            new.epoch, new.restarts, old.epoch, old.restarts
        ));
    }
    if new.restarts > old.restarts {
        let may = old.state().is_final() && old.state() != JobState::Succeeded;
        return (!may).then(|| format!("restarted in state {:?}", old.state()));
    }
    if !may_follow(old.state(), new.state()) {
        return Some(format!("{:?} after {:?}", new.state(), old.state()));
    }
    let has_moved = new.steps != old.steps || new.state_blob != old.state_blob;
    if has_moved && after.writer != taker {
        return Some(format!(
            "epoch {} is {taker}'s, and {} wrote it",
            new.epoch, after.writer
        ));
    }
    backwards(old, new)
}

fn may_follow(old: JobState, new: JobState) -> bool {
    use JobState::{Queued, Running, Succeeded, Undoing, Waiting};
    match old {
        old if old == new => true,
        old if old.is_final() => false,
        Queued | Waiting => new != Queued,
        Running => new != Queued,
        Undoing => !matches!(new, Queued | Waiting | Running | Succeeded),
        _ => false,
    }
}

/// A step that went back. Only a job that has to wait for its object after all begins anew.
fn backwards(old: &Job, new: &Job) -> Option<String> {
    if new.state() == JobState::Waiting {
        return None;
    }
    let went_back = |(old, new): &(_, _)| rank(new) < rank(old);
    let state = |step: &contracts::jobs::Step| step.state();
    let pairs = old.steps.iter().map(state).zip(new.steps.iter().map(state));
    let (old, new) = pairs.into_iter().find(went_back)?;
    Some(format!("a step is {new:?} after {old:?}"))
}

fn rank(state: &StepState) -> u32 {
    match state {
        StepState::Unspecified | StepState::Pending => 0,
        StepState::Running => 1,
        StepState::Done | StepState::Failed => 2,
        StepState::Undoing => 3,
        StepState::Undone | StepState::UndoFailed => 4,
    }
}

/// A job that did not come to what was wanted says why, and one that is stuck what a person should do.
fn says_what_to_do(world: &World, version: &Version<Job>) {
    let Some(job) = &version.value else { return };
    let problem = job.problem.clone().unwrap_or_default();
    let lacks = match job.state() {
        JobState::Failed | JobState::Cancelled => problem.message.is_empty(),
        JobState::Stuck => problem.recommended_action.is_empty(),
        _ => false,
    };
    if lacks {
        world.violation(format!("job {} is {:?}: {problem:?}", job.id, job.state()));
    }
}

/// A request that was acknowledged is one job, one that was refused none, and of the others nobody knows.
fn is_what_its_client_was_told(world: &World, all: &Versions<Job>, key: &str, told: &Told) {
    let is_its = |versions: &&Vec<Version<Job>>| {
        let first = versions.first().and_then(|version| version.value.as_ref());
        first.is_some_and(|job| job.owner == key)
    };
    let ids: Vec<&String> = all
        .iter()
        .filter(|(_, versions)| is_its(versions))
        .map(|(id, _)| id)
        .collect();
    let is_right = match told {
        Told::Accepted(id) => ids == [id],
        Told::Refused => ids.is_empty(),
        Told::Unknown => ids.len() <= 1,
    };
    if !is_right {
        world.violation(format!("{key} was told {told:?} and is {ids:?}"));
    }
}
