//! Reports of hosts: what changed on them, in order, answered when it is durable.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::call::Context;
use contracts::host::{VmReport, VmState};
use contracts::inventory::host::Status as HostStatus;
use contracts::inventory::{Host, ReportRequest, ReportResponse, Vm};
use contracts::records::indexes;
use contracts::{Status, names};
use futures::{StreamExt, TryStreamExt};
use kit::records::{Decision, Stored};

use super::{Api, WRITES_AT_ONCE, millis};
use crate::core::report::{
    Outcome, Sender, Verdict, check_machine, check_request, check_told_once, judge, told_twice,
};
use crate::core::{facts, registration};

/// A machine that was deleted is not imported for this long: a report that was made before its deletion may still be on
/// its way. One that is really there is in the next whole picture.
const DELETED_GRACE_MS: i64 = 10 * 60 * 1000;

/// One thing that a host says of one machine.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    Here(&'a VmReport),
    Gone(&'a str),
}

impl<'a> Said<'a> {
    pub(super) fn id(self) -> &'a str {
        match self {
            Self::Here(report) => &report.vm_id,
            Self::Gone(id) => id,
        }
    }
}

/// Which records what was said is still news for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// It has its place in the order of reports.
    Ever,
    /// The record must still be of this revision.
    Revision(u64),
}

impl Since {
    fn is_overtaken(self, current: Option<&Stored<Vm>>) -> bool {
        match self {
            Self::Ever => false,
            Self::Revision(seen) => current.is_none_or(|current| current.revision != seen),
        }
    }
}

/// What became of a machine's record.
pub(super) struct Applied {
    pub(super) outcome: Outcome,
    pub(super) before: Option<Vm>,
    pub(super) after: Option<Vm>,
}

impl Applied {
    fn unchanged(outcome: Outcome) -> Self {
        Self {
            outcome,
            before: None,
            after: None,
        }
    }

    fn decided(
        decision: Decision<Vm, Outcome>,
        current: Option<&Stored<Vm>>,
    ) -> Decision<Vm, Self> {
        match decision {
            Decision::Keep(outcome) => Decision::Keep(Self::unchanged(outcome)),
            Decision::Delete(outcome) => Decision::Delete(Self::unchanged(outcome)),
            Decision::Bar(outcome) => Decision::Bar(Self::unchanged(outcome)),
            Decision::Put(after, outcome) => {
                let applied = Self {
                    outcome,
                    before: current.map(|current| current.value.clone()),
                    after: Some(after.clone()),
                };
                Decision::Put(after, applied)
            }
        }
    }
}

/// The machines that a host tells of and that can be; the others are passed over by name.
pub(super) fn passable<'a>(
    host: &'a Host,
    reports: &'a [VmReport],
) -> impl Iterator<Item = &'a VmReport> {
    let twice = told_twice(reports);
    let check = move |report: &VmReport| {
        check_told_once(report, &twice)?;
        check_machine(report)
    };
    reports.iter().filter(move |report| match check(report) {
        Ok(()) => true,
        Err(status) => {
            tracing::warn!(host = host.id, vm = names::shorten(&report.vm_id), %status,
                "a machine of a report is passed over");
            false
        }
    })
}

/// Not taken now.
fn later(host: &Host, away: Duration) -> ReportResponse {
    ReportResponse {
        applied_number: host.report_number,
        retry_after_ms: millis(away),
        ..ReportResponse::default()
    }
}

impl Api {
    pub(super) async fn apply_report(
        &self,
        context: &Context,
        request: ReportRequest,
    ) -> Result<ReportResponse, Status> {
        check_request(&request)?;
        let Some(host) = self.reporting_host(&request).await? else {
            return Ok(ReportResponse {
                unknown_host: true,
                ..ReportResponse::default()
            });
        };
        if judge(&host, &request)? == Verdict::Apply {
            let turn = match request.whole {
                true => self.intake.turn(self.fleet.now_ms()).await.map(Some),
                false => Ok(None),
            };
            let _turn = match turn {
                Ok(turn) => turn,
                Err(away) => return Ok(later(&host, away)),
            };
            self.apply_machines(context, &host, &request).await?;
            let after = self.close_report(context, &request).await?;
            if after.group_id != host.group_id {
                self.regroup_machines(context, &after).await?;
            }
            return Ok(ReportResponse {
                applied_number: request.number,
                // A part of a picture that nobody has seen.
                want_whole: request.number == 1 && !request.whole,
                ..ReportResponse::default()
            });
        }
        Ok(ReportResponse {
            applied_number: host.report_number,
            want_whole: judge(&host, &request)? == Verdict::Gap,
            ..ReportResponse::default()
        })
    }

    /// The approved host at the report's generation. What does not fit may only not be in this instance's view yet.
    async fn reporting_host(&self, request: &ReportRequest) -> Result<Option<Host>, Status> {
        let hosts = &self.fleet.hosts;
        let look = || -> Result<(Option<Host>, bool), Status> {
            let host = hosts.get(&request.host_id)?.map(|host| host.value);
            let host = host.filter(registration::is_approved);
            let verdict = host.as_ref().map(|host| judge(host, request)).transpose()?;
            let fits = matches!(verdict, Some(Verdict::Apply | Verdict::Known));
            Ok((
                host.filter(|_| verdict != Some(Verdict::Unregistered)),
                fits,
            ))
        };
        if let (Some(host), true) = look()? {
            return Ok(Some(host));
        }
        self.fleet.catch_up(hosts).await?;
        Ok(look()?.0)
    }

