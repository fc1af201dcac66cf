//! How long machines stay, learned from those that went and from how old those are that did not.
//!
//! Ages are counted in classes. For each kind of machines and each class it is counted how many came that far, and how many
//! of those went: a life table, the estimator of Kaplan and Meier ("Nonparametric Estimation from Incomplete Observations",
//! 1958) with the machines that still run as incomplete observations. Of machines that came so far the share that goes in a
//! class is
//!
//! ```text
//! hazard = (went + 16 x hazard of the wider kind) / (came so far + 16)
//! ```
//!
//! so that a kind of which little was seen is taken for one of the wider kind. A machine of an age is expected to stay as long
//! as the mean of what is left to those that came to its age, looking ten days ahead:
//!
//! ```text
//! stays = sum over classes of (share that is still there, mean of both ends of the class) x (length of the class)
//! ```
//!
//! All is whole numbers, so the same machines give the same expectation everywhere.

use std::collections::HashMap;

use super::stay::MOST_SECS;

/// Where classes of ages begin, in seconds. Half an hour matters to a machine of an hour, and not to one of a day.
const EDGES: [u64; CLASSES] = [
    0, 300, 600, 900, 1_200, 1_800, 2_400, 3_600, 5_400, 7_200, 10_800, 14_400, 21_600, 28_800,
    43_200, 57_600, 86_400, 129_600, 172_800, 259_200, 345_600, 518_400, 691_200,
];
const CLASSES: usize = 23;

/// Machines that the wider kind's share counts as: too low and one machine that went says what its kind does, too high and
/// a kind is never told from others.
const WIDER_COUNTS: u64 = 16;

/// Machines that must have gone before anything is expected of others.
const GONE_MIN: u64 = 32;

/// Kinds that are told apart; those that come later are taken for the wider one. Some 750 bytes each.
const KINDS_MAX: usize = 20_000;

/// More machines than ever go. Shares of more could not be counted.
const COUNT_MAX: u64 = u32::MAX as u64;

/// One, as shares are counted.
const ONE: u64 = 1 << 24;

/// A kind of machines, as [`Lifetimes::kind`] has numbered it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind(usize);

/// Machines of one kind by classes of ages.
#[derive(Clone, Debug, Default)]
struct Table {
    /// The kind that this one is a part of: it has a lower number. The first has no wider one.
    wider: usize,
    went: [u64; CLASSES],
    /// Machines that went in a later class.
    outlived: [u64; CLASSES],
    /// Machines that are older, and still there.
    still_there: [u64; CLASSES],
    /// The share that goes in each class, of those that came to it; as of the last look.
    hazards: [u64; CLASSES],
}

/// What was learned of machines that went, to be kept.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Learned {
    /// The wider ones before the narrower.
    #[prost(message, repeated, tag = "1")]
    kinds: Vec<LearnedKind>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LearnedKind {
    /// Where in the list the wider one is. The first has none.
    #[prost(uint64, tag = "1")]
    wider: u64,
    #[prost(string, tag = "2")]
    name: String,
    /// By class of age.
    #[prost(uint64, repeated, tag = "3")]
    went: Vec<u64>,
}

#[derive(Clone, Debug)]
pub struct Lifetimes {
    /// By the wider kind and the name.
    numbers: HashMap<(usize, String), usize>,
    tables: Vec<Table>,
    gone: u64,
    /// Enough had gone by the last look.
    is_telling: bool,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            tables: vec![Table::default()],
            gone: 0,
            is_telling: false,
        }
    }
}

impl Lifetimes {
    /// A kind by its names, the widest first: each makes it narrower.
    pub fn kind<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Kind {
        let mut number = 0;
        for name in names {
            let key = (number, name.to_owned());
            let known = self.numbers.get(&key).copied();
            if known.is_none() && self.tables.len() >= KINDS_MAX {
                break;
            }
            number = known.unwrap_or_else(|| self.add(key));
        }
        Kind(number)
    }

    fn add(&mut self, key: (usize, String)) -> usize {
        let wider = key.0;
        self.tables.push(Table {
            wider,
            hazards: self.hazards(Kind(wider)),
            ..Table::default()
        });
        self.numbers.insert(key, self.tables.len() - 1);
        self.tables.len() - 1
    }

    /// A machine went at an age. It counts from the next look.
    pub fn went(&mut self, kind: Kind, age_secs: u64) {
        self.gone += 1;
        let class = class(age_secs);
        self.each_wider(kind, |table| {
            table.went.iter_mut().skip(class).take(1).for_each(one_more);
            table.outlived.iter_mut().take(class).for_each(one_more);
        });
    }

