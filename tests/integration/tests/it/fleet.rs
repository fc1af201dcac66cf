//! A whole Muster for one test: services, agents, and a client, all real processes on free ports and a folder of their
//! own. Dropping it ends every process that it or its agents started, by id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kit::config::BusConfig;
use serde_json::{Value, json};
use support::{eventually, free_port, is_alive};

pub use crate::client::{Answer, Client, bare_vm, small_vm};
pub use crate::process::{Process, signal};

pub fn guest_image() -> PathBuf {
    let path = std::env::var_os("MUSTER_GUEST_IMAGE")
        .expect("MUSTER_GUEST_IMAGE is not set: run the tests with ./ops/test");
    PathBuf::from(path)
}

pub struct Fleet {
    /// Absent when the services run by themselves.
    pub musterd: Option<Process>,
    pub agents: Vec<Process>,
    pub client: Client,
    /// The bus, as its administrator.
    pub bus: BusConfig,
    agent_password: String,
    pub folder: tempfile::TempDir,
}

impl Fleet {
    /// musterd and agents, all hosts approved and responding.
    pub async fn start(hosts: usize) -> Self {
        Self::start_in(hosts, &[]).await
    }

    /// The same, with this in the environment of every program.
    pub async fn start_in(hosts: usize, environment: &[(String, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (gateway_port, nats_port) = (free_port().unwrap(), free_port().unwrap());
        write_musterd_config(folder.path(), gateway_port, nats_port, free_port().unwrap());
        let config = folder.path().join("musterd.toml");
        let musterd = Process::start_in("musterd", &config, folder.path(), environment);
        let bus = BusConfig {
            url: format!("nats://127.0.0.1:{nats_port}"),
            ..BusConfig::default()
        };
        let mut fleet = Self {
            musterd: Some(musterd),
            agents: Vec::new(),
            client: Client::new(gateway_port),
            bus,
            agent_password: String::new(),
            folder,
        };
        fleet.ready().await;
        fleet.agent_password = fleet.bus_password("agent");
        fleet.bus.user = "admin".to_owned();
        fleet.bus.password = fleet.bus_password("admin");
        fleet.add_hosts(hosts, environment).await;
        fleet
    }

    /// Agents beside services that the test has started itself. Every bus user has the password of `bus`.
    pub async fn join(
        folder: tempfile::TempDir,
        bus: BusConfig,
        client: Client,
        agent_environment: &[(String, String)],
    ) -> Self {
        let mut fleet = Self {
            musterd: None,
            agents: Vec::new(),
            client,
            agent_password: bus.password.clone(),
            bus,
            folder,
        };
        fleet.ready().await;
        fleet.add_hosts(1, agent_environment).await;
        fleet.hosts_take_machines().await;
        fleet
    }

    /// Waits until whichever instance is asked knows a host for a machine: each hears of hosts for itself.
    async fn hosts_take_machines(&self) {
        const IN_A_ROW: usize = 10;
        eventually("every instance to know the hosts", async || {
            for _ in 0..IN_A_ROW {
                let path = "/api/v1/vms?dry_run=true";
                let asked = self
                    .client
                    .send("POST", path, Some(bare_vm("probe", false)));
                (asked.await.ok()?.status < 300).then_some(())?;
            }
            Some(())
        })
        .await
        .unwrap();
    }

    /// `kill -9` of musterd.
    pub fn kill_musterd(&mut self) {
        self.musterd = None;
    }

    /// Waits until every gateway is ready.
    pub async fn ready(&self) {
        for gateway in self.client.each() {
            eventually("Muster to be ready", async || {
                gateway.get("/readyz").await.ok()
            })
            .await
            .unwrap();
        }
    }

    async fn add_hosts(&mut self, hosts: usize, environment: &[(String, String)]) {
        // The gateway is ready when its views are; inventory may start to answer a moment later.
        let token = eventually("a join token", async || {
            let path = "/api/v1/join-tokens";
            let answer = self.client.send("POST", path, Some(json!({}))).await.ok()?;
            Some(answer.body["token"].as_str()?.to_owned())
        })
        .await
        .unwrap();
        for number in 1..=hosts {
            let name = format!("host-{number}");
            self.write_agent_config(&name, &token);
            let agent = self.start_agent_in(&name, environment);
            self.agents.push(agent);
        }
        self.hosts_responding(hosts).await;
    }

    pub async fn hosts_responding(&self, count: usize) {
        eventually("the hosts to respond", async || {
            let hosts = self.client.list("hosts").await.ok()?;
            let fine = |h: &&Value| h["approval"] == "approved" && h["status"] == "responding";
            (hosts.iter().filter(fine).count() == count).then_some(())
        })
        .await
        .unwrap();
    }

    pub fn start_agent(&self, name: &str) -> Process {
        self.start_agent_in(name, &[])
    }

    fn start_agent_in(&self, name: &str, environment: &[(String, String)]) -> Process {
        let config = self.folder.path().join(format!("{name}.toml"));
        let name = format!("agent-{name}");
        Process::start_in(&name, &config, self.folder.path(), environment)
    }

    pub fn start_musterd(&mut self) {
        let config = self.folder.path().join("musterd.toml");
        self.musterd = Some(Process::start("musterd", &config, self.folder.path()));
    }

    /// The datastore of a host.
    pub fn datastore(&self, host: &str) -> PathBuf {
        self.folder.path().join(host).join("store")
    }

    fn write_agent_config(&self, name: &str, token: &str) {
        let images = self.datastore(name).join("images");
        std::fs::create_dir_all(&images).unwrap();
        std::fs::copy(guest_image(), images.join("guest.qcow2")).unwrap();
        let config = format!(
            "data_dir = {data:?}\n\
             [bus]\nurl = {url:?}\nuser = \"agent\"\npassword = {password:?}\n\
             [agent]\nname = {name:?}\njoin_token = {token:?}\n\
             datastores = [{{ name = \"local\", path = {store:?} }}]\n",
            password = self.agent_password,
            data = self.folder.path().join(name),
            url = self.bus.url,
            store = self.datastore(name),
        );
        std::fs::write(self.folder.path().join(format!("{name}.toml")), config).unwrap();
    }

    /// The bus, as hosts reach it.
    pub fn bus_of_hosts(&self) -> BusConfig {
        BusConfig {
            user: "agent".to_owned(),
            password: self.agent_password.clone(),
            ..self.bus.clone()
        }
    }

    pub fn bus_password(&self, user: &str) -> String {
        let path = self.folder.path().join("muster/bus/passwords.toml");
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        table[user].as_str().unwrap().to_owned()
    }

    /// Process id of the nats-server that musterd started.
    pub fn nats_process(&self) -> u32 {
        let path = self.folder.path().join("muster/bus/nats.pid");
        let text = std::fs::read_to_string(path).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// Processes of QEMU whose command line names this fleet's folder, and their arguments.
    fn qemu_lines(&self) -> BTreeMap<u32, Vec<String>> {
        let folder = self.folder.path().to_str().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|id: u32| {
                let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                let is_ours = line.contains("qemu-system") && line.contains(folder);
                let arguments = line.split('\0').map(str::to_owned).collect();
                (is_ours && is_alive(id)).then_some((id, arguments))
            })
            .collect()
    }

    pub fn qemu_processes(&self) -> Vec<u32> {
        self.qemu_lines().into_keys().collect()
    }

    /// The processes of QEMU by the machine that each runs.
    pub fn qemu_by_machine(&self) -> Vec<(String, u32)> {
        let machine = |arguments: &[String]| {
            let named = |a: &String| Some(a.split_once("/vms/")?.1.split_once('/')?.0.to_owned());
            arguments.iter().find_map(named).unwrap_or_default()
        };
        let lines = self.qemu_lines().into_iter();
        lines
            .map(|(id, arguments)| (machine(&arguments), id))
            .collect()
    }

    /// A socket of a machine's QEMU: `ser`, `qmp2`.
    pub fn socket(&self, process: u32, name: &str) -> PathBuf {
        let lines = self.qemu_lines();
        let paths = lines[&process]
            .iter()
            .flat_map(|a| a.split("path=").skip(1))
            .filter_map(|rest| rest.split(',').next().map(PathBuf::from));
        paths
            .into_iter()
            .find(|path| path.ends_with(name))
            .unwrap_or_else(|| panic!("no socket {name}"))
    }

    /// Files and folders of machines on every host.
    pub fn machine_folders(&self) -> Vec<PathBuf> {
        let hosts =
            (1..=self.agents.len()).map(|n| self.datastore(&format!("host-{n}")).join("vms"));
        hosts
            .filter_map(|vms| std::fs::read_dir(vms).ok())
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    /// That nothing is left of any machine: no record, file or process.
    pub async fn nothing_is_left(&self) {
        eventually("every record, folder and process to be gone", async || {
            let clean = self.client.vms().await.is_empty()
                && self.machine_folders().is_empty()
                && self.qemu_processes().is_empty();
            clean.then_some(())
        })
        .await
        .unwrap_or_else(|error| {
            panic!(
                "{error}: {:?} {:?}",
                self.machine_folders(),
                self.qemu_processes()
            )
        });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            agent.kill();
        }
        for process in self.qemu_processes() {
            signal(process, "KILL");
        }
        self.kill_musterd();
        let path = self.folder.path().join("muster/bus/nats.pid");
        if path.exists() {
            signal(self.nats_process(), "KILL");
        }
    }
}

fn write_musterd_config(folder: &Path, gateway: u16, nats: u16, monitor: u16) {
    let config = format!(
        "data_dir = {data:?}\n\
         [musterd]\nnats_program = {program:?}\n\
         nats_listen = \"127.0.0.1:{nats}\"\nnats_monitor = \"127.0.0.1:{monitor}\"\n\
         [gateway]\nlisten = \"127.0.0.1:{gateway}\"\n",
        data = folder.join("muster"),
        program = support::nats_program().unwrap(),
    );
    std::fs::write(folder.join("musterd.toml"), config).unwrap();
}
