//! The progress of jobs at a terminal; nothing elsewhere.

use std::time::Duration;

use contracts::rest::{Job, Progress, Step, StepState};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{job_title, tame};

/// The time in the bar moves with this, whatever the job does.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Bars(MultiProgress);

impl Bars {
    pub(super) fn new(quiet: bool) -> Self {
        // Draws nothing by itself where the error output is no terminal.
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self(MultiProgress::with_draw_target(target))
    }

    pub(super) fn add(&self, job: &Job) -> Bar {
        let bar = self.0.add(ProgressBar::new(100).with_style(style()));
        bar.set_prefix(job_title(job));
        bar.enable_steady_tick(TICK);
        let bar = Bar(bar);
        bar.show(job, None);
        bar
    }

    pub(super) fn clear(&self) {
        // A terminal that is gone needs no clearing.
        let _ = self.0.clear();
    }
}

/// The time is that of the running step.
fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{spinner} {prefix} [{bar:24}] {percent:>3} % {elapsed} {wide_msg}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
    .progress_chars("=> ")
}

pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn show(&self, job: &Job, progress: Option<&Progress>) {
        let percent = progress.map_or(job.progress_percent, |p| p.percent);
        let sentence = tame(progress.map_or(job.message.as_str(), |p| &p.message));
        self.0.set_position(percent.into());
        let step = step_line(job);
        // The same step goes on for as long as its line starts the message.
        if !self.0.message().starts_with(&step) {
            self.0.reset_elapsed();
        }
        self.0.set_message(if sentence.is_empty() {
            step
        } else {
            format!("{step} · {sentence}")
        });
    }

    pub(super) fn lost(&self) {
        self.0
            .set_message("Muster does not answer; the job goes on, trying again");
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// `step 2/5, copy image`, or the job's state between steps.
fn step_line(job: &Job) -> String {
    let is_running = |step: &Step| matches!(step.state, StepState::Running | StepState::Undoing);
    match job
        .steps
        .iter()
        .enumerate()
        .find(|(_, step)| is_running(step))
    {
        Some((index, step)) => {
            let undo = if step.state == StepState::Undoing {
                "undoing "
            } else {
                ""
            };
            let name = step.name.replace('_', " ");
            format!("step {}/{}, {undo}{name}", index + 1, job.steps.len())
        }
        None => job.state.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: &str) -> Job {
        serde_json::from_value(crate::output::tests::job_value(state)).unwrap()
    }

    #[test]
    fn the_running_step_is_told_with_its_place() {
        assert_eq!(step_line(&job("running")), "step 2/2, copy image");
        assert_eq!(step_line(&job("queued")), "queued");
    }
}
