//! Changes: what is sent, sent again, and told.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{delete, patch, post};
use axum::{Json, Router};
use contracts::Code;
use contracts::jobs::JobState;
use serde_json::json;

use crate::standin::{StandIn, accepted, hang_up, job, muster, problem};

/// Every route that makes a job answers with a queued one.
fn queued() -> Router {
    let answer = || async { accepted(job("j-1", JobState::Queued)) };
    Router::new()
        .route("/vms", post(answer))
        .route("/vms/{vm}", delete(answer).patch(answer))
        .route("/vms/{vm}/actions/{action}", post(answer))
        .route("/hosts/{host}/actions/{action}", post(answer))
        .route("/host-groups", post(answer))
        .route("/host-groups/{group}", patch(answer).delete(answer))
        .route("/jobs/{job}/actions/{action}", post(answer))
}

#[test]
fn a_machine_is_asked_for_as_it_was_said() {
    let server = StandIn::new(queued());
    let words = "vm create web-01 --image g.qcow2 --cpus 2 --memory 1.5GiB --disk 20G --tag env=prod --start";
    let ran = server.muster(words).expect(0);
    assert!(
        ran.out.contains("vm create web-01: queued as job j-1"),
        "{}",
        ran.out
    );
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /api/v1/vms");
    assert_eq!(asked.header("idempotency-key").len(), 36);
    assert_eq!(asked.body["memory_bytes"], 1_610_612_736u64);
    assert_eq!(asked.body["disks"][1]["size_bytes"], 21_474_836_480u64);
    assert_eq!(asked.body["tags"], json!({"env": "prod"}));
    assert_eq!(
        (&asked.body["vcpus"], &asked.body["start"]),
        (&json!(2), &json!(true))
    );
}

#[test]
fn every_verb_has_its_address() {
    for (words, line) in [
        ("vm off a", "POST /api/v1/vms/a/actions/turn-off"),
        (
            "vm shutdown a --if-busy refuse",
            "POST /api/v1/vms/a/actions/shutdown?if_busy=refuse",
        ),
        ("vm delete a --force", "DELETE /api/v1/vms/a?force=true"),
        ("vm edit a --untag env", "PATCH /api/v1/vms/a"),
        (
            "host add h --group Prod",
            "POST /api/v1/hosts/h/actions/add",
        ),
        (
            "host remove h --force",
            "POST /api/v1/hosts/h/actions/remove?force=true",
        ),
        ("host move h Prod", "POST /api/v1/hosts/h/actions/move"),
        ("group create Prod", "POST /api/v1/host-groups"),
        (
            "group edit Prod --name Test",
            "PATCH /api/v1/host-groups/Prod",
        ),
        ("group move Prod Test", "PATCH /api/v1/host-groups/Prod"),
        ("group delete Prod", "DELETE /api/v1/host-groups/Prod"),
        ("job restart j-1", "POST /api/v1/jobs/j-1/actions/restart"),
    ] {
        let server = StandIn::new(queued());
        server.muster(words).expect(0);
        assert_eq!(server.lines(), [line], "{words}");
    }
}

#[test]
fn a_tag_is_removed_by_null() {
    let server = StandIn::new(queued());
    server
        .muster("vm edit a --tag env=prod --untag zone --owner bob")
        .expect(0);
    let body = &server.asked()[0].body;
    assert_eq!(body["tags"], json!({"env": "prod", "zone": null}));
    assert_eq!(body["owner"], "bob");
}

