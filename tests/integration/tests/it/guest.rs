//! A person at a machine: at its serial console, and at the control socket that is there for people.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};
use support::PATIENCE;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// The root shell at the serial port. What comes must be read: a guest whose console is open and not read stands still.
pub struct Console {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
}

impl Console {
    pub async fn open(socket: &Path) -> Self {
        let (read, write) = UnixStream::connect(socket).await.unwrap().into_split();
        Self { read, write }
    }

    pub async fn type_line(&mut self, line: &str) {
        let typed = format!("\n{line}\n");
        self.write.write_all(typed.as_bytes()).await.unwrap();
    }

    /// Reads until a text comes, and answers with the rest of its line.
    pub async fn reads(&mut self, text: &str) -> String {
        let reading = async {
            let mut seen = Vec::new();
            loop {
                let count = self.read.read_buf(&mut seen).await.unwrap();
                assert!(count > 0, "the console closed before {text:?}");
                let seen = String::from_utf8_lossy(&seen);
                let rest = seen.split_once(text).and_then(|(_, r)| r.split_once('\n'));
                if let Some((rest, _)) = rest {
                    return rest.trim().to_owned();
                }
            }
        };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        read.unwrap_or_else(|_| panic!("the console does not say {text:?}"))
    }

    /// Reads whatever comes, for as long as the machine is there.
    pub fn keep_reading(self) {
        let mut read = self.read;
        // The other half lives as long: closing it would hang up on the guest.
        let write = self.write;
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
            drop(write);
        });
    }
}

/// The spare control socket of a QEMU.
pub struct Control {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    _write: OwnedWriteHalf,
}

impl Control {
    pub async fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (read, mut write) = stream.into_split();
        let command = json!({"execute": "qmp_capabilities"});
        let line = format!("{command}\n");
        write.write_all(line.as_bytes()).await.unwrap();
        Self {
            lines: BufReader::new(read).lines(),
            _write: write,
        }
    }

    /// Waits for an event of QEMU's, and says when it was heard.
    pub async fn hears(&mut self, event: &str) -> anyhow::Result<Instant> {
        loop {
            let line = self.lines.next_line().await?.context("QEMU has gone")?;
            let message: Value = serde_json::from_str(&line)?;
            if message["event"] == event {
                return Ok(Instant::now());
            }
        }
    }
}
