//! A sample of every REST type, with every field set.

use contracts::{common, host, inventory, jobs, placement, rest};
use prost::{Message, Name};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{live, sample};

/// A type, and how a value of it is made and read.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    make: fn() -> Value,
    /// Reads JSON, and writes what was read.
    pub(crate) again: fn(Value) -> serde_json::Result<Value>,
}

pub(crate) fn samples() -> impl Iterator<Item = (&'static str, Value)> {
    kinds().into_iter().map(|kind| (kind.name, (kind.make)()))
}

pub(crate) fn kind<T: Serialize + DeserializeOwned>(
    name: &'static str,
    make: fn() -> Value,
) -> Kind {
    Kind {
        name,
        make,
        again: |value| serde_json::to_value(serde_json::from_value::<T>(value)?),
    }
}

/// Made from the sample of a message.
pub(crate) fn from<M: Message + Name + Default, T: From<M> + Serialize>() -> Value {
    serde_json::to_value(T::from(message())).unwrap()
}

pub(crate) fn message<M: Message + Name + Default>() -> M {
    let name = M::full_name();
    let sample = sample::all(contracts::diff::pool()).find(|s| s.message == name);
    sample.unwrap().value.transcode_to().unwrap()
}

pub(crate) fn kinds() -> Vec<Kind> {
    let mut kinds = answers();
    kinds.extend(requests());
    kinds.extend(words());
    kinds.extend(live::kinds());
    kinds
}

fn answers() -> Vec<Kind> {
    vec![
        kind::<rest::HostGroup>("HostGroup", group),
        kind::<rest::Host>("Host", host),
        kind::<rest::Vm>("Vm", vm),
        kind::<rest::Job>("Job", from::<jobs::Job, rest::Job>),
        kind::<rest::Plan>("Plan", from::<jobs::Plan, rest::Plan>),
        kind::<rest::Progress>("Progress", from::<jobs::Progress, rest::Progress>),
        kind::<rest::Ratings>("Ratings", from::<placement::RateResponse, rest::Ratings>),
        kind::<rest::Rules>("Rules", from::<placement::Rules, rest::Rules>),
        kind::<rest::Simulation>(
            "Simulation",
            from::<placement::SimulateResponse, rest::Simulation>,
        ),
        kind::<rest::Decision>("Decision", decision),
        kind::<rest::Problem>("Problem", problem),
        kind::<rest::JoinToken>(
            "JoinToken",
            from::<inventory::JoinTokenSecret, rest::JoinToken>,
        ),
        kind::<rest::Event>("Event", || {
            serde_json::to_value(rest::Event::new(42, message::<common::Event>())).unwrap()
        }),
        kind::<rest::Page<rest::Disk>>("Page", || {
            let item = from::<host::Disk, rest::Disk>();
            json!({"items": [item], "next_cursor": "after", "total": 7})
        }),
        kind::<rest::Status>("Status", status),
    ]
}

/// With what the gateway adds from other records.
fn host() -> Value {
    let mut host = from::<inventory::Host, rest::Host>();
    host["group_path"] = json!("All Hosts/Prod");
    host["effective_reserves"] = reserves();
    host
}

fn group() -> Value {
    let mut group = from::<inventory::HostGroup, rest::HostGroup>();
    let encryption = json!({"value": "tls", "from": "the default"});
    let on = json!({"value": true, "from": "host group Prod"});
    let tips = json!({"value": "critical", "from": "the default"});
    group["effective"] = json!({
        "reserves": reserves(), "encryption": encryption, "tips": on, "tips_from": tips, "tips_automatic": tips,
    });
    group
}

fn reserves() -> Value {
    from::<placement::EffectiveReserves, rest::EffectiveReserves>()
}

fn decision() -> Value {
    serde_json::to_value(rest::Decision::new(message::<placement::Decision>(), true)).unwrap()
}

fn vm() -> Value {
    let mut vm = from::<inventory::Vm, rest::Vm>();
    vm["host_name"] = json!("host-1");
    vm
}

fn problem() -> Value {
    let problem = rest::Problem {
        instance: Some("/api/v1/vms".to_owned()),
        request_id: Some("r-1".to_owned()),
        ..rest::Problem::from(message::<contracts::Status>())
    };
    serde_json::to_value(problem).unwrap()
}

