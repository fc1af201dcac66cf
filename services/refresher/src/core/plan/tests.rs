#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use contracts::Code;
use contracts::refresher::{Condition, Interval};

use super::*;
use line::Limits;

const LIMITS: Limits = Limits {
    due_max: 4,
    all_max: 6,
    asked_max: 3,
};

const MINUTE: i64 = 60_000;

fn kind(name: &str, interval_secs: u32) -> Kind {
    Kind {
        name: name.to_owned(),
        interval_secs,
        interval_secs_max: 86_400,
        may_be_off: true,
        by_hand: true,
        object_kinds: vec!["host".to_owned()],
        passes_over: vec![
            Condition::Maintenance.into(),
            Condition::NotResponding.into(),
        ],
        ..Kind::default()
    }
}

fn host(id: &str) -> Target {
    Target {
        id: id.to_owned(),
        server_id: id.to_owned(),
        kinds: vec!["light".to_owned(), "heavy".to_owned()],
        ..Target::default()
    }
}

fn hosts(count: usize) -> Vec<Target> {
    (0..count).map(|n| host(&format!("host-{n:04}"))).collect()
}

/// A plan of one instance that was told everything at 0.
fn planned(own: &str, limits: Limits, targets: Vec<Target>) -> Plan {
    let mut plan = Plan::new(own, limits);
    plan.announced(
        "inventory",
        vec![kind("light", 120), kind("heavy", 1_800)],
        0,
    );
    plan.set_targets("inventory", targets, 0);
    plan
}

fn announce(plan: &mut Plan, now_ms: i64) {
    plan.announced(
        "inventory",
        vec![kind("light", 120), kind("heavy", 1_800)],
        now_ms,
    );
}

/// Runs the plan for a while, each refresh taking no time; answers what was begun, with when.
fn run(plan: &mut Plan, from_ms: i64, to_ms: i64, ending: Ending) -> Vec<(i64, Start)> {
    let mut begun = Vec::new();
    for now_ms in (from_ms..to_ms).step_by(250) {
        announce(plan, now_ms);
        loop {
            let starts = plan.start(now_ms);
            if starts.is_empty() {
                break;
            }
            for start in starts {
                plan.ended(&start, ending, now_ms);
                begun.push((now_ms, start));
            }
        }
    }
    begun
}

fn of_kind<'a>(begun: &'a [(i64, Start)], kind: &str) -> Vec<&'a (i64, Start)> {
    begun
        .iter()
        .filter(|(_, start)| start.key.kind == kind)
        .collect()
}

/// The most of a kind that was begun in one second.
fn fullest_second(begun: &[(i64, Start)], kind: &str) -> usize {
    let mut by_second: BTreeMap<i64, usize> = BTreeMap::new();
    for (now_ms, _) in of_kind(begun, kind) {
        *by_second.entry(now_ms / 1_000).or_default() += 1;
    }
    by_second.into_values().max().unwrap_or(0)
}

#[test]
fn every_target_is_refreshed_once_an_interval_and_never_all_at_once() {
    let mut plan = planned("a", LIMITS, hosts(600));
    let begun = run(&mut plan, 0, 20 * MINUTE, Ending::Fine);
    assert_eq!(of_kind(&begun, "light").len(), 600 * 10);
    // Five in each second on average.
    assert!(fullest_second(&begun, "light") < 20);
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for (now_ms, start) in of_kind(&begun, "light") {
        if let Some(before) = last.insert(&start.key.target_id, *now_ms) {
            assert!((119_500..=120_500).contains(&(now_ms - before)));
        }
    }
}

