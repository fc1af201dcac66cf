//! Between async-nats' shapes and ours.

use async_nats::HeaderMap;
use async_nats::jetstream::{self, ErrorCode};

use crate::bus::{BusError, Headers, LogEntry, Message};

pub(super) fn broken(
    what: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BusError {
    BusError::Broken {
        what: what.into(),
        source: source.into(),
    }
}

pub(super) fn to_header_map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name.as_str(), value.as_str());
    }
    map
}

pub(super) fn from_header_map(map: Option<&HeaderMap>) -> Headers {
    let Some(map) = map else {
        return Headers::new();
    };
    map.iter()
        .filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string())))
        .collect()
}

pub(super) fn millis(time: impl Into<i128>) -> i64 {
    i64::try_from(time.into() / 1_000_000).unwrap_or(i64::MAX)
}

pub(super) fn log_error(
    log: &str,
    error: impl std::error::Error + Send + Sync + 'static,
    code: Option<ErrorCode>,
) -> BusError {
    if code == Some(ErrorCode::STREAM_NOT_FOUND) {
        return BusError::NoLog(log.to_owned());
    }
    broken(format!("log {log}"), error)
}

pub(super) fn to_entry(log: &str, message: &jetstream::Message) -> Result<LogEntry, BusError> {
    let info = message
        .info()
        .map_err(|e| broken(format!("an entry of log {log} has no place in it"), e))?;
    Ok(LogEntry {
        subject: message.subject.to_string(),
        message: Message {
            headers: from_header_map(message.headers.as_ref()),
            payload: message.payload.clone(),
        },
        sequence: info.stream_sequence,
        time_ms: millis(info.published.unix_timestamp_nanos()),
    })
}
