//! What two programs of Muster must agree on: messages, subjects, error codes, limits.
//!
//! Knows nothing of NATS, stores, clocks or files. Every other crate may depend on it; it depends on none.

pub mod access;
pub mod call;
pub mod diff;
pub mod digest;
mod endpoint;
pub mod events;
pub mod inherit;
pub mod limits;
#[doc(hidden)]
pub mod messages;
pub mod names;
pub mod records;
pub mod rest;
pub mod status;
pub mod stored;
pub mod subjects;
pub mod telemetry;

#[allow(
    clippy::indexing_slicing,
    clippy::doc_lazy_continuation,
    clippy::large_enum_variant,
    unreachable_pub,
    rustdoc::invalid_html_tags
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

pub use generated::muster::common::v1 as common;
pub use generated::muster::data::v1 as data;
pub use generated::muster::host::v1 as host;
pub use generated::muster::inventory::v1 as inventory;
pub use generated::muster::jobs::v1 as jobs;
pub use generated::muster::library::v1 as library;
pub use generated::muster::performance::v1 as performance;
pub use generated::muster::placement::v1 as placement;
pub use generated::muster::refresher::v1 as refresher;
pub use generated::muster::transfer::v1 as transfer;
pub use generated::muster::webhooks::v1 as webhooks;

pub use common::{Code, ObjectRef, PropertyChange, Status};

/// The encoded descriptors of every message and service, options included.
pub static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Every service of the house, in the order of the documentation.
pub fn services() -> [&'static call::Service; 14] {
    [
        &inventory::INVENTORY,
        &jobs::JOBS,
        &placement::PLACEMENT,
        &placement::PLANNING,
        &refresher::REFRESHER,
        &refresher::REFRESHABLE,
        &transfer::TRANSFER,
        &performance::PERFORMANCE,
        &webhooks::WEBHOOKS,
        &library::LIBRARY,
        &library::LIBRARYEND,
        &library::TEMPLATES,
        &host::HOST,
        &data::DATAEND,
    ]
}
