//! QMP, QEMU's control protocol: JSON lines over a unix socket.
//!
//! Our own client, because the public crate ends the session on the first event that it does not know. Here an event
//! is a name and a value, and one that nobody knows harms nobody. QEMU serves one client on a socket; a second one gets
//! no greeting until the first has left.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::limits;

/// What QEMU says of its own accord.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

/// One line from QEMU.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    Greeting,
    Answer {
        id: u64,
        result: Result<Value, Refusal>,
    },
    Event(Event),
    /// Well-formed, and nothing that we know: passed over.
    Unknown,
}

/// QEMU understood a command and will not do it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub class: String,
    pub description: String,
}

#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    #[error("QEMU refused {command}: {}", refusal.description)]
    Refused { command: String, refusal: Refusal },
    #[error("the connection to QEMU was lost during {command}: {why}")]
    Lost { command: String, why: String },
    #[error("QEMU did not answer {command} within {} s", after.as_secs())]
    TimedOut { command: String, after: Duration },
}

/// Reads one line. Never trusts it: QEMU has run what the guest gave it.
pub fn parse(line: &[u8]) -> Result<Line, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(line)?;
    if value.get("QMP").is_some() {
        return Ok(Line::Greeting);
    }
    if let Some(name) = value.get("event").and_then(Value::as_str) {
        let name = name.to_owned();
        let data = value.get_mut("data").map(Value::take).unwrap_or_default();
        return Ok(Line::Event(Event { name, data }));
    }
    let Some(id) = value.get("id").and_then(Value::as_u64) else {
        return Ok(Line::Unknown);
    };
    if let Some(result) = value.get_mut("return") {
        return Ok(Line::Answer {
            id,
            result: Ok(result.take()),
        });
    }
    Ok(match value.get("error") {
        Some(error) => Line::Answer {
            id,
            result: Err(refusal(error)),
        },
        None => Line::Unknown,
    })
}

fn refusal(error: &Value) -> Refusal {
    let text = |key| {
        error
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Refusal {
        class: text("class"),
        description: text("desc"),
    }
}

type Answer = Result<Value, Refusal>;

/// Who waits for which answer; `Err` once the connection is gone, with the reason.
type Pending = Mutex<Result<HashMap<u64, oneshot::Sender<Answer>>, String>>;

/// A session with one QEMU. Clones share it; it ends when the last clone is dropped or QEMU goes away.
#[derive(Clone)]
pub struct Qmp {
    lines: mpsc::Sender<Vec<u8>>,
    pending: Arc<Pending>,
    next_id: Arc<AtomicU64>,
}

/// The session, and the events of it. The events end when the session does.
pub struct Session {
    pub qmp: Qmp,
    pub events: mpsc::Receiver<Event>,
    /// The process that listens on the socket, by the kernel's word.
    pub pid: Option<i32>,
}

impl Qmp {
    /// Connects, waits for the greeting and leaves negotiation mode.
    pub async fn connect(path: &Path) -> Result<Session, QmpError> {
        let lost = |why: String| QmpError::Lost {
            command: "the greeting".to_owned(),
            why,
        };
        let stream = UnixStream::connect(path)
            .await
            .map_err(|e| lost(e.to_string()))?;
        let pid = stream.peer_cred().ok().and_then(|c| c.pid());
        let (read, write) = stream.into_split();
        let mut read = BufReader::new(read);
        let greeting = timeout(limits::QMP_GREETING_TIMEOUT, read_line(&mut read)).await;
        match greeting
            .map_err(|_| lost("another client holds the socket, or QEMU hangs".to_owned()))?
        {
            Ok(Some(line)) if parse(&line).ok() == Some(Line::Greeting) => {}
            Ok(_) => return Err(lost("no greeting".to_owned())),
            Err(e) => return Err(lost(e.to_string())),
        }
        let (qmp, events) = Self::start(read, write);
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(Session { qmp, events, pid })
    }

    fn start(
        read: BufReader<OwnedReadHalf>,
        write: OwnedWriteHalf,
    ) -> (Self, mpsc::Receiver<Event>) {
        // Lines go through a task of their own, so that a caller who gives up cannot leave half a line behind.
        let (lines, outgoing) = mpsc::channel(16);
        let (event_sender, events) = mpsc::channel(limits::QMP_EVENTS_MAX);
        let pending: Arc<Pending> = Arc::new(Mutex::new(Ok(HashMap::new())));
        tokio::spawn(write_lines(write, outgoing));
        tokio::spawn(read_lines(read, event_sender, pending.clone()));
        (
            Self {
                lines,
                pending,
                next_id: Arc::new(AtomicU64::new(1)),
            },
            events,
        )
    }

    /// A session that is over before it began, for a process that does not answer.
    pub(super) fn closed(why: &str) -> Self {
        let (lines, _) = mpsc::channel(1);
        let pending = Arc::new(Mutex::new(Err(why.to_owned())));
        Self {
            lines,
            pending,
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Runs a command that only asks or sets something.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.execute_within(limits::QMP_COMMAND_TIMEOUT, command, arguments)
            .await
    }

    pub async fn execute_within(
        &self,
        limit: Duration,
        command: &str,
        arguments: Value,
    ) -> Result<Value, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let answer = self.expect_answer(id).map_err(|why| lost(command, why))?;
        let outcome = timeout(limit, self.send_and_wait(id, command, arguments, answer)).await;
        outcome.unwrap_or_else(|_| {
            self.forget(id);
            Err(QmpError::TimedOut {
                command: command.to_owned(),
                after: limit,
            })
        })
    }

    async fn send_and_wait(
        &self,
        id: u64,
        command: &str,
        arguments: Value,
        answer: oneshot::Receiver<Answer>,
    ) -> Result<Value, QmpError> {
        let mut line = json!({"execute": command, "arguments": arguments, "id": id}).to_string();
        line.push('\n');
        tracing::trace!(command, id, "to QEMU");
        // A failed send shows at the answer, which then names the reason.
        let _ = self.lines.send(line.into_bytes()).await;
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(refusal)) => Err(QmpError::Refused {
                command: command.to_owned(),
                refusal,
            }),
            Err(_) => Err(lost(command, self.reason_of_loss())),
        }
    }

    fn expect_answer(&self, id: u64) -> Result<oneshot::Receiver<Answer>, String> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, receiver) = oneshot::channel();
        pending
            .as_mut()
            .map_err(|why| why.clone())?
            .insert(id, sender);
        Ok(receiver)
    }

    fn forget(&self, id: u64) {
        if let Ok(waiting) = self
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            waiting.remove(&id);
        }
    }

    fn reason_of_loss(&self) -> String {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending
            .as_ref()
            .err()
            .cloned()
            .unwrap_or_else(|| "the session ended".to_owned())
    }
}