    /// Counts anew what is expected, with those that are still there and how old they are.
    pub fn look(&mut self, still_there: impl IntoIterator<Item = (Kind, u64)>) {
        self.is_telling = self.gone >= GONE_MIN;
        for table in &mut self.tables {
            table.still_there = [0; CLASSES];
        }
        for (kind, age_secs) in still_there {
            let class = class(age_secs);
            self.each_wider(kind, |table| {
                table.still_there.iter_mut().take(class).for_each(one_more);
            });
        }
        // The wider come before the narrower.
        for number in 0..self.tables.len() {
            let wider = self.tables.get(number).map_or(0, |table| table.wider);
            let wider = if number == 0 {
                [0; CLASSES]
            } else {
                self.hazards(Kind(wider))
            };
            if let Some(table) = self.tables.get_mut(number) {
                table.count(&wider);
            }
        }
    }

    /// How long a machine of an age is expected to stay yet, in seconds, looking ten days ahead. `None`: too little was seen.
    pub fn expected_secs(&self, kind: Kind, age_secs: u64) -> Option<u64> {
        self.is_telling
            .then(|| mean_left(&self.hazards(kind), age_secs))
    }

    /// What is known of machines that went.
    pub fn learned(&self) -> Learned {
        let mut names = vec![""; self.tables.len()];
        for ((_, name), number) in &self.numbers {
            if let Some(of) = names.get_mut(*number) {
                *of = name;
            }
        }
        let kinds = self.tables.iter().zip(names);
        let kinds = kinds.map(|(table, name)| LearnedKind {
            wider: table.wider as u64,
            name: name.to_owned(),
            went: table.went.to_vec(),
        });
        Learned {
            kinds: kinds.collect(),
        }
    }

    /// Knows what another knew. `None`: that cannot have been learned.
    pub fn of(learned: &Learned) -> Option<Self> {
        let mut own = Self::default();
        for (number, kept) in learned.kinds.iter().enumerate() {
            let wider = usize::try_from(kept.wider).ok()?;
            let is_known = own.numbers.contains_key(&(wider, kept.name.clone()));
            if number > 0 && (wider >= number || number >= KINDS_MAX || is_known) {
                return None;
            }
            if number > 0 {
                own.add((wider, kept.name.clone()));
            }
            own.tables.get_mut(number)?.take_over(&kept.went)?;
        }
        own.gone = own.tables.first()?.went.iter().sum();
        Some(own)
    }

    fn hazards(&self, kind: Kind) -> [u64; CLASSES] {
        let table = self.tables.get(kind.0);
        table.map_or([0; CLASSES], |table| table.hazards)
    }

    /// Changes a kind, and all that it is a part of.
    fn each_wider(&mut self, kind: Kind, mut change: impl FnMut(&mut Table)) {
        let mut number = kind.0;
        while let Some(table) = self.tables.get_mut(number) {
            change(table);
            if number == 0 {
                break;
            }
            number = table.wider;
        }
    }
}

impl Table {
    fn take_over(&mut self, went: &[u64]) -> Option<()> {
        let went: [u64; CLASSES] = went.try_into().ok()?;
        if went.iter().any(|count| *count > COUNT_MAX) {
            return None;
        }
        let mut later = 0;
        for (outlived, went) in self.outlived.iter_mut().zip(went).rev() {
            *outlived = later;
            later += went;
        }
        self.went = went;
        Some(())
    }

    fn count(&mut self, wider: &[u64; CLASSES]) {
        let gone = self.went.iter().zip(self.outlived);
        let counts = gone.zip(self.still_there).zip(wider);
        let hazards = self.hazards.iter_mut().zip(counts);
        for (hazard, (((went, outlived), still_there), wider)) in hazards {
            let came = went + outlived + still_there;
            *hazard = (went * ONE + WIDER_COUNTS * wider) / (came + WIDER_COUNTS);
        }
    }
}

fn one_more(count: &mut u64) {
    *count += 1;
}

/// The names of a machine's kind, the widest first: how large it is, in hundredths of a processor and MiB; then whose it is,
/// where that is known. The same person's machines of one size are the most alike.
pub fn names([cpu, memory]: [u32; 2], owner: &str) -> Vec<String> {
    let size = format!("{cpu} x {memory}");
    let owner = (!owner.is_empty()).then(|| owner.to_owned());
    std::iter::once(size).chain(owner).collect()
}

fn class(age_secs: u64) -> usize {
    EDGES
        .iter()
        .rposition(|edge| *edge <= age_secs)
        .unwrap_or(0)
}

fn mean_left(hazards: &[u64; CLASSES], age_secs: u64) -> u64 {
    let horizon = age_secs.saturating_add(MOST_SECS);
    let (mut from, mut there, mut sum) = (age_secs, ONE, 0);
    for (class, hazard) in hazards.iter().enumerate().skip(class(age_secs)) {
        let begin = EDGES.get(class).copied().unwrap_or(0);
        let next = EDGES.get(class + 1).copied();
        let end = next.unwrap_or(horizon.max(from)).min(horizon);
        let length = end.saturating_sub(from);
        // Part of a class takes its part of those that go.
        let whole = next.map_or(length, |next| next - begin).max(1);
        let left = there - there * (hazard * length.min(whole) / whole) / ONE;
        sum += (there + left) / 2 * length;
        (from, there) = (end, left);
    }
    sum / ONE
}

#[cfg(test)]
mod tests;
