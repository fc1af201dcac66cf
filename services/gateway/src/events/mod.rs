//! Events as server-sent event streams: one reader of the log for all clients, and one for each that catches up.
//!
//! The hand-over knows no gap and no copy, because everything counts in the log's own sequence: a client that catches
//! up reads the log itself until it is near the shared reader, then subscribes, learns in the same moment how far the
//! shared reader had got ([`Hub::subscribe`]), reads the log up to there, and takes what is broadcast from there on.

mod client;
mod hub;
mod sse;

pub(crate) use client::{Client, Filter, Start};
pub(crate) use hub::Hub;
pub(crate) use sse::{KEEP_ALIVE, KEEP_ALIVE_INTERVAL, Sender, channel, frame};
