//! A message of any type with every field set to a value of its own: a pure function of the descriptor.

use std::collections::HashMap;
use std::fmt::Write as _;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

/// A sample, as it is kept.
pub(crate) struct Sample {
    pub(crate) message: String,
    /// The message's name, with the chosen field where the message offers a choice.
    pub(crate) file: String,
    pub(crate) value: DynamicMessage,
}

impl Sample {
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.value.encode_to_vec()
    }

    pub(crate) fn text(&self) -> String {
        text(&self.value)
    }
}

/// Samples of every message of ours.
pub(crate) fn all(pool: &DescriptorPool) -> impl Iterator<Item = Sample> {
    pool.all_messages()
        .filter(|m| m.full_name().starts_with("muster.") && !m.is_map_entry())
        .flat_map(of_message)
}

fn of_message(message: MessageDescriptor) -> Vec<Sample> {
    let name = message.full_name().to_owned();
    let choices: Vec<FieldDescriptor> = message.fields().filter(is_choice).collect();
    let sample = |choice: Option<&FieldDescriptor>| Sample {
        message: name.clone(),
        file: choice.map_or(name.clone(), |field| format!("{name}@{}", field.name())),
        value: fill(&message, &name, choice),
    };
    if choices.is_empty() {
        return vec![sample(None)];
    }
    choices.iter().map(|choice| sample(Some(choice))).collect()
}

/// Whether only one of this field and some others can be set.
fn is_choice(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|o| !o.is_synthetic())
}

/// `path` is where the message stands: every value is made from its own.
fn fill(
    message: &MessageDescriptor,
    path: &str,
    choice: Option<&FieldDescriptor>,
) -> DynamicMessage {
    let first = message.fields().find(is_choice);
    let chosen = choice.or(first.as_ref());
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if is_choice(&field) && chosen != Some(&field) {
            continue;
        }
        let path = format!("{path}.{}", field.name());
        filled.set_field(&field, value(&field, &path));
    }
    filled
}

fn value(field: &FieldDescriptor, path: &str) -> Value {
    let item = |index: usize| format!("{path}[{index}]");
    if field.is_list() {
        let items = (0..2).map(|index| single(&field.kind(), &item(index)));
        return Value::List(items.collect());
    }
    if field.is_map() {
        let kind = field.kind();
        let entry = kind.as_message().unwrap();
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let entry = |index: usize| {
            let key = single(&key.kind(), &format!("{}.key", item(index)));
            let value = single(&value.kind(), &format!("{}.value", item(index)));
            (key.into_map_key().unwrap(), value)
        };
        return Value::Map((0..2).map(entry).collect());
    }
    single(&field.kind(), path)
}

fn single(kind: &Kind, path: &str) -> Value {
    let number = hash(path);
    // Times are among the numbers, and those of a date that there is can be shown as one.
    let time = i64::try_from(1 + number % 4_000_000_000_000).unwrap();
    let small = u32::try_from(1 + number % 1_000_000).unwrap();
    match kind {
        Kind::Bool => Value::Bool(true),
        Kind::String => Value::String(path.to_owned()),
        Kind::Bytes => Value::Bytes(number.to_be_bytes().to_vec().into()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(time),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(small.cast_signed()),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(small),
        Kind::Double => Value::F64(f64::from(small % 8_000 + 1) / 8.0),
        Kind::Float => Value::F32(1.5),
        Kind::Enum(of) => {
            let numbers: Vec<i32> = of
                .values()
                .map(|v| v.number())
                .filter(|n| *n != 0)
                .collect();
            Value::EnumNumber(numbers[usize::try_from(number).unwrap() % numbers.len()])
        }
        Kind::Message(message) => Value::Message(fill(message, path, None)),
    }
}

/// FNV-1a: the same for ever, whatever the standard library does.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// A message in words, one value a line, in the order of the field numbers.
pub(crate) fn text(message: &DynamicMessage) -> String {
    let mut into = String::new();
    write_message(message, 0, &mut into);
    into
}

fn write_message(message: &DynamicMessage, depth: usize, into: &mut String) {
    let mut fields: Vec<(FieldDescriptor, &Value)> = message.fields().collect();
    fields.sort_by_key(|(field, _)| field.number());
    for (field, value) in fields {
        let name = format!("{:depth$}{} ({})", "", field.name(), field.number());
        write_value(&name, &field.kind(), value, depth, into);
    }
    for unknown in message.unknown_fields() {
        writeln!(into, "{:depth$}unknown ({})", "", unknown.number()).unwrap();
    }
}

fn write_value(name: &str, kind: &Kind, value: &Value, depth: usize, into: &mut String) {
    match value {
        Value::Message(message) => {
            writeln!(into, "{name}:").unwrap();
            write_message(message, depth + 2, into);
        }
        Value::List(items) => {
            for item in items {
                write_value(name, kind, item, depth, into);
            }
        }
        Value::Map(entries) => write_map(name, entries, depth, into),
        Value::EnumNumber(number) => {
            let word = kind.as_enum().and_then(|e| e.get_value(*number));
            let word = word.map_or("?".to_owned(), |value| value.name().to_owned());
            writeln!(into, "{name}: {word} = {number}").unwrap();
        }
        Value::String(text) => writeln!(into, "{name}: {text:?}").unwrap(),
        Value::Bytes(bytes) => writeln!(into, "{name}: bytes {bytes:02x?}").unwrap(),
        scalar => writeln!(into, "{name}: {scalar:?}").unwrap(),
    }
}

fn write_map(name: &str, entries: &HashMap<MapKey, Value>, depth: usize, into: &mut String) {
    let mut lines: Vec<String> = entries
        .iter()
        .map(|(key, value)| {
            let mut line = String::new();
            write_value(
                &format!("{name} {key:?}"),
                &Kind::String,
                value,
                depth,
                &mut line,
            );
            line
        })
        .collect();
    lines.sort();
    into.extend(lines);
}
