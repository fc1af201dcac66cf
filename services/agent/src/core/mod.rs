//! Decisions about reports and commands: no clock, no bus, no hypervisor.

pub mod backlog;
pub mod facts;
pub mod fences;
