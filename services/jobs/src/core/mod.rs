//! Pure decisions: no clock, no randomness, no I/O. Time and ids are handed in.

pub(crate) mod datastore;
pub(crate) mod hardware;
pub(crate) mod machine;
pub(crate) mod naming;
pub(crate) mod power;
pub(crate) mod rating;
pub(crate) mod retry;
pub(crate) mod turn;
