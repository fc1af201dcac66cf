//! Whole sessions over real sockets: the other end says what it should, and then anything.

use std::path::Path;
use std::time::Duration;

use agent::hypervisor::qemu::foreign;
use agent::hypervisor::qemu::qmp::Qmp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::promise;

/// The other end leaves when it has said everything, so nobody has to wait for a silence.
const PATIENCE: Duration = Duration::from_secs(5);

/// Events that a session holds at most, and some more.
const EVENTS_MAX: usize = 100_000;

fn run<T>(work: impl AsyncFnOnce(&Path, UnixListener) -> Result<T, String>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("socket");
    runtime.block_on(async {
        let listener = UnixListener::bind(&path).map_err(|error| error.to_string())?;
        work(&path, listener).await
    })
}

/// QEMU greets and answers the first command; after the second it says the input and goes.
pub(super) fn qmp_session(input: &[u8]) -> Result<(), String> {
    const GREETING: &[u8] = b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";
    const READY: &[u8] = b"{\"return\": {}, \"id\": 1}\n";
    let said = input.to_vec();
    run(async |path, listener| {
        let qemu = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.write_all(GREETING).await?;
            stream.read_line(&mut line).await?;
            stream.write_all(READY).await?;
            stream.read_line(&mut line).await?;
            // Whoever reads may hang up before the end.
            stream.write_all(&said).await
        });
        let mut session = Qmp::connect(path).await.map_err(|e| e.to_string())?;
        let asked = session.qmp.execute("query-status", json!({}));
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        promise(asked.is_ok(), "a command never ended")?;
        let mut events = 0;
        while session.events.recv().await.is_some() {
            events += 1;
        }
        promise(events <= EVENTS_MAX, "events without end")?;
        // A hang-up is all that can go wrong there.
        let _ = qemu.await;
        Ok(())
    })
}

/// The guest agent falls into step; then the guest says the input and goes.
pub(super) fn guest_session(input: &[u8]) -> Result<(), String> {
    let said = input.to_vec();
    run(async |path, listener| {
        let guest = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                // Whoever reads may hang up before the end, and come again.
                let _ = say(stream, &said).await;
            }
        });
        let facts = tokio::time::timeout(PATIENCE, foreign::guest_facts(path)).await;
        guest.abort();
        match facts.map_err(|_| "the guest's facts never came")? {
            Ok(facts) => {
                let texts = [&facts.hostname, &facts.os, &facts.kernel];
                promise(
                    texts.iter().all(|text| !text.chars().any(char::is_control)),
                    "a control character came through",
                )?;
                promise(
                    texts.iter().all(|text| text.len() <= 4_096),
                    "a long text came through",
                )?;
                let addresses = facts.addresses.iter();
                promise(
                    addresses
                        .clone()
                        .all(|a| a.parse::<std::net::IpAddr>().is_ok())
                        && addresses.len() <= 1_024,
                    "an address that is none came through",
                )
            }
            Err(why) => promise(!why.is_empty(), "a refusal without a reason"),
        }
    })
}

async fn say(stream: UnixStream, said: &[u8]) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let command: Value = serde_json::from_slice(line.get(1..).unwrap_or_default())?;
    let id = command.pointer("/arguments/id");
    let answer = format!("{}\n", json!({"return": id}));
    stream.write_all(&[0xff]).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.write_all(said).await
}

pub(super) mod samples {
    pub(in super::super) fn qmp_session() -> Vec<Vec<u8>> {
        let mut lines = super::super::host::samples::qmp_line();
        for line in &mut lines {
            line.push(b'\n');
        }
        let all = lines.concat();
        lines.push(all);
        lines
    }

    pub(in super::super) fn guest_session() -> Vec<Vec<u8>> {
        let lines = [
            r#"{"return": {}}"#,
            r#"{"return": {"host-name": "hello-01"}}"#,
            r#"{"return": {"pretty-name": "Debian GNU/Linux 12", "kernel-release": "6.1.0"}}"#,
            r#"{"return": [{"name": "eth0", "ip-addresses": [{"ip-address": "10.0.2.15", "ip-address-type": "ipv4", "prefix": 24}]}]}"#,
            r#"{"return": 1000}"#,
            r#"{"return": {"count": 10, "buf-b64": "MTIzLjQ1IDEwMC4wMAo=", "eof": true}}"#,
            r#"{"return": {}}"#,
        ];
        let all = lines.map(|line| format!("{line}\n")).concat();
        let refusing = "{\"return\": {}}\n".to_owned()
            + &"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"disabled\"}}\n".repeat(4);
        vec![all.into_bytes(), refusing.into_bytes()]
    }
}
