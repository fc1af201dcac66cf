//! Configuration of the agent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use contracts::names;
use serde::{Deserialize, Serialize};

use crate::hypervisor::qemu::{Settings, UserNetwork};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the host in the fleet. Empty: the machine's own host name.
    pub name: String,
    /// Id of the host in the fleet. Empty: made once and kept below data_dir.
    pub host_id: String,
    /// Lets the host join without a person's approval.
    pub join_token: String,
    /// What this agent does: `host` runs machines, `library` keeps files that machines are made from.
    pub roles: Vec<Role>,
    /// Folders below which shares of the library may lie. Empty: one named `library` below data_dir.
    pub library_folders: Vec<PathBuf>,
    /// Whether files of shares keep their ids in extended attributes. Off, they are recognised by their content, as where
    /// the filesystem has no such attributes.
    pub library_attributes: bool,
    pub hypervisor: HypervisorKind,
    /// Directories for images and machines. Empty: one named `local` below data_dir.
    pub datastores: Vec<DatastoreConfig>,
    /// For sockets; must be short. Empty: `run` below data_dir.
    pub runtime_dir: PathBuf,
    /// QEMU, as a path or a name in PATH.
    pub qemu: PathBuf,
    pub qemu_img: PathBuf,
    /// User that QEMU runs as when the agent is root.
    pub qemu_user: String,
    /// Whether guests on QEMU's own network reach what the host reaches, its loopback included: `isolated` or `open`.
    pub user_network: UserNetwork,
    /// Where other hosts fetch files from, as address:port; port 0 is any that is free. `off`: nowhere, and this host dials
    /// them. Empty: any free port of the address by which this host reaches the bus.
    pub data_listen: String,
    /// What other hosts dial, as host:port, where that is not what `data_listen` says.
    pub data_address: String,
    /// How often the host says what it and its machines use, in seconds. Curves have a point a minute.
    pub samples_interval_secs: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HypervisorKind {
    #[default]
    Qemu,
    /// In memory: nothing runs. For trials of many hosts.
    Simulated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Host,
    Library,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatastoreConfig {
    pub name: String,
    pub path: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            host_id: String::new(),
            join_token: String::new(),
            roles: vec![Role::Host],
            library_folders: Vec::new(),
            library_attributes: true,
            hypervisor: HypervisorKind::default(),
            datastores: Vec::new(),
            runtime_dir: PathBuf::new(),
            qemu: PathBuf::from("qemu-system-x86_64"),
            qemu_img: PathBuf::from("qemu-img"),
            qemu_user: "nobody".to_owned(),
            user_network: UserNetwork::default(),
            data_listen: String::new(),
            data_address: String::new(),
            samples_interval_secs: contracts::limits::SAMPLES_INTERVAL.as_secs(),
        }
    }
}

/// Of `data_listen`: nowhere.
const OFF: &str = "off";

/// The address that this host has on its way to the first server of the bus. Nothing is sent.
fn address_towards(bus_url: &str) -> anyhow::Result<IpAddr> {
    let first = bus_url.split(',').next().unwrap_or_default().trim();
    let server = first.rsplit_once("//").map_or(first, |(_, server)| server);
    let server = server.rsplit_once('@').map_or(server, |(_, server)| server);
    let addresses = server
        .to_socket_addrs()
        .with_context(|| format!("the bus {server} has no address; set data_listen"))?;
    let mut last = None;
    for address in addresses {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0));
        match socket.and_then(|s| s.connect(address).and_then(|()| s.local_addr())) {
            Ok(local) => return Ok(local.ip()),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into());
    Err(error).context("this host has no address on its way to the bus; set data_listen")
}

impl kit::config::Section for Config {
    const NAME: &'static str = "agent";
    /// It appends nothing to a log: inventory does, and answers for it.
    const CHECKS_BUS: bool = false;

    fn validate(&self) -> Result<(), String> {
        if !self.name.is_empty() {
            names::check_title("name", &self.name).map_err(|s| format!("name: {}", s.message))?;
        }
        if !self.host_id.is_empty() {
            names::check_id("host_id", &self.host_id)
                .map_err(|s| format!("host_id: {}", s.message))?;
        }
        if !["", OFF].contains(&self.data_listen.as_str())
            && self.data_listen.parse::<SocketAddr>().is_err()
        {
            return Err(format!(
                "data_listen: {:?} is no address; use 192.0.2.7:2180, or off.",
                self.data_listen
            ));
        }
        if self.roles.is_empty() {
            return Err(
                "roles: without one the agent has nothing to do; use host, library or both."
                    .to_owned(),
            );
        }
        if self.samples_interval_secs == 0 {
            return Err("samples_interval_secs: 0 would sample without end.".to_owned());
        }
        for datastore in &self.datastores {
            if !names::is_token(&datastore.name) {
                return Err(format!(
                    "datastores: {:?} cannot be a name; use letters, digits, hyphens and underscores.",
                    datastore.name
                ));
            }
        }
        Ok(())
    }
}

