//! From a guest that powers itself off to the event at a client of the gateway.
//!
//! The time starts with QEMU's event SHUTDOWN, by QEMU's own clock, seen over a second control socket; and, apart from
//! that, when that socket closes, which is when the process has ended. Both are set beside the arrival of the
//! server-sent event that says "stopped".

use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::PATIENCE;
use crate::muster::{Muster, small_vm};
use crate::qmp::Qmp;
use crate::table::{Report, Samples, millis};

const ROUNDS: usize = 40;

const NAME: &str = "bench";

/// Between two looks whether the guest is up; nothing that is measured hangs on it.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run() -> anyhow::Result<Report> {
    let muster = Muster::start().await?;
    muster
        .done("POST", "/api/v1/vms", small_vm(NAME, false, false))
        .await?;
    let mut events = Events::listen(&muster).await?;
    let (mut whole, mut qemu, mut ours) = <(Samples, Samples, Samples)>::default();
    for _ in 0..ROUNDS {
        muster
            .done(
                "POST",
                &format!("/api/v1/vms/{NAME}/actions/start"),
                json!({}),
            )
            .await?;
        let round = power_off(&muster, &mut events).await?;
        whole.push(span(round.shutdown, round.told));
        qemu.push(span(round.shutdown, round.gone));
        ours.push(span(round.gone, round.told));
    }
    let mut report = Report::new(
        "From a guest's power-off to the event at a client, 40 times (aim: p99 under 100 ms)",
        &["", "median", "p99"],
    );
    for (name, mut samples) in [
        ("QEMU says SHUTDOWN, to the event", whole),
        ("of that, QEMU ends", qemu),
        ("of that, Muster tells", ours),
    ] {
        let (median, p99) = (samples.quantile(0.5), samples.quantile(0.99));
        report.row([name.to_owned(), millis(median), millis(p99)]);
    }
    Ok(report)
}

struct Round {
    shutdown: SystemTime,
    gone: SystemTime,
    told: SystemTime,
}

fn span(from: SystemTime, to: SystemTime) -> Duration {
    // The event may be here before we have seen the socket close.
    to.duration_since(from).unwrap_or_default()
}

async fn power_off(muster: &Muster, events: &mut Events) -> anyhow::Result<Round> {
    guest_answers(muster).await?;
    let sockets = muster.sockets();
    let sockets = sockets.first().context("the machine has no sockets")?;
    let mut qmp = Qmp::open(&sockets.join("qmp2")).await?;
    let mut console = Console::open(&sockets.join("ser")).await?;
    console.write.write_all(b"\npoweroff -f\n").await?;
    let told = events.until_stopped();
    let ends = async {
        let shutdown = qmp.happened("SHUTDOWN").await?;
        Ok((shutdown, qmp.gone().await))
    };
    let ((shutdown, gone), told, ()) = tokio::try_join!(ends, told, console.drain())?;
    Ok(Round {
        shutdown,
        gone,
        told,
    })
}

/// Nothing is typed before: it would stop the boot loader.
async fn guest_answers(muster: &Muster) -> anyhow::Result<()> {
    let path = format!("/api/v1/vms/{NAME}");
    let looking = async {
        loop {
            let vm = muster.send("GET", &path, None).await?;
            if vm.pointer("/guest/agent_responding") == Some(&Value::Bool(true)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .context("the guest does not answer")?
}

/// The root shell at the serial port. What comes must be read: a guest whose console is open and not read stands still.
struct Console {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
}

impl Console {
    async fn open(socket: &std::path::Path) -> anyhow::Result<Self> {
        let (read, write) = UnixStream::connect(socket).await?.into_split();
        Ok(Self { read, write })
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        let mut rest = [0; 4096];
        // A console that breaks off is one whose machine has ended.
        while matches!(self.read.read(&mut rest).await, Ok(count) if count > 0) {}
        Ok(())
    }
}

/// Server-sent events.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn listen(muster: &Muster) -> anyhow::Result<Self> {
        Ok(Self {
            response: muster.events().await?,
            text: String::new(),
        })
    }

    /// When the event came that says that the machine has stopped.
    async fn until_stopped(&mut self) -> anyhow::Result<SystemTime> {
        let coming = async {
            loop {
                while let Some((frame, rest)) = self.text.split_once("\n\n") {
                    let is_stop = is_stop(frame);
                    self.text = rest.to_owned();
                    if is_stop {
                        return Ok(SystemTime::now());
                    }
                }
                let chunk = self.response.chunk().await?.context("the stream ended")?;
                self.text.push_str(std::str::from_utf8(&chunk)?);
            }
        };
        tokio::time::timeout(PATIENCE, coming)
            .await
            .context("no event comes")?
    }
}

fn is_stop(frame: &str) -> bool {
    let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
    let event: Value = serde_json::from_str(data.unwrap_or_default()).unwrap_or_default();
    let changes = event.get("changes").and_then(Value::as_array);
    let is = |change: &Value, name, what| change.get(name).and_then(Value::as_str) == Some(what);
    let mut changes = changes.into_iter().flatten();
    changes.any(|change| is(change, "property", "state") && is(change, "new", "stopped"))
}
