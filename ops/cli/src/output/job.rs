//! Jobs, their steps and plans, and the ratings that they chose from.

use std::fmt::Write as _;

use contracts::rest::{Job, JobState, Plan, PlannedStep, PropertyChange, Rating, Step, StepState};

use jiff::Timestamp;

use super::detail::{Detail, paint};
use super::stars::stars;
use super::table::{Cell, Column, Tone};
use super::{Output, human, tame};

/// What a job does to what: `vm create web-01`, in the words of the command line.
pub(crate) fn job_title(job: &Job) -> String {
    let verb = job.kind.replacen('_', " ", 1).replace('_', "-");
    let title = match &job.target {
        Some(target) if !target.name.is_empty() => format!("{verb} {}", target.name),
        Some(target) => format!("{verb} {}", target.id),
        None => verb,
    };
    tame(&title)
}

pub(crate) fn job_tone(state: JobState) -> Tone {
    match state {
        JobState::Succeeded => Tone::Good,
        JobState::Failed | JobState::Stuck => Tone::Bad,
        JobState::Cancelled | JobState::Unknown => Tone::Faint,
        JobState::Queued | JobState::Waiting | JobState::Running | JobState::Undoing => Tone::Busy,
    }
}

fn step_tone(state: StepState) -> Tone {
    match state {
        StepState::Done => Tone::Good,
        StepState::Failed | StepState::UndoFailed => Tone::Bad,
        StepState::Running | StepState::Undoing => Tone::Busy,
        StepState::Pending | StepState::Undone | StepState::Unknown => Tone::Faint,
    }
}

/// How a job ended, in one line.
pub(crate) fn job_result(job: &Job, output: &Output) -> String {
    let state = paint(job.state.word(), job_tone(job.state));
    let time = job_time(job, output.now);
    let time = if time.is_empty() {
        time
    } else {
        format!(" in {time}")
    };
    format!("{}: {state}{time} (job {})\n", job_title(job), job.id)
}

/// How long a job took, or has run so far.
pub(crate) fn job_time(job: &Job, now: Timestamp) -> String {
    let start = job.started.or(job.created);
    let end = job.ended.unwrap_or(now);
    start.map_or_else(String::new, |start| {
        human::duration(human::since(start, end))
    })
}

const JOB_COLUMNS: [Column<Job>; 4] = [
    Column::always("what", |j, _| job_title(j).into()),
    Column::always("state", |j, _| Cell::new(j.state, job_tone(j.state))),
    Column::always("time", |j, now| job_time(j, now).into()),
    Column::always("job", |j, _| j.id.as_str().into()),
];

pub(crate) fn job_table(jobs: &[Job], output: &Output) -> String {
    output.table(&all(&JOB_COLUMNS), jobs)
}

const STEP_COLUMNS: [Column<Step>; 4] = [
    Column::always("step", |s, _| s.name.replace('_', " ").into()),
    Column::always("state", |s, _| {
        let again = if s.attempts > 1 {
            format!(" ({} attempts)", s.attempts)
        } else {
            String::new()
        };
        Cell::new(
            format!("{}{again}", s.state.word().replace('_', " ")),
            step_tone(s.state),
        )
    }),
    Column::always("time", |s, now| {
        s.started
            .map_or_else(String::new, |t| {
                human::duration(human::since(t, s.ended.unwrap_or(now)))
            })
            .into()
    }),
    Column::always("message", |s, _| s.message.as_str().into()),
];

pub(crate) fn steps_table(job: &Job, output: &Output) -> String {
    if job.steps.is_empty() {
        return String::new();
    }
    output.table(&all(&STEP_COLUMNS), &job.steps)
}

