//! What makes a host impossible for a machine: every failed check, with the numbers and the smallest change that helps.

mod must;

pub(super) use must::broken;

use contracts::placement::{DatastoreState, HostState, Reason, Requirements, RuleStanding};

use super::model::{self, Resource};
use super::query::Query;
use super::state;
use super::units::{MIB, down, mib_up, up};

/// Every check that fails. `rules` are those that name the machine, as they stand on this host.
pub fn failed(state: &HostState, rules: &[RuleStanding], query: &Query) -> Vec<Reason> {
    let needs = &query.needs;
    let mut reasons = standing(state);
    reasons.extend(cpu(state, needs));
    reasons.extend(memory(state, query));
    reasons.extend(disk(state, needs));
    let images = needs.images.iter();
    let absent = images.filter(|image| !has_image(state, image));
    reasons.extend(absent.map(|image| missing_image(state, image)));
    reasons.extend(must::failed(state, rules, needs));
    reasons
}

pub(super) fn reason(check: &str, message: String, action: impl Into<String>) -> Reason {
    Reason {
        check: check.to_owned(),
        message,
        recommended_action: action.into(),
        half_stars_lost: 0,
    }
}

/// Whether the host takes part at all.
fn standing(state: &HostState) -> Vec<Reason> {
    let name = &state.host_name;
    let mut reasons = Vec::new();
    if !state.approved {
        let message = format!("Host {name} is not approved.");
        let action = format!("Approve it: muster host add {name}.");
        reasons.push(reason("not_approved", message, action));
    }
    if !state.responding {
        let message = format!("Host {name} is not responding.");
        let action = format!("Check that host {name} runs, reaches the bus, and runs its agent.");
        reasons.push(reason("not_responding", message, action));
    }
    if state.removing {
        let message = format!("Host {name} is being removed.");
        let action = "Choose another host, or cancel the job that removes it.";
        reasons.push(reason("removing", message, action));
    }
    if state.maintenance {
        let message = format!("Host {name} is in maintenance mode.");
        let action = format!("End it: muster host maintenance {name} off.");
        reasons.push(reason("maintenance", message, action));
    }
    if !state.other_virtualization.is_empty() {
        let other = &state.other_virtualization;
        let message = format!("Host {name} runs other virtualization software: {other}.");
        let action = format!("Remove {other} from the host: both would want its processors.");
        reasons.push(reason("other_virtualization", message, action));
    }
    reasons
}

fn cpu(state: &HostState, needs: &Requirements) -> Option<Reason> {
    let (has, wants) = (state.cpus, needs.vcpus);
    (wants > has).then(|| {
        let message =
            format!("The machine has {wants} virtual processors; the host has {has} processors.");
        let action = match has {
            0 => "Check the host's agent: it reports no processor.".to_owned(),
            has => format!("Give the machine at most {has} virtual processors."),
        };
        reason("cpu", message, action)
    })
}

/// In MiB, as rows are compared by.
fn memory(state: &HostState, query: &Query) -> Option<Reason> {
    let row = state::row(state);
    let amount = |amounts| u64::from(model::of(amounts, Resource::Memory));
    let (total, used, need) = (
        amount(&row.total),
        amount(&row.used),
        amount(&query.ask.need),
    );
    if used + need <= total {
        return None;
    }
    let overhead = state.memory_overhead_bytes;
    let reserves = state.reserves.clone().unwrap_or_default();
    let (reserve, from) = (reserves.memory_bytes, reserves.memory_from.as_str());
    let free = (total * MIB).saturating_sub(state.memory_used_bytes);
    let with_overhead = match overhead {
        0 => String::new(),
        bytes => format!(" ({} of it for the hypervisor)", up(bytes)),
    };
    let message = format!(
        "The machine needs {}{with_overhead} of memory; {} are free: of {}, {} are used or promised and {} are kept for the host by {from}.",
        up(query.needs.memory_bytes.saturating_add(overhead)),
        down(free),
        down(state.memory_bytes),
        up(state.memory_used_bytes),
        up(reserve),
    );
    let shortage = (used + need - total) * MIB;
    let mut ways = vec![format!("free {} on the host", up(shortage))];
    let fits = total.saturating_sub(used) * MIB;
    if fits > 0 {
        ways.push(format!("give the machine at most {}", down(fits)));
    }
    if shortage <= reserve {
        ways.push(format!("lower the reserve to {}", down(reserve - shortage)));
    }
    Some(reason("memory", message, sentence(&ways)))
}

