//! From a guest that powers itself off to the event at a client of the gateway: it arrives, in order, once.

use std::time::Instant;

use serde_json::{Value, json};
use support::PATIENCE;

use crate::fleet::{Fleet, small_vm};
use crate::guest::{Console, Control};
use crate::invariants;

/// A stream of server-sent events.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    /// The next event: its id, its data, and when it came.
    async fn next(&mut self) -> (u64, Value, Instant) {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let event = parse(frame);
                self.text = rest.to_owned();
                if let Some((id, data)) = event {
                    return (id, data, Instant::now());
                }
            }
            let chunk = self.response.chunk().await.unwrap();
            let chunk = chunk.expect("the stream ended");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Everything up to the first event that is wanted, which comes last.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<(u64, Value, Instant)> {
        let mut events = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.next()).await;
            events.push(next.expect("no event comes"));
            if wanted(&events[events.len() - 1].1) {
                return events;
            }
        }
    }
}

/// Id and data; what has none is no event.
fn parse(frame: &str) -> Option<(u64, Value)> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
    let (id, data) = field("id: ").zip(field("data: "))?;
    Some((id.parse().ok()?, serde_json::from_str(data).ok()?))
}

async fn listen(fleet: &Fleet, last_event_id: Option<u64>) -> Events {
    Events {
        response: fleet.client.events("kind=vm", last_event_id).await,
        text: String::new(),
    }
}

fn is_stop(event: &Value) -> bool {
    let changes = event["changes"].as_array().unwrap();
    let stopped = |c: &Value| c["property"] == "state" && c["new"] == "stopped";
    event["verb"] == "state_changed" && changes.iter().any(stopped)
}

fn is_deletion(event: &Value) -> bool {
    event["verb"] == "deleted"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_powers_itself_off_is_told_to_who_listens() {
    let fleet = Fleet::start(1).await;
    let client = &fleet.client;
    let body = small_vm("told", true, true);
    client.done("POST", "/api/v1/vms", body).await;
    let [process] = fleet.qemu_processes().try_into().unwrap();
    let mut events = listen(&fleet, None).await;
    let mut control = Control::open(&fleet.socket(process, "qmp2")).await;
    let mut console = Console::open(&fleet.socket(process, "ser")).await;
    console.type_line("poweroff -f").await;
    console.keep_reading();
    let off = control.hears("SHUTDOWN").await.unwrap();
    let mut heard = events.until(is_stop).await;
    let came = heard[heard.len() - 1].2;
    println!(
        "from QEMU's own word to the event at the client: {:?}",
        came.saturating_duration_since(off)
    );
    assert_eq!(client.vm("told").await.unwrap()["state"], "stopped");

    // Later events come after it, and it does not come again.
    client.done("DELETE", "/api/v1/vms/told", json!({})).await;
    heard.extend(events.until(is_deletion).await);
    let ids: Vec<u64> = heard.iter().map(|(id, _, _)| *id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let stops = heard.iter().filter(|(_, event, _)| is_stop(event)).count();
    assert_eq!(stops, 1, "{heard:#?}");

    // Who was cut off hears the same from where it was.
    let mut again = listen(&fleet, Some(ids[0])).await;
    let repeated = again.until(is_deletion).await;
    let repeated: Vec<u64> = repeated.iter().map(|(id, _, _)| *id).collect();
    assert_eq!(repeated, ids[1..]);
    invariants::hold(&fleet).await;
}
