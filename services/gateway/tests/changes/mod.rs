//! Changes become jobs, and everything that came with the request goes along.

use contracts::host::VmState;
use contracts::jobs::job_params::Kind;
use contracts::jobs::{HostAdd, HostMove, HostTarget, VmTarget, submit_request::IfBusy};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Gateway, answer};
use crate::stand_ins::{PNG, StandIns};

struct Scene {
    _fleet: Fleet,
    stand_ins: StandIns,
    gateway: Gateway,
}

async fn scene() -> Scene {
    let fleet = Fleet::start().await;
    fleet.group("g1", "Prod", "all-hosts").await;
    fleet.host("h1", "host-1", "all-hosts").await;
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    Scene {
        stand_ins: fleet.stand_ins().await,
        gateway: fleet.gateway("0").await,
        _fleet: fleet,
    }
}

impl Scene {
    async fn asked(&self, method: Method, path: &str, body: Value) -> Kind {
        let answer = self.gateway.send(method, path, body).await;
        assert_eq!(
            answer.status,
            StatusCode::ACCEPTED,
            "{path}: {}",
            answer.json()
        );
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api/v1/jobs/{id}"));
        let (_, request) = self.stand_ins.notes.last_submitted();
        request.params.unwrap().kind.unwrap()
    }
}

#[tokio::test]
async fn a_machine_is_asked_for_with_names_turned_into_ids() {
    let scene = scene().await;
    let body = json!({
        "name": "web-02", "vcpus": 2, "memory_bytes": 1u64 << 30, "group": "Prod", "host": "host-1",
        "disks": [{"image": "debian.qcow2"}, {"size_bytes": 1u64 << 30}], "start": true, "wait_for_guest": true,
        "tags": {"env": "prod"}
    });
    let Kind::VmCreate(create) = scene.asked(Method::POST, "/api/v1/vms", body).await else {
        panic!("another kind");
    };
    assert_eq!(
        (create.group_id.as_str(), create.host_id.as_str()),
        ("g1", "h1")
    );
    assert_eq!(
        (create.owner.as_str(), create.start, create.wait_for_guest),
        ("local", true, true)
    );
    let hardware = create.hardware.unwrap();
    assert_eq!((hardware.vcpus, hardware.disks.len()), (2, 2));
    assert_eq!(hardware.network_cards[0].network, "user");
}

#[tokio::test]
async fn each_route_asks_for_its_own_kind_of_job() {
    let scene = scene().await;
    let target = |force| VmTarget {
        vm_id: "v1".to_owned(),
        force,
    };
    for (action, kind) in [
        ("start", Kind::VmStart(target(false))),
        ("shutdown", Kind::VmShutdown(target(false))),
        ("turn-off", Kind::VmTurnOff(target(false))),
        ("reset", Kind::VmReset(target(false))),
        ("pause", Kind::VmPause(target(false))),
        ("resume", Kind::VmResume(target(false))),
        ("save", Kind::VmSave(target(false))),
    ] {
        let path = format!("/api/v1/vms/web-01/actions/{action}");
        assert_eq!(scene.asked(Method::POST, &path, json!({})).await, kind);
    }
    let deleted = scene
        .asked(Method::DELETE, "/api/v1/vms/v1?force=true", json!({}))
        .await;
    assert_eq!(deleted, Kind::VmDelete(target(true)));
    let tags = json!({"tags": {"env": "prod", "old": null}, "owner": "bob"});
    let Kind::VmUpdate(update) = scene.asked(Method::PATCH, "/api/v1/vms/v1", tags).await else {
        panic!("another kind");
    };
    assert_eq!(
        (update.owner.as_deref(), update.remove_tags),
        (Some("bob"), vec!["old".to_owned()])
    );
    let (host_id, group_id) = ("h1".to_owned(), "g1".to_owned());
    let add = HostAdd {
        host_id: host_id.clone(),
        group_id: group_id.clone(),
    };
    let path = "/api/v1/hosts/host-1/actions";
    let added = scene
        .asked(
            Method::POST,
            &format!("{path}/add"),
            json!({"group": "Prod"}),
        )
        .await;
    assert_eq!(added, Kind::HostAdd(add));
    let moved = scene
        .asked(
            Method::POST,
            &format!("{path}/move"),
            json!({"group": "g1"}),
        )
        .await;
    assert_eq!(
        moved,
        Kind::HostMove(HostMove {
            host_id: host_id.clone(),
            group_id
        })
    );
    let removed = scene
        .asked(
            Method::POST,
            &format!("{path}/remove?force=true"),
            json!({}),
        )
        .await;
    assert_eq!(
        removed,
        Kind::HostRemove(HostTarget {
            host_id,
            force: true
        })
    );
}

#[tokio::test]
async fn groups_are_made_changed_and_deleted() {
    let scene = scene().await;
    let body = json!({"name": "Web", "parent": "Prod"});
    let Kind::GroupCreate(create) = scene.asked(Method::POST, "/api/v1/host-groups", body).await
    else {
        panic!("another kind");
    };
    assert_eq!(
        (create.name.as_str(), create.parent_id.as_str()),
        ("Web", "g1")
    );
    let path = "/api/v1/host-groups/Prod";
    let body = json!({"parent": "all-hosts"});
    let Kind::GroupUpdate(update) = scene.asked(Method::PATCH, path, body).await else {
        panic!("another kind");
    };
    assert_eq!(
        (update.group_id.as_str(), update.parent_id.as_deref()),
        ("g1", Some("all-hosts"))
    );
    let Kind::GroupDelete(delete) = scene.asked(Method::DELETE, path, json!({})).await else {
        panic!("another kind");
    };
    assert_eq!(delete.group_id, "g1");
}

