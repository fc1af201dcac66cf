//! Waiting for jobs.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, http::StatusCode};
use contracts::Code;
use contracts::jobs::JobState;

use crate::standin::{
    StandIn, accepted, broken_stream, finish, job, job_event, open_stream, problem,
};

/// `POST /vms` answers with a queued job; its stream is what `watch` says at each connection, counted from 0.
fn creating(watch: fn(usize) -> Response) -> Router {
    let connections = std::sync::Arc::new(AtomicUsize::new(0));
    let create = || async {
        let answer = (StatusCode::ACCEPTED, Json(job("j-1", JobState::Queued)));
        ([("muster-revision", "job=7")], answer).into_response()
    };
    let cancel = || async { accepted(job("j-1", JobState::Running)) };
    let shown = || async { Json(job("j-1", JobState::Running)) };
    let watch = move || async move { watch(connections.fetch_add(1, Ordering::SeqCst)) };
    Router::new()
        .route("/vms", post(create))
        .route("/jobs/{job}", get(shown))
        .route("/jobs/{job}/watch", get(watch))
        .route("/jobs/{job}/actions/cancel", post(cancel))
}

fn ends_as(states: &[JobState]) -> String {
    states
        .iter()
        .map(|state| job_event(job("j-1", *state)))
        .collect()
}

#[test]
fn a_job_that_succeeds_is_told_with_its_steps() {
    let server = StandIn::new(creating(|_| {
        let progress = "event: progress\ndata: {\"job_id\":\"j-1\",\"percent\":50,\"message\":\"half\",\
                        \"bytes_done\":1,\"bytes_total\":2}\n\n";
        open_stream(format!(
            ": hello\n\n{progress}{}",
            ends_as(&[JobState::Running, JobState::Succeeded])
        ))
    }));
    let ran = server.muster("vm create web-01 --wait").expect(0);
    for part in [
        "vm create web-01: succeeded in 12.3 s (job j-1)",
        "copy image   done   2.5 s",
    ] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
    assert_eq!(ran.err, "", "no progress bar without a terminal");
    let watched = &server.asked()[1];
    assert_eq!(watched.line, "GET /api/v1/jobs/j-1/watch");
    assert_eq!(
        watched.header("muster-revision"),
        "job=7",
        "the read must see the write"
    );
    assert_eq!(watched.header("accept"), "text/event-stream");
}

#[test]
fn a_program_gets_the_job_as_it_ended() {
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Succeeded]))));
    let ran = server.muster("vm create web-01 --wait -o json").expect(0);
    let expected = serde_json::to_value(job("j-1", JobState::Succeeded)).unwrap();
    assert_eq!(ran.value(), expected);
}

#[test]
fn nobody_waits_who_does_not_want_to() {
    let server = StandIn::new(creating(|_| open_stream(String::new())));
    server.muster("vm create web-01 --no-wait").expect(0);
    server.muster("vm create web-01").expect(0);
    assert_eq!(server.lines(), ["POST /api/v1/vms", "POST /api/v1/vms"]);
}

#[test]
fn a_job_that_fails_says_why_and_where_to_look() {
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Failed]))));
    let ran = server.muster("vm create web-01 --wait").expect(1);
    assert!(ran.out.contains("vm create web-01: failed"), "{}", ran.out);
    assert_eq!(
        ran.err,
        "error: vm create web-01 failed: The image guest.qcow2 is no image.\n  next: Put a good image there.\n  \
         job: j-1 (muster job show j-1)\n"
    );
}

#[test]
fn a_watch_that_breaks_is_opened_again() {
    let server = StandIn::new(creating(|connection| match connection {
        0 => broken_stream(ends_as(&[JobState::Running])),
        1 => problem(Code::Unavailable, "The jobs are not there yet.", ""),
        _ => open_stream(ends_as(&[JobState::Succeeded])),
    }));
    server.muster("vm create web-01 --wait").expect(0);
    assert_eq!(server.lines().len(), 4);
}

#[test]
fn a_job_outlives_the_gateway_that_it_was_asked_of() {
    // On an address of its own, so that no other test takes the port while nobody listens.
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 0));
    let first = StandIn::at(
        address,
        creating(|_| open_stream(ends_as(&[JobState::Running]))),
    );
    let address = first.address();
    let child = first.start(&["vm", "create", "web-01", "--wait"]);
    first.wait_for(2);
    first.kill();
    let second = StandIn::at(
        address,
        creating(|_| open_stream(ends_as(&[JobState::Succeeded]))),
    );
    let ran = finish(child).expect(0);
    assert!(ran.out.contains("succeeded"), "{}", ran.out);
    assert_eq!(
        second.lines(),
        ["GET /api/v1/jobs/j-1/watch"],
        "the job is not asked for again"
    );
}

#[test]
fn whoever_runs_out_of_time_is_told_how_to_go_on() {
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Running]))));
    let ran = server
        .muster("vm create web-01 --wait --timeout 200ms")
        .expect(6);
    assert!(
        ran.err.contains("did not end within 0.2 s; it goes on"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("muster job watch j-1"), "{}", ran.err);
}

#[test]
fn an_interrupt_leaves_the_job_and_says_how_to_go_on() {
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Running]))));
    let child = server.start(&["vm", "create", "web-01", "--wait"]);
    server.wait_for(2);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ran = finish(child).expect(130);
    assert!(ran.err.contains("goes on"), "{}", ran.err);
    assert!(ran.err.contains("muster job cancel j-1"), "{}", ran.err);
}

#[test]
fn watching_a_job_ends_as_the_job_does() {
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Succeeded]))));
    server.muster("job watch j-1").expect(0);
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Cancelled]))));
    let ran = server.muster("job watch j-1").expect(1);
    assert!(ran.err.contains("was cancelled"), "{}", ran.err);
}

#[test]
fn a_cancel_is_done_when_the_job_is_cancelled() {
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Cancelled]))));
    server.muster("job cancel j-1 --wait").expect(0);
    let server = StandIn::new(creating(|_| open_stream(ends_as(&[JobState::Succeeded]))));
    let ran = server.muster("job cancel j-1 --wait").expect(1);
    assert!(ran.err.contains("had succeeded before"), "{}", ran.err);
}

#[test]
fn a_job_that_is_not_there_is_not_waited_for() {
    let server = StandIn::new(creating(|_| {
        problem(Code::NotFound, "There is no job j-1.", "")
    }));
    server.muster("vm create web-01 --wait").expect(3);
}