impl Config {
    /// Where the data end listens, if it does.
    pub(crate) fn data_listen(&self, bus_url: &str) -> anyhow::Result<Option<SocketAddr>> {
        match self.data_listen.as_str() {
            OFF => Ok(None),
            "" => Ok(Some(SocketAddr::new(address_towards(bus_url)?, 0))),
            address => Ok(Some(address.parse()?)),
        }
    }

    /// Below which folders shares may lie.
    pub(crate) fn library_folders(&self, data_dir: &Path) -> std::io::Result<Vec<PathBuf>> {
        match self.library_folders.is_empty() {
            true => Ok(vec![std::path::absolute(data_dir.join("library"))?]),
            false => self
                .library_folders
                .iter()
                .map(std::path::absolute)
                .collect(),
        }
    }

    /// Where QEMU finds its things. QEMU runs in another directory, so that every path is made absolute.
    pub(crate) fn settings(&self, data_dir: &Path) -> std::io::Result<Settings> {
        let runtime_dir = match self.runtime_dir.as_os_str().is_empty() {
            true => data_dir.join("run"),
            false => self.runtime_dir.clone(),
        };
        let local = DatastoreConfig {
            name: "local".to_owned(),
            path: data_dir.join("datastore"),
        };
        let datastores = if self.datastores.is_empty() {
            vec![local]
        } else {
            self.datastores.clone()
        };
        let absolute = |d: DatastoreConfig| Ok((d.name, std::path::absolute(d.path)?));
        Ok(Settings {
            qemu: self.qemu.clone(),
            qemu_img: self.qemu_img.clone(),
            runtime_dir: std::path::absolute(runtime_dir)?,
            datastores: datastores
                .into_iter()
                .map(absolute)
                .collect::<std::io::Result<_>>()?,
            qemu_user: self.qemu_user.clone(),
            user_network: self.user_network,
        })
    }
}

#[cfg(test)]
mod tests {
    use kit::config::Section as _;

    use super::*;

    #[test]
    fn what_is_not_said_lies_below_the_data_folder() {
        let settings = Config::default().settings(Path::new("/data")).unwrap();
        assert_eq!(settings.runtime_dir, Path::new("/data/run"));
        assert_eq!(
            settings.datastores,
            [("local".to_owned(), PathBuf::from("/data/datastore"))]
        );
        assert_eq!(settings.user_network, UserNetwork::Isolated);
    }

    #[test]
    fn the_data_end_listens_where_the_bus_is_reached_from_unless_told_otherwise() {
        let listen = |text: &str| Config {
            data_listen: text.to_owned(),
            ..Config::default()
        };
        let loopback = listen("")
            .data_listen("nats://127.0.0.1:4222,nats://other:1")
            .unwrap();
        assert_eq!(loopback, Some("127.0.0.1:0".parse().unwrap()));
        let chosen = listen("192.0.2.7:2180");
        assert!(chosen.validate().is_ok());
        assert_eq!(
            chosen.data_listen("").unwrap(),
            Some("192.0.2.7:2180".parse().unwrap())
        );
        assert_eq!(listen("off").data_listen("").unwrap(), None);
        assert!(
            listen("here")
                .validate()
                .unwrap_err()
                .starts_with("data_listen:")
        );
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let bad_name = Config {
            name: "a/b".to_owned(),
            ..Config::default()
        };
        assert!(bad_name.validate().unwrap_err().starts_with("name:"));
        let bad_id = Config {
            host_id: "a.b".to_owned(),
            ..Config::default()
        };
        assert!(bad_id.validate().unwrap_err().starts_with("host_id:"));
        let datastores = vec![DatastoreConfig {
            name: "a/b".to_owned(),
            path: PathBuf::new(),
        }];
        assert!(
            Config {
                datastores,
                ..Config::default()
            }
            .validate()
            .is_err()
        );
    }
}
