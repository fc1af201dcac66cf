//! What people say of a host, where it cannot say so itself.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use contracts::rest::{Host, SetHost};

use super::host::HostArg;
use super::settings::{self, ReserveArgs};
use crate::cli::ChangeArgs;
use crate::output::detail::Detail;

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(super) which: HostArg,
    #[command(flatten)]
    reserves: ReserveArgs,
    /// Give the host a tag: key or key=value; can be given several times
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Take a tag away; can be given several times
    #[arg(long, value_name = "TAG")]
    remove_tag: Vec<String>,
    /// Tags of a datastore, in place of those that it has: DATASTORE:TAG,TAG
    #[arg(long, value_name = "TAGS", value_parser = datastore_tags)]
    datastore_tag: Vec<(String, Vec<String>)>,
    /// Rack that the host is in; an empty one takes it out
    #[arg(long)]
    rack: Option<String>,
    /// Room that the host is in
    #[arg(long)]
    room: Option<String>,
    /// Cluster that the host is a member of
    #[arg(long)]
    cluster: Option<String>,
    /// Operations a second that the host's disks can do; 0: not known
    #[arg(long, value_name = "NUMBER")]
    disk_io_max: Option<u32>,
    /// Mbit/s that the host's uplinks carry; 0: what the host says itself
    #[arg(long, value_name = "NUMBER")]
    network_mbit_max: Option<u32>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MaintenanceArgs {
    #[command(flatten)]
    pub(super) which: HostArg,
    /// Whether the host is in maintenance mode
    #[arg(value_enum)]
    pub(super) mode: Mode,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    On,
    Off,
}

fn datastore_tags(text: &str) -> Result<(String, Vec<String>), String> {
    let (name, tags) = text
        .split_once(':')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("write the datastore and its tags: ds1:ssd,fast")?;
    let tags = tags.split(',').filter(|tag| !tag.is_empty());
    Ok((name.to_owned(), tags.map(str::to_owned).collect()))
}

impl SetArgs {
    pub(super) fn request(&self) -> SetHost {
        let mut datastore_tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, tags) in &self.datastore_tag {
            let known = datastore_tags.entry(name.clone()).or_default();
            known.extend(tags.iter().cloned());
        }
        SetHost {
            reserves: self.reserves.reserves(),
            inherit: self.reserves.inherit.clone(),
            maintenance: None,
            add_tags: self.tag.clone(),
            remove_tags: self.remove_tag.clone(),
            datastore_tags,
            rack: self.rack.clone(),
            room: self.room.clone(),
            cluster: self.cluster.clone(),
            disk_io_per_sec_max: self.disk_io_max,
            network_mbit_max: self.network_mbit_max,
        }
    }
}

pub(super) fn describe(detail: Detail, host: &Host) -> Detail {
    let settings = &host.settings;
    let text = |word: &Option<String>| word.clone().unwrap_or_default();
    let number = |number: Option<u32>, unit: &str| {
        number
            .map(|number| format!("{number} {unit}"))
            .unwrap_or_default()
    };
    let datastores = settings.datastore_tags.iter();
    let datastores: Vec<String> = datastores
        .map(|(name, tags)| format!("{name}: {}", tags.join(", ")))
        .collect();
    let detail = detail
        .line("Tags", settings.tags.join(", "))
        .line("Datastore tags", datastores.join("; "))
        .line("Rack", text(&settings.rack))
        .line("Room", text(&settings.room))
        .line("Cluster", text(&settings.cluster))
        .line(
            "Disk I/O limit",
            number(settings.disk_io_per_sec_max, "operations/s"),
        )
        .line("Network limit", number(settings.network_mbit_max, "Mbit/s"));
    match &host.effective_reserves {
        Some(reserves) => settings::reserves(detail, reserves),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_datastore_are_written_after_its_name() {
        let parsed = datastore_tags("ds1:ssd,fast");
        assert_eq!(
            parsed,
            Ok(("ds1".to_owned(), vec!["ssd".to_owned(), "fast".to_owned()]))
        );
        assert_eq!(datastore_tags("ds1:"), Ok(("ds1".to_owned(), Vec::new())));
        assert!(datastore_tags("ssd").is_err());
    }
}
