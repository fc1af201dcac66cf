//! A whole Muster to be measured: musterd with its nats-server, and agents, in a folder of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::HeaderValue;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{eventually, free_port, nats_program};

use crate::{PATIENCE, programs};

/// The hosts' names, in the order of their agents.
pub(crate) const HOSTS: [&str; 2] = ["host-1", "host-2"];
pub(crate) const IMAGE: &str = "guest.qcow2";

const REVISION: &str = "Muster-Revision";

/// Between two looks at a job; what is measured does not hang on it.
const JOB_LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Muster {
    programs: PathBuf,
    musterd: Child,
    agents: Vec<Child>,
    http: reqwest::Client,
    gateway: String,
    /// What the last answer reflects.
    seen: Mutex<Option<HeaderValue>>,
    folder: tempfile::TempDir,
}

impl Muster {
    /// With one host. Comes back when that is one of the fleet's.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_hosts(1).await
    }

    /// With so many hosts.
    pub(crate) async fn start_hosts(hosts: usize) -> anyhow::Result<Self> {
        Self::start_with(hosts, "").await
    }

    /// With so many hosts, whose agents have more lines in their own section.
    pub(crate) async fn start_with(hosts: usize, lines: &str) -> anyhow::Result<Self> {
        let programs = programs::build()?;
        let folder = tempfile::tempdir()?;
        // QEMU runs as a user without rights and has to get through to its files.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let gateway = format!("127.0.0.1:{}", free_port()?);
        let nats = format!("127.0.0.1:{}", free_port()?);
        let config = format!(
            "data_dir = {data:?}\n\
             [musterd]\nnats_program = {program:?}\nnats_listen = {nats:?}\nnats_monitor = \"127.0.0.1:{monitor}\"\n\
             [gateway]\nlisten = {gateway:?}\n",
            data = folder.path().join("muster"),
            program = nats_program()?,
            monitor = free_port()?,
        );
        let mut muster = Self {
            musterd: spawn(&programs, "musterd", "musterd", folder.path(), &config)?,
            programs,
            agents: Vec::new(),
            http: reqwest::Client::new(),
            gateway: format!("http://{gateway}"),
            seen: Mutex::default(),
            folder,
        };
        let token = eventually("a join token", async || {
            let answer = muster
                .send("POST", "/api/v1/join-tokens", Some(json!({})))
                .await;
            Some(text(&answer.ok()?, "/token").ok()?.to_owned())
        })
        .await?;
        for host in HOSTS.iter().take(hosts) {
            let config = muster.agent_config(host, &nats, &token, lines)?;
            let agent = spawn(&muster.programs, "agent", host, muster.folder(), &config)?;
            muster.agents.push(agent);
        }
        muster.give_image()?;
        muster.all_respond().await?;
        Ok(muster)
    }

    async fn all_respond(&self) -> anyhow::Result<()> {
        eventually("the hosts to respond", async || {
            let path = "/api/v1/hosts?filter=approval:approved,status:responding";
            let hosts = self.send("GET", path, None).await.ok()?;
            (hosts.get("total")?.as_u64()? == self.agents.len() as u64).then_some(())
        })
        .await
    }

    /// Kills an agent as a crash would, and starts it again.
    pub(crate) async fn crash(&mut self, host: usize) -> anyhow::Result<()> {
        let agent = self.agents.get_mut(host).context("there is no such host")?;
        agent.kill()?;
        agent.wait()?;
        let name = HOSTS.get(host).context("there is no such host")?;
        *agent = start_again(&self.programs, "agent", name, self.folder.path())?;
        self.all_respond().await
    }

    /// The guest's image, on the first host.
    fn give_image(&self) -> anyhow::Result<()> {
        let image = std::env::var_os("MUSTER_GUEST_IMAGE")
            .context("MUSTER_GUEST_IMAGE is not set: eval \"$(./ops/test --env)\"")?;
        let copy = self.image();
        fs::copy(image, &copy)?;
        Ok(fs::set_permissions(
            copy,
            fs::Permissions::from_mode(0o644),
        )?)
    }

    fn agent_config(
        &self,
        host: &str,
        nats: &str,
        token: &str,
        lines: &str,
    ) -> anyhow::Result<String> {
        fs::create_dir_all(self.store_of(host).join("images"))?;
        let passwords = fs::read_to_string(self.folder.path().join("muster/bus/passwords.toml"))?;
        let passwords: toml::Table = toml::from_str(&passwords)?;
        let password = passwords.get("agent").and_then(toml::Value::as_str);
        Ok(format!(
            "data_dir = {data:?}\n\
             [bus]\nurl = \"nats://{nats}\"\nuser = \"agent\"\npassword = {password:?}\n\
             [agent]\nname = {host:?}\njoin_token = {token:?}\n{lines}\
             datastores = [{{ name = \"local\", path = {store:?} }}]\n",
            data = self.folder.path().join(host),
            password = password.context("the agent has no password")?,
            store = self.store_of(host),
        ))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store_of(&self, host: &str) -> PathBuf {
        self.folder.path().join(host).join("store")
    }

    /// The guest's image, on the first host.
    pub(crate) fn image(&self) -> PathBuf {
        let [host, ..] = HOSTS;
        self.store_of(host).join("images").join(IMAGE)
    }

    /// The folders of sockets of the machines that run.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        let [host, ..] = HOSTS;
        let folders = fs::read_dir(self.folder.path().join(host).join("run"));
        let folders = folders.into_iter().flatten().filter_map(Result::ok);
        folders.map(|entry| entry.path()).collect()
    }

    /// All that Muster is here: name and process id.
    pub(crate) fn every_process(&self) -> anyhow::Result<Vec<(&'static str, u32)>> {
        let agents = self.agents.iter().map(|agent| ("agent", agent.id()));
        let mut all = vec![
            ("musterd", self.musterd.id()),
            ("nats-server", self.nats_process()?),
        ];
        all.extend(agents);
        Ok(all)
    }

    fn nats_process(&self) -> anyhow::Result<u32> {
        let text = fs::read_to_string(self.folder.path().join("muster/bus/nats.pid"))?;
        let id = text.split(' ').next().unwrap_or_default();
        Ok(id.parse()?)
    }

    fn seen(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request that must be taken, and answers with what came back.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request = self.http.request(method, format!("{}{path}", self.gateway));
        if let Some(body) = body {
            request = request.json(&body);
        }
        // So that what was asked for is known when it is asked after.
        if let Some(seen) = self.seen().clone() {
            request = request.header(REVISION, seen);
        }
        let response = request.send().await?;
        if let Some(seen) = response.headers().get(REVISION) {
            *self.seen() = Some(seen.clone());
        }
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{path}: {status} {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Waits until a job that was asked for has succeeded, and answers with it.
    pub(crate) async fn succeeded(&self, job: &Value) -> anyhow::Result<Value> {
        let path = format!("/api/v1/jobs/{}", text(job, "/id")?);
        let ends = async {
            loop {
                let job = self.send("GET", &path, None).await?;
                match text(&job, "/state")? {
                    "succeeded" => return Ok(job),
                    "failed" | "cancelled" | "stuck" => bail!("{job:#}"),
                    _ => tokio::time::sleep(JOB_LOOK_INTERVAL).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, ends)
            .await
            .context("the job does not end")?
    }

    /// Does something whose job must succeed.
    pub(crate) async fn done(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        let job = self.send(method, path, Some(body)).await?;
        self.succeeded(&job).await
    }

    /// What happens to machines from now on, as server-sent events.
    pub(crate) async fn events(&self) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}/api/v1/events?kind=vm", self.gateway);
        Ok(self.http.get(url).send().await?.error_for_status()?)
    }

    /// Process ids of QEMU whose command line names this fleet's folder.
    fn machines(&self) -> Vec<Pid> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let entries = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        ids.filter(|id| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("qemu-system") && line.contains(&folder)
        })
        .filter_map(Pid::from_raw)
        .collect()
    }

    /// The command line of the one machine that runs.
    pub(crate) fn command_line(&self) -> anyhow::Result<Vec<String>> {
        let [process] = self.machines()[..] else {
            bail!("there is not exactly one machine");
        };
        let line = fs::read(format!("/proc/{}/cmdline", process.as_raw_nonzero()))?;
        let words = line
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty());
        words
            .map(|word| Ok(String::from_utf8(word.to_vec())?))
            .collect()
    }
}

