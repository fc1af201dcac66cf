//! Which hosts fail together.

use std::collections::BTreeMap;

use crate::core::scan::RowSet;

/// How wide a failure takes machines down together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Host,
    Rack,
    Room,
}

/// Nobody said which.
pub const NO_DOMAIN: u32 = u32::MAX;

/// The failure domains of each row.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    racks: Vec<u32>,
    rooms: Vec<u32>,
    by_rack: BTreeMap<u32, RowSet>,
    by_room: BTreeMap<u32, RowSet>,
}

impl Domains {
    /// Of racks and rooms, numbered, for each row.
    pub fn new(racks: Vec<u32>, rooms: Vec<u32>) -> Self {
        Self {
            by_rack: rows_by(&racks),
            by_room: rows_by(&rooms),
            racks,
            rooms,
        }
    }

    pub fn len(&self) -> usize {
        self.racks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.racks.is_empty()
    }

    pub fn of(&self, row: usize, level: Level) -> u32 {
        match level {
            Level::Host => u32::try_from(row).unwrap_or(NO_DOMAIN),
            Level::Rack => self.racks.get(row).copied().unwrap_or(NO_DOMAIN),
            Level::Room => self.rooms.get(row).copied().unwrap_or(NO_DOMAIN),
        }
    }

    /// The rows of a domain; also of none.
    pub fn rows(&self, level: Level, domain: u32) -> RowSet {
        let known = match level {
            Level::Host => {
                let row = usize::try_from(domain).ok();
                return row.filter(|row| *row < self.len()).into_iter().collect();
            }
            Level::Rack => &self.by_rack,
            Level::Room => &self.by_room,
        };
        known.get(&domain).cloned().unwrap_or_default()
    }
}

fn rows_by(domains: &[u32]) -> BTreeMap<u32, RowSet> {
    let mut rows: BTreeMap<u32, RowSet> = BTreeMap::new();
    for (row, domain) in domains.iter().enumerate() {
        rows.entry(*domain).or_default().insert(row);
    }
    rows
}
