//! When what was refreshed last, as the refreshers tell each second. In memory alone, as with them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use contracts::call::{Call, Context};
use contracts::refresher::{
    ListKindsRequest, ListRefreshedRequest, Outcome, Refreshed, RefreshedBatch, RefresherClient,
};
use contracts::{Status, subjects};
use futures::StreamExt;
use kit::bus::{Bus, Incoming};
use prost::Message as _;
use tokio::sync::Notify;

/// How often all of it is asked for again: what is gone goes, what was missed comes.
const ASK_INTERVAL: Duration = Duration::from_secs(600);

/// How soon it is asked for again while no refresher answers.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Known {
    /// By target, then by kind and object.
    last: HashMap<String, BTreeMap<(String, String), Refreshed>>,
    /// On which kinds of objects each kind of refresh shows.
    shows_on: HashMap<String, Vec<String>>,
}

#[derive(Default)]
pub(crate) struct LastRefreshes {
    known: RwLock<Known>,
    /// A kind was heard of that came after kinds were asked for.
    new_kind: Notify,
}

impl LastRefreshes {
    /// The last refreshes of an object by each kind that shows on it: of the target as a whole, or of the object alone.
    pub(crate) fn of(&self, object_kind: &str, target_id: &str, object_id: &str) -> Vec<Refreshed> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut newest: BTreeMap<&str, &Refreshed> = BTreeMap::new();
        for ((kind, object), refreshed) in known.last.get(target_id).into_iter().flatten() {
            let shows = known.shows_on.get(kind);
            let is_shown = shows.is_some_and(|on| on.iter().any(|on| on == object_kind));
            if !is_shown || !(object.is_empty() || object == object_id) {
                continue;
            }
            let kept = newest.entry(kind).or_insert(refreshed);
            if kept.time_ms < refreshed.time_ms {
                *kept = refreshed;
            }
        }
        newest.into_values().cloned().collect()
    }

    fn write(&self, act: impl FnOnce(&mut Known)) {
        act(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn hear(&self, incoming: Incoming) {
        if let Ok(batch) = RefreshedBatch::decode(incoming.message.payload) {
            self.write(|known| {
                let is_new = |r: &Refreshed| !known.shows_on.contains_key(&r.kind);
                if batch.refreshed.iter().any(is_new) {
                    self.new_kind.notify_one();
                }
                batch.refreshed.into_iter().for_each(|r| known.hear(r));
            });
        }
    }

    async fn ask(&self, client: &RefresherClient) -> Result<(), Status> {
        let context = Context::new("system");
        let kinds = client.list_kinds(&context, &ListKindsRequest {}).await?;
        let kinds = kinds.kinds.into_iter().filter_map(|state| state.kind);
        let mut fresh = Known {
            shows_on: kinds.map(|kind| (kind.name, kind.object_kinds)).collect(),
            ..Known::default()
        };
        let mut request = ListRefreshedRequest::default();
        loop {
            let page = client.list_refreshed(&context, &request).await?;
            page.refreshed.into_iter().for_each(|r| fresh.hear(r));
            if page.next.is_empty() {
                break;
            }
            request.next = page.next;
        }
        self.write(|known| {
            // What was told meanwhile may be newer.
            let told = std::mem::take(&mut known.last);
            let told = told.into_values().flat_map(BTreeMap::into_values);
            let newest = fresh.newest_ms();
            told.filter(|r| r.time_ms > newest)
                .for_each(|r| fresh.hear(r));
            *known = fresh;
        });
        Ok(())
    }
}

impl Known {
    fn hear(&mut self, refreshed: Refreshed) {
        let of_target = self.last.entry(refreshed.target_id.clone()).or_default();
        // The whole target was looked at: that one object of it was before is of no more interest.
        if refreshed.object_id.is_empty() && refreshed.outcome() != Outcome::Failed {
            of_target.retain(|(kind, object), _| *kind != refreshed.kind || object.is_empty());
        }
        let key = (refreshed.kind.clone(), refreshed.object_id.clone());
        of_target.insert(key, refreshed);
    }

    fn newest_ms(&self) -> i64 {
        let all = self.last.values().flat_map(BTreeMap::values);
        all.map(|refreshed| refreshed.time_ms).max().unwrap_or(0)
    }
}

/// Listens, and asks for what was told before. Goes on until it is dropped.
pub(crate) async fn follow(last: Arc<LastRefreshes>, bus: Arc<dyn Bus>, caller: Arc<dyn Call>) {
    let client = RefresherClient::new(caller);
    let asking = async {
        loop {
            let pause = match last.ask(&client).await {
                Ok(()) => ASK_INTERVAL,
                Err(status) => {
                    tracing::debug!(%status, "when what was refreshed is not known now");
                    RETRY_INTERVAL
                }
            };
            tokio::time::sleep(RETRY_INTERVAL).await;
            let rest = pause.saturating_sub(RETRY_INTERVAL);
            // Either is reason enough to ask again.
            let _ = tokio::time::timeout(rest, last.new_kind.notified()).await;
        }
    };
    let listening = async {
        loop {
            match bus.subscribe(&subjects::refreshed("*")).await {
                Ok(mut told) => {
                    while let Some(incoming) = told.next().await {
                        last.hear(incoming);
                    }
                }
                Err(error) => tracing::debug!(%error, "refreshers are not heard now"),
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    };
    tokio::join!(asking, listening);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn refreshed(kind: &str, object: &str, time_ms: i64) -> Refreshed {
        Refreshed {
            kind: kind.to_owned(),
            target_id: "h1".to_owned(),
            object_id: object.to_owned(),
            time_ms,
            ..Refreshed::default()
        }
    }

    #[test]
    fn an_object_shows_the_newest_of_its_own_and_its_targets_refreshes() {
        let last = LastRefreshes::default();
        last.write(|known| {
            known
                .shows_on
                .insert("vm_heavy".to_owned(), vec!["vm".to_owned()]);
            known
                .shows_on
                .insert("host".to_owned(), vec!["host".to_owned()]);
            known.hear(refreshed("vm_heavy", "", 5));
            known.hear(refreshed("host", "", 6));
            known.hear(refreshed("vm_heavy", "v1", 7));
        });
        let times = |object_kind: &str, object: &str| {
            let of = last.of(object_kind, "h1", object).into_iter();
            of.map(|r| (r.kind, r.time_ms)).collect::<Vec<_>>()
        };
        assert_eq!(times("vm", "v1"), [("vm_heavy".to_owned(), 7)]);
        assert_eq!(times("vm", "v2"), [("vm_heavy".to_owned(), 5)]);
        assert_eq!(times("host", ""), [("host".to_owned(), 6)]);
        last.write(|known| known.hear(refreshed("vm_heavy", "", 9)));
        assert_eq!(times("vm", "v1"), [("vm_heavy".to_owned(), 9)]);
        assert!(last.of("vm", "h2", "v1").is_empty());
    }
}
