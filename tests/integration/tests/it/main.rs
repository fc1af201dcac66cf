//! Real processes, real nats-server, real QEMU. And the rules of the house.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub
)]

mod away;
mod bad_input;
mod client;
mod clocks;
mod clones;
mod cluster;
mod compose;
mod conversions;
mod copies;
mod crashes;
mod deaf;
mod dependencies;
mod firmware;
mod fleet;
mod guest;
mod imports;
mod invariants;
mod library;
mod library_people;
mod library_travel;
mod live;
mod log;
mod placing;
mod process;
mod receiver;
mod rolling;
mod round;
mod runner;
mod simulated;
mod site;
mod stores;
mod subscribers;
mod templates;
mod tidy;
mod trace;
mod twice;
mod typed;
