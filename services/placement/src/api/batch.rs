//! Choosing hosts for several machines together, and claiming all of them or none.

use contracts::call::Context;
use contracts::placement::{Claim, HostClaims, PlaceBatchRequest, PlaceBatchResponse, Placed};
use contracts::records::Record;
use contracts::{Code, Status};
use futures::future::try_join_all;

use super::{Api, owner};
use crate::core::fleet::Fleet;
use crate::core::together::{Asked, Problem};
use crate::core::{batch, claims};
use crate::live::{Earlier, Look};
use crate::meter;
use crate::writer::Written;

/// How often a batch is decided again because another claim came first.
const CONFLICTS_MAX: u32 = 16;

/// What deciding came to.
enum Chosen {
    All(Vec<Choice>),
    /// The same is being written for this host by another request.
    Pending(String),
    /// Claims of these machines are left of an earlier answer that was never given.
    Half(Vec<String>),
}

/// A machine's host, with the claim on it; no claim where it had the host before.
type Choice = (String, Option<Claim>);

impl Api {
    pub(super) async fn place_together(
        &self,
        context: &Context,
        request: &PlaceBatchRequest,
    ) -> Result<PlaceBatchResponse, Status> {
        for machine in &request.machines {
            owner(&machine.vm_id, &request.job_id)?;
        }
        let asked = Asked::new(&request.machines, &request.rules, &self.defaults)?;
        for _ in 0..CONFLICTS_MAX {
            let expires_ms = self.store.live.claim_end_ms();
            let chosen = self
                .store
                .look(|look| choose_all(look, &asked, &request.job_id, expires_ms));
            let chosen = match chosen.await?? {
                Chosen::All(chosen) => chosen,
                Chosen::Pending(host_id) => {
                    self.store.writer.settle(&host_id).await?;
                    continue;
                }
                Chosen::Half(vm_ids) => {
                    for vm_id in vm_ids {
                        self.give_back_all(context, owner(&vm_id, &request.job_id)?)
                            .await?;
                    }
                    continue;
                }
            };
            if self.claim_all(context, &chosen).await? {
                return self.answer(&asked, &chosen).await;
            }
            meter::RETRIES.add(1, &[]);
        }
        let message = "Too many machines are being placed at once.";
        Err(Status::new(Code::Aborted, message).action("Try again."))
    }

    /// Whether every claim was taken; else those that were are given back.
    async fn claim_all(&self, context: &Context, chosen: &[Choice]) -> Result<bool, Status> {
        let new = chosen
            .iter()
            .filter_map(|(host_id, claim)| Some((host_id, claim.clone()?)));
        let new: Vec<(&String, Claim)> = new.collect();
        let writes = new.iter().map(|(host_id, claim)| {
            let writer = &self.store.writer;
            async move { writer.claim(host_id, claim.clone()).await }
        });
        let written = try_join_all(writes).await;
        let all = |written: &Vec<Written>| !written.contains(&Written::Outdated);
        if written.as_ref().is_ok_and(all) {
            for written in written.iter().flatten() {
                if let Written::At(revision) = written {
                    context.saw(HostClaims::BUCKET, *revision);
                }
            }
            return Ok(true);
        }
        for (_, claim) in &new {
            let owner = owner(&claim.vm_id, &claim.job_id)?;
            self.give_back_all(context, owner).await?;
        }
        written.map(|_| false)
    }

    async fn answer(&self, asked: &Asked, chosen: &[Choice]) -> Result<PlaceBatchResponse, Status> {
        let name = |fleet: &Fleet, host_id: &str| {
            let slot = fleet.slot(host_id);
            slot.map(|slot| slot.state.host_name.clone())
                .unwrap_or_default()
        };
        let placed = self.store.look(|look| {
            let machines = asked.machines.iter().zip(chosen);
            let placed = machines.map(|((vm_id, _), (host_id, _))| Placed {
                vm_id: vm_id.clone(),
                host_id: host_id.clone(),
                host_name: name(look.fleet, host_id),
            });
            placed.collect()
        });
        Ok(PlaceBatchResponse {
            placed: placed.await?,
        })
    }
}

/// Decides, and counts what was decided from that moment on.
fn choose_all(
    look: &mut Look<'_>,
    asked: &Asked,
    job_id: &str,
    expires_ms: i64,
) -> Result<Chosen, Status> {
    // Asked again after its answer was lost: nothing is decided anew.
    let mut before = Vec::new();
    for (vm_id, _) in &asked.machines {
        match look.earlier(owner(vm_id, job_id)?) {
            Earlier::At(host_id) => before.push((vm_id.clone(), host_id)),
            Earlier::Pending(host_id) => return Ok(Chosen::Pending(host_id)),
            Earlier::No => {}
        }
    }
    if before.len() == asked.machines.len() {
        let all = before.into_iter().map(|(_, host_id)| (host_id, None));
        return Ok(Chosen::All(all.collect()));
    }
    if !before.is_empty() {
        let half = before.into_iter().map(|(vm_id, _)| vm_id);
        return Ok(Chosen::Half(half.collect()));
    }
    let fleet = &mut *look.fleet;
    let asked = &asked.expecting(fleet);
    let problem = Problem::new(fleet, asked)?;
    let solved = batch::solve(&problem.batch, fleet.columns_mut());
    let rows = solved.map_err(|at| no_place(asked, &problem, at))?.rows;
    let slots = rows.iter().filter_map(|row| fleet.slots().get(*row));
    let hosts: Vec<String> = slots.map(|slot| slot.state.host_id.clone()).collect();
    let mut chosen = Vec::with_capacity(rows.len());
    for ((vm_id, query), host_id) in asked.machines.iter().zip(hosts) {
        let claim = claims::new(owner(vm_id, job_id)?, &query.needs, expires_ms);
        fleet.add_pending(&host_id, claim.clone());
        chosen.push((host_id, Some(claim)));
    }
    Ok(Chosen::All(chosen))
}

fn no_place(asked: &Asked, problem: &Problem, at: usize) -> Status {
    let vm_id = asked.machines.get(at).map_or("", |(vm_id, _)| vm_id);
    let count = asked.machines.len();
    let message = match problem.rules_of(at).as_slice() {
        [] => format!("The {count} machines do not fit together: machine {vm_id} finds no host."),
        rules => format!(
            "The {count} machines do not fit together with their rules: machine {vm_id} finds no host that keeps {}.",
            rules.join(", ")
        ),
    };
    Status::precondition(message)
        .action("Place fewer at a time, relax a rule, or free room on more hosts.")
}
