//! The tree of host groups under two instances and racing changes.

use contracts::common::Event;
use contracts::inventory::{GroupChange, Host, HostGroup, ObjectId};
use contracts::names::ROOT_GROUP_ID;
use contracts::records::Record;
use contracts::{Code, subjects};
use futures::StreamExt;
use futures::future::join_all;
use prost::Message as _;

use crate::harness::{Fleet, code, context, host_change};

fn change(id: &str, name: Option<&str>, parent_id: Option<&str>) -> GroupChange {
    GroupChange {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        parent_id: parent_id.map(str::to_owned),
        ..GroupChange::default()
    }
}

fn object(id: &str) -> ObjectId {
    ObjectId {
        id: id.to_owned(),
        job_id: String::new(),
    }
}

#[tokio::test]
async fn the_root_is_there_from_the_start_and_once() {
    let fleet = Fleet::start().await;
    let groups = fleet.records::<HostGroup>().await;
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (groups[0].id.as_str(), groups[0].name.as_str()),
        (ROOT_GROUP_ID, "All Hosts")
    );
    assert_eq!(groups[0].parent_id, "");
}

#[tokio::test]
async fn of_twenty_siblings_that_want_one_name_one_is_made() {
    let fleet = Fleet::start().await;
    let wanted = (0..20).map(|i| {
        let name = if i % 2 == 0 { "Lab" } else { "LAB" };
        let (client, change) = (
            fleet.client.clone(),
            change(&format!("g{i}"), Some(name), None),
        );
        async move { client.create_group(&context(), &change).await }
    });
    let answers = join_all(wanted).await;
    assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
    for answer in answers.into_iter().filter(Result::is_err) {
        assert_eq!(code(answer), Some(Code::AlreadyExists));
    }
    assert_eq!(fleet.records::<HostGroup>().await.len(), 2);
}

#[tokio::test]
async fn two_groups_are_never_moved_below_each_other() {
    let fleet = Fleet::start().await;
    for round in 0..10 {
        let (x, y) = (format!("x{round}"), format!("y{round}"));
        fleet.add_group(&x, "").await;
        fleet.add_group(&y, "").await;
        let (a, b) = (context(), context());
        let (down, up) = (change(&x, None, Some(&y)), change(&y, None, Some(&x)));
        let (one, other) = tokio::join!(
            fleet.client.update_group(&a, &down),
            fleet.client.update_group(&b, &up),
        );
        assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
        let refused = code(one).or(code(other));
        assert_eq!(refused, Some(Code::FailedPrecondition));
    }
}

#[tokio::test]
async fn a_group_is_not_made_below_one_that_is_deleted_at_the_same_moment() {
    let fleet = Fleet::start().await;
    for round in 0..10 {
        let (parent, child) = (format!("p{round}"), format!("c{round}"));
        fleet.add_group(&parent, "").await;
        let (a, b) = (context(), context());
        let (object, change) = (object(&parent), change(&child, Some("x"), Some(&parent)));
        let (deleted, made) = tokio::join!(
            fleet.client.delete_group(&a, &object),
            fleet.client.create_group(&b, &change),
        );
        assert_ne!(deleted.is_ok(), made.is_ok());
        let there = fleet.record::<HostGroup>(&parent).await.is_some();
        assert_eq!(there, made.is_ok());
    }
}

#[tokio::test]
async fn no_host_is_left_in_a_group_that_is_deleted_at_the_same_moment() {
    let fleet = Fleet::start().await;
    fleet.add_host("h1", vec![]).await;
    let mut kept = 0;
    for round in 0..32 {
        let group = format!("g{round}");
        fleet.add_group(&group, "").await;
        let (a, b) = (context(), context());
        let (change, object) = (host_change("h1", &group), object(&group));
        // Reads of the log, to meet the deletion at each of its points.
        let move_later = async {
            for _ in 0..round % 8 {
                fleet.record::<Host>("h1").await;
            }
            fleet.client.move_host(&a, &change).await
        };
        let (moved, deleted) = tokio::join!(move_later, fleet.client.delete_group(&b, &object));
        let host = fleet.record::<Host>("h1").await.unwrap();
        let group = fleet.record::<HostGroup>(&group).await;
        assert!(moved.is_ok() || deleted.is_ok());
        assert_eq!(deleted.is_ok(), group.is_none());
        let wanted = group.map_or(ROOT_GROUP_ID.to_owned(), |g| g.id);
        assert_eq!(
            host.group_id, wanted,
            "round {round}: {moved:?} {deleted:?}"
        );
        assert_eq!(moved.is_ok(), deleted.is_err());
        kept += u32::from(moved.is_ok());
        let home = host_change("h1", "");
        fleet.client.move_host(&context(), &home).await.unwrap();
    }
    println!("the host won {kept} of 32 rounds");
    assert!(kept > 0);
}

#[tokio::test]
async fn groups_that_hold_something_and_the_root_stay() {
    let fleet = Fleet::start().await;
    let (client, context) = (&fleet.client, context());
    fleet.add_group("a", "").await;
    fleet.add_group("b", "a").await;
    fleet.add_host("h1", vec![]).await;
    client
        .move_host(&context, &host_change("h1", "b"))
        .await
        .unwrap();
    for full in ["a", "b", ROOT_GROUP_ID] {
        let refused = client
            .delete_group(&context, &object(full))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{full}");
        assert!(!refused.recommended_action.is_empty());
    }
    let nowhere = host_change("h1", "nowhere");
    assert_eq!(
        code(client.move_host(&context, &nowhere).await),
        Some(Code::NotFound)
    );
    client
        .move_host(&context, &host_change("h1", ""))
        .await
        .unwrap();
    for empty in ["b", "b", "a"] {
        client.delete_group(&context, &object(empty)).await.unwrap();
    }
    assert_eq!(fleet.records::<HostGroup>().await.len(), 1);
}

#[tokio::test]
async fn every_change_of_the_tree_is_one_event_with_its_cause() {
    let fleet = Fleet::start().await;
    let mut cause = context();
    cause.job_id = "j1".to_owned();
    let made = change("lab", Some("Lab"), None);
    fleet.client.create_group(&cause, &made).await.unwrap();
    fleet.client.create_group(&cause, &made).await.unwrap();
    fleet
        .client
        .delete_group(&cause, &object("lab"))
        .await
        .unwrap();
    let filter = subjects::events_of_kind(HostGroup::BUCKET);
    let entries = fleet.bus.read(subjects::EVENTS, &filter, 1).await.unwrap();
    let events: Vec<Event> = entries
        .take(3)
        .map(|entry| Event::decode(entry.unwrap().message.payload).unwrap())
        .collect()
        .await;
    let told: Vec<(&str, &str, &str)> = events
        .iter()
        .map(|e| (e.id.as_str(), e.verb.as_str(), e.job_id.as_str()))
        .collect();
    let root = (ROOT_GROUP_ID, "created", "");
    assert_eq!(
        told,
        [root, ("lab", "created", "j1"), ("lab", "deleted", "j1")]
    );
    assert_eq!(events[1].principal, "tester");
}
