//! What is used, and webhooks.

use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::standin::StandIn;

fn top() -> Value {
    json!({"items": [
        {"id": "v1", "name": "web-01", "host_id": "h1", "host": "host-1", "time": "2026-01-31T12:00:00Z",
         "usage": {"cpu_percent": 97.25, "memory_bytes": 536_870_912, "disk_read_bytes_per_sec": 1_048_576,
                   "disk_write_bytes_per_sec": null, "disk_operations_per_sec": 12, "disk_used_bytes": null,
                   "network_received_bytes_per_sec": null, "network_sent_bytes_per_sec": null}},
    ], "total": 9})
}

#[test]
fn the_busiest_are_a_table_in_which_nothing_is_no_zero() {
    let routes = Router::new().route("/top", get(|| async { Json(top()) }));
    let server = StandIn::new(routes);
    let words = "vm top --sort memory --limit 7 --group Prod";
    let told = server.muster(words).expect(0).out;
    let lines: Vec<Vec<&str>> = told
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][..4], ["NAME", "HOST", "CPU", "MEMORY"]);
    let row = [
        "web-01", "host-1", "97.2", "%", "512", "MiB", "1", "MiB/s", "-", "12/s", "-", "-", "-",
    ];
    assert_eq!(lines[1], row, "{told}");
    let host = server.muster("host top").expect(0).out;
    assert!(!host.contains("host-1"), "{host}");
    assert_eq!(server.muster("vm top -o name").expect(0).out, "vm/web-01\n");
    assert_eq!(server.muster("vm top -o json").expect(0).value(), top());
    let asked = server.lines();
    assert_eq!(
        asked[0],
        "GET /api/v1/top?kind=vm&sort=memory&limit=7&group=Prod"
    );
    assert_eq!(asked[1], "GET /api/v1/top?kind=host&sort=cpu&limit=20");
    server.muster("vm top --sort beauty").expect(2);
}

#[test]
fn an_empty_top_says_why() {
    let empty = || async { Json(json!({"items": [], "total": 0})) };
    let server = StandIn::new(Router::new().route("/top", get(empty)));
    let told = server.muster("host top").expect(0).err;
    assert!(told.contains("no samples"), "{told}");
}

fn webhook() -> Value {
    json!({
        "id": "w1", "name": "chat", "url": "https://chat.example.com/hook", "kinds": ["vm"], "verbs": [],
        "group_id": "prod", "enabled": true, "created": "2026-01-31T12:00:00Z", "created_by": "alice",
        "delivered": 41, "given_up": 1, "dead_letters": 1, "last_delivery": null, "problem": "It answers 500.",
        "attempts": 3,
    })
}

fn webhooks() -> StandIn {
    let made = || async { Json(json!({"webhook": webhook(), "secret": "whsec_c2VjcmV0"})) };
    let list = || async { Json(json!({"items": [webhook()]})) };
    let letters = || async {
        Json(json!({"items": [{
            "sequence": 42, "message_id": "m-42", "body": "{\"type\": \"vm.created\"}",
            "problem": "It answers 410.", "attempts": 5, "given_up": "2026-01-31T12:00:00Z",
        }]}))
    };
    let tested = || async { Json(json!({"taken": false, "problem": "It answers 500."})) };
    let again = || async { Json(json!({"delivered": 1, "left": 0, "problem": ""})) };
    let routes = Router::new()
        .route("/webhooks", post(made).get(list))
        .route(
            "/webhooks/{webhook}",
            delete(|| async { StatusCode::NO_CONTENT })
                .get(|| async { Json(webhook()) })
                .patch(|| async { Json(webhook()) }),
        )
        .route("/webhooks/{webhook}/dead-letters", get(letters))
        .route("/webhooks/{webhook}/actions/test", post(tested))
        .route("/webhooks/{webhook}/actions/redeliver", post(again));
    StandIn::new(routes)
}

#[test]
fn a_webhook_is_added_as_it_was_said_and_its_secret_shown_once() {
    let server = webhooks();
    let words =
        "webhook add chat https://chat.example.com/hook --kind vm --verb created --group Prod";
    let ran = server.muster(words).expect(0);
    assert_eq!(ran.out, "whsec_c2VjcmV0\n");
    assert!(ran.err.contains("not shown again"), "{}", ran.err);
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /api/v1/webhooks");
    let body = json!({
        "name": "chat", "url": "https://chat.example.com/hook", "kinds": ["vm"], "verbs": ["created"], "group": "Prod",
    });
    assert_eq!(asked.body, body);
}

#[test]
fn webhooks_are_listed_shown_stopped_and_removed() {
    let server = webhooks();
    let listed = server.muster("webhook list").expect(0).out;
    for part in ["chat", "41", "It answers 500."] {
        assert!(listed.contains(part), "{part} is not in\n{listed}");
    }
    let shown = server.muster("webhook show chat").expect(0).out;
    assert!(shown.contains("Dead letters  1"), "{shown}");
    server.muster("webhook disable chat").expect(0);
    assert_eq!(server.asked()[2].body, json!({"enabled": false}));
    server.muster("webhook remove chat").expect(0);
    let lines = server.lines();
    assert_eq!(
        lines[2..],
        [
            "PATCH /api/v1/webhooks/chat",
            "DELETE /api/v1/webhooks/chat"
        ]
    );
}

#[test]
fn what_was_not_taken_is_listed_and_sent_again() {
    let server = webhooks();
    let letters = server.muster("webhook dead-letters chat").expect(0).out;
    for part in ["42", "vm.created", "It answers 410."] {
        assert!(letters.contains(part), "{part} is not in\n{letters}");
    }
    let told = server.muster("webhook redeliver chat").expect(0).out;
    assert!(told.starts_with("1 delivered, 0 left."), "{told}");
    let failed = server.muster("webhook test chat");
    assert!(
        failed.code != 0 && failed.err.contains("It answers 500."),
        "{failed:?}"
    );
}
