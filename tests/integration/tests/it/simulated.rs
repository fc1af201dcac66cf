//! Bad days of a simulated fleet, after which Muster's picture is compared with the fleet's own account, object by
//! object. Small here; `./ops/fleet check` and the benchmarks run the same at any size.

use std::time::Duration;

use simfleet::core::fault::Fault;
use simfleet::core::lies::Lie;
use simfleet::muster::Muster;
use simfleet::{Churn, Config, Which, check};

use crate::fleet::Fleet;

/// A test does not depend on how quick the machine is. What is wanted of Muster is 15 s.
const PATIENCE: Duration = Duration::from_secs(240);

/// A few changes every second.
const LIVELY: Churn = Churn {
    changes_per_minute: 600,
};

/// A Muster, and simulated hosts that have joined it.
struct World {
    fleet: Fleet,
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

/// Silent hosts are noticed after a second and a half.
async fn muster() -> Fleet {
    let silence = (
        "MUSTER_INVENTORY__HOST_SILENCE_MAX_MS".to_owned(),
        "1500".to_owned(),
    );
    Fleet::start_in(0, &[silence]).await
}

impl World {
    async fn new(config: Config) -> Self {
        let fleet = muster().await;
        let muster = Muster::new(fleet.client.server()).unwrap();
        let config = Config {
            join_token: muster.join_token().await.unwrap(),
            ..config
        };
        let folder = fleet.folder.path().join("hosts");
        let hosts = simfleet::Fleet::start(&config, &fleet.bus_of_hosts(), &folder)
            .await
            .unwrap();
        let world = Self {
            fleet,
            hosts,
            muster,
        };
        let joined = world.muster.has(config.hosts, config.vms, PATIENCE).await;
        joined.unwrap();
        world
    }

    async fn agrees(&self) {
        self.hosts.set_churn(Churn::default());
        let agreed = self.muster.agrees(|| self.hosts.account(), PATIENCE).await;
        let took = agreed.unwrap();
        assert!(took.is_ok(), "{:#?}", took.unwrap_err());
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
async fn muster_is_killed_under_load_and_its_picture_is_true_again() {
    let mut world = World::new(config(20)).await;
    world.hosts.set_churn(LIVELY);
    world.fleet.kill_musterd();
    world.hosts.fault(&Which::Some(3), &Fault::Restart);
    world.fleet.start_musterd();
    world.fleet.ready().await;
    world.agrees().await;
}

#[tokio::test]
async fn one_host_that_answers_late_holds_up_no_other() {
    let world = World::new(config(20)).await;
    let late = Which::Some(1);
    let slowness = Fault::Slowness {
        delay_ms: 300_000,
        secs: 3_600,
    };
    assert_eq!(world.hosts.fault(&late, &slowness), 1);
    world.hosts.set_churn(LIVELY);
    let mut happened = world.hosts.happened();
    for _ in 0..10 {
        happened.recv().await.unwrap();
    }
    // All but the late host, of which nothing is known.
    world.agrees().await;
    world.hosts.fault(&late, &Fault::Calm);
    world.hosts.fault(&late, &Fault::Restart);
    world.agrees().await;
}

#[tokio::test]
async fn what_a_hostile_host_reports_stays_with_it() {
    let world = World::new(config(12)).await;
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
    world.hosts.set_churn(LIVELY);
    let mut happened = world.hosts.happened();
    for _ in 0..20 {
        happened.recv().await.unwrap();
    }
    // All others are shown as they are, the robbed one too.
    world.agrees().await;
    world.hosts.fault(&Which::All, &Fault::Calm);
    world.agrees().await;
}
