//! One job from here to its end, or to where it must be left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contracts::Status;
use contracts::call::Context;
use contracts::jobs::{Job, JobState};
use contracts::records::Record;
use kit::bus::Delivery;
use kit::records::Decision;
use kit::telemetry;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::queue::{job_of, revision_of};
use super::seats::Seat;
use super::work::{Effect, Fail, calls_context};
use super::{Engine, Leave, meter, write_context};
use crate::core::machine::{self, Rule, Task};
use crate::core::{retry, turn};
use crate::hands::publish_progress;
use crate::kinds;
use crate::kinds::table::{Kind, Way, rules};
use crate::probe::{At, Point, Verdict};

/// How long a view may take to have the job that the queue speaks of.
const VIEW_PATIENCE: Duration = Duration::from_secs(10);

/// Works on a delivered job.
pub(super) async fn run(engine: &Arc<Engine>, delivery: Box<dyn Delivery>) {
    let delivery: Arc<dyn Delivery> = delivery.into();
    let Some(job_id) = job_of(delivery.entry()).map(str::to_owned) else {
        return;
    };
    // A job that runs here was delivered again since its lease was not extended in time: the runner that has it goes on
    // extending, whichever delivery it holds.
    let Some(seat) = engine.seats.sit(&job_id) else {
        return;
    };
    let lease = AbortOnDropHandle::new(tokio::spawn(keep_lease(
        Arc::clone(&delivery),
        engine.config.lease() / 3,
    )));
    engine
        .records
        .wait_for(revision_of(delivery.entry()), VIEW_PATIENCE)
        .await;
    let left = match engine.take(&job_id).await {
        Ok(Some(Taken {
            job,
            kind,
            rules,
            revision,
        })) => {
            let span = meter::job_span(&job);
            meter::note_start(&job);
            let run = Run {
                engine,
                seat: &seat,
                kind,
                rules,
                context: calls_context(&job),
                written: AtomicU64::new(revision),
            };
            run.to_the_end(job).instrument(span).await
        }
        Ok(None) => Ok(()),
        Err(leave) => Err(leave),
    };
    drop(lease);
    drop(seat);
    match left {
        Ok(()) => engine.close(&job_id, &*delivery).await,
        Err(Leave::Stopping) => {
            if let Err(error) = delivery.give_back(Duration::ZERO).await {
                tracing::debug!(job_id, %error, "the job goes to another instance when its lease ends");
            }
        }
        Err(Leave::Lost) => tracing::info!(job_id, "another runner has the job"),
        Err(Leave::Vanished) => {}
    }
}

async fn keep_lease(delivery: Arc<dyn Delivery>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = delivery.extend().await {
            tracing::warn!(%error, "a job's lease was not extended");
        }
    }
}

/// A job that has a runner.
struct Taken {
    job: Job,
    kind: &'static dyn Kind,
    rules: Vec<Rule>,
    /// Of the job's record.
    revision: u64,
}

impl Engine {
    /// Takes a job that has something to be done, with the rules of its steps.
    async fn take(&self, job_id: &str) -> Result<Option<Taken>, Leave> {
        loop {
            let owner = self
                .job(job_id)
                .ok()
                .flatten()
                .map(|j| j.owner)
                .unwrap_or_default();
            let context = write_context(&owner, job_id);
            let mut given_up = None;
            let taken = self.records.update(&context, job_id, |stored| {
                given_up = None;
                let Some(mut job) = stored
                    .map(|s| s.value.clone())
                    .filter(|job| !job.state().is_final())
                else {
                    return Ok(Decision::Keep(None));
                };
                let now_ms = self.world.now_ms();
                let known = kinds::named(&job.kind).and_then(|kind| Ok((kind, rules(kind, &job)?)));
                let table = match known {
                    Ok((kind, rules)) => {
                        machine::take(&mut job, &rules, &self.name, now_ms);
                        Some((job.clone(), kind, rules))
                    }
                    Err(problem) => {
                        machine::give_up(&mut job, problem, now_ms);
                        given_up = Some(job.clone());
                        None
                    }
                };
                Ok(Decision::Put(job, table))
            });
            match taken.await {
                Ok(taken) => {
                    given_up.iter().for_each(meter::note_end);
                    let revision = context.seen_of(Job::BUCKET);
                    return Ok(taken.map(|(job, kind, rules)| Taken {
                        job,
                        kind,
                        rules,
                        revision,
                    }));
                }
                Err(error) => self.wait_for_log(job_id, &error).await?,
            }
        }
    }

