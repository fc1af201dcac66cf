//! Tells the library what a share has: what differs from what it was told, numbered, until it has taken it.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::call::{Call, Context};
use contracts::library::{Identity, LibraryClient, ReportRequest, ReportResponse};
use contracts::{Status, digest};

use super::limits;
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
    ) -> Result<Heard, Status> {
        let mut heard = Heard::default();
        loop {
            let request = match self.want_whole {
                true => self.whole(items, state),
                false => match self.difference(items, state) {
                    Some(request) => request,
                    None => return Ok(heard),
                },
            };
            let answer = self.library.report(context, &request).await?;
            if answer.unknown_share {
                heard.is_unknown = true;
                return Ok(heard);
            }
            heard.foreign.extend(answer.foreign_ids.clone());
            self.taken(&request, answer, items, state);
        }
    }

    fn request(&self, state: &State) -> ReportRequest {
        ReportRequest {
            server_id: self.server.host_id.clone(),
            generation: self.server.generation,
            share_id: self.share_id.clone(),
            number: self.number + 1,
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

    /// As much of what differs as fits into one report.
    fn difference(&self, items: &Items, state: &State) -> Option<ReportRequest> {
        let differs = |(id, known): &(&String, &Known)| {
            self.told.get(*id) != Some(&digest::item(&known.facts))
        };
        let differing = items.iter().filter(differs).take(limits::ITEMS_A_REPORT);
        let request = ReportRequest {
            items: differing.map(|(_, known)| known.facts.clone()).collect(),
            missing_ids: self
                .told
                .keys()
                .filter(|id| !items.contains_key(*id))
                .cloned()
                .collect(),
            ..self.request(state)
        };
        let is_news = !request.items.is_empty() || !request.missing_ids.is_empty();
        (is_news || self.state != *state).then_some(request)
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
