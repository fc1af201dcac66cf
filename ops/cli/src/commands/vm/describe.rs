//! `muster vm show`.

use std::time::Duration;

use contracts::rest::{Disk, GuestFacts, NetworkCard, Vm};

use crate::commands::firmware::boot_order;
use crate::commands::refresher;
use crate::output::detail::Detail;
use crate::output::{Column, Output, human};

const DISKS: [Column<Disk>; 6] = [
    Column::always("disk", |d, _| d.id.as_str().into()),
    Column::always("size", |d, _| human::bytes(d.size_bytes).into()),
    Column::always("allocated", |d, _| human::bytes(d.allocated_bytes).into()),
    Column::always("made_from", |d, _| match &d.image {
        Some(image) => format!("{} of {image}", d.source).into(),
        None => d.source.into(),
    }),
    Column::always("format", |d, _| d.format.as_str().into()),
    Column::always("path", |d, _| d.path.as_str().into()),
];

const CARDS: [Column<NetworkCard>; 3] = [
    Column::always("card", |c, _| c.id.as_str().into()),
    Column::always("network", |c, _| c.network.as_str().into()),
    Column::always("mac", |c, _| c.mac.as_str().into()),
];

pub(super) fn describe(vm: &Vm, output: &Output) -> String {
    describe_made(vm, output) + &refresher::table(&vm.refreshed, output)
}

fn describe_made(vm: &Vm, output: &Output) -> String {
    let mut text = summary(vm, output);
    if let Some(guest) = &vm.guest {
        text += &format!("\n{}", describe_guest(guest));
    }
    let Some(hardware) = &vm.hardware else {
        return text;
    };
    if !hardware.disks.is_empty() {
        let columns: Vec<_> = DISKS.iter().collect();
        text += &format!("\n{}", output.table(&columns, &hardware.disks));
    }
    if !hardware.network_cards.is_empty() {
        let columns: Vec<_> = CARDS.iter().collect();
        text += &format!("\n{}", output.table(&columns, &hardware.network_cards));
    }
    text
}

fn summary(vm: &Vm, output: &Output) -> String {
    let hardware = vm.hardware.as_ref();
    Detail::default()
        .line("Machine", &vm.name)
        .line("Id", &vm.id)
        .toned("State", vm.state, super::tone(vm.state))
        .line("Reason", &vm.state_reason)
        .line("Since", human::moment(vm.state_changed, output.now))
        .line(
            "Host",
            vm.host_name
                .as_deref()
                .or(vm.host_id.as_deref())
                .unwrap_or_default(),
        )
        .line("Uptime", human::age(vm.started, output.now))
        .line(
            "CPUs",
            hardware.map_or_else(String::new, |h| h.vcpus.to_string()),
        )
        .line(
            "Memory",
            hardware.map_or_else(String::new, |h| human::bytes(h.memory_bytes)),
        )
        .line(
            "Firmware",
            hardware.map_or_else(String::new, |h| h.firmware.to_string()),
        )
        .line(
            "Boot order",
            hardware.map_or_else(String::new, |h| boot_order(&h.boot_order)),
        )
        .line("Owner", &vm.owner)
        .line("Description", &vm.description)
        .line("Tags", super::tags(&vm.tags))
        .line("Datastore", &vm.datastore)
        .line("Accelerator", &vm.accelerator)
        .line(
            "Process",
            vm.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        )
        .line("Origin", vm.origin)
        .line("Created", human::moment(vm.created, output.now))
        .line("Busy with", vm.job_id.as_deref().unwrap_or_default())
        .render()
}

fn describe_guest(guest: &GuestFacts) -> String {
    let answers = if guest.agent_responding {
        "answers"
    } else {
        "does not answer"
    };
    let uptime = match guest.uptime_secs {
        0 => String::new(),
        secs => human::whole_secs(Duration::from_secs(secs)),
    };
    Detail::default()
        .line("Guest agent", answers)
        .line("Hostname", &guest.hostname)
        .line("System", &guest.os)
        .line("Kernel", &guest.kernel)
        .line("Addresses", guest.addresses.join(", "))
        .line("Guest uptime", uptime)
        .render()
}

#[cfg(test)]
mod tests {
    use contracts::rest::{BootDevice, DiskSource, Firmware, Hardware, VmOrigin, VmState};
    use jiff::Timestamp;

    use super::*;
    use crate::output::Format;

    fn vm() -> Vm {
        let message = contracts::inventory::Vm {
            id: "v-1".to_owned(),
            name: "web-01".to_owned(),
            ..Default::default()
        };
        Vm {
            state: VmState::Running,
            origin: VmOrigin::Created,
            host_name: Some("host-2".to_owned()),
            hardware: Some(Hardware {
                vcpus: 2,
                memory_bytes: 512 << 20,
                disks: vec![Disk {
                    id: "disk0".to_owned(),
                    image: Some("guest.qcow2".to_owned()),
                    source: DiskSource::Overlay,
                    size_bytes: 2 << 30,
                    allocated_bytes: 3 << 20,
                    path: "vms/web-01/disk0.qcow2".to_owned(),
                    format: "qcow2".to_owned(),
                }],
                firmware: Firmware::Uefi,
                boot_order: vec![BootDevice::Network, BootDevice::Disk],
                network_cards: Vec::new(),
            }),
            guest: Some(GuestFacts {
                agent_responding: true,
                hostname: "web-01".to_owned(),
                os: "Debian 12".to_owned(),
                kernel: "6.1".to_owned(),
                addresses: vec!["127.0.0.1".to_owned(), "10.0.2.15".to_owned()],
                uptime_secs: 75,
            }),
            started: Timestamp::from_second(100).ok(),
            ..message.into()
        }
    }

    #[test]
    fn a_machine_is_told_with_its_host_guest_and_disks() {
        let mut output = Output::new(Format::Table, true);
        output.now = Timestamp::from_second(190).unwrap();
        let text = describe(&vm(), &output);
        for part in [
            "State       running",
            "Host        host-2",
            "Uptime      1 min 30 s",
            "Memory      512 MiB",
            "Firmware    uefi",
            "Boot order  network, disk",
            "Guest agent   answers",
            "Guest uptime  1 min 15 s",
            "overlay of guest.qcow2",
            "2 GiB",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains("Owner"), "what is empty is left out");
        assert_eq!(super::super::address(&vm()), "10.0.2.15");
    }
}
