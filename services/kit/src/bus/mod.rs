//! The bus behind one small trait: calls, publish and subscribe, logs with compare-and-set, work queues.
//!
//! [`nats`] is the real one. Everything that must hold on any bus (what to do when an acknowledgement is lost) is
//! here, above the trait, so that the simulator proves the same code.

pub mod nats;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// Names of headers.
pub mod headers {
    pub const MESSAGE_ID: &str = "Nats-Msg-Id";
    pub const PRINCIPAL: &str = "Muster-Principal";
    pub const JOB: &str = "Muster-Job";
    /// Milliseconds that the caller still waits. Relative, since clocks of two machines differ.
    pub const TIMEOUT_MS: &str = "Muster-Timeout-Ms";
    pub const IDEMPOTENCY_KEY: &str = "Muster-Idempotency-Key";
    pub const TRACE_PARENT: &str = "traceparent";
    /// Of a request: the least revisions to reflect. Of an answer: those that it reflects.
    pub const REVISIONS: &str = "Muster-Revisions";
    /// Of an answer that is an error: the status, base64. An error reply of the Services protocol has no body.
    pub const STATUS: &str = "Muster-Status";
    /// Of a record: the process that wrote it.
    pub const WRITER: &str = "Muster-Writer";
    /// Of a record: the revision that it replaces, 0 when none, so that a reader knows whether it has missed any.
    pub const PREVIOUS: &str = "Muster-Previous-Revision";
    /// Of a record that was restored from a view: the revision it had in the lost log.
    pub const REPAIRED: &str = "Muster-Repaired-Revision";
    /// Of an event: creation time of the bucket that its revision counts in.
    pub const INCARNATION: &str = "Muster-Incarnation";
    /// Of an event: the record's revision.
    pub const REVISION: &str = "Muster-Revision";
    /// Marks a deleted record, as the key-value convention of NATS has it.
    pub const OPERATION: &str = "KV-Operation";
    pub const OPERATION_DELETE: &str = "DEL";
}

pub type Headers = BTreeMap<String, String>;

/// Bytes with headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub headers: Headers,
    pub payload: Bytes,
}

impl Message {
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            headers: Headers::new(),
            payload: payload.into(),
        }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A message that came in without being asked for.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub subject: String,
    pub message: Message,
}

/// Why something on the bus did not work.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody serves the subject now.
    #[error("nobody answers on {0}")]
    NoResponders(String),
    /// No answer in time. Whether it took effect is unknown.
    #[error("no answer on {0} in time")]
    TimedOut(String),
    #[error("log {0} does not exist")]
    NoLog(String),
    #[error("the message of {bytes} bytes for {subject} is larger than the bus takes")]
    TooLarge { subject: String, bytes: usize },
    #[error("{what}: {source}")]
    Broken {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What became of an append.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log's last entry is not the one that was expected.
    #[error("another write came first")]
    Conflict,
    /// No word from the log: it may or may not hold the entry.
    #[error("outcome unknown: {0}")]
    Unknown(BusError),
    /// The log does not hold the entry.
    #[error("refused: {0}")]
    Refused(BusError),
}

/// What a log is for, which decides how it is kept.
#[derive(Clone, Debug)]
pub enum LogKind {
    /// The last entry of each subject.
    Bucket,
    /// Every entry for a time.
    Stream { age_max: Duration, bytes_max: u64 },
    /// Each entry until one consumer has finished it; at most one for each subject.
    Queue,
}

#[derive(Clone, Debug)]
pub struct LogSpec {
    pub name: String,
    pub subject: String,
    pub kind: LogKind,
    /// Where a log that has to be made starts to count, so that numbers of a lost one are never used again.
    pub first_sequence: u64,
}

/// A log as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Creation time in nanoseconds: with the name the log's identity.
    pub created: String,
    pub last_sequence: u64,
    /// The server's clock, milliseconds since 1970 UTC.
    pub now_ms: i64,
}

