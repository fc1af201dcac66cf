//! Lists and single objects.

use std::collections::BTreeSet;

use contracts::host::{Hardware, HostFacts, VmState};
use contracts::inventory::Vm;
use contracts::jobs::JobState;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fleet::{Fleet, Gateway, answer};

async fn some_fleet() -> Fleet {
    let fleet = Fleet::start().await;
    fleet.group("g1", "Prod", "all-hosts").await;
    fleet.group("g2", "Web", "g1").await;
    fleet.host("h1", "host-1", "g2").await;
    fleet.host("h2", "host-2", "all-hosts").await;
    for (id, name, host, group, state, env) in [
        ("v1", "web-1", "h1", "g2", VmState::Running, "prod"),
        ("v2", "web-2", "h2", "all-hosts", VmState::Running, "test"),
        ("v3", "db-1", "h1", "g2", VmState::Stopped, "prod"),
    ] {
        let vm = Vm {
            id: id.to_owned(),
            name: name.to_owned(),
            host_id: host.to_owned(),
            group_id: group.to_owned(),
            state: state.into(),
            tags: [("env".to_owned(), env.to_owned())].into(),
            hardware: Some(Hardware {
                vcpus: 2,
                memory_bytes: 1 << 30,
                ..Hardware::default()
            }),
            created_ms: 1_767_225_600_000,
            ..Vm::default()
        };
        fleet.put_vm(vm).await;
    }
    fleet
}

#[tokio::test]
async fn a_list_is_filtered_ordered_and_cut_to_fields() {
    let fleet = some_fleet().await;
    let gateway = fleet.gateway("0").await;
    for (query, names) in [
        ("", vec!["db-1", "web-1", "web-2"]),
        ("?sort=-name", vec!["web-2", "web-1", "db-1"]),
        ("?sort=host,-name", vec!["web-1", "db-1", "web-2"]),
        ("?filter=state:running", vec!["web-1", "web-2"]),
        ("?filter=group:Prod", vec!["db-1", "web-1"]),
        ("?filter=name:web*,tag.env:prod", vec!["web-1"]),
        ("?filter=host:host-1,state:stopped", vec!["db-1"]),
        ("?filter=memory_bytes:%3E2000000000", vec![]),
        ("?limit=1", vec!["db-1"]),
    ] {
        let answer = gateway.get(&format!("/api/v1/vms{query}")).await;
        assert_eq!(answer.items("name"), names, "{query}");
    }
    let few = gateway
        .get("/api/v1/vms?fields=name,state,host_name&sort=name&limit=1")
        .await;
    let item = json!({"name": "db-1", "state": "stopped", "host_name": "host-1"});
    assert_eq!(few.json()["items"], json!([item]));
    assert_eq!(few.json()["total"], 3);
}

#[tokio::test]
async fn an_object_shows_what_others_say_of_it() {
    let fleet = some_fleet().await;
    let gateway = fleet.gateway("0").await;
    let vm = gateway.get("/api/v1/vms/web-1").await.json();
    assert_eq!(
        (&vm["id"], &vm["host_name"]),
        (&json!("v1"), &json!("host-1"))
    );
    assert_eq!(vm["created"], "2026-01-01T00:00:00Z");
    assert_eq!(vm["hardware"]["memory_bytes"], 1 << 30);
    assert_eq!(vm["started"], json!(null));
    let host = gateway.get("/api/v1/hosts/host-1").await.json();
    assert_eq!(host["group_path"], "All Hosts/Prod/Web");
    assert_eq!(
        (&host["vm_count"], &host["status"]),
        (&json!(2), &json!("responding"))
    );
    let groups = gateway.get("/api/v1/host-groups").await;
    assert_eq!(
        groups.items("path"),
        ["All Hosts", "All Hosts/Prod", "All Hosts/Prod/Web"]
    );
    let below = gateway.get("/api/v1/hosts?filter=group:Prod").await;
    assert_eq!(below.items("name"), ["host-1"]);
}

#[tokio::test]
async fn the_status_counts_everything_by_state() {
    let fleet = some_fleet().await;
    fleet.job("j1", JobState::Running).await;
    fleet.job("j2", JobState::Failed).await;
    let facts = HostFacts {
        agent_version: "0.1.0".to_owned(),
        ..HostFacts::default()
    };
    let mut host = fleet.hosts.get("h1").unwrap().unwrap().value;
    host.facts = Some(facts);
    host.approval = contracts::inventory::host::Approval::Pending.into();
    let context = contracts::call::Context::new("tester");
    fleet
        .hosts
        .update(&context, "h1", |_| {
            Ok(kit::records::Decision::Put(host.clone(), ()))
        })
        .await
        .unwrap();
    let gateway = fleet.gateway("west").await;
    let status = gateway.get("/api/v1/status").await.json();
    assert_eq!(status["instance"], "west");
    assert_eq!(status["host_groups"], 3);
    assert_eq!(
        status["hosts"]["by_state"],
        json!({"pending": 1, "responding": 1})
    );
    assert_eq!(
        status["vms"],
        json!({"total": 3, "by_state": {"running": 2, "stopped": 1}})
    );
    assert_eq!(
        status["jobs"]["by_state"],
        json!({"failed": 1, "running": 1})
    );
    assert_eq!(status["versions"]["agents"], json!({"0.1.0": 1}));
    assert!(status["revision"]["vm"].as_u64().unwrap() >= 3);
}