fn lost(command: &str, why: String) -> QmpError {
    QmpError::Lost {
        command: command.to_owned(),
        why,
    }
}

async fn write_lines(mut write: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = outgoing.recv().await {
        if write.write_all(&line).await.is_err() {
            return;
        }
    }
}

async fn read_lines(
    mut read: BufReader<OwnedReadHalf>,
    events: mpsc::Sender<Event>,
    pending: Arc<Pending>,
) {
    let why = loop {
        match read_line(&mut read).await {
            Ok(Some(line)) => {
                if let Err(why) = hand_on(&line, &events, &pending) {
                    break why;
                }
            }
            Ok(None) => break "QEMU closed it".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    // Dropping the senders wakes everyone who waits; the reason is there before they look.
    *pending.lock().unwrap_or_else(PoisonError::into_inner) = Err(why);
}

fn hand_on(line: &[u8], events: &mpsc::Sender<Event>, pending: &Pending) -> Result<(), String> {
    match parse(line) {
        Ok(Line::Answer { id, result }) => {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(waiting) = pending.as_mut().ok().and_then(|w| w.remove(&id)) {
                let _ = waiting.send(result);
            }
            Ok(())
        }
        // Events may not be lost silently: a worker that cannot keep up connects anew and asks for the state.
        Ok(Line::Event(event)) => events
            .try_send(event)
            .map_err(|_| "its events were not taken".to_owned()),
        Ok(Line::Greeting | Line::Unknown) => Ok(()),
        Err(error) => Err(format!("a line that is no QMP: {error}")),
    }
}

/// One line without its end; `None` at the end of the stream.
async fn read_line(read: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    read.take(limits::QMP_LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)
        .await?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Some(line));
    }
    if line.is_empty() {
        return Ok(None);
    }
    Err(std::io::Error::other("a line that does not end"))
}

#[cfg(test)]
#[path = "qmp_tests.rs"]
mod tests;
