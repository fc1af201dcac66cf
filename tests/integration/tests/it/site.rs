//! Every service as a process of its own, as many of each as wanted, on one nats-server or a cluster of three, each with
//! its own bus user and the permissions of the contracts.

use std::fs;

use kit::config::BusConfig;
use serde_json::Value;
use support::proxy::Proxy;
use support::{NatsCluster, NatsOptions, NatsServer, eventually, free_port};

use crate::fleet::{Client, Fleet, Process};

const PASSWORD: &str = "ptest";

/// In the order in which they are started.
pub const SERVICES: [&str; 9] = [
    "inventory",
    "placement",
    "refresher",
    "transfer",
    "performance",
    "webhooks",
    "library",
    "jobs",
    "gateway",
];

/// How a site is built.
pub struct Plan {
    pub instances: usize,
    /// Three servers that keep three copies, or one.
    pub is_cluster: bool,
    /// A service that reaches its bus over a line that can be disturbed.
    pub on_a_line: Option<&'static str>,
    /// The service jobs' own section, as TOML.
    pub jobs: &'static str,
    /// What each process finds in its environment; `agent` is one of the names.
    pub environment: fn(name: &str, folder: &std::path::Path) -> Vec<(String, String)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            instances: 2,
            is_cluster: false,
            on_a_line: None,
            jobs: "",
            environment: |_, _| Vec::new(),
        }
    }
}

pub struct Site {
    pub services: Vec<Process>,
    pub line: Option<Proxy>,
    pub fleet: Fleet,
    pub servers: Vec<NatsServer>,
}

impl Site {
    pub async fn build(plan: Plan) -> Self {
        let servers = start_servers(plan.is_cluster).await;
        let bus = bus_config(&servers);
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..plan.instances).map(|_| free_port().unwrap()).collect();
        let line = match plan.on_a_line {
            Some(_) => Some(Proxy::start(servers[0].port).await.unwrap()),
            None => None,
        };
        let mut services = Vec::new();
        for (instance, port) in ports.iter().enumerate() {
            for service in SERVICES {
                let is_on_line = plan.on_a_line == Some(service);
                let line = line.as_ref().filter(|_| is_on_line);
                let url = line.map_or_else(|| bus.url.clone(), Proxy::url);
                let name = format!("{service}-{instance}");
                let config = format!(
                    "data_dir = {data:?}\ninstance = \"{instance}\"\n\
                     [bus]\nurl = {url:?}\nmonitor_urls = {monitor:?}\nreplicas = {replicas}\n\
                     user = {service:?}\npassword = {PASSWORD:?}\n\
                     [jobs]\n{jobs}\n[gateway]\nlisten = \"127.0.0.1:{port}\"\n",
                    data = folder.path(),
                    monitor = bus.monitor_urls,
                    replicas = bus.replicas,
                    jobs = plan.jobs,
                );
                let path = folder.path().join(format!("{name}.toml"));
                fs::write(&path, config).unwrap();
                let environment = (plan.environment)(&name, folder.path());
                services.push(Process::start_in(&name, &path, folder.path(), &environment));
            }
        }
        let environment = (plan.environment)("agent", folder.path());
        let fleet = Fleet::join(folder, bus, Client::of(&ports), &environment).await;
        Self {
            services,
            line,
            fleet,
            servers,
        }
    }

    pub fn client(&self) -> Client {
        self.fleet.client.clone()
    }

    pub fn service(&mut self, name: &str) -> &mut Process {
        let found = self.services.iter_mut().find(|p| p.name == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    /// Waits until this many instances of a service answer calls.
    pub async fn serving(&self, service: &str, count: usize) {
        if service == "gateway" {
            return self.fleet.ready().await;
        }
        let monitors: Vec<String> = self.servers.iter().map(NatsServer::monitor_url).collect();
        eventually("the instances to serve", async || {
            let mut serving = 0;
            for monitor in &monitors {
                serving += serving_at(monitor, service).await?;
            }
            (serving == count).then_some(())
        })
        .await
        .unwrap();
    }

    /// No program wanted more of the bus than the contracts allow.
    pub fn nothing_was_refused(&self) {
        for server in &self.servers {
            let log = server.log();
            let violation = log
                .lines()
                .find(|line| line.contains("ermissions Violation"));
            assert!(violation.is_none(), "{violation:?}");
        }
    }
}

/// Answer of a nats-server's monitoring address.
pub async fn monitor(url: &str, path: &str) -> Option<Value> {
    let answer = reqwest::get(format!("{url}{path}")).await.ok()?;
    answer.json().await.ok()
}

/// Connections of a service to one server that have subscribed to its calls.
async fn serving_at(monitor_url: &str, service: &str) -> Option<usize> {
    let answer = monitor(monitor_url, "/connz?subs=1&limit=1000").await?;
    let name = format!("muster-{service}");
    let calls = contracts::subjects::call(service, "");
    let serves = |connection: &&Value| {
        let subjects = connection["subscriptions_list"].as_array();
        let mut subjects = subjects.into_iter().flatten().filter_map(Value::as_str);
        connection["name"] == name && subjects.any(|subject| subject.starts_with(&calls))
    };
    let connections = answer["connections"].as_array()?;
    Some(connections.iter().filter(serves).count())
}

/// nats-servers that know the users of Muster.
async fn start_servers(is_cluster: bool) -> Vec<NatsServer> {
    let mut extra = contracts::access::nats_authorization();
    for user in contracts::access::users().chain(["admin"]) {
        let variable = format!("${}", contracts::access::password_variable(user));
        extra = extra.replace(&variable, PASSWORD);
    }
    let options = NatsOptions {
        extra,
        ..NatsOptions::default()
    };
    if is_cluster {
        return NatsCluster::start_with(&options).await.unwrap().servers;
    }
    vec![NatsServer::start_with(&options).await.unwrap()]
}

/// How the administrator connects.
fn bus_config(servers: &[NatsServer]) -> BusConfig {
    let list = |part: fn(&NatsServer) -> String| {
        let parts: Vec<String> = servers.iter().map(part).collect();
        parts.join(",")
    };
    BusConfig {
        url: list(NatsServer::url),
        monitor_urls: list(NatsServer::monitor_url),
        replicas: servers.len(),
        user: "admin".to_owned(),
        password: PASSWORD.to_owned(),
        ..BusConfig::default()
    }
}
