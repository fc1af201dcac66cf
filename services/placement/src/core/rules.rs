//! Whether a rule can be: in itself, and beside those that there are.

mod contradictions;

use contracts::placement::Rule;
use contracts::placement::rule::{Bond, Level, Strength};
use contracts::{ObjectRef, Status, limits, names};

use super::fleet::Fleet;

/// A rule as it is kept: what is left open is filled in.
pub fn complete(rule: &Rule) -> Rule {
    let mut rule = rule.clone();
    if rule.level() == Level::Unspecified {
        rule.set_level(Level::Host);
    }
    if rule.strength() == Strength::Unspecified {
        rule.set_strength(Strength::Must);
    }
    for ids in [&mut rule.vm_ids, &mut rule.host_ids] {
        ids.sort();
        ids.dedup();
    }
    rule
}

/// Refuses a rule that cannot be kept beside those that there are, naming them.
pub fn check(rule: &Rule, fleet: &Fleet) -> Result<(), Status> {
    names::check_title("name", &rule.name)?;
    check_members(rule)?;
    let others = fleet.rules().filter(|other| other.id != rule.id);
    let same = |other: &&Rule| other.name.to_lowercase() == rule.name.to_lowercase();
    if let Some(other) = others.clone().find(same) {
        let object = ObjectRef::new("placement_rule", &other.id, &other.name);
        let message = format!("There is a rule {} already.", other.name);
        return Err(Status::already_exists(object, message).action("Choose another name."));
    }
    if others.clone().count() >= limits::RULES_MAX {
        let message = format!(
            "There are {} rules, which is all that there may be.",
            limits::RULES_MAX
        );
        return Err(Status::precondition(message).action("Remove one, or name machines by a tag."));
    }
    contradictions::check(rule, others, fleet)
}

fn check_members(rule: &Rule) -> Result<(), Status> {
    let wrong = |field: &str, message: &str, action: &str| {
        Err(Status::invalid(field, format!("Rule {}: {message}", rule.name)).action(action))
    };
    for (field, ids) in [("vm_ids", &rule.vm_ids), ("host_ids", &rule.host_ids)] {
        if ids.len() > limits::RULE_MEMBERS_MAX {
            return wrong(field, "it names too many by id.", "Name them by a tag.");
        }
        for id in ids {
            names::check_id(field, id)?;
        }
    }
    let is_by_tag = !rule.vm_tag.is_empty();
    if !is_by_tag && rule.vm_ids.is_empty() {
        return wrong(
            "vm_ids",
            "it names no machine.",
            "Name machines by id, or by a tag.",
        );
    }
    let names_hosts = !rule.host_ids.is_empty() || !rule.host_tag.is_empty();
    match rule.bond() {
        Bond::Unspecified => wrong(
            "bond",
            "it asks for nothing.",
            "Use together, apart, on or not_on.",
        ),
        Bond::Together | Bond::Apart if names_hosts => wrong(
            "host_ids",
            "it is between machines and names hosts.",
            "Leave the hosts out, or use on or not_on.",
        ),
        Bond::Together | Bond::Apart if !is_by_tag && rule.vm_ids.len() < 2 => wrong(
            "vm_ids",
            "it is between machines and names one.",
            "Name two at least, or name them by a tag.",
        ),
        Bond::On | Bond::NotOn if !names_hosts => wrong(
            "host_ids",
            "it names no host.",
            "Name hosts by id, or by a tag.",
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
