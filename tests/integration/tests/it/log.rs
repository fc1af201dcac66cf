//! What the log says, read from outside as the bus's administrator.

use std::collections::BTreeMap;

use anyhow::Context;
use contracts::common::Event;
use contracts::records::Record;
use contracts::subjects;
use futures::StreamExt;
use kit::bus::nats::NatsBus;
use kit::bus::{Bus, LogEntry, headers};
use kit::config::BusConfig;
use prost::Message;

/// Records of one kind: id, revision, record.
pub type Bucket<R> = BTreeMap<String, (u64, R)>;

pub struct Log(NatsBus);

impl Log {
    pub async fn open(config: &BusConfig) -> Self {
        Self(NatsBus::connect("test", config).await.unwrap())
    }

    /// Every record of a kind, as a replay of its bucket gives them.
    pub async fn bucket<R: Record>(&self) -> anyhow::Result<Bucket<R>> {
        let log = subjects::bucket_stream(R::BUCKET);
        let mut bucket = Bucket::new();
        for entry in self
            .entries(&log, &subjects::all_records(R::BUCKET))
            .await?
        {
            let id = subjects::record_id(R::BUCKET, &entry.subject).context("no record")?;
            if entry.message.get(headers::OPERATION).is_some() {
                bucket.remove(id);
                continue;
            }
            let record = R::decode(entry.message.payload.clone())?;
            bucket.insert(id.to_owned(), (entry.sequence, record));
        }
        Ok(bucket)
    }

    /// Everything that happened, with its place in the stream.
    pub async fn events(&self) -> anyhow::Result<Vec<(u64, Event)>> {
        let entries = self
            .entries(subjects::EVENTS, &subjects::all_events())
            .await?;
        entries
            .into_iter()
            .map(|entry| Ok((entry.sequence, Event::decode(entry.message.payload)?)))
            .collect()
    }

    /// The newest job that waits for a runner.
    pub async fn waiting_for_a_runner(&self) -> anyhow::Result<Option<String>> {
        let last = self.0.last(subjects::RUNS, &subjects::all_runs()).await?;
        Ok(last.map(|entry| entry.subject))
    }

    /// Reads the log from its first entry to the one that is the newest now.
    async fn entries(&self, log: &str, filter: &str) -> anyhow::Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        let Some(newest) = self.0.last(log, filter).await? else {
            return Ok(entries);
        };
        let mut reading = self.0.read(log, filter, 1).await?;
        while entries
            .last()
            .is_none_or(|e: &LogEntry| e.sequence < newest.sequence)
        {
            let entry = reading.next().await.context("the connection was lost")??;
            entries.push(entry);
        }
        Ok(entries)
    }
}
