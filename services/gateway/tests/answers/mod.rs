//! What goes wrong is told in one form, whatever it was.

use contracts::host::VmState;
use contracts::inventory::HostGroup;
use contracts::{Code, Status};
use gateway::Config;
use reqwest::{Method, StatusCode};
use serde_json::json;
use support::NatsServer;

use crate::fleet::{Answer, Fleet, Gateway, answer};

fn check_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["code"], code, "{problem}");
    let type_uri = format!("urn:muster:problem:{}", code.to_lowercase());
    assert_eq!(problem["type"], type_uri.as_str());
    for said in ["title", "detail", "recommended_action", "instance"] {
        let text = problem[said].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{said} is missing: {problem}");
    }
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
}

const INVALID: &str = "INVALID_ARGUMENT";

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_by_name() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    let good = json!({"name": "web-01", "memory_bytes": 1 << 30});
    let with = |field: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let cases = [
        (with("colour", json!("red")), "colour", "colour"),
        (with("vcpus", json!("two")), "vcpus", "line 1 column"),
        (with("vcpus", json!(0)), "vcpus", "between 1 and 240"),
        (with("name", json!("a/b")), "name", "a/b"),
        (with("memory_bytes", json!(-1)), "memory_bytes", "-1"),
        (with("disks", json!([{"size": 1}])), "disks[0].size", "size"),
        (
            with("disks", json!([{"image": 1}])),
            "disks[0].image",
            "string",
        ),
        (json!({"name": "web-01"}), "memory_bytes", "not said"),
        (json!([]), "", "line 1"),
    ];
    for (body, field, says) in cases {
        let answer = gateway.post("/api/v1/vms", body.clone()).await;
        check_problem(&answer, 400, INVALID);
        let problem = answer.json();
        assert_eq!(
            problem["field"].as_str().unwrap_or_default(),
            field,
            "{body}"
        );
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{problem}"
        );
    }
    for (path, field) in [
        ("/api/v1/vms?colour=red", "colour"),
        ("/api/v1/vms?limit=many", "limit"),
        ("/api/v1/vms?limit=0", "limit"),
        ("/api/v1/vms?filter=colour:red", "filter"),
        ("/api/v1/vms?sort=colour", "sort"),
        ("/api/v1/vms?fields=colour", "fields"),
        ("/api/v1/vms?cursor=AAAA", "cursor"),
        ("/api/v1/events?kind=colour", "kind"),
    ] {
        let answer = gateway.get(path).await;
        check_problem(&answer, 400, INVALID);
        assert_eq!(answer.json()["field"], field, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_says_why() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    let post = |kind: &'static str, body: Vec<u8>| {
        let request = gateway.ask(Method::POST, "/api/v1/vms");
        answer(request.header("content-type", kind).body(body))
    };
    let torn = post("application/json", b"{\n \"name\": \"a\",\n ]".to_vec()).await;
    check_problem(&torn, 400, INVALID);
    assert!(
        torn.json()["detail"]
            .as_str()
            .unwrap()
            .contains("line 3 column 2")
    );
    let empty = post("application/json", Vec::new()).await;
    check_problem(&empty, 400, INVALID);
    check_problem(&post("text/plain", b"{}".to_vec()).await, 415, INVALID);
    let large = post("application/json", vec![b' '; (1 << 20) + 1]).await;
    check_problem(&large, 413, INVALID);
    let binary = post("application/json", vec![0xff, 0xfe, 0]).await;
    check_problem(&binary, 400, INVALID);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    for path in ["/", "/api/v1/colours", "/api/v2/vms", "/api/v1/vms/x/y/z"] {
        check_problem(&gateway.get(path).await, 404, "NOT_FOUND");
    }
    for (path, kind, name) in [
        ("/api/v1/vms/nobody", "vm", "nobody"),
        ("/api/v1/hosts/no%20body", "host", "no body"),
        ("/api/v1/host-groups/..%2F..", "host_group", "../.."),
        ("/api/v1/jobs/nobody", "job", "nobody"),
        ("/api/v1/vms/nobody/screenshot", "vm", "nobody"),
        ("/api/v1/jobs/nobody/watch", "job", "nobody"),
    ] {
        let answer = gateway.get(path).await;
        check_problem(&answer, 404, "NOT_FOUND");
        let object = answer.json()["object"].clone();
        assert_eq!(
            (&object["kind"], &object["name"]),
            (&json!(kind), &json!(name))
        );
    }
    check_problem(&gateway.get("/api/v1/vms/%ff").await, 400, INVALID);
    let dance = gateway.post("/api/v1/vms/x/actions/dance", json!({})).await;
    check_problem(&dance, 404, "NOT_FOUND");
    let wrong = answer(gateway.ask(Method::PUT, "/api/v1/vms")).await;
    check_problem(&wrong, 405, INVALID);
    assert_eq!(wrong.header("allow"), "GET,HEAD,POST");
}

