//! A second client of a machine's QEMU, as a person would be one: it looks on and keeps QEMU's own times.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::PATIENCE;

/// Between two looks for a socket that is not there yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

pub(crate) struct Qmp {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Connects as soon as QEMU listens.
    pub(crate) async fn open(socket: &Path) -> anyhow::Result<Self> {
        let connecting = async {
            loop {
                match UnixStream::connect(socket).await {
                    Ok(stream) => return stream,
                    Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
                }
            }
        };
        let stream = tokio::time::timeout(PATIENCE, connecting)
            .await
            .with_context(|| format!("QEMU does not listen on {}", socket.display()))?;
        let (read, write) = stream.into_split();
        let mut qmp = Self {
            lines: BufReader::new(read).lines(),
            write,
            events: VecDeque::new(),
        };
        qmp.execute("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// Runs a command without arguments. Events that come before the answer are kept.
    pub(crate) async fn execute(&mut self, command: &str) -> anyhow::Result<Value> {
        let line = format!("{}\n", json!({"execute": command}));
        self.write.write_all(line.as_bytes()).await?;
        loop {
            let mut message = self.message().await?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                bail!("QEMU refused {command}: {error}");
            }
            if message.get("event").is_some() {
                self.events.push_back(message);
            }
        }
    }

    /// When an event happened, by QEMU's own word.
    pub(crate) async fn happened(&mut self, event: &str) -> anyhow::Result<SystemTime> {
        loop {
            let message = match self.events.pop_front() {
                Some(message) => message,
                None => self.message().await?,
            };
            if message.get("event").and_then(Value::as_str) == Some(event) {
                return time_of(&message).context("QEMU's event has no time");
            }
        }
    }

    /// When the guest was let run: now if that was missed.
    pub(crate) async fn running(&mut self) -> anyhow::Result<SystemTime> {
        let status = self.execute("query-status").await?;
        let is_running = status.get("running").and_then(Value::as_bool) == Some(true);
        if is_running && self.events.is_empty() {
            return Ok(SystemTime::now());
        }
        self.happened("RESUME").await
    }

    /// Waits until QEMU has gone, and says when that was seen.
    pub(crate) async fn gone(&mut self) -> SystemTime {
        while let Ok(Some(_)) = self.lines.next_line().await {}
        SystemTime::now()
    }

    async fn message(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.context("QEMU says nothing")??;
        Ok(serde_json::from_str(&line.context("QEMU has gone")?)?)
    }
}

fn time_of(event: &Value) -> Option<SystemTime> {
    let time = event.get("timestamp")?;
    let part = |name| time.get(name).and_then(Value::as_u64);
    let since_1970 =
        Duration::from_secs(part("seconds")?) + Duration::from_micros(part("microseconds")?);
    UNIX_EPOCH.checked_add(since_1970)
}
