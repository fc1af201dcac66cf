//! What the kernel has counted of a process, from `/proc`.

use std::fmt::Display;
use std::fs;
use std::time::Duration;

use anyhow::Context;

/// Time on processors.
pub(crate) struct Times {
    pub(crate) own: Duration,
    /// Of children that have ended and were waited for, and of theirs.
    pub(crate) children: Duration,
}

/// Of a process by its id, or `self`.
pub(crate) fn times(process: impl Display) -> anyhow::Result<Times> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; the times are the 12th to the 15th field after it, in clock ticks.
    let (_, fields) = stat
        .rsplit_once(')')
        .context("a line of /proc is not understood")?;
    let times = fields.split_whitespace().skip(11).take(4);
    let times: Vec<u64> = times.map(str::parse).collect::<Result<_, _>>()?;
    let [user, system, user_of_children, system_of_children] = times[..] else {
        anyhow::bail!("a line of /proc is too short");
    };
    Ok(Times {
        own: time(user + system),
        children: time(user_of_children + system_of_children),
    })
}

fn time(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

/// Bytes of a line in its status, such as `VmRSS:` (memory now) or `VmHWM:` (at its peak).
pub(crate) fn memory_bytes(process: u32, line: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = field(&status, line);
    Ok(kib.context("the kernel does not say how much memory it takes")? * 1024)
}

/// Of all threads together, how often they gave up the processor to wait.
pub(crate) fn waits(process: u32) -> anyhow::Result<u64> {
    let mut waits = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while we look.
        let status = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        waits += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
    }
    Ok(waits)
}

/// Bytes that have come in over the loopback device since the system started.
pub(crate) fn loopback_bytes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/net/dev")?;
    let mut lines = text.lines().map(str::trim);
    let received = lines.find_map(|line| line.strip_prefix("lo:")?.split_whitespace().next());
    Ok(received.context("there is no loopback device")?.parse()?)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}
