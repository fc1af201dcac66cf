//! Runs a helper program to its end: with a time limit, and keeping only so much of what it prints.

use std::io;
use std::process::Stdio;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Instrument;

use super::confinement::UNLESS_ORPHANED;
use crate::{limits, meter};

/// How a program ended.
#[derive(Debug)]
pub(super) struct Output {
    /// `None` when a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    #[error("{program} could not be run: {error}")]
    NotRun { program: String, error: io::Error },
    #[error("{program} did not end within {} s", after.as_secs())]
    TimedOut { program: String, after: Duration },
    #[error("{program} failed: {}", last_line(stderr))]
    Failed { program: String, stderr: String },
}

impl Output {
    fn succeeded(&self) -> bool {
        self.code == Some(0)
    }
}

/// Whether something went wrong for want of room, as programs and the system say it.
pub(crate) fn is_want_of_room(why: &str) -> bool {
    let words = [
        "No space left",
        "Disk quota exceeded",
        "Quota exceeded",
        "File too large",
    ];
    words.iter().any(|words| why.contains(words))
}

/// Runs a program; ends it when the time is over or the caller gives up.
pub(super) async fn run(mut command: Command, limit: Duration) -> Result<Output, ToolError> {
    let program = program_name(&command);
    let not_run = |error| ToolError::NotRun {
        program: program.clone(),
        error,
    };
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = spawn(command).await.map_err(not_run)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async { tokio::join!(read_start(stdout), read_start(stderr), child.wait()) };
    let work = work.instrument(meter::tool_span(&program));
    let (stdout, stderr, status) =
        tokio::time::timeout(limit, work)
            .await
            .map_err(|_| ToolError::TimedOut {
                program: program.clone(),
                after: limit,
            })?;
    Ok(Output {
        code: status.map_err(not_run)?.code(),
        stdout,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

struct Start {
    command: Command,
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

/// Starts a program that ends with the agent. To the kernel that is the thread that starts it, so one thread does so, and it
/// lives as long as the agent: those of the runtime may come and go.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<mpsc::Sender<Start>> = LazyLock::new(|| {
        let (sender, starts) = mpsc::channel::<Start>();
        let start_all = move || {
            for mut start in starts {
                let _entered = start.runtime.enter();
                // Who has given up meanwhile drops the program, which ends it.
                let _ = start.started.send(start.command.spawn());
            }
        };
        // Without the thread nobody receives, and whoever asks hears of it.
        let _ = thread::Builder::new()
            .name("tools".to_owned())
            .spawn(start_all);
        sender
    });
    let gone = || io::Error::other("no thread starts programs");
    let (started, child) = oneshot::channel();
    let runtime = Handle::current();
    let start = Start {
        command,
        runtime,
        started,
    };
    STARTER.send(start).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

/// Runs a program that must succeed.
pub(super) async fn run_well(command: Command, limit: Duration) -> Result<Output, ToolError> {
    let program = program_name(&command);
    let output = run(command, limit).await?;
    if output.succeeded() {
        return Ok(output);
    }
    Err(ToolError::Failed {
        program,
        stderr: output.stderr,
    })
}

/// The program that does the work, without those that only set up its limits.
fn program_name(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    // The process id of the agent follows.
    let guard = words.iter().position(|word| word == UNLESS_ORPHANED);
    let words = words.iter().skip(guard.map_or(0, |at| at + 2));
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    words
        .map(|word| name(word))
        .find(|word| !word.starts_with("--") && word != "prlimit")
        .unwrap_or_default()
}

async fn read_start(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut start = Vec::new();
    if let Some(mut stream) = stream {
        let _ = (&mut stream)
            .take(limits::TOOL_OUTPUT_BYTES_MAX)
            .read_to_end(&mut start)
            .await;
        // The rest is read and dropped, so that the program can end by itself and tell its code.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    start
}

/// The last line of what a program complained, which is what it failed of.
pub(super) fn last_line(stderr: &str) -> &str {
    stderr
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::confinement::Confinement;
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn the_code_of_a_program_that_prints_too_much_is_still_known() {
        let script = "head -c 1000000 /dev/zero; echo why >&2; exit 3";
        let output = run(shell(script), Duration::from_secs(10)).await.unwrap();
        assert_eq!(output.code, Some(3));
        assert_eq!(output.stdout.len() as u64, limits::TOOL_OUTPUT_BYTES_MAX);
        assert_eq!(last_line(&output.stderr), "why");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let error = run(shell("exec sleep 60"), Duration::from_millis(20))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "sh did not end within 0 s");
    }

    #[test]
    fn a_program_is_named_without_its_wrappers() {
        let confinement = Confinement::none();
        let mut command = confinement.limited_command(Path::new("/usr/bin/qemu-img"));
        command.arg("info");
        assert_eq!(program_name(&command), "qemu-img");
    }
}
