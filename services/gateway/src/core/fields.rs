//! Fields that lists are filtered and sorted by.

use std::cmp::Ordering;

use contracts::records::Record;
use contracts::rest::VmState;
use serde::Serialize;
use utoipa::ToSchema;

use super::names::Names;

/// The value of a field of one record. What is not set is empty or 0, and comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    /// What a machine does, by its record, and the host that says so: while it does not respond, nobody knows.
    State {
        word: &'a str,
        host_id: &'a str,
    },
    /// A count, bytes, or milliseconds since 1970 UTC.
    Number(i64),
}

impl<'a> Cell<'a> {
    /// As text, where it is one.
    fn text(&self) -> Option<&'a str> {
        match self {
            Cell::Text(text) | Cell::State { word: text, .. } => Some(text),
            Cell::Number(_) => None,
        }
    }

    /// Text compares without regard to case, so that `Web` and `web` are neighbours.
    pub(crate) fn compare(&self, other: &Cell<'a>) -> Ordering {
        match (self, other) {
            (Cell::Number(a), Cell::Number(b)) => a.cmp(b),
            (Cell::Number(_), _) => Ordering::Less,
            (_, Cell::Number(_)) => Ordering::Greater,
            (a, b) => {
                let lower = |cell: &Cell<'a>| {
                    let text = cell.text().unwrap_or_default();
                    text.bytes().map(|b| b.to_ascii_lowercase())
                };
                lower(a).cmp(lower(b))
            }
        }
    }
}

/// A number that does not fit is beyond every limit anyway.
pub(crate) fn number(value: impl TryInto<i64>) -> Cell<'static> {
    Cell::Number(value.try_into().unwrap_or(i64::MAX))
}

/// What the value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Text,
    /// What a machine does.
    State,
    Number,
    Time,
    /// Id of a host: filtered by id or name, sorted by name.
    Host,
    /// Id of a group: filtered by id, name or path with all groups below, sorted by path.
    Group,
}

pub(crate) struct Field<R> {
    pub(crate) name: &'static str,
    pub(crate) is: Is,
    pub(crate) get: for<'a> fn(&'a R) -> Cell<'a>,
}

/// A record kind that is listed.
pub(crate) trait Listed: Record {
    /// Fields by name. Where two have one name, a filter takes either, and the first is what is sorted by.
    const FIELDS: &'static [Field<Self>];
    const DEFAULT_SORT: &'static str;
    /// What clients see.
    type Rest: Serialize + ToSchema;

    fn record_id(&self) -> &str;

    fn to_rest(&self, names: &Names) -> Self::Rest;

    /// The value of a tag, for kinds that have tags.
    fn tag(&self, _key: &str) -> Option<&str> {
        None
    }

    const HAS_TAGS: bool = false;
}

/// A field of a record, or one of its tags.
pub(crate) enum Selector<R: 'static> {
    Fields(Vec<&'static Field<R>>),
    Tag(String),
}

impl<R: Listed> Selector<R> {
    /// `None`: there is no such field.
    pub(crate) fn find(name: &str) -> Option<Self> {
        if let Some(key) = name.strip_prefix("tag.") {
            return (R::HAS_TAGS && !key.is_empty()).then(|| Self::Tag(key.to_owned()));
        }
        let fields: Vec<_> = R::FIELDS.iter().filter(|f| f.name == name).collect();
        (!fields.is_empty()).then_some(Self::Fields(fields))
    }

    /// What a record is sorted by.
    pub(crate) fn sort_cell<'a>(&self, record: &'a R, names: &'a Names) -> Cell<'a> {
        match self {
            Self::Tag(key) => Cell::Text(record.tag(key).unwrap_or_default()),
            Self::Fields(fields) => fields.first().map_or(Cell::Text(""), |field| {
                named((field.get)(record), field.is, names)
            }),
        }
    }
}

/// A cell as people read it: ids of hosts and groups by their names.
fn named<'a>(cell: Cell<'a>, is: Is, names: &'a Names) -> Cell<'a> {
    match (cell, is) {
        (Cell::Text(id), Is::Host) => Cell::Text(names.host(id)),
        (Cell::Text(id), Is::Group) => Cell::Text(names.group_path(id)),
        (Cell::State { word, host_id }, _) => {
            Cell::Text(shown_state(word, host_id, |id| names.is_silent(id)))
        }
        (cell, _) => cell,
    }
}

/// What a machine is shown to do. One that is nowhere, or that its host said is gone, does not wait for a word from it.
pub(crate) fn shown_state<'a>(
    word: &'a str,
    host_id: &str,
    is_silent: impl Fn(&str) -> bool,
) -> &'a str {
    let is_known = [VmState::Missing, VmState::Creating]
        .iter()
        .any(|s| s.word() == word);
    if !is_known && is_silent(host_id) {
        VmState::HostNotResponding.word()
    } else {
        word
    }
}

/// The names of a kind's fields, for messages and the documentation.
pub(crate) fn field_names<R: Listed>() -> String {
    let mut names: Vec<&str> = R::FIELDS.iter().map(|field| field.name).collect();
    names.dedup();
    if R::HAS_TAGS {
        names.push("tag.<key>");
    }
    names.join(", ")
}