fn status() -> Value {
    let counts = json!({"total": 3, "by_state": {"running": 2, "stopped": 1}});
    json!({
        "versions": {"gateway": "0.1.0", "agents": {"0.1.0": 2}},
        "instance": "gateway-1", "host_groups": 4,
        "hosts": counts, "vms": counts, "jobs": counts,
        "revision": {"host": 12, "vm": 7},
    })
}

fn requests() -> Vec<Kind> {
    vec![
        kind::<rest::ChangeOptions>(
            "ChangeOptions",
            || json!({"dry_run": true, "if_busy": "refuse"}),
        ),
        kind::<rest::DeleteOptions>(
            "DeleteOptions",
            || json!({"dry_run": true, "if_busy": "refuse", "force": true}),
        ),
        kind::<rest::CreateVm>("CreateVm", || {
            json!({
                "name": "web-01", "vcpus": 2, "memory_bytes": 1_073_741_824u64,
                "disks": [{"image": "ds1/debian.qcow2", "source": "copy", "size_bytes": 21_474_836_480u64}],
                "network_cards": [{"network": "user", "mac": "52:54:00:00:00:01"}],
                "firmware": "uefi", "boot_order": ["network", "disk"],
                "owner": "alice", "description": "the first", "tags": {"env": "prod"}, "group": "Prod",
                "host": "host-1", "datastore": "ds1", "start": true, "wait_for_guest": true,
                "placing": placing(),
            })
        }),
        kind::<rest::UpdateVm>(
            "UpdateVm",
            || json!({"owner": "bob", "description": "d", "tags": {"env": "test", "old": null}}),
        ),
        kind::<rest::CreateGroup>(
            "CreateGroup",
            || json!({"name": "Prod", "parent": "all-hosts", "description": "d"}),
        ),
        kind::<rest::UpdateGroup>("UpdateGroup", || {
            json!({
                "name": "Prod", "parent": "all-hosts", "description": "d", "encryption": "plain",
                "reserves": set_reserves(),
                "settings": {"tips": true, "tips_from": "critical", "tips_automatic": "none"},
                "inherit": ["memory_bytes"],
            })
        }),
        kind::<rest::CopyImage>("CopyImage", || {
            json!({
                "source_host": "host-1", "source_image": "ds1/debian.qcow2", "host": "host-2", "datastore": "ds2",
                "file": "debian-13.qcow2", "like": ["ds2/debian-12.qcow2"], "bytes_per_sec": 1_048_576,
            })
        }),
        kind::<rest::SetThrottle>("SetThrottle", || json!({"bytes_per_sec": 1_048_576})),
        kind::<rest::SetHost>("SetHost", || {
            json!({
                "reserves": set_reserves(), "inherit": ["cpu_percent"], "maintenance": true, "add_tags": ["ssd"],
                "remove_tags": ["old"], "datastore_tags": {"ds1": ["fast"]}, "rack": "r1", "room": "m1", "cluster": "c1",
                "disk_io_per_sec_max": 5_000, "network_mbit_max": 10_000,
            })
        }),
        kind::<rest::AddRule>("AddRule", || {
            json!({
                "name": "webs apart", "bond": "apart", "strength": "should", "level": "rack", "vms": ["web-01"],
                "vm_tag": "app=web", "hosts": ["host-1"], "host_tag": "ssd",
            })
        }),
        kind::<rest::Simulate>("Simulate", || {
            json!({
                "lose_hosts": ["host-1"], "lose_groups": ["Prod"], "reserves": set_reserves(), "goal": "maximise",
                "weights": weights(), "group": "Prod",
                "add": [{"count": 3, "vcpus": 2, "memory_bytes": 7, "disk_bytes": 8, "expected_cpu_percent": 5.0}],
            })
        }),
        kind::<rest::AddHost>("AddHost", || json!({"group": "Prod"})),
        kind::<rest::MoveHost>("MoveHost", || json!({"group": "Prod"})),
        kind::<rest::CreateJoinToken>(
            "CreateJoinToken",
            || json!({"group": "Prod", "lifetime_secs": 600}),
        ),
        kind::<rest::RateRequest>("RateRequest", || {
            json!({
                "vcpus": 2, "memory_bytes": 1_073_741_824u64, "disk_bytes": 7, "images": ["debian.qcow2"],
                "expected_cpu_percent": 12.5, "group": "Prod", "host": "host-1", "placing": placing(), "limit": 7, "vm": "web-01",
            })
        }),
    ]
}

