//! Forms of output.

use std::io::Read;

use axum::extract::{Query, RawQuery};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use contracts::{host, inventory, rest};
use serde_json::{Value, json};

use crate::standin::{StandIn, finish, job, page, vm};

fn two_machines() -> StandIn {
    let list = || async { page(vec![vm("web-01"), vm("web-02")]) };
    StandIn::new(Router::new().route("/vms", get(list)))
}

#[test]
fn a_list_has_four_forms() {
    let server = two_machines();
    let table = server.muster("vm list").expect(0).out;
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..4], ["NAME", "STATE", "HOST", "CPUS"]);
    assert_eq!(
        lines[1],
        ["web-01", "running", "host-1", "2", "512", "MiB", "alice"]
    );
    let shown = server.muster("vm list -o json").expect(0).value();
    assert_eq!(shown["items"], json!([vm("web-01"), vm("web-02")]));
    assert_eq!(shown["total"], 2);
    let yaml = server.muster("vm list -o yaml").expect(0).out;
    assert!(yaml.contains("memory_bytes: 536870912"), "{yaml}");
    assert_eq!(
        server.muster("vm list -o name").expect(0).out,
        "vm/web-01\nvm/web-02\n"
    );
}

#[test]
fn an_object_is_shown_with_what_this_program_does_not_know() {
    let show = || async {
        let mut value = serde_json::to_value(vm("web-01")).unwrap();
        value["of_tomorrow"] = json!({"a": 1});
        Json(value)
    };
    let server = StandIn::new(Router::new().route("/vms/{vm}", get(show)));
    let shown = server.muster("vm show web-01 -o json").expect(0).value();
    assert_eq!(shown["of_tomorrow"], json!({"a": 1}));
    let told = server.muster("vm show web-01").expect(0).out;
    assert!(told.contains("Memory    512 MiB"), "{told}");
    assert_eq!(
        server.muster("vm show web-01 -o name").expect(0).out,
        "vm/web-01\n"
    );
}

/// Machines 0 to 5, two on a page whatever is asked.
async fn paged(Query(query): Query<std::collections::BTreeMap<String, String>>) -> Json<Value> {
    let start: usize = query
        .get("cursor")
        .map_or(0, |cursor| cursor.parse().unwrap());
    let items: Vec<_> = (start..start + 2)
        .map(|n| vm(&format!("web-{n}")))
        .collect();
    let next = (start + 2 < 6).then(|| (start + 2).to_string());
    Json(json!({"items": items, "next_cursor": next, "total": 6}))
}

#[test]
fn pages_are_put_together_as_far_as_is_wanted() {
    let server = StandIn::new(Router::new().route("/vms", get(paged)));
    let first = server.muster("vm list -o name").expect(0);
    assert_eq!(first.out.lines().count(), 2);
    assert!(first.err.starts_with("2 of 6 are shown"), "{}", first.err);
    let all = server.muster("vm list --all -o json").expect(0);
    assert_eq!(all.value()["items"].as_array().unwrap().len(), 6);
    assert_eq!(
        (all.value()["next_cursor"].clone(), all.err.as_str()),
        (Value::Null, "")
    );
    assert_eq!(
        server
            .muster("vm list --limit 3 -o name")
            .expect(0)
            .out
            .lines()
            .count(),
        4
    );
}

#[test]
fn fields_choose_columns_of_a_table_and_fields_of_json() {
    let list = |RawQuery(query): RawQuery| async move {
        match query {
            None => page(vec![vm("web-01")]),
            Some(_) => page(vec![json!({"id": "id-web-01"})]),
        }
    };
    let server = StandIn::new(Router::new().route("/vms", get(list)));
    let table = server.muster("vm list --fields id,memory").expect(0).out;
    assert_eq!(table, "ID         MEMORY\nid-web-01  512 MiB\n");
    let shown = server
        .muster("vm list --fields id -o json")
        .expect(0)
        .value();
    assert_eq!(shown["items"], json!([{"id": "id-web-01"}]));
    let lines = server.lines();
    assert_eq!(lines[1], "GET /api/v1/vms?fields=id");
}

