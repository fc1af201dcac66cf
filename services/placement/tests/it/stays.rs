//! Machines placed beside such as stay as long, by what the service has seen of those that went.

use contracts::host::VmState;
use contracts::inventory::Vm;
use contracts::inventory::vm::Origin;
use contracts::placement::Decision;
use kit::world::Clock as _;
use placement::Config;

use crate::harness::{Fleet, host, place, vm};

const HOUR_MS: i64 = 3_600_000;

/// More than the service wants to have seen of one owner.
const GONE: i64 = 40;

fn of(owner: &str, id: &str, host_id: &str, created_ms: i64) -> Vm {
    Vm {
        owner: owner.to_owned(),
        created_ms,
        origin: Origin::Created.into(),
        ..vm(id, host_id, VmState::Running, "", 64)
    }
}

async fn placed(fleet: &Fleet, owner: &str, name: &str) -> Decision {
    let id = format!("{owner}s-{name}");
    let waiting = Vm {
        job_id: format!("job-of-{id}"),
        state: VmState::Creating.into(),
        ..of(owner, &id, "", fleet.clock.now_ms())
    };
    fleet.put_vm(waiting).await;
    let asked = place(&id, 64);
    let answer = fleet.client.place(&fleet.context(), &asked).await;
    answer.unwrap().decision.unwrap()
}

#[tokio::test]
async fn a_machine_goes_where_the_others_stay_as_long_and_can_be_asked_why_across_restarts() {
    let mut fleet = Fleet::start_with(Config {
        maximise: true,
        ..Config::default()
    })
    .await;
    for id in ["h1", "h2"] {
        fleet.put_host(host(id, 4_096)).await;
    }
    let now_ms = fleet.clock.now_ms();
    for (owner, hours) in [("ann", 1), ("bob", 70)] {
        for at in 0..GONE {
            let id = format!("{owner}s-{at}");
            let created_ms = now_ms - hours * HOUR_MS;
            fleet.put_vm(of(owner, &id, "h1", created_ms)).await;
            fleet.remove_vm(&id).await;
        }
    }
    fleet.put_vm(of("ann", "anns", "h1", now_ms)).await;
    fleet.put_vm(of("bob", "bobs", "h2", now_ms)).await;
    // What was seen counts from the next time that the service looks at all of it.
    fleet.clock.move_by_ms(HOUR_MS / 4);
    both_go_to_their_likes(&fleet, "next").await;
    fleet.restart().await;
    both_go_to_their_likes(&fleet, "later").await;
}

async fn both_go_to_their_likes(fleet: &Fleet, name: &str) {
    for (owner, host_id) in [("ann", "h1"), ("bob", "h2")] {
        let decision = placed(fleet, owner, name).await;
        assert_eq!(decision.host_id, host_id, "{decision:#?}");
        let needs = decision.request.clone().unwrap().requirements.unwrap();
        assert!(needs.expected_stay_secs.is_some());
        let again = fleet.planning.replay(&fleet.context(), &decision).await;
        let again = again.unwrap();
        assert!(again.same && again.host_id == host_id);
    }
}
