//! What placement answers.

mod batch;
mod place;
mod rules;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::common::Empty;
use contracts::placement::{
    Decision, PlaceBatchRequest, PlaceBatchResponse, PlaceRequest, PlaceResponse, Placement,
    Planning, RateRequest, RateResponse, ReleaseRequest, ReplayResponse, Rule, RuleRef, Rules,
    SimulateRequest, SimulateResponse,
};
use contracts::{Status, names};
use prost::Message as _;

use crate::core::claims::Owner;
use crate::core::query::{Defaults, Query};
use crate::core::{choose, moving, simulate};
use crate::store::Store;

pub(crate) struct Api {
    store: Store,
    defaults: Defaults,
}

impl Api {
    pub(crate) fn new(store: Store, defaults: Defaults) -> Self {
        Self { store, defaults }
    }
}

#[async_trait]
impl Placement for Api {
    async fn rate(&self, _context: &Context, request: RateRequest) -> Result<RateResponse, Status> {
        let rated = self.store.look(|look| {
            let request = moving::complete(&request, look.fleet)?;
            let expected = look.fleet.expected_stay_secs(&request.vm_id);
            let query = Query::new(&request, &self.defaults)?.expecting(expected);
            choose::rate_all(look.fleet, &query)
        });
        rated.await?
    }

    async fn place(
        &self,
        context: &Context,
        request: PlaceRequest,
    ) -> Result<PlaceResponse, Status> {
        self.place_one(context, &request).await
    }

    async fn release(&self, context: &Context, request: ReleaseRequest) -> Result<Empty, Status> {
        let owner = owner(&request.vm_id, &request.job_id)?;
        self.store.catch_up().await?;
        self.give_back_all(context, owner).await?;
        Ok(Empty {})
    }
}

#[async_trait]
impl Planning for Api {
    async fn place_batch(
        &self,
        context: &Context,
        request: PlaceBatchRequest,
    ) -> Result<PlaceBatchResponse, Status> {
        self.place_together(context, &request).await
    }

    async fn replay(&self, _: &Context, request: Decision) -> Result<ReplayResponse, Status> {
        let rate = request.request.clone().unwrap_or_default();
        let query = Query::new(&rate, &self.defaults)?;
        let (host_id, ratings) = choose::decide(&request.contenders, &query);
        let host_id = host_id.unwrap_or_default();
        let bytes = |ratings: &[contracts::placement::Rating]| -> Vec<Vec<u8>> {
            ratings
                .iter()
                .map(|rating| rating.encode_to_vec())
                .collect()
        };
        let same = host_id == request.host_id && bytes(&ratings) == bytes(&request.ratings);
        Ok(ReplayResponse {
            host_id,
            ratings,
            same,
        })
    }

    async fn simulate(
        &self,
        _context: &Context,
        request: SimulateRequest,
    ) -> Result<SimulateResponse, Status> {
        let simulated = self.store.look(|look| simulate::run(look.fleet, &request));
        simulated.await?
    }

    async fn list_rules(&self, context: &Context, _: Empty) -> Result<Rules, Status> {
        self.all_rules(context)
    }

    async fn add_rule(&self, context: &Context, rule: Rule) -> Result<Rule, Status> {
        self.make_rule(context, &rule).await
    }

    async fn remove_rule(&self, context: &Context, rule: RuleRef) -> Result<Empty, Status> {
        self.forget_rule(context, &rule.id).await?;
        Ok(Empty {})
    }
}

fn owner<'a>(vm_id: &'a str, job_id: &'a str) -> Result<Owner<'a>, Status> {
    names::check_id("vm_id", vm_id)?;
    names::check_id("job_id", job_id)?;
    Ok(Owner { vm_id, job_id })
}
