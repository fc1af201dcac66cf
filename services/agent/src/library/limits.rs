//! Limits of the library's end, each with its reason.

use std::time::Duration;

/// Folders in folders. More is a mistake or malice.
pub(super) const DEPTH_MAX: usize = 32;

/// Files and folders that are met in one walk, of whatever kind: some seconds.
pub(super) const ENTRIES_MAX: usize = 1_000_000;

/// Of a path that is passed over, so that a hundred of them fit into a record.
pub(super) const NAME_CHARS_SHOWN: usize = 200;

/// The most that is hashed to recognise a file by its content: about a minute.
pub(super) const HASHED_BYTES_MAX: u64 = 64 << 30;

/// Files that are looked at at a time: each is a process of `qemu-img`.
pub(super) const LOOKS_AT_ONCE: usize = 2;

/// Items in one report: each is a write that is synced.
pub(super) const ITEMS_A_REPORT: usize = 256;

/// From an event of the kernel to the look: what comes together is looked at together.
pub(super) const SETTLE: Duration = Duration::from_millis(300);

/// Between two looks that events ask for.
pub(super) const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Between two looks at a share that cannot be reached.
pub(super) const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// How often the server asks which shares it has.
pub(super) const REGISTER_INTERVAL: Duration = Duration::from_secs(5);

/// After a call to the library that failed.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// What a conversion notes of the file that it has made: two numbers.
pub(super) const MARK_BYTES_MAX: u64 = 64;

/// Room that stays free on a share when something is made there.
pub(super) const SHARE_FREE_BYTES_MIN: u64 = 64 << 20;

/// Walks in one look that follow each other, since there were folders that nobody watched yet.
pub(super) const WALKS_AGAIN: usize = 8;
