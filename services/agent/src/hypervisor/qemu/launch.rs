//! QEMU's command line for a machine: a pure function of its definition.
//!
//! The same definition must always give the same machine, device by device and address by address: a saved machine goes
//! on only in one that is equal. So every device has its address on the bus said here.

use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use super::definition::{Definition, Disk, NetworkCard};
use super::folder::{Folder, Sockets};
use super::probe::Accelerator;
use super::{UserNetwork, blocks, seed};

/// The device that the guest's agent listens at.
pub(super) const GUEST_AGENT_PORT: &str = "agent0";
/// The channel of that device, at the host's end.
pub(super) const GUEST_AGENT_CHANNEL: &str = "agent0-channel";

/// Slots of the root bus. 1 to 29 hold what the machine has, 30 the ports for what is plugged in later.
mod slots {
    pub(super) const VIDEO: usize = 1;
    pub(super) const SERIAL: usize = 2;
    pub(super) const BALLOON: usize = 3;
    pub(super) const RANDOM: usize = 4;
    pub(super) const PANIC: usize = 5;
    pub(super) const NETWORK_CARDS: usize = 6;
    pub(super) const DISKS: usize = NETWORK_CARDS + contracts::limits::NETWORK_CARDS_MAX;
    pub(super) const SPARE_PORTS: usize = DISKS + contracts::limits::DISKS_MAX;
}

/// Ports for devices that are plugged in while the machine runs: q35 takes none without them.
const SPARE_PORTS: usize = 4;

/// Function of the slot of these ports that is the guest's seed.
const SEED_FUNCTION: usize = SPARE_PORTS;

/// Everything that the command line depends on.
pub(super) struct Launch<'a> {
    pub(super) definition: &'a Definition,
    pub(super) folder: &'a Folder,
    pub(super) sockets: &'a Sockets,
    /// Where the datastore is mounted.
    pub(super) datastore: &'a Path,
    pub(super) accelerator: Accelerator,
    pub(super) user_network: UserNetwork,
    /// The machine waits for the memory of a saved one.
    pub(super) restore: bool,
}

/// The arguments, program name excluded.
pub(super) fn arguments(launch: &Launch<'_>) -> Vec<String> {
    let mut line = Line::default();
    machine(&mut line, launch);
    control(&mut line, launch);
    devices(&mut line, launch);
    for (index, disk) in launch.definition.disks.iter().enumerate() {
        add_disk(&mut line, launch, index, disk);
    }
    for (index, card) in launch.definition.network_cards.iter().enumerate() {
        add_network_card(&mut line, launch.user_network, index, card);
    }
    if launch.definition.seeded {
        add_seed(&mut line, launch.folder);
    }
    line.0
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn option(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }

    fn device(&mut self, driver: &str, slot: usize, mut more: Value) {
        if let Some(properties) = more.as_object_mut() {
            properties.insert("driver".to_owned(), json!(driver));
            properties.insert("addr".to_owned(), json!(format!("{slot:#x}")));
        }
        self.option("-device", more.to_string());
    }
}

/// A value in QEMU's old syntax, where a comma ends it.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

fn machine(line: &mut Line, launch: &Launch<'_>) {
    let definition = launch.definition;
    line.option("-name", format!("guest={}", definition.name));
    line.option("-uuid", machine_uuid(&definition.vm_id).to_string());
    line.flag("-nodefaults");
    line.flag("-no-user-config");
    line.option("-machine", definition.machine_type.as_str());
    match launch.accelerator {
        Accelerator::Kvm => {
            line.option("-accel", "kvm");
        }
        Accelerator::Tcg => {
            // A translation cache of 32 MiB instead of 1 GiB saves 40 MB of memory at no visible cost.
            line.option("-accel", "tcg,thread=multi,tb-size=32");
        }
    }
    line.option("-cpu", launch.accelerator.cpu());
    line.option("-smp", definition.vcpus.to_string());
    line.option("-m", format!("{}B", definition.memory_bytes));
    line.option("-rtc", "base=utc");
    line.option("-boot", "strict=on");
    // A guest that panicked stays as it is, to be looked at.
    line.option("-action", "panic=pause");
    line.option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    // Nothing runs before the agent has written down which process it is.
    line.flag("-S");
    if launch.restore {
        line.option("-incoming", "defer");
    }
}

