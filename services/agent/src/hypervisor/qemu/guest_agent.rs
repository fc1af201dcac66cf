//! The channel to the agent in the guest: JSON lines over a virtio-serial port.
//!
//! Everything that comes from there was written by the guest: lines have a limit, texts are cut, and an answer counts
//! only after the channel was brought into step with a fresh number, since the guest may have restarted half-way.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use contracts::host::GuestFacts;

use crate::limits;

#[derive(Debug, thiserror::Error)]
pub(super) enum GuestError {
    #[error("the guest agent did not answer {0}")]
    Silent(&'static str),
    #[error("the guest agent refused {command}: {why}")]
    Refused { command: &'static str, why: String },
    #[error("the guest agent's channel failed: {0}")]
    Channel(#[from] std::io::Error),
}

/// One guest's agent. Commands run one at a time, as the channel demands.
pub(super) struct GuestAgent {
    socket: PathBuf,
    channel: Mutex<Option<Channel>>,
    next_sync: AtomicU64,
}

struct Channel {
    stream: UnixStream,
    /// Received, and not yet a whole line.
    buffer: Vec<u8>,
}

impl GuestAgent {
    pub(super) fn new(socket: &Path) -> Self {
        // A number that an agent before us has hardly used: its late answers are still in the channel.
        let start = std::process::id().into();
        Self {
            socket: socket.to_owned(),
            channel: Mutex::new(None),
            next_sync: AtomicU64::new(start),
        }
    }

    /// Host name, system, addresses, uptime. What the guest does not tell stays empty.
    pub(super) async fn facts(&self) -> Result<GuestFacts, GuestError> {
        let facts = timeout(limits::GUEST_FACTS_TIMEOUT, self.read_facts()).await;
        facts.unwrap_or(Err(GuestError::Silent("its facts")))
    }

    async fn read_facts(&self) -> Result<GuestFacts, GuestError> {
        self.execute("guest-ping", json!({})).await?;
        let name = self.optional("guest-get-host-name").await?;
        let os = self.optional("guest-get-osinfo").await?;
        let interfaces = self.optional("guest-network-get-interfaces").await?;
        Ok(GuestFacts {
            agent_responding: true,
            hostname: text(&name, "host-name"),
            os: text(&os, "pretty-name"),
            kernel: text(&os, "kernel-release"),
            addresses: addresses(&interfaces),
            uptime_secs: self.uptime_secs().await.unwrap_or(0),
        })
    }

    /// A command that an agent may lack or forbid; only silence is an error.
    async fn optional(&self, command: &'static str) -> Result<Value, GuestError> {
        match self.execute(command, json!({})).await {
            Err(GuestError::Refused { .. }) => Ok(Value::Null),
            other => other,
        }
    }

    async fn uptime_secs(&self) -> Option<u64> {
        let open = json!({"path": "/proc/uptime", "mode": "r"});
        let handle = self.execute("guest-file-open", open).await.ok()?;
        let read = json!({"handle": handle, "count": 128});
        let content = self.execute("guest-file-read", read).await.ok();
        let _ = self
            .execute("guest-file-close", json!({"handle": handle}))
            .await;
        parse_uptime(content?.get("buf-b64")?.as_str()?)
    }

    /// Asks the guest to shut down. It does not answer this one when it obeys.
    pub(super) async fn shut_down(&self) -> Result<(), GuestError> {
        match self
            .execute("guest-shutdown", json!({"mode": "powerdown"}))
            .await
        {
            Ok(_) | Err(GuestError::Silent(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets the guest's clock, which stood still while the machine was saved or paused.
    pub(super) async fn set_time(&self, since_1970: Duration) -> Result<(), GuestError> {
        let time = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        self.execute("guest-set-time", json!({"time": time}))
            .await
            .map(drop)
    }

    async fn execute(&self, command: &'static str, arguments: Value) -> Result<Value, GuestError> {
        let mut slot = self.channel.lock().await;
        // Taken out: a channel whose command failed or was given up is closed, since its answer may still come.
        let channel = slot.take();
        let work = async {
            let mut channel = match channel {
                Some(channel) => channel,
                None => self.open().await?,
            };
            channel.send(&[], command, arguments).await?;
            let answer = channel.answer(command).await;
            Ok::<_, GuestError>((channel, answer))
        };
        let limited = timeout(limits::GUEST_COMMAND_TIMEOUT, work).await;
        let (channel, answer) = limited.map_err(|_| GuestError::Silent(command))??;
        if matches!(answer, Ok(_) | Err(GuestError::Refused { .. })) {
            *slot = Some(channel);
        }
        answer
    }

    async fn open(&self) -> Result<Channel, GuestError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let mut channel = Channel {
            stream,
            buffer: Vec::new(),
        };
        let id = self.next_sync.fetch_add(1, Ordering::Relaxed);
        // 0xFF makes the agent drop half a command that somebody else left in the channel.
        channel
            .send(&[0xff], "guest-sync-delimited", json!({"id": id}))
            .await?;
        loop {
            let line = channel.line().await?;
            if after_delimiter(&line).is_some_and(|answer| answer == id) {
                return Ok(channel);
            }
        }
    }
}

impl Channel {
    async fn send(
        &mut self,
        prefix: &[u8],
        command: &str,
        arguments: Value,
    ) -> std::io::Result<()> {
        let mut line = prefix.to_vec();
        line.extend(
            json!({"execute": command, "arguments": arguments})
                .to_string()
                .into_bytes(),
        );
        line.push(b'\n');
        self.stream.write_all(&line).await
    }

    async fn answer(&mut self, command: &'static str) -> Result<Value, GuestError> {
        let line = self.line().await?;
        let mut answer: Value = serde_json::from_slice(&line)
            .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))?;
        if let Some(result) = answer.get_mut("return") {
            return Ok(result.take());
        }
        let why = answer
            .get("error")
            .map(|e| text(e, "desc"))
            .unwrap_or_default();
        Err(GuestError::Refused { command, why })
    }

    async fn line(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            if self.buffer.len() > limits::GUEST_LINE_BYTES_MAX {
                return Err(std::io::Error::other("a line that does not end"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The number in the answer to a synchronisation; whatever stood before the delimiter is old.
fn after_delimiter(line: &[u8]) -> Option<u64> {
    let start = line.iter().rposition(|b| *b == 0xff)?;
    let answer: Value = serde_json::from_slice(line.get(start + 1..)?).ok()?;
    answer.get("return")?.as_u64()
}

/// A text of the guest's: one line of limited length.
fn text(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str).unwrap_or_default();
    text.chars()
        .filter(|c| !c.is_control())
        .take(limits::GUEST_TEXT_CHARS_MAX)
        .collect()
}

/// Addresses under which others may reach the guest: not loopback, not link-local.
fn addresses(interfaces: &Value) -> Vec<String> {
    let interfaces = interfaces.as_array().map(Vec::as_slice).unwrap_or_default();
    let listed = interfaces
        .iter()
        .filter_map(|i| i.get("ip-addresses")?.as_array())
        .flatten();
    listed
        .filter_map(|a| a.get("ip-address")?.as_str()?.parse().ok())
        .filter(is_reachable)
        .map(|address: std::net::IpAddr| address.to_string())
        .take(limits::GUEST_ADDRESSES_MAX)
        .collect()
}

fn is_reachable(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        std::net::IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// Seconds since boot from the content of `/proc/uptime`, as the agent hands it over.
fn parse_uptime(base64: &str) -> Option<u64> {
    let content = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .ok()?;
    let text = String::from_utf8(content).ok()?;
    text.split(['.', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[test]
    fn addresses_are_those_that_others_can_use() {
        let interfaces = json!([
            {"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1"}, {"ip-address": "::1"}]},
            {"name": "eth0", "ip-addresses": [{"ip-address": "10.0.2.15"}, {"ip-address": "fe80::1"}]},
            {"name": "eth1"}, {"name": "eth2", "ip-addresses": [{"ip-address": "<script>"}]}
        ]);
        assert_eq!(addresses(&interfaces), ["10.0.2.15"]);
        assert!(addresses(&Value::Null).is_empty());
    }

    #[test]
    fn a_text_of_the_guest_is_one_short_line() {
        let hostile = json!({"host-name": format!("a\n\u{1b}[31m{}", "x".repeat(1000))});
        let text = text(&hostile, "host-name");
        assert!(text.starts_with("a[31mx") && text.len() == limits::GUEST_TEXT_CHARS_MAX);
    }

    #[test]
    fn uptime_is_read_in_whole_seconds() {
        assert_eq!(parse_uptime("MTIzLjQ1IDEwMC4wMAo="), Some(123));
        assert_eq!(parse_uptime("bm9uc2Vuc2U="), None);
    }

    #[tokio::test]
    async fn an_old_answer_in_the_channel_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ga");
        let listener = UnixListener::bind(&path).unwrap();
        let agent = GuestAgent::new(&path);
        let id = agent.next_sync.load(Ordering::Relaxed);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let old = "{\"return\": 99}\n{\"retu";
            let answers = format!("\n{{\"return\": {id}}}\n{{\"return\": {{}}}}\n");
            stream.write_all(old.as_bytes()).await.unwrap();
            stream.write_all(b"\xff").await.unwrap();
            stream
                .write_all(answers.trim_start().as_bytes())
                .await
                .unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(
            agent.execute("guest-ping", json!({})).await.unwrap(),
            json!({})
        );
    }

    #[tokio::test]
    async fn a_guest_that_talks_without_end_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ga");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
        });
        let error = GuestAgent::new(&path)
            .execute("guest-ping", json!({}))
            .await
            .unwrap_err();
        assert!(matches!(error, GuestError::Channel(_)), "{error}");
    }
}
