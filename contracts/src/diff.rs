//! Which properties of a record changed: a walk over two messages of one type, whatever the type.
//!
//! Fields marked `untracked` only measure and are passed over.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MapKey, Value};

use crate::{DESCRIPTORS, PropertyChange};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap_or_default());

/// The pool of every message and service of Muster.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// Properties that differ, by path. An absent message has no properties.
pub fn changes<M: Message + Name>(before: Option<&M>, after: Option<&M>) -> Vec<PropertyChange> {
    let before = before.map(properties).unwrap_or_default();
    let after = after.map(properties).unwrap_or_default();
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| PropertyChange {
            property: path.clone(),
            previous: before.get(path).cloned().unwrap_or_default(),
            new: after.get(path).cloned().unwrap_or_default(),
        })
        .collect()
}

/// Every tracked property that is set, as text, by path.
fn properties<M: Message + Name>(message: &M) -> BTreeMap<String, String> {
    let mut into = BTreeMap::new();
    let Some(descriptor) = POOL.get_message_by_name(&M::full_name()) else {
        return into;
    };
    let mut dynamic = DynamicMessage::new(descriptor);
    if dynamic.transcode_from(message).is_ok() {
        walk_message("", &dynamic, &mut into);
    }
    into
}

fn walk_message(path: &str, message: &DynamicMessage, into: &mut BTreeMap<String, String>) {
    for (field, value) in message.fields() {
        if is_tracked(&field) {
            let path = if path.is_empty() {
                field.name().to_owned()
            } else {
                format!("{path}.{}", field.name())
            };
            walk_value(&path, &field, value, into);
        }
    }
}

fn walk_value(
    path: &str,
    field: &FieldDescriptor,
    value: &Value,
    into: &mut BTreeMap<String, String>,
) {
    match value {
        Value::Message(message) => walk_message(path, message, into),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                walk_value(&format!("{path}[{index}]"), field, item, into);
            }
        }
        Value::Map(entries) => {
            for (key, item) in entries {
                walk_value(&format!("{path}[{}]", key_text(key)), field, item, into);
            }
        }
        scalar => {
            into.insert(path.to_owned(), scalar_text(field, scalar));
        }
    }
}

/// Whether a change of the field is a change of the record; what only measures is not.
pub fn is_tracked(field: &FieldDescriptor) -> bool {
    let Some(untracked) = POOL.get_extension_by_name("muster.options.v1.untracked") else {
        return true;
    };
    field.options().get_extension(&untracked).as_bool() != Some(true)
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(value) => value.to_string(),
        MapKey::I32(value) => value.to_string(),
        MapKey::I64(value) => value.to_string(),
        MapKey::U32(value) => value.to_string(),
        MapKey::U64(value) => value.to_string(),
    }
}

fn scalar_text(field: &FieldDescriptor, value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::EnumNumber(number) => enum_text(field, *number),
        Value::Message(_) | Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// `VM_STATE_RUNNING` of the enum `VmState` reads `running`.
fn enum_text(field: &FieldDescriptor, number: i32) -> String {
    let kind = field.kind();
    let Some(descriptor) = kind.as_enum() else {
        return number.to_string();
    };
    let Some(value) = descriptor.get_value(number) else {
        return number.to_string();
    };
    let prefix = descriptor
        .get_value(0)
        .and_then(|zero| zero.name().strip_suffix("UNSPECIFIED").map(str::to_owned))
        .unwrap_or_default();
    value
        .name()
        .strip_prefix(prefix.as_str())
        .unwrap_or(value.name())
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{GuestFacts, VmState};
    use crate::inventory::Vm;

    fn change(property: &str, previous: &str, new: &str) -> PropertyChange {
        PropertyChange {
            property: property.to_owned(),
            previous: previous.to_owned(),
            new: new.to_owned(),
        }
    }

    #[test]
    fn tells_what_changed_from_what_to_what() {
        let before = Vm {
            name: "web-01".to_owned(),
            state: VmState::Stopped.into(),
            tags: [("env".to_owned(), "test".to_owned())].into(),
            ..Vm::default()
        };
        let after = Vm {
            state: VmState::Running.into(),
            tags: [("env".to_owned(), "prod".to_owned())].into(),
            ..before.clone()
        };
        assert_eq!(
            changes(Some(&before), Some(&after)),
            [
                change("state", "stopped", "running"),
                change("tags[env]", "test", "prod")
            ]
        );
    }

    #[test]
    fn a_measured_value_is_no_change() {
        let vm = |uptime_secs| Vm {
            guest: Some(GuestFacts {
                uptime_secs,
                ..GuestFacts::default()
            }),
            ..Vm::default()
        };
        assert_eq!(changes(Some(&vm(1)), Some(&vm(2))), []);
    }

    #[test]
    fn a_new_record_shows_every_property_that_is_set() {
        let vm = Vm {
            name: "web-01".to_owned(),
            ..Vm::default()
        };
        assert_eq!(changes(None, Some(&vm)), [change("name", "", "web-01")]);
    }
}