#[tokio::test]
async fn a_dry_run_answers_with_the_plan() {
    let scene = scene().await;
    let path = "/api/v1/vms/v1/actions/start?dry_run=true&if_busy=refuse";
    let answer = scene.gateway.post(path, json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["steps"][0]["name"], "place");
    assert_eq!(answer.json()["host_id"], "h1");
    let (_, request) = scene.stand_ins.notes.last_submitted();
    assert!(request.dry_run);
    assert_eq!(request.if_busy(), IfBusy::Refuse);
}

#[tokio::test]
async fn a_key_makes_one_job_of_two_requests() {
    let scene = scene().await;
    let start = |key: &'static str| {
        let request = scene
            .gateway
            .ask(Method::POST, "/api/v1/vms/v1/actions/start");
        answer(request.header("idempotency-key", key))
    };
    let (first, second) = (start("a-1").await, start("a-1").await);
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(first.header("idempotency-replayed"), "");
    assert_eq!(second.header("idempotency-replayed"), "true");
    for wrong in ["", "a b", "a/b", "ä"] {
        let refused = start(wrong).await;
        assert_eq!(refused.json()["field"], "idempotency-key", "{wrong}");
    }
    let long = scene
        .gateway
        .ask(Method::POST, "/api/v1/vms/v1/actions/start");
    let refused = answer(long.header("idempotency-key", "x".repeat(129))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_asks_what_it_has_seen_and_its_trace_go_along() {
    let scene = scene().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = scene
        .gateway
        .ask(Method::POST, "/api/v1/vms/v1/actions/start")
        .header("traceparent", trace)
        .header("muster-revision", "vm=1");
    let done = answer(request).await;
    let (context, _) = scene.stand_ins.notes.last_submitted();
    assert_eq!(
        (context.principal.as_str(), context.trace_parent.as_str()),
        ("local", trace)
    );
    assert_eq!(context.seen_of("vm"), 1);
    let seen = contracts::call::parse_revisions(done.header("muster-revision"));
    assert!(seen.contains_key("job"), "{seen:?}");
    // The job is there for whoever gives the revision back.
    let path = format!("/api/v1/jobs/{}", done.json()["id"].as_str().unwrap());
    let request = scene.gateway.ask(Method::GET, &path);
    let job = answer(request.header("muster-revision", done.header("muster-revision"))).await;
    assert_eq!(job.json()["state"], "queued");
    assert_eq!(job.json()["params"]["vm_id"], "v1");
    let nonsense = scene
        .gateway
        .ask(Method::POST, "/api/v1/vms/v1/actions/start");
    answer(nonsense.header("traceparent", "nonsense")).await;
    let (context, _) = scene.stand_ins.notes.last_submitted();
    assert_eq!(context.trace_parent, "");
}

#[tokio::test]
async fn a_body_may_be_left_out_where_nothing_has_to_be_said() {
    let scene = scene().await;
    for path in [
        "/api/v1/vms/v1/actions/start",
        "/api/v1/hosts/h1/actions/add",
        "/api/v1/hosts/h1/actions/remove",
    ] {
        let answer = answer(scene.gateway.ask(Method::POST, path)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{path}");
    }
    let token = answer(scene.gateway.ask(Method::POST, "/api/v1/join-tokens")).await;
    assert_eq!(token.status, StatusCode::CREATED);
    assert_eq!(
        token.json(),
        json!({"token": "id.secret", "expires": "2026-01-01T00:00:00Z"})
    );
    let asked = scene.stand_ins.notes.tokens.lock().unwrap().clone();
    assert_eq!(asked[0].group_id, "all-hosts");
}

#[tokio::test]
async fn hosts_are_rated_for_a_machine() {
    let scene = scene().await;
    let body = json!({"memory_bytes": 1 << 30, "group": "Prod"});
    let answer = scene.gateway.post("/api/v1/placement/rate", body).await;
    assert_eq!(answer.json()["ratings"][0]["stars"], 3.5);
    let rated = scene.stand_ins.notes.rated.lock().unwrap().clone();
    assert_eq!(rated[0].group_id, "g1");
    assert_eq!(rated[0].requirements.as_ref().unwrap().vcpus, 1);
}

#[tokio::test]
async fn the_screen_and_the_console_log_come_from_the_host() {
    let scene = scene().await;
    let screen = scene.gateway.get("/api/v1/vms/web-01/screenshot").await;
    assert_eq!(
        (screen.header("content-type"), screen.bytes.as_slice()),
        ("image/png", PNG)
    );
    let log = scene
        .gateway
        .get("/api/v1/vms/web-01/log?offset=100&bytes=10")
        .await;
    assert_eq!(log.bytes, b"Linux version 6\n");
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(log.header("x-muster-next-offset"), "116");
    assert_eq!(log.header("x-muster-log-size"), "500");
    scene.gateway.get("/api/v1/vms/web-01/log").await;
    let asked = scene.stand_ins.notes.logs.lock().unwrap().clone();
    assert_eq!((asked[0].offset, asked[0].bytes_max), (100, 10));
    assert_eq!((asked[1].offset, asked[1].bytes_max), (-65_536, 65_536));
    let refused = scene
        .gateway
        .get("/api/v1/vms/web-01/log?bytes=1000000")
        .await;
    assert_eq!(refused.json()["field"], "bytes");
}
