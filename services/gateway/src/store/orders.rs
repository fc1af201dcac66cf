//! Lists that are asked for again and again, kept in their order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kit::records::Change;
use kit::records::table::Snapshot;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::Kind;
use crate::core::fields::Listed;
use crate::core::list::{ListQuery, Selected, Wanted};
use crate::core::names::Names;
use crate::core::order::Order;
use crate::error::Outcome;

/// Lists that are kept. Each is a pointer for every record in it.
const KEPT_MAX: usize = 8;

/// Lists that are remembered as asked for: the second time one is kept.
const ASKED_MAX: usize = 64;

pub(super) struct Orders<R: 'static>(Mutex<Lists<R>>);

struct Lists<R: 'static> {
    asked: VecDeque<String>,
    /// The one that was asked for last comes last.
    kept: Vec<Kept<R>>,
}

struct Kept<R: 'static> {
    order: Order<R>,
    changes: Receiver<Arc<Change<R>>>,
    /// Read, but of later than the snapshot at hand.
    ahead: Option<Arc<Change<R>>>,
    revision: u64,
    loads: u64,
}

impl<R> Default for Orders<R> {
    fn default() -> Self {
        Self(Mutex::new(Lists {
            asked: VecDeque::new(),
            kept: Vec::new(),
        }))
    }
}

impl<R: Listed> Orders<R> {
    fn lists(&self) -> MutexGuard<'_, Lists<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page, and the revision that it reflects.
    pub(super) fn page(
        &self,
        kind: &Kind<R>,
        query: &ListQuery,
        names: &Arc<Names>,
    ) -> Outcome<(Selected<R>, u64)> {
        let asked = Wanted::read(query, names)?;
        let mut lists = self.lists();
        if !lists.is_asked_again(&asked.list) {
            drop(lists);
            let snapshot = kind.snapshot()?;
            return Ok((asked.select(snapshot.records(), names), snapshot.revision));
        }
        if let Some(mut kept) = lists.take(&asked.list, names) {
            let snapshot = kind.snapshot()?;
            if kept.follow(&snapshot) {
                let page = kept.order.page(&asked);
                lists.kept.push(kept);
                return Ok((page, snapshot.revision));
            }
        }
        // Before the snapshot, so that no change is missed.
        let changes = kind.mirror.changes();
        let snapshot = kind.snapshot()?;
        let whole = Wanted::read(query, names)?;
        let order = Order::new(whole, Arc::clone(names), snapshot.records());
        let page = order.page(&asked);
        lists.kept.push(Kept {
            order,
            changes,
            ahead: None,
            revision: snapshot.revision,
            loads: snapshot.loads,
        });
        if lists.kept.len() > KEPT_MAX {
            lists.kept.remove(0);
        }
        Ok((page, snapshot.revision))
    }
}

impl<R: Listed> Lists<R> {
    fn is_asked_again(&mut self, list: &str) -> bool {
        if self.asked.iter().any(|asked| asked == list) {
            return true;
        }
        self.asked.push_back(list.to_owned());
        if self.asked.len() > ASKED_MAX {
            self.asked.pop_front();
        }
        false
    }

    /// Also one that was made with other names, which is of no more use.
    fn take(&mut self, list: &str, names: &Arc<Names>) -> Option<Kept<R>> {
        let at = self.kept.iter().position(|kept| kept.order.is_of(list))?;
        Some(self.kept.remove(at)).filter(|kept| kept.order.has(names))
    }
}

impl<R: Listed> Kept<R> {
    /// Brings the order to a snapshot. False: changes were missed, or the records were read anew.
    fn follow(&mut self, snapshot: &Snapshot<'_, R>) -> bool {
        if self.loads != snapshot.loads || self.revision > snapshot.revision {
            return false;
        }
        loop {
            let change = match self.ahead.take() {
                Some(change) => change,
                None => match self.changes.try_recv() {
                    Ok(change) => change,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => return false,
                },
            };
            if change.revision > snapshot.revision {
                self.ahead = Some(change);
                break;
            }
            if change.revision > self.revision {
                let now = snapshot.get(&change.id);
                self.order.change(&change.id, change.before.as_ref(), now);
            }
        }
        self.revision = snapshot.revision;
        true
    }
}
