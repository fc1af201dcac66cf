//! Runs a helper program to its end: with a time limit, and keeping only so much of what it prints.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tracing::Instrument;

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
    NotRun {
        program: String,
        error: std::io::Error,
    },
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
    let mut child = command.spawn().map_err(not_run)?;
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
    let words = words.map(|word| word.to_string_lossy());
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    words
        .map(|word| name(&word))
        .find(|word| {
            !word.starts_with("--") && !["setsid", "setpriv", "prlimit"].contains(&word.as_str())
        })
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
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=1",
            "--",
            "prlimit",
            "--as=1",
            "/usr/bin/qemu-img",
            "info",
        ]);
        assert_eq!(program_name(&command), "qemu-img");
    }
}
