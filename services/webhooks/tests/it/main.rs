//! Webhooks: two instances as processes of their own, on a real nats-server, and endpoints that listen on real ports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod deliveries;
mod endpoint;
mod harness;
