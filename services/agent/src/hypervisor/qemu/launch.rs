//! QEMU's command line for a machine: a pure function of its definition.
//!
//! The same definition must always give the same machine, device by device and address by address: a saved machine goes
//! on only in one that is equal. So every device has its address on the bus said here.

use std::path::Path;

use contracts::rest::BootDevice;
use contracts::stored;
use serde_json::{Value, json};
use uuid::Uuid;

use super::definition::{Definition, Disk, NetworkCard};
use super::firmware::Uefi;
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
    /// Of a machine that has it.
    pub(super) uefi: Option<&'a Uefi>,
    /// The guest looks for its seed on removable disks alone.
    pub(super) removable_seed: bool,
    /// The machine waits for the memory of a saved one.
    pub(super) restore: bool,
}

/// The arguments, program name excluded.
pub(super) fn arguments(launch: &Launch<'_>) -> Vec<String> {
    let mut line = Line::default();
    machine(&mut line, launch);
    control(&mut line, launch);
    devices(&mut line, launch);
    let definition = launch.definition;
    let turns = Turns::of(definition);
    for (index, disk) in definition.disks.iter().enumerate() {
        add_disk(&mut line, launch, index, disk, turns.disk(index));
    }
    for (index, card) in definition.network_cards.iter().enumerate() {
        let turn = turns.card(index);
        add_network_card(&mut line, launch.user_network, index, card, turn);
    }
    if definition.seeded {
        add_seed(&mut line, launch);
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
    match launch.uefi {
        None => line.option("-machine", definition.machine_type.as_str()),
        Some(uefi) => add_uefi(line, launch, uefi),
    }
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

fn add_uefi(line: &mut Line, launch: &Launch<'_>, uefi: &Uefi) {
    let variables = launch.folder.file(stored::VARIABLES);
    for (name, path, read_only) in [
        ("firmware-code", &uefi.code, true),
        ("firmware-vars", &variables, false),
    ] {
        let node = blocks::firmware(name, path, read_only);
        line.option("-blockdev", node.to_string());
    }
    let machine_type = &launch.definition.machine_type;
    line.option(
        "-machine",
        format!("{machine_type},pflash0=firmware-code,pflash1=firmware-vars"),
    );
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

/// At which turn the firmware tries each device. What has none is never tried.
#[derive(Default)]
struct Turns {
    first_disk: Option<usize>,
    first_card: Option<usize>,
}

impl Turns {
    fn of(definition: &Definition) -> Self {
        let mut turns = Self::default();
        let mut next = 1;
        let order = match definition.boot_order.as_slice() {
            [] => [BootDevice::Disk].as_slice(),
            said => said,
        };
        for device in order {
            let (first, count) = match device {
                BootDevice::Network => (&mut turns.first_card, definition.network_cards.len()),
                BootDevice::Disk | BootDevice::Unknown => {
                    (&mut turns.first_disk, definition.disks.len())
                }
            };
            *first = Some(next);
            next += count;
        }
        turns
    }

    fn disk(&self, index: usize) -> Option<usize> {
        self.first_disk.map(|first| first + index)
    }

    fn card(&self, index: usize) -> Option<usize> {
        self.first_card.map(|first| first + index)
    }
}

fn add_disk(line: &mut Line, launch: &Launch<'_>, index: usize, disk: &Disk, turn: Option<usize>) {
    line.option(
        "-blockdev",
        blocks::disk(disk, launch.folder, launch.datastore).to_string(),
    );
    let mut device = json!({"id": disk.id, "drive": blocks::top_node_name(&disk.id)});
    add_turn(&mut device, turn);
    line.device("virtio-blk-pci", slots::DISKS + index, device);
}

fn add_turn(device: &mut Value, turn: Option<usize>) {
    if let (Some(properties), Some(turn)) = (device.as_object_mut(), turn) {
        properties.insert("bootindex".to_owned(), json!(turn));
    }
}

/// The guest finds it by its label, as the last of its disks, and cannot write to it. Windows finds it on a USB stick.
fn add_seed(line: &mut Line, launch: &Launch<'_>) {
    let node = json!({
        "driver": "raw", "node-name": "seed-top", "read-only": true,
        "file": {
            "driver": "file", "filename": launch.folder.file(seed::FILE).to_string_lossy(), "locking": "on",
            "node-name": "seed-file", "read-only": true,
        },
    });
    line.option("-blockdev", node.to_string());
    let address = format!("{:#x}.{SEED_FUNCTION}", slots::SPARE_PORTS);
    if !launch.removable_seed {
        let device = json!({
            "driver": "virtio-blk-pci", "id": "seed0", "drive": "seed-top", "addr": address,
        });
        line.option("-device", device.to_string());
        return;
    }
    let controller = json!({"driver": "qemu-xhci", "id": "usb", "addr": address});
    line.option("-device", controller.to_string());
    let stick = json!({
        "driver": "usb-storage", "id": "seed0", "drive": "seed-top", "bus": "usb.0", "removable": true,
    });
    line.option("-device", stick.to_string());
}

fn add_network_card(
    line: &mut Line,
    user_network: UserNetwork,
    index: usize,
    card: &NetworkCard,
    turn: Option<usize>,
) {
    let network = format!("{}-net", card.id);
    let restrict = match user_network {
        UserNetwork::Isolated => "on",
        UserNetwork::Open => "off",
    };
    line.option("-netdev", format!("user,id={network},restrict={restrict}"));
    let mut device = json!({"id": card.id, "netdev": network, "mac": card.mac});
    add_turn(&mut device, turn);
    // Without a turn no boot ROM: it costs seconds at every start.
    if let (Some(properties), None) = (device.as_object_mut(), turn) {
        properties.insert("romfile".to_owned(), json!(""));
    }
    line.device("virtio-net-pci", slots::NETWORK_CARDS + index, device);
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
