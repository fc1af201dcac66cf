//! Fields that this program does not know, in records that a newer one wrote.
//!
//! During an upgrade, and after one that was taken back, an old instance changes records that a newer one has written.
//! It decides on what it knows. What it does not know stands in the record's bytes only, and is put back into what it
//! writes: at the top, in nested messages, and in items of lists and maps that are still there.

use std::collections::BTreeMap;

use contracts::records::Record;
use contracts::{Status, diff};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

use super::Stored;
use super::store::{Records, unreadable};

/// Field that tells the items of a list apart: `id`, `name` and the like come first in every message that has one.
const IDENTITY: u32 = 1;

impl<R: Record> Records<R> {
    /// What to write for `value` in place of `current`.
    pub(super) fn encode(
        &self,
        id: &str,
        current: Option<&Stored<R>>,
        value: &R,
    ) -> Result<Vec<u8>, Status> {
        let Some(current) = current else {
            return Ok(value.encode_to_vec());
        };
        let view = &self.mirror.reader.store.view;
        let row = view.get(R::BUCKET, id).map_err(|e| unreadable(&e))?;
        // With a row of another revision another write came first, and the log will refuse this one.
        let row = row.filter(|row| row.revision == current.revision);
        Ok(match row {
            Some(row) => keep(&row.bytes, &current.value, value),
            None => value.encode_to_vec(),
        })
    }
}

/// Encodes `after`, with what the bytes before had and `before`, read from them by this program, has not.
fn keep<R: Record>(bytes: &[u8], before: &R, after: &R) -> Vec<u8> {
    let encoded = after.encode_to_vec();
    // Nearly always every byte is of a field that is known here, and this costs one encoding.
    if before.encode_to_vec() == bytes {
        return encoded;
    }
    carried::<R>(bytes, &encoded).unwrap_or(encoded)
}

/// `None`: there was nothing to carry over.
fn carried<R: Record>(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let before = dynamic::<R>(before)?;
    let mut after = dynamic::<R>(after)?;
    carry(&before, &mut after).then(|| after.encode_to_vec())
}

fn dynamic<R: Record>(bytes: &[u8]) -> Option<DynamicMessage> {
    let descriptor = diff::pool().get_message_by_name(&R::full_name())?;
    DynamicMessage::decode(descriptor, bytes).ok()
}

/// Whether two states of one record differ in fields that this program does not know.
pub(super) fn differ<R: Record>(before: (&R, &[u8]), after: (&R, &[u8])) -> bool {
    residue(before) != residue(after)
}

/// Unknown fields, encoded, by the path of the message that has them.
type Residue = BTreeMap<String, Vec<u8>>;

fn residue<R: Record>((value, bytes): (&R, &[u8])) -> Residue {
    let mut into = Residue::new();
    if value.encode_to_vec() != bytes
        && let Some(message) = dynamic::<R>(bytes)
    {
        collect("", &Value::Message(message), &mut into);
    }
    into
}

fn collect(path: &str, value: &Value, into: &mut Residue) {
    match value {
        Value::Message(message) => {
            let unknown = own(message);
            if !unknown.is_empty() {
                into.insert(path.to_owned(), unknown);
            }
            for (field, value) in message.fields() {
                collect(&format!("{path}.{}", field.number()), value, into);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(&format!("{path}[{index}]"), item, into);
            }
        }
        Value::Map(entries) => {
            for (key, item) in entries {
                collect(&format!("{path}[{key:?}]"), item, into);
            }
        }
        _ => {}
    }
}

/// Puts the unknown fields of a message, and of those in it, into what is there after. False: there were none.
fn carry(before: &DynamicMessage, after: &mut DynamicMessage) -> bool {
    let unknown = own(before);
    let mut any = !unknown.is_empty() && after.merge(unknown.as_slice()).is_ok();
    for (field, value) in before.fields() {
        if after.has_field(&field) {
            any |= carry_value(value, after.get_field_mut(&field));
        }
    }
    any
}

fn own(message: &DynamicMessage) -> Vec<u8> {
    let mut unknown = Vec::new();
    for field in message.unknown_fields() {
        field.encode(&mut unknown);
    }
    unknown
}

fn carry_value(before: &Value, after: &mut Value) -> bool {
    match (before, after) {
        (Value::Message(before), Value::Message(after)) => carry(before, after),
        (Value::List(before), Value::List(after)) => {
            let same_length = before.len() == after.len();
            let mut any = false;
            for (index, item) in after.iter_mut().enumerate() {
                if let Some(counterpart) = counterpart(before, index, item, same_length) {
                    any |= carry_value(counterpart, item);
                }
            }
            any
        }
        (Value::Map(before), Value::Map(after)) => {
            let mut any = false;
            for (key, item) in after.iter_mut() {
                any |= before.get(key).is_some_and(|old| carry_value(old, item));
            }
            any
        }
        _ => false,
    }
}

/// The item that an item of a list was before: the one of the same name, best at the same place. Items without a name
/// are told apart by their place, while none came or went.
fn counterpart<'a>(
    before: &'a [Value],
    index: usize,
    item: &Value,
    same_length: bool,
) -> Option<&'a Value> {
    let at_its_place = before.get(index);
    let Some(name) = identity(item) else {
        return at_its_place.filter(|old| same_length && identity(old).is_none());
    };
    let is_it = |old: &&Value| identity(old).as_deref() == Some(name.as_str());
    at_its_place
        .filter(is_it)
        .or_else(|| before.iter().find(is_it))
}

fn identity(item: &Value) -> Option<String> {
    let name = item.as_message()?.get_field_by_number(IDENTITY)?;
    name.as_str()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
#[path = "unknown_tests.rs"]
mod tests;
