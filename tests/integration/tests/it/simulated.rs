//! Bad days of a simulated fleet, after which Muster's picture is compared with the fleet's own account, object by
//! object. Small here; `./ops/fleet check` and the benchmarks run the same at any size.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use contracts::rest;
use serde_json::{Value, json};
use simfleet::core::fault::Fault;
use simfleet::core::lies::Lie;
use simfleet::muster::Muster;
use simfleet::{Churn, Config, Which, check};
use support::{NatsServer, eventually};

use crate::fleet::{Fleet, signal};
use crate::site::{Plan, Site};

/// A test does not depend on how quick the machine is. What is wanted of Muster is 15 s.
const PATIENCE: Duration = Duration::from_secs(240);

/// Between looks at all hosts, which cost more than a look at one.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A few changes every second.
const LIVELY: Churn = Churn {
    changes_per_minute: 600,
};

/// Simulated hosts that have joined a Muster.
struct World {
    hosts: simfleet::Fleet,
    muster: Muster,
}

fn config(hosts: usize) -> Config {
    Config {
        hosts,
        vms: hosts * 2,
        heartbeat_ms: 200,
        ..Config::default()
    }
}

/// So many that each says less often that it is alive, and has one machine.
fn many(hosts: usize) -> Config {
    Config {
        vms: hosts,
        heartbeat_ms: 1_000,
        ..config(hosts)
    }
}

fn silence(max_ms: u32) -> Vec<(String, String)> {
    let name = "MUSTER_INVENTORY__HOST_SILENCE_MAX_MS";
    vec![(name.to_owned(), max_ms.to_string())]
}

/// Silent hosts are noticed after a second and a half.
fn impatient(_: &str, _: &Path) -> Vec<(String, String)> {
    silence(1_500)
}

async fn muster() -> Fleet {
    Fleet::start_in(0, &silence(1_500)).await
}

/// One for many hosts, which are noticed when they are silent for four seconds.
async fn muster_of_many() -> Fleet {
    Fleet::start_in(0, &silence(4_000)).await
}

impl World {
    async fn join(fleet: &Fleet, config: Config) -> Self {
        let muster = Muster::new(fleet.client.server()).unwrap();
        let config = Config {
            join_token: muster.join_token().await.unwrap(),
            ..config
        };
        let folder = fleet.folder.path().join("hosts");
        let hosts = simfleet::Fleet::start(&config, &fleet.bus_of_hosts(), &folder)
            .await
            .unwrap();
        let joined = muster.has(config.hosts, config.vms, PATIENCE).await;
        joined.unwrap();
        Self { hosts, muster }
    }

    /// Lets so much happen on the hosts, whoever hears of it.
    async fn live(&self, changes: usize) {
        self.hosts.set_churn(LIVELY);
        let mut happened = self.hosts.happened();
        for _ in 0..changes {
            happened.recv().await.unwrap();
        }
    }

    /// The picture is true again, of all hosts that can be known. What is wanted is 15 s; a test says what it was.
    async fn agrees(&self) {
        self.hosts.set_churn(Churn::default());
        let agreed = self.muster.agrees(|| self.hosts.account(), PATIENCE).await;
        match agreed.unwrap() {
            Ok(took) => println!("the picture is true again after {took:?}"),
            Err(differences) => panic!("{differences:#?}"),
        }
    }

