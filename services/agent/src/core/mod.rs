//! Decisions about reports: no clock, no bus, no hypervisor.

pub mod backlog;
pub mod facts;
