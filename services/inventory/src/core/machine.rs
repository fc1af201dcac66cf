//! The record of a machine: what a job may make of it.

use std::collections::BTreeMap;

use contracts::host::{Hardware, VmReport, VmState};
use contracts::inventory::{CreateVmRecord, UpdateVmRecord, Vm, VmName, vm::Origin};
use contracts::{Code, ObjectRef, Status, limits, names};

use super::lock::{Held, check_holder};

/// A name is free again this long after it was taken for a machine whose record was never made. Longer than any call
/// lives, so that nobody is still about to make it.
pub const NAME_ORPHAN_MS: i64 = 5 * 60 * 1000;

/// The key that holds a name: DNS does not tell cases apart.
pub fn name_key(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether a taken name may be given to another machine.
pub fn is_orphan(name: &VmName, machine_exists: bool, now_ms: i64) -> bool {
    !machine_exists && now_ms.saturating_sub(name.taken_ms) > NAME_ORPHAN_MS
}

/// Refuses a machine that cannot be.
pub fn check_new(request: &CreateVmRecord) -> Result<(), Status> {
    names::check_id("vm_id", &request.vm_id)?;
    names::check_id("job_id", &request.job_id)?;
    names::check_vm_name(&request.name)?;
    check_words(Some(&request.owner), Some(&request.description))?;
    check_tags(&request.tags)?;
    check_hardware(request.hardware.as_ref().unwrap_or(&Hardware::default()))
}

fn check_hardware(hardware: &Hardware) -> Result<(), Status> {
    let wrong = |field: &str, message: String, action: String| {
        Err(Status::invalid(format!("hardware.{field}"), message).action(action))
    };
    let vcpus = hardware.vcpus;
    if !(1..=limits::VCPUS_MAX).contains(&vcpus) {
        let action = format!("Use 1 to {}.", limits::VCPUS_MAX);
        return wrong(
            "vcpus",
            format!("A machine cannot have {vcpus} virtual processors."),
            action,
        );
    }
    let memory = hardware.memory_bytes;
    if !(limits::VM_MEMORY_BYTES_MIN..=limits::VM_MEMORY_BYTES_MAX).contains(&memory) {
        let action = "Use 16 MiB to 16 TiB.".to_owned();
        return wrong(
            "memory_bytes",
            format!("A machine cannot have {memory} bytes of memory."),
            action,
        );
    }
    for (field, count, most) in [
        ("disks", hardware.disks.len(), limits::DISKS_MAX),
        (
            "network_cards",
            hardware.network_cards.len(),
            limits::NETWORK_CARDS_MAX,
        ),
    ] {
        if count > most {
            let message = format!("A machine cannot have {count} {}.", field.replace('_', " "));
            return wrong(field, message, format!("Use at most {most}."));
        }
    }
    let large = hardware
        .disks
        .iter()
        .find(|d| d.size_bytes > limits::DISK_BYTES_MAX);
    large.map_or(Ok(()), |disk| {
        let message = format!(
            "Disk {} cannot have {} bytes.",
            names::shorten(&disk.id),
            disk.size_bytes
        );
        wrong("disks", message, "Use at most 64 TiB.".to_owned())
    })
}

fn check_words(owner: Option<&String>, description: Option<&String>) -> Result<(), Status> {
    let texts = [
        ("owner", owner, limits::TITLE_CHARS_MAX),
        ("description", description, limits::DESCRIPTION_CHARS_MAX),
    ];
    for (field, text, most) in texts {
        if text.is_some_and(|text| text.chars().count() > most) {
            return Err(Status::invalid(field, format!("The {field} is too long."))
                .action(format!("Use at most {most} characters.")));
        }
    }
    Ok(())
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Status> {
    let long = |text: &String| text.chars().count() > limits::TAG_CHARS_MAX;
    let (most, chars) = (limits::TAGS_MAX, limits::TAG_CHARS_MAX);
    if tags.len() > most {
        return Err(
            Status::invalid("tags", format!("{} tags are too many.", tags.len()))
                .action(format!("Use at most {most}.")),
        );
    }
    if tags
        .iter()
        .any(|(key, value)| key.is_empty() || long(key) || long(value))
    {
        return Err(
            Status::invalid("tags", "A tag has an empty name or is too long.").action(format!(
                "Use 1 to {chars} characters for the name and at most {chars} for the value."
            )),
        );
    }
    Ok(())
}

/// A machine that a job is about to make.
pub fn new(request: CreateVmRecord, now_ms: i64) -> Vm {
    Vm {
        id: request.vm_id,
        name: request.name,
        state: VmState::Creating.into(),
        owner: request.owner,
        description: request.description,
        tags: request.tags,
        hardware: request.hardware,
        created_ms: now_ms,
        state_changed_ms: now_ms,
        job_id: request.job_id,
        origin: Origin::Created.into(),
        ..Vm::default()
    }
}

/// The machine with a job's changes. `group_id` is that of the host in the request.
pub fn updated(
    current: &Vm,
    request: &UpdateVmRecord,
    group_id: &str,
    now_ms: i64,
) -> Result<Vm, Status> {
    check_holder(current, &request.job_id)?;
    let mut vm = current.clone();
    if let Some(host_id) = &request.host_id {
        if *host_id != current.host_id {
            vm.report_sequence = 0;
        }
        vm.host_id.clone_from(host_id);
        group_id.clone_into(&mut vm.group_id);
    }
    if let Some(owner) = &request.owner {
        vm.owner.clone_from(owner);
    }
    if let Some(description) = &request.description {
        vm.description.clone_from(description);
    }
    vm.tags.retain(|key, _| !request.remove_tags.contains(key));
    vm.tags.extend(request.set_tags.clone());
    check_words(request.owner.as_ref(), request.description.as_ref())?;
    check_tags(&vm.tags)?;
    if let Some(state) = request.state {
        set_state(&mut vm, read_state(state)?, "", now_ms);
    }
    Ok(vm)
}

fn read_state(state: i32) -> Result<VmState, Status> {
    VmState::try_from(state)
        .ok()
        .filter(|state| !matches!(state, VmState::Unspecified | VmState::HostNotResponding))
        .ok_or_else(|| {
            Status::invalid("state", format!("{state} is not a state of a machine."))
                .action("Update the caller or inventory so that both are of one release.")
        })
}

/// The machine as its host answered a job. The job says what the host was asked for, so its word counts in every state.
pub fn answered(
    current: &Vm,
    host_id: &str,
    job_id: &str,
    report: &VmReport,
    now_ms: i64,
) -> Result<Vm, Status> {
    check_holder(current, job_id)?;
    if report.sequence != 0 && report.sequence < current.report_sequence {
        // The host has told of the machine since: what it said then is not so any more.
        return Ok(current.clone());
    }
    if current.host_id != host_id {
        let object = current.object();
        let message = format!("{} is not on host {host_id}.", object.describe());
        return Err(Status::precondition(message)
            .about(object)
            .action("Look where the machine is now, then try again."));
    }
    let mut vm = current.clone();
    observe(&mut vm, report);
    set_state(&mut vm, report.state(), &report.state_reason, now_ms);
    note_sequence(&mut vm, report);
    Ok(vm)
}

/// Takes over everything that the host knows best, but the state.
pub fn observe(vm: &mut Vm, report: &VmReport) {
    if report.hardware.is_some() {
        vm.hardware.clone_from(&report.hardware);
    }
    vm.guest.clone_from(&report.guest);
    vm.accelerator.clone_from(&report.accelerator);
    vm.pid = report.pid;
    vm.started_ms = report.started_ms;
    vm.datastore.clone_from(&report.datastore);
}

/// How far the host of the machine has told.
pub fn note_sequence(vm: &mut Vm, report: &VmReport) {
    vm.report_sequence = vm.report_sequence.max(report.sequence);
}

pub fn set_state(vm: &mut Vm, state: VmState, reason: &str, now_ms: i64) {
    if vm.state() != state {
        vm.state = state.into();
        vm.state_changed_ms = now_ms;
    }
    reason.clone_into(&mut vm.state_reason);
}

/// Another machine has the name.
pub fn name_taken(name: &str, holder_id: &str) -> Status {
    let holder = ObjectRef::new("vm", holder_id, name);
    Status::new(
        Code::AlreadyExists,
        format!("The name {name} is taken by another virtual machine ({holder_id})."),
    )
    .about(holder)
    .action("Choose another name, or delete or rename that machine first.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request() -> CreateVmRecord {
        CreateVmRecord {
            vm_id: "v1".to_owned(),
            name: "web-01".to_owned(),
            job_id: "j1".to_owned(),
            hardware: Some(Hardware {
                vcpus: 1,
                memory_bytes: 64 << 20,
                ..Hardware::default()
            }),
            ..CreateVmRecord::default()
        }
    }

    #[test]
    fn impossible_machines_are_refused_by_field() {
        assert!(check_new(&request()).is_ok());
        let wrong = |change: fn(&mut CreateVmRecord)| {
            let mut request = request();
            change(&mut request);
            check_new(&request).unwrap_err().field
        };
        assert_eq!(wrong(|r| r.name = "a/b".to_owned()), "name");
        assert_eq!(wrong(|r| r.hardware = None), "hardware.vcpus");
        assert_eq!(
            wrong(|r| r.hardware.as_mut().unwrap().memory_bytes = 1),
            "hardware.memory_bytes"
        );
        assert_eq!(
            wrong(|r| r.hardware.as_mut().unwrap().disks = vec![Default::default(); 17]),
            "hardware.disks"
        );
        assert_eq!(
            wrong(|r| _ = r.tags.insert(String::new(), String::new())),
            "tags"
        );
    }

    #[test]
    fn a_job_changes_what_it_names_and_leaves_the_rest() {
        let mut vm = new(request(), 1);
        vm.tags.insert("a".to_owned(), "1".to_owned());
        let change = UpdateVmRecord {
            job_id: "j1".to_owned(),
            host_id: Some("h1".to_owned()),
            set_tags: BTreeMap::from([("b".to_owned(), "2".to_owned())]),
            remove_tags: vec!["a".to_owned()],
            state: Some(VmState::Deleting.into()),
            ..UpdateVmRecord::default()
        };
        let after = updated(&vm, &change, "g1", 2).unwrap();
        assert_eq!(
            (after.host_id.as_str(), after.group_id.as_str()),
            ("h1", "g1")
        );
        assert_eq!(after.tags.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(
            (after.state(), after.state_changed_ms),
            (VmState::Deleting, 2)
        );
        assert_eq!(after.name, "web-01");
    }

    #[test]
    fn what_a_host_answered_is_taken_only_for_its_own_machine() {
        let vm = Vm {
            host_id: "h1".to_owned(),
            ..new(request(), 1)
        };
        let report = VmReport {
            state: VmState::Stopped.into(),
            ..VmReport::default()
        };
        let after = answered(&vm, "h1", "j1", &report, 2).unwrap();
        assert_eq!(after.state(), VmState::Stopped);
        assert!(answered(&vm, "h2", "j1", &report, 2).is_err());
        assert!(answered(&vm, "h1", "j2", &report, 2).is_err());
    }

    #[test]
    fn an_answer_that_is_older_than_what_the_host_has_told_since_changes_nothing() {
        let stopped = Vm {
            host_id: "h1".to_owned(),
            state: VmState::Stopped.into(),
            report_sequence: 7,
            ..new(request(), 1)
        };
        let running = |sequence| VmReport {
            state: VmState::Running.into(),
            sequence,
            ..VmReport::default()
        };
        let after = |sequence| answered(&stopped, "h1", "j1", &running(sequence), 2).unwrap();
        assert_eq!(after(6), stopped);
        // 0: an agent that does not number its reports.
        for sequence in [7, 8, 0] {
            assert_eq!(after(sequence).state(), VmState::Running, "{sequence}");
        }
        // On another host it is told in other numbers.
        let moved = UpdateVmRecord {
            job_id: "j1".to_owned(),
            host_id: Some("h2".to_owned()),
            ..UpdateVmRecord::default()
        };
        let moved = updated(&stopped, &moved, "g1", 2).unwrap();
        assert!(answered(&moved, "h2", "j1", &running(1), 2).is_ok_and(|vm| vm != moved));
    }

    #[test]
    fn a_name_without_a_machine_is_free_after_five_minutes() {
        let name = VmName {
            vm_id: "v1".to_owned(),
            taken_ms: 0,
        };
        assert!(!is_orphan(&name, false, NAME_ORPHAN_MS));
        assert!(is_orphan(&name, false, NAME_ORPHAN_MS + 1));
        assert!(!is_orphan(&name, true, NAME_ORPHAN_MS + 1));
    }
}
