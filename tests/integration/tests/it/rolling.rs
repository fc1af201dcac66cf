//! The main job goes on while one of each pair of services is killed and started again, until each was.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use support::eventually;

use crate::fleet::{Client, bare_vm, small_vm};
use crate::invariants;
use crate::site::{Plan, SERVICES, Site};

/// What goes on while services come and go.
pub struct Work {
    client: Client,
    rounds: AtomicUsize,
    is_over: AtomicBool,
}

impl Work {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            rounds: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// No new round is begun.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits until machines have come and gone, so that what was disturbed was used.
    pub async fn goes_on(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        eventually("work to go on", async || {
            (self.rounds.load(Ordering::Relaxed) > before).then_some(())
        })
        .await
        .unwrap();
    }

    /// The life of a machine with a guest.
    pub async fn with_guest(&self, name: &str) {
        let client = &self.client;
        let body = small_vm(name, true, true);
        client.done("POST", "/api/v1/vms", body).await;
        // A report from before, which the bus held up, may be applied after the job's own look; the next one mends it.
        eventually("the guest to be seen", async || {
            let vm = client.vm(name).await?;
            (vm["guest"]["agent_responding"] == true).then_some(())
        })
        .await
        .unwrap();
        for (action, state) in [
            ("pause", "paused"),
            ("resume", "running"),
            ("save", "saved"),
            ("start", "running"),
            ("shutdown", "stopped"),
        ] {
            client.act(name, action).await;
            let vm = client.vm(name).await.unwrap();
            assert_eq!(vm["state"], state, "after {action}");
        }
        let path = format!("/api/v1/vms/{name}");
        client.done("DELETE", &path, json!({})).await;
    }

    /// Lives of machines without one, one after the other until the end.
    pub async fn without_guests(&self, lane: &str) {
        while !self.is_over.load(Ordering::Relaxed) {
            let round = self.rounds.load(Ordering::Relaxed);
            self.without_guest(&format!("{lane}-{round}")).await;
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn without_guest(&self, name: &str) {
        let client = &self.client;
        let path = format!("/api/v1/vms/{name}");
        client
            .done("POST", "/api/v1/vms", bare_vm(name, true))
            .await;
        for action in ["pause", "resume", "turn-off", "start"] {
            client.act(name, action).await;
        }
        let patch = json!({"description": "seen"});
        client.done("PATCH", &path, patch).await;
        let vm = client.vm(name).await.unwrap();
        assert_eq!(
            (&vm["state"], &vm["description"]),
            (&json!("running"), &json!("seen"))
        );
        let delete = format!("{path}?force=true");
        client.done("DELETE", &delete, json!({})).await;
    }
}

/// Kills every instance once, one after the other, each when the one before serves again and work goes on.
async fn kill_each_in_turn(site: &mut Site, work: &Work) {
    for instance in 0..2 {
        for service in SERVICES {
            work.goes_on().await;
            site.service(&format!("{service}-{instance}")).kill();
            work.goes_on().await;
            site.service(&format!("{service}-{instance}")).restart();
            site.serving(service, 2).await;
        }
    }
    work.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_while_each_service_is_killed_in_turn() {
    let mut site = Site::build(Plan::default()).await;
    let work = Work::new(site.client());
    let started = std::time::Instant::now();
    tokio::join!(
        kill_each_in_turn(&mut site, &work),
        work.with_guest("guest"),
        work.without_guests("a"),
        work.without_guests("b"),
    );
    println!(
        "8 processes killed in {:?}, {} machines came and went, {} requests were sent again",
        started.elapsed(),
        work.rounds.load(Ordering::Relaxed) + 1,
        site.fleet.client.sent_again(),
    );
    site.fleet.nothing_is_left().await;
    invariants::hold(&site.fleet).await;
    site.nothing_was_refused();
}
