//! The engine on a real nats-server, two instances at once, with small stand-ins for the services that it calls.
//!
//! The stand-ins hold what a real one would, and count it: what is left over after a job is seen there. That jobs work
//! with the real services and real machines is shown elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod cases;
mod crash;
mod every_kind;
mod fleet;
mod harness;
mod history;
mod lifecycle;
mod outage;
mod record;
mod refusals;
mod stored;
mod submit;
mod templates;
mod waiting;
