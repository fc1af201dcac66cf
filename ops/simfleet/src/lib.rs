//! The simulated fleet: thousands of hosts and tens of thousands of machines in one process, for trials of Muster's size
//! and of bad days. No machine runs here.
//!
//! - Serves: `Host` for each of its hosts, with the agent's own code; a control page on loopback.
//! - Calls: `Inventory.Register` and `Inventory.Report` for each of them, over a few connections.
//! - Says: heartbeats.
//! - Owns: its own account of every host and machine, in memory. The same seed gives the same fleet.
//! - Never: stands in for QEMU where it is claimed that a machine ran.
//!
//! Reading order: [`core`] (what the fleet is, and what can be wrong with it), `line` (where faults show), `host`,
//! [`Fleet`], `churn`, `control`; then [`muster`] and [`measure`] (Muster seen from outside), and [`check`], which puts
//! all together.

pub mod check;
pub mod control;
pub mod core;
pub mod measure;
pub mod muster;

mod churn;
mod config;
mod fleet;
mod host;
mod line;

pub use churn::Churn;
pub use config::Config;
pub use fleet::{Fleet, Happened, Status, Which};
