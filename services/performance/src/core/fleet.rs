//! Everything that is measured: each host, and each machine at the host that measures it.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::performance::{HostSamples, VmSample};

use super::figures::{self, Figures, Packed};
use super::hour::{Hour, MINUTES};

/// A machine is measured by one host. Another is believed only when the first has said nothing of it for this many
/// minutes: it has been moved. So no host can speak for a machine that runs on another.
const SILENT_MINUTES: i64 = 2;

/// Older samples say nothing of now.
const FRESH_MINUTES: i64 = 3;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Host,
    Vm,
}

struct Object {
    hour: Hour,
    /// Who measures it.
    host_id: Arc<str>,
    /// State and start of the process that was measured last.
    life: (i32, i64),
}

/// What was not taken of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Machines that another host measures.
    pub foreign: usize,
    /// Objects beyond the most that are kept.
    pub too_many: usize,
}

/// One object in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    pub id: String,
    pub host_id: String,
    pub minute: i64,
    pub figures: Figures,
}

pub struct Fleet {
    hosts: HashMap<Box<str>, Object>,
    vms: HashMap<Box<str>, Object>,
    objects_max: usize,
}

impl Object {
    fn new(host_id: &Arc<str>, life: (i32, i64), minute: i64) -> Self {
        Self {
            hour: Hour::new(minute),
            host_id: Arc::clone(host_id),
            life,
        }
    }

    fn newest(&self) -> i64 {
        self.hour.newest().0
    }

    /// What comes now is of another process, host, or power state.
    fn begin(&mut self, host_id: &Arc<str>, life: (i32, i64)) {
        if self.life != life || self.host_id != *host_id {
            self.life = life;
            self.host_id = Arc::clone(host_id);
            self.hour.reset();
        }
    }
}

impl Fleet {
    pub fn new(objects_max: usize) -> Self {
        Self {
            hosts: HashMap::new(),
            vms: HashMap::new(),
            objects_max,
        }
    }

    fn of(&self, kind: Kind) -> &HashMap<Box<str>, Object> {
        match kind {
            Kind::Host => &self.hosts,
            Kind::Vm => &self.vms,
        }
    }

    pub fn len(&self) -> usize {
        self.hosts.len() + self.vms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the host has said in this minute or the one before what it uses.
    pub fn has_heard(&self, host_id: &str, minute: i64) -> bool {
        let host = self.hosts.get(host_id);
        host.is_some_and(|host| (minute - host.newest()).abs() <= 1)
    }

    /// Takes what a host says of itself and its machines.
    pub fn take(&mut self, samples: &HostSamples, minute: i64) -> Refused {
        let mut refused = Refused::default();
        let Some(host_id) = self.take_host(samples, minute) else {
            refused.too_many = 1 + samples.vms.len();
            return refused;
        };
        for vm in &samples.vms {
            self.take_vm(&host_id, vm, minute, &mut refused);
        }
        refused
    }

    /// The host's id; `None`: there is no room for it.
    fn take_host(&mut self, samples: &HostSamples, minute: i64) -> Option<Arc<str>> {
        let id = samples.host_id.as_str();
        if !self.hosts.contains_key(id) {
            if self.len() >= self.objects_max {
                return None;
            }
            let object = Object::new(&Arc::from(id), (0, 0), minute);
            self.hosts.insert(id.into(), object);
        }
        let host = self.hosts.get_mut(id)?;
        if let Some(usage) = &samples.host {
            host.hour.put(minute, &figures::of_message(usage));
        }
        Some(Arc::clone(&host.host_id))
    }

    fn take_vm(
        &mut self,
        host_id: &Arc<str>,
        sample: &VmSample,
        minute: i64,
        refused: &mut Refused,
    ) {
        let life = (sample.state, sample.started_ms);
        let is_full = self.len() >= self.objects_max;
        let vm = match self.vms.get_mut(sample.vm_id.as_str()) {
            Some(vm) => vm,
            None if is_full => {
                refused.too_many += 1;
                return;
            }
            None => {
                let vm = self.vms.entry(sample.vm_id.as_str().into());
                vm.or_insert_with(|| Object::new(host_id, life, minute))
            }
        };
        if vm.host_id != *host_id && minute - vm.newest() < SILENT_MINUTES {
            refused.foreign += 1;
            return;
        }
        vm.begin(host_id, life);
        if let Some(usage) = &sample.usage {
            vm.hour.put(minute, &figures::of_message(usage));
        }
    }

    /// Means since the last call. Objects of which nothing was heard for an hour are forgotten.
    pub fn take_means(&mut self, minute: i64) -> Vec<(Kind, Box<str>, Figures)> {
        let mut means = Vec::with_capacity(self.len());
        for (kind, objects) in [(Kind::Host, &mut self.hosts), (Kind::Vm, &mut self.vms)] {
            for (id, object) in objects.iter_mut() {
                if let Some(mean) = object.hour.take_mean() {
                    means.push((kind, id.clone(), mean));
                }
            }
            objects.retain(|_, object| (minute - object.newest()).abs() < MINUTES as i64);
        }
        means
    }

    /// One object's samples of these minutes.
    pub fn minutes(&self, kind: Kind, id: &str, from: i64, to: i64) -> Vec<(i64, Figures)> {
        let object = self.of(kind).get(id);
        let samples = object.into_iter().flat_map(|o| o.hour.range(from, to));
        samples
            .map(|(minute, packed)| (minute, figures::unpack(&packed)))
            .collect()
    }

    /// What each object uses now.
    fn fresh(&self, kind: Kind, minute: i64) -> impl Iterator<Item = (&str, &Object, Packed)> {
        self.of(kind).iter().filter_map(move |(id, object)| {
            let (newest, packed) = object.hour.newest();
            ((minute - newest).abs() < FRESH_MINUTES).then_some((&**id, object, packed))
        })
    }

    pub fn now(&self, kind: Kind, minute: i64) -> Vec<Ranked> {
        let fresh = self.fresh(kind, minute);
        fresh.map(|(id, object, _)| ranked(id, object)).collect()
    }

    /// The objects on hosts in scope that use most of one figure, and how many objects there are in all.
    pub fn top(
        &self,
        kind: Kind,
        figure: usize,
        limit: usize,
        minute: i64,
        in_scope: impl Fn(&str) -> bool,
    ) -> (Vec<Ranked>, usize) {
        // What is not known comes last.
        let rank = |packed: &Packed| packed.get(figure).map_or(0, |code| code.wrapping_add(1));
        let fresh = self.fresh(kind, minute);
        let mut found: Vec<(u16, &str, &Object)> = fresh
            .filter(|(_, object, _)| in_scope(&object.host_id))
            .map(|(id, object, packed)| (rank(&packed), id, object))
            .collect();
        found.sort_unstable_by(|(a, first, _), (b, second, _)| b.cmp(a).then(first.cmp(second)));
        let total = found.len();
        found.truncate(limit);
        let rows = found.into_iter();
        (rows.map(|(_, id, o)| ranked(id, o)).collect(), total)
    }
}

fn ranked(id: &str, object: &Object) -> Ranked {
    let (minute, packed) = object.hour.newest();
    Ranked {
        id: id.to_owned(),
        host_id: object.host_id.to_string(),
        minute,
        figures: figures::unpack(&packed),
    }
}

#[cfg(test)]
mod tests {
    use contracts::performance::Usage;