#[test]
fn two_instances_share_the_targets_and_one_takes_over_when_the_other_is_silent_or_leaves() {
    let (mut a, mut b) = (
        planned("a", LIMITS, hosts(200)),
        planned("b", LIMITS, hosts(200)),
    );
    let mut begun = Vec::new();
    for now_ms in (0..4 * MINUTE).step_by(1_000) {
        a.heard("b", false, now_ms);
        b.heard("a", false, now_ms);
        begun.extend(run(&mut a, now_ms, now_ms + 1_000, Ending::Fine));
        begun.extend(run(&mut b, now_ms, now_ms + 1_000, Ending::Fine));
    }
    assert_eq!(of_kind(&begun, "light").len(), 400);
    // Each twice, and once more what was due while nobody looked.
    let twice_each = 400..=420;
    // b is not heard any more.
    let alone = run(&mut a, 4 * MINUTE + 6_000, 8 * MINUTE + 6_000, Ending::Fine);
    assert!(twice_each.contains(&of_kind(&alone, "light").len()));
    b.heard("a", true, 4 * MINUTE);
    let alone = run(&mut b, 4 * MINUTE, 8 * MINUTE, Ending::Fine);
    assert!(twice_each.contains(&of_kind(&alone, "light").len()));
}

#[test]
fn a_server_that_fails_is_asked_ever_more_seldom_and_the_others_as_before() {
    let mut plan = planned("a", LIMITS, hosts(2));
    let mut asked = BTreeMap::from([("host-0000".to_owned(), 0), ("host-0001".to_owned(), 0)]);
    for now_ms in (0..60 * MINUTE).step_by(250) {
        announce(&mut plan, now_ms);
        for start in plan.start(now_ms) {
            *asked.get_mut(&start.key.target_id).unwrap() += 1;
            let ending = match start.key.target_id.as_str() {
                "host-0000" => Ending::ServerFailed,
                _ => Ending::Fine,
            };
            plan.ended(&start, ending, now_ms);
        }
    }
    assert_eq!(asked["host-0001"], 32);
    assert!((5..12).contains(&asked["host-0000"]), "{asked:?}");
    // It is said to be back.
    let mut silent = host("host-0000");
    silent.conditions = vec![Condition::NotResponding.into()];
    plan.set_targets("inventory", vec![silent], 60 * MINUTE);
    plan.set_targets("inventory", vec![host("host-0000")], 60 * MINUTE);
    let begun = run(&mut plan, 60 * MINUTE, 62 * MINUTE, Ending::Fine);
    assert_eq!(of_kind(&begun, "light").len(), 1);
}

#[test]
fn a_failure_that_is_not_the_servers_holds_nobody_back() {
    let mut plan = planned("a", LIMITS, hosts(3));
    let begun = run(&mut plan, 0, 4 * MINUTE, Ending::OthersFailed);
    assert_eq!(of_kind(&begun, "light").len(), 6);
}

#[test]
fn a_target_in_maintenance_is_passed_over_and_one_that_is_off_too() {
    let mut resting = host("host-0000");
    resting.conditions = vec![Condition::Maintenance.into()];
    let mut plan = planned(
        "a",
        LIMITS,
        vec![resting, host("host-0001"), host("host-0002")],
    );
    let off = Interval { secs: 0, off: true };
    let mut set = Intervals::default();
    set.servers.insert("host-0001".to_owned(), off);
    plan.set_intervals(BTreeMap::from([("light".to_owned(), set)]), 0);
    let begun = run(&mut plan, 0, 2 * MINUTE, Ending::Fine);
    let light = of_kind(&begun, "light");
    assert_eq!(
        (light.len(), light[0].1.key.target_id.as_str()),
        (1, "host-0002")
    );
    let count = plan.counts(2 * MINUTE)["light"];
    assert_eq!((count.targets, count.off, count.passed_over), (3, 1, 1));
}

