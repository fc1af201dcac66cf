//! Pure: what is wanted, where it may go, how it is signed, and when it is tried again.

pub mod address;
pub mod message;
pub mod retry;
pub mod webhook;
