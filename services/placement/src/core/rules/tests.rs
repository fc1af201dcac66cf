#![allow(clippy::unwrap_used)]
use super::super::query::tests::DEFAULTS;
use super::*;
use crate::core::guest::Guest;
use contracts::Code;

fn rule(name: &str, bond: Bond, level: Level, vms: &[&str]) -> Rule {
    complete(&Rule {
        id: format!("id-{name}"),
        name: name.to_owned(),
        bond: bond.into(),
        level: level.into(),
        vm_ids: vms.iter().map(|id| (*id).to_owned()).collect(),
        ..Rule::default()
    })
}

fn on(name: &str, bond: Bond, vm: &str, hosts: &[&str]) -> Rule {
    Rule {
        host_ids: hosts.iter().map(|id| (*id).to_owned()).collect(),
        ..rule(name, bond, Level::Host, &[vm])
    }
}

fn by_tag(name: &str, bond: Bond, tag: &str) -> Rule {
    Rule {
        vm_tag: tag.to_owned(),
        ..rule(name, bond, Level::Host, &[])
    }
}

fn fleet(rules: &[Rule]) -> Fleet {
    let mut fleet = Fleet::new(DEFAULTS);
    for rule in rules {
        fleet.put_rule(rule.id.clone(), Some(rule.clone()));
    }
    fleet
}

fn refused(rule: &Rule, beside: &[Rule]) -> String {
    let status = check(rule, &fleet(beside)).unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(!status.recommended_action.is_empty());
    status.message
}

#[test]
fn together_and_apart_contradict_over_however_many_rules() {
    let chain = [
        rule("ab", Bond::Together, Level::Host, &["a", "b"]),
        rule("bc", Bond::Together, Level::Host, &["b", "c"]),
        rule("xy", Bond::Together, Level::Host, &["x", "y"]),
    ];
    let apart = rule("ac", Bond::Apart, Level::Host, &["a", "c"]);
    let message = refused(&apart, &chain);
    for name in ["ab", "bc", "ac"] {
        assert!(message.contains(name), "{message}");
    }
    assert!(!message.contains("xy"), "{message}");
    // And the other way round.
    let beside = [apart, chain.first().cloned().unwrap()];
    assert!(refused(chain.get(1).unwrap(), &beside).contains("ac"));
}

#[test]
fn one_room_on_two_hosts_is_no_contradiction_and_one_host_in_two_rooms_is() {
    let one_room = rule("one room", Bond::Together, Level::Room, &["a", "b"]);
    let two_hosts = rule("two hosts", Bond::Apart, Level::Host, &["a", "b"]);
    assert!(check(&two_hosts, &fleet(std::slice::from_ref(&one_room))).is_ok());
    let one_host = rule("one host", Bond::Together, Level::Host, &["a", "b"]);
    let two_rooms = rule("two rooms", Bond::Apart, Level::Room, &["a", "b"]);
    assert!(refused(&two_rooms, &[one_host]).contains("one host"));
}

#[test]
fn what_should_be_contradicts_nothing() {
    let together = rule("ab", Bond::Together, Level::Host, &["a", "b"]);
    let mut apart = rule("ba", Bond::Apart, Level::Host, &["a", "b"]);
    apart.set_strength(Strength::Should);
    assert!(check(&apart, &fleet(&[together])).is_ok());
}

#[test]
fn a_tag_contradicts_itself_before_any_machine_has_it() {
    let together = by_tag("near", Bond::Together, "app=web");
    let apart = by_tag("far", Bond::Apart, "app=web");
    assert!(refused(&apart, &[together]).contains("near, far"));
    let mut fleet = fleet(&[rule("ab", Bond::Together, Level::Host, &["a", "b"])]);
    for id in ["a", "b"] {
        let guest = Guest {
            id: id.to_owned(),
            tags: [("app".to_owned(), "web".to_owned())].into(),
            ..Guest::default()
        };
        fleet.put_guest(id.to_owned(), Some(guest));
    }
    assert!(check(&apart, &fleet).is_err());
}

#[test]
fn machines_are_left_a_host() {
    let on_one = on("on 1", Bond::On, "a", &["h1"]);
    let on_two = on("on 2", Bond::On, "b", &["h2"]);
    assert!(check(&on_two, &fleet(std::slice::from_ref(&on_one))).is_ok());
    let together = rule("ab", Bond::Together, Level::Host, &["a", "b"]);
    let message = refused(&together, &[on_one.clone(), on_two]);
    for name in ["on 1", "on 2", "ab"] {
        assert!(message.contains(name), "{message}");
    }
    let not_one = on("not 1", Bond::NotOn, "a", &["h1"]);
    assert!(refused(&not_one, &[on_one]).contains("without any host"));
    let no_host_has_it = Rule {
        host_tag: "gpu".to_owned(),
        ..on("gpu", Bond::On, "c", &[])
    };
    assert!(check(&no_host_has_it, &fleet(&[])).is_ok());
}

#[test]
fn a_rule_that_says_nothing_is_refused_by_field() {
    let field = |rule: &Rule| check(rule, &fleet(&[])).unwrap_err().field;
    assert_eq!(
        field(&rule("", Bond::Apart, Level::Host, &["a", "b"])),
        "name"
    );
    assert_eq!(
        field(&rule("r", Bond::Unspecified, Level::Host, &["a"])),
        "bond"
    );
    assert_eq!(
        field(&rule("r", Bond::Apart, Level::Host, &["a", "a"])),
        "vm_ids"
    );
    assert_eq!(
        field(&rule("r", Bond::Together, Level::Host, &[])),
        "vm_ids"
    );
    assert_eq!(field(&on("r", Bond::On, "a", &[])), "host_ids");
    assert_eq!(field(&on("r", Bond::Apart, "a", &["h"])), "host_ids");
    let there = rule("Webs", Bond::Apart, Level::Host, &["a", "b"]);
    let twin = Rule {
        id: "other".to_owned(),
        ..rule("webs", Bond::Apart, Level::Host, &["c", "d"])
    };
    let status = check(&twin, &fleet(&[there])).unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
}
