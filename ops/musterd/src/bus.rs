//! The nats-server that musterd starts, watches and ends.
//!
//! It outlives a musterd that is killed, so that agents keep their bus: the next musterd finds it by the process id and
//! start time in `bus/nats.pid` and takes it over. One that dies is started again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use contracts::{access, limits};
use kit::config::{BusConfig, Common};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;

/// How long the server may take until it answers: it reads its whole store first.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A server that dies at once is not started again faster than this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Passwords of bus users, made at the first start and kept.
type Passwords = BTreeMap<String, String>;

pub(crate) struct OwnBus {
    folder: PathBuf,
    config: Config,
    passwords: Passwords,
    process: Process,
}

/// A process that may or may not be a child of ours.
struct Process {
    id: Pid,
    child: Option<Child>,
}

impl OwnBus {
    /// Takes over the server of an earlier musterd, or starts one; comes back when it answers.
    pub(crate) async fn start(common: &Common, config: &Config) -> anyhow::Result<Self> {
        let folder = common.data_dir.join("bus");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let passwords = passwords(&folder.join("passwords.toml"))?;
        write_config(&folder, config)?;
        let process = match running(&folder) {
            Some(process) => {
                tracing::info!(
                    process = process.id.as_raw_nonzero(),
                    "taking over the nats-server that runs"
                );
                process
            }
            None => spawn(&folder, config, &passwords)?,
        };
        let mut bus = Self {
            folder,
            config: config.clone(),
            passwords,
            process,
        };
        bus.wait_until_it_answers().await?;
        Ok(bus)
    }

    /// How a program connects to it.
    pub(crate) fn connection(&self, program: &str) -> BusConfig {
        BusConfig {
            url: format!("nats://{}", self.config.nats_listen),
            user: program.to_owned(),
            password: self.passwords.get(program).cloned().unwrap_or_default(),
            monitor_urls: format!("http://{}", self.config.nats_monitor),
            ..BusConfig::default()
        }
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let answered = async {
            while tokio::net::TcpStream::connect(self.config.nats_listen)
                .await
                .is_err()
            {
                if self.process.has_ended() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            true
        };
        let answered = tokio::time::timeout(START_PATIENCE, answered).await;
        anyhow::ensure!(
            matches!(answered, Ok(true)),
            "The nats-server does not answer on {}. Look into {} for the reason.",
            self.config.nats_listen,
            self.folder.join("nats.log").display()
        );
        Ok(())
    }

    /// Starts it again whenever it dies, until told to stop.
    pub(crate) async fn keep_alive(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                ended = self.process.ended() => ended?,
                () = stop.cancelled() => return Ok(()),
            }
            tracing::error!("the nats-server died; starting it again");
            self.process = spawn(&self.folder, &self.config, &self.passwords)?;
            self.wait_until_it_answers().await?;
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) {
        // Gone already is as good.
        let _ = kill_process(self.process.id, Signal::TERM);
        if tokio::time::timeout(STOP_PATIENCE, self.process.ended())
            .await
            .is_err()
        {
            tracing::warn!("the nats-server did not end in time and is killed");
            let _ = kill_process(self.process.id, Signal::KILL);
        }
        let _ = fs::remove_file(self.folder.join("nats.pid"));
    }
}

impl Process {
    // Deprecated because the descriptor could be closed while it is registered; this one is owned and stays open.
    #[allow(deprecated)]
    async fn ended(&mut self) -> anyhow::Result<()> {
        if let Ok(handle) = pidfd_open(self.id, PidfdFlags::NONBLOCK) {
            AsyncFd::new(handle)?.readable().await?.retain_ready();
        }
        if let Some(child) = &mut self.child {
            child.wait()?;
        }
        Ok(())
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => start_time(self.id).is_none(),
        }
    }
}

/// When a process was started, in clock ticks since boot: with its id its identity. `None`: there is no such process.
fn start_time(id: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold anything; start time is the 20th field after it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18).map(str::to_owned))?
}

fn running(folder: &Path) -> Option<Process> {
    let text = fs::read_to_string(folder.join("nats.pid")).ok()?;
    let (id, started) = text.trim().split_once(' ')?;
    let id = Pid::from_raw(id.parse().ok()?)?;
    (start_time(id)? == started).then_some(Process { id, child: None })
}

fn spawn(folder: &Path, config: &Config, passwords: &Passwords) -> anyhow::Result<Process> {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("nats.log"))?;
    let mut command = Command::new(&config.nats_program);
    command
        .arg("--config")
        .arg(folder.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    for (user, password) in passwords {
        command.env(access::password_variable(user), password);
    }
    // Its own process group: an interrupt at the terminal ends musterd, which ends the server when all is drained.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().with_context(|| {
        format!(
            "The nats-server {} could not be started. Install nats-server 2.12 or newer, or set musterd.nats_program or bus.url",
            config.nats_program.display()
        )
    })?;
    let id = Pid::from_child(&child);
    let started = start_time(id).unwrap_or_default();
    write_private(
        &folder.join("nats.pid"),
        &format!("{} {started}\n", id.as_raw_nonzero()),
    )?;
    Ok(Process {
        id,
        child: Some(child),
    })
}

fn write_config(folder: &Path, config: &Config) -> anyhow::Result<()> {
    let text = format!(
        "# Made by musterd at each start.\n\
         server_name: muster\n\
         listen: {:?}\n\
         http: {:?}\n\
         max_payload: {}\n\
         jetstream {{\n  store_dir: {:?}\n  sync_interval: always\n}}\n{}",
        config.nats_listen.to_string(),
        config.nats_monitor.to_string(),
        limits::MESSAGE_BYTES_MAX,
        folder.join("store"),
        access::nats_authorization(),
    );
    write_private(&folder.join("nats.conf"), &text)
}

/// Reads the passwords, adding those of users that are new.
fn passwords(path: &Path) -> anyhow::Result<Passwords> {
    let mut passwords: Passwords = match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Passwords::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let known = passwords.len();
    for user in access::users().chain(["admin"]) {
        // A letter first: nats-server takes a value that reads as a number for one.
        passwords
            .entry(user.to_owned())
            .or_insert_with(|| format!("p{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
    }
    if passwords.len() != known {
        write_private(path, &toml::to_string(&passwords)?)?;
    }
    Ok(passwords)
}

/// Replaces a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .with_context(|| format!("writing {}", new.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    Ok(fs::rename(&new, path)?)
}