    async fn apply_machines(
        &self,
        context: &Context,
        host: &Host,
        request: &ReportRequest,
    ) -> Result<(), Status> {
        let mut said: Vec<Said<'_>> = passable(host, &request.vms).map(Said::Here).collect();
        let gone = self.gone(host, request)?;
        said.extend(gone.iter().map(|id| Said::Gone(id)));
        self.look_for_deletions(&said).await?;
        let work: Vec<_> = said
            .into_iter()
            .map(|said| self.apply_one(context, host, said, Since::Ever))
            .collect();
        let outcomes: Vec<Applied> = futures::stream::iter(work)
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        let count = |what| outcomes.iter().filter(|a| a.outcome == what).count();
        tracing::debug!(
            host = host.id,
            number = request.number,
            changed = count(Outcome::Changed),
            imported = count(Outcome::Imported),
            passed_over =
                request.vms.len() + gone.len() - outcomes.len() + count(Outcome::NotTheirs),
            "report applied"
        );
        Ok(())
    }

    /// Machines that are not on the host any more, by what the report says or, in a whole picture, does not say.
    fn gone(&self, host: &Host, request: &ReportRequest) -> Result<BTreeSet<String>, Status> {
        let ids = request
            .removed_vm_ids
            .iter()
            .filter(|id| names::is_token(id));
        let mut gone: BTreeSet<String> = ids.cloned().collect();
        if request.whole {
            let known = self.fleet.vms.find(indexes::HOST, &host.id)?;
            gone.extend(known.into_iter().map(|vm| vm.id));
        }
        for vm in &request.vms {
            gone.remove(&vm.vm_id);
        }
        Ok(gone)
    }

    pub(super) async fn apply_one(
        &self,
        context: &Context,
        host: &Host,
        said: Said<'_>,
        since: Since,
    ) -> Result<Applied, Status> {
        let id = said.id();
        let current = self.fleet.vms.get(id)?;
        if current.is_none()
            && (matches!(said, Said::Gone(_)) || self.was_just_deleted(host, id).await?)
        {
            return Ok(Applied::unchanged(Outcome::Unchanged));
        }
        let dead_job = self.dead_job(current.as_ref()).await?;
        let sender = Sender {
            host,
            dead_job: dead_job.as_deref(),
            now_ms: self.fleet.now_ms(),
        };
        let is_new = current.is_none();
        let decide = |stored: Option<&Stored<Vm>>| {
            if since.is_overtaken(stored) {
                return Ok(Decision::Keep(Applied::unchanged(Outcome::Overtaken)));
            }
            let decision = match (stored.map(|c| &c.value), said) {
                // Deleted since we looked.
                (None, _) if !is_new => Decision::Keep(Outcome::Unchanged),
                (current, Said::Here(report)) => sender.seen(current, report),
                (current, Said::Gone(_)) => sender.gone(current),
            };
            Ok(Applied::decided(decision, stored))
        };
        let applied = self.fleet.vms.update(context, id, decide).await?;
        if applied.outcome == Outcome::NotTheirs {
            tracing::warn!(
                host = host.id,
                vm = id,
                "a report speaks of a machine that is not the host's"
            );
        }
        Ok(applied)
    }

    /// What this instance does not know may have been deleted through another one.
    pub(super) async fn look_for_deletions(&self, said: &[Said<'_>]) -> Result<(), Status> {
        for said in said {
            if self.fleet.vms.get(said.id())?.is_none() {
                self.fleet.catch_up(&self.fleet.vms).await?;
                break;
            }
        }
        Ok(())
    }

    /// Whether Muster deleted the machine while this host was in the fleet, a short while ago. To be asked after
    /// `look_for_deletions`.
    async fn was_just_deleted(&self, host: &Host, vm_id: &str) -> Result<bool, Status> {
        if !self.fleet.vms.was_deleted(vm_id)? {
            return Ok(false);
        }
        let latest = self.fleet.latest::<Vm>(vm_id).await?;
        let age_ms = self.fleet.now_ms().saturating_sub(latest.time_ms);
        Ok(latest.value.is_none() && latest.time_ms > host.created_ms && age_ms < DELETED_GRACE_MS)
    }

    /// The job that is making or deleting the machine, if it has ended without saying so.
    async fn dead_job(&self, current: Option<&Stored<Vm>>) -> Result<Option<String>, Status> {
        let Some(vm) = current.map(|current| &current.value) else {
            return Ok(None);
        };
        let matters = matches!(vm.state(), VmState::Creating | VmState::Deleting);
        if !matters || vm.job_id.is_empty() || self.fleet.is_open(&vm.job_id).await? {
            return Ok(None);
        }
        Ok(Some(vm.job_id.clone()))
    }

    /// After every machine is durable: the report's number, the facts, and that the host is there.
    async fn close_report(
        &self,
        context: &Context,
        request: &ReportRequest,
    ) -> Result<Host, Status> {
        let now_ms = self.fleet.now_ms();
        let facts = request.facts.as_ref().filter(|facts| {
            let checked = facts::check(facts);
            if let Err(status) = &checked {
                tracing::warn!(host = request.host_id, %status, "the facts of a report are passed over");
            }
            checked.is_ok()
        });
        self.fleet
            .hosts
            .update(context, &request.host_id, |current| {
                let current = &current
                    .ok_or_else(|| super::hosts::no_host(&request.host_id))?
                    .value;
                if judge(current, request)? != Verdict::Apply {
                    return Ok(Decision::Keep(current.clone()));
                }
                let mut host = current.clone();
                host.report_number = request.number;
                if facts.is_some() {
                    host.facts = facts.cloned();
                    host.facts_ms = now_ms;
                }
                if request.whole {
                    host = registration::with_status(&host, HostStatus::Responding, now_ms);
                }
                Ok(Decision::Put(host.clone(), host))
            })
            .await
    }
}