#[test]
fn ratings_are_drawn_as_stars_with_their_reasons() {
    let rate = || async {
        Json(json!({"ratings": [
            {"host_id": "h-1", "host_name": "host-1", "group_id": null, "stars": 3.5, "score": 3.41,
             "resources": [{"resource": "memory", "used_percent_before": 20.0, "used_percent_after": 30.0,
                            "stars_lost": 1.5, "explanation": "Memory would be 30 % used.", "weight": 100.0}],
             "zero_reasons": []},
            {"host_id": "h-2", "host_name": "host-2", "group_id": null, "stars": 0.0, "score": 0.0,
             "resources": [], "zero_reasons": [{"check": "memory", "message": "host-2 has 1 GiB free.",
                                                "recommended_action": "Free some."}]},
        ]}))
    };
    let server = StandIn::new(Router::new().route("/placement/rate", post(rate)));
    let told = server
        .muster("placement rate --cpus 2 --memory 4GiB --disk 20GiB --disk 1GiB")
        .expect(0)
        .out;
    for part in [
        "host-1  ★★★½☆ 3.5  Memory would be 30 % used (1.5 lost)",
        "☆☆☆☆☆ 0.0  host-2 has 1 GiB free. Free some.",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    let asked = &server.asked()[0];
    assert_eq!(asked.body["disk_bytes"], 22_548_578_304u64);
    assert_eq!(
        asked.header("idempotency-key"),
        "",
        "a question changes nothing"
    );
}

#[test]
fn groups_are_drawn_as_a_tree() {
    let group = |id: &str, name: &str, parent: &str| -> rest::HostGroup {
        let message = inventory::HostGroup {
            id: id.to_owned(),
            name: name.to_owned(),
            parent_id: parent.to_owned(),
            ..inventory::HostGroup::default()
        };
        message.into()
    };
    let groups = vec![
        group("all-hosts", "All Hosts", ""),
        group("g", "Prod", "all-hosts"),
    ];
    let host: rest::Host = inventory::Host {
        name: "host-1".to_owned(),
        group_id: "g".to_owned(),
        facts: Some(host::HostFacts::default()),
        ..inventory::Host::default()
    }
    .into();
    let routes = Router::new()
        .route("/host-groups", get(move || async { page(groups) }))
        .route("/hosts", get(move || async { page(vec![host]) }));
    let server = StandIn::new(routes);
    assert_eq!(
        server.muster("group tree").expect(0).out,
        "All Hosts\n└─ Prod\n   └─ host host-1 (unknown, 0 machines)\n"
    );
    assert_eq!(
        server.muster("group tree -o name").expect(0).out,
        "group/All Hosts\ngroup/Prod\n"
    );
}

#[test]
fn hosts_that_wait_are_a_list_of_their_own() {
    let server = StandIn::new(Router::new().route("/hosts", get(|| async { page::<()>(vec![]) })));
    server.muster("host pending").expect(0);
    assert_eq!(
        server.lines(),
        ["GET /api/v1/hosts?filter=approval%3Apending"]
    );
}

#[test]
fn a_token_is_shown_this_once() {
    let make = || async { Json(json!({"token": "secret-1", "expires": "2026-01-31T12:00:00Z"})) };
    let server = StandIn::new(Router::new().route("/join-tokens", post(make)));
    let told = server
        .muster("host token create --lifetime 1h30m")
        .expect(0)
        .out;
    assert!(
        told.contains("secret-1") && told.contains("2026-01-31 12:00:00 UTC"),
        "{told}"
    );
    assert_eq!(server.asked()[0].body["lifetime_secs"], 5_400);
}

#[test]
fn a_job_is_shown_with_its_steps_and_status_with_its_counts() {
    let status = json!({
        "versions": {"gateway": "0.1.0", "agents": {"0.1.0": 3}}, "instance": "g-1", "host_groups": 1,
        "hosts": {"total": 3, "by_state": {"responding": 3}}, "vms": {"total": 0, "by_state": {}},
        "jobs": {"total": 1, "by_state": {"failed": 1}}, "revision": {},
    });
    let failed = || async { Json(job("j-1", contracts::jobs::JobState::Failed)) };
    let routes = Router::new()
        .route("/status", get(move || async { Json(status) }))
        .route("/jobs/{job}", get(failed));
    let server = StandIn::new(routes);
    let told = server.muster("status").expect(0).out;
    assert!(told.contains("Hosts     3: 3 responding"), "{told}");
    let told = server.muster("job show j-1").expect(0).out;
    for part in [
        "vm create web-01",
        "The image guest.qcow2 is no image.",
        "choose host",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[test]
fn a_screenshot_goes_to_a_file_or_on() {
    let png = || async { b"\x89PNG\r\n".into_response() };
    let server = StandIn::new(Router::new().route("/vms/{vm}/screenshot", get(png)));
    assert_eq!(
        server.muster("vm screenshot web-01 -").expect(0).bytes,
        b"\x89PNG\r\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("screen.png");
    let ran = server
        .muster(&format!("vm screenshot web-01 {}", file.display()))
        .expect(0);
    assert!(ran.err.contains("Saved the screen"), "{}", ran.err);
    assert_eq!(std::fs::read(&file).unwrap(), b"\x89PNG\r\n");
    let nowhere = folder.path().join("none/screen.png");
    let ran = server
        .muster(&format!("vm screenshot web-01 {}", nowhere.display()))
        .expect(8);
    assert!(
        ran.err.contains("cannot be written: no such file"),
        "{}",
        ran.err
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let server = two_machines();
    let mut child = server.start(&["completion", "bash"]);
    drop(child.stdout.take());
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    let ran = finish(child).expect(0);
    assert_eq!((ran.out.as_str(), told.as_str()), ("", ""));
}
