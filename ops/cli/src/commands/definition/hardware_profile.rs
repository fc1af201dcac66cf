//! `muster profile hardware`.

use clap::Args;
use contracts::rest::{ExpectedLoad, HardwareProfile, SetHardwareProfile};

use super::{Common, Kind, tags};
use crate::commands::firmware::{FirmwareArgs, boot_order};
use crate::commands::placement::{Expected, words};
use crate::error::Failure;
use crate::output::detail::Detail;
use crate::output::{Column, Output, human};
use crate::values;

/// What a machine has when nothing is said.
const CPUS: u32 = 1;
const MEMORY_BYTES: u64 = 128 << 20;
const NETWORK: &str = "user";

/// The word that asks for no network card at all.
const NO_NETWORK: &str = "none";

#[derive(Debug, Args)]
pub(crate) struct Words {
    /// Virtual processors [default: 1]
    #[arg(long, value_parser = values::cpus)]
    cpus: Option<u32>,
    /// Memory [default: 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::memory)]
    memory: Option<u64>,
    /// A blank disk of this size, behind those of the template; can be given several times
    #[arg(long, value_name = "SIZE", value_parser = values::disk_size)]
    disk: Vec<u64>,
    /// Network for a card, or none; can be given several times [default: user]
    #[arg(long)]
    network: Vec<String>,
    #[command(flatten)]
    firmware: FirmwareArgs,
    #[command(flatten)]
    expected: Expected,
}

pub(crate) struct HardwareProfiles;

impl Kind for HardwareProfiles {
    type Shown = HardwareProfile;
    type Set = SetHardwareProfile;
    type Words = Words;
    const SEGMENT: &'static str = "hardware-profiles";
    const NOUN: &'static str = "hardware_profile";
    const NONE: &'static str = "There are no hardware profiles.";
    const COLUMNS: &'static [Column<HardwareProfile>] = &[
        Column::always("name", |p, _| p.name.as_str().into()),
        Column::always("cpus", |p, _| p.vcpus.into()),
        Column::always("memory", |p, _| human::bytes(p.memory_bytes).into()),
        Column::always("disks", |p, _| sizes(&p.disk_bytes).into()),
        Column::always("networks", |p, _| p.networks.join(", ").into()),
        Column::always("owner", |p, _| p.owner.as_str().into()),
    ];

    fn describe(profile: &HardwareProfile, output: &Output) -> String {
        Detail::default()
            .line("Name", &profile.name)
            .line("Id", &profile.id)
            .line("CPUs", profile.vcpus)
            .line("Memory", human::bytes(profile.memory_bytes))
            .line("Blank disks", sizes(&profile.disk_bytes))
            .line("Networks", profile.networks.join(", "))
            .line("Firmware", profile.firmware)
            .line("Boot order", boot_order(&profile.boot_order))
            .line(
                "Expected load",
                profile
                    .expected_load
                    .as_ref()
                    .map(words)
                    .unwrap_or_default(),
            )
            .line("Owner", &profile.owner)
            .line("Tags", tags(&profile.tags))
            .line("Description", &profile.description)
            .line("Version", profile.version)
            .line("Changed", human::moment(profile.changed, output.now))
            .render()
    }

    fn apply(words: Words, set: &mut SetHardwareProfile) -> Result<(), Failure> {
        let is_new = set.vcpus == 0;
        if is_new {
            set.vcpus = CPUS;
            set.memory_bytes = MEMORY_BYTES;
            set.networks = vec![NETWORK.to_owned()];
        }
        set.vcpus = words.cpus.unwrap_or(set.vcpus);
        set.memory_bytes = words.memory.unwrap_or(set.memory_bytes);
        if !words.disk.is_empty() {
            set.disk_bytes = words.disk;
        }
        match words.network.as_slice() {
            [] => {}
            [one] if one == NO_NETWORK => set.networks.clear(),
            _ => set.networks = words.network,
        }
        set.firmware = words.firmware.firmware.map_or(set.firmware, Into::into);
        if !words.firmware.boot.is_empty() {
            set.boot_order = words.firmware.order();
        }
        expect(words.expected, &mut set.expected_load);
        Ok(())
    }

    fn common(set: &mut SetHardwareProfile) -> Common<'_> {
        Common {
            name: &mut set.name,
            version: &mut set.version,
            owner: &mut set.owner,
            description: &mut set.description,
            tags: &mut set.tags,
        }
    }
}

/// What is said stands in for what was there.
fn expect(said: Expected, load: &mut Option<ExpectedLoad>) {
    let known = load.take().unwrap_or_default();
    let new = ExpectedLoad {
        cpu_percent: said.expected_cpu.or(known.cpu_percent),
        disk_io_per_sec: said.expected_disk_io.or(known.disk_io_per_sec),
        network_mbit: said.expected_network.or(known.network_mbit),
    };
    *load = (new != ExpectedLoad::default()).then_some(new);
}

fn sizes(bytes: &[u64]) -> String {
    let sizes: Vec<String> = bytes.iter().map(|bytes| human::bytes(*bytes)).collect();
    sizes.join(", ")
}
