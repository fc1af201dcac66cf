//! Decisions about reports, commands and samples: no clock, no bus, no hypervisor.

pub mod backlog;
pub mod facts;
pub mod fences;
pub mod library;
pub mod package;
pub mod seed;
pub mod spread;
pub mod usage;
