//! A job as it goes, as server-sent events.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use contracts::jobs::{Job, Progress};
use contracts::{Status, rest, subjects};
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::bus::Incoming;
use kit::records::Change;
use prost::Message as _;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::change::ReadHeaders;
use super::extract::{Asked, Path};
use super::{Failed, events, jobs};
use crate::error::{Failure, Outcome};
use crate::events::{KEEP_ALIVE, KEEP_ALIVE_INTERVAL, Sender, channel, frame};
use crate::store::Views;

/// A job's changes and progress until it ends.
///
/// Events `job` (the job as it is now, at once and at every change) and `progress`. The stream closes after the `job`
/// event of a final state; by then what the job did can be read.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/watch", tag = "jobs", operation_id = "watch_job",
    params(("id" = String, Path), ReadHeaders),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        (status = 204, description = "The client has seen the job's end: do not connect again"), Failed))]
pub(super) async fn watch(
    asked: Asked,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let job = asked.views.jobs.by_id(&id)?;
    if jobs::is_final(&job.value) && events::last_id(&headers)? == Some(job.revision) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (out, frames) = channel(events::slot(&asked)?);
    // Before the first look, so that nothing falls between.
    let changes = asked.views.jobs.mirror.changes();
    let progress = asked.app.bus.subscribe(&subjects::progress(&id)).await;
    let progress = progress.map_err(|error| {
        Failure::from(Status::unavailable(format!(
            "The job cannot be watched now: {error}."
        )))
    })?;
    let watcher = Watcher {
        views: Arc::clone(&asked.views),
        job_id: id,
        out,
    };
    let stop = asked.app.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = watcher.run(changes, progress) => {}
            () = watcher.out.gone() => {}
            () = stop.cancelled() => {}
        }
    });
    Ok(frames.into_response())
}

struct Watcher {
    views: Arc<Views>,
    job_id: String,
    out: Sender,
}

impl Watcher {
    async fn run(
        &self,
        mut changes: Receiver<Arc<Change<Job>>>,
        mut progress: BoxStream<'static, Incoming>,
    ) {
        let mut shown = 0;
        loop {
            match self.show(shown).await {
                Some(revision) => shown = revision,
                None => return,
            }
            tokio::select! {
                changed = self.changed(&mut changes) => if changed.is_none() { return },
                Some(news) = progress.next() => if self.progress(&news).await.is_none() { return },
                () = tokio::time::sleep(KEEP_ALIVE_INTERVAL) => {
                    if self.out.send(KEEP_ALIVE).await.is_err() { return }
                }
            }
        }
    }

    /// Sends the job if it is another than was shown. `None`: there is nothing more to say.
    async fn show(&self, shown: u64) -> Option<u64> {
        let job = self.views.jobs.mirror.get(&self.job_id).ok().flatten()?;
        if job.revision <= shown {
            return Some(shown);
        }
        let ended = jobs::is_final(&job.value);
        if ended {
            self.views.settle().await;
        }
        let event = frame(
            Some(job.revision),
            rest::sse::JOB,
            &rest::Job::from(job.value),
        );
        self.out.send(event).await.ok()?;
        (!ended).then_some(job.revision)
    }

    /// Waits for a change of the job. One that was missed may have been of it.
    async fn changed(&self, changes: &mut Receiver<Arc<Change<Job>>>) -> Option<()> {
        loop {
            match changes.recv().await {
                Ok(change) if change.id != self.job_id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return Some(()),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn progress(&self, news: &Incoming) -> Option<()> {
        let Ok(progress) = Progress::decode(news.message.payload.clone()) else {
            return Some(());
        };
        let event = frame(None, rest::sse::PROGRESS, &rest::Progress::from(progress));
        self.out.send(event).await.ok()
    }
}
