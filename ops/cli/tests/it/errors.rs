//! How the program ends when it does not go well.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use contracts::Code;
use serde_json::json;

use crate::standin::{StandIn, deserted, hang_up, muster, page, problem};

#[test]
fn the_exit_code_says_what_kind_of_failure_it_was() {
    for (code, exit) in [
        (Code::InvalidArgument, 2),
        (Code::NotFound, 3),
        (Code::AlreadyExists, 4),
        (Code::FailedPrecondition, 4),
        (Code::Aborted, 4),
        (Code::ResourceExhausted, 4),
        (Code::DeadlineExceeded, 5),
        (Code::PermissionDenied, 7),
        (Code::Unauthenticated, 7),
        (Code::Internal, 8),
    ] {
        let refuse = move || async move { problem(code, "It is web-01.", "Do this.") };
        let server = StandIn::new(Router::new().route("/vms/{vm}", get(refuse)));
        let ran = server.muster("vm show web-01").expect(exit);
        assert_eq!(
            ran.err, "error: It is web-01.\n  next: Do this.\n",
            "{code:?}"
        );
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_problem_names_its_field_object_and_request() {
    let refuse = || async {
        let body = json!({
            "type": "urn:muster:problem:internal", "title": "Failed in itself", "status": 500,
            "detail": "The answer was lost.", "code": "INTERNAL", "field": "memory_bytes",
            "object": {"kind": "vm", "id": "v-1", "name": "web-01"}, "request_id": "r-9", "new_member": 1,
        });
        (StatusCode::INTERNAL_SERVER_ERROR, body.to_string())
    };
    let server = StandIn::new(Router::new().route("/vms", post(refuse)));
    let ran = server.muster("vm create web-01").expect(8);
    for part in ["object: vm web-01", "field: memory_bytes", "request: r-9"] {
        assert!(ran.err.contains(part), "{part} is not in {}", ran.err);
    }
}

#[test]
fn what_is_not_the_gateway_is_told_as_such() {
    let html = || async { (StatusCode::NOT_FOUND, "<html>nginx</html>") };
    let routes = Router::new()
        .route("/vms/{vm}", get(html))
        .route("/status", get(|| async { "<html>hello</html>" }));
    let server = StandIn::new(routes);
    let ran = server.muster("vm show x").expect(3);
    assert!(
        ran.err.contains("status 404") && ran.err.contains("gateway"),
        "{}",
        ran.err
    );
    let ran = server.muster("status").expect(8);
    assert!(
        ran.err
            .contains("not what this version of muster understands"),
        "{}",
        ran.err
    );
}

#[test]
fn nobody_at_the_address_is_said_at_once() {
    let address = deserted();
    for words in [
        "status",
        "vm create web-01",
        "events",
        "job watch j-1",
        "vm log web-01 --follow",
    ] {
        let ran = muster(&format!("--server http://{address} {words}")).expect(5);
        assert!(ran.err.contains(&address.to_string()), "{}", ran.err);
        assert!(
            ran.err.contains("connection refused") && ran.err.contains("--server"),
            "{}",
            ran.err
        );
        assert!(!ran.err.contains("os error"), "{}", ran.err);
    }
}

#[test]
fn a_change_that_may_have_been_made_is_said_to_be_so() {
    let lose = || async {
        if true {
            hang_up();
        }
    };
    let server = StandIn::new(Router::new().route("/vms", post(lose)));
    let child = server.start(&["vm", "create", "web-01"]);
    server.wait_for(1);
    let keys: Vec<String> = server
        .asked()
        .iter()
        .map(|a| a.header("idempotency-key").to_owned())
        .collect();
    server.kill();
    let ran = crate::standin::finish(child).expect(5);
    assert!(
        ran.err.contains("The change may have been made"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("muster job list"), "{}", ran.err);
    assert!(keys.iter().all(|key| key == &keys[0]));
}

#[test]
fn a_list_that_is_empty_says_so_beside_the_output() {
    let server = StandIn::new(Router::new().route("/vms", get(|| async { page::<()>(vec![]) })));
    let ran = server.muster("vm list").expect(0);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "There are no virtual machines.\n")
    );
    let ran = server
        .muster("vm list --filter state:running -o json")
        .expect(0);
    assert_eq!(
        ran.value(),
        json!({"items": [], "next_cursor": null, "total": 0})
    );
    assert_eq!(ran.err, "No virtual machines match the filter.\n");
    assert_eq!(server.muster("vm list -q").expect(0).err, "");
}

#[test]
fn the_help_documents_every_exit_code() {
    let help = muster("--help").expect(0).out;
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "130"] {
        assert!(
            help.lines()
                .any(|line| line.starts_with(&format!("  {code} "))),
            "{code}"
        );
    }
}
