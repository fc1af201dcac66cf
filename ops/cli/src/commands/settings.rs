//! Reserves and settings that hosts and host groups share.

use clap::Args;
use contracts::rest::{
    EffectiveGroup, EffectiveReserves, InForce, SetGroupSettings, SetReserves, Tips, UpdateGroup,
};

use crate::output::detail::Detail;
use crate::output::human;
use crate::values;

/// Kept free for the host itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reserves")]
pub(crate) struct ReserveArgs {
    /// CPU that is kept free, in percent of a host
    #[arg(long, value_name = "PERCENT")]
    cpu_reserve: Option<f64>,
    /// Memory that is kept free
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    memory_reserve: Option<u64>,
    /// Room that is kept free on each datastore
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    disk_reserve: Option<u64>,
    /// Disk operations a second that are kept free
    #[arg(long, value_name = "NUMBER")]
    disk_io_reserve: Option<f64>,
    /// Network that is kept free, in percent of a host
    #[arg(long, value_name = "PERCENT")]
    network_reserve: Option<f64>,
    /// Inherit it from the group above again, by name: memory_bytes; can be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) inherit: Vec<String>,
}

impl ReserveArgs {
    /// Unset: none is given.
    pub(crate) fn reserves(&self) -> Option<SetReserves> {
        let reserves = SetReserves {
            cpu_percent: self.cpu_reserve,
            memory_bytes: self.memory_reserve,
            disk_bytes: self.disk_reserve,
            disk_io_per_sec: self.disk_io_reserve,
            network_percent: self.network_reserve,
        };
        (reserves != SetReserves::default()).then_some(reserves)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Weight {
    None,
    Critical,
    Warning,
}

impl From<Weight> for Tips {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::None => Self::None,
            Weight::Critical => Self::Critical,
            Weight::Warning => Self::Warning,
        }
    }
}

/// What a group hands down.
#[derive(Debug, Args)]
pub(crate) struct SettingArgs {
    #[command(flatten)]
    reserves: ReserveArgs,
    /// Whether tips are shown
    #[arg(long, value_enum)]
    tips: Option<Switch>,
    /// Show tips of at least this weight
    #[arg(long, value_enum)]
    tips_from: Option<Weight>,
    /// Carry out tips of at least this weight without asking
    #[arg(long, value_enum)]
    tips_automatic: Option<Weight>,
}

impl SettingArgs {
    pub(crate) fn update(&self) -> UpdateGroup {
        let settings = SetGroupSettings {
            tips: self.tips.map(|switch| switch == Switch::On),
            tips_from: self.tips_from.map(Into::into),
            tips_automatic: self.tips_automatic.map(Into::into),
        };
        UpdateGroup {
            reserves: self.reserves.reserves(),
            settings: (settings != SetGroupSettings::default()).then_some(settings),
            inherit: self.reserves.inherit.clone(),
            ..UpdateGroup::default()
        }
    }
}

/// Every value in force with where it comes from.
pub(crate) fn effective(detail: Detail, group: &EffectiveGroup) -> Detail {
    let switch = |on: &InForce<bool>| told(if on.value { "on" } else { "off" }, &on.from);
    reserves(detail, &group.reserves)
        .line(
            "Files travel",
            told(group.encryption.value.word(), &group.encryption.from),
        )
        .line("Tips", switch(&group.tips))
        .line(
            "Tips from",
            told(group.tips_from.value.word(), &group.tips_from.from),
        )
        .line(
            "Tips automatic",
            told(
                group.tips_automatic.value.word(),
                &group.tips_automatic.from,
            ),
        )
}

/// Reserves in force with where they come from.
pub(crate) fn reserves(detail: Detail, reserves: &EffectiveReserves) -> Detail {
    let percent = |of: &InForce<f64>| told(&format!("{} %", of.value), &of.from);
    let bytes = |of: &InForce<u64>| told(&human::bytes(of.value), &of.from);
    let io = &reserves.disk_io_per_sec;
    detail
        .line("CPU reserve", percent(&reserves.cpu_percent))
        .line("Memory reserve", bytes(&reserves.memory_bytes))
        .line("Disk reserve", bytes(&reserves.disk_bytes))
        .line(
            "Disk I/O reserve",
            told(&format!("{}/s", io.value), &io.from),
        )
        .line("Network reserve", percent(&reserves.network_percent))
}

fn told(value: &str, from: &str) -> String {
    format!("{value}, from {from}")
}
