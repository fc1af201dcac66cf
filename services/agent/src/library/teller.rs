//! Tells the library what a share has: what differs from what it was told, numbered, until it has taken it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use contracts::call::{Call, Context};
use contracts::library::{Identity, ItemFacts, LibraryClient, ReportRequest, ReportResponse};
use contracts::{Status, digest};

use super::limits;
use super::looks::Looks;
use super::walk::SkippedFiles;
use crate::core::library::{Items, Known};
use crate::store::Identity as Server;

/// How a share is, beside its items.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) problem: String,
    pub(super) identity: Identity,
    pub(super) skipped: SkippedFiles,
}

pub(super) struct Teller {
    library: LibraryClient,
    server: Server,
    share_id: String,
    number: u64,
    want_whole: bool,
    /// Items that the library has taken, with their digests.
    told: BTreeMap<String, u64>,
    state: State,
}

/// What became of what was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The share is the server's no more.
    pub(super) is_unknown: bool,
    /// Ids that are another server's.
    pub(super) foreign: Vec<String>,
}

impl Teller {
    pub(super) fn new(caller: Arc<dyn Call>, server: Server, share_id: &str) -> Self {
        Self {
            library: LibraryClient::new(caller),
            server,
            share_id: share_id.to_owned(),
            number: 0,
            want_whole: true,
            told: BTreeMap::new(),
            state: State::default(),
        }
    }

    /// Whether the library has what it was told; if not, it is told everything anew.
    pub(super) fn compare(&mut self, digest: &[u8]) {
        self.want_whole |= digest::machines(&self.told) != digest;
    }

    /// Tells what differs, once; a failure is for the caller to try again.
    pub(super) async fn tell(
        &mut self,
        context: &Context,
        items: &Items,
        state: &State,
        progress: &Looks,
    ) -> Result<Heard, Status> {
        let mut heard = Heard::default();
        loop {
            let mut reports = VecDeque::from(match self.want_whole {
                true => vec![self.whole(items, state)],
                false => self.differences(items, state),
            });
            if reports.is_empty() {
                return Ok(heard);
            }
            while let Some(report) = reports.pop_front() {
                let left = reports
                    .iter()
                    .map(|report| report.items.len())
                    .sum::<usize>();
                progress.note_left_to_tell(left + report.items.len());
                let request = self.numbered(report);
                let answer = self.library.report(context, &request).await?;
                if answer.unknown_share {
                    heard.is_unknown = true;
                    return Ok(heard);
                }
                heard.foreign.extend(answer.foreign_ids.clone());
                self.taken(&request, answer, items, state);
                progress.note_left_to_tell(left);
                if self.want_whole {
                    break;
                }
            }
        }
    }

    fn numbered(&self, report: ReportRequest) -> ReportRequest {
        ReportRequest {
            number: self.number + 1,
            ..report
        }
    }

    fn request(&self, state: &State) -> ReportRequest {
        ReportRequest {
            server_id: self.server.host_id.clone(),
            generation: self.server.generation,
            share_id: self.share_id.clone(),
            problem: state.problem.clone(),
            identity: state.identity.into(),
            skipped: state.skipped.named.clone(),
            skipped_count: state.skipped.count,
            ..ReportRequest::default()
        }
    }

    fn whole(&self, items: &Items, state: &State) -> ReportRequest {
        ReportRequest {
            whole: true,
            known: digests(items).into_iter().collect(),
            ..self.request(state)
        }
    }

    /// What differs, in reports of a size that is taken in one go.
    fn differences(&self, items: &Items, state: &State) -> Vec<ReportRequest> {
        let told = |(id, known): &(&String, &Known)| {
            self.told.get(*id) == Some(&digest::item(&known.facts))
        };
        let differing: Vec<ItemFacts> = items
            .iter()
            .filter(|item| !told(item))
            .map(|(_, known)| known.facts.clone())
            .collect();
        let gone = self.told.keys().filter(|id| !items.contains_key(*id));
        let missing: Vec<String> = gone.cloned().collect();
        if differing.is_empty() && missing.is_empty() {
            return match self.state == *state {
                true => Vec::new(),
                false => vec![self.request(state)],
            };
        }
        let gone = missing
            .chunks(limits::ITEMS_A_REPORT)
            .map(|ids| ReportRequest {
                missing_ids: ids.to_vec(),
                ..self.request(state)
            });
        let there = differing.chunks(limits::ITEMS_A_REPORT);
        let there = there.map(|items| ReportRequest {
            items: items.to_vec(),
            ..self.request(state)
        });
        gone.chain(there).collect()
    }

    fn taken(
        &mut self,
        request: &ReportRequest,
        answer: ReportResponse,
        items: &Items,
        state: &State,
    ) {
        if answer.want_whole {
            self.want_whole = true;
            return;
        }
        self.number = request.number;
        if request.whole {
            self.want_whole = false;
            self.told = digests(items);
        }
        for facts in &request.items {
            self.told.insert(facts.id.clone(), digest::item(facts));
        }
        for id in &request.missing_ids {
            self.told.remove(id);
        }
        for id in &answer.wanted_ids {
            self.told.remove(id);
        }
        self.state = state.clone();
    }
}

fn digests(items: &Items) -> BTreeMap<String, u64> {
    let digest = |(id, known): (&String, &Known)| (id.clone(), digest::item(&known.facts));
    items.iter().map(digest).collect()
}