impl Drop for Muster {
    fn drop(&mut self) {
        for child in self.agents.iter_mut().chain([&mut self.musterd]) {
            // musterd ends its nats-server in order.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
            let _ = child.wait();
        }
        for machine in self.machines() {
            let _ = kill_process(machine, Signal::KILL);
        }
    }
}

/// Starts a program with a configuration of its own.
fn spawn(
    programs: &Path,
    program: &str,
    name: &str,
    folder: &Path,
    config: &str,
) -> anyhow::Result<Child> {
    fs::write(folder.join(format!("{name}.toml")), config)?;
    start_again(programs, program, name, folder)
}

fn start_again(programs: &Path, program: &str, name: &str, folder: &Path) -> anyhow::Result<Child> {
    let log = folder.join(format!("{name}.log"));
    let log = fs::File::options().create(true).append(true).open(log)?;
    Command::new(programs.join(program))
        .arg("--config")
        .arg(folder.join(format!("{name}.toml")))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("{program} was not started"))
}

/// A text in an answer.
pub(crate) fn text<'a>(answer: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("{pointer} is not in the answer"))
}

/// What to create a machine of the guest image with.
pub(crate) fn small_vm(name: &str, start: bool, wait_for_guest: bool) -> Value {
    json!({
        "name": name,
        "vcpus": 1,
        "memory_bytes": 128 << 20,
        "disks": [{"image": IMAGE}],
        "network_cards": [{"network": "user"}],
        "start": start,
        "wait_for_guest": wait_for_guest,
    })
}