#[test]
fn a_slow_server_takes_one_place_and_what_is_asked_for_goes_first() {
    let mut plan = planned("a", LIMITS, hosts(50));
    // Nothing ends: the line is full of what is due.
    let mut running = Vec::new();
    for now_ms in (0..2 * MINUTE).step_by(250) {
        announce(&mut plan, now_ms);
        running.extend(plan.start(now_ms));
    }
    assert_eq!(running.len(), LIMITS.due_max);
    let servers: BTreeSet<&String> = running.iter().map(|start| &start.server_id).collect();
    assert_eq!(servers.len(), LIMITS.due_max);
    // There is still room for what is asked for, also at a server that is busy, but not for all of it.
    let busy = running[0].key.target_id.clone();
    for object_id in ["vm-1", "vm-2", "vm-3"] {
        let key = Key {
            object_id: object_id.to_owned(),
            ..Key::of_target("heavy".to_owned(), busy.clone())
        };
        plan.ask(key, 2 * MINUTE).unwrap();
    }
    let asked = plan.start(2 * MINUTE);
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].priority, asked[0].late_ms), (Priority::Asked, 0));
    let full = |plan: &mut Plan| {
        let key = |n: i32| Key {
            object_id: format!("vm-x{n}"),
            ..Key::of_target("heavy".to_owned(), busy.clone())
        };
        (0..9).find_map(|n| plan.ask(key(n), 2 * MINUTE).err())
    };
    assert_eq!(full(&mut plan).unwrap().code(), Code::ResourceExhausted);
    // What ends makes room, for what was asked for first.
    plan.ended(&running[0], Ending::Fine, 2 * MINUTE);
    assert_eq!(plan.start(2 * MINUTE)[0].key.object_id, "vm-2");
}

#[test]
fn the_line_is_never_longer_than_there_are_targets() {
    let mut plan = planned("a", LIMITS, hosts(30));
    for now_ms in (0..60 * MINUTE).step_by(1_000) {
        announce(&mut plan, now_ms);
        plan.start(now_ms);
    }
    assert!(plan.waiting()[&Priority::Due] <= 60);
}

#[test]
fn after_a_standstill_what_was_missed_is_not_made_up_for_all_at_once() {
    let mut plan = planned("a", LIMITS, hosts(400));
    run(&mut plan, 0, 3 * MINUTE, Ending::Fine);
    // Only what has an interval longer than that is made up for.
    let begun = run(&mut plan, 30 * MINUTE, 30 * MINUTE + 1_000, Ending::Fine);
    assert!(of_kind(&begun, "light").len() < 20);
    assert!(of_kind(&begun, "heavy").len() > 100);
}

#[test]
fn hosts_that_come_back_at_once_are_refreshed_each_at_its_own_time() {
    let mut silent = hosts(600);
    for host in &mut silent {
        host.conditions = vec![Condition::NotResponding.into()];
    }
    let mut plan = planned("a", LIMITS, silent);
    assert!(run(&mut plan, 0, 30 * MINUTE, Ending::Fine).is_empty());
    plan.set_targets("inventory", hosts(600), 30 * MINUTE);
    let begun = run(&mut plan, 30 * MINUTE, 32 * MINUTE, Ending::Fine);
    assert_eq!(of_kind(&begun, "light").len(), 600);
    assert!(fullest_second(&begun, "light") < 20);
}

#[test]
fn a_service_that_is_away_is_not_asked_and_its_servers_are_not_blamed() {
    let mut plan = planned("a", LIMITS, hosts(10));
    for now_ms in (0..10 * MINUTE).step_by(250) {
        let starts = plan.start(now_ms);
        assert!(now_ms < SERVED_FOR_MS || starts.is_empty());
        for start in starts {
            plan.ended(&start, Ending::Fine, now_ms);
        }
    }
    assert!(plan.services(10 * MINUTE).is_empty());
}

#[test]
fn a_request_means_the_kinds_that_show_on_the_object_or_those_that_it_names() {
    let plan = planned("a", LIMITS, hosts(1));
    let meant = |object_kind: &str, named: &[&str]| {
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        plan.kinds_for("host-0000", object_kind, &named)
    };
    assert_eq!(meant("host", &[]).unwrap(), ["heavy", "light"]);
    assert_eq!(meant("host", &["light"]).unwrap(), ["light"]);
    assert_eq!(meant("vm", &[]).unwrap_err().code(), Code::Unavailable);
    assert_eq!(meant("host", &["tips"]).unwrap_err().code(), Code::NotFound);
}
