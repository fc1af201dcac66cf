//! How any service of Muster lives: configuration, telemetry, bus, records, clock, shutdown.
//!
//! Only this crate names async-nats, redb's tables of records, opentelemetry and figment.
//! It knows nothing of hosts, machines or jobs.

pub mod bus;
pub mod config;
pub mod records;
pub mod refreshable;
pub mod rpc;
pub mod service;
pub mod telemetry;
pub mod world;
