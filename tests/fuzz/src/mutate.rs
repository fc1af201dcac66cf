//! Inputs that are nearly right: samples, changed a little.

use serde_json::{Map, Value, json};
use support::dice::Dice;

/// Longest input.
const BYTES_MAX: usize = 64 << 10;

const EDGES: [u8; 4] = [0, 0x7f, 0x80, 0xff];

/// Numbers at the edge of something.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "1e400",
    "0.1",
];

/// One input.
pub(crate) fn input(samples: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = pick(samples, dice).cloned().unwrap_or_default();
    // Text is hardly ever still JSON after a change of its bytes: what is JSON is changed as such, every other time.
    if dice.below(2) == 0
        && let Ok(mut value) = serde_json::from_slice(&bytes)
    {
        for _ in 0..=dice.below(4) {
            change_value(&mut value, dice);
        }
        bytes = value.to_string().into_bytes();
    } else {
        for _ in 0..=dice.below(6) {
            change_bytes(&mut bytes, samples, dice);
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn pick<'a, T>(items: &'a [T], dice: &mut Dice) -> Option<&'a T> {
    items.get(dice.below(items.len()))
}

fn number(dice: &mut Dice) -> &'static str {
    pick(&NUMBERS, dice).copied().unwrap_or_default()
}

fn change_bytes(bytes: &mut Vec<u8>, samples: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = bytes.len().min(at + dice.below(32));
    match dice.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => {
            if let (Some(byte), Some(edge)) = (bytes.get_mut(at), pick(&EDGES, dice)) {
                *byte = *edge;
            }
        }
        2 => _ = bytes.drain(at..end),
        3 => bytes.truncate(at),
        4 => {
            let piece: Vec<u8> = bytes.get(at..end).unwrap_or_default().to_vec();
            let times = 1 + dice.below(64);
            bytes.splice(at..at, piece.repeat(times));
        }
        5 => {
            let count = dice.below(16);
            bytes.splice(at..end, dice.bytes(count));
        }
        6 => {
            bytes.splice(at..end, number(dice).bytes());
        }
        _ => {
            let other = pick(samples, dice).cloned().unwrap_or_default();
            let from = dice.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend(other.into_iter().skip(from));
        }
    }
}

/// Puts something unlikely in the place of a part that is chosen by chance.
fn change_value(value: &mut Value, dice: &mut Dice) {
    let inside = match value {
        Value::Array(items) if !items.is_empty() && dice.below(4) > 0 => {
            let at = dice.below(items.len());
            items.get_mut(at)
        }
        Value::Object(fields) if !fields.is_empty() && dice.below(6) > 0 => {
            let at = dice.below(fields.len());
            fields.values_mut().nth(at)
        }
        _ => None,
    };
    match inside {
        Some(inside) => change_value(inside, dice),
        None => *value = unlikely(value, dice),
    }
}

fn unlikely(value: &Value, dice: &mut Dice) -> Value {
    match dice.below(11) {
        0 => Value::Null,
        1 => json!(true),
        2 => copies(value, 2),
        3 => copies(value, dice.below(300)),
        4 => json!("x".repeat(dice.below(3_000))),
        5 => json!("../../\0\u{202e}\r\n\u{1b}[31m"),
        6 => json!({}),
        7 => {
            let mut fields = value.as_object().cloned().unwrap_or_else(Map::new);
            fields.insert("unheard-of".to_owned(), json!(1));
            Value::Object(fields)
        }
        // Nested as deep as a reader would have to follow.
        8 => (0..dice.below(200)).fold(value.clone(), |inner, _| json!([inner])),
        9 => json!(number(dice)),
        _ => serde_json::from_str(number(dice)).unwrap_or_default(),
    }
}

/// A list of as many copies as an input has room for: lists of lists of lists would take all memory of a machine.
fn copies(value: &Value, count: usize) -> Value {
    let room = BYTES_MAX / value.to_string().len();
    Value::Array(vec![value.clone(); count.min(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_change_adds_more_than_an_input_has_room_for() {
        for seed in 0..500 {
            let mut dice = Dice::new(seed);
            let mut value = json!({"status": "running"});
            let mut bytes = value.to_string().len();
            for _ in 0..4 {
                change_value(&mut value, &mut dice);
                let now = value.to_string().len();
                assert!(
                    now <= bytes + 2 * BYTES_MAX,
                    "seed {seed}: {bytes}, then {now}"
                );
                bytes = now;
            }
        }
    }
}
