//! The real program against a small stand-in of the gateway that serves the REST types.

// clippy.toml allows these in test functions; what they call needs it said.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod changes;
mod errors;
mod live;
mod output;
mod standin;
mod streams;
mod waiting;
