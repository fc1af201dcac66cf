//! What clients asked for and were told.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a client wants of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Make it, if it is not there.
    Create,
    /// One more than there is.
    Count,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was written at this revision.
    Done(u64),
    /// There was nothing to do.
    Nothing,
    /// An error, or no answer: it may have been written.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) told: Told,
    /// Which log there was when it was asked, counted from 0.
    pub(super) asked_in: usize,
    /// Which there was when it was answered.
    pub(super) answered_in: usize,
}

/// Writes by their token, which each carries into the log as its principal.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) asked: BTreeMap<String, Asked>,
    /// When the log of records was lost last.
    pub(super) lost_at: Option<Duration>,
    /// For each log that was lost: up to which revision of it nothing may be lost.
    pub(super) floors: BTreeMap<usize, u64>,
}
