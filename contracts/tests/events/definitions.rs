//! Templates, profiles and rules, before and after changes.

use contracts::host::disk;
use contracts::library::{GuestProfile, HardwareProfile, Template, TemplateDisk};
use contracts::placement::Rule;
use contracts::placement::rule::{Bond, Level, Strength};

use crate::examples::{ITEM, TIME_MS, VM};

const TEMPLATE: &str = "0198c0de-7a08-5000-8000-000000000101";
const HARDWARE: &str = "0198c0de-7a09-5000-8000-000000000102";
const GUEST: &str = "0198c0de-7a0a-5000-8000-000000000103";
const RULE: &str = "0198c0de-7a0c-7000-8000-000000000105";

pub(crate) fn templates() -> (&'static str, Vec<Template>) {
    let made = Template {
        id: TEMPLATE.to_owned(),
        name: "debian".to_owned(),
        version: 1,
        created_ms: TIME_MS,
        changed_ms: TIME_MS,
        owner: "local".to_owned(),
        disks: vec![TemplateDisk {
            item_id: ITEM.to_owned(),
            source: disk::Source::Overlay.into(),
            ..TemplateDisk::default()
        }],
        hardware_profile_id: HARDWARE.to_owned(),
        guest_profile_id: GUEST.to_owned(),
        ..Template::default()
    };
    let dearer = Template {
        version: 2,
        quota_points: 3,
        ..made.clone()
    };
    (TEMPLATE, vec![made, dearer])
}

pub(crate) fn hardware_profiles() -> (&'static str, Vec<HardwareProfile>) {
    let made = HardwareProfile {
        id: HARDWARE.to_owned(),
        name: "small".to_owned(),
        version: 1,
        created_ms: TIME_MS,
        changed_ms: TIME_MS,
        vcpus: 1,
        memory_bytes: 1 << 30,
        networks: vec!["user".to_owned()],
        ..HardwareProfile::default()
    };
    let larger = HardwareProfile {
        version: 2,
        memory_bytes: 2 << 30,
        ..made.clone()
    };
    (HARDWARE, vec![made, larger])
}

pub(crate) fn guest_profiles() -> (&'static str, Vec<GuestProfile>) {
    let made = GuestProfile {
        id: GUEST.to_owned(),
        name: "web".to_owned(),
        version: 1,
        created_ms: TIME_MS,
        changed_ms: TIME_MS,
        host_name: "{name}".to_owned(),
        ssh_keys: vec!["ssh-ed25519 AAAAC3Nz ann@example".to_owned()],
        ..GuestProfile::default()
    };
    let with_user_data = GuestProfile {
        version: 2,
        user_data_id: "0198c0de-7a0b-7000-8000-000000000104".to_owned(),
        ..made.clone()
    };
    (GUEST, vec![made, with_user_data])
}

pub(crate) fn rules() -> (&'static str, Vec<Rule>) {
    let made = Rule {
        id: RULE.to_owned(),
        name: "web-apart".to_owned(),
        bond: Bond::Apart.into(),
        strength: Strength::Must.into(),
        level: Level::Host.into(),
        vm_ids: vec![VM.to_owned()],
        vm_tag: "tier=web".to_owned(),
        created_ms: TIME_MS,
        created_by: "local".to_owned(),
        ..Rule::default()
    };
    (RULE, vec![made])
}