/// One entry to append.
#[derive(Clone, Debug)]
pub struct Append {
    pub log: String,
    pub subject: String,
    /// Must carry [`headers::MESSAGE_ID`].
    pub message: Message,
    pub expect: Option<Expect>,
    /// The entry removes itself after this time.
    pub lifetime: Option<Duration>,
}

/// The append is taken only if the last entry of `filter` has this sequence; 0: there is none.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Subjects that count; may hold wildcards.
    pub filter: String,
    pub sequence: u64,
}

#[derive(Clone, Debug)]
pub struct LogEntry {
    pub subject: String,
    pub message: Message,
    pub sequence: u64,
    /// When the log took it, milliseconds since 1970 UTC by the server's clock.
    pub time_ms: i64,
}

/// A request that was taken off the bus. It must be answered.
#[async_trait]
pub trait Request: Send {
    fn method(&self) -> &str;
    fn message(&self) -> &Message;
    async fn answer(self: Box<Self>, answer: Result<Message, Refusal>);
}

/// An error answer, in the shape of the NATS Services protocol.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u32,
    pub text: String,
    pub headers: Headers,
}

/// A service's place on the bus.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Name for discovery, and the queue group: one instance answers each request.
    pub service: String,
    /// Method and subject of each.
    pub endpoints: Vec<(String, String)>,
}

/// Requests of one service, until it is dropped.
pub struct Serving {
    pub requests: BoxStream<'static, Box<dyn Request>>,
    /// Ends the stream after the requests that were taken already.
    pub stop: Box<dyn FnOnce() -> futures::future::BoxFuture<'static, ()> + Send>,
}

/// One entry of a work queue, held by this consumer until it is finished or its lease ends.
#[async_trait]
pub trait Delivery: Send + Sync {
    fn entry(&self) -> &LogEntry;
    /// The work is finished; the entry goes.
    async fn finish(&self) -> Result<(), BusError>;
    /// Extends the lease.
    async fn extend(&self) -> Result<(), BusError>;
    /// Gives the entry back, to be delivered again after a while.
    async fn give_back(&self, after: Duration) -> Result<(), BusError>;
}

/// Entries of a log. The stream ends when the connection was lost and is back, since the log may be another one then:
/// look at it again and read on from where you were.
pub type Entries = BoxStream<'static, Result<LogEntry, BusError>>;
/// Entries of a queue. Ends as [`Entries`] does.
pub type Deliveries = BoxStream<'static, Result<Box<dyn Delivery>, BusError>>;

#[async_trait]
pub trait Bus: Send + Sync + 'static {
    async fn request(
        &self,
        subject: &str,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, BusError>;

    async fn serve(&self, endpoints: Endpoints) -> Result<Serving, BusError>;

    /// To whoever listens now.
    async fn publish(&self, subject: &str, message: Message) -> Result<(), BusError>;

    async fn subscribe(&self, subject: &str) -> Result<BoxStream<'static, Incoming>, BusError>;

    /// Makes the log if it is not there.
    async fn ensure(&self, spec: &LogSpec) -> Result<LogInfo, BusError>;

    async fn info(&self, log: &str) -> Result<LogInfo, BusError>;

    /// Appends once; [`append_surely`] is what to use.
    async fn append(&self, entry: &Append) -> Result<u64, AppendError>;

    /// Entries of `filter` from a sequence on, in order, and then those to come.
    async fn read(&self, log: &str, filter: &str, from: u64) -> Result<Entries, BusError>;

    /// The newest entry of `filter`, from the log's leader.
    async fn last(&self, log: &str, filter: &str) -> Result<Option<LogEntry>, BusError>;

    /// Entries of a queue, each to one consumer at a time; one not extended within `lease` goes to another.
    async fn consume(&self, log: &str, lease: Duration) -> Result<Deliveries, BusError>;
}

/// How long an append whose outcome is unknown is sent again before the caller is told so. A cluster that has lost its
/// leader answers nothing for about five seconds.
const APPEND_PATIENCE: Duration = Duration::from_secs(20);

