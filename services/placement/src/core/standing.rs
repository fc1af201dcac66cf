//! Rules as they stand on each host for one machine.

use std::collections::{BTreeMap, HashMap};

use contracts::placement::rule::{Bond, Level};
use contracts::placement::{HostState, Rule, RuleStanding};

use super::checks::tagged;
use super::guest::has_tag;

/// A machine, as rules name it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub tags: &'a BTreeMap<String, String>,
}

impl Member<'_> {
    pub fn is_in(&self, rule: &Rule) -> bool {
        let by_tag = !rule.vm_tag.is_empty() && has_tag(self.tags, &rule.vm_tag);
        by_tag || rule.vm_ids.iter().any(|id| id == self.id)
    }
}

/// Where machines of a rule are.
#[derive(Clone, Debug)]
pub struct Placed<'a> {
    rule: &'a Rule,
    /// Machines by domain.
    domains: HashMap<&'a str, u32>,
    /// How many there are.
    all: u32,
    /// The name of one in each domain.
    examples: HashMap<&'a str, &'a str>,
    example: &'a str,
}

/// The rules that name a machine, with where the others of them are.
pub fn of<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    machine: Member<'_>,
    others: impl Fn() -> Vec<(Member<'a>, &'a HostState)>,
) -> Vec<Placed<'a>> {
    let named: Vec<&Rule> = rules.filter(|rule| machine.is_in(rule)).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let others = others();
    let placed = |rule| place(rule, machine.id, &others);
    named.into_iter().map(placed).collect()
}

fn place<'a>(rule: &'a Rule, id: &str, others: &[(Member<'a>, &'a HostState)]) -> Placed<'a> {
    let mut placed = Placed {
        rule,
        domains: HashMap::new(),
        all: 0,
        examples: HashMap::new(),
        example: "",
    };
    if !matches!(rule.bond(), Bond::Together | Bond::Apart) {
        return placed;
    }
    for (other, state) in others {
        if other.id == id || !other.is_in(rule) {
            continue;
        }
        let domain = domain(state, rule.level());
        *placed.domains.entry(domain).or_default() += 1;
        placed.all += 1;
        // The first by name, so that whoever looks tells the same.
        let example = placed.examples.entry(domain).or_insert(other.name);
        *example = (*example).min(other.name);
        if placed.example.is_empty() || other.name < placed.example {
            placed.example = other.name;
        }
    }
    placed
}

impl Placed<'_> {
    /// How the rule stands on a host.
    pub fn on(&self, state: &HostState) -> RuleStanding {
        let rule = self.rule;
        let domain = domain(state, rule.level());
        let here = self.domains.get(domain).copied().unwrap_or(0);
        // A domain that nobody has named is none: what is in it is not together.
        let here = if domain.is_empty() { 0 } else { here };
        let by_tag = !rule.host_tag.is_empty() && tagged(&state.tags, &rule.host_tag);
        let example = match rule.bond() {
            Bond::Apart => self.examples.get(domain).copied().unwrap_or_default(),
            _ => self.example,
        };
        RuleStanding {
            rule: rule.name.clone(),
            bond: rule.bond,
            strength: rule.strength,
            level: rule.level,
            members_here: here,
            members_elsewhere: self.all - here,
            host_named: by_tag || rule.host_ids.contains(&state.host_id),
            example: example.to_owned(),
            no_domain: domain.is_empty(),
        }
    }
}

/// The name of a host's domain; empty: nobody has said.
pub fn domain(state: &HostState, level: Level) -> &str {
    match level {
        Level::Unspecified | Level::Host => &state.host_id,
        Level::Rack => &state.rack,
        Level::Room => &state.room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::placement::rule::Strength;

    fn host(id: &str, rack: &str) -> HostState {
        HostState {
            host_id: id.to_owned(),
            rack: rack.to_owned(),
            ..HostState::default()
        }
    }

    #[test]
    fn machines_of_a_rule_are_counted_by_domain() {
        let tags = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let member = |id, name| Member {
            id,
            name,
            tags: &tags,
        };
        let rule = Rule {
            name: "webs".to_owned(),
            bond: Bond::Apart.into(),
            strength: Strength::Must.into(),
            level: Level::Rack.into(),
            vm_tag: "app=web".to_owned(),
            ..Rule::default()
        };
        let hosts = [
            host("h1", "r1"),
            host("h2", "r1"),
            host("h3", "r2"),
            host("h4", ""),
        ];
        let [h1, h2, h3, h4] = &hosts;
        let others = || vec![(member("v1", "web-1"), h1), (member("v2", "web-0"), h4)];
        let placed = of(std::iter::once(&rule), member("new", "new"), others);
        let on = |host: &HostState| {
            let standing = placed
                .first()
                .map(|placed| placed.on(host))
                .unwrap_or_default();
            (standing.members_here, standing.example, standing.no_domain)
        };
        assert_eq!(on(h2), (1, "web-1".to_owned(), false));
        assert_eq!(on(h3), (0, String::new(), false));
        assert_eq!((on(h4).0, on(h4).2), (0, true));
        let untagged = BTreeMap::new();
        let stranger = Member {
            id: "x",
            name: "x",
            tags: &untagged,
        };
        assert!(of(std::iter::once(&rule), stranger, others).is_empty());
    }
}
