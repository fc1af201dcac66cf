//! What a machine starts with, and from what, as people say it.

use clap::{Args, ValueEnum};
use contracts::rest::{BootDevice, Firmware};

#[derive(Debug, Args)]
pub(crate) struct FirmwareArgs {
    /// Firmware that it starts with [default: bios]
    #[arg(long, value_enum)]
    pub(crate) firmware: Option<FirmwareArg>,
    /// What the firmware tries, in this order: disk, network, or both with a comma [default: disk]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DEVICE")]
    pub(crate) boot: Vec<BootArg>,
}

impl FirmwareArgs {
    pub(crate) fn order(&self) -> Vec<BootDevice> {
        self.boot.iter().map(|device| (*device).into()).collect()
    }
}

/// For people; empty: the disks.
pub(crate) fn boot_order(order: &[BootDevice]) -> String {
    let words: Vec<&str> = order.iter().map(|device| device.word()).collect();
    words.join(", ")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirmwareArg {
    Bios,
    Uefi,
}

impl From<FirmwareArg> for Firmware {
    fn from(firmware: FirmwareArg) -> Self {
        match firmware {
            FirmwareArg::Bios => Self::Bios,
            FirmwareArg::Uefi => Self::Uefi,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BootArg {
    Disk,
    Network,
}

impl From<BootArg> for BootDevice {
    fn from(device: BootArg) -> Self {
        match device {
            BootArg::Disk => Self::Disk,
            BootArg::Network => Self::Network,
        }
    }
}
