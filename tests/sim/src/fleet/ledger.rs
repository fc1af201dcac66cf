//! What clients asked for and were told.

use std::collections::BTreeMap;

use contracts::jobs::Job;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is this job.
    Accepted(String),
    /// It was refused, and nothing was changed.
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) told: Told,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// By the key of the request, which is also who asked.
    pub(super) asked: BTreeMap<String, Asked>,
    /// Jobs that somebody was told of.
    pub(super) jobs: Vec<String>,
    /// Machines and groups that such jobs were to make.
    pub(super) machines: Vec<String>,
    pub(super) groups: Vec<String>,
}

impl Ledger {
    pub(super) fn know(&mut self, job: &Job) {
        let target = job.target.clone().unwrap_or_default();
        match job.kind.as_str() {
            "vm_create" => self.machines.push(target.id),
            "group_create" => self.groups.push(target.id),
            _ => {}
        }
        self.jobs.push(job.id.clone());
    }
}
