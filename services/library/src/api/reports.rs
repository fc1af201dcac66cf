//! Reports of library servers: what changed on a share, in order, answered when it is durable.

use std::sync::Arc;

use contracts::call::Context;
use contracts::library::{Item, ItemFacts, ReportRequest, ReportResponse, Share};
use contracts::{Status, names};
use futures::{StreamExt, TryStreamExt};
use kit::records::{Decision, Stored};

use super::Api;
use crate::core::item;
use crate::core::report::{self, Outcome, Sender, Verdict, check, judge};
use crate::store::WRITES_AT_ONCE;

/// Of why a share cannot be reached, so that it fits into a record.
const PROBLEM_CHARS_MAX: usize = 500;

/// One thing that a server says of one item.
#[derive(Clone, Copy)]
enum Said<'a> {
    Here(&'a ItemFacts),
    Gone(&'a str),
}

impl<'a> Said<'a> {
    fn id(self) -> &'a str {
        match self {
            Self::Here(facts) => &facts.id,
            Self::Gone(id) => id,
        }
    }
}

impl Api {
    pub(super) async fn apply_report(
        &self,
        context: &Context,
        request: ReportRequest,
    ) -> Result<ReportResponse, Status> {
        check(&request)?;
        names::check_id("share_id", &request.share_id)?;
        let Some(share) = self.reported_share(context, &request).await? else {
            return Ok(ReportResponse {
                unknown_share: true,
                ..ReportResponse::default()
            });
        };
        let mut answer = ReportResponse::default();
        match judge(&share, &request)? {
            Verdict::Known => {}
            Verdict::Gap => answer.want_whole = true,
            Verdict::Apply => {
                answer.foreign_ids = self.apply_items(context, &request).await?;
                self.close_report(context, &request).await?;
            }
        }
        if request.whole {
            answer.wanted_ids = self.wanted(&request)?;
        }
        Ok(answer)
    }

    /// The share, if it is the server's. Asked of the log: the view may be behind.
    async fn reported_share(
        &self,
        context: &Context,
        request: &ReportRequest,
    ) -> Result<Option<Share>, Status> {
        let look = |share: Option<&Stored<Share>>| {
            Ok(Decision::<Share, Option<Share>>::Keep(
                share.map(|s| s.value.clone()),
            ))
        };
        let share = self
            .desk
            .shares
            .update(context, &request.share_id, look)
            .await?;
        Ok(share.filter(|share| share.server_id == request.server_id))
    }

    /// Answers with ids that are another server's.
    async fn apply_items(
        &self,
        context: &Context,
        request: &ReportRequest,
    ) -> Result<Vec<String>, Status> {
        let sender = Sender {
            server_id: &request.server_id,
            share_id: &request.share_id,
            generation: request.generation,
            number: request.number,
            now_ms: self.desk.world.now_ms(),
        };
        let passable = |facts: &&ItemFacts| match item::check_facts(facts) {
            Ok(()) => true,
            Err(status) => {
                tracing::warn!(share = request.share_id, path = names::shorten(&facts.path), %status,
                    "an item of a report is passed over");
                false
            }
        };
        let here = request.items.iter().filter(passable).map(Said::Here);
        let unsaid = self.unsaid(request)?;
        let ids = request.missing_ids.iter().filter(|id| names::is_token(id));
        let gone = ids.chain(&unsaid).map(|id| Said::Gone(id));
        let work: Vec<_> = here
            .chain(gone)
            .map(|said| self.apply_one(context, &sender, said))
            .collect();
        let outcomes: Vec<Option<String>> = futures::stream::iter(work)
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Items of the share that a whole report does not know.
    fn unsaid(&self, request: &ReportRequest) -> Result<Vec<String>, Status> {
        // A share that cannot be reached is missing as a whole, and its items stay as they were.
        if !request.whole || !request.problem.is_empty() {
            return Ok(Vec::new());
        }
        let items = self.desk.items_of(&request.share_id)?.into_iter();
        let unsaid = items.filter(|item| !request.known.contains_key(&item.id));
        Ok(unsaid.map(|item| item.id.clone()).collect())
    }

    async fn apply_one(
        &self,
        context: &Context,
        sender: &Sender<'_>,
        said: Said<'_>,
    ) -> Result<Option<String>, Status> {
        let decide = |current: Option<&Stored<Item>>| {
            let current = current.map(|current| &current.value);
            Ok(match said {
                Said::Here(facts) => sender.seen(current, facts),
                Said::Gone(_) => sender.gone(current),
            })
        };
        let outcome = self.desk.items.update(context, said.id(), decide).await?;
        Ok((outcome == Outcome::Foreign).then(|| said.id().to_owned()))
    }

    /// Items that the server has and the records do not, or otherwise.
    fn wanted(&self, request: &ReportRequest) -> Result<Vec<String>, Status> {
        let items = self.desk.items_of(&request.share_id)?;
        let known = report::known(items.iter().map(Arc::as_ref));
        let told = request.known.iter();
        let mut wanted: Vec<String> = told
            .filter(|(id, digest)| known.get(*id) != Some(digest))
            .map(|(id, _)| id.clone())
            .collect();
        wanted.sort();
        Ok(wanted)
    }

    /// After every item is durable: the report's number, and how the share is.
    async fn close_report(&self, context: &Context, request: &ReportRequest) -> Result<(), Status> {
        let decide = |current: Option<&Stored<Share>>| {
            let Some(current) = current.map(|current| &current.value) else {
                return Ok(Decision::Keep(()));
            };
            if judge(current, request)? != Verdict::Apply {
                return Ok(Decision::Keep(()));
            }
            let share = Share {
                problem: request.problem.chars().take(PROBLEM_CHARS_MAX).collect(),
                identity: request.identity,
                skipped: request.skipped.clone(),
                skipped_count: request.skipped_count,
                generation: request.generation,
                report_number: request.number,
                ..current.clone()
            };
            Ok(Decision::Put(share, ()))
        };
        self.desk
            .shares
            .update(context, &request.share_id, decide)
            .await
    }
}
