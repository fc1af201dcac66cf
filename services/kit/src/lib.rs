//! How any service of Muster lives: configuration, telemetry, bus, records, clock, shutdown.
//!
//! Only this crate names async-nats, redb's tables of records, opentelemetry and figment.
//! It knows nothing of hosts, machines or jobs.

pub mod bus;
pub mod config;
pub mod kept;
pub mod records;
pub mod refreshable;
pub mod rpc;
pub mod service;
pub mod telemetry;
pub mod world;

/// Records are decoded into many small pieces. With glibc's allocator a fleet of 1,000 hosts took a quarter longer to join
/// (17.1 s, 13.6 s with this one), and a page of a list twice as long to be answered (`bench fleet`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
