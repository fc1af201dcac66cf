use super::*;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn learned(ends: impl IntoIterator<Item = (&'static str, u64)>) -> Lifetimes {
    let mut lifetimes = Lifetimes::default();
    for (name, age) in ends {
        let kind = lifetimes.kind([name]);
        lifetimes.went(kind, age);
    }
    lifetimes.look([]);
    lifetimes
}

#[test]
fn nothing_is_expected_before_machines_have_gone() {
    let few = u64::from(u32::try_from(GONE_MIN - 1).unwrap_or(0));
    let mut lifetimes = learned((0..few).map(|_| ("a", HOUR)));
    let kind = lifetimes.kind(["a"]);
    assert_eq!(lifetimes.expected_secs(kind, 0), None);
    lifetimes.went(kind, HOUR);
    // What went since the last look counts from the next one.
    assert_eq!(lifetimes.expected_secs(kind, 0), None);
    lifetimes.look([]);
    assert!(lifetimes.expected_secs(kind, 0).is_some());
}

#[test]
fn a_kind_is_expected_to_do_as_it_did_and_a_new_one_as_all_did() {
    let ends = (0..200).flat_map(|_| [("short", HOUR / 2), ("long", 3 * DAY)]);
    let mut lifetimes = learned(ends);
    let mut expected = |name| {
        let kind = lifetimes.kind([name]);
        lifetimes.expected_secs(kind, 0).unwrap_or(0)
    };
    let (short, long, new) = (expected("short"), expected("long"), expected("new"));
    assert!(short < 8 * HOUR, "{short}");
    assert!((2 * DAY..6 * DAY).contains(&long), "{long}");
    assert!(short < new && new < long, "{short} {new} {long}");
}

#[test]
fn who_has_outlived_the_short_ones_is_expected_to_stay() {
    let ends = (0..200).map(|at| ("a", if at < 180 { HOUR / 2 } else { 6 * DAY }));
    let mut lifetimes = learned(ends);
    let kind = lifetimes.kind(["a"]);
    let at = |age| lifetimes.expected_secs(kind, age).unwrap_or(0);
    assert!(at(0) < DAY, "{}", at(0));
    assert!(at(2 * HOUR) > 4 * DAY, "{}", at(2 * HOUR));
}

#[test]
fn machines_that_still_run_count_as_long_as_they_did_not_go() {
    let mut lifetimes = learned((0..100).map(|_| ("a", HOUR)));
    let kind = lifetimes.kind(["a"]);
    let before = lifetimes.expected_secs(kind, 0);
    lifetimes.look((0..100).map(|_| (kind, 5 * DAY)));
    let with = lifetimes.expected_secs(kind, 0);
    assert!(with > before, "{with:?} {before:?}");
    // They are counted once, however often they are seen.
    lifetimes.look((0..100).map(|_| (kind, 5 * DAY)));
    assert_eq!(lifetimes.expected_secs(kind, 0), with);
    lifetimes.look([]);
    assert_eq!(lifetimes.expected_secs(kind, 0), before);
}

#[test]
fn the_order_in_which_machines_went_does_not_matter() {
    let ends: Vec<(&str, u64)> = (0..500)
        .map(|at| (["a", "b", "c"][at % 3], (at as u64 * 7_919) % (9 * DAY)))
        .collect();
    let mut forth = learned(ends.clone());
    let mut back = learned(ends.into_iter().rev());
    for name in ["a", "b", "c", "d"] {
        for age in [0, 100, HOUR, DAY, 30 * DAY, u64::MAX] {
            let (one, other) = (forth.kind([name]), back.kind([name]));
            let expected = forth.expected_secs(one, age);
            assert_eq!(expected, back.expected_secs(other, age));
            assert!(expected <= Some(MOST_SECS));
        }
    }
}

#[test]
fn kinds_beyond_the_limit_are_taken_for_the_wider_one() {
    let mut lifetimes = Lifetimes::default();
    for number in 0..KINDS_MAX + 10 {
        lifetimes.kind([format!("{number}").as_str()]);
    }
    assert_eq!(lifetimes.tables.len(), KINDS_MAX);
    assert_eq!(lifetimes.kind(["one more"]), Kind(0));
}

#[test]
fn what_was_learned_is_known_again_and_nonsense_is_refused() {
    let mut first = Lifetimes::default();
    for at in 0..200 {
        let (name, age) = [("short", HOUR / 2), ("long", 3 * DAY)][at % 2];
        let kind = first.kind(["size", name]);
        first.went(kind, age);
    }
    first.look([]);
    let learned = first.learned();
    let mut again = Lifetimes::of(&learned).unwrap_or_default();
    again.look([]);
    for names in [
        ["size", "short"],
        ["size", "long"],
        ["size", "new"],
        ["other", "new"],
    ] {
        for age in [0, HOUR, 2 * DAY] {
            let (one, other) = (first.kind(names), again.kind(names));
            assert_eq!(
                first.expected_secs(one, age),
                again.expected_secs(other, age)
            );
        }
    }
    let is_refused = |change: fn(&mut Vec<LearnedKind>)| {
        let mut learned = learned.clone();
        change(&mut learned.kinds);
        Lifetimes::of(&learned).is_none()
    };
    assert!(is_refused(|kinds| kinds[1].wider = 1));
    assert!(is_refused(|kinds| kinds.push(kinds[1].clone())));
    assert!(is_refused(|kinds| kinds[0].went.push(1)));
    assert!(is_refused(|kinds| kinds[0].went[3] = u64::MAX));
}
