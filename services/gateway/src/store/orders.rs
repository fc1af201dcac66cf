//! Lists that are asked for again and again, kept in their order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kit::records::Change;
use kit::records::table::Snapshot;
use tokio::runtime::{Handle, RuntimeFlavor};
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
    /// By name. The one that was asked for last comes last.
    kept: Vec<(String, List<R>)>,
}

/// Nothing before it was put in order for the first time. Those who want it meanwhile wait; who wants another does not.
type List<R> = Arc<tokio::sync::Mutex<Option<Kept<R>>>>;

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
    pub(super) async fn page(
        &self,
        kind: &Kind<R>,
        query: &ListQuery,
        names: &Arc<Names>,
    ) -> Outcome<(Selected<R>, u64)> {
        let asked = Wanted::read(query, names)?;
        let Some(list) = self.lists().kept(&asked.list) else {
            return aside(|| {
                let snapshot = kind.snapshot()?;
                Ok((asked.select(snapshot.records(), names), snapshot.revision))
            });
        };
        let mut list = list.lock().await;
        if let Some(kept) = list.as_mut().filter(|kept| kept.order.has(names)) {
            let snapshot = kind.snapshot()?;
            if kept.follow(&snapshot) {
                return Ok((kept.order.page(&asked), snapshot.revision));
            }
        }
        let kept = aside(|| Kept::new(kind, Wanted::read(query, names)?, names))?;
        let kept = list.insert(kept);
        Ok((kept.order.page(&asked), kept.revision))
    }
}

/// Runs what takes long where it holds up nobody else.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}

impl<R: Listed> Lists<R> {
    /// A list that was asked for before.
    fn kept(&mut self, name: &str) -> Option<List<R>> {
        if !self.asked.iter().any(|asked| asked == name) {
            self.asked.push_back(name.to_owned());
            if self.asked.len() > ASKED_MAX {
                self.asked.pop_front();
            }
            return None;
        }
        let known = self.kept.iter().position(|(kept, _)| kept == name);
        let list = match known {
            Some(at) => self.kept.remove(at).1,
            None => List::default(),
        };
        self.kept.push((name.to_owned(), Arc::clone(&list)));
        if self.kept.len() > KEPT_MAX {
            self.kept.remove(0);
        }
        Some(list)
    }
}

impl<R: Listed> Kept<R> {
    fn new(kind: &Kind<R>, wanted: Wanted<R>, names: &Arc<Names>) -> Outcome<Self> {
        // Before the snapshot, so that no change is missed.
        let changes = kind.mirror.changes();
        let snapshot = kind.snapshot()?;
        Ok(Self {
            order: Order::new(wanted, Arc::clone(names), snapshot.records()),
            changes,
            ahead: None,
            revision: snapshot.revision,
            loads: snapshot.loads,
        })
    }

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