    /// The runner is through with the entry. What became open meanwhile, since a person restarted it or the job that it
    /// waits for ended, is asked for again: the entry was still there when they asked.
    async fn close(&self, job_id: &str, delivery: &dyn Delivery) {
        if let Err(error) = delivery.finish().await {
            tracing::debug!(job_id, %error, "the entry comes back when its lease ends");
            return;
        }
        match self.job(job_id) {
            Ok(Some(job)) if self.is_due(&job).unwrap_or(false) => self.call_runner(job_id).await,
            _ => {}
        }
    }

    /// Whether a job that nobody runs should be run now.
    pub(crate) fn is_due(&self, job: &Job) -> Result<bool, Status> {
        if job.state() != JobState::Waiting {
            return Ok(!job.state().is_final());
        }
        let holder = self.job(&job.waits_for_job_id)?;
        let others = self.jobs_of(&job.target.clone().unwrap_or_default())?;
        Ok(turn::is_due(job, holder.as_ref(), &others))
    }
}

/// A job in the hands of its runner.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Arc<Engine>,
    seat: &'a Seat,
    pub(super) kind: &'static dyn Kind,
    pub(super) rules: Vec<Rule>,
    /// In which the steps make their calls.
    pub(super) context: Context,
    /// Revision of the job's record as it was last written.
    written: AtomicU64,
}

