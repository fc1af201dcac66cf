//! Refreshes: a host is asked what differs from its records, and what differs is written.
//!
//! What a host says here has no number, so it could overtake a report or be overtaken by one. So each record is written
//! only if nothing has changed it since before the host was asked: what was found is then newer than the record. A host
//! that has reports on their way says so, and is left to them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contracts::call::Context;
use contracts::host::{HostClient, Level, RefreshRequest as Question, RefreshResponse as Answer};
use contracts::inventory::{Host, Vm};
use contracts::jobs::FoundChange;
use contracts::records::indexes;
use contracts::refresher::{
    ListTargetsRequest, ListTargetsResponse, Outcome, RefreshRequest, RefreshResponse, Refreshable,
};
use contracts::{Status, digest, names};
use futures::{StreamExt, TryStreamExt};
use kit::records::{Decision, Stored};
use prost::Message as _;

use super::reports::{Said, Since};
use super::{Api, WRITES_AT_ONCE};
use crate::core::report::check_count;
use crate::core::{facts, refresh, registration};

/// What a refresh has found.
#[derive(Default)]
struct Found {
    bytes: u64,
    changed: Vec<FoundChange>,
}

impl Found {
    fn hear(&mut self, answer: &Answer) {
        self.bytes += u64::try_from(answer.encoded_len()).unwrap_or(u64::MAX);
    }

    fn response(&self) -> RefreshResponse {
        let changed = self.changed.len();
        let outcome = if changed == 0 {
            Outcome::Unchanged
        } else {
            Outcome::Changed
        };
        RefreshResponse {
            outcome: outcome.into(),
            bytes: self.bytes,
            changed: u32::try_from(changed).unwrap_or(u32::MAX),
        }
    }
}

#[async_trait]
impl Refreshable for Api {
    async fn list_targets(
        &self,
        _: &Context,
        request: ListTargetsRequest,
    ) -> Result<ListTargetsResponse, Status> {
        let hosts = self.fleet.hosts.list()?;
        let hosts = hosts.iter().map(|host| &host.value);
        Ok(refresh::targets(hosts, &request.known_digest))
    }

    async fn refresh(
        &self,
        context: &Context,
        request: RefreshRequest,
    ) -> Result<RefreshResponse, Status> {
        let level = refresh::level(&request.kind)?;
        names::check_id("target_id", &request.target_id)?;
        if !request.object_id.is_empty() {
            names::check_id("object_id", &request.object_id)?;
        }
        let host = self.fleet.hosts.get(&request.target_id)?;
        let host = host.map(|host| host.value);
        let host = host
            .filter(registration::is_approved)
            .ok_or_else(|| super::hosts::no_host(&request.target_id))?;
        let found = match level {
            Level::Host => self.refresh_facts(context, &host).await?,
            Level::Light | Level::Heavy | Level::Unspecified => {
                let vm_id = &request.object_id;
                self.refresh_machines(context, &host, level, vm_id).await?
            }
        };
        let response = found.response();
        self.record_found(context, &request.kind, &host, found.changed)
            .await;
        Ok(response)
    }
}

impl Api {
    async fn question(
        &self,
        context: &Context,
        host: &Host,
        question: &Question,
        found: &mut Found,
    ) -> Result<Answer, Status> {
        let mut asking = Context::new("system");
        asking.trace_parent.clone_from(&context.trace_parent);
        let client = HostClient::new(self.caller.clone(), &host.id);
        let answer = client.refresh(&asking, question).await;
        let answer = answer.map_err(|status| refresh::blame(host, status))?;
        found.hear(&answer);
        Ok(answer)
    }

    async fn refresh_facts(&self, context: &Context, host: &Host) -> Result<Found, Status> {
        let mut found = Found::default();
        let before = host.facts.clone().unwrap_or_default();
        let question = Question {
            level: Level::Host.into(),
            digest: digest::facts(&before),
            ..Question::default()
        };
        let answer = self.question(context, host, &question, &mut found).await?;
        let Some(now) = answer
            .facts
            .filter(|_| answer.generation == host.generation)
        else {
            return Ok(found);
        };
        facts::check(&now).map_err(|status| refresh::blame(host, status))?;
        let write = |current: Option<&Stored<Host>>| {
            let Some(current) = current.map(|c| &c.value) else {
                return Ok(Decision::Keep(None));
            };
            // A report has come first.
            if current.facts != host.facts {
                return Ok(Decision::Keep(None));
            }
            let mut after = current.clone();
            after.facts = Some(now.clone());
            after.facts_ms = self.fleet.now_ms();
            Ok(Decision::Put(after.clone(), Some((current.clone(), after))))
        };
        let own = self.as_found(context);
        let changed = self.fleet.hosts.update(&own, &host.id, write).await?;
        let changed = changed.map(|(before, after)| self.change_of(&own, &before, &after));
        found.changed.extend(changed);
        Ok(found)
    }

