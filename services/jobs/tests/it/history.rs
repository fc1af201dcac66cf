//! Jobs that ended long ago are forgotten.

use std::sync::Arc;

use contracts::host::VmState;
use contracts::jobs::job_params::Kind;
use contracts::jobs::{JobState, VmTarget};
use jobs::probe::{At, Verdict};
use kit::world::{Clock, World};
use support::eventually;

use crate::harness::{House, Instance, assert_state, config, no, parts};

/// A clock that is days ahead.
struct Ahead(i64);

impl Clock for Ahead {
    fn now_ms(&self) -> i64 {
        World::real().now_ms() + self.0 * 24 * 3600 * 1000
    }
}

#[tokio::test]
async fn old_jobs_are_forgotten_and_young_and_stuck_ones_kept() {
    let mut house = House::build().await;
    let vm_id = house.fleet.put_vm("web", VmState::Stopped).await;
    let target = VmTarget {
        vm_id,
        force: false,
    };
    let old = house.run(Kind::VmStart(target.clone())).await;
    let stuck = house.submit(Kind::VmPause(target)).await;
    house
        .script
        .plan(&stuck.id, |point| match (point.step.as_str(), point.at) {
            ("release", At::BeforeStep) => Verdict::Fail(no()),
            _ => Verdict::GoOn,
        });
    assert_state(&house.end_of(&stuck.id).await, JobState::Stuck, "stuck");
    for (name, days) in [("young", 89), ("late", 91)] {
        let mut parts = parts(
            &house.nats.bus_config(),
            house.folder.path(),
            name,
            config(),
        )
        .await;
        parts.world.clock = Arc::new(Ahead(days));
        house
            .instances
            .push(Instance::start(parts, Arc::clone(&house.script)));
        if days < 90 {
            house.wait_until_served().await;
            assert!(house.job(&old.id).is_some(), "it is young yet");
        }
    }
    eventually("the old job to be forgotten", async || {
        house.job(&old.id).is_none().then_some(())
    })
    .await
    .unwrap();
    assert!(house.job(&stuck.id).is_some());
}
