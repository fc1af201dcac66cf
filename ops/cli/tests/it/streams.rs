//! What goes on: events, and logs that grow.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Query;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use contracts::Code;
use contracts::common;
use contracts::rest::Event;

use crate::standin::{StandIn, broken_stream, open_stream, problem};

fn event(sequence: u64) -> String {
    let message = common::Event {
        kind: "vm".to_owned(),
        id: "v-1".to_owned(),
        name: "web-01".to_owned(),
        verb: "state_changed".to_owned(),
        time_ms: 1_000,
        ..common::Event::default()
    };
    let data = serde_json::to_string(&Event::new(sequence, message)).unwrap();
    format!("id: {sequence}\nevent: vm.state_changed\ndata: {data}\n\n")
}

/// The first lines of a program that goes on; then it is ended.
fn first_lines(mut child: Child, count: usize) -> Vec<String> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines = lines.take(count).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn events_go_on_where_they_stopped_when_the_connection_breaks() {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let events = |headers: HeaderMap| async move {
        let last = headers
            .get("last-event-id")
            .map_or("", |id| id.to_str().unwrap())
            .to_owned();
        match (CONNECTIONS.fetch_add(1, Ordering::SeqCst), last.as_str()) {
            (0, "3") => broken_stream(event(4) + &event(5)),
            (1, "5") => problem(Code::Unavailable, "Not ready.", ""),
            (2, "5") => open_stream(format!("event: reset\ndata: {{}}\n\n{}", event(6))),
            (connection, last) => panic!("connection {connection} continues from {last:?}"),
        }
    };
    let server = StandIn::new(Router::new().route("/events", get(events)));
    let child = server.start(&["events", "--since", "3", "--kind", "vm", "-o", "json"]);
    let lines = first_lines(child, 3);
    let sequences: Vec<u64> = lines
        .iter()
        .map(|line| serde_json::from_str::<Event>(line).unwrap().sequence)
        .collect();
    assert_eq!(sequences, [4, 5, 6]);
    assert_eq!(server.lines()[0], "GET /api/v1/events?kind=vm");
}

#[test]
fn a_quiet_stream_that_breaks_goes_on_where_it_began() {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let events = |headers: HeaderMap| async move {
        match CONNECTIONS.fetch_add(1, Ordering::SeqCst) {
            0 => broken_stream("retry: 1000\nid: 41\n\n".to_owned()),
            _ => {
                assert_eq!(headers["last-event-id"], "41");
                open_stream(event(42))
            }
        }
    };
    let server = StandIn::new(Router::new().route("/events", get(events)));
    assert_eq!(first_lines(server.start(&["events"]), 1).len(), 1);
}

#[test]
fn an_event_is_a_line_for_people_and_a_document_as_yaml() {
    let server =
        StandIn::new(Router::new().route("/events", get(|| async { open_stream(event(4)) })));
    let line = first_lines(server.start(&["events"]), 1).remove(0);
    assert_eq!(
        line,
        "4  1970-01-01 00:00:01 UTC  vm  web-01  state changed"
    );
    assert_eq!(
        first_lines(server.start(&["events", "-o", "name"]), 1),
        ["vm/web-01"]
    );
    assert_eq!(
        first_lines(server.start(&["events", "-o", "yaml"]), 1),
        ["---"]
    );
}

#[test]
fn events_that_are_refused_are_not_asked_for_again() {
    let refuse = || async { problem(Code::NotFound, "There is no host group Prod.", "") };
    let server = StandIn::new(Router::new().route("/events", get(refuse)));
    server.muster("events --group Prod").expect(3);
    assert_eq!(server.lines(), ["GET /api/v1/events?group=Prod"]);
}

/// A log that grows by two bytes with every look.
static LOOKS: AtomicUsize = AtomicUsize::new(0);

async fn growing_log(Query(query): Query<std::collections::BTreeMap<String, String>>) -> Response {
    let size = 4 + 2 * LOOKS.fetch_add(1, Ordering::SeqCst);
    let log: String = (0..size)
        .map(|n| if n % 2 == 0 { 'x' } else { '\n' })
        .collect();
    let offset: i64 = query["offset"].parse().unwrap();
    let start = if offset < 0 {
        size.saturating_sub(offset.unsigned_abs() as usize)
    } else {
        offset as usize
    };
    let headers = [
        ("x-muster-next-offset", size.to_string()),
        ("x-muster-log-size", size.to_string()),
    ];
    (headers, log[start..].to_owned()).into_response()
}

#[test]
fn a_log_is_followed_from_where_it_was_read() {
    let server = StandIn::new(Router::new().route("/vms/{vm}/log", get(growing_log)));
    let child = server.start(&["vm", "log", "web-01", "--follow", "--bytes", "2"]);
    assert_eq!(first_lines(child, 3), ["x", "x", "x"]);
    let lines = server.lines();
    assert!(lines[0].contains("offset=-2"), "{lines:?}");
    assert!(
        lines[1].contains("offset=4") && lines[2].contains("offset=6"),
        "{lines:?}"
    );
}

#[test]
fn a_log_is_printed_whole_in_pieces() {
    let piece = |Query(query): Query<std::collections::BTreeMap<String, String>>| async move {
        let offset: usize = query["offset"].parse().unwrap();
        let (text, next) = [("boot ", 5), ("done\n", 10)][offset / 5];
        let headers = [
            ("x-muster-next-offset", next.to_string()),
            ("x-muster-log-size", "10".to_owned()),
        ];
        (headers, text).into_response()
    };
    let server = StandIn::new(Router::new().route("/vms/{vm}/log", get(piece)));
    assert_eq!(server.muster("vm log web-01").expect(0).out, "boot done\n");
}
