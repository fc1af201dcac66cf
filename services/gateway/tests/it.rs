//! The gateway on a real nats-server, with stand-ins for the services that it calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod fleet;
mod stand_ins;
mod streams;

mod answers;
mod changes;
mod document;
mod events;
mod jobs;
mod lists;
mod live;
