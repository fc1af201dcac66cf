//! The data end's limits, each with its reason.

use std::time::Duration;

/// Connections of one transfer. One is bound by one core's encryption; more than two gain nothing on a fast line.
pub(super) const STREAMS: usize = 2;

/// Chunks that are asked for on a connection before the first of them has come, so that the line is never idle. With
/// the streams it bounds what is sent again after a cut: 2 streams of 2 chunks of 1 MiB.
pub(super) const ASKED_AHEAD: usize = 2;

/// Fetches that a host does at a time, and transfers that it serves at a time. More only make each slower.
pub(super) const TRANSFERS_AT_A_TIME: usize = 4;

/// Connections that are accepted at a time: each is a thread. What is served and what is pushed here, and as many again
/// that have not yet said who they are.
pub(super) const CONNECTIONS_MAX: usize = 4 * TRANSFERS_AT_A_TIME * STREAMS;

/// For a connection to be made.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// For whoever dials to say who he is, encryption included: who is slower keeps a thread from others.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A source that says nothing for so long is gone.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A target that asks nothing for so long is gone. The slowest throttle leaves 16 s between two chunks.
pub(super) const QUESTION_TIMEOUT: Duration = Duration::from_secs(120);

/// The slowest throttle, in bytes a second. Slower, and the time between two chunks looks as if the other were gone.
pub(super) const RATE_MIN: u64 = contracts::limits::TRANSFER_RATE_MIN;

/// Without any chunk for so long a fetch ends, and the transfer service decides what next.
pub(super) const FETCH_PATIENCE: Duration = Duration::from_secs(15);

/// Between two attempts to connect.
pub(super) const REDIAL_INTERVAL: Duration = Duration::from_millis(250);

/// How often a fetch takes damaged chunks before it gives up: it is no line that loses a bit now and then.
pub(super) const DAMAGED_MAX: u32 = 3;

/// A message between data ends, without a payload. The largest is a page of hashes.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Runs of chunks in one answer, about 12 bytes each.
pub(super) const RUNS_IN_A_PAGE: usize = 4096;

/// Hashes in one answer. Each may have to be found out by reading its chunk: 512 MiB take a slow disk some seconds, which
/// is less than the target waits.
pub(super) const HASHES_IN_A_PAGE: u64 = 512;

/// Runs of chunks that a fetch keeps in mind; 16 bytes each. A file with more has its smallest holes taken for data,
/// which costs a few bytes for each chunk.
pub(super) const RUNS_MAX: usize = 64 << 10;

/// Hashes of files that a host remembers, newest first; each file has 32 bytes for a MiB.
pub(super) const FILES_REMEMBERED: usize = 256;

/// Files that are looked through for parts of what is fetched, when none is named.
pub(super) const SEEDS_MAX: usize = 8;

/// Chunks of seeds that are kept in mind; 48 bytes each.
pub(super) const SEED_CHUNKS_MAX: usize = 512 << 10;

/// How long who asks after a fetch may have its end waited for. Each keeps a thread.
pub(super) const STATUS_WAIT_MAX: Duration = Duration::from_secs(1);

/// Chunks whose blocks are told in one answer: 2 KiB for each.
pub(super) const BLOCK_LISTS_IN_A_PAGE: usize = 64;

/// Parts of chunks that are asked for before the first of them has come: as many as whole chunks on all streams.
pub(super) const PARTS_ASKED_AHEAD: usize = STREAMS * ASKED_AHEAD;

/// Blocks of seeds that are kept in mind, 8 bytes each: of 4 GiB of data, which are read for it.
pub(super) const SEED_BLOCKS_MAX: usize = 1 << 20;

/// Chunks whose blocks have been looked for when it is decided whether that is worth it.
pub(super) const BLOCKS_TRIED: u64 = 256;

/// Fetches that ended and are still told of.
pub(super) const ENDED_REMEMBERED: usize = 64;

/// Copied at a time where a filesystem cannot share blocks, so that a copy can be stopped.
pub(super) const COPY_BYTES: u64 = 16 << 20;

/// After an enrollment that failed.
pub(super) const ENROLL_RETRY_MIN: Duration = Duration::from_millis(500);

/// Between enrollments that fail, while the host is not approved or the transfer service is away.
pub(super) const ENROLL_RETRY_MAX: Duration = Duration::from_secs(5);