fn machine_uuid(vm_id: &str) -> Uuid {
    Uuid::parse_str(vm_id).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, vm_id.as_bytes()))
}

/// Channels are sockets that QEMU listens on, so that an agent that was restarted finds them again.
fn control(line: &mut Line, launch: &Launch<'_>) {
    let sockets = launch.sockets;
    // Two, because a QMP socket serves one client at a time: the first is the agent's, the second for a person.
    for (id, path) in [("qmp0", sockets.qmp()), ("qmp1", sockets.qmp_spare())] {
        line.option("-chardev", socket(id, &path));
        line.option("-mon", format!("chardev={id},mode=control"));
    }
    // Whoever connects to the serial port must read: the port writes byte by byte, some 280 unread ones fill the socket,
    // and then the guest's kernel waits for ever at its next message. With nobody there, only the log is written.
    let log = escaped(&launch.folder.console_log());
    // logappend: the agent cuts the file when it is long, and the next write must go to its new end.
    let serial = format!(
        "{},logfile={log},logappend=on",
        socket("serial0", &sockets.serial())
    );
    line.option("-chardev", serial);
    line.option("-serial", "chardev:serial0");
    line.option("-display", "none");
    line.option("-vnc", format!("unix:{}", escaped(&sockets.vnc())));
}

fn socket(id: &str, path: &Path) -> String {
    format!("socket,id={id},path={},server=on,wait=off", escaped(path))
}

fn devices(line: &mut Line, launch: &Launch<'_>) {
    line.device("VGA", slots::VIDEO, json!({"id": "video0"}));
    line.device(
        "virtio-serial-pci",
        slots::SERIAL,
        json!({"id": "channels0"}),
    );
    line.option(
        "-chardev",
        socket(GUEST_AGENT_CHANNEL, &launch.sockets.guest_agent()),
    );
    let port = json!({
        "driver": "virtserialport", "id": GUEST_AGENT_PORT, "chardev": GUEST_AGENT_CHANNEL,
        "name": "org.qemu.guest_agent.0",
    });
    line.option("-device", port.to_string());
    line.device(
        "virtio-balloon-pci",
        slots::BALLOON,
        json!({"id": "balloon0"}),
    );
    line.option(
        "-object",
        "rng-random,id=random0-source,filename=/dev/urandom",
    );
    line.device(
        "virtio-rng-pci",
        slots::RANDOM,
        json!({"id": "random0", "rng": "random0-source"}),
    );
    line.device("pvpanic-pci", slots::PANIC, json!({"id": "panic0"}));
    for port in 0..SPARE_PORTS {
        // Functions of one slot, since every other slot may be taken.
        let address = format!("{:#x}.{port}", slots::SPARE_PORTS);
        let device = json!({
            "driver": "pcie-root-port", "id": format!("port{port}"), "addr": address,
            "chassis": port + 1, "multifunction": port == 0,
        });
        line.option("-device", device.to_string());
    }
}

fn add_disk(line: &mut Line, launch: &Launch<'_>, index: usize, disk: &Disk) {
    line.option(
        "-blockdev",
        blocks::disk(disk, launch.folder, launch.datastore).to_string(),
    );
    let device = json!({
        "id": disk.id, "drive": blocks::top_node_name(&disk.id), "bootindex": index + 1,
    });
    line.device("virtio-blk-pci", slots::DISKS + index, device);
}

/// The guest finds it by its label, as the last of its disks, and cannot write to it.
fn add_seed(line: &mut Line, folder: &Folder) {
    let node = json!({
        "driver": "raw", "node-name": "seed-top", "read-only": true,
        "file": {
            "driver": "file", "filename": folder.file(seed::FILE).to_string_lossy(), "locking": "on",
            "node-name": "seed-file", "read-only": true,
        },
    });
    line.option("-blockdev", node.to_string());
    let address = format!("{:#x}.{SEED_FUNCTION}", slots::SPARE_PORTS);
    let device = json!({
        "driver": "virtio-blk-pci", "id": "seed0", "drive": "seed-top", "addr": address,
    });
    line.option("-device", device.to_string());
}

