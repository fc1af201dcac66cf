//! Waits for jobs. The gateway may go away meanwhile: the job does not, so the wait goes on until its time is up.

mod bar;

use std::time::Duration;

use contracts::rest::{Job, Progress, sse};
use futures::{StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Client, Message, backoff, not_understood};
use crate::error::{Exit, Failure};

use bar::{Bar, Bars};

/// Jobs that are watched at a time; each is a connection. The others are looked at when their turn comes.
const WATCHES_MAX: usize = 16;

/// A gateway that comes back should be found soon, and one that does not should not be hammered.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A job as this program understands it, and whole as the API has it.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) job: Job,
    pub(crate) value: Value,
}

impl Watched {
    pub(crate) fn new(value: Value) -> Result<Self, Failure> {
        let job = serde_json::from_value(value.clone()).map_err(not_understood)?;
        Ok(Self { job, value })
    }

    /// Takes in one event of the job's stream; returns how far the job is where the event says that.
    fn apply(&mut self, message: &Message) -> Result<Option<Progress>, Failure> {
        match message.event.as_str() {
            sse::JOB => {
                let value = serde_json::from_str(&message.data);
                *self = Self::new(value.map_err(not_understood)?)?;
                Ok(None)
            }
            // Progress that cannot be read costs a step of the bar and no more.
            sse::PROGRESS => Ok(serde_json::from_str(&message.data).ok()),
            _ => Ok(None),
        }
    }
}

/// One way a wait ends for one job: it ended, or there is a reason that we do not know how.
pub(crate) type Waited = Result<Watched, Failure>;

/// Follows jobs until each has ended, in the order given. Ctrl-C ends the wait, never the jobs.
pub(crate) async fn wait_all(
    client: &Client,
    jobs: Vec<Watched>,
    timeout: Duration,
    quiet: bool,
) -> Result<Vec<Waited>, Failure> {
    let job_ids = jobs.iter().map(|watched| watched.job.id.clone()).collect();
    let bars = Bars::new(quiet);
    let deadline = Instant::now() + timeout;
    let all = stream::iter(jobs)
        .map(|watched| wait_one(client, watched, &bars, deadline, timeout))
        .buffered(WATCHES_MAX)
        .collect();
    tokio::select! {
        waited = all => Ok(waited),
        _ = tokio::signal::ctrl_c() => {
            bars.clear();
            Err(Failure::Interrupted { job_ids })
        }
    }
}

async fn wait_one(
    client: &Client,
    mut watched: Watched,
    bars: &Bars,
    deadline: Instant,
    timeout: Duration,
) -> Waited {
    let bar = bars.add(&watched.job);
    let followed = tokio::time::timeout_at(deadline, follow(client, &mut watched, &bar)).await;
    bar.clear();
    match followed {
        Ok(Ok(())) => Ok(watched),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::TimedOut {
            job: Box::new(watched.job),
            after: timeout,
        }),
    }
}

async fn follow(client: &Client, watched: &mut Watched, bar: &Bar) -> Result<(), Failure> {
    let id = watched.job.id.clone();
    let mut attempt = 1;
    while !watched.job.state.is_final() {
        match client.events(&["jobs", &id, "watch"], &[], None).await {
            Ok(mut events) => {
                while let Some(message) = events.next().await {
                    attempt = 1;
                    let progress = watched.apply(&message)?;
                    bar.show(&watched.job, progress.as_ref());
                    if watched.job.state.is_final() {
                        return Ok(());
                    }
                }
            }
            Err(failure) if may_pass(&failure) => {}
            Err(failure) => return Err(failure),
        }
        bar.lost();
        tokio::time::sleep(backoff(attempt, RECONNECT_PAUSE_MAX)).await;
        attempt += 1;
    }
    Ok(())
}

/// Whether trying again later can help. Whoever waits for a job waits through every trouble of the gateway's own.
pub(crate) fn may_pass(failure: &Failure) -> bool {
    matches!(failure.exit(), Exit::Unreachable)
        || matches!(failure, Failure::Problem(problem) if problem.status >= 500)
}

#[cfg(test)]
mod tests {
    use contracts::rest::{JobState, Problem};

    use super::*;

    fn watched(state: &str) -> Watched {
        Watched::new(crate::output::tests::job_value(state)).unwrap()
    }

    fn message(event: &str, data: impl ToString) -> Message {
        Message {
            event: event.to_owned(),
            data: data.to_string(),
        }
    }

    #[test]
    fn a_job_is_as_its_last_event_says() {
        let mut job = watched("queued");
        let running = watched("running").value;
        assert!(job.apply(&message("job", running)).unwrap().is_none());
        assert_eq!(job.job.state, JobState::Running);
        let progress =
            r#"{"job_id":"j","percent":40,"message":"m","bytes_done":0,"bytes_total":0}"#;
        let seen = job.apply(&message("progress", progress)).unwrap();
        assert_eq!(seen.map(|p| p.percent), Some(40));
        assert_eq!(job.job.state, JobState::Running);
    }

    #[test]
    fn what_is_new_or_broken_in_the_stream_is_met_calmly() {
        let mut job = watched("running");
        assert!(job.apply(&message("tomorrow", "?")).unwrap().is_none());
        assert!(job.apply(&message("progress", "?")).unwrap().is_none());
        assert!(job.apply(&message("job", "{}")).is_err());
    }

    #[test]
    fn only_what_the_gateway_cannot_help_is_waited_through() {
        let problem = |code: &str, status| {
            Failure::from(Problem {
                code: code.to_owned(),
                status,
                ..Problem::default()
            })
        };
        assert!(may_pass(&problem("UNAVAILABLE", 503)));
        assert!(may_pass(&problem("INTERNAL", 500)));
        assert!(may_pass(&problem("RESOURCE_EXHAUSTED", 429)));
        assert!(!may_pass(&problem("NOT_FOUND", 404)));
        assert!(!may_pass(&problem("PERMISSION_DENIED", 403)));
    }
}