    use super::*;

    fn usage(cpu: f32) -> Option<Usage> {
        Some(Usage {
            cpu_percent: Some(cpu),
            ..Usage::default()
        })
    }

    fn samples(host_id: &str, vms: &[(&str, i64, f32)]) -> HostSamples {
        let vm = |(id, started_ms, cpu): &(&str, i64, f32)| VmSample {
            vm_id: (*id).to_owned(),
            state: 4,
            started_ms: *started_ms,
            usage: usage(*cpu),
        };
        HostSamples {
            host_id: host_id.to_owned(),
            host: usage(50.0),
            vms: vms.iter().map(vm).collect(),
            ..HostSamples::default()
        }
    }

    #[test]
    fn no_host_speaks_for_a_machine_that_another_measures() {
        let mut fleet = Fleet::new(10);
        fleet.take(&samples("h1", &[("v", 1, 10.0)]), 100);
        let refused = fleet.take(&samples("h2", &[("v", 1, 99.0)]), 101);
        assert_eq!(refused.foreign, 1);
        assert_eq!(fleet.now(Kind::Vm, 101)[0].host_id, "h1");
        // It has been moved.
        assert_eq!(
            fleet.take(&samples("h2", &[("v", 1, 20.0)]), 102),
            Refused::default()
        );
        assert_eq!(fleet.now(Kind::Vm, 102)[0].host_id, "h2");
    }

    #[test]
    fn a_mean_never_mixes_two_lives_of_a_machine() {
        let mut fleet = Fleet::new(10);
        for (minute, started, cpu) in [(1, 1, 90.0), (2, 1, 90.0), (3, 2, 10.0), (4, 2, 20.0)] {
            fleet.take(&samples("h", &[("v", started, cpu)]), minute);
        }
        let means = fleet.take_means(4);
        let of_vm = means.iter().find(|(kind, ..)| *kind == Kind::Vm).unwrap();
        assert_eq!(of_vm.2[0], Some(15.0));
        assert_eq!(fleet.minutes(Kind::Vm, "v", 0, 9).len(), 4);
    }

    #[test]
    fn the_busiest_come_first_and_what_is_in_no_scope_not_at_all() {
        let mut fleet = Fleet::new(10);
        fleet.take(&samples("h1", &[("a", 1, 5.0), ("b", 1, 80.0)]), 7);
        fleet.take(&samples("h2", &[("c", 1, 99.0)]), 7);
        let (rows, total) = fleet.top(Kind::Vm, 0, 1, 7, |host| host == "h1");
        assert_eq!((rows[0].id.as_str(), rows.len(), total), ("b", 1, 2));
        let (rows, _) = fleet.top(Kind::Vm, 0, 9, 20, |_| true);
        assert!(rows.is_empty(), "what is old says nothing of now");
    }

    #[test]
    fn what_is_kept_has_a_limit_and_is_forgotten_after_an_hour() {
        let mut fleet = Fleet::new(2);
        let refused = fleet.take(&samples("h1", &[("a", 1, 5.0), ("b", 1, 80.0)]), 7);
        assert_eq!((fleet.len(), refused.too_many), (2, 1));
        fleet.take_means(7 + 60);
        assert!(fleet.is_empty());
    }
}