/// "Free this, give that, or lower the reserve."
fn sentence(ways: &[String]) -> String {
    let text = match ways {
        [] => String::new(),
        [only] => only.clone(),
        [some @ .., last] => format!("{}, or {last}", some.join(", ")),
    };
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}

/// Datastores that may take the machine's disks, room aside.
fn suitable<'a>(
    state: &'a HostState,
    needs: &'a Requirements,
) -> impl Iterator<Item = &'a DatastoreState> {
    state.datastores.iter().filter(|d| {
        let is_named = needs.datastore.is_empty() || d.name == needs.datastore;
        let has_tags = needs.datastore_tags.iter().all(|tag| d.tags.contains(tag));
        d.problem.is_empty() && is_named && has_tags
    })
}

fn disk(state: &HostState, needs: &Requirements) -> Option<Reason> {
    let Some(roomiest) = suitable(state, needs).max_by_key(|d| d.free_bytes) else {
        return Some(no_datastore(state, needs));
    };
    // In MiB and one more, as rows are compared by.
    let (has, wants) = (
        state::disk_size(state, suitable(state, needs)),
        mib_up(needs.disk_bytes).saturating_add(1),
    );
    if wants <= has {
        return None;
    }
    let reserves = state.reserves.clone().unwrap_or_default();
    let message = format!(
        "The machine's disks need {} on one datastore; the roomiest, {}, has {} free, of which {} are promised and {} are kept by {}.",
        up(needs.disk_bytes),
        roomiest.name,
        down(roomiest.free_bytes),
        up(state.disk_promised_bytes),
        up(reserves.disk_bytes),
        reserves.disk_from,
    );
    let taken = state
        .disk_promised_bytes
        .saturating_add(reserves.disk_bytes);
    let full = u64::from(wants - 1)
        .saturating_mul(MIB)
        .saturating_add(taken);
    let shortage = full.saturating_sub(roomiest.free_bytes).max(MIB);
    let mut ways = vec![format!(
        "free {} on datastore {}",
        up(shortage),
        roomiest.name
    )];
    if shortage <= reserves.disk_bytes {
        let lower = reserves.disk_bytes - shortage;
        ways.push(format!("lower the disk reserve to {}", down(lower)));
    }
    Some(reason("disk", message, sentence(&ways)))
}

fn no_datastore(state: &HostState, needs: &Requirements) -> Reason {
    let name = &state.host_name;
    let usable: Vec<&str> = state
        .datastores
        .iter()
        .filter(|d| d.problem.is_empty())
        .map(|d| d.name.as_str())
        .collect();
    if state.datastores.is_empty() {
        let message = "The host has no datastore.".to_owned();
        return reason("datastore", message, "Set a datastore at the host's agent.");
    }
    if usable.is_empty() {
        let problems = state.datastores.iter();
        let problems: Vec<String> = problems
            .map(|d| format!("{}: {}", d.name, d.problem))
            .collect();
        let message = format!(
            "No datastore of the host can be used ({}).",
            problems.join("; ")
        );
        return reason("datastore", message, "Mend one of the datastores.");
    }
    if !needs.datastore.is_empty() && !usable.contains(&needs.datastore.as_str()) {
        let message = format!(
            "Host {name} has no datastore {} that can be used.",
            needs.datastore
        );
        let action = format!("Use one of {}.", usable.join(", "));
        return reason("datastore", message, action);
    }
    let wanted = needs.datastore_tags.join(", ");
    let message = format!("No datastore of the host that may be used has the tags {wanted}.");
    let action = format!("Tag one: muster host set {name} --datastore-tag <datastore>:{wanted}.");
    reason("datastore_tag", message, action)
}

/// `<file>` on any datastore, or `<datastore>/<file>`.
fn has_image(state: &HostState, image: &str) -> bool {
    let holds = |d: &DatastoreState, file: &str| d.images.iter().any(|i| i == file);
    let usable = state.datastores.iter().filter(|d| d.problem.is_empty());
    usable.into_iter().any(|d| {
        let inside = image
            .strip_prefix(d.name.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        holds(d, image) || inside.is_some_and(|file| holds(d, file))
    })
}

fn missing_image(state: &HostState, image: &str) -> Reason {
    let name = &state.host_name;
    let message = format!("Image {image} is not on host {name}.");
    let action =
        format!("Copy {image} to a datastore of host {name}, or use an image that is there.");
    reason("image", message, action)
}

/// Whether a list of tags has one: "key=value", or "key" with any value.
pub(super) fn tagged(tags: &[String], wanted: &str) -> bool {
    tags.iter().any(|tag| {
        let key = tag.split_once('=').map_or(tag.as_str(), |(key, _)| key);
        tag == wanted || key == wanted
    })
}
