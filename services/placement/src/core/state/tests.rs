use super::super::query::tests::DEFAULTS;
use super::*;

const GIB: u64 = 1 << 30;

fn guest(id: &str, state: VmState) -> Guest {
    Guest {
        id: id.to_owned(),
        state,
        vcpus: 2,
        memory_bytes: GIB,
        ..Guest::default()
    }
}

fn claim(vm_id: &str) -> Claim {
    Claim {
        vm_id: vm_id.to_owned(),
        vcpus: 2,
        memory_bytes: GIB,
        disk_bytes: 10,
        expected_network_mbit: 7.5,
        ..Claim::default()
    }
}

fn load(guests: &[Guest], claims: &[Claim], used_bytes: u64, stale: bool) -> HostState {
    let host = Host {
        facts: Some(HostFacts {
            cpus: 8,
            memory_used_bytes: used_bytes,
            memory_overhead_bytes: 1,
            cpu_used_percent: 30.0,
            network_mbit: 1.5,
            ..HostFacts::default()
        }),
        ..Host::default()
    };
    let carried = Carried {
        guests: &guests.iter().collect::<Vec<_>>(),
        claims: &claims.iter().collect::<Vec<_>>(),
        stale,
    };
    of(&host, &Groups::new(), carried, &DEFAULTS)
}

#[test]
fn the_larger_of_reported_and_configured_memory_counts() {
    let guests = [guest("a", VmState::Running), guest("b", VmState::Stopped)];
    assert_eq!(load(&guests, &[], 0, false).memory_used_bytes, GIB + 1);
    assert_eq!(
        load(&guests, &[], 5 * GIB, false).memory_used_bytes,
        5 * GIB
    );
}

#[test]
fn a_claim_counts_until_its_machines_own_record_does() {
    let before = load(&[], &[claim("a")], 5 * GIB, false);
    let making = [guest("a", VmState::Creating)];
    let making = load(&making, &[claim("a")], 5 * GIB, false);
    let made = [guest("a", VmState::Stopped)];
    let made = load(&made, &[claim("a")], 5 * GIB, false);
    for state in [before.clone(), making, made] {
        assert_eq!(state.memory_used_bytes, 6 * GIB + 1);
        // 30 % of 8 processors, and 2 at 20 %.
        assert_eq!(state.cpu_used, 280);
    }
    assert_eq!((before.network_used, before.disk_promised_bytes), (10, 10));
    let running = [guest("a", VmState::Running)];
    let running = load(&running, &[claim("a")], 6 * GIB, false);
    assert_eq!(running.memory_used_bytes, 6 * GIB);
}

#[test]
fn without_samples_that_can_be_trusted_machines_count_with_what_they_are_made_for() {
    let guests = [guest("a", VmState::Running)];
    let state = load(&guests, &[], 5 * GIB, true);
    assert_eq!(state.memory_used_bytes, GIB + 1);
    assert_eq!((state.cpu_used, state.network_used), (40, 0));
}

#[test]
fn numbers_that_are_none_count_as_full() {
    assert_eq!((percent(f64::NAN), percent(-3.0)), (100.0, 0.0));
    let row = row(&HostState::default());
    assert_eq!((row.total, row.features), ([0; 4], 0));
}