fn add_network_card(line: &mut Line, user_network: UserNetwork, index: usize, card: &NetworkCard) {
    let network = format!("{}-net", card.id);
    let restrict = match user_network {
        UserNetwork::Isolated => "on",
        UserNetwork::Open => "off",
    };
    line.option("-netdev", format!("user,id={network},restrict={restrict}"));
    // No boot ROM: nothing here boots over this network, and the ROM costs seconds at every start.
    let device = json!({"id": card.id, "netdev": network, "mac": card.mac, "romfile": ""});
    line.device("virtio-net-pci", slots::NETWORK_CARDS + index, device);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::qemu::definition;

    fn line(restore: bool, change: impl Fn(&mut Definition)) -> Vec<String> {
        let mut definition = definition::sample();
        change(&mut definition);
        arguments(&Launch {
            definition: &definition,
            folder: &Folder::new("/ds,1/vms/x".into()),
            sockets: &Sockets::new(Path::new("/run/m"), "x"),
            datastore: Path::new("/ds,1"),
            accelerator: Accelerator::Tcg,
            user_network: UserNetwork::Isolated,
            restore,
        })
    }

    fn values<'a>(line: &'a [String], option: &str) -> Vec<&'a str> {
        let pairs = line.iter().zip(line.iter().skip(1));
        pairs
            .filter(|(name, _)| *name == option)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    #[test]
    fn a_machine_has_two_control_sockets_and_never_an_unlocked_disk() {
        let line = line(false, |_| {});
        assert_eq!(values(&line, "-mon").len(), 2);
        assert!(
            values(&line, "-blockdev")
                .iter()
                .all(|d| d.contains(r#""locking":"on""#))
        );
        assert!(!line.iter().any(|word| word.contains("locking=off")));
        assert!(
            values(&line, "-sandbox")
                .iter()
                .all(|s| s.contains("spawn=deny"))
        );
    }

    #[test]
    fn a_guest_reads_its_seed_and_cannot_write_it() {
        let seeded = line(false, |definition| definition.seeded = true);
        let blocks = values(&seeded, "-blockdev");
        let seed: Vec<_> = blocks.iter().filter(|b| b.contains("seed.img")).collect();
        assert_eq!(seed.len(), 1);
        assert!(seed[0].contains(r#""read-only":true"#));
        // Beside it the machine is the same, device by device.
        let plain = line(false, |_| {});
        assert!(plain.iter().all(|word| seeded.contains(word)));
        assert!(!plain.iter().any(|word| word.contains("seed")));
    }

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        let line = line(false, |_| {});
        let logs = values(&line, "-chardev");
        assert!(
            logs.iter()
                .any(|c| c.contains("logfile=/ds,,1/vms/x/console.log,logappend=on"))
        );
    }

    #[test]
    fn only_a_saved_machine_waits_for_its_memory() {
        assert_eq!(values(&line(true, |_| {}), "-incoming"), ["defer"]);
        assert!(values(&line(false, |_| {}), "-incoming").is_empty());
    }

    #[test]
    fn the_largest_machine_has_an_address_for_every_device() {
        let line = line(false, |definition| {
            let (disk, card) = (definition.disks.clone(), definition.network_cards.clone());
            definition.disks = disk
                .into_iter()
                .cycle()
                .take(contracts::limits::DISKS_MAX)
                .collect();
            let cards = card.into_iter().cycle();
            definition.network_cards = cards.take(contracts::limits::NETWORK_CARDS_MAX).collect();
            definition.seeded = true;
        });
        let devices = values(&line, "-device");
        let mut addresses: Vec<Value> = devices
            .iter()
            .filter_map(|d| serde_json::from_str::<Value>(d).ok()?.get("addr").cloned())
            .collect();
        let count = addresses.len();
        addresses.sort_by_key(Value::to_string);
        addresses.dedup();
        assert_eq!((addresses.len(), count), (34, 34));
        // 31 is the chipset's own.
        assert_eq!(slots::SPARE_PORTS, 30);
    }
}
