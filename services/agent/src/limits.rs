//! The agent's limits, each with its reason.

use std::time::Duration;

/// One line of QMP. The longest answers that we ask for (block nodes of a long chain) stay below 100 KiB; a line above
/// this is a broken or hostile peer.
pub(crate) const QMP_LINE_BYTES_MAX: u64 = 4 << 20;

/// Events that may wait for the worker. A worker never awaits work, so a full queue means that it is gone.
pub(crate) const QMP_EVENTS_MAX: usize = 1024;

/// A QMP command that only asks or sets something. QEMU answers in under a millisecond unless its main loop hangs.
pub(crate) const QMP_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// No greeting in this time: another client holds the socket, or QEMU hangs.
pub(crate) const QMP_GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// One line of the guest agent. The guest writes it, so it is never trusted.
pub(crate) const GUEST_LINE_BYTES_MAX: usize = 1 << 20;

/// One command to the guest agent. It answers in milliseconds; a guest under load in a second or two.
pub(crate) const GUEST_COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// All facts of a guest together; below the 10 s that `GetVm` has.
pub(crate) const GUEST_FACTS_TIMEOUT: Duration = Duration::from_secs(5);

/// A text of the guest's (host name, OS), cut here.
pub(crate) const GUEST_TEXT_CHARS_MAX: usize = 255;

/// Addresses that a guest may have reported.
pub(crate) const GUEST_ADDRESSES_MAX: usize = 64;

/// Guest facts while the guest has no address yet: DHCP takes a second or two.
pub(crate) const GUEST_REFRESH_EARLY: Duration = Duration::from_secs(2);

/// Guest facts later on. Each costs the guest some milliseconds of CPU.
pub(crate) const GUEST_REFRESH: Duration = Duration::from_secs(60);

/// Guests that are asked at a time when all of a host's are. Each may take its whole time, and the answer of the host must
/// be there before its caller gives up.
pub(crate) const GUESTS_AT_A_TIME: usize = 16;

/// All guests of a host together: less than inventory waits for the answer.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// From the start of QEMU until it answers on its socket; 0.2 s on an idle machine, seconds on a loaded one.
pub(crate) const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a machine that was found running may take to answer before it counts as hung. The whole host waits for it
/// after a start of the agent, so it is short; a machine that answers later is taken over then.
pub(crate) const ADOPT_TIMEOUT: Duration = Duration::from_secs(4);

/// Machines that are adopted at a time after a start of the agent.
pub(crate) const ADOPTIONS_AT_A_TIME: usize = 16;

/// Between two attempts to connect to a QEMU that starts, or to hear of a migration's end.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// After `quit`, QEMU flushes its disks and ends. A process that hangs longer is killed.
pub(crate) const QUIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A process that cannot be asked to end may be ending already; after this it is killed.
pub(crate) const UNASKED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a look at a datastore may take. Storage over a network that is away hangs every look at it.
pub(crate) const DATASTORE_TIMEOUT: Duration = Duration::from_secs(5);

/// After SIGKILL a process ends unless it hangs in the kernel (storage that does not answer).
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A guest that has not begun to shut down by its power button in this time is asked through its agent.
pub(crate) const POWER_BUTTON_TIMEOUT: Duration = Duration::from_secs(10);

/// Kept of a call's time, so that the answer still reaches the caller.
pub(crate) const ANSWER_RESERVE: Duration = Duration::from_secs(2);

/// Writing or reading the memory of a saved machine: 16 TiB are out of reach, 256 GiB on a slow disk are not.
pub(crate) const STATE_TIMEOUT: Duration = Duration::from_secs(900);

/// `qemu-img info`: reads one header.
pub(crate) const IMAGE_INFO_TIMEOUT: Duration = Duration::from_secs(10);

/// `qemu-img check`: reads all tables, about 125 KiB for each GiB of data.
pub(crate) const IMAGE_CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// A whole copy of an image.
pub(crate) const IMAGE_COPY_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Address space of a `qemu-img` that reads a file from outside: a hostile header must not eat the host's memory.
pub(crate) const IMAGE_TOOL_MEMORY_BYTES: u64 = 2 << 30;

