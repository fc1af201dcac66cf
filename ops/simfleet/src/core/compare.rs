//! The fleet's own account beside what Muster says, object by object.

use std::collections::BTreeMap;
use std::fmt;

use contracts::host::VmReport;
use contracts::rest;
use serde::{Deserialize, Serialize};

/// Every host as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub hosts: Vec<HostAccount>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostAccount {
    pub id: String,
    pub name: String,
    pub generation: u64,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// Whether Muster can know the truth: the host is heard, all the time, and does not lie.
    pub is_true: bool,
    pub machines: Vec<MachineAccount>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineAccount {
    pub id: String,
    pub name: String,
    pub state: rest::VmState,
    pub hardware: Option<rest::Hardware>,
    pub datastore: String,
    /// Addresses of its guest.
    pub addresses: Vec<String>,
}

impl From<VmReport> for MachineAccount {
    fn from(report: VmReport) -> Self {
        Self {
            state: report.state().into(),
            id: report.vm_id,
            name: report.name,
            hardware: report.hardware.map(Into::into),
            datastore: report.datastore,
            addresses: report.guest.map(|g| g.addresses).unwrap_or_default(),
        }
    }
}

/// Something that Muster has otherwise than it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// "vm web-00017".
    pub object: String,
    pub what: &'static str,
    pub is: String,
    pub shown: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            what,
            is,
            shown,
        } = self;
        write!(f, "{object}: {what} is {is}, Muster shows {shown}")
    }
}

/// Everything that Muster has otherwise. Hosts of others are passed over, and of hosts that are silent or lie nothing is
/// expected.
pub fn compare(account: &Account, hosts: &[rest::Host], vms: &[rest::Vm]) -> Vec<Difference> {
    let shown_hosts: BTreeMap<&str, &rest::Host> =
        hosts.iter().map(|h| (h.id.as_str(), h)).collect();
    let mut shown_vms: BTreeMap<&str, BTreeMap<&str, &rest::Vm>> = BTreeMap::new();
    for vm in vms {
        let host_id = vm.host_id.as_deref().unwrap_or_default();
        let of_host = shown_vms.entry(host_id).or_default();
        of_host.insert(vm.id.as_str(), vm);
    }
    let nothing = BTreeMap::new();
    let mut differences = Vec::new();
    for host in account.hosts.iter().filter(|host| host.is_true) {
        let shown = shown_hosts.get(host.id.as_str()).copied();
        compare_host(host, shown, &mut differences);
        let shown = shown_vms.get(host.id.as_str()).unwrap_or(&nothing);
        compare_machines(host, shown, &mut differences);
    }
    differences
}

/// Notes what is not equal, of one object.
struct Notes<'a> {
    object: String,
    differences: &'a mut Vec<Difference>,
}

impl Notes<'_> {
    fn expect<T: fmt::Debug + PartialEq>(&mut self, what: &'static str, is: T, shown: T) {
        if is != shown {
            self.differences.push(Difference {
                object: self.object.clone(),
                what,
                is: format!("{is:?}"),
                shown: format!("{shown:?}"),
            });
        }
    }
}

fn compare_host(host: &HostAccount, shown: Option<&rest::Host>, all: &mut Vec<Difference>) {
    let mut notes = Notes {
        object: format!("host {}", host.name),
        differences: all,
    };
    notes.expect("known", true, shown.is_some());
    let Some(shown) = shown else { return };
    notes.expect("name", host.name.as_str(), &shown.name);
    notes.expect("status", rest::HostStatus::Responding, shown.status);
    notes.expect("approval", rest::Approval::Approved, shown.approval);
    let facts = shown.facts.as_ref();
    notes.expect("cpus", Some(host.cpus), facts.map(|f| f.cpus));
    notes.expect(
        "memory",
        Some(host.memory_bytes),
        facts.map(|f| f.memory_bytes),
    );
}

