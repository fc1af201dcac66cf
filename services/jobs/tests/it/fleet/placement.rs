//! Placement by memory alone, with claims that can be counted.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::Status;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::inventory::{Host, Vm, host};
use contracts::placement::{
    PlaceRequest, PlaceResponse, Placement, RateRequest, RateResponse, Rating, Reason,
    ReleaseRequest,
};
use kit::records::Records;

use super::list;

pub(crate) struct FakePlacement {
    hosts: Records<Host>,
    vms: Records<Vm>,
    /// Machine -> host and the machine's name.
    claims: Mutex<BTreeMap<String, (String, String)>>,
    /// Machine -> how often a claim was made for it.
    made: Mutex<BTreeMap<String, u32>>,
}

impl FakePlacement {
    pub(crate) fn new(hosts: Records<Host>, vms: Records<Vm>) -> Self {
        Self {
            hosts,
            vms,
            claims: Mutex::default(),
            made: Mutex::default(),
        }
    }

    pub(crate) fn claims(&self) -> usize {
        self.claims.lock().unwrap().len()
    }

    pub(crate) fn times_claimed(&self, vm_id: &str) -> u32 {
        self.made.lock().unwrap().get(vm_id).copied().unwrap_or(0)
    }

    pub(crate) fn claims_of(&self, name: &str) -> Vec<String> {
        let claims = self.claims.lock().unwrap();
        let of = claims.iter().filter(|(_, (_, vm_name))| vm_name == name);
        of.map(|(vm_id, claim)| format!("claim {vm_id} {claim:?}"))
            .collect()
    }

    fn ratings(&self, request: &RateRequest) -> Vec<Rating> {
        let needs = request.requirements.clone().unwrap_or_default();
        let mut ratings: Vec<Rating> = list(&self.hosts)
            .iter()
            .filter(|h| h.approval() == host::Approval::Approved)
            .filter(|h| request.host_id.is_empty() || h.id == request.host_id)
            .map(|h| rating(h, needs.memory_bytes, &needs.images))
            .collect();
        ratings.sort_by_key(|r| r.zero_reasons.len());
        ratings
    }
}

fn rating(host: &Host, memory_bytes: u64, images: &[String]) -> Rating {
    let mut rating = Rating {
        host_id: host.id.clone(),
        host_name: host.name.clone(),
        half_stars: 9,
        ..Rating::default()
    };
    let mut refuse = |check: &str, message: String| {
        rating.zero_reasons.push(Reason {
            check: check.to_owned(),
            message,
            recommended_action: format!("Mend the {check}."),
            half_stars_lost: 0,
        });
    };
    let has = host.facts.as_ref().map_or(0, |f| f.memory_bytes);
    if memory_bytes > has {
        refuse("memory", format!("It has {has} bytes of memory."));
    }
    if images.iter().any(|image| image.starts_with("missing")) {
        refuse("image", "It does not have the image.".to_owned());
    }
    // Hosts of a case's own are not there for machines.
    if host.id != "h1" && host.id != "h2" {
        refuse("not_responding", "It is for show.".to_owned());
    }
    rating
}

#[async_trait]
impl Placement for FakePlacement {
    async fn rate(&self, _: &Context, request: RateRequest) -> Result<RateResponse, Status> {
        Ok(RateResponse {
            ratings: self.ratings(&request),
            ..RateResponse::default()
        })
    }

    async fn place(&self, _: &Context, request: PlaceRequest) -> Result<PlaceResponse, Status> {
        let ratings = self.ratings(&request.rate.unwrap_or_default());
        let best = ratings.iter().find(|r| r.zero_reasons.is_empty());
        let Some(best) = best else {
            return Err(Status::precondition("No host."));
        };
        let vm = self.vms.get(&request.vm_id)?;
        let name = vm.map(|vm| vm.value.name).unwrap_or_default();
        let mut claims = self.claims.lock().unwrap();
        let claim = claims.entry(request.vm_id.clone()).or_insert_with(|| {
            *self
                .made
                .lock()
                .unwrap()
                .entry(request.vm_id.clone())
                .or_default() += 1;
            (best.host_id.clone(), name)
        });
        Ok(PlaceResponse {
            host_id: claim.0.clone(),
            ratings,
            decision: None,
        })
    }

    async fn release(&self, _: &Context, request: ReleaseRequest) -> Result<Empty, Status> {
        self.claims.lock().unwrap().remove(&request.vm_id);
        Ok(Empty {})
    }
}
