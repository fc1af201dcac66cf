//! What programs send each other over the bus.

use contracts::call::{format_revisions, parse_revisions};
use contracts::common::Event;
use contracts::host::{CreateVmRequest, HostFacts, HostPicture, VmReport};
use contracts::inventory::{
    Heartbeat, Host, HostGroup, JoinToken, RegisterRequest, ReportRequest, Vm, VmName,
};
use contracts::jobs::{Job, SubmitRequest};
use contracts::placement::{HostClaims, PlaceRequest, RateRequest, Rule};
use contracts::records::Record;
use contracts::{Status, diff, limits, subjects};
use prost::Message;

use super::{is_clear, promise};

/// A record of any kind: its indexes, its event and its changes are found, whatever it holds.
fn record<R: Record>(input: &[u8]) -> Result<(), String> {
    let Ok(record) = R::decode(input) else {
        return Ok(());
    };
    let known = R::default();
    for (before, after) in [
        (None, Some(&record)),
        (Some(&known), Some(&record)),
        (Some(&record), None),
    ] {
        if let Some(name) = R::event(before, after) {
            let subject = subjects::event(&name.group_id, R::BUCKET, "id", name.verb);
            promise(!subject.is_empty(), "an event without a subject")?;
        }
        diff::changes(before, after);
    }
    promise(
        diff::changes(Some(&record), Some(&record)).is_empty(),
        "a record differs from itself",
    )?;
    record.indexes();
    message::<R>(input)
}

/// What was understood is said again in the same words.
fn message<M: Message + Default + PartialEq>(input: &[u8]) -> Result<(), String> {
    let Ok(message) = M::decode(input) else {
        return Ok(());
    };
    let bytes = message.encode_to_vec();
    let again = M::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    promise(
        again.encode_to_vec() == bytes,
        "a message changes by being passed on",
    )
}

pub(super) fn messages(input: &[u8]) -> Result<(), String> {
    record::<Vm>(input)?;
    record::<Host>(input)?;
    record::<HostGroup>(input)?;
    record::<Job>(input)?;
    record::<HostClaims>(input)?;
    record::<VmName>(input)?;
    record::<JoinToken>(input)?;
    record::<Rule>(input)?;
    message::<Event>(input)?;
    message::<Status>(input)?;
    message::<Heartbeat>(input)?;
    message::<HostPicture>(input)?;
    message::<SubmitRequest>(input)?;
    message::<PlaceRequest>(input)
}

/// What inventory takes from an agent.
pub(super) fn reports(input: &[u8]) -> Result<(), String> {
    use inventory::core::{facts, registration, report};
    if let Ok(request) = ReportRequest::decode(input) {
        clear(report::check_request(&request))?;
        clear(report::judge(&Host::default(), &request))?;
        for vm in &request.vms {
            machine(vm)?;
        }
    }
    if let Ok(vm) = VmReport::decode(input) {
        machine(&vm)?;
    }
    if let Ok(request) = RegisterRequest::decode(input) {
        clear(registration::check(&request))?;
    }
    if let Ok(host) = HostFacts::decode(input)
        && clear(facts::check(&host))?.is_some()
    {
        let percent = host.cpu_used_percent;
        promise((0.0..=100.0).contains(&percent), "impossible CPU use")?;
    }
    Ok(())
}

fn machine(vm: &VmReport) -> Result<(), String> {
    use inventory::core::report;
    if clear(report::check_machine(vm))?.is_some() {
        let hardware = vm.hardware.clone().unwrap_or_default();
        promise(
            hardware.memory_bytes <= limits::VM_MEMORY_BYTES_MAX && vm.started_ms >= 0,
            "an impossible machine",
        )?;
    }
    Ok(())
}

/// What jobs, placement and hosts are asked.
pub(super) fn requests(input: &[u8]) -> Result<(), String> {
    if let Ok(request) = CreateVmRequest::decode(input) {
        if let Some(hardware) = clear(agent::hypervisor::qemu::foreign::machine(&request))? {
            promise(
                hardware.disks.len() <= limits::DISKS_MAX,
                "too many disks for a machine",
            )?;
        }
        let mut hardware = request.hardware.unwrap_or_default();
        if clear(jobs::foreign::complete(&mut hardware))?.is_some() {
            let once = hardware.clone();
            clear(jobs::foreign::complete(&mut hardware))?
                .ok_or("what was completed is refused")?;
            promise(once == hardware, "completing twice changes more")?;
        }
    }
    if let Ok(request) = RateRequest::decode(input) {
        clear(placement::core::requirements::check(
            request.requirements.as_ref(),
        ))?;
    }
    Ok(())
}

/// The value, or nothing if it was refused in clear words.
fn clear<T>(outcome: Result<T, Status>) -> Result<Option<T>, String> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(status) => is_clear(&status).map(|()| None),
    }
}