    /// Waits until each host was shown so, at one time or another.
    async fn each_was(&self, status: rest::HostStatus) {
        let count = self.hosts.status().hosts;
        let mut seen = BTreeSet::new();
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        eventually("each host to be shown so", async || {
            looks.tick().await;
            let hosts = self.muster.hosts().await.ok()?;
            let so = hosts.into_iter().filter(|host| host.status == status);
            seen.extend(so.map(|host| host.id));
            (seen.len() == count).then_some(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_fleet_lives_and_suffers_and_is_shown_as_it_is() {
    let fleet = muster().await;
    let settings = check::Settings {
        fleet: config(20),
        bus: fleet.bus_of_hosts(),
        muster: Muster::new(fleet.client.server()).unwrap(),
        time: Duration::from_secs(9),
        processes: Vec::new(),
    };
    let folder = fleet.folder.path().join("hosts");
    let outcome = check::run(settings, &folder).await.unwrap();
    assert_eq!(outcome.differences, [], "{}", outcome.table());
}

#[tokio::test]
async fn a_hundred_hosts_flap_at_once_and_none_is_forgotten() {
    let fleet = muster_of_many().await;
    let world = World::join(&fleet, many(100)).await;
    let flapping = Fault::Flapping {
        period_ms: 8_000,
        secs: 3_600,
    };
    world.hosts.set_churn(LIVELY);
    world.hosts.fault(&Which::All, &flapping);
    world.each_was(rest::HostStatus::NotResponding).await;
    world.each_was(rest::HostStatus::Responding).await;
    world.hosts.fault(&Which::All, &Fault::Calm);
    world.agrees().await;
}

#[tokio::test]
async fn all_agents_connect_again_at_once_and_each_is_heard_and_refreshed() {
    let fleet = muster_of_many().await;
    let hosts = 40;
    let a_line_each = Config {
        connections: hosts,
        ..many(hosts)
    };
    let world = World::join(&fleet, a_line_each).await;
    let often = json!({"interval_secs": 10});
    let path = "/api/v1/refreshers/vm_light";
    fleet.client.done("PUT", path, often).await;
    world.live(5).await;
    let killed = fleet.nats_process();
    signal(killed, "KILL");
    world.live(5).await;
    eventually("another nats-server", async || {
        (fleet.nats_process() != killed).then_some(())
    })
    .await
    .unwrap();
    world.agrees().await;
    let account = world.hosts.account();
    let mut before = Vec::new();
    for host in &account.hosts {
        before.push(last_look(&fleet, &host.name).await);
    }
    for (host, before) in account.hosts.iter().zip(before) {
        eventually("each host to be refreshed", async || {
            let now = last_look(&fleet, &host.name).await;
            (now.is_some() && now != before).then_some(())
        })
        .await
        .unwrap();
    }
}

/// When a light refresh of a host last went well.
async fn last_look(fleet: &Fleet, host: &str) -> Option<String> {
    let host = fleet.client.get(&format!("/api/v1/hosts/{host}")).await;
    let host = host.unwrap();
    let mut refreshed = host["refreshed"].as_array()?.iter();
    let light = refreshed.find(|r| r["by"] == "vm_light")?;
    Some(light["succeeded"].as_str()?.to_owned())
}

#[tokio::test]
async fn muster_is_killed_under_load_and_its_picture_is_true_again() {
    let mut fleet = muster().await;
    let world = World::join(&fleet, config(20)).await;
    world.live(5).await;
    fleet.kill_musterd();
    world.hosts.fault(&Which::Some(3), &Fault::Restart);
    world.live(5).await;
    fleet.start_musterd();
    fleet.ready().await;
    world.agrees().await;
}

#[tokio::test]
async fn one_host_that_answers_late_holds_up_no_other() {
    let fleet = muster().await;
    let world = World::join(&fleet, config(20)).await;
    let late = Which::Some(1);
    let slowness = Fault::Slowness {
        delay_ms: 300_000,
        secs: 3_600,
    };
    assert_eq!(world.hosts.fault(&late, &slowness), 1);
    world.live(10).await;
    // All but the late host, of which nothing is known.
    world.agrees().await;
    world.hosts.fault(&late, &Fault::Calm);
    world.hosts.fault(&late, &Fault::Restart);
    world.agrees().await;
}

#[tokio::test]
async fn what_a_hostile_host_reports_stays_with_it() {
    let fleet = muster().await;
    let world = World::join(&fleet, config(12)).await;
    let lies = [
        Lie::NegativeSizes,
        Lie::OneIdTwice,
        Lie::AnothersMachine,
        Lie::FutureClock,
        Lie::TooMany,
        Lie::TooLarge,
    ];
    let account = world.hosts.account();
    for (host, lie) in account.hosts.iter().zip(lies) {
        let which = Which::Named(vec![host.name.clone()]);
        world.hosts.fault(&which, &Fault::Lies { lie });
    }
    world.live(20).await;
    // All others are shown as they are, the robbed one too.
    world.agrees().await;
    world.hosts.fault(&Which::All, &Fault::Calm);
    world.agrees().await;
}

/// Refresher and inventory; the bus last, since all of Muster is cut off from it.
#[tokio::test(flavor = "multi_thread")]
async fn each_part_is_killed_under_load_and_the_picture_is_true_again() {
    let mut site = Site::build(Plan {
        instances: 1,
        environment: impatient,
        ..Plan::default()
    })
    .await;
    let world = World::join(&site.fleet, config(20)).await;
    for name in ["refresher-0", "inventory-0"] {
        world.live(5).await;
        site.service(name).kill();
        world.live(10).await;
        site.service(name).restart();
        world.agrees().await;
    }
    world.live(5).await;
    site.servers.iter_mut().for_each(NatsServer::kill);
    world.live(10).await;
    for server in &mut site.servers {
        server.restart().await.unwrap();
    }
    world.agrees().await;
}

#[tokio::test]
async fn every_subject_has_its_refreshers_and_a_host_in_maintenance_is_passed_over_by_one() {
    let fleet = muster().await;
    let world = World::join(&fleet, config(3)).await;
    let host = &world.hosts.account().hosts[0].name;
    let resting = json!({"maintenance": true});
    let path = format!("/api/v1/hosts/{host}");
    fleet.client.done("PATCH", &path, resting).await;
    let stands = |kind: &Value| {
        let number = |field: &str| kind[field].as_u64().unwrap();
        let text = |field: &str| kind[field].as_str().unwrap().to_owned();
        let counts = (number("targets"), number("passed_over"));
        (text("name"), text("service"), counts)
    };
    let wanted = [
        ("host", "inventory", (3, 1)),
        // No share yet.
        ("library", "library", (0, 0)),
        ("performance", "performance", (3, 0)),
        ("vm_heavy", "inventory", (3, 0)),
        ("vm_light", "inventory", (3, 0)),
    ]
    .map(|(name, service, counts)| (name.to_owned(), service.to_owned(), counts));
    eventually("the refreshers to know", async || {
        let kinds = fleet.client.get("/api/v1/refreshers").await.ok()?;
        let kinds: Vec<_> = kinds["items"].as_array()?.iter().map(stands).collect();
        (kinds == wanted).then_some(())
    })
    .await
    .unwrap();
}
