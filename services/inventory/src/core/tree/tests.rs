#![allow(clippy::unwrap_used)]
use super::*;
use contracts::Code;

fn group(id: &str, parent_id: &str) -> HostGroup {
    HostGroup {
        id: id.to_owned(),
        name: format!("Group {id}"),
        parent_id: parent_id.to_owned(),
        ..HostGroup::default()
    }
}

/// all-hosts > a > b > c, and d beside a.
fn tree() -> Tree {
    let root = [root(0)];
    let below = [
        ("a", ROOT_GROUP_ID),
        ("b", "a"),
        ("c", "b"),
        ("d", ROOT_GROUP_ID),
    ];
    let below = below.map(|(id, parent)| group(id, parent));
    root.into_iter().chain(below).collect()
}

fn change(id: &str, name: Option<&str>, parent_id: Option<&str>) -> GroupChange {
    GroupChange {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        parent_id: parent_id.map(str::to_owned),
        job_id: "j".to_owned(),
        ..GroupChange::default()
    }
}

fn code<T, R>(result: Result<Decision<R, T>, Status>) -> Option<Code> {
    result.err().map(|status| status.code())
}

#[test]
fn a_group_is_made_once_below_its_parent_and_held_by_its_job() {
    let made = create(&tree(), &change("e", Some("Lab"), Some("a")), 7).unwrap();
    let Decision::Put(made, _) = made else {
        unreachable!("it is new")
    };
    assert_eq!((made.parent_id.as_str(), made.job_id.as_str()), ("a", "j"));
    let again = tree().0.into_values().chain([made]).collect();
    let again = create(&again, &change("e", Some("Lab"), Some("a")), 8).unwrap();
    assert!(matches!(again, Decision::Keep(_)));
}

#[test]
fn siblings_have_names_of_their_own_whatever_their_case() {
    let twin = create(&tree(), &change("e", Some("GROUP A"), None), 0);
    assert_eq!(code(twin), Some(Code::AlreadyExists));
    let elsewhere = create(&tree(), &change("e", Some("Group a"), Some("d")), 0);
    assert_eq!(code(elsewhere), None);
    let renamed = update(&tree(), &change("d", Some("group A"), None));
    assert_eq!(code(renamed), Some(Code::AlreadyExists));
    let own_name = update(&tree(), &change("a", Some("group A"), None));
    assert_eq!(code(own_name), None);
}

#[test]
fn an_unknown_parent_and_a_loop_are_refused() {
    let orphan = create(&tree(), &change("e", Some("x"), Some("nowhere")), 0);
    assert_eq!(code(orphan), Some(Code::NotFound));
    for below in ["a", "b", "c"] {
        let looped = update(&tree(), &change("a", None, Some(below)));
        assert_eq!(code(looped), Some(Code::FailedPrecondition), "{below}");
    }
    assert_eq!(code(update(&tree(), &change("a", None, Some("d")))), None);
}

#[test]
fn the_tree_grows_no_deeper_than_its_limit_by_making_or_by_moving() {
    let id = |depth: usize| format!("g{depth}");
    let deep: Tree = (2..=GROUP_DEPTH_MAX)
        .map(|depth| match depth {
            2 => group(&id(2), ROOT_GROUP_ID),
            _ => group(&id(depth), &id(depth - 1)),
        })
        .chain([root(0), group("x", ROOT_GROUP_ID), group("y", "x")])
        .collect();
    let refused = |result| code(result) == Some(Code::FailedPrecondition);
    let deepest = id(GROUP_DEPTH_MAX);
    assert!(refused(create(
        &deep,
        &change("z", Some("z"), Some(&deepest)),
        0
    )));
    let above = id(GROUP_DEPTH_MAX - 1);
    assert_eq!(
        code(create(&deep, &change("z", Some("z"), Some(&above)), 0)),
        None
    );
    // x has y below it, so it needs two levels.
    assert!(refused(update(&deep, &change("x", None, Some(&above)))));
    let higher = id(GROUP_DEPTH_MAX - 2);
    assert_eq!(code(update(&deep, &change("x", None, Some(&higher)))), None);
}

#[test]
fn the_root_is_never_changed_or_deleted() {
    let renamed = update(&tree(), &change(ROOT_GROUP_ID, Some("x"), None));
    assert_eq!(code(renamed), Some(Code::FailedPrecondition));
    let deleted = delete(&tree(), ROOT_GROUP_ID, "j", &[]);
    assert_eq!(code(deleted), Some(Code::FailedPrecondition));
}

#[test]
fn only_an_empty_group_is_deleted() {
    let with_group = delete(&tree(), "a", "j", &[]);
    assert_eq!(code(with_group), Some(Code::FailedPrecondition));
    let with_host = delete(&tree(), "c", "j", &["host-01".to_owned()])
        .map(|_| ())
        .unwrap_err();
    assert!(with_host.message.contains("host-01"));
    assert!(matches!(
        delete(&tree(), "c", "j", &[]),
        Ok(Decision::Delete(()))
    ));
    assert!(matches!(
        delete(&tree(), "gone", "j", &[]),
        Ok(Decision::Keep(()))
    ));
}