#[tokio::test]
async fn a_name_that_several_have_is_refused_with_their_ids() {
    let fleet = Fleet::start().await;
    fleet.group("g1", "Twin", "all-hosts").await;
    fleet.group("g2", "Twin", "g1").await;
    fleet.group("g3", "twin", "g1").await;
    let gateway = fleet.gateway("0").await;
    let answer = gateway.get("/api/v1/host-groups/Twin").await;
    check_problem(&answer, 409, "FAILED_PRECONDITION");
    let action = answer.json()["recommended_action"].clone();
    assert!(action.as_str().unwrap().contains("g1, g2."), "{action}");
    assert_eq!(
        gateway.get("/api/v1/host-groups/g2").await.status,
        StatusCode::OK
    );
    assert_eq!(
        gateway.get("/api/v1/host-groups/twin").await.json()["id"],
        "g3"
    );
}

#[tokio::test]
async fn each_code_of_a_service_has_its_http_status() {
    let fleet = Fleet::start().await;
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    let stand_ins = fleet.stand_ins().await;
    let gateway = fleet.gateway("0").await;
    for (code, http, name) in [
        (Code::InvalidArgument, 400, "INVALID_ARGUMENT"),
        (Code::Unauthenticated, 401, "UNAUTHENTICATED"),
        (Code::PermissionDenied, 403, "PERMISSION_DENIED"),
        (Code::NotFound, 404, "NOT_FOUND"),
        (Code::AlreadyExists, 409, "ALREADY_EXISTS"),
        (Code::FailedPrecondition, 409, "FAILED_PRECONDITION"),
        (Code::Aborted, 409, "ABORTED"),
        (Code::ResourceExhausted, 507, "RESOURCE_EXHAUSTED"),
        (Code::Internal, 500, "INTERNAL"),
        (Code::Unavailable, 503, "UNAVAILABLE"),
        (Code::DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
    ] {
        let mut status = Status::new(code, "It is so.").action("Do this.");
        status.field = "hardware.vcpus".to_owned();
        *stand_ins.notes.refuse.lock().unwrap() = Some(status);
        let answer = gateway
            .post("/api/v1/vms/web-01/actions/start", json!({}))
            .await;
        check_problem(&answer, http, name);
        assert_eq!(answer.json()["recommended_action"], "Do this.");
        assert_eq!(answer.json()["field"], "vcpus");
        let retry_after = answer.headers.contains_key("retry-after");
        assert_eq!(retry_after, code == Code::Unavailable, "{name}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_not_available() {
    let fleet = Fleet::start().await;
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    let gateway = fleet.gateway("0").await;
    let answer = gateway
        .post("/api/v1/vms/v1/actions/start", json!({}))
        .await;
    check_problem(&answer, 503, "UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing_and_read_nothing() {
    let fleet = Fleet::start().await;
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    let stand_ins = fleet.stand_ins().await;
    let gateway = fleet.gateway("0").await;
    let start = || gateway.ask(Method::POST, "/api/v1/vms/v1/actions/start");
    for (name, value) in [
        ("host", "muster.evil.example"),
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        check_problem(
            &answer(start().header(name, value)).await,
            403,
            "PERMISSION_DENIED",
        );
    }
    let read = gateway
        .ask(Method::GET, "/api/v1/vms")
        .header("host", "muster.evil.example");
    check_problem(&answer(read).await, 403, "PERMISSION_DENIED");
    assert!(stand_ins.notes.submitted.lock().unwrap().is_empty());
    let own = start()
        .header("origin", &gateway.url)
        .header("sec-fetch-site", "same-origin");
    assert_eq!(answer(own).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn every_answer_carries_its_name_and_what_browsers_must_not_do() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    for path in ["/healthz", "/api/v1/vms", "/api/v1/nothing"] {
        let request = gateway
            .ask(Method::GET, path)
            .header("x-request-id", "mine-1");
        let answer = answer(request).await;
        assert_eq!(answer.header("x-request-id"), "mine-1");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let request = gateway
        .ask(Method::GET, "/healthz")
        .header("x-request-id", "not one");
    assert_ne!(answer(request).await.header("x-request-id"), "not one");
}

#[tokio::test]
async fn it_lives_before_it_is_ready_and_says_so() {
    let nats = NatsServer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&nats, folder.path().into(), "0", Config::default()).await;
    assert_eq!(gateway.get("/healthz").await.status, StatusCode::OK);
    for path in ["/readyz", "/api/v1/status", "/api/v1/vms", "/api/v1/events"] {
        let answer = gateway.get(path).await;
        check_problem(&answer, 503, "UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let fleet = Fleet::on(nats).await;
    support::eventually("the gateway to be ready", async || {
        (gateway.get("/readyz").await.status == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        gateway.get("/api/v1/host-groups").await.items("name"),
        ["All Hosts"]
    );
    gateway.stop().await;
    drop(fleet);
}

#[tokio::test]
async fn it_is_not_ready_while_the_bus_is_away() {
    let mut fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    fleet.nats.kill();
    check_problem(&gateway.get("/readyz").await, 503, "UNAVAILABLE");
    // What it has seen it still shows.
    assert_eq!(
        gateway.get("/api/v1/host-groups").await.items("name"),
        ["All Hosts"]
    );
    fleet.nats.restart().await.unwrap();
    support::eventually("the gateway to be ready again", async || {
        (gateway.get("/readyz").await.status == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
    let group: HostGroup = fleet.groups.get("all-hosts").unwrap().unwrap().value;
    assert_eq!(group.name, "All Hosts");
}
