//! What clients send to the gateway.

use contracts::inventory::Vm;
use contracts::jobs::VmCreate;
use contracts::{limits, names};
use gateway::foreign;

use super::{is_clear, promise};

/// As each of the bodies.
pub(super) fn rest_bodies(input: &[u8]) -> Result<(), String> {
    match foreign::vm_create(input) {
        Ok(vm) => is_possible(vm)?,
        Err(status) => is_clear(&status)?,
    }
    if let Err(status) = foreign::vm_update(input) {
        is_clear(&status)?;
    }
    if let Err(status) = foreign::rate(input) {
        is_clear(&status)?;
    }
    Ok(())
}

fn is_possible(vm: VmCreate) -> Result<(), String> {
    let hardware = vm.hardware.unwrap_or_default();
    // What is not said is the template's.
    let is_of_template = !vm.template.is_empty();
    promise(
        names::check_vm_name(&vm.name).is_ok(),
        "a name that cannot be one",
    )?;
    promise(
        (1..=limits::VCPUS_MAX).contains(&hardware.vcpus)
            || (is_of_template && hardware.vcpus == 0),
        "impossible processors",
    )?;
    let memory = limits::VM_MEMORY_BYTES_MIN..=limits::VM_MEMORY_BYTES_MAX;
    promise(
        memory.contains(&hardware.memory_bytes) || (is_of_template && hardware.memory_bytes == 0),
        "impossible memory",
    )?;
    promise(hardware.disks.len() <= limits::DISKS_MAX, "too many disks")?;
    promise(vm.tags.len() <= limits::TAGS_MAX, "too many tags")
}

/// Filter, order and cursor as three lines.
pub(super) fn rest_lists(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (filter, sort, cursor) = (next(), next(), next());
    let vm = Vm {
        name: "web-01".to_owned(),
        ..Vm::default()
    };
    match foreign::list(filter, sort, cursor, &vm) {
        Ok(_) => Ok(()),
        Err(status) => is_clear(&status),
    }
}

pub(super) mod samples {
    pub(in super::super) fn rest_bodies() -> Vec<Vec<u8>> {
        [
            r#"{"name": "web-01", "vcpus": 2, "memory_bytes": 134217728, "disks": [{"image": "guest.qcow2", "source": "overlay", "size_bytes": 67108864}, {"size_bytes": 1073741824}],
                "network_cards": [{"network": "user", "mac": "52:54:00:12:34:56"}], "owner": "alice", "description": "a machine", "tags": {"env": "prod"}, "group": "all-hosts",
                "host": "host-1", "datastore": "default", "start": true, "wait_for_guest": true}"#,
            r#"{"name": "web-02", "template": "debian", "memory_bytes": 134217728, "guest": {"host_name": "web", "ssh_keys": ["ssh-ed25519 AAAA"]}}"#,
            r#"{"owner": "bob", "description": "another", "set_tags": {"env": "test"}, "remove_tags": ["old"]}"#,
            r#"{"vcpus": 2, "memory_bytes": 134217728, "disk_bytes": 1073741824, "images": ["guest.qcow2"], "expected_cpu_percent": 20.5}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    pub(in super::super) fn rest_lists() -> Vec<Vec<u8>> {
        [
            "state:running,host:host-1,name:web*,tag.env:prod,created:>2026-01-01T00:00:00Z\n-created,name\n",
            "name:\"a,b\",memory:>1073741824,vcpus:2\nname,-memory\neyJsaXN0IjoiYWJjIiwicGxhY2UiOnt9fQ==",
            "\n\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }
}
