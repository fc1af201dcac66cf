//! An example of a program that misses no event and takes none twice, whenever it is killed.
//!
//!     subscriber nats://127.0.0.1:4222 PASSWORD events.txt ['muster.v1.event.*.vm.>']
//!
//! It writes one line for each event: sequence, kind, id, verb, revision. The sequence of the last whole line is where it
//! goes on after a crash: effect and position are one, so they cannot disagree. A program with a database would write both
//! in one transaction.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_nats::jetstream::{self, consumer::AckPolicy, consumer::DeliverPolicy, consumer::pull};
use contracts::access::{SUBSCRIBER, inbox};
use contracts::common::Event;
use contracts::subjects;
use futures::StreamExt as _;
use prost::Message as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| {
        arguments
            .next()
            .with_context(|| format!("{what} is missing"))
    };
    let (url, password, path) = (
        next("the address")?,
        next("the password")?,
        next("the file")?,
    );
    let filter = next("").unwrap_or_else(|_| subjects::all_events());

    let mut done = Done::open(&path)?;
    let client =
        async_nats::ConnectOptions::with_user_and_password(SUBSCRIBER.to_owned(), password)
            // The only inbox that this user may listen on.
            .custom_inbox_prefix(inbox(SUBSCRIBER))
            .retry_on_initial_connect()
            .connect(url)
            .await?;
    let jetstream = jetstream::new(client);
    loop {
        if let Err(error) = follow(&jetstream, &filter, &mut done).await {
            eprintln!("events cannot be read now, trying again: {error:#}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Reads on from where we were, until something is wrong.
async fn follow(
    jetstream: &jetstream::Context,
    filter: &str,
    done: &mut Done,
) -> anyhow::Result<()> {
    let mut stream = jetstream.get_stream(subjects::EVENTS).await?;
    let info = stream.info().await?;
    let first = info.state.first_sequence;
    ensure!(
        done.sequence == 0
            || first <= done.sequence + 1 && info.state.last_sequence >= done.sequence,
        "events after {} are not there any more: load everything again and begin anew",
        done.sequence
    );
    // It keeps nothing at the server but a place to read at, and goes by itself when nobody asks it any more.
    let consumer = stream
        .create_consumer(pull::Config {
            filter_subject: filter.to_owned(),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: done.sequence + 1,
            },
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(30),
            ..pull::Config::default()
        })
        .await?;
    let messages = consumer
        .stream()
        .heartbeat(Duration::from_secs(2))
        .messages();
    let mut messages = messages.await?;
    let mut delivered = 0;
    while let Some(message) = messages.next().await {
        let message = message?;
        let info = message.info().map_err(anyhow::Error::from_boxed)?;
        // The server counts what it delivers: a hole would be an event that was lost on the way.
        delivered += 1;
        if info.consumer_sequence != delivered {
            bail!("event {delivered} was lost on the way");
        }
        let event = Event::decode(message.payload.clone())?;
        done.add(info.stream_sequence, &event)?;
    }
    Ok(())
}

/// What was done, in a file.
struct Done {
    file: File,
    sequence: u64,
}

impl Done {
    fn open(path: &str) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A line without its end was being written when we were killed.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let last = text.get(..whole).and_then(|text| text.lines().last());
        let sequence = match last.and_then(|line| line.split(' ').next()) {
            Some(number) => number.parse()?,
            None => 0,
        };
        Ok(Self { file, sequence })
    }

    fn add(&mut self, sequence: u64, event: &Event) -> anyhow::Result<()> {
        let Event {
            kind,
            id,
            verb,
            revision,
            ..
        } = event;
        self.file
            .write_all(format!("{sequence} {kind} {id} {verb} {revision}\n").as_bytes())?;
        self.file.sync_data()?;
        self.sequence = sequence;
        Ok(())
    }
}