fn compare_machines(
    host: &HostAccount,
    shown: &BTreeMap<&str, &rest::Vm>,
    all: &mut Vec<Difference>,
) {
    for machine in &host.machines {
        let mut notes = Notes {
            object: format!("vm {} ({}) on {}", machine.name, machine.id, host.name),
            differences: &mut *all,
        };
        let shown = shown.get(machine.id.as_str());
        notes.expect("on its host", true, shown.is_some());
        let Some(shown) = shown else { continue };
        notes.expect("name", machine.name.as_str(), &shown.name);
        notes.expect("state", machine.state, shown.state);
        notes.expect(
            "hardware",
            machine.hardware.as_ref(),
            shown.hardware.as_ref(),
        );
        notes.expect("datastore", machine.datastore.as_str(), &shown.datastore);
        let addresses = shown.guest.as_ref().map(|g| g.addresses.as_slice());
        let addresses = addresses.unwrap_or_default();
        notes.expect("addresses", machine.addresses.as_slice(), addresses);
    }
    let there = |id: &str| host.machines.iter().any(|machine| machine.id == id);
    for vm in shown.values().filter(|vm| !there(&vm.id)) {
        let mut notes = Notes {
            object: format!("vm {} ({}) on {}", vm.name, vm.id, host.name),
            differences: &mut *all,
        };
        notes.expect("state", rest::VmState::Missing, vm.state);
    }
}

#[cfg(test)]
mod tests {
    use contracts::host::VmState;
    use contracts::inventory;

    use super::*;

    fn report(id: &str) -> VmReport {
        VmReport {
            vm_id: id.to_owned(),
            name: format!("web-{id}"),
            state: VmState::Running.into(),
            ..VmReport::default()
        }
    }

    fn account() -> Account {
        let host = HostAccount {
            id: "h1".to_owned(),
            name: "node-1".to_owned(),
            is_true: true,
            machines: vec![report("a").into(), report("b").into()],
            ..HostAccount::default()
        };
        Account { hosts: vec![host] }
    }

    fn shown_host() -> rest::Host {
        inventory::Host {
            id: "h1".to_owned(),
            name: "node-1".to_owned(),
            approval: inventory::host::Approval::Approved.into(),
            status: inventory::host::Status::Responding.into(),
            facts: Some(contracts::host::HostFacts::default()),
            ..inventory::Host::default()
        }
        .into()
    }

    fn shown_vm(id: &str, state: VmState) -> rest::Vm {
        inventory::Vm {
            id: id.to_owned(),
            name: format!("web-{id}"),
            host_id: "h1".to_owned(),
            state: state.into(),
            ..inventory::Vm::default()
        }
        .into()
    }

    #[test]
    fn what_is_shown_as_it_is_is_no_difference_and_the_missing_may_be_shown() {
        let vms = [
            shown_vm("a", VmState::Running),
            shown_vm("b", VmState::Running),
            shown_vm("gone", VmState::Missing),
        ];
        assert_eq!(compare(&account(), &[shown_host()], &vms), []);
    }

    #[test]
    fn every_difference_is_named() {
        let vms = [
            shown_vm("a", VmState::Stopped),
            shown_vm("ghost", VmState::Running),
        ];
        let differences = compare(&account(), &[shown_host()], &vms);
        let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "vm web-a (a) on node-1: state is Running, Muster shows Stopped",
                "vm web-b (b) on node-1: on its host is true, Muster shows false",
                "vm web-ghost (ghost) on node-1: state is Missing, Muster shows Running",
            ]
        );
        let unheard = compare(&account(), &[], &[]);
        assert_eq!(unheard.len(), 3);
    }

    #[test]
    fn of_a_host_that_cannot_be_known_nothing_is_expected() {
        let mut account = account();
        for host in &mut account.hosts {
            host.is_true = false;
        }
        assert_eq!(compare(&account, &[], &[]), []);
    }
}
