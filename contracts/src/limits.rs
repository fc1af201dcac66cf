//! Limits that more than one program must agree on. A service's own limits are in its own crate.

use std::time::Duration;

/// Deadline of a call whose method names none: host commands. Too low and a slow host fails its jobs; too high and a
/// lost answer is noticed late. 330 s is what the field is used to.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(330);

/// Largest message on the bus. A screenshot or a whole picture of a large host must fit.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often a host says that it is alive.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Heartbeats that may be missed before a host counts as not responding.
pub const HEARTBEATS_MISSED_MAX: u32 = 3;

/// How often a host says what it and its machines use.
pub const SAMPLES_INTERVAL: Duration = Duration::from_secs(60);

/// QEMU's own limit for q35 without further settings is 288; 240 leaves it room.
pub const VCPUS_MAX: u32 = 240;

/// Less than this boots nothing.
pub const VM_MEMORY_BYTES_MIN: u64 = 16 << 20;

/// 16 TiB, above every machine that there is.
pub const VM_MEMORY_BYTES_MAX: u64 = 16 << 40;

/// Disks of one machine; they share 32 slots with network cards.
pub const DISKS_MAX: usize = 16;

pub const NETWORK_CARDS_MAX: usize = 8;

/// 64 TiB, the largest disk that VHDX knows.
pub const DISK_BYTES_MAX: u64 = 64 << 40;

/// A DNS label: the name of a machine is also its host name.
pub const VM_NAME_CHARS_MAX: usize = 63;

/// Names of host groups and the like, for people.
pub const TITLE_CHARS_MAX: usize = 120;

pub const DESCRIPTION_CHARS_MAX: usize = 2_000;

pub const TAGS_MAX: usize = 64;

pub const TAG_CHARS_MAX: usize = 128;

/// Rules of placement. Each placement looks at every one that names its machine.
pub const RULES_MAX: usize = 1_000;

/// Machines or hosts that one rule names by id; more are named by a tag.
pub const RULE_MEMBERS_MAX: usize = 1_000;

/// Machines of one batch that are placed together.
pub const BATCH_MAX: usize = 1_000;

/// Machines that a simulation adds. Ten times the largest fleet.
pub const SIMULATED_MAX: u32 = 500_000;

/// Depth of the tree of host groups, the root included.
pub const GROUP_DEPTH_MAX: usize = 16;

/// Items of one library share; what is beyond is passed over by name. The digests of all of them fit into one message.
pub const LIBRARY_ITEMS_MAX: usize = 100_000;

/// Files of a library share that are passed over and named.
pub const LIBRARY_SKIPPED_NAMED: usize = 100;

/// Bytes of a path below a library share.
pub const LIBRARY_PATH_BYTES_MAX: usize = 1_024;

/// The slowest that a transfer may be told to go, in bytes a second. Slower, and the time between two chunks of 1 MiB looks
/// as if the other end were gone.
pub const TRANSFER_RATE_MIN: u64 = 64 << 10;

/// Templates, and profiles of each kind. Lists of them are answered whole.
pub const DEFINITIONS_MAX: usize = 1_000;

/// User data of a guest: what clouds take at most is 16 KiB to 64 KiB.
pub const USER_DATA_BYTES_MAX: usize = 64 << 10;

/// Disk operations a second, and Mbit/s, that a machine may be expected to use: more than any has.
pub const EXPECTED_LOAD_MAX: f64 = 1e9;

/// SSH keys of one user of a guest.
pub const SSH_KEYS_MAX: usize = 64;

/// A key of RSA with 16,384 bits has 2.8 KiB.
pub const SSH_KEY_CHARS_MAX: usize = 4_096;

/// Users that a guest profile makes.
pub const GUEST_USERS_MAX: usize = 64;

/// Roles that a template names.
pub const ROLES_MAX: usize = 64;
