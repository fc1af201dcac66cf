//! Speaks to the gateway: requests that survive a lost connection, problem documents, streams of events.

mod address;
mod request;
mod retry;
mod sse;
mod stream;

pub(crate) use address::server;
pub(crate) use request::{Answer, Client, Request, not_understood};
pub(crate) use retry::backoff;
pub(crate) use sse::Message;
