//! The event that a change of a record is, if it is one: a pure function of before and after.

use bytes::Bytes;
use contracts::common::Event;
use contracts::records::Record;
use contracts::{diff, subjects};
use prost::Message as _;

use super::unknown;
use super::view::{Applied, Before, Binding, Outgoing, Replaced};
use crate::bus::{LogEntry, headers};

/// An event on its subject.
pub(super) struct Telling {
    pub(super) subject: String,
    pub(super) event: Bytes,
}

/// Records stand in the event with the bytes that the log has, fields of a newer program included.
pub(super) fn outgoing<R: Record>(
    binding: &Binding,
    change: &Applied<R>,
    replaced: &Replaced<R>,
    entry: &LogEntry,
) -> Option<Outgoing> {
    if entry.message.get(headers::REPAIRED).is_some() {
        // Nothing happened to the object: its record was put back into a log that was lost.
        return None;
    }
    let header = |name| entry.message.get(name).unwrap_or_default().to_owned();
    let event = Event {
        kind: R::BUCKET.to_owned(),
        id: change.id.clone(),
        revision: change.revision,
        time_ms: entry.time_ms,
        principal: header(headers::PRINCIPAL),
        job_id: header(headers::JOB),
        after: change.bytes.clone().into(),
        ..Event::default()
    };
    let after = change
        .value
        .as_ref()
        .map(|value| (value, change.bytes.as_slice()));
    let telling = tell(event.clone(), replaced.before.as_ref(), after);
    let is_doubtful = is_doubtful(binding, replaced, entry);
    if telling.is_none() && !is_doubtful {
        return None;
    }
    let telling = telling.unwrap_or_else(|| Telling {
        subject: String::new(),
        event: event.encode_to_vec().into(),
    });
    Some(Outgoing {
        writer: header(headers::WRITER),
        subject: telling.subject,
        event: telling.event,
        created: binding.created.clone(),
        is_doubtful,
        is_deletion: after.is_none(),
        time_ms: entry.time_ms,
    })
}

/// Whether the view may have missed what was told last of the object.
fn is_doubtful<R>(binding: &Binding, replaced: &Replaced<R>, entry: &LogEntry) -> bool {
    let previous = entry.message.get(headers::PREVIOUS);
    let was_seen = previous.and_then(|text| text.parse().ok()) == Some(replaced.revision);
    // Before that the log was another one: its last events may never have been told.
    !was_seen || replaced.revision <= binding.put_back
}

/// An event that is too large for the bus, without part of what made it so: first what was before, which the event
/// before it had, then the record itself. What happened is told all the same.
pub(super) fn smaller(event: &Bytes) -> Option<Bytes> {
    let mut event = Event::decode(event.clone()).ok()?;
    if event.before.is_empty() && event.changes.is_empty() {
        (!event.after.is_empty()).then(|| event.after.clear())?;
    }
    event.before.clear();
    event.changes.clear();
    Some(event.encode_to_vec().into())
}

/// `None`: nothing happened.
fn tell<R: Record>(
    mut event: Event,
    before: Option<&Before<R>>,
    after: Option<(&R, &[u8])>,
) -> Option<Telling> {
    let known_before = before.map(|before| &before.value);
    let known_after = after.map(|(value, _)| value);
    let name = R::event(known_before, known_after)?;
    event.changes = diff::changes(known_before, known_after);
    if event.changes.is_empty() && !is_more_than_known(before, after) {
        return None;
    }
    let subject = subjects::event(&name.group_id, R::BUCKET, &event.id, name.verb);
    name.verb.clone_into(&mut event.verb);
    event.group_id = name.group_id;
    event.name = name.name;
    event.before = before.map(|b| b.bytes.clone()).unwrap_or_default().into();
    Some(Telling {
        subject,
        event: event.encode_to_vec().into(),
    })
}

/// Whether something happened although no property that this program tracks has changed: the record came or went, or
/// a newer program changed what is not known here. An event too many harms less than one that is never told.
fn is_more_than_known<R: Record>(before: Option<&Before<R>>, after: Option<(&R, &[u8])>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => unknown::differ((&before.value, &before.bytes), after),
        _ => true,
    }
}

/// The object that an event is of.
pub(super) fn id(outgoing: &Outgoing) -> String {
    let event = Event::decode(outgoing.event.clone());
    event.unwrap_or_default().id
}

/// Subject of every event of the object that an event is of. The server looks at every object of the kind for it.
pub(super) fn subject_of_object<R: Record>(outgoing: &Outgoing) -> String {
    subjects::event("*", R::BUCKET, &id(outgoing), "*")
}

/// The event anew, as a change of what the last event of the object said.
pub(super) fn tell_after<R: Record>(last: &Bytes, outgoing: &Outgoing) -> Option<Telling> {
    let event = Event::decode(outgoing.event.clone()).ok()?;
    let bytes = Event::decode(last.clone()).ok()?.after;
    let before = (!bytes.is_empty())
        .then(|| R::decode(bytes.clone()).ok())
        .flatten()
        .map(|value| Before {
            value,
            bytes: bytes.into(),
        });
    let bytes = event.after.clone();
    let value = (!outgoing.is_deletion).then(|| R::decode(bytes.clone()).ok());
    let after = value.flatten();
    let after = after.as_ref().map(|value| (value, bytes.as_ref()));
    tell(event, before.as_ref(), after)
}