#[test]
fn a_change_whose_answer_is_lost_is_sent_again_with_the_same_key() {
    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
    let create = || async {
        if ATTEMPTS.fetch_add(1, Ordering::SeqCst) == 0 {
            hang_up();
        }
        accepted(job("j-1", JobState::Queued))
    };
    let server = StandIn::new(Router::new().route("/vms", post(create)));
    let ran = server.muster("vm create web-01 -o name").expect(0);
    assert_eq!(ran.out, "job/j-1\n");
    assert!(ran.err.contains("trying again"), "{}", ran.err);
    let asked = server.asked();
    let keys: Vec<&str> = asked.iter().map(|a| a.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    assert_eq!(asked[0].body, asked[1].body);
}

#[test]
fn a_manager_that_is_not_ready_yet_is_asked_again() {
    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
    let start = || async {
        match ATTEMPTS.fetch_add(1, Ordering::SeqCst) {
            0 => problem(Code::Unavailable, "The jobs are not there yet.", ""),
            _ => accepted(job("j-1", JobState::Queued)),
        }
    };
    let server = StandIn::new(Router::new().route("/vms/{vm}/actions/start", post(start)));
    let ran = server.muster("vm start web-01 -q -o name").expect(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("job/j-1\n", ""));
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn several_machines_are_several_jobs_and_the_first_failure_counts() {
    let start = |axum::extract::Path(vm): axum::extract::Path<String>| async move {
        match vm.as_str() {
            "gone" => problem(
                Code::NotFound,
                "There is no virtual machine gone.",
                "List them.",
            ),
            "busy" => problem(Code::FailedPrecondition, "busy is being deleted.", ""),
            _ => accepted(job(&format!("j-{vm}"), JobState::Queued)),
        }
    };
    let server = StandIn::new(Router::new().route("/vms/{vm}/actions/start", post(start)));
    let ran = server.muster("vm start a gone busy b -o json").expect(3);
    let ids: Vec<_> = ran
        .value()
        .as_array()
        .unwrap()
        .iter()
        .map(|j| j["id"].clone())
        .collect();
    assert_eq!(ids, ["j-a", "j-b"]);
    assert!(
        ran.err
            .contains("There is no virtual machine gone.\n  next: List them."),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("busy is being deleted."), "{}", ran.err);
    let asked = server.asked();
    let mut keys: Vec<&str> = asked.iter().map(|a| a.header("idempotency-key")).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4, "each has a key of its own");
}

#[test]
fn a_dry_run_shows_the_plan_and_only_that() {
    let plan = || async {
        Json(json!({
            "steps": [{"name": "choose_host", "description": "Takes host-2.", "can_be_undone": true}],
            "target": {"kind": "vm", "id": "", "name": "web-01"}, "host_id": "h-2", "host_name": "host-2",
            "ratings": [], "bytes_to_move": 1_073_741_824, "changes": [],
        }))
    };
    let server = StandIn::new(Router::new().route("/vms", post(plan)));
    let ran = server.muster("vm create web-01 --dry-run --wait").expect(0);
    for part in ["Nothing was done", "host-2", "1 GiB", "Takes host-2."] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
    assert_eq!(server.lines(), ["POST /api/v1/vms?dry_run=true"]);
    let shown = server
        .muster("vm create web-01 --dry-run -o json")
        .expect(0)
        .value();
    assert_eq!(shown["host_id"], "h-2");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let server = StandIn::new(queued());
    for (words, says) in [
        ("vm create web-01 --memory 0", "at least 16MiB"),
        ("vm create web-01 --memory banana", "such as 512MiB"),
        ("vm create web-01 --memory 4GB", "write 4GiB"),
        (
            "vm create web-01 --memory 99999999999999999999G",
            "more than can be counted",
        ),
        ("vm create web-01 --cpus 0", "from 1 to 240"),
        ("vm create web-01 --disk 0", "cannot be empty"),
        ("vm create web/01", "cannot be the name"),
        ("vm create web-01 --tag env", "key=value"),
        ("vm create web-01 --copy", "--image"),
        (
            "vm create web-01 --network none --network user",
            "no other network",
        ),
        ("vm start ..", "as Muster shows it"),
        ("vm edit web-01", "required"),
        ("vm start", "required"),
        ("vm start a --timeout 5", "such as 30s"),
        ("vm list --fields colour", "There is no column"),
        ("host token create --lifetime forever", "such as 30s"),
    ] {
        let ran = server.muster(words).expect(2);
        assert!(ran.err.contains(says), "{words}: {}", ran.err);
    }
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[test]
fn completion_is_there_for_three_shells() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef muster"),
        ("fish", "complete -c muster"),
    ] {
        let ran = muster(&format!("completion {shell}")).expect(0);
        assert!(
            ran.out.contains(part) && ran.out.contains("screenshot"),
            "{shell}"
        );
    }
}