/// First and longest pause before an append is sent again.
const APPEND_PAUSE_MIN: Duration = Duration::from_millis(100);
const APPEND_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a question about a message id stays in the log.
const QUESTION_LIFETIME: Duration = Duration::from_secs(120);

/// Appends and finds out what became of it.
///
/// A lost acknowledgement is answered by sending again under the same message id. A log with one replica then says
/// "conflict" where one with three says "duplicate": so on a conflict the last entry is read back, and if it carries our
/// id, it is ours.
pub async fn append_surely(bus: &dyn Bus, entry: &Append) -> Result<u64, AppendError> {
    append_or_ask(bus, entry, None).await
}

/// As [`append_surely`], where "conflict" must never be said of an entry that was taken.
///
/// If the acknowledgement is lost and another writer replaces our entry before it is sent again, nothing in the log
/// carries our id any more. The log still knows the id, so it is asked: a deletion of `question`, a subject that nobody
/// uses, is appended under the same id. Either the log says that it has taken that id before, and where; or it has not,
/// and takes the question.
pub async fn append_or_ask(
    bus: &dyn Bus,
    entry: &Append,
    question: Option<&str>,
) -> Result<u64, AppendError> {
    let deadline = tokio::time::Instant::now() + APPEND_PATIENCE;
    let mut pause = APPEND_PAUSE_MIN;
    let mut is_sent_again = false;
    loop {
        let error = match bus.append(entry).await {
            Ok(sequence) => return Ok(sequence),
            Err(error) => error,
        };
        match error {
            AppendError::Unknown(error) if tokio::time::Instant::now() + pause < deadline => {
                tracing::debug!(subject = entry.subject, %error, "append is sent again");
                tokio::time::sleep(pause).await;
                pause = APPEND_PAUSE_MAX.min(pause * 2);
                is_sent_again = true;
            }
            AppendError::Conflict => {
                return own_entry(bus, entry, question.filter(|_| is_sent_again)).await;
            }
            // This time. What was sent before may have been taken.
            AppendError::Refused(error) if is_sent_again => {
                return own_entry(bus, entry, None)
                    .await
                    .map_err(|_| AppendError::Unknown(error));
            }
            error => return Err(error),
        }
    }
}

/// Finds our entry after a conflict.
async fn own_entry(
    bus: &dyn Bus,
    entry: &Append,
    question: Option<&str>,
) -> Result<u64, AppendError> {
    let last = bus
        .last(&entry.log, &entry.subject)
        .await
        .map_err(AppendError::Unknown)?;
    let Some(last) = last else {
        return Err(AppendError::Conflict);
    };
    let id = entry.message.get(headers::MESSAGE_ID);
    if id.is_some() && last.message.get(headers::MESSAGE_ID) == id {
        return Ok(last.sequence);
    }
    match (question, id) {
        (Some(subject), Some(id)) => ask(bus, &entry.log, subject, id, last.sequence).await,
        _ => Err(AppendError::Conflict),
    }
}

/// Where the log has taken a message id, if that was before `last`, the entry that conflicts.
///
/// That it does not know the id is no proof: a server that was started again knows only the ids of entries that are
/// still there, and ours may have been taken and replaced before.
async fn ask(
    bus: &dyn Bus,
    log: &str,
    subject: &str,
    id: &str,
    last: u64,
) -> Result<u64, AppendError> {
    let question = Append {
        log: log.to_owned(),
        subject: subject.to_owned(),
        message: Message::default()
            .header(headers::MESSAGE_ID, id)
            .header(headers::OPERATION, headers::OPERATION_DELETE),
        expect: None,
        lifetime: Some(QUESTION_LIFETIME),
    };
    let sequence = Box::pin(append_or_ask(bus, &question, None))
        .await
        .map_err(|error| match error {
            // Of the question, not of the entry.
            AppendError::Refused(error) => AppendError::Unknown(error),
            error => error,
        })?;
    if sequence < last {
        return Ok(sequence);
    }
    Err(AppendError::Unknown(BusError::Broken {
        what: format!("log {log}"),
        source: "another write came first, or came after this one before it was acknowledged"
            .into(),
    }))
}
