//! What simulated machines seem to have used: from one reading to the next, as much as their load is at the later one.

use std::collections::BTreeMap;
use std::time::Instant;

use contracts::host::{VmReport, VmState};

use super::host::Host;
use crate::core::usage::Counters;
use crate::hypervisor::{Reading, VmReading};

pub(super) struct Meter {
    read_at: Instant,
    /// CPU seconds of all machines, those that are gone included.
    cpu_secs: f64,
    /// Of each machine that is on: when it was started, and its CPU seconds since.
    machines: BTreeMap<String, (i64, f64)>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            read_at: Instant::now(),
            cpu_secs: 0.0,
            machines: BTreeMap::new(),
        }
    }
}

impl Meter {
    pub(super) fn read<'a>(
        &mut self,
        host: &Host,
        machines: impl Iterator<Item = &'a VmReport> + Clone,
        now_ms: i64,
    ) -> Reading {
        let read_at = Instant::now();
        let passed_secs = read_at.duration_since(self.read_at).as_secs_f64();
        self.read_at = read_at;
        let on = machines.clone().filter(|machine| machine.started_ms != 0);
        let vms = self.count(host, on, now_ms, passed_secs);
        Reading {
            host: host.counters(machines, now_ms, self.cpu_secs),
            vms,
        }
    }

    fn count<'a>(
        &mut self,
        host: &Host,
        machines: impl Iterator<Item = &'a VmReport>,
        now_ms: i64,
        passed_secs: f64,
    ) -> Vec<VmReading> {
        let before = std::mem::take(&mut self.machines);
        let mut vms = Vec::new();
        for machine in machines {
            let hardware = machine.hardware.as_ref();
            let vcpus = hardware.map_or(0, |h| h.vcpus);
            let more = match machine.state() {
                VmState::Running => passed_secs * f64::from(vcpus) * host.load(machine, now_ms),
                _ => 0.0,
            };
            let known = before.get(&machine.vm_id);
            let known = known.filter(|(started_ms, _)| *started_ms == machine.started_ms);
            let cpu_secs = known.map_or(0.0, |(_, secs)| *secs) + more;
            self.cpu_secs += more;
            self.machines
                .insert(machine.vm_id.clone(), (machine.started_ms, cpu_secs));
            vms.push(VmReading {
                vm_id: machine.vm_id.clone(),
                state: machine.state(),
                started_ms: machine.started_ms,
                counters: Counters {
                    cpus: vcpus,
                    cpu_secs: Some(cpu_secs),
                    memory_bytes: hardware.map(|h| h.memory_bytes),
                    ..Counters::default()
                },
            });
        }
        vms
    }
}

#[cfg(test)]
mod tests {
    use contracts::host::{Hardware, HostFacts};

    use super::*;

    #[test]
    fn a_machine_uses_what_its_load_is_and_one_that_is_paused_nothing() {
        let host = Host::Made {
            facts: Box::new(HostFacts::default()),
            load: |_, _| 0.5,
        };
        let mut machine = VmReport {
            vm_id: "v1".to_owned(),
            state: VmState::Running.into(),
            started_ms: 1,
            hardware: Some(Hardware {
                vcpus: 2,
                ..Hardware::default()
            }),
            ..VmReport::default()
        };
        let mut meter = Meter::default();
        let mut count = |machine: &VmReport| {
            let vms = meter.count(&host, std::iter::once(machine), 0, 60.0);
            vms[0].counters.cpu_secs.unwrap().round()
        };
        assert_eq!(count(&machine), 60.0);
        assert_eq!(count(&machine), 120.0);
        machine.set_state(VmState::Paused);
        assert_eq!(count(&machine), 120.0);
        machine.set_state(VmState::Running);
        machine.started_ms = 2;
        assert_eq!(count(&machine), 60.0, "another process");
    }
}