/// Every id, page after page from alternating gateways, with a change of the fleet between pages.
async fn walk(gateways: &[&Gateway], mut between: impl AsyncFnMut(usize)) -> Vec<String> {
    let (mut ids, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/api/v1/vms?sort=-name&limit=7{cursor}");
        let page = gateways[pages % gateways.len()].get(&path).await;
        ids.extend(page.items("id"));
        pages += 1;
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
        between(pages).await;
    }
}

#[tokio::test]
async fn pages_show_what_stays_once_while_the_fleet_changes_whichever_gateway_answers() {
    let fleet = Fleet::start().await;
    for n in 0..40 {
        fleet
            .vm(
                &format!("v{n:02}"),
                &format!("web-{:02}", n / 2),
                VmState::Stopped,
            )
            .await;
    }
    let (a, b) = (fleet.gateway("a").await, fleet.gateway("b").await);
    let ids = walk(&[&a, &b], async |page| {
        fleet.delete_vm(&format!("v{:02}", page * 5)).await;
        let revision = fleet
            .vm(
                &format!("n{page}"),
                &format!("web-{page:02}x"),
                VmState::Running,
            )
            .await;
        for gateway in [&a, &b] {
            let seen = gateway.ask(Method::GET, "/api/v1/vms?limit=1");
            answer(seen.header("muster-revision", format!("vm={revision}"))).await;
        }
    })
    .await;
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(
        unique.len(),
        ids.len(),
        "an object was shown twice: {ids:?}"
    );
    let deleted: Vec<String> = (1..=ids.len())
        .map(|page| format!("v{:02}", page * 5))
        .collect();
    for n in 0..40 {
        let id = format!("v{n:02}");
        assert!(
            unique.contains(&id) || deleted.contains(&id),
            "{id} was left out"
        );
    }
}

#[tokio::test]
async fn who_gives_the_revision_back_sees_what_it_made_whichever_gateway_answers() {
    let fleet = Fleet::start().await;
    let (a, b) = (fleet.gateway("a").await, fleet.gateway("b").await);
    for n in 0..50 {
        let name = format!("web-{n}");
        let revision = fleet.vm(&format!("v{n}"), &name, VmState::Stopped).await;
        for gateway in [&a, &b] {
            let request = gateway.ask(Method::GET, &format!("/api/v1/vms/{name}"));
            let one = answer(request.header("muster-revision", format!("vm={revision}"))).await;
            assert_eq!(one.status, StatusCode::OK, "{name}");
            assert_eq!(one.header("muster-revision"), format!("vm={revision}"));
            let request = gateway.ask(Method::GET, "/api/v1/vms?limit=1000");
            let all = answer(request.header("muster-revision", format!("vm={revision},x=y"))).await;
            assert_eq!(all.json()["total"], n + 1);
        }
    }
}

#[tokio::test]
async fn a_gateway_that_was_away_shows_what_happened_meanwhile() {
    let fleet = some_fleet().await;
    let gateway = fleet.gateway("0").await;
    assert_eq!(gateway.get("/api/v1/vms").await.json()["total"], 3);
    gateway.stop().await;
    fleet.delete_vm("v1").await;
    fleet.vm("v4", "new", VmState::Stopped).await;
    let again = fleet.gateway("0").await;
    assert_eq!(
        again.get("/api/v1/vms").await.items("name"),
        ["db-1", "new", "web-2"]
    );
}

#[tokio::test]
async fn a_log_that_was_lost_and_filled_again_leaves_no_ghosts() {
    let mut fleet = some_fleet().await;
    let gateway = fleet.gateway("0").await;
    assert_eq!(gateway.get("/api/v1/vms").await.json()["total"], 3);
    fleet.nats.kill();
    fleet.nats.lose_store().unwrap();
    fleet.nats.restart().await.unwrap();
    fleet.delete_vm("v1").await;
    let revision = fleet.vm("v4", "new", VmState::Stopped).await;
    support::eventually("the new log to be followed", async || {
        let request = gateway.ask(Method::GET, "/api/v1/vms");
        let page = answer(request.header("muster-revision", format!("vm={revision}"))).await;
        (page.status == StatusCode::OK)
            .then(|| page.items("name"))
            .filter(|names| *names == ["db-1", "new", "web-2"])
    })
    .await
    .unwrap();
}
