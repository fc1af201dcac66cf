//! What tests share: a real nats-server on free ports, and waiting for conditions.
//!
//! Servers listen on loopback only and are ended by process id when dropped.

pub mod dice;
mod ports;
pub mod proxy;
pub mod small_disk;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kit::config::BusConfig;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

pub use ports::free_port;

/// How long a condition may take on the slowest machine. It bounds a test that fails, not one that passes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives a value.
pub async fn eventually<T>(
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return Ok(value);
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// `sync_interval: always`, as Muster demands.
    pub sync_always: bool,
    /// More lines of configuration.
    pub extra: String,
    /// Its place in a cluster.
    pub cluster: Option<ClusterPlace>,
}

/// One server's place among the servers of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterPlace {
    pub name: String,
    pub port: u16,
    pub all_ports: Vec<u16>,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            sync_always: true,
            extra: String::new(),
            cluster: None,
        }
    }
}

/// A nats-server of this test's own, with a store on disk that survives its restarts.
pub struct NatsServer {
    child: Option<Child>,
    program: PathBuf,
    folder: tempfile::TempDir,
    pub port: u16,
    pub monitor_port: u16,
}

/// The nats-server to test with.
pub fn nats_program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("MUSTER_NATS_SERVER")
        .context("MUSTER_NATS_SERVER is not set: run the tests with ./ops/test, which installs a nats-server")?;
    Ok(PathBuf::from(path))
}

impl NatsServer {
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&NatsOptions::default()).await
    }

    pub async fn start_with(options: &NatsOptions) -> anyhow::Result<Self> {
        let mut server = Self {
            child: None,
            program: nats_program()?,
            folder: tempfile::tempdir()?,
            port: free_port()?,
            monitor_port: free_port()?,
        };
        server.write_config(options)?;
        server.restart().await?;
        Ok(server)
    }

    fn write_config(&self, options: &NatsOptions) -> anyhow::Result<()> {
        let mut text = format!(
            "listen: 127.0.0.1:{}\nhttp: 127.0.0.1:{}\nmax_payload: 8MB\n",
            self.port, self.monitor_port
        );
        let sync = if options.sync_always {
            "sync_interval: always"
        } else {
            ""
        };
        writeln!(
            text,
            "jetstream {{ store_dir: {:?}\n {sync} }}",
            self.store()
        )?;
        if let Some(place) = &options.cluster {
            let routes: Vec<String> = place
                .all_ports
                .iter()
                .map(|port| format!("\"nats://127.0.0.1:{port}\""))
                .collect();
            writeln!(
                text,
                "server_name: {}\ncluster {{ name: C1, listen: 127.0.0.1:{}, routes: [{}] }}",
                place.name,
                place.port,
                routes.join(", ")
            )?;
        }
        text.push_str(&options.extra);
        std::fs::write(self.config(), text)?;
        Ok(())
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("nats.conf")
    }

    /// Where JetStream keeps its files.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Starts the server again on its ports and store; returns when JetStream answers.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))?;
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.child = Some(child);
        let port = self.port;
        let ended = eventually("nats-server to answer", async || {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Some(Some(status));
            }
            let answer = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            answer.is_ok().then_some(None)
        })
        .await?;
        match ended {
            None => Ok(()),
            Some(status) => bail!("nats-server ended with {status}: {}", self.log()),
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Removes everything that the server had stored. It must not be running.
    pub fn lose_store(&self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "the server is running");
        Ok(std::fs::remove_dir_all(self.store())?)
    }

    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor_port)
    }

    /// How a service connects to it.
    pub fn bus_config(&self) -> BusConfig {
        BusConfig {
            url: self.url(),
            monitor_urls: self.monitor_url(),
            ..BusConfig::default()
        }
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three servers that keep three copies of everything.
pub struct NatsCluster {
    pub servers: Vec<NatsServer>,
}

impl NatsCluster {
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&NatsOptions::default()).await
    }

    /// As [`NatsCluster::start`], each server set up like this.
    pub async fn start_with(options: &NatsOptions) -> anyhow::Result<Self> {
        let all_ports = (0..3).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let mut servers = Vec::new();
        for (index, port) in all_ports.iter().enumerate() {
            let options = NatsOptions {
                cluster: Some(ClusterPlace {
                    name: format!("n{index}"),
                    port: *port,
                    all_ports: all_ports.clone(),
                }),
                ..options.clone()
            };
            servers.push(NatsServer::start_with(&options).await?);
        }
        Ok(Self { servers })
    }

    /// How a service connects to it.
    pub fn bus_config(&self) -> BusConfig {
        let list = |part: fn(&NatsServer) -> String| {
            let parts: Vec<String> = self.servers.iter().map(part).collect();
            parts.join(",")
        };
        BusConfig {
            url: list(NatsServer::url),
            monitor_urls: list(NatsServer::monitor_url),
            replicas: 3,
            ..BusConfig::default()
        }
    }
}

/// Lets no file of a process grow beyond a size, as a full disk would; `None`: as far as it may.
pub fn limit_file_size(process_id: u32, bytes: Option<u64>) -> anyhow::Result<()> {
    limit(process_id, Resource::Fsize, bytes)
}

/// Lets a process have no more files open; `None`: as many as it may.
pub fn limit_open_files(process_id: u32, count: Option<u64>) -> anyhow::Result<()> {
    limit(process_id, Resource::Nofile, count)
}

fn limit(process_id: u32, what: Resource, most: Option<u64>) -> anyhow::Result<()> {
    let process = Pid::from_raw(i32::try_from(process_id)?).context("no process has the id 0")?;
    let maximum = getrlimit(what).maximum;
    let limit = Rlimit {
        current: most.or(maximum),
        maximum,
    };
    prlimit(Some(process), what, limit)?;
    Ok(())
}

/// Whether a process is there and not a zombie.
pub fn is_alive(process_id: u32) -> bool {
    let stat =
        std::fs::read_to_string(Path::new("/proc").join(process_id.to_string()).join("stat"));
    // The state follows the command's name, which is in parentheses and may hold anything.
    stat.is_ok_and(|text| {
        text.rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}
