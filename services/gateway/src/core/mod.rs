//! Pure decisions: no clock, no randomness, no I/O.

pub(crate) mod learnt;
pub(crate) mod names;
pub(crate) mod order;
pub(crate) mod placing;

pub(crate) mod creating;
pub(crate) mod fields;
pub(crate) mod filter;
pub(crate) mod kinds;
pub(crate) mod list;
pub(crate) mod sort;
pub(crate) mod storing;

pub(crate) mod guard;
pub(crate) mod requests;
