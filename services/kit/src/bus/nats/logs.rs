//! Logs in JetStream: making, looking, appending.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{self, ErrorCode};
use contracts::subjects;

use super::NatsBus;
use super::connect::ACK_TIMEOUT;
use super::convert::{broken, from_header_map, log_error, millis, to_header_map};
use crate::bus::{Append, AppendError, BusError, LogEntry, LogInfo, LogKind, LogSpec, Message};

/// Window in which a message id is recognised.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Until an append that met another under way is sent again.
const UNSETTLED_PAUSE: Duration = Duration::from_millis(5);

const EXPECTED_LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
const EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
const MESSAGE_TTL: &str = "Nats-TTL";

fn stream_config(spec: &LogSpec, replicas: usize) -> StreamConfig {
    let base = StreamConfig {
        name: spec.name.clone(),
        subjects: vec![spec.subject.clone()],
        num_replicas: replicas,
        duplicate_window: DUPLICATE_WINDOW,
        first_sequence: Some(spec.first_sequence.max(1)),
        allow_direct: true,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        ..StreamConfig::default()
    };
    match &spec.kind {
        LogKind::Bucket => StreamConfig {
            max_messages_per_subject: 1,
            // Never lose history silently: a full bucket refuses.
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_message_ttl: true,
            ..base
        },
        LogKind::Stream { age_max, bytes_max } => StreamConfig {
            max_age: *age_max,
            max_bytes: i64::try_from(*bytes_max).unwrap_or(i64::MAX),
            discard: DiscardPolicy::Old,
            deny_delete: true,
            ..base
        },
        LogKind::Queue => StreamConfig {
            retention: RetentionPolicy::WorkQueue,
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            ..base
        },
    }
}

/// What we need of a stream's information; async-nats leaves out the server's clock.
#[derive(serde::Deserialize)]
struct StreamInfo {
    created: String,
    ts: jiff::Timestamp,
    state: StreamState,
}

#[derive(serde::Deserialize)]
struct StreamState {
    last_seq: u64,
}

impl NatsBus {
    pub(super) async fn ensure_on_nats(&self, spec: &LogSpec) -> Result<LogInfo, BusError> {
        match self.info_on_nats(&spec.name).await {
            Err(BusError::NoLog(_)) => {}
            other => return other,
        }
        tracing::info!(log = spec.name, "making the log");
        let made = self
            .jetstream
            .get_or_create_stream(stream_config(spec, self.replicas))
            .await;
        match (self.info_on_nats(&spec.name).await, made) {
            (Err(BusError::NoLog(_)), Err(error)) => {
                Err(broken(format!("making log {}", spec.name), error))
            }
            // Also one that another made at the same moment, from another first number.
            (there, _) => there,
        }
    }

    pub(super) async fn info_on_nats(&self, log: &str) -> Result<LogInfo, BusError> {
        let answer: jetstream::response::Response<StreamInfo> = self
            .jetstream
            .request(format!("STREAM.INFO.{log}"), &())
            .await
            .map_err(|e| broken(format!("log {log}"), e))?;
        match answer {
            jetstream::response::Response::Ok(info) => Ok(LogInfo {
                now_ms: info.ts.as_millisecond(),
                created: info.created,
                last_sequence: info.state.last_seq,
            }),
            jetstream::response::Response::Err { error } => {
                let code = error.error_code();
                Err(log_error(log, error, Some(code)))
            }
        }
    }

    pub(super) async fn append_on_nats(&self, entry: &Append) -> Result<u64, AppendError> {
        let headers = append_headers(entry);
        let deadline = tokio::time::Instant::now() + ACK_TIMEOUT;
        loop {
            let payload = entry.message.payload.clone();
            let sent = self
                .appends
                .publish_with_headers(entry.subject.clone(), headers.clone(), payload)
                .await;
            let acknowledged = match sent {
                Ok(pending) => pending.await,
                Err(error) => Err(error),
            };
            match acknowledged {
                Ok(ack) => return Ok(ack.sequence),
                Err(error) if is_unsettled(&error) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(UNSETTLED_PAUSE).await;
                }
                Err(error) => return Err(append_error(entry, error)),
            }
        }
    }

    pub(super) async fn last_on_nats(
        &self,
        log: &str,
        filter: &str,
    ) -> Result<Option<LogEntry>, BusError> {
        use jetstream::stream::RawMessageErrorKind as Kind;
        let stream = self
            .jetstream
            .get_stream_no_info(log)
            .await
            .map_err(|e| broken(format!("log {log}"), e))?;
        // The server looks at every subject that a filter could mean, except where it can mean any.
        let is_any = subjects::subject_of_log(log).is_some_and(|subject| subject == filter);
        let filter = if is_any { ">" } else { filter };
        // Not a direct get: that may be answered by a follower that is behind.
        match stream
            .raw_message_builder()
            .last_by_subject(filter)
            .send()
            .await
        {
            Ok(message) => Ok(Some(LogEntry {
                subject: message.subject.to_string(),
                message: Message {
                    headers: from_header_map(Some(&message.headers)),
                    payload: message.payload,
                },
                sequence: message.sequence,
                time_ms: millis(message.time.unix_timestamp_nanos()),
            })),
            Err(error) => match error.kind() {
                Kind::NoMessageFound => Ok(None),
                Kind::JetStream(ref e) => {
                    let code = e.error_code();
                    Err(log_error(log, error, Some(code)))
                }
                _ => Err(log_error(log, error, None)),
            },
        }
    }
}

fn append_headers(entry: &Append) -> HeaderMap {
    let mut headers = to_header_map(&entry.message.headers);
    if let Some(expect) = &entry.expect {
        headers.insert(EXPECTED_LAST_SUBJECT_SEQUENCE, expect.sequence.to_string());
        if expect.filter != entry.subject {
            headers.insert(
                EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT,
                expect.filter.as_str(),
            );
        }
    }
    if let Some(lifetime) = entry.lifetime {
        headers.insert(MESSAGE_TTL, format!("{}s", lifetime.as_secs()));
    }
    headers
}

fn append_error(entry: &Append, error: PublishError) -> AppendError {
    use PublishErrorKind as Kind;
    let is_no = refusal(&error).is_some() && !is_unsettled(&error);
    match error.kind() {
        Kind::WrongLastSequence => AppendError::Conflict,
        Kind::MaxPayloadExceeded => AppendError::Refused(BusError::TooLarge {
            subject: entry.subject.clone(),
            bytes: entry.message.payload.len(),
        }),
        Kind::Other if is_no => AppendError::Refused(broken(format!("log {}", entry.log), error)),
        // Also when no stream was found: a server that is starting answers so before it has loaded the stream.
        Kind::StreamNotFound
        | Kind::TimedOut
        | Kind::BrokenPipe
        | Kind::MaxAckPending
        | Kind::WrongLastMessageId
        | Kind::Other => AppendError::Unknown(broken(format!("log {}", entry.log), error)),
    }
}

/// What the server itself said, as opposed to the connection.
fn refusal(error: &PublishError) -> Option<ErrorCode> {
    let source = std::error::Error::source(error)?;
    Some(source.downcast_ref::<jetstream::Error>()?.error_code())
}

/// Whether to ask again in a moment. A cluster has one entry of a subject under way at a time, and sends away the next
/// without saying what became of the first; also when both are the same, sent twice.
fn is_unsettled(error: &PublishError) -> bool {
    matches!(
        refusal(error),
        Some(
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
                | ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT
                | ErrorCode::STREAM_TOO_MANY_REQUESTS
        )
    )
}
