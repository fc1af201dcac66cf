//! What makes a host impossible for a machine: every failed check, with the numbers and the smallest change that helps.

use contracts::host::{Datastore, HostFacts};
use contracts::inventory::host::{Approval, Status as HostStatus};
use contracts::placement::{Reason, Requirements};

use super::load::{Candidate, Load};

const MIB: u64 = 1 << 20;

/// Every check that fails.
pub fn failed(candidate: &Candidate, load: &Load, needs: &Requirements) -> Vec<Reason> {
    let facts = candidate.facts();
    let mut reasons = Vec::new();
    reasons.extend(standing(candidate));
    reasons.extend(cpu(&facts, needs));
    reasons.extend(memory(candidate, &facts, load, needs));
    reasons.extend(disk(candidate, &facts, load, needs));
    let images = needs.images.iter();
    reasons.extend(
        images
            .filter(|i| !has_image(&facts, i))
            .map(|i| missing(candidate, i)),
    );
    reasons
}

fn reason(check: &str, message: String, action: impl Into<String>) -> Reason {
    Reason {
        check: check.to_owned(),
        message,
        recommended_action: action.into(),
    }
}

/// Whether the host takes part at all.
fn standing(candidate: &Candidate) -> Vec<Reason> {
    let (host, name) = (&candidate.host, &candidate.host.name);
    let mut reasons = Vec::new();
    if host.approval() != Approval::Approved {
        let message = format!("Host {name} is not approved.");
        reasons.push(reason(
            "not_approved",
            message,
            format!("Approve host {name}."),
        ));
    }
    if host.status() != HostStatus::Responding {
        let message = format!("Host {name} is not responding.");
        let action = format!("Check that host {name} runs, reaches the bus, and runs its agent.");
        reasons.push(reason("not_responding", message, action));
    }
    if host.removing {
        let message = format!("Host {name} is being removed.");
        reasons.push(reason(
            "removing",
            message,
            "Choose another host, or cancel the job that removes it.",
        ));
    }
    reasons
}

fn cpu(facts: &HostFacts, needs: &Requirements) -> Option<Reason> {
    let (has, wants) = (facts.cpus, needs.vcpus);
    (wants > has).then(|| {
        let message =
            format!("The machine has {wants} virtual processors; the host has {has} processors.");
        reason(
            "cpu",
            message,
            format!("Give the machine at most {has} virtual processors."),
        )
    })
}

fn memory(
    candidate: &Candidate,
    facts: &HostFacts,
    load: &Load,
    needs: &Requirements,
) -> Option<Reason> {
    let wants = needs
        .memory_bytes
        .saturating_add(facts.memory_overhead_bytes);
    let reserve = candidate.reserved.memory_bytes;
    let taken = reserve.saturating_add(load.memory_bytes);
    let free = facts.memory_bytes.saturating_sub(taken);
    if wants <= free {
        return None;
    }
    let message = format!(
        "The machine needs {} MiB of memory; {} MiB are free: of {} MiB, {} MiB are used or promised and {} MiB are kept for the host.",
        up(wants),
        down(free),
        down(facts.memory_bytes),
        up(load.memory_bytes),
        up(reserve),
    );
    // What is taken may be more than there is.
    let shortage = up(wants
        .saturating_add(taken)
        .saturating_sub(facts.memory_bytes));
    let fits = down(free.saturating_sub(facts.memory_overhead_bytes));
    let action = if fits == 0 {
        format!("Free {shortage} MiB on the host.")
    } else {
        format!("Free {shortage} MiB on the host, or give the machine at most {fits} MiB.")
    };
    Some(reason("memory", message, action))
}

fn disk(
    candidate: &Candidate,
    facts: &HostFacts,
    load: &Load,
    needs: &Requirements,
) -> Option<Reason> {
    let usable = facts.datastores.iter().filter(|d| d.problem.is_empty());
    let taken = candidate
        .reserved
        .disk_bytes
        .saturating_add(load.disk_bytes);
    let Some(roomiest) = usable.max_by_key(|d| d.free_bytes) else {
        return Some(no_datastore(facts));
    };
    let free = roomiest.free_bytes.saturating_sub(taken);
    if needs.disk_bytes <= free && roomiest.free_bytes >= taken {
        return None;
    }
    let message = format!(
        "The machine's disks need {} MiB on one datastore; the roomiest, {}, has {} MiB free, of which {} MiB are kept or promised.",
        up(needs.disk_bytes),
        roomiest.name,
        down(roomiest.free_bytes),
        up(taken),
    );
    let wants = needs.disk_bytes.saturating_add(taken);
    let shortage = up(wants.saturating_sub(roomiest.free_bytes));
    let action = format!("Free {shortage} MiB on datastore {}.", roomiest.name);
    Some(reason("disk", message, action))
}

fn no_datastore(facts: &HostFacts) -> Reason {
    let problems: Vec<String> = facts
        .datastores
        .iter()
        .map(|d| format!("{}: {}", d.name, d.problem))
        .collect();
    if problems.is_empty() {
        let message = "The host has no datastore.".to_owned();
        return reason("datastore", message, "Set a datastore at the host's agent.");
    }
    let message = format!(
        "No datastore of the host can be used ({}).",
        problems.join("; ")
    );
    reason("datastore", message, "Mend one of the datastores.")
}

/// `<file>` on any datastore, or `<datastore>/<file>`.
fn has_image(facts: &HostFacts, image: &str) -> bool {
    let holds = |d: &Datastore, file: &str| d.images.iter().any(|i| i.name == file);
    let usable = facts.datastores.iter().filter(|d| d.problem.is_empty());
    usable.into_iter().any(|d| {
        let inside = image
            .strip_prefix(d.name.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        holds(d, image) || inside.is_some_and(|file| holds(d, file))
    })
}

fn missing(candidate: &Candidate, image: &str) -> Reason {
    let name = &candidate.host.name;
    let message = format!("Image {image} is not on host {name}.");
    let action =
        format!("Copy {image} to a datastore of host {name}, or use an image that is there.");
    reason("image", message, action)
}

/// Needs are rounded up and what is there down, so that a message never says that 512 do not fit into 512.
fn up(bytes: u64) -> u64 {
    bytes.div_ceil(MIB)
}

fn down(bytes: u64) -> u64 {
    bytes / MIB
}