fn set_reserves() -> Value {
    json!({
        "cpu_percent": 10.0, "memory_bytes": 7, "disk_bytes": 8, "disk_io_per_sec": 9.0, "network_percent": 11.0,
    })
}

fn weights() -> Value {
    json!({"cpu": 1.0, "memory": 2.0, "disk_io": 3.0, "network": 4.0})
}

fn placing() -> Value {
    json!({
        "goal": "balance", "weights": weights(), "expected_disk_io_per_sec": 5.0, "expected_network_mbit": 6.0,
        "expected_stay_secs": 7,
        "networks": ["user"], "highly_available": true, "platform": "x86_64", "accelerator": "kvm",
        "cpu_features": ["avx2"], "host_tags": ["ssd"], "datastore_tags": ["fast"], "possible_hosts": ["host-1"],
        "preferred_hosts": ["host-1"], "vm_tags": {"app": "web"},
    })
}

/// Every word of an enumeration, as programs know it.
fn words() -> Vec<Kind> {
    vec![
        kind::<Vec<rest::Approval>>("words.Approval", || json!(rest::Approval::ALL)),
        kind::<Vec<rest::Bond>>("words.Bond", || json!(rest::Bond::ALL)),
        kind::<Vec<rest::Goal>>("words.Goal", || json!(rest::Goal::ALL)),
        kind::<Vec<rest::Level>>("words.Level", || json!(rest::Level::ALL)),
        kind::<Vec<rest::Strength>>("words.Strength", || json!(rest::Strength::ALL)),
        kind::<Vec<rest::Tips>>("words.Tips", || json!(rest::Tips::ALL)),
        kind::<Vec<rest::DiskSource>>("words.DiskSource", || json!(rest::DiskSource::ALL)),
        kind::<Vec<rest::Encryption>>("words.Encryption", || json!(rest::Encryption::ALL)),
        kind::<Vec<rest::HostStatus>>("words.HostStatus", || json!(rest::HostStatus::ALL)),
        kind::<Vec<rest::IfBusy>>("words.IfBusy", || json!(rest::IfBusy::ALL)),
        kind::<Vec<rest::JobState>>("words.JobState", || json!(rest::JobState::ALL)),
        kind::<Vec<rest::StepState>>("words.StepState", || json!(rest::StepState::ALL)),
        kind::<Vec<rest::VmOrigin>>("words.VmOrigin", || json!(rest::VmOrigin::ALL)),
        kind::<Vec<rest::VmState>>("words.VmState", || json!(rest::VmState::ALL)),
    ]
}

/// What JSON had and has no longer. More names are no loss.
pub(crate) fn lost(path: &str, before: &Value, now: &Value, into: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (name, value) in before {
                let path = format!("{path}.{name}");
                match now.get(name) {
                    Some(now) => lost(&path, value, now, into),
                    None => into.push(path),
                }
            }
        }
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => {
            for (index, (before, now)) in before.iter().zip(now).enumerate() {
                lost(&format!("{path}[{index}]"), before, now, into);
            }
        }
        _ if before == now => {}
        _ => into.push(format!("{path}: {before} became {now}")),
    }
}

#[test]
fn a_sample_sets_every_field() {
    for (name, value) in samples() {
        let unset: Vec<String> = unset(name, &value);
        let known = ["UpdateVm.tags.old"];
        assert!(
            unset.iter().all(|path| known.contains(&path.as_str())),
            "{unset:?}"
        );
    }
}

fn unset(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Null => vec![path.to_owned()],
        Value::String(text) if text.is_empty() => vec![path.to_owned()],
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| unset(&format!("{path}.{name}"), value))
            .collect(),
        Value::Array(items) if items.is_empty() => vec![path.to_owned()],
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| unset(&format!("{path}[{index}]"), item))
            .collect(),
        _ => Vec::new(),
    }
}
