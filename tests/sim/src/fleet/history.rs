//! What the logs ever said: of each job, and of each object that jobs take.

use std::collections::BTreeMap;

use contracts::jobs::Job;
use contracts::records::Record;
use contracts::subjects;
use kit::bus::headers;

use crate::bus::Server;

/// A record at a revision; `None`: it was deleted.
#[derive(Clone, Debug)]
pub(super) struct Version<R> {
    pub(super) at_ms: i64,
    /// The process that wrote it.
    pub(super) writer: String,
    pub(super) is_first: bool,
    pub(super) value: Option<R>,
}

/// Every version of every record of a kind, in order.
pub(super) type Versions<R> = BTreeMap<String, Vec<Version<R>>>;

pub(super) fn of<R: Record>(server: &Server) -> Versions<R> {
    let mut all = Versions::<R>::new();
    for epoch in server.history(&subjects::bucket_stream(R::BUCKET)) {
        for entry in epoch.taken {
            let Some(id) = subjects::record_id(R::BUCKET, &entry.subject) else {
                continue;
            };
            let header = |name| entry.message.get(name).unwrap_or_default();
            // A question about a message id is no record.
            if header(headers::WRITER).is_empty() {
                continue;
            }
            let is_deletion = !header(headers::OPERATION).is_empty();
            let value = (!is_deletion).then(|| R::decode(entry.message.payload.clone()));
            all.entry(id.to_owned()).or_default().push(Version {
                at_ms: entry.time_ms,
                writer: header(headers::WRITER).to_owned(),
                is_first: header(headers::PREVIOUS) == "0",
                value: value.map(|value| value.expect("a record")),
            });
        }
    }
    all
}

/// Records as they are now, by id.
pub(super) fn now<R: Record>(server: &Server) -> BTreeMap<String, R> {
    let (log, all) = (
        subjects::bucket_stream(R::BUCKET),
        subjects::all_records(R::BUCKET),
    );
    let mut records = BTreeMap::new();
    let mut next = 0;
    loop {
        let entries = server.entries(&log, &all, next);
        let Some(last) = entries.last() else {
            return records;
        };
        next = last.sequence + 1;
        for entry in entries {
            let is_deletion = entry.message.get(headers::OPERATION).is_some();
            let id = subjects::record_id(R::BUCKET, &entry.subject).filter(|_| !is_deletion);
            if let Some(id) = id {
                let record = R::decode(entry.message.payload.clone()).expect("a record");
                records.insert(id.to_owned(), record);
            }
        }
    }
}

/// What was true at a time, or in the same millisecond.
pub(super) fn around<R>(versions: &[Version<R>], at_ms: i64) -> &[Version<R>] {
    let before = versions.partition_point(|version| version.at_ms < at_ms);
    let after = versions.partition_point(|version| version.at_ms <= at_ms);
    &versions[before.saturating_sub(1)..after]
}

/// Whether a job may not act any more at a time, as far as the log knows.
pub(super) fn is_over(versions: &[Version<Job>], at_ms: i64) -> bool {
    around(versions, at_ms).iter().any(|version| {
        version
            .value
            .as_ref()
            .is_none_or(|job| !job.state().keeps_object())
    })
}
