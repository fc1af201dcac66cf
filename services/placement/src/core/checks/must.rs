//! Checks that are no matter of amounts: what a host must be, have, or be near to.

use contracts::placement::rule::{Bond, Level, Strength};
use contracts::placement::{HostState, Reason, Requirements, RuleStanding};
use contracts::stored::Q35;

use super::{reason, tagged};

pub(super) fn failed(
    state: &HostState,
    rules: &[RuleStanding],
    needs: &Requirements,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(networks(state, needs));
    reasons.extend(cluster(state, needs));
    reasons.extend(platform(state, needs));
    reasons.extend(accelerator(state, needs));
    reasons.extend(firmware(state, needs));
    reasons.extend(machine_type(state, needs));
    reasons.extend(cpu_features(state, needs));
    reasons.extend(tags(state, needs));
    reasons.extend(possible(state, needs));
    let broken = rules
        .iter()
        .filter(|rule| rule.strength() == Strength::Must);
    reasons.extend(broken.filter_map(|rule| rule_reason(state, rule)));
    reasons
}

fn networks(state: &HostState, needs: &Requirements) -> Vec<Reason> {
    let absent = needs
        .networks
        .iter()
        .filter(|n| !state.networks.contains(n));
    let tell = |network: &String| {
        let name = &state.host_name;
        let message = format!(
            "Host {name} has no network {network}, nor one that leads there; it has {}.",
            state.networks.join(", ")
        );
        let action = format!("Attach host {name} to {network}, or choose another network.");
        reason("network", message, action)
    };
    absent.map(tell).collect()
}

fn cluster(state: &HostState, needs: &Requirements) -> Option<Reason> {
    (needs.highly_available && state.cluster.is_empty()).then(|| {
        let name = &state.host_name;
        let message = format!(
            "The machine is to be highly available, and host {name} is in no cluster."
        );
        let action = format!(
            "Choose a host of a cluster; if {name} is in one: muster host set {name} --cluster <name>."
        );
        reason("cluster", message, action)
    })
}

fn platform(state: &HostState, needs: &Requirements) -> Option<Reason> {
    let (wants, has) = (&needs.platform, &state.platform);
    (!wants.is_empty() && wants != has).then(|| {
        let message = format!(
            "The machine is made for {wants}; the host is {}.",
            or_unknown(has)
        );
        reason(
            "platform",
            message,
            format!("Choose a host that is {wants}."),
        )
    })
}

fn accelerator(state: &HostState, needs: &Requirements) -> Option<Reason> {
    let (wants, has) = (&needs.accelerator, &state.accelerator);
    (!wants.is_empty() && wants != has).then(|| {
        let message = format!(
            "The machine needs {wants}; the host has {}.",
            or_unknown(has)
        );
        let action = format!("Choose a host with {wants}, or make it work on this one.");
        reason("accelerator", message, action)
    })
}

fn firmware(state: &HostState, needs: &Requirements) -> Option<Reason> {
    (needs.uefi && !state.uefi).then(|| {
        let name = &state.host_name;
        let message =
            format!("The machine has UEFI firmware, and host {name} has none for machines.");
        let action = format!(
            "Install it on {name} (Debian: package ovmf) and restart its agent, or choose another host."
        );
        reason("firmware", message, action)
    })
}

/// Types of other names, and hosts that do not say which they know, are left to the host, which refuses what it does not.
fn machine_type(state: &HostState, needs: &Requirements) -> Option<Reason> {
    let version = needs.machine_type.strip_prefix(Q35)?;
    let newest = state.q35_versions.first()?;
    (!state.q35_versions.iter().any(|known| known == version)).then(|| {
        let name = &state.host_name;
        let message = format!(
            "The machine is of QEMU's type {Q35}{version}, which host {name} does not know; it makes machines of {Q35}{newest}."
        );
        let action = format!(
            "Choose a host whose QEMU knows it, install such a QEMU on {name} and restart its agent, or change \
             machine_type in the machine's stored definition."
        );
        reason("machine_type", message, action)
    })
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "not known" } else { text }
}

fn cpu_features(state: &HostState, needs: &Requirements) -> Option<Reason> {
    let wanted = needs.cpu_features.iter();
    let absent: Vec<&str> = wanted
        .filter(|feature| !state.cpu_features.contains(feature))
        .map(String::as_str)
        .collect();
    (!absent.is_empty()).then(|| {
        let message = format!(
            "The processors of host {} lack {}.",
            state.host_name,
            absent.join(", ")
        );
        let action =
            "Choose a host with such processors, or give the machine a CPU model without them.";
        reason("cpu_features", message, action)
    })
}

fn tags(state: &HostState, needs: &Requirements) -> Vec<Reason> {
    let absent = needs.host_tags.iter().filter(|t| !tagged(&state.tags, t));
    let tell = |tag: &String| {
        let name = &state.host_name;
        let message = format!("Host {name} has no tag {tag}.");
        let action =
            format!("Choose a host with it, or tag this one: muster host set {name} --tag {tag}.");
        reason("host_tag", message, action)
    };
    absent.map(tell).collect()
}

fn possible(state: &HostState, needs: &Requirements) -> Option<Reason> {
    let possible = &needs.possible_host_ids;
    (!possible.is_empty() && !possible.contains(&state.host_id)).then(|| {
        let message = format!(
            "Host {} is none of the machine's possible hosts.",
            state.host_name
        );
        reason(
            "possible_host",
            message,
            "Choose one of them, or add this one to them.",
        )
    })
}

fn rule_reason(state: &HostState, rule: &RuleStanding) -> Option<Reason> {
    let message = broken(state, rule)?;
    let action = format!(
        "Choose another host, or change the rule: muster placement rule remove {:?}.",
        rule.rule
    );
    Some(reason("rule", message, action))
}

/// What a host breaks of a rule, in a sentence; `None`: it keeps it.
pub(in crate::core) fn broken(state: &HostState, rule: &RuleStanding) -> Option<String> {
    let (name, title) = (&state.host_name, &rule.rule);
    let domain = match rule.level() {
        Level::Unspecified | Level::Host => format!("host {name}"),
        Level::Rack => format!("the rack of host {name}"),
        Level::Room => format!("the room of host {name}"),
    };
    let example = &rule.example;
    let nobody_said = || format!("Rule {title}: nobody has said what {domain} is.");
    match rule.bond() {
        Bond::Unspecified => None,
        Bond::Apart if rule.no_domain => Some(nobody_said()),
        Bond::Apart => (rule.members_here > 0).then(|| {
            format!("Rule {title}: {example} is in {domain} already, and they must be apart.")
        }),
        Bond::Together if rule.members_elsewhere == 0 => None,
        Bond::Together if rule.no_domain => Some(nobody_said()),
        Bond::Together => (rule.members_here == 0).then(|| {
            format!("Rule {title}: {example} is not in {domain}, and they must be together.")
        }),
        Bond::On => {
            (!rule.host_named).then(|| format!("Rule {title}: {domain} is none of its hosts."))
        }
        Bond::NotOn => rule
            .host_named
            .then(|| format!("Rule {title}: {domain} is excluded.")),
    }
}