/// CPU time of a `qemu-img` that looks at a file from outside.
pub(crate) const IMAGE_TOOL_CPU_SECS: u64 = 60;

/// What a tool prints, and what we keep of it. A check of a broken image prints a line for each cluster.
pub(crate) const TOOL_OUTPUT_BYTES_MAX: u64 = 256 << 10;

/// Layers of a disk: image over image over image.
pub(crate) const CHAIN_LAYERS_MAX: usize = 8;

/// Images that are listed of one datastore.
pub(crate) const IMAGES_LISTED_MAX: usize = 1_000;

/// Room that a new machine needs on its datastore beside its disks' data, and that stays free.
pub(crate) const DATASTORE_FREE_BYTES_MIN: u64 = 64 << 20;

/// A definition of a machine. The largest that we write is under 32 KiB.
pub(crate) const DEFINITION_BYTES_MAX: u64 = 1 << 20;

/// One read of the serial log.
pub(crate) const LOG_READ_BYTES_MAX: u64 = 256 << 10;

/// The serial log is cut when it is longer: the guest writes it, and must not fill the datastore.
pub(crate) const LOG_BYTES_MAX: u64 = 8 << 20;

/// A screenshot: must fit into one message of the bus.
pub(crate) const SCREENSHOT_BYTES_MAX: u64 = 7 << 20;

/// The probe machine under KVM: a few instructions. An emulation that hangs is ended here.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Changes that may wait for the reporter; when it falls behind further, it sends the whole picture.
pub(crate) const CHANGES_MAX: usize = 1024;

/// Messages that may wait for one machine's worker.
pub(crate) const MAILBOX_MAX: usize = 64;

/// How long the outcome of a command is remembered: longer than any job is retried.
pub(crate) const OPERATIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Outcomes that are remembered at most; about 1 KiB each.
pub(crate) const OPERATIONS_MAX: u64 = 50_000;

/// Commands that are carried out at a time; each may be a copy of an image or a wait for a guest. The next ones wait.
pub(crate) const OPERATIONS_AT_A_TIME: usize = 64;

/// Machines of which it is known how late a command may be; the oldest are forgotten. More than a host ever has.
pub(crate) const FENCES_MAX: usize = 10_000;

/// Length of an operation's id.
pub(crate) const OPERATION_ID_CHARS_MAX: usize = 200;

/// After the first call to inventory that failed.
pub(crate) const RETRY_MIN: Duration = Duration::from_millis(250);

/// Between calls to inventory while it is away. Too high and a host comes back late; too low and thousands of hosts press
/// on an inventory that has just come back.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(2);

/// The longest that inventory can have a host wait before it asks again whether it is approved, or sends a report again.
pub(crate) const ASK_AGAIN_MAX: Duration = Duration::from_secs(120);

/// Facts that have not changed are told again after this time, so that who reads them knows how old they may be.
pub(crate) const FACTS_RETOLD: Duration = Duration::from_secs(600);

/// How often the host's facts are looked at.
pub(crate) const FACTS_INTERVAL: Duration = Duration::from_secs(30);

/// From a machine's change of power until what is used is said. Too low and a host that starts all of its machines says it
/// for each; too high and what was turned on shows late.
pub(crate) const SAMPLES_AFTER_POWER: Duration = Duration::from_secs(2);

/// The least time that a rate is taken over.
pub(crate) const SAMPLED_OVER_MIN: Duration = Duration::from_secs(1);

/// How long a machine's QEMU may take to say what it has counted. One that hangs is sampled without that.
pub(crate) const SAMPLE_QMP_TIMEOUT: Duration = Duration::from_secs(2);

/// Machines that are sampled at a time.
pub(crate) const SAMPLES_AT_A_TIME: usize = 16;

/// Paths of unix sockets: `sun_path` has 108 bytes, one of them for the end.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;
