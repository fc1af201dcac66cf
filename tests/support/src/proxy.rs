//! A bad line between a client and a server: it delays, throttles, pauses, cuts, and loses messages by choice.
//!
//! Bytes to the server pass as they are. Bytes to the client of a nats-server are read as the NATS protocol, just far
//! enough to tell one message from the next, so that a test can lose the acknowledgement of one write and nothing else.
//! Those to a client of another server pass as they are too, or damaged by choice.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Read from a connection at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// What the line does to bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub delay: Duration,
    /// 0: as fast as it goes.
    pub bytes_per_sec: u64,
    /// Nothing passes, and nobody is told.
    pub is_paused: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    to_server: Line,
    to_client: Line,
    /// Connections that were made before it changed are cut.
    cuts: u64,
    refuses: bool,
}

/// What a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nats,
    Raw,
}

/// Says of a message to the client, given whole, whether it is lost.
type Loses = Box<dyn FnMut(&[u8]) -> bool + Send>;

pub struct Proxy {
    pub port: u16,
    lines: Arc<watch::Sender<Lines>>,
    loses: Arc<Mutex<Loses>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and passes connections on to a nats-server on another port of this machine.
    pub async fn start(server_port: u16) -> anyhow::Result<Self> {
        Self::start_for(server_port, Content::Nats).await
    }

    /// As [`Proxy::start`], for a server that speaks anything else.
    pub async fn start_raw(server_port: u16) -> anyhow::Result<Self> {
        Self::start_for(server_port, Content::Raw).await
    }

    async fn start_for(server_port: u16, content: Content) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let lines = Arc::new(watch::Sender::new(Lines::default()));
        let loses: Arc<Mutex<Loses>> = Arc::new(Mutex::new(Box::new(|_: &[u8]| false)));
        Ok(Self {
            port: listener.local_addr()?.port(),
            lines: Arc::clone(&lines),
            loses: Arc::clone(&loses),
            task: tokio::spawn(accept(listener, server_port, lines, loses, content)),
        })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn to_server(&self, line: Line) {
        self.lines.send_modify(|lines| lines.to_server = line);
    }

    pub fn to_client(&self, line: Line) {
        self.lines.send_modify(|lines| lines.to_client = line);
    }

    /// Ends every connection there is now; the next ones are accepted.
    pub fn cut(&self) {
        self.lines.send_modify(|lines| lines.cuts += 1);
    }

    /// Ends every connection and accepts none until told otherwise.
    pub fn refuse(&self, refuses: bool) {
        self.lines.send_modify(|lines| {
            lines.refuses = refuses;
            lines.cuts += u64::from(refuses);
        });
    }

    /// Loses the messages to the client that `loses` picks. It sees each whole: control line, headers, payload. Of a raw
    /// line it sees the bytes as they come, and those that it picks arrive with one of them changed.
    pub fn lose(&self, loses: impl FnMut(&[u8]) -> bool + Send + 'static) {
        *self.loses.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(loses);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse(true);
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server_port: u16,
    lines: Arc<watch::Sender<Lines>>,
    loses: Arc<Mutex<Loses>>,
    content: Content,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (lines, loses) = (lines.subscribe(), Arc::clone(&loses));
        if !lines.borrow().refuses {
            tokio::spawn(async move {
                // A connection that ends is what a test of a bad line is about.
                let _ = connect(client, server_port, lines, loses, content).await;
            });
        }
    }
}

async fn connect(
    client: TcpStream,
    server_port: u16,
    lines: watch::Receiver<Lines>,
    loses: Arc<Mutex<Loses>>,
    content: Content,
) -> anyhow::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cuts = lines.borrow().cuts;
    let mut watched = lines.clone();
    tokio::select! {
        ended = carry(from_client, to_server, lines.clone(), |l| l.to_server, Some) => ended,
        ended = carry(from_server, to_client, lines, |l| l.to_client, keep(loses, content)) => ended,
        _ = watched.wait_for(|now| now.cuts != cuts) => Ok(()),
    }
}

/// Carries bytes one way until an end closes.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut lines: watch::Receiver<Lines>,
    line: impl Fn(&Lines) -> Line,
    mut keep: impl FnMut(Vec<u8>) -> Option<Vec<u8>>,
) -> anyhow::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk).await?;
        anyhow::ensure!(count > 0, "closed");
        let bytes = chunk.get(..count).context("more was read than asked for")?;
        let now = line(&lines.borrow());
        let seconds = count as f64 / now.bytes_per_sec.max(1) as f64;
        let throttle = Duration::from_secs_f64(if now.bytes_per_sec == 0 { 0.0 } else { seconds });
        tokio::time::sleep(now.delay + throttle).await; // slow on purpose
        lines.wait_for(|lines| !line(lines).is_paused).await?;
        if let Some(bytes) = keep(bytes.to_vec()) {
            to.write_all(&bytes).await?;
        }
    }
}

type Keep = Box<dyn FnMut(Vec<u8>) -> Option<Vec<u8>> + Send>;

fn keep(loses: Arc<Mutex<Loses>>, content: Content) -> Keep {
    match content {
        Content::Nats => Box::new(keep_wanted(loses)),
        Content::Raw => Box::new(move |mut bytes| {
            let mut loses = loses.lock().unwrap_or_else(PoisonError::into_inner);
            if loses(&bytes)
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 1;
            }
            Some(bytes)
        }),
    }
}

/// Takes bytes as they come and gives back the whole messages among them that are not to be lost.
fn keep_wanted(loses: Arc<Mutex<Loses>>) -> impl FnMut(Vec<u8>) -> Option<Vec<u8>> {
    let mut waiting = Vec::new();
    move |bytes| {
        waiting.extend(bytes);
        let mut kept = Vec::new();
        while let Some(length) = message_length(&waiting) {
            let message: Vec<u8> = waiting.drain(..length).collect();
            let mut loses = loses.lock().unwrap_or_else(PoisonError::into_inner);
            if !(message.starts_with(b"MSG ") || message.starts_with(b"HMSG ")) || !loses(&message)
            {
                kept.extend(message);
            }
        }
        (!kept.is_empty()).then_some(kept)
    }
}

/// Length of the first message, if it is there whole: a line, and for `MSG` and `HMSG` the bytes that it announces.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let text = String::from_utf8_lossy(bytes.get(..line)?);
    if !text.starts_with("MSG ") && !text.starts_with("HMSG ") {
        return Some(line);
    }
    let announced: usize = text.split_whitespace().last()?.parse().ok()?;
    let length = line + announced + 2;
    (bytes.len() >= length).then_some(length)
}
