//! Two instances of the library on a real nats-server, with a library server that the test plays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod harness;
mod looks;
mod reports;
mod templates;