impl Run<'_> {
    async fn to_the_end(&self, mut job: Job) -> Result<(), Leave> {
        loop {
            publish_progress(
                &*self.engine.bus,
                &job.id,
                job.progress_percent,
                &job.message,
            )
            .await;
            let (index, way) = match machine::task(&job) {
                Task::Run(index) => (index, Way::Forward),
                Task::Undo(index) => (index, Way::Back),
                Task::Rest => {
                    meter::note_end(&job);
                    return Ok(());
                }
            };
            if self.engine.stop.is_cancelled() {
                return Err(Leave::Stopping);
            }
            job = self.step(job, index, way).await?;
        }
    }

    /// Works on one step until it is done, or tried enough.
    async fn step(&self, mut job: Job, index: usize, way: Way) -> Result<Job, Leave> {
        let begun = Instant::now();
        loop {
            let problem = match self.attempt(&job, index, way).await? {
                Ok(effect) => return self.succeed(&job, index, way, effect).await,
                Err(Fail::Busy(holder)) => return self.wait_for(&job, index, &holder).await,
                Err(Fail::Stopped) => {
                    return self
                        .write(&job, index, way, |job, rules, now_ms| {
                            machine::stopped(job, rules, now_ms);
                        })
                        .await;
                }
                Err(Fail::Problem(problem)) => problem,
            };
            let Some(wait) = self.next_try(&job, index, way, &problem, begun.elapsed()) else {
                return self.fail(&job, index, way, problem).await;
            };
            let attempt = attempts(&job, index, way) + 1;
            tracing::info!(job_id = job.id, step = self.name(index), attempt, %problem, "a step is tried again");
            job = self
                .write(&job, index, way, |job, _, _| {
                    machine::again(job, index, &problem, attempt)
                })
                .await?;
            tokio::select! {
                biased;
                () = tokio::time::sleep(wait) => {}
                () = self.seat.cancelled.cancelled(), if self.may_stop(&job, way) => {}
                () = self.engine.stop.cancelled() => return Err(Leave::Stopping),
            }
        }
    }

    /// Does the step once, unless it is told to stop.
    async fn attempt(
        &self,
        job: &Job,
        index: usize,
        way: Way,
    ) -> Result<Result<Effect, Fail>, Leave> {
        let span = meter::step_span(job, self.name(index), way);
        let begun = Instant::now();
        let outcome = tokio::select! {
            biased;
            () = self.seat.cancelled.cancelled(), if self.may_stop(job, way) => Err(Fail::Stopped),
            () = self.engine.halt.cancelled() => return Err(Leave::Stopping),
            outcome = self.probed(job, index, way).instrument(span.clone()) => outcome?,
        };
        if let Err(Fail::Problem(problem)) = &outcome {
            telemetry::set_failed(&span, problem);
        }
        meter::note_step(job, self.name(index), way, &outcome, begun.elapsed());
        Ok(outcome)
    }

    fn may_stop(&self, job: &Job, way: Way) -> bool {
        way == Way::Forward && machine::leads_back(job, &self.rules)
    }

    fn name(&self, index: usize) -> &'static str {
        self.rules.get(index).map_or("", |rule| rule.name)
    }

    fn next_try(
        &self,
        job: &Job,
        index: usize,
        way: Way,
        problem: &Status,
        elapsed: Duration,
    ) -> Option<Duration> {
        if !problem.retryable() {
            return None;
        }
        let policy = self.engine.config.retry(self.may_stop(job, way));
        retry::next_try(
            &policy,
            attempts(job, index, way),
            elapsed,
            self.engine.random(),
        )
    }

    async fn succeed(
        &self,
        job: &Job,
        index: usize,
        way: Way,
        effect: Effect,
    ) -> Result<Job, Leave> {
        self.write(job, index, way, |job, rules, now_ms| {
            effect.put_into(job);
            match way {
                Way::Forward => machine::done(job, rules, index, &effect.message, now_ms),
                Way::Back => machine::undone(job, rules, index, now_ms),
            }
        })
        .await
    }

    async fn fail(&self, job: &Job, index: usize, way: Way, problem: Status) -> Result<Job, Leave> {
        tracing::info!(job_id = job.id, step = self.name(index), way = ?way, %problem, "a step failed");
        self.write(job, index, way, |job, rules, now_ms| match way {
            Way::Forward => machine::failed(job, rules, index, problem.clone(), now_ms),
            Way::Back => machine::undo_failed(job, rules, index, &problem, now_ms),
        })
        .await
    }

    /// Another job has the object: wait for it, or fail if that was asked for.
    async fn wait_for(&self, job: &Job, index: usize, holder_id: &str) -> Result<Job, Leave> {
        let holder = self.engine.job(holder_id).ok().flatten();
        let message = turn::waiting_message(job, holder_id, holder.as_ref());
        if job.refuse_if_busy {
            return self
                .fail(job, index, Way::Forward, turn::busy(job, message))
                .await;
        }
        self.write(job, index, Way::Forward, |job, _, _| {
            machine::wait(job, holder_id, message.clone())
        })
        .await
    }

    async fn write(
        &self,
        job: &Job,
        index: usize,
        way: Way,
        mut change: impl FnMut(&mut Job, &[Rule], i64) + Send,
    ) -> Result<Job, Leave> {
        self.pass(job, index, At::BeforeWrite).await?;
        let expected = match way {
            Way::Forward => Task::Run(index),
            Way::Back => Task::Undo(index),
        };
        let now_ms = self.engine.world.now_ms();
        let (written, revision) = self
            .engine
            .write(job, expected, |job| {
                change(job, &self.rules, now_ms);
                // Also of a step that failed: what it did is to be undone, and so to be seen.
                job.seen = self.context.seen();
            })
            .await?;
        self.written.store(revision, Ordering::Relaxed);
        self.pass(&written, index, At::AfterWrite).await?;
        Ok(written)
    }

    /// The revision of the job's record with which the present step was begun, or the try of it.
    pub(super) fn begun_at(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lets a test look on, or end the runner here.
    async fn pass(&self, job: &Job, index: usize, at: At) -> Result<(), Leave> {
        match self.reach(job, index, at).await {
            Verdict::Vanish => Err(Leave::Vanished),
            _ => Ok(()),
        }
    }

    pub(super) async fn reach(&self, job: &Job, index: usize, at: At) -> Verdict {
        let point = Point {
            job_id: job.id.clone(),
            kind: job.kind.clone(),
            step: self.name(index).to_owned(),
            at,
        };
        self.engine.probe.reach(point).await
    }
}

fn attempts(job: &Job, index: usize, way: Way) -> u32 {
    job.steps.get(index).map_or(0, |step| match way {
        Way::Forward => step.attempts,
        Way::Back => step.undo_attempts,
    })
}