/// Everything about one job.
pub(crate) fn job_detail(job: &Job, output: &Output) -> String {
    let state = match job.state.is_final() {
        true => job.state.word().to_owned(),
        false => format!("{}, {} %", job.state, job.progress_percent),
    };
    let mut text = Detail::default()
        .line("Job", &job.id)
        .line("What", job_title(job))
        .toned("State", state, job_tone(job.state))
        .line("Message", &job.message)
        .line("Owner", &job.owner)
        .line("Asked", human::moment(job.created, output.now))
        .line("Took", job_time(job, output.now))
        .line("Waits for job", text_of(&job.waits_for_job_id))
        .line("Part of job", text_of(&job.parent_id))
        .line("Cancelled by", text_of(&job.cancelled_by))
        .line("Runner", text_of(&job.runner))
        .line(
            "Restarts",
            if job.restarts == 0 {
                String::new()
            } else {
                job.restarts.to_string()
            },
        )
        .render();
    if let Some(problem) = &job.problem {
        let told = Detail::default()
            .toned("Problem", &problem.detail, Tone::Bad)
            .line("Next", &problem.recommended_action);
        let _ = write!(text, "\n{}", told.render());
    }
    section(&mut text, &steps_table(job, output));
    section(&mut text, &rating_table(&job.ratings, output));
    section(&mut text, &change_table(&job.changes, output));
    text
}

const PLAN_COLUMNS: [Column<PlannedStep>; 3] = [
    Column::always("step", |s, _| s.name.replace('_', " ").into()),
    Column::always("what", |s, _| s.description.as_str().into()),
    Column::always("undo", |s, _| {
        if s.can_be_undone { "yes" } else { "no" }.into()
    }),
];

/// What would be done.
pub(crate) fn plan(plan: &Plan, output: &Output) -> String {
    let host = plan.host_name.as_ref().or(plan.host_id.as_ref());
    let target = plan
        .target
        .as_ref()
        .map_or("", |t| if t.name.is_empty() { &t.id } else { &t.name });
    let moved = if plan.bytes_to_move == 0 {
        String::new()
    } else {
        human::bytes(plan.bytes_to_move)
    };
    let mut text = String::from("Nothing was done. This would be:\n\n");
    text += &Detail::default()
        .line("Target", target)
        .line("Host", text_of(&host.cloned()))
        .line("To copy", moved)
        .render();
    if !plan.steps.is_empty() {
        section(&mut text, &output.table(&all(&PLAN_COLUMNS), &plan.steps));
    }
    section(&mut text, &rating_table(&plan.ratings, output));
    section(&mut text, &change_table(&plan.changes, output));
    text
}

const RATING_COLUMNS: [Column<Rating>; 3] = [
    Column::always("host", |r, _| {
        if r.host_name.is_empty() {
            &r.host_id
        } else {
            &r.host_name
        }
        .into()
    }),
    Column::always("stars", |r, _| {
        let tone = if r.stars > 0.0 { Tone::Good } else { Tone::Bad };
        Cell::new(format!("{} {:.1}", stars(r.stars), r.stars), tone)
    }),
    Column::always("why", |r, _| why(r).into()),
];

pub(crate) fn rating_table(ratings: &[Rating], output: &Output) -> String {
    if ratings.is_empty() {
        return String::new();
    }
    output.table(&all(&RATING_COLUMNS), ratings)
}

/// Why a host cannot take the machine, or what cost it stars.
fn why(rating: &Rating) -> String {
    let sentences: Vec<String> = if rating.zero_reasons.is_empty() {
        let remarks = rating.remarks.iter().map(|r| r.message.clone());
        let resources = rating.resources.iter().filter(|r| r.weight > 0.0);
        let told = |r: &contracts::rest::ResourceRating| {
            format!(
                "{} ({:.1} lost)",
                r.explanation.trim_end_matches('.'),
                r.stars_lost
            )
        };
        remarks.chain(resources.map(told)).collect()
    } else {
        let told = |r: &contracts::rest::Reason| format!("{} {}", r.message, r.recommended_action);
        rating.zero_reasons.iter().map(told).collect()
    };
    sentences.join(" ").trim_end().to_owned()
}

const CHANGE_COLUMNS: [Column<PropertyChange>; 3] = [
    Column::always("property", |c, _| c.property.as_str().into()),
    Column::always("before", |c, _| c.previous.as_str().into()),
    Column::always("after", |c, _| c.new.as_str().into()),
];

fn change_table(changes: &[PropertyChange], output: &Output) -> String {
    if changes.is_empty() {
        return String::new();
    }
    output.table(&all(&CHANGE_COLUMNS), changes)
}

fn all<T>(columns: &[Column<T>]) -> Vec<&Column<T>> {
    columns.iter().collect()
}

fn text_of(id: &Option<String>) -> &str {
    id.as_deref().unwrap_or_default()
}

fn section(text: &mut String, table: &str) {
    if !table.is_empty() {
        let _ = write!(text, "\n{table}");
    }
}
