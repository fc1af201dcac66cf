//! What is looked at all the time: that no view goes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::inventory::Vm;
use contracts::records::Record;
use contracts::subjects;
use kit::records::Change;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::bus::Server;
use crate::world::World;

/// The changes that one program sees are in order of revision, and each goes on from the one before.
///
/// Unless its view was rebuilt, for which there must be a reason: then it tells of everything again. A log that was lost
/// or restored is one, days that pass another.
pub(super) async fn changes(
    world: World,
    server: Arc<Server>,
    name: String,
    mut changes: Receiver<Arc<Change<Vm>>>,
) {
    let mut seen = Seen::default();
    let reasons = || server.epochs(&subjects::bucket_stream(Vm::BUCKET)) + server.skips();
    let mut reasons_used = reasons();
    loop {
        let change = match changes.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => {
                seen.known.clear();
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        if let Some(broken) = seen.why_not(&change) {
            if reasons() == reasons_used {
                world.violation(format!("{name}: {broken}"));
            }
            reasons_used = reasons();
            seen = Seen::default();
        }
        seen.newest = change.revision;
        seen.known.insert(change.id.clone(), change.after.clone());
    }
}

#[derive(Default)]
struct Seen {
    newest: u64,
    known: BTreeMap<String, Option<Vm>>,
}

impl Seen {
    /// Why a change cannot come next.
    fn why_not(&self, change: &Change<Vm>) -> Option<String> {
        let Change {
            id,
            revision,
            before,
            ..
        } = change;
        if *revision <= self.newest {
            return Some(format!(
                "the view went from revision {} to {revision}",
                self.newest
            ));
        }
        let known = self.known.get(id);
        let goes_on = known.is_none_or(|known| known == before);
        (!goes_on).then(|| format!("{id} at {revision} does not go on from what it was"))
    }
}
