//! A Muster of its own to be measured with a simulated fleet: musterd and its nats-server, from the build beside this one.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kit::config::BusConfig;
use simfleet::measure::usage::Process;
use simfleet::muster::Muster;
use support::{eventually, free_port, nats_program};

use crate::programs;

/// How long an orderly end may take: views are written, the server is ended.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether events still come, and how many may come between them when all is told.
const TELLING_LOOK: Duration = Duration::from_secs(1);
const TOLD_AT_MOST: u64 = 20;

pub(crate) struct Site {
    musterd: Child,
    pub(crate) muster: Muster,
    nats_port: u16,
    monitor: String,
    pub(crate) folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (gateway, nats_port) = (free_port()?, free_port()?);
        let monitor = format!("127.0.0.1:{}", free_port()?);
        let config = format!(
            "data_dir = {data:?}\n\
             [telemetry]\nlog = \"error\"\n\
             [musterd]\nnats_program = {program:?}\nnats_listen = \"127.0.0.1:{nats_port}\"\n\
             nats_monitor = {monitor:?}\n\
             [gateway]\nlisten = \"127.0.0.1:{gateway}\"\n",
            data = folder.path().join("muster"),
            program = nats_program()?,
        );
        std::fs::write(folder.path().join("musterd.toml"), config)?;
        let site = Self {
            musterd: spawn(folder.path())?,
            muster: Muster::new(&format!("http://127.0.0.1:{gateway}"))?,
            nats_port,
            monitor,
            folder,
        };
        site.ready().await?;
        Ok(site)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        eventually("Muster to be ready", async || {
            let answer = self.muster.request("/readyz").send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await
    }

    /// Ends musterd in order, with its nats-server, and starts it again; answers how long it takes from the start until
    /// everything is there.
    pub(crate) async fn restart(&mut self, hosts: u64, vms: u64) -> anyhow::Result<Duration> {
        self.end().await?;
        let started = Instant::now();
        self.musterd = spawn(self.folder.path())?;
        eventually("the whole picture", async || {
            let shown_hosts = self.muster.count("hosts", "").await.ok()?;
            let shown_vms = self.muster.count("vms", "").await.ok()?;
            ((shown_hosts, shown_vms) >= (hosts, vms)).then_some(())
        })
        .await?;
        Ok(started.elapsed())
    }

    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        let ended = Command::new("kill")
            .arg("-TERM")
            .arg(self.musterd.id().to_string())
            .status()?;
        ensure!(ended.success(), "musterd is gone");
        let started = Instant::now();
        eventually("musterd to end", async || {
            let is_over = started.elapsed() > END_PATIENCE;
            (is_over || self.musterd.try_wait().ok()?.is_some()).then_some(())
        })
        .await
    }

    /// Bytes that nats-server has taken in until now.
    pub(crate) async fn bytes_in(&self) -> anyhow::Result<u64> {
        let page = self.monitored("varz").await?;
        let bytes = page.get("in_bytes").and_then(serde_json::Value::as_u64);
        bytes.context("nats-server does not say what it has taken in")
    }

    /// Waits until everything that was found is told: events come as seldom as a fleet changes by itself.
    pub(crate) async fn told(&self) -> anyhow::Result<()> {
        let mut looks = tokio::time::interval(TELLING_LOOK);
        let mut before = 0;
        loop {
            looks.tick().await;
            let now = self.events().await?;
            if now > 0 && now - before <= TOLD_AT_MOST {
                return Ok(());
            }
            before = now;
        }
    }

    async fn events(&self) -> anyhow::Result<u64> {
        let streams = self.monitored("jsz?streams=1").await?;
        let details = streams.pointer("/account_details/0/stream_detail");
        let mut streams = details.and_then(|d| d.as_array()).into_iter().flatten();
        let events = streams.find(|stream| {
            let name = stream.get("name").and_then(|name| name.as_str());
            name == Some(contracts::subjects::EVENTS)
        });
        let last = events.and_then(|stream| stream.pointer("/state/last_seq")?.as_u64());
        last.context("nats-server does not say how many events there are")
    }

    async fn monitored(&self, page: &str) -> anyhow::Result<serde_json::Value> {
        let answer = reqwest::get(format!("http://{}/{page}", self.monitor)).await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// musterd and its nats-server.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<Process>> {
        let text = std::fs::read_to_string(self.folder.path().join("muster/bus/nats.pid"))?;
        let nats = text.split(' ').next().and_then(|id| id.parse().ok());
        Ok(vec![
            Process {
                name: "musterd".to_owned(),
                id: self.musterd.id(),
            },
            Process {
                name: "nats-server".to_owned(),
                id: nats.context("nats.pid names no process")?,
            },
        ])
    }

    /// The bus as one of its users.
    pub(crate) fn bus(&self, user: &str) -> anyhow::Result<BusConfig> {
        let path = self.folder.path().join("muster/bus/passwords.toml");
        let passwords = std::fs::read_to_string(path)?;
        let line = format!("{user} = \"");
        let password = passwords
            .lines()
            .find_map(|l| l.strip_prefix(&line)?.strip_suffix('"'));
        Ok(BusConfig {
            url: format!("nats://127.0.0.1:{}", self.nats_port),
            user: user.to_owned(),
            password: password.context("the user has no password")?.to_owned(),
            ..BusConfig::default()
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Its nats-server would outlive a musterd that is killed.
        let nats = self.processes().ok().and_then(|all| all.into_iter().nth(1));
        let _ = self.musterd.kill();
        let _ = self.musterd.wait();
        if let Some(nats) = nats.filter(|nats| nats.cpu().is_ok()) {
            let _ = Command::new("kill")
                .arg("-KILL")
                .arg(nats.id.to_string())
                .status();
        }
    }
}

fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let program = programs::build()?.join("musterd");
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("musterd.log"))?;
    Command::new(program)
        .arg("--config")
        .arg(folder.join("musterd.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting musterd")
}