    async fn refresh_machines(
        &self,
        context: &Context,
        host: &Host,
        level: Level,
        vm_id: &str,
    ) -> Result<Found, Status> {
        let mut found = Found::default();
        let is_light_pass = level == Level::Light && vm_id.is_empty();
        if is_light_pass && self.is_as_kept(context, host, &mut found).await? {
            return Ok(found);
        }
        let heard = self.digests.heard();
        let mut records = self.fleet.vms.find(indexes::HOST, &host.id)?;
        records.retain(|vm| vm_id.is_empty() || vm.id == vm_id);
        let expected = refresh::expected(records.iter().map(|vm| &vm.value));
        let known = digest::each(level, expected.values());
        let mut question = Question {
            level: level.into(),
            vm_id: vm_id.to_owned(),
            digest: digest::machines(&known),
            ..Question::default()
        };
        if is_light_pass {
            let (machines, digest) = (records.len() as u64, question.digest.clone());
            self.digests.keep(&host.id, machines, digest, heard);
        }
        let mut answer = self.question(context, host, &question, &mut found).await?;
        if answer.want_known_vms {
            question.known_vms = known;
            question.with_known_vms = true;
            answer = self.question(context, host, &question, &mut found).await?;
        }
        if answer.digest == question.digest || is_left_to_reports(host, &answer) {
            return Ok(found);
        }
        found.changed = self.apply_found(context, host, &records, &answer).await?;
        Ok(found)
    }

    /// Whether a host has what was kept of the records. If not, it has to be asked again once the records were read: only
    /// then is known what is newer.
    async fn is_as_kept(
        &self,
        context: &Context,
        host: &Host,
        found: &mut Found,
    ) -> Result<bool, Status> {
        let machines = self.fleet.vms.count(indexes::HOST, &host.id)?;
        let Some(digest) = self.digests.of(&host.id, machines) else {
            return Ok(false);
        };
        let question = Question {
            level: Level::Light.into(),
            digest,
            ..Question::default()
        };
        let answer = self.question(context, host, &question, found).await?;
        Ok(answer.digest == question.digest || is_left_to_reports(host, &answer))
    }

    async fn apply_found(
        &self,
        context: &Context,
        host: &Host,
        records: &[Stored<Vm>],
        answer: &Answer,
    ) -> Result<Vec<FoundChange>, Status> {
        let count = answer.vms.len().max(answer.removed_vm_ids.len());
        check_count(count).map_err(|status| refresh::blame(host, status))?;
        let revisions: BTreeMap<&str, u64> = records
            .iter()
            .map(|vm| (vm.id.as_str(), vm.revision))
            .collect();
        let known = |id: &&String| revisions.contains_key(id.as_str());
        let gone = answer.removed_vm_ids.iter().filter(known);
        let here = super::reports::passable(host, &answer.vms);
        let gone = gone.map(|id| Said::Gone(id));
        let said: Vec<Said<'_>> = here.map(Said::Here).chain(gone).collect();
        self.look_for_deletions(&said).await?;
        let work: Vec<_> = said
            .into_iter()
            .map(|said| {
                // Of a machine that was not on the host there is nothing that could have been overtaken.
                let since = revisions
                    .get(said.id())
                    .map_or(Since::Ever, |r| Since::Revision(*r));
                let own = self.as_found(context);
                async move {
                    let applied = self.apply_one(&own, host, said, since).await?;
                    let change = (applied.before, applied.after);
                    Ok::<_, Status>(match change {
                        (before, Some(after)) => {
                            Some(self.change_of(&own, &before.unwrap_or_default(), &after))
                        }
                        (_, None) => None,
                    })
                }
            })
            .collect();
        let changes: Vec<Option<FoundChange>> = futures::stream::iter(work)
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(changes.into_iter().flatten().collect())
    }
}

/// An agent that was started anew registers first and then tells everything.
fn is_left_to_reports(host: &Host, answer: &Answer) -> bool {
    answer.reports_waiting || answer.generation != host.generation
}
