//! The work queue: one entry for each job that wants a runner.

use contracts::call::{Revisions, format_revisions, parse_revisions};
use contracts::subjects::{self, RUNS, buckets};
use kit::bus::{
    Append, AppendError, BusError, LogEntry, LogKind, LogSpec, Message, append_surely, headers,
};

use super::Engine;

impl Engine {
    pub(super) async fn ensure_queue(&self) -> Result<(), BusError> {
        let spec = LogSpec {
            name: RUNS.to_owned(),
            subject: subjects::all_runs(),
            kind: LogKind::Queue,
            first_sequence: 1,
        };
        self.bus.ensure(&spec).await.map(|_| ())
    }

    /// Asks for a runner. The queue holds one entry for each job and refuses a second, so that asking once too often does
    /// nothing; an ask that is lost is made up for by the sweep.
    pub(crate) async fn call_runner(&self, job_id: &str) {
        let seen = Revisions::from([(buckets::JOB.to_owned(), self.records.revision())]);
        // The id must be new each time: a job asks again within the window in which the log knows ids.
        let message = Message::default()
            .header(headers::MESSAGE_ID, self.world.new_id())
            .header(headers::REVISIONS, format_revisions(&seen));
        let entry = Append {
            log: RUNS.to_owned(),
            subject: subjects::run(job_id),
            message,
            expect: None,
            lifetime: None,
        };
        match append_surely(&*self.bus, &entry).await {
            Ok(_) => {}
            Err(AppendError::Refused(error)) => {
                tracing::trace!(job_id, %error, "the job is in the queue already");
            }
            Err(error) => tracing::warn!(job_id, %error, "the job waits for the next sweep"),
        }
    }
}

/// The job that an entry is for.
pub(super) fn job_of(entry: &LogEntry) -> Option<&str> {
    entry.subject.rsplit('.').next()
}

/// The revision of the job's bucket that the asker had seen: a view that is older may not have the job yet.
pub(super) fn revision_of(entry: &LogEntry) -> u64 {
    let seen = entry.message.get(headers::REVISIONS).unwrap_or_default();
    parse_revisions(seen)
        .get(buckets::JOB)
        .copied()
        .unwrap_or(0)
}
