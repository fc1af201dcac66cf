//! Records: the log is the truth, the store is a view of it.
//!
//! A record kind lives in one bucket and has one owning service. Each instance keeps a view in its own redb file, fed only
//! by the bucket, holding the applied revision in the same transaction ([`view`], [`follow`]). A write is a
//! compare-and-set on the record's revision, answered when the own view has applied it ([`Records::update`]), which it
//! does at the acknowledgement where nothing came in between ([`apply`]). What happened is published from the view's
//! changes, once for each revision ([`relay`]). A bucket that was lost is made anew and filled from the views ([`repair`]).
//! Who looks at all records again and again keeps them decoded ([`table`]).

mod apply;
mod event;
mod file;
mod follow;
mod identity;
mod own;
mod progress;
mod relay;
mod repair;
mod store;
pub mod table;
mod txn;
mod unknown;
mod view;
mod write;

use std::time::Duration;

use contracts::records::Record;

pub use store::{Mirror, Records, Store};
pub use view::ViewError;

/// Deletion markers of buckets go after this time; a view that was away for longer is rebuilt.
const TOMBSTONE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// A record as this instance's view has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<R> {
    pub id: String,
    pub revision: u64,
    pub value: R,
}

/// What a change that was asked for comes to, seen what is there.
pub enum Decision<R, T> {
    /// Write this.
    Put(R, T),
    /// Delete the record.
    Delete(T),
    /// Delete the record; if there is none, write the deletion nevertheless. A write of somebody else that is still on its way
    /// to the log then comes too late, whatever it saw.
    Bar(T),
    /// Leave it as it is.
    Keep(T),
}

/// A change of one record, as this process saw it.
#[derive(Clone, Debug)]
pub struct Change<R> {
    pub id: String,
    pub revision: u64,
    pub before: Option<R>,
    pub after: Option<R>,
}

/// Whether a kind's changes are published.
fn has_events<R: Record>() -> bool {
    R::event(None, Some(&R::default())).is_some()
}
