//! How long the machines of a trace are expected to stay: learned while it is replayed, or known from the trace itself.

use placement::core::lifetimes::{Kind, Lifetimes};
use placement::core::stay::{MOST_SECS, Stay};

use super::trace::Trace;

/// Who says how long a machine stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oracle {
    Nobody,
    /// Those that went before it, and those that are still there.
    Learned,
    /// The trace.
    Told,
}

/// What is expected of the machines of a replay.
pub(super) struct Stays<'a> {
    trace: &'a Trace,
    oracle: Oracle,
    lifetimes: Lifetimes,
    kinds: Vec<Kind>,
}

impl<'a> Stays<'a> {
    pub(super) fn new(trace: &'a Trace, oracle: Oracle) -> Self {
        let mut lifetimes = Lifetimes::default();
        let names = trace.kinds.iter();
        let kinds = names.map(|names| lifetimes.kind(names.iter().map(String::as_str)));
        Self {
            trace,
            oracle,
            kinds: kinds.collect(),
            lifetimes,
        }
    }

    pub(super) fn are_expected(&self) -> bool {
        self.oracle != Oracle::Nobody
    }

    /// What is expected of a machine now.
    pub(super) fn of(&self, at: usize, now_secs: i64) -> Stay {
        let Some(vm) = self.trace.vms.get(at) else {
            return Stay::UNKNOWN;
        };
        let secs = match self.oracle {
            Oracle::Nobody => None,
            Oracle::Told => Some(
                vm.until_secs
                    .map_or(MOST_SECS, |until| age(until, now_secs)),
            ),
            Oracle::Learned => {
                let kind = self.kinds.get(vm.kind);
                kind.and_then(|kind| {
                    self.lifetimes
                        .expected_secs(*kind, age(now_secs, vm.from_secs))
                })
            }
        };
        secs.map_or(Stay::UNKNOWN, Stay::of_secs)
    }

    pub(super) fn went(&mut self, at: usize) {
        let vm = self
            .trace
            .vms
            .get(at)
            .filter(|_| self.oracle == Oracle::Learned);
        let kind = vm.and_then(|vm| self.kinds.get(vm.kind));
        if let (Some(vm), Some(kind)) = (vm, kind) {
            let until = vm.until_secs.unwrap_or(vm.from_secs);
            self.lifetimes.went(*kind, age(until, vm.from_secs));
        }
    }

    pub(super) fn look(&mut self, all: impl Iterator<Item = usize>, now_secs: i64) {
        if self.oracle != Oracle::Learned {
            return;
        }
        let (trace, kinds) = (self.trace, &self.kinds);
        let vms = all.filter_map(|at| trace.vms.get(at));
        let aged = vms.filter_map(|vm| Some((*kinds.get(vm.kind)?, age(now_secs, vm.from_secs))));
        self.lifetimes.look(aged);
    }
}

fn age(later: i64, earlier: i64) -> u64 {
    u64::try_from(later - earlier).unwrap_or(0)
}
