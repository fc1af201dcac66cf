//! Choosing a host for one machine and claiming the capacity there.

use contracts::call::Context;
use contracts::placement::{Claim, Decision, HostClaims, PlaceRequest, PlaceResponse, RateRequest};
use contracts::records::Record;
use contracts::{Code, Status};

use super::{Api, owner};
use crate::core::choose::{self, Occasion};
use crate::core::claims::{self, Owner};
use crate::core::query::Query;
use crate::core::standing::Member;
use crate::live::{Earlier, Look};
use crate::meter;
use crate::writer::Written;

/// How often a placement is decided again because another instance's claim came first.
const CONFLICTS_MAX: u32 = 64;

/// What an attempt came to.
enum Attempt {
    /// By an earlier answer to the same job.
    Placed(String),
    /// The same is being written for this host by another request.
    Pending(String),
    Chosen(Box<Decision>, Claim),
}

/// What a claim that was written turns out to be, seen what the log took before it.
enum Verdict {
    Good,
    /// The same machine and job had this host first.
    Twice(String),
    /// A rule that must hold is broken by a claim that came first.
    Broken,
}

impl Api {
    pub(super) async fn place_one(
        &self,
        context: &Context,
        request: &PlaceRequest,
    ) -> Result<PlaceResponse, Status> {
        let owner = owner(&request.vm_id, &request.job_id)?;
        let rate = request.rate.clone().unwrap_or_default();
        let query = Query::new(&rate, &self.defaults)?;
        for _ in 0..CONFLICTS_MAX {
            match self.attempt(owner, &query).await? {
                Attempt::Placed(host_id) => return self.answer_again(owner, host_id, &query).await,
                Attempt::Pending(host_id) => {
                    self.store.writer.settle(&host_id).await?;
                    continue;
                }
                Attempt::Chosen(decision, claim) => {
                    if let Some(answer) = self.settle(context, *decision, claim, &query).await? {
                        return Ok(answer);
                    }
                }
            }
            meter::RETRIES.add(1, &[]);
        }
        let message = "Too many machines are being placed at once.";
        Err(Status::new(Code::Aborted, message).action("Try again."))
    }

    /// Chooses, and counts the choice from that moment on.
    async fn attempt(&self, owner: Owner<'_>, query: &Query) -> Result<Attempt, Status> {
        let occasion = Occasion {
            vm_id: owner.vm_id,
            job_id: owner.job_id,
            now_ms: self.store.world.now_ms(),
        };
        let expires_ms = self.store.live.claim_end_ms();
        let attempt = self.store.look(|look| {
            match look.earlier(owner) {
                Earlier::At(host_id) => return Ok(Attempt::Placed(host_id)),
                Earlier::Pending(host_id) => return Ok(Attempt::Pending(host_id)),
                Earlier::No => {}
            }
            let expected = look.fleet.expected_stay_secs(owner.vm_id);
            let query = query.clone().expecting(expected);
            let decision = choose::choose(look.fleet, &query, occasion)?;
            let claim = claims::new(owner, &query.needs, expires_ms);
            look.fleet.add_pending(&decision.host_id, claim.clone());
            Ok(Attempt::Chosen(Box::new(decision), claim))
        });
        attempt.await?
    }

    /// Writes the claim. `None`: it has to be decided again.
    async fn settle(
        &self,
        context: &Context,
        decision: Decision,
        claim: Claim,
        query: &Query,
    ) -> Result<Option<PlaceResponse>, Status> {
        let host_id = decision.host_id.clone();
        let revision = match self.store.writer.claim(&host_id, claim.clone()).await? {
            Written::Outdated => return Ok(None),
            Written::At(revision) => revision,
        };
        context.saw(HostClaims::BUCKET, revision);
        let owner = Owner {
            vm_id: &claim.vm_id,
            job_id: &claim.job_id,
        };
        let judged = |look: &mut Look<'_>| judge(look, &host_id, &claim, revision);
        match self.store.look(judged).await? {
            Verdict::Good => Ok(Some(PlaceResponse {
                host_id,
                ratings: decision.ratings.clone(),
                decision: Some(decision),
            })),
            Verdict::Twice(first) => {
                self.store.writer.give_back(&host_id, owner).await?;
                meter::note_drift("twice", 1);
                Ok(Some(self.answer_again(owner, first, query).await?))
            }
            Verdict::Broken => {
                self.store.writer.give_back(&host_id, owner).await?;
                Ok(None)
            }
        }
    }

    /// What an earlier answer to the same job was; its ratings are those of now.
    async fn answer_again(
        &self,
        owner: Owner<'_>,
        host_id: String,
        query: &Query,
    ) -> Result<PlaceResponse, Status> {
        let rate = RateRequest {
            vm_id: String::new(),
            limit: 1,
            host_id: host_id.clone(),
            ..query.request.clone()
        };
        let query = Query::new(&rate, &self.defaults)?;
        let ratings = self.store.look(|look| {
            let home = look.fleet.without(&host_id, owner.vm_id);
            home.map(|home| crate::core::rate::rate(&home.state, &[], &query))
        });
        Ok(PlaceResponse {
            ratings: ratings.await?.into_iter().collect(),
            host_id,
            decision: None,
        })
    }

    pub(super) async fn give_back_all(
        &self,
        context: &Context,
        owner: Owner<'_>,
    ) -> Result<(), Status> {
        let hosts = self
            .store
            .look(|look| look.fleet.hosts_with_claim(owner.vm_id));
        for host_id in hosts.await? {
            if let Written::At(revision) = self.store.writer.give_back(&host_id, owner).await? {
                context.saw(HostClaims::BUCKET, revision);
            }
        }
        Ok(())
    }
}

/// The log has an order: of two claims that exclude each other the later one goes.
fn judge(look: &mut Look<'_>, host_id: &str, claim: &Claim, revision: u64) -> Verdict {
    let fleet = &*look.fleet;
    let earlier = |on: &str, other: &Claim| look.since(on, other) < revision;
    let twin = fleet
        .claims_for(&claim.vm_id)
        .find(|(on, other)| *on != host_id && other.job_id == claim.job_id && earlier(on, other));
    if let Some((first, _)) = twin {
        return Verdict::Twice(first.to_owned());
    }
    let machine = Member {
        id: &claim.vm_id,
        name: "",
        tags: &claim.tags,
    };
    if choose::breaks_rule(fleet, host_id, machine, earlier) {
        return Verdict::Broken;
    }
    Verdict::Good
}
