//! `name,-created`: the order of a list, and the place in it that a cursor names.

use std::cmp::{Ordering, Reverse};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::fields::{Cell, Listed, Selector};
use super::filter::unknown_field;
use super::names::Names;
use crate::error::{Failure, Outcome};

/// Fields in one order.
const KEYS_MAX: usize = 4;

/// Longest cursor: names are short, so a longer one is not ours.
const CURSOR_CHARS_MAX: usize = 4_096;

/// An order of records. The id comes last, so that no two are equal.
pub(crate) struct Sort<R: 'static> {
    keys: Vec<Key<R>>,
}

struct Key<R: 'static> {
    selector: Selector<R>,
    descending: bool,
}

impl<R: Listed> Sort<R> {
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let keys: Vec<Key<R>> = text
            .split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(Key::parse)
            .collect::<Outcome<_>>()?;
        if keys.len() > KEYS_MAX {
            return Err(Failure::invalid(
                "sort",
                format!("sort: more than {KEYS_MAX} fields."),
                "Leave out those that come last.",
            ));
        }
        Ok(Self { keys })
    }

    pub(crate) fn compare(&self, a: &R, b: &R, names: &Names) -> Ordering {
        self.keys
            .iter()
            .map(|key| {
                let cell = |record| key.selector.sort_cell(record, names);
                key.turn(cell(a).compare(&cell(b)))
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| a.record_id().cmp(b.record_id()))
    }

    /// What a record is sorted by, taken out of it: many are put in order without looking at each again and again.
    pub(crate) fn key(&self, record: &R, names: &Names) -> SortKey {
        let parts = self.keys.iter().map(|key| {
            let cell = Lowered::of(key.selector.sort_cell(record, names));
            match key.descending {
                true => Part::Descending(Reverse(cell)),
                false => Part::Ascending(cell),
            }
        });
        SortKey {
            parts: parts.collect(),
            id: record.record_id().to_owned(),
        }
    }

    /// Whether a record comes after a place.
    pub(crate) fn is_after(&self, record: &R, place: &Place, names: &Names) -> bool {
        self.keys
            .iter()
            .zip(&place.keys)
            .map(|(key, value)| {
                let cell = key.selector.sort_cell(record, names);
                key.turn(cell.compare(&value.cell()))
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| record.record_id().cmp(&place.id))
            .is_gt()
    }

    pub(crate) fn place_of(&self, record: &R, names: &Names) -> Place {
        Place {
            keys: self
                .keys
                .iter()
                .map(|key| Value::of(key.selector.sort_cell(record, names)))
                .collect(),
            id: record.record_id().to_owned(),
        }
    }
}

impl<R: Listed> Key<R> {
    fn parse(text: &str) -> Outcome<Self> {
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let selector = Selector::find(name).ok_or_else(|| unknown_field::<R>("sort", name))?;
        Ok(Self {
            selector,
            descending,
        })
    }

    fn turn(&self, ordering: Ordering) -> Ordering {
        if self.descending {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

/// Compares as [`Sort::compare`] does.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    parts: Vec<Part>,
    id: String,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Ascending(Lowered),
    Descending(Reverse<Lowered>),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Lowered {
    Number(i64),
    Text(String),
}

impl Lowered {
    fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Number(number) => Self::Number(number),
            Cell::Text(text) | Cell::State { word: text, .. } => {
                Self::Text(text.to_ascii_lowercase())
            }
        }
    }
}

/// Where a page ended: the last record's sort keys and id. The record itself may be gone by the time of the next page.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    keys: Vec<Value>,
    id: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(i64),
    Text(String),
}

impl Value {
    fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Number(number) => Self::Number(number),
            Cell::Text(text) | Cell::State { word: text, .. } => Self::Text(text.to_owned()),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Number(number) => Cell::Number(*number),
            Self::Text(text) => Cell::Text(text),
        }
    }
}

/// A place in one list, as clients carry it.
#[derive(Serialize, Deserialize)]
struct Cursor {
    /// Names the list: its kind, filter and order.
    list: String,
    place: Place,
}

/// Names a list, so that a cursor is of use for it alone.
pub(crate) fn list_name(kind: &str, filter: &str, sort: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [kind, filter, sort] {
        hasher.update(&part.len().to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

pub(crate) fn write_cursor(list: &str, place: Place) -> String {
    let cursor = Cursor {
        list: list.to_owned(),
        place,
    };
    BASE64.encode(serde_json::to_vec(&cursor).unwrap_or_default())
}

pub(crate) fn read_cursor(list: &str, text: &str) -> Outcome<Place> {
    let refused = |message: &str| {
        Failure::invalid(
            "cursor",
            message,
            "Give the cursor of the last page with the same filter and sort, or none to begin again.",
        )
    };
    let cursor: Cursor = Some(text)
        .filter(|text| text.len() <= CURSOR_CHARS_MAX)
        .and_then(|text| BASE64.decode(text).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| refused("cursor: this is not a cursor that a page gave."))?;
    if cursor.list != list {
        return Err(refused(
            "cursor: it is of a list with another filter or sort.",
        ));
    }
    Ok(cursor.place)
}
