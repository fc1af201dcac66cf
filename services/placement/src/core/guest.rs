//! Machines, as far as placement looks at them.

use std::collections::BTreeMap;

use contracts::host::VmState;
use contracts::inventory::Vm;
use contracts::inventory::vm::Origin;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guest {
    pub id: String,
    pub name: String,
    pub host_id: String,
    pub job_id: String,
    pub state: VmState,
    pub vcpus: u32,
    pub memory_bytes: u64,
    /// What its disks take on the datastore now.
    pub disk_bytes: u64,
    pub networks: Vec<String>,
    pub datastore: String,
    pub accelerator: String,
    pub tags: BTreeMap<String, String>,
    pub owner: String,
    /// When it was made; when it was found, if it was.
    pub created_ms: i64,
    /// It was found on its host: it is older than its record.
    pub is_found: bool,
}

impl Guest {
    /// Whether its memory and processors are counted by its own record: it runs, or is being made.
    pub fn counts(&self) -> bool {
        self.state.is_active() || self.state == VmState::Creating
    }

    /// Whether it has a tag: "key=value", or "key" with any value.
    pub fn has_tag(&self, tag: &str) -> bool {
        has_tag(&self.tags, tag)
    }
}

pub fn has_tag(tags: &BTreeMap<String, String>, tag: &str) -> bool {
    match tag.split_once('=') {
        Some((key, value)) => tags.get(key).is_some_and(|has| has == value),
        None => tags.contains_key(tag),
    }
}

impl From<&Vm> for Guest {
    fn from(vm: &Vm) -> Self {
        let hardware = vm.hardware.clone().unwrap_or_default();
        let disks = hardware.disks.iter().map(|disk| disk.allocated_bytes);
        Self {
            id: vm.id.clone(),
            name: vm.name.clone(),
            host_id: vm.host_id.clone(),
            job_id: vm.job_id.clone(),
            state: vm.state(),
            vcpus: hardware.vcpus,
            memory_bytes: hardware.memory_bytes,
            disk_bytes: disks.fold(0, u64::saturating_add),
            networks: hardware
                .network_cards
                .into_iter()
                .map(|c| c.network)
                .collect(),
            datastore: vm.datastore.clone(),
            accelerator: vm.accelerator.clone(),
            tags: vm.tags.clone(),
            owner: vm.owner.clone(),
            created_ms: vm.created_ms,
            is_found: vm.origin() == Origin::Imported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_named_with_its_value_or_without() {
        let guest = Guest {
            tags: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            ..Guest::default()
        };
        assert!(guest.has_tag("app") && guest.has_tag("app=web"));
        assert!(!guest.has_tag("app=db") && !guest.has_tag("web"));
    }
}