/// Values of headers, and subjects.
pub(super) fn headers(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    let revisions = parse_revisions(&text);
    let again = parse_revisions(&format_revisions(&revisions));
    promise(again == revisions, "revisions change by being passed on")?;
    if let Some(id) = subjects::record_id(Vm::BUCKET, &text) {
        promise(
            subjects::record(Vm::BUCKET, id) == text,
            "an id of another subject",
        )?;
    }
    Ok(())
}

pub(super) mod samples {
    use std::collections::BTreeMap;

    use contracts::ObjectRef;
    use contracts::host::{BootDevice, Disk, Firmware, GuestFacts, Hardware, NetworkCard, VmState};
    use contracts::placement::Requirements;

    use super::*;

    fn hardware() -> Hardware {
        Hardware {
            vcpus: 2,
            memory_bytes: 128 << 20,
            disks: vec![Disk {
                id: "disk0".to_owned(),
                image: "guest.qcow2".to_owned(),
                size_bytes: 64 << 20,
                ..Disk::default()
            }],
            network_cards: vec![NetworkCard {
                id: "nic0".to_owned(),
                mac: "52:54:00:12:34:56".to_owned(),
                network: "user".to_owned(),
            }],
            firmware: Firmware::Uefi.into(),
            boot_order: vec![BootDevice::Network.into(), BootDevice::Disk.into()],
        }
    }

    fn vm() -> VmReport {
        VmReport {
            vm_id: "0198c1a2-7f5e-7b60-9d2b-0a8f2f3c4d5e".to_owned(),
            name: "web-01".to_owned(),
            state: VmState::Running.into(),
            hardware: Some(hardware()),
            accelerator: "tcg".to_owned(),
            pid: 4711,
            started_ms: 1_763_700_000_000,
            guest: Some(GuestFacts {
                agent_responding: true,
                hostname: "web-01".to_owned(),
                addresses: vec!["10.0.2.15".to_owned()],
                ..GuestFacts::default()
            }),
            ..VmReport::default()
        }
    }

    fn facts() -> HostFacts {
        HostFacts {
            hostname: "host-1".to_owned(),
            cpus: 8,
            memory_bytes: 64 << 30,
            cpu_used_percent: 12.5,
            ..HostFacts::default()
        }
    }

    pub(in super::super) fn messages() -> Vec<Vec<u8>> {
        let vm = Vm {
            id: "0198c1a2-7f5e-7b60-9d2b-0a8f2f3c4d5e".to_owned(),
            name: "web-01".to_owned(),
            group_id: "all-hosts".to_owned(),
            tags: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
            hardware: Some(hardware()),
            ..Vm::default()
        };
        let host = Host {
            id: "h1".to_owned(),
            name: "host-1".to_owned(),
            facts: Some(facts()),
            ..Host::default()
        };
        let job = Job {
            id: "j1".to_owned(),
            kind: "vm_create".to_owned(),
            target: Some(ObjectRef::new("vm", "1", "web-01")),
            seen: BTreeMap::from([("vm".to_owned(), 7)]),
            ..Job::default()
        };
        let event = Event {
            kind: "vm".to_owned(),
            after: vm.encode_to_vec().into(),
            ..Event::default()
        };
        vec![
            vm.encode_to_vec(),
            host.encode_to_vec(),
            job.encode_to_vec(),
            event.encode_to_vec(),
        ]
    }

    pub(in super::super) fn reports() -> Vec<Vec<u8>> {
        let report = ReportRequest {
            host_id: "h1".to_owned(),
            generation: 1,
            number: 2,
            facts: Some(facts()),
            vms: vec![vm()],
            ..ReportRequest::default()
        };
        let register = RegisterRequest {
            host_id: "h1".to_owned(),
            name: "host-1".to_owned(),
            generation: 1,
            facts: Some(facts()),
            ..RegisterRequest::default()
        };
        vec![
            report.encode_to_vec(),
            register.encode_to_vec(),
            vm().encode_to_vec(),
            facts().encode_to_vec(),
        ]
    }

    pub(in super::super) fn requests() -> Vec<Vec<u8>> {
        let create = CreateVmRequest {
            operation_id: "job/create".to_owned(),
            vm_id: "0198c1a2-7f5e-7b60-9d2b-0a8f2f3c4d5e".to_owned(),
            name: "web-01".to_owned(),
            hardware: Some(hardware()),
            ..CreateVmRequest::default()
        };
        let rate = RateRequest {
            requirements: Some(Requirements {
                vcpus: 2,
                memory_bytes: 128 << 20,
                disk_bytes: 1 << 30,
                images: vec!["guest.qcow2".to_owned()],
                expected_cpu_percent: Some(20.0),
                ..Requirements::default()
            }),
            ..RateRequest::default()
        };
        vec![create.encode_to_vec(), rate.encode_to_vec()]
    }

    pub(in super::super) fn headers() -> Vec<Vec<u8>> {
        vec![
            b"host=12,vm=7".to_vec(),
            b"vm=x,,host".to_vec(),
            subjects::record(Vm::BUCKET, "0198c1a2").into_bytes(),
        ]
    }
}
