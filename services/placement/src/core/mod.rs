//! How hosts are rated and claims are counted, as pure functions: no clock, randomness, I/O or tasks.
//!
//! Reading order: [`model`] is the arithmetic, `state` a host as it is rated, `query` what is asked; `checks` and `rate`
//! say how well the one suits the other; `fleet` keeps all hosts, their numbers as the columns of [`scan`]; `choose` takes
//! one, `batch` several. `lifetimes` learns how long machines stay, and `stay` says what that costs a host. `drain` and
//! `repack` plan for hosts that could be empty.

pub mod batch;
pub mod checks;
pub mod choose;
pub mod claims;
pub mod drain;
pub mod fleet;
pub mod fullness;
pub mod guest;
pub mod lifetimes;
pub mod model;
pub mod moving;
pub mod query;
pub mod rate;
pub mod repack;
pub mod requirements;
pub mod rules;
pub mod scan;
pub mod scope;
pub mod simulate;
pub mod standing;
pub mod state;
pub mod stay;
pub mod summary;
pub mod together;
pub mod transfer;
pub mod units;
