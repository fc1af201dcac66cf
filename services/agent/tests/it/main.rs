//! The agent with real QEMU and a real guest. One binary, because linking costs more than the tests.
//!
//! Needs `MUSTER_GUEST_IMAGE` (made by `ops/guest/build`), and QEMU from `MUSTER_QEMU` or `PATH`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod adoption;
mod away;
mod bus;
mod clones;
mod data;
mod found;
mod full;
mod host;
mod images;
mod imports;
mod life;
mod parcels;
mod refresh;
mod refusals;
mod samples;
